//! Reading a stanza through its index, and writing it with another head.

use super::*;

fn parse(xml: &str) -> Stanza {
    Stanza::parse(xml.as_bytes()).unwrap()
}

fn written(stanza: &Stanza, head: Head<'_>) -> String {
    let mut out = b"before".to_vec();
    stanza.write(&mut out, head);
    String::from_utf8(out.split_off(6)).unwrap()
}

#[test]
fn writing_replaces_addresses_and_keeps_everything_else() {
    let s = parse(
        "<message\n to='a@b' id='1'  from='c@d'\ttype='chat' xmlns='jabber:client' x = \"'&lt;\" xml:lang='en'><body>hi</body> t</message >",
    );
    assert_eq!(
        written(
            &s,
            Head {
                from: Some("o'hara@x/&<>"),
                to: Some("y"),
                lang: Some("de"),
                xmlns: Some("urn:x")
            }
        ),
        "<message xmlns='urn:x' from='o&apos;hara@x/&amp;&lt;&gt;' to='y' id='1' type='chat' x = \"'&lt;\" xml:lang='en'>\
         <body>hi</body> t</message>"
    );
    assert_eq!(
        written(&parse("<presence to='a'></presence>"), Head::default()),
        "<presence/>"
    );
}

#[test]
fn the_streams_language_is_used_for_stanzas_without_one() {
    let head = Head {
        lang: Some("cs"),
        ..Head::default()
    };
    assert_eq!(
        written(&parse("<iq id='1'/>"), head),
        "<iq id='1' xml:lang='cs'/>"
    );
    assert_eq!(
        written(&parse("<iq xml:lang=''/>"), head),
        "<iq xml:lang=''/>"
    );
}

#[test]
fn a_shared_stanza_is_the_same_for_every_target() {
    let s = parse(
        "<message from='old@x' to='room@muc' type='groupchat' id='1'><body>hi</body></message>",
    );
    let shared = s.share(Some("room@muc/nick"), Some("en"));
    let mut out = Vec::new();
    shared.write(&mut out, Some("a@b/'"));
    shared.write_in(&mut out, None, Some("jabber:client"));
    let rest =
        " from='room@muc/nick' type='groupchat' id='1' xml:lang='en'><body>hi</body></message>";
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!("<message to='a@b/&apos;'{rest}<message xmlns='jabber:client'{rest}")
    );
    assert_eq!(shared.byte_len(), rest.len() + "<message".len());
}

#[test]
fn types_mean_what_the_rfcs_say() {
    let of = |xml: &str| parse(xml);
    assert_eq!(of("<message/>").message_type(), MessageType::Normal);
    assert_eq!(
        of("<message type='shout'/>").message_type(),
        MessageType::Normal
    );
    assert_eq!(
        of("<message type='groupchat'/>").message_type(),
        MessageType::Groupchat
    );
    assert_eq!(
        of("<presence/>").presence_type(),
        Some(PresenceType::Available)
    );
    assert_eq!(of("<presence type='available'/>").presence_type(), None);
    assert_eq!(
        of("<presence type='unsubscribed'/>").presence_type(),
        Some(PresenceType::Unsubscribed)
    );
    assert_eq!(of("<iq/>").iq_type(), None);
    assert_eq!(of("<iq type='Get'/>").iq_type(), None);
    assert_eq!(of("<iq type='g&#101;t'/>").iq_type(), Some(IqType::Get));
    for t in ["normal", "chat", "headline", "groupchat", "error"] {
        assert_eq!(MessageType::of(Some(t)).as_str(), t);
    }
    for t in [
        "unavailable",
        "subscribe",
        "subscribed",
        "unsubscribe",
        "unsubscribed",
        "probe",
        "error",
    ] {
        assert_eq!(
            PresenceType::of(Some(t)).and_then(PresenceType::as_str),
            Some(t)
        );
    }
    for t in ["get", "set", "result", "error"] {
        assert_eq!(IqType::of(Some(t)).map(IqType::as_str), Some(t));
    }
}

#[test]
fn errors_and_results_are_not_answered_with_errors() {
    for (xml, may) in [
        ("<message/>", true),
        ("<message type='error'/>", false),
        ("<message type='result'/>", true),
        ("<iq type='get'/>", true),
        ("<iq type='set'/>", true),
        ("<iq type='result'/>", false),
        ("<iq type='error'/>", false),
        ("<presence type='err&#111;r'/>", false),
    ] {
        assert_eq!(parse(xml).may_bounce(), may, "{xml}");
    }
}

#[test]
fn addresses_can_be_set_without_touching_clones() {
    let s = parse("<message to='a@b' from='x'/>");
    let stamped = s
        .clone()
        .with_from(Jid::parse("romeo@example.net/orchard").unwrap())
        .with_to(Jid::parse("c").unwrap());
    assert_eq!(
        stamped.from().unwrap().unwrap().as_str(),
        "romeo@example.net/orchard"
    );
    assert_eq!(stamped.to().unwrap().unwrap().as_str(), "c");
    assert_eq!(s.from().unwrap().unwrap().as_str(), "x");
    assert_eq!(s.to().unwrap().unwrap().as_str(), "a@b");
}

#[test]
fn children_are_found_by_name_and_namespace() {
    let s = parse("<iq><a xmlns='u'/><b/><a xmlns='v'><b/></a></iq>");
    assert_eq!(s.child("a", "v").unwrap().raw(), b"<a xmlns='v'><b/></a>");
    assert_eq!(s.payload().unwrap().ns(), "u");
    assert!(s.child("a", "jabber:client").is_none());
    assert!(s.own_child("b").is_some());
    assert_eq!(s.children().count(), 3);
    assert_eq!(s.content().len(), s.byte_len() - "<iq></iq>".len());
}

#[test]
fn only_stanzas_are_parsed_as_stanzas() {
    for other in ["<a/>", "<message xmlns='jabber:server'/>", "<iq xmlns=''/>"] {
        assert_eq!(
            Stanza::parse(other.as_bytes()).err(),
            Some(XmlError::BadFormat),
            "{other}"
        );
    }
}

#[test]
fn an_edit_leaves_children_out_and_appends_others() {
    let check = |xml: &str, leave_out: &[u32], append: &str, want: &str| {
        let mut out = Vec::new();
        let append = append.as_bytes();
        let edit = Edit { leave_out, append };
        let stanza = parse(xml);
        stanza.write_edited(&mut out, Head::default(), edit);
        assert_eq!(std::str::from_utf8(&out).unwrap(), want);
        let mut shared = Vec::new();
        stanza
            .share_edited(None, None, edit)
            .write(&mut shared, None);
        assert_eq!(shared, out);
    };
    let xml = "<message id='1'> <a/>b<c>d</c><e/> </message>";
    check(xml, &[], "", xml);
    check(xml, &[0], "", "<message id='1'> b<c>d</c><e/> </message>");
    check(
        xml,
        &[1],
        "<f/>",
        "<message id='1'> <a/>b<e/> <f/></message>",
    );
    check(xml, &[0, 1, 2], "", "<message id='1'> b </message>");
    check(
        xml,
        &[2, 7],
        "",
        "<message id='1'> <a/>b<c>d</c> </message>",
    );
    check("<message/>", &[], "<f/>", "<message><f/></message>");
    check("<message><a/></message>", &[0], "", "<message></message>");
}
