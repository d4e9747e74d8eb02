//! Which messages a person waits for: those that wake a device that sleeps (push, client state).

use tercet_core::{MessageType, Stanza, ns};

use crate::hints::{Hints, Keeping};

/// Encrypted content, whose text stands elsewhere than in the body.
const ENCRYPTED: &[&str] = &[
    "eu.siacs.conversations.axolotl",
    "urn:xmpp:omemo:1",
    "urn:xmpp:omemo:2",
    "urn:xmpp:openpgp:0",
];
/// Calls: a proposal (XEP-0353) or an invitation (XEP-0482).
const CALLS: &[(&str, &str)] = &[
    ("propose", "urn:xmpp:jingle-message:0"),
    ("invite", "urn:xmpp:call-invites:0"),
];
/// Invitations to rooms (XEP-0249).
const INVITATION: &str = "jabber:x:conference";
const CARBONS: &str = "urn:xmpp:carbons:2";
const FORWARD: &str = "urn:xmpp:forward:0";
/// Mentions in rooms where one is not (XEP-0452).
const MENTIONS: &str = "urn:xmpp:mmn:0";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

/// What a message is to the person that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Somebody calls: it matters now or never.
    Call,
    /// Something to read.
    Text,
    /// Nothing that a device is woken for: chat states, receipts, headlines, what is not to be kept.
    Nothing,
}

/// Whether the message has encrypted content.
pub fn is_encrypted(message: &Stanza) -> bool {
    message.children().any(|c| ENCRYPTED.contains(&c.ns()))
}

/// The message in a copy of one that the user has received elsewhere (XEP-0280).
pub fn received_elsewhere(copy: &Stanza) -> Option<Stanza> {
    let received = copy.child("received", CARBONS)?.parse();
    let forwarded = received.root().child("forwarded", FORWARD)?;
    let mut message = Vec::new();
    forwarded.child("message", ns::CLIENT)?.to_xml(&mut message);
    Stanza::parse(&message).ok()
}

/// What `message` is to the person that it is for.
pub fn weight(message: &Stanza) -> Weight {
    match message.message_type() {
        MessageType::Chat | MessageType::Normal | MessageType::Groupchat => {}
        MessageType::Headline | MessageType::Error => return Weight::Nothing,
    }
    let has = |name: &str, ns: &str| message.child(name, ns).is_some();
    if CALLS.iter().any(|(name, ns)| has(name, ns)) {
        return Weight::Call;
    }
    if Hints::of(message).waiting() == Keeping::No {
        return Weight::Nothing;
    }
    let invited = has("x", INVITATION)
        || message.child("x", MUC_USER).is_some_and(|x| {
            let x = x.parse();
            x.root().children().any(|c| c.is("invite", MUC_USER))
        });
    let mentioned = has("mentions", MENTIONS);
    if message.own_child("body").is_some() || is_encrypted(message) || invited || mentioned {
        Weight::Text
    } else {
        Weight::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Weight::{Call, Nothing, Text};

    fn check(kind: &str, content: &str, expected: Weight) {
        let xml = format!("<message type='{kind}'>{content}</message>");
        let message = Stanza::parse(xml.as_bytes()).unwrap();
        assert_eq!(weight(&message), expected, "{xml}");
    }

    #[test]
    fn text_calls_and_the_rest() {
        let body = "<body>Hi</body>";
        for kind in ["chat", "normal", "groupchat"] {
            check(kind, body, Text);
            check(kind, "<encrypted xmlns='urn:xmpp:omemo:2'/>", Text);
            check(
                kind,
                "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
                Nothing,
            );
            check(
                kind,
                "<received xmlns='urn:xmpp:receipts' id='1'/>",
                Nothing,
            );
            check(kind, "<subject>Hi</subject>", Nothing);
        }
        check("headline", body, Nothing);
        check("error", body, Nothing);
        check("normal", "<x xmlns='jabber:x:conference' jid='a@b'/>", Text);
        let mediated = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>";
        check("normal", mediated, Text);
        check(
            "normal",
            "<x xmlns='http://jabber.org/protocol/muc#user'/>",
            Nothing,
        );
    }

    #[test]
    fn what_is_not_to_be_kept_wakes_nobody_but_for_a_call() {
        let hint = "<no-store xmlns='urn:xmpp:hints'/>";
        check("chat", &format!("<body>Hi</body>{hint}"), Nothing);
        let call = "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>";
        check("chat", call, Call);
        check("chat", &format!("{call}{hint}"), Call);
        check(
            "chat",
            "<accept xmlns='urn:xmpp:jingle-message:0' id='1'/>",
            Nothing,
        );
    }
}
