//! Which messages are archived.

use tercet_core::{MessageType, Stanza};

use super::NS;
use crate::hints::{Hints, Keeping};

/// Elements that are a part of a conversation without a body, by name and namespace; an empty name is any.
const CONTENT: &[(&str, &str)] = &[
    // XEP-0184, XEP-0333: that it arrived, that it was seen.
    ("received", "urn:xmpp:receipts"),
    ("received", "urn:xmpp:chat-markers:0"),
    ("displayed", "urn:xmpp:chat-markers:0"),
    ("acknowledged", "urn:xmpp:chat-markers:0"),
    // XEP-0308, XEP-0424 with its predecessor, XEP-0425, XEP-0444, XEP-0422.
    ("replace", "urn:xmpp:message-correct:0"),
    ("retract", "urn:xmpp:message-retract:1"),
    ("apply-to", "urn:xmpp:fasten:0"),
    ("reactions", "urn:xmpp:reactions:0"),
    // XEP-0384 in both versions, XEP-0027, XEP-0373, XEP-0380.
    ("encrypted", "eu.siacs.conversations.axolotl"),
    ("encrypted", "urn:xmpp:omemo:2"),
    ("x", "jabber:x:encrypted"),
    ("openpgp", "urn:xmpp:openpgp:0"),
    ("encryption", "urn:xmpp:eme:0"),
    // XEP-0066, XEP-0447.
    ("x", "jabber:x:oob"),
    ("file-sharing", "urn:xmpp:sfs:0"),
    // XEP-0249: invitations to rooms.
    ("x", "jabber:x:conference"),
    // XEP-0353: that there was a call.
    ("", "urn:xmpp:jingle-message:0"),
];

/// XEP-0313 §5.1.1, with the hints of XEP-0334.
pub(crate) fn is_archived(message: &Stanza) -> bool {
    match message.message_type() {
        MessageType::Normal | MessageType::Chat => {}
        // Rooms keep their own archives.
        MessageType::Headline | MessageType::Groupchat | MessageType::Error => return false,
    }
    has_content(message)
}

/// Whether a message, of whatever type, is a part of a conversation, with the hints of XEP-0334.
pub(crate) fn has_content(message: &Stanza) -> bool {
    match Hints::of(message).archiving() {
        Keeping::No => return false,
        Keeping::Yes => return true,
        Keeping::AsUsual => {}
    }
    message.own_child("body").is_some()
        || message.children().any(|child| {
            CONTENT
                .iter()
                .any(|(name, ns)| (name.is_empty() || child.name() == *name) && child.ns() == *ns)
        })
}

/// Whether a message pretends to come from an archive.
pub(super) fn is_forged(message: &Stanza) -> bool {
    message.children().any(|child| {
        child.ns().starts_with("urn:xmpp:mam:") && matches!(child.name(), "result" | "fin")
    }) || message.child("result", NS).is_some()
}
