//! When a message came that its recipient gets late (XEP-0203).

use tercet_core::{BareJid, Stanza, XmlWriter, delay};

const BEGIN: &[u8] = b"<message";
const END: &[u8] = b"</message>";

/// A serialised stanza for `account` with the time when the server had it first, in milliseconds since 1970. `None` if it goes
/// out as it is: what is no message, has no content, or says already when it came.
pub(crate) fn stamped(stanza: &[u8], account: &BareJid, at_ms: u64) -> Option<Vec<u8>> {
    if !stanza.starts_with(BEGIN) {
        return None;
    }
    let content = stanza.strip_suffix(END)?;
    if mentions_a_delay(content) && says_when_it_came(stanza, account) {
        return None;
    }
    let mut w = XmlWriter::into(content.to_vec());
    let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
    // XEP-0198 §4: what is given out late has the time of the first attempt.
    delay::write(&mut w, Some(account.domain()), at_ms, None);
    let mut stamped = w.finish();
    stamped.extend_from_slice(END);
    Some(stamped)
}

fn mentions_a_delay(content: &[u8]) -> bool {
    let ns = delay::NS.as_bytes();
    content.windows(ns.len()).any(|part| part == ns)
}

/// Whether the server's stamp is there, or the account itself sends something that has a time of its own, as its archive does: a
/// second one would be taken for the first.
fn says_when_it_came(message: &[u8], account: &BareJid) -> bool {
    let Ok(message) = Stanza::parse(message) else {
        // Not ours to change.
        return true;
    };
    let of_account = matches!(message.from(), Ok(Some(from)) if from.as_str() == account.as_str());
    of_account
        || message.children().any(|child| {
            child.is("delay", delay::NS)
                && child.parse().root().attr("from").as_deref() == Some(account.domain())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_MS: u64 = 1_031_699_305_000;
    const STAMP: &str = "<delay xmlns='urn:xmpp:delay' from='b' stamp='2002-09-10T23:08:25Z'/>";

    fn stamp(stanza: &str) -> Option<String> {
        let account = BareJid::parse("a@b").unwrap();
        let stamped = stamped(stanza.as_bytes(), &account, AT_MS)?;
        Some(String::from_utf8(stamped).unwrap())
    }

    #[test]
    fn a_message_gets_its_time_behind_its_content_and_only_once() {
        let once = stamp("<message from='c@d/e' to='a@b'><body>Hi</body></message>").unwrap();
        let expected = format!("<message from='c@d/e' to='a@b'><body>Hi</body>{STAMP}</message>");
        assert_eq!(once, expected);
        assert_eq!(stamp(&once), None);
    }

    #[test]
    fn the_stamp_of_others_is_not_the_servers() {
        for others in [
            "<delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'/>",
            "<delay xmlns='urn:xmpp:delay' from='d' stamp='2002-09-10T23:08:25Z'/>",
            "<body>urn:xmpp:delay from='b'</body>",
            "<x xmlns='urn:example:x'><delay xmlns='urn:xmpp:delay' from='b' stamp='2002-09-10T23:08:25Z'/></x>",
        ] {
            let stamped = stamp(&format!(
                "<message from='c@d/e' to='a@b'>{others}</message>"
            ));
            let expected = format!("<message from='c@d/e' to='a@b'>{others}{STAMP}</message>");
            assert_eq!(stamped, Some(expected));
        }
    }

    #[test]
    fn a_copy_is_stamped_and_a_result_of_the_archive_has_its_own_time() {
        let copy = "<message from='a@b' to='a@b/c'><sent xmlns='urn:xmpp:carbons:2'/></message>";
        assert!(stamp(copy).is_some());
        let result = format!(
            "<message from='a@b' to='a@b/c'><result xmlns='urn:xmpp:mam:2'><forwarded xmlns='urn:xmpp:forward:0'>\
             {STAMP}<message xmlns='jabber:client'/></forwarded></result></message>"
        );
        assert_eq!(stamp(&result), None);
    }

    #[test]
    fn what_is_no_message_or_has_no_content_goes_out_as_it_is() {
        for stanza in [
            "<presence from='c@d/e'><status>Hi</status></presence>",
            "<iq type='result' id='1'><query xmlns='jabber:iq:last'/></iq>",
            "<message from='c@d/e' to='a@b'/>",
        ] {
            assert_eq!(stamp(stanza), None);
        }
    }
}
