//! Frames of a stream: headers, stanzas, other elements, white space, ends.

use super::*;
use crate::ns;

fn header(bytes: &str) -> Box<crate::StreamHeader> {
    match parse_with(Limits::BEFORE_LOGIN, bytes.as_bytes()) {
        (frames, None) => match frames.first() {
            Some(Frame::Header(header)) => header.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn header_error(bytes: &[u8]) -> XmlError {
    parse_with(Limits::BEFORE_LOGIN, bytes).1.unwrap()
}

#[test]
fn header_gives_its_attributes_as_sent() {
    let h = header(
        "<?xml version='1.0' encoding=\"utf-8\"?>\n<stream:stream from='juliet@im.example.com' to='im.example.com' \
         version='1.0' xml:lang='en' id='a&amp;b' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>",
    );
    assert_eq!(h.content_ns, ns::CLIENT);
    assert!(h.stream_ns_ok);
    assert_eq!(h.from.as_deref(), Some("juliet@im.example.com"));
    assert_eq!(h.to.as_deref(), Some("im.example.com"));
    assert_eq!(h.version.as_deref(), Some("1.0"));
    assert_eq!(h.lang.as_deref(), Some("en"));
    assert_eq!(h.id.as_deref(), Some("a&b"));
}

#[test]
fn header_in_a_wrong_namespace_is_told_apart() {
    assert!(!header("<stream:stream xmlns='jabber:client' xmlns:stream='urn:wrong'>").stream_ns_ok);
    assert!(!header("<stream xmlns='jabber:client'>").stream_ns_ok);
    assert_eq!(
        header("<stream:stream xmlns='urn:wrong' xmlns:stream='http://etherx.jabber.org/streams'>")
            .content_ns,
        "urn:wrong"
    );
}

#[test]
fn header_may_use_another_prefix() {
    let h = header(
        "<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams'></s:stream>",
    );
    assert!(h.stream_ns_ok);
    assert_eq!(h.prefix, "s");
    assert_eq!(h.content_ns, ns::SERVER);
}

#[test]
fn bad_starts_of_a_stream_are_refused() {
    assert_eq!(header_error(b"<stream:stream>"), XmlError::NotWellFormed);
    assert_eq!(
        header_error(b"<foo xmlns='jabber:client'>"),
        XmlError::BadFormat
    );
    assert_eq!(header_error(b"GET / HTTP/1.1\r\n"), XmlError::BadFormat);
    assert_eq!(header_error(b"</stream:stream>"), XmlError::NotWellFormed);
    assert_eq!(
        header_error(b"<?xml version='1.0' encoding='UTF-16'?>"),
        XmlError::UnsupportedEncoding
    );
    assert_eq!(
        header_error(b"<?xml version='1.0' encoding='iso-8859-1'?>"),
        XmlError::UnsupportedEncoding
    );
    assert_eq!(header_error(b"\xFE\xFF\0<"), XmlError::UnsupportedEncoding);
    assert_eq!(
        header_error(b"<?xml encoding='UTF-8'?>"),
        XmlError::NotWellFormed
    );
    assert_eq!(
        header_error(b"<?xml version='1.0'?><?xml version='1.0'?>"),
        XmlError::Restricted
    );
    assert_eq!(
        header_error(b"<?xml-stylesheet href='a'?>"),
        XmlError::Restricted
    );
    assert_eq!(header_error(b"<!DOCTYPE stream>"), XmlError::Restricted);
    assert_eq!(header_error(b"<!-- hi -->"), XmlError::Restricted);
}

#[test]
fn stanzas_elements_and_white_space_come_in_order() {
    let (frames, error) = parse(
        "<iq id='1' type='get'/>\n <r xmlns='urn:xmpp:sm:3'/><presence/><foo/>  <message><body>x</body></message></stream:stream>",
    );
    assert_eq!(error, None);
    let kinds: Vec<_> = frames
        .iter()
        .map(|f| match f {
            Frame::Stanza(s) => s.kind().as_str().to_owned(),
            Frame::Element(e) => format!("{{{}}}{}", e.root().ns(), e.root().name()),
            Frame::Whitespace => " ".to_owned(),
            Frame::End => "end".to_owned(),
            Frame::Header(_) => "header".to_owned(),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "iq",
            " ",
            "{urn:xmpp:sm:3}r",
            "presence",
            "{jabber:client}foo",
            " ",
            "message",
            "end"
        ]
    );
}

#[test]
fn an_empty_stream_element_is_a_header_and_an_end() {
    let bytes = HEADER.replace('>', "/>");
    let (frames, error) = parse_with(Limits::BEFORE_LOGIN, bytes.as_bytes());
    assert!(
        matches!(frames[..], [Frame::Header(_), Frame::End]),
        "{frames:?} {error:?}"
    );
}

#[test]
fn nothing_but_white_space_may_stand_between_stanzas() {
    assert_eq!(error("x"), XmlError::BadFormat);
    assert_eq!(error("<presence/>x<presence/>"), XmlError::BadFormat);
    assert_eq!(error("&#32;"), XmlError::BadFormat);
    assert_eq!(error("<![CDATA[ ]]>"), XmlError::BadFormat);
    assert_eq!(error("<!-- -->"), XmlError::Restricted);
    assert_eq!(error("<?xml version='1.0'?>"), XmlError::Restricted);
    assert_eq!(error("</stream:streams>"), XmlError::NotWellFormed);
    assert_eq!(
        error("</stream:stream><presence/>"),
        XmlError::NotWellFormed
    );
}

#[test]
fn reset_expects_a_new_header() {
    let mut parser = StreamParser::new(Limits::BEFORE_LOGIN);
    let mut input = HEADER.as_bytes();
    assert!(matches!(
        parser.next(&mut input),
        Ok(Some(Frame::Header(_)))
    ));
    parser.reset();
    let mut input: &[u8] = b"<message/>";
    assert_eq!(parser.next(&mut input).err(), Some(XmlError::BadFormat));
}

#[test]
fn a_stanza_is_indexed() {
    let s = stanza(
        "<message to='romeo@example.net/a&apos;b' from='juliet@example.com' type=\"chat\" id='&#65;1' xml:lang='cs'>\
         <body>h&lt;i</body> <active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    assert_eq!(s.to().unwrap().unwrap().as_str(), "romeo@example.net/a'b");
    assert_eq!(s.from().unwrap().unwrap().as_str(), "juliet@example.com");
    assert_eq!(s.type_(), Some("chat"));
    assert_eq!(s.message_type(), crate::MessageType::Chat);
    assert_eq!(s.id().as_deref(), Some("A1"));
    assert_eq!(s.lang().as_deref(), Some("cs"));
    let children: Vec<_> = s.children().map(|c| (c.name(), c.ns(), c.raw())).collect();
    assert_eq!(
        children,
        [
            ("body", "jabber:client", &b"<body>h&lt;i</body>"[..]),
            (
                "active",
                "http://jabber.org/protocol/chatstates",
                &b"<active xmlns='http://jabber.org/protocol/chatstates'/>"[..]
            ),
        ]
    );
    assert_eq!(s.own_child("body").unwrap().parse().root().text(), "h<i");
}

#[test]
fn bad_addresses_are_told_as_jid_malformed() {
    let s = stanza("<presence to='@' from=''/>");
    assert!(s.to().is_err() && s.from().is_err());
}
