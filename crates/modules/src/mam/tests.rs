//! The rules as tables.

use tercet_core::{BareJid, Stanza};

use super::rules::{is_archived, is_forged};
use super::search::{Search, Searching};
use super::{read_id, wire_id};

fn message(kind: &str, content: &str) -> Stanza {
    let xml = format!("<message type='{kind}'>{content}</message>");
    Stanza::parse(xml.as_bytes()).unwrap()
}

#[test]
fn messages_with_content_are_archived_and_others_are_not() {
    let check = |kind: &str, content: &str, archived: bool| {
        let message = message(kind, content);
        assert_eq!(is_archived(&message), archived, "{kind} {content}");
    };
    let body = "<body>Hi</body>";
    check("chat", body, true);
    check("normal", body, true);
    check("", body, true);
    check("groupchat", body, false);
    check("headline", body, false);
    check("error", body, false);
    check("chat", "", false);
    check("chat", "<thread>1</thread><subject>Hi</subject>", false);
    check(
        "chat",
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        false,
    );
    check("chat", "<request xmlns='urn:xmpp:receipts'/>", false);
    check("chat", "<received xmlns='urn:xmpp:receipts' id='1'/>", true);
    check("chat", "<markable xmlns='urn:xmpp:chat-markers:0'/>", false);
    check(
        "chat",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
        true,
    );
    check(
        "chat",
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>",
        true,
    );
    check(
        "chat",
        "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
        true,
    );
    check(
        "chat",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
        true,
    );
    check(
        "chat",
        "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
        true,
    );
    check(
        "normal",
        "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
        false,
    );
}

#[test]
fn hints_decide_over_content_but_not_over_types() {
    let hint = |name: &str| format!("<{name} xmlns='urn:xmpp:hints'/>");
    let body = "<body>Hi</body>".to_owned();
    for name in ["no-store", "no-permanent-store"] {
        assert!(!is_archived(&message(
            "chat",
            &(body.clone() + &hint(name))
        )));
    }
    assert!(is_archived(&message("chat", &hint("store"))));
    assert!(!is_archived(&message("groupchat", &hint("store"))));
    assert!(!is_archived(&message("error", &(body + &hint("store")))));
}

#[test]
fn results_of_archives_are_forged_where_users_send_them() {
    for ns in [
        "urn:xmpp:mam:0",
        "urn:xmpp:mam:1",
        "urn:xmpp:mam:2",
        "urn:xmpp:mam:tmp",
    ] {
        assert!(is_forged(&message("", &format!("<result xmlns='{ns}'/>"))));
        assert!(is_forged(&message("", &format!("<fin xmlns='{ns}'/>"))));
    }
    assert!(!is_forged(&message(
        "",
        "<result xmlns='u:a'/><body>fin</body>"
    )));
}

#[test]
fn a_search_finds_all_its_words_by_their_beginnings() {
    let check = |text: &str, body: &str, found: bool| {
        let xml = format!("<message xmlns='jabber:client'><body>{body}</body></message>");
        let search = Search::new(text);
        assert_eq!(search.finds(xml.as_bytes()), found, "{text}: {body}");
    };
    check("hello", "Well, Hello there!", true);
    check("there HELL", "Well, Hello there!", true);
    check("hello you", "Well, Hello there!", false);
    check("ello", "Hello", false);
    check("stra\u{df}e \u{fc}ber", "\u{dc}ber die Stra\u{df}e", true);
    check("amp", "a &amp; b", false);
    check("", "anything", true);
    assert!(!Search::new("hi").finds(b"no message"));
    assert!(!Search::new("hi").finds(b"<message><subject>hi</subject></message>"));
}

#[test]
fn an_account_makes_one_search_at_a_time() {
    let [juliet, romeo] = ["juliet@a", "romeo@a"].map(|jid| BareJid::parse(jid).unwrap());
    let searching = Searching::default();
    let first = searching.begin(&juliet).ok().unwrap();
    assert!(searching.begin(&juliet).is_err());
    assert!(searching.begin(&romeo).is_ok());
    drop(first);
    assert!(searching.begin(&juliet).is_ok());
}

#[test]
fn ids_read_back_and_others_are_not_known() {
    for id in [1, 17, u64::MAX] {
        assert_eq!(read_id(&wire_id(id)), Some(id));
    }
    for other in ["", "x", "-1", "+1", "01", " 1", "18446744073709551616"] {
        assert_eq!(read_id(other), None, "{other}");
    }
}
