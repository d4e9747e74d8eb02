//! What a client that sleeps need not be woken for.

use tercet_core::{MessageType, PresenceType, Stanza, StanzaKind, ns};
use tercet_server::Hold;

use crate::notable::{Weight, received_elsewhere, weight};

const CARBONS: &str = "urn:xmpp:carbons:2";
const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
const EVENTS: &str = "http://jabber.org/protocol/pubsub#event";
/// What may stand beside a chat state and says nothing by itself.
const ASIDE: &[&str] = &[CHAT_STATES, crate::hints::NS, "urn:xmpp:sid:0"];
/// What is good to know when the user looks again: receipts and markers.
const TRACES: &[&str] = &["urn:xmpp:receipts", "urn:xmpp:chat-markers:0"];

/// What to do with a stanza for a client that has said that nobody looks at it. Whatever is not named here goes out at once,
/// behind everything that waits:
///
/// - presence of a contact's device or an occupant waits, and only the last of each counts; not that of the own occupant, which
///   answers joining a room;
/// - messages with nothing but chat states are dropped;
/// - receipts, markers, events of personal nodes, and copies of what the user sends elsewhere wait;
/// - copies of what the user receives are what the received messages are.
pub(super) fn hold(stanza: &Stanza) -> Hold {
    match stanza.kind() {
        StanzaKind::Iq => Hold::Now,
        StanzaKind::Presence => presence(stanza),
        StanzaKind::Message => message(stanza),
    }
}

fn presence(presence: &Stanza) -> Hold {
    let shown = matches!(
        presence.presence_type(),
        Some(PresenceType::Available | PresenceType::Unavailable)
    );
    match presence.from() {
        Ok(Some(from)) if shown && !is_own_occupant(presence) => Hold::Latest(from.as_str().into()),
        _ => Hold::Now,
    }
}

/// XEP-0045 §7.2.2: the room tells who has joined by the status 110.
fn is_own_occupant(presence: &Stanza) -> bool {
    presence.child("x", MUC_USER).is_some_and(|x| {
        let x = x.parse();
        x.root()
            .children()
            .any(|c| c.is("status", MUC_USER) && c.attr("code").as_deref() == Some("110"))
    })
}

fn message(message: &Stanza) -> Hold {
    if message.message_type() == MessageType::Error || weight(message) != Weight::Nothing {
        return Hold::Now;
    }
    if message.child("sent", CARBONS).is_some() {
        return Hold::Later;
    }
    if message.child("received", CARBONS).is_some() {
        let inner = received_elsewhere(message);
        return inner.map_or(Hold::Now, |inner| self::message(&inner));
    }
    let is_aside = |child: &tercet_core::Child<'_>| {
        ASIDE.contains(&child.ns()) || child.is("thread", ns::CLIENT)
    };
    let mut others = message.children().filter(|c| !is_aside(c)).peekable();
    if others.peek().is_none() {
        let state = message.children().any(|c| c.ns() == CHAT_STATES);
        return if state { Hold::Never } else { Hold::Now };
    }
    if others.all(|c| TRACES.contains(&c.ns()) || c.ns() == EVENTS) {
        return Hold::Later;
    }
    Hold::Now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(xml: &str, expected: Hold) {
        assert_eq!(
            hold(&Stanza::parse(xml.as_bytes()).unwrap()),
            expected,
            "{xml}"
        );
    }

    fn latest(from: &str) -> Hold {
        Hold::Latest(from.into())
    }

    #[test]
    fn of_presence_the_last_of_each_device_counts() {
        check("<presence from='a@b/c'/>", latest("a@b/c"));
        check(
            "<presence from='a@b/c' type='unavailable'/>",
            latest("a@b/c"),
        );
        for kind in [
            "subscribe",
            "subscribed",
            "unsubscribe",
            "unsubscribed",
            "error",
        ] {
            check(&format!("<presence from='a@b' type='{kind}'/>"), Hold::Now);
        }
        let occupant = |code: &str| {
            format!(
                "<presence from='r@m/n'><x xmlns='http://jabber.org/protocol/muc#user'>\
                 <item/><status code='{code}'/></x></presence>"
            )
        };
        check(&occupant("100"), latest("r@m/n"));
        check(&occupant("110"), Hold::Now);
    }

    #[test]
    fn what_somebody_waits_for_goes_out_at_once() {
        check("<iq type='result' id='1'/>", Hold::Now);
        for content in [
            "<body>Hi</body>",
            "<encrypted xmlns='urn:xmpp:omemo:2'/>",
            "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
            "<x xmlns='jabber:x:conference' jid='a@b'/>",
            "<subject>Hi</subject>",
            "<result xmlns='urn:xmpp:mam:2'/>",
            "<unknown xmlns='u:n'/>",
            "",
        ] {
            check(
                &format!("<message type='chat'>{content}</message>"),
                Hold::Now,
            );
        }
        check(
            "<message type='headline'><body>News</body></message>",
            Hold::Now,
        );
        let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        check(
            &format!("<message type='chat'><body>Hi</body>{state}</message>"),
            Hold::Now,
        );
        check(
            &format!("<message type='error'>{state}<error/></message>"),
            Hold::Now,
        );
    }

    #[test]
    fn chat_states_alone_are_dropped() {
        let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        for aside in [
            "",
            "<thread>1</thread>",
            "<no-store xmlns='urn:xmpp:hints'/>",
            "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>",
        ] {
            for kind in ["chat", "groupchat", "normal"] {
                let xml = format!("<message type='{kind}'>{state}{aside}</message>");
                check(&xml, Hold::Never);
            }
        }
    }

    #[test]
    fn traces_wait() {
        for content in [
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/><active xmlns='http://jabber.org/protocol/chatstates'/>",
            "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
        ] {
            check(&format!("<message>{content}</message>"), Hold::Later);
        }
        let mixed = "<received xmlns='urn:xmpp:receipts' id='1'/><unknown xmlns='u:n'/>";
        check(&format!("<message>{mixed}</message>"), Hold::Now);
    }

    #[test]
    fn copies_are_what_their_messages_are() {
        let copy = |direction: &str, content: &str| {
            format!(
                "<message from='a@b' type='chat'><{direction} xmlns='urn:xmpp:carbons:2'>\
                 <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat'>{content}\
                 </message></forwarded></{direction}></message>"
            )
        };
        let body = "<body>Hi</body>";
        let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        check(&copy("received", body), Hold::Now);
        check(&copy("received", state), Hold::Never);
        check(
            &copy("received", "<received xmlns='urn:xmpp:receipts' id='1'/>"),
            Hold::Later,
        );
        check(&copy("sent", body), Hold::Later);
        check(&copy("sent", state), Hold::Later);
    }
}
