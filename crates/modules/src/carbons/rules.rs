//! Which messages are copied.

use tercet_core::{Jid, MessageType, Stanza};
use tercet_server::module::Side;

use super::NS;
use crate::hints::Hints;

const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
const DIRECT_INVITATION: &str = "jabber:x:conference";

/// Payloads of instant messaging that come without a body: receipts, chat states and markers, as XEP-0280 §6.1 names them, and
/// what has been added to conversations since: corrections, retractions, reactions, calls, encrypted content.
const IM: &[&str] = &[
    "urn:xmpp:receipts",
    "http://jabber.org/protocol/chatstates",
    "urn:xmpp:chat-markers:0",
    "urn:xmpp:message-correct:0",
    "urn:xmpp:message-retract:0",
    "urn:xmpp:message-retract:1",
    "urn:xmpp:reactions:0",
    "urn:xmpp:reply:0",
    "urn:xmpp:jingle-message:0",
    "urn:xmpp:call-invites:0",
    "eu.siacs.conversations.axolotl",
    "urn:xmpp:omemo:1",
    "urn:xmpp:omemo:2",
    "urn:xmpp:openpgp:0",
];

/// Whether a message is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eligible {
    Yes,
    No,
    /// If the message that it answers was.
    AsAnswer,
}

/// XEP-0280 §6.1, for a message that the user sends to `peer` or receives from there, as `side` says.
pub(super) fn eligible(message: &Stanza, side: Side, peer: &Jid) -> Eligible {
    let kind = message.message_type();
    // XEP-0280 §6.1: one with the private element is not. §9: neither is one with the no-copy hint.
    let private = message.child("private", NS).is_some();
    if private || !Hints::of(message).copies() {
        return Eligible::No;
    }
    match kind {
        // XEP-0280 §6.1: the room sends it to each device that has joined.
        MessageType::Groupchat => return Eligible::No,
        // XEP-0280 §6.1: in response to an eligible message.
        MessageType::Error => return Eligible::AsAnswer,
        MessageType::Chat | MessageType::Normal | MessageType::Headline => {}
    }
    let invitation = is_invitation(message);
    let from_room = message.child("x", MUC_USER).is_some() && !invitation;
    if side == Side::Recipient && from_room && peer.is_full() {
        // XEP-0280 §6.1: a private message of an occupant has been sent to each device that has joined.
        return Eligible::No;
    }
    let counts = kind == MessageType::Chat
        || (kind == MessageType::Normal && message.own_child("body").is_some())
        || invitation
        || message.children().any(|child| IM.contains(&child.ns()));
    if counts { Eligible::Yes } else { Eligible::No }
}

/// XEP-0249, and the mediated invitations of XEP-0045 §7.8.2.
fn is_invitation(message: &Stanza) -> bool {
    let mediated = |x: tercet_core::Child<'_>| {
        let x = x.parse();
        x.root().children().any(|c| c.is("invite", MUC_USER))
    };
    message.child("x", DIRECT_INVITATION).is_some()
        || message.child("x", MUC_USER).is_some_and(mediated)
}

/// Whether the message pretends to be a copy. None of ours comes this way.
pub(super) fn is_forged(message: &Stanza) -> bool {
    message
        .children()
        .any(|child| child.ns() == NS && matches!(child.name(), "received" | "sent"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Eligible::{AsAnswer, No, Yes};

    const BODY: &str = "<body>Hi</body>";
    const X: &str = "<x xmlns='http://jabber.org/protocol/muc#user'/>";

    fn check_from(peer: &str, kind: &str, content: &str, sent: Eligible, received: Eligible) {
        let xml = format!("<message type='{kind}' id='1'>{content}</message>");
        let message = Stanza::parse(xml.as_bytes()).unwrap();
        let peer = Jid::parse(peer).unwrap();
        assert_eq!(eligible(&message, Side::Sender, &peer), sent, "{xml}");
        assert_eq!(
            eligible(&message, Side::Recipient, &peer),
            received,
            "{xml}"
        );
    }

    fn check(kind: &str, content: &str, expected: Eligible) {
        check_from(
            "juliet@capulet.lit/balcony",
            kind,
            content,
            expected,
            expected,
        );
    }

    #[test]
    fn section_6_1_by_type() {
        check("chat", BODY, Yes);
        check("chat", "", Yes);
        check("normal", BODY, Yes);
        check("normal", "", No);
        check("normal", "<subject>Hi</subject>", No);
        check("normal", "<body xmlns='u:other'>Hi</body>", No);
        check("headline", BODY, No);
        check("groupchat", BODY, No);
        check("error", BODY, AsAnswer);
    }

    #[test]
    fn section_6_1_payloads_of_instant_messaging() {
        for payload in [
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>",
            "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
            "<encrypted xmlns='urn:xmpp:omemo:2'/>",
        ] {
            check("normal", payload, Yes);
            check("groupchat", payload, No);
        }
        check(
            "normal",
            "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
            No,
        );
    }

    #[test]
    fn section_6_1_rooms() {
        let invitations = [
            "<x xmlns='jabber:x:conference' jid='room@muc.capulet.lit'/>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>",
        ];
        let occupant = "room@muc.capulet.lit/juliet";
        for invitation in invitations {
            check("normal", invitation, Yes);
            check_from(occupant, "chat", invitation, Yes, Yes);
            check_from("room@muc.capulet.lit", "normal", invitation, Yes, Yes);
        }
        let private = format!("{BODY}{X}");
        check_from(occupant, "chat", &private, Yes, No);
        check_from("room@muc.capulet.lit", "chat", &private, Yes, Yes);
    }

    #[test]
    fn section_9_senders_may_avoid_copies() {
        for kind in ["chat", "normal", "error"] {
            let private = "<private xmlns='urn:xmpp:carbons:2'/>";
            check(kind, &format!("{BODY}{private}"), No);
        }
        check(
            "chat",
            &format!("{BODY}<no-copy xmlns='urn:xmpp:hints'/>"),
            No,
        );
        check("chat", &format!("{BODY}<private xmlns='u:other'/>"), Yes);
    }

    #[test]
    fn only_what_pretends_to_be_a_copy_is_forged() {
        let forged = |child: &str| {
            let xml = format!("<message>{child}</message>");
            is_forged(&Stanza::parse(xml.as_bytes()).unwrap())
        };
        assert!(forged("<received xmlns='urn:xmpp:carbons:2'/>"));
        assert!(forged(
            "<body>Hi</body><c:sent xmlns:c='urn:xmpp:carbons:2'/>"
        ));
        assert!(!forged("<private xmlns='urn:xmpp:carbons:2'/>"));
        assert!(!forged("<received xmlns='urn:xmpp:receipts' id='1'/>"));
        assert!(!forged(
            "<a xmlns='u:a'><sent xmlns='urn:xmpp:carbons:2'/></a>"
        ));
    }
}
