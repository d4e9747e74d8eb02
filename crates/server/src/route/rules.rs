//! The delivery rules of RFC 6121 §8.5 as pure functions, so that its tables can be tested row by row.

use tercet_core::MessageType;

/// What the addressee's account has to offer a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressed {
    /// A full JID whose resource is connected (§8.5.3.1).
    Resource,
    /// A full JID whose resource is not connected (§8.5.3.2).
    NoSuchResource,
    /// The bare JID (§8.5.2).
    Account,
}

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The resource named by the full JID.
    Resource,
    /// The available resources with the highest priority that is not negative; if there is none, [`Delivery::Fallback`].
    MostAvailable,
    /// All available resources with a priority that is not negative; if there is none, nobody, silently.
    AllAvailable,
    /// Nobody now: kept for later where that is offered, else an error.
    Fallback,
    /// Nobody, and the sender gets `service-unavailable`.
    Refuse,
    /// Nobody, and the sender hears nothing.
    Ignore,
}

/// RFC 6121 §8.5.2 and §8.5.3, message stanzas.
pub(super) fn message(kind: MessageType, addressed: Addressed) -> Delivery {
    match (addressed, kind) {
        (Addressed::Resource, _) => Delivery::Resource,
        // §8.5.2.1.1, §8.5.2.2.1, §8.5.3.2.1: an error is never answered and belongs to a session that is gone.
        (_, MessageType::Error) => Delivery::Ignore,
        // §8.5.2.1.1, §8.5.3.2.1: the room's occupant is not here any more.
        (_, MessageType::Groupchat) => Delivery::Refuse,
        (Addressed::Account, MessageType::Headline) => Delivery::AllAvailable,
        (Addressed::Account, MessageType::Normal | MessageType::Chat) => Delivery::MostAvailable,
        // §8.5.3.2.1: a conversation goes on where the user is now; one-off messages to a device that is gone come back.
        (Addressed::NoSuchResource, MessageType::Chat) => Delivery::MostAvailable,
        (Addressed::NoSuchResource, MessageType::Normal) => Delivery::MostAvailable,
        (Addressed::NoSuchResource, MessageType::Headline) => Delivery::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MessageType::{Chat, Error, Groupchat, Headline, Normal};

    fn check(addressed: Addressed, rows: [(MessageType, Delivery); 5]) {
        for (kind, delivery) in rows {
            assert_eq!(
                message(kind, addressed),
                delivery,
                "{kind:?} to {addressed:?}"
            );
        }
    }

    #[test]
    fn section_8_5_2_1_1_message_to_the_bare_jid() {
        check(
            Addressed::Account,
            [
                (Normal, Delivery::MostAvailable),
                (Chat, Delivery::MostAvailable),
                (Headline, Delivery::AllAvailable),
                (Groupchat, Delivery::Refuse),
                (Error, Delivery::Ignore),
            ],
        );
    }

    #[test]
    fn section_8_5_3_1_message_to_a_connected_resource() {
        for kind in [Normal, Chat, Headline, Groupchat, Error] {
            assert_eq!(message(kind, Addressed::Resource), Delivery::Resource);
        }
    }

    #[test]
    fn section_8_5_3_2_1_message_to_a_resource_that_is_gone() {
        check(
            Addressed::NoSuchResource,
            [
                (Normal, Delivery::MostAvailable),
                (Chat, Delivery::MostAvailable),
                (Headline, Delivery::Ignore),
                (Groupchat, Delivery::Refuse),
                (Error, Delivery::Ignore),
            ],
        );
    }
}
