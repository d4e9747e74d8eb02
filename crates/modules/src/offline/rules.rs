//! Which messages are worth keeping.

use tercet_core::{MessageType, Stanza, ns};

use crate::hints::{self, Hints, Keeping};

/// XEP-0085.
const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";

/// XEP-0160 §3, with the hints of XEP-0334 §4.
pub(super) fn is_kept(message: &Stanza) -> bool {
    let kept_type = match message.message_type() {
        MessageType::Normal | MessageType::Chat => true,
        MessageType::Headline | MessageType::Groupchat | MessageType::Error => false,
    };
    if !kept_type {
        return false;
    }
    match Hints::of(message).waiting() {
        Keeping::No => return false,
        Keeping::Yes => return true,
        Keeping::AsUsual => {}
    }
    // §3: content beside chat states. A thread alone says nothing, nor do hints.
    message.children().any(|child| {
        let aside = child.is("thread", ns::CLIENT) || matches!(child.ns(), hints::NS | CHAT_STATES);
        !aside
    })
}

#[cfg(test)]
mod tests {
    use super::is_kept;
    use tercet_core::Stanza;

    fn check(kind: &str, content: &str, kept: bool) {
        let xml = format!("<message type='{kind}'>{content}</message>");
        let stanza = Stanza::parse(xml.as_bytes()).unwrap();
        assert_eq!(is_kept(&stanza), kept, "{xml}");
    }

    #[test]
    fn section_3_of_xep_0160() {
        let body = "<body>Hi</body>";
        check("normal", body, true);
        check("chat", body, true);
        check("groupchat", body, false);
        check("headline", body, false);
        check("error", body, false);
        check("normal", "", false);
        check("chat", "<subject>Hi</subject>", true);
        check(
            "chat",
            "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
            true,
        );
    }

    #[test]
    fn chat_states_alone_are_not_kept() {
        let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        check("chat", state, false);
        check("chat", &format!("{state}<thread>1</thread>"), false);
        check("chat", &format!("{state}<body>Hi</body>"), true);
    }

    #[test]
    fn hints_are_followed() {
        let body = "<body>Hi</body>";
        check(
            "chat",
            &format!("{body}<no-store xmlns='urn:xmpp:hints'/>"),
            false,
        );
        check(
            "chat",
            &format!("{body}<no-permanent-store xmlns='urn:xmpp:hints'/>"),
            true,
        );
        check("chat", "<store xmlns='urn:xmpp:hints'/>", true);
        check("headline", "<store xmlns='urn:xmpp:hints'/>", false);
    }
}
