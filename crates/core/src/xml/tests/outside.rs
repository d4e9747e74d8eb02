//! Declarations made outside of what travels.

use super::*;
use crate::{Head, Stanza, parse_document};

fn written(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out, Head::default());
    String::from_utf8(out).unwrap()
}

/// Parses `content` behind a header that declares `p` and `q`.
fn with_prefixes(content: &str) -> (Vec<Frame>, Option<XmlError>) {
    let header = HEADER.replace(
        " xmlns:stream",
        " xmlns:p='urn:p' xmlns:q='urn:q&amp;' xmlns:stream",
    );
    let (mut frames, error) =
        parse_with(Limits::AFTER_LOGIN, format!("{header}{content}").as_bytes());
    frames.remove(0);
    (frames, error)
}

fn check(content: &str, expected: &str) {
    let (frames, error) = with_prefixes(content);
    match &frames[..] {
        [Frame::Stanza(stanza)] => assert_eq!(written(stanza), expected),
        other => panic!("{other:?} {error:?} from {content}"),
    }
}

#[test]
fn prefixes_of_the_stream_header_travel_with_the_children_that_use_them() {
    check(
        "<message><p:x/></message>",
        "<message><p:x xmlns:p='urn:p'/></message>",
    );
    check(
        "<message><a><q:x/><q:y p:z='1'/></a><b/><p:c/></message>",
        "<message><a xmlns:q='urn:q&amp;' xmlns:p='urn:p'><q:x/><q:y p:z='1'/></a><b/><p:c xmlns:p='urn:p'/></message>",
    );
    check(
        "<message><a p:x='1'/></message>",
        "<message><a xmlns:p='urn:p' p:x='1'/></message>",
    );
    check("<message p:x='1'/>", "<message xmlns:p='urn:p' p:x='1'/>");
    check(
        "<message><stream:x/></message>",
        "<message><stream:x xmlns:stream='http://etherx.jabber.org/streams'/></message>",
    );
    check(
        "<message><p:x xmlns:p='own'/></message>",
        "<message><p:x xmlns:p='own'/></message>",
    );
    check(
        "<message><a><p:x xmlns:p='own'/><p:y/></a></message>",
        "<message><a xmlns:p='urn:p'><p:x xmlns:p='own'/><p:y/></a></message>",
    );
}

#[test]
fn declarations_of_the_stanza_travel_with_its_children_and_attributes() {
    check(
        "<message xmlns:r='urn:r' r:a='1'><r:x/></message>",
        "<message xmlns:r='urn:r' r:a='1'><r:x xmlns:r='urn:r'/></message>",
    );
    check(
        "<message xmlns:p='urn:other'><p:x/></message>",
        "<message xmlns:p='urn:other'><p:x xmlns:p='urn:other'/></message>",
    );
}

#[test]
fn the_content_namespace_is_left_to_the_stream_it_travels_on() {
    check(
        "<message xmlns='jabber:client' id='1'><body/></message>",
        "<message id='1'><body/></message>",
    );
    check(
        "<message><body xmlns='jabber:client'>x</body></message>",
        "<message><body>x</body></message>",
    );
    check(
        "<message><body a='1' xmlns='jabber&#58;client' b='2'>x</body></message>",
        "<message><body a='1' b='2'>x</body></message>",
    );
    // Both changes at one place.
    check(
        "<message><body xmlns='jabber:client' p:a='1'/></message>",
        "<message><body xmlns:p='urn:p' p:a='1'/></message>",
    );
    // Deeper it says what it says.
    check(
        "<message><f xmlns='urn:f'><message xmlns='jabber:client'/></f></message>",
        "<message><f xmlns='urn:f'><message xmlns='jabber:client'/></f></message>",
    );
}

#[test]
fn a_default_namespace_of_a_prefixed_stanza_goes_to_its_children() {
    check(
        "<c:message xmlns:c='jabber:client' xmlns='urn:x'><a/><b xmlns='jabber:client'/><d xmlns='urn:d'/></c:message>",
        "<message xmlns:c='jabber:client'><a xmlns='urn:x'/><b/><d xmlns='urn:d'/></message>",
    );
    check(
        "<c:message xmlns:c='jabber:client' xmlns=''><a/><c:body>x</c:body></c:message>",
        "<message xmlns:c='jabber:client'><a xmlns=''/><body xmlns:c='jabber:client'>x</body></message>",
    );
}

#[test]
fn prefixes_on_the_stanzas_own_children_go() {
    check(
        "<c:message xmlns:c='jabber:client' xmlns=''><c:body c:a='1' >t<b xmlns='u'><c:d/><e></e>v</b><f/>w</c:body > <g/></c:message>",
        "<message xmlns:c='jabber:client'><body xmlns:c='jabber:client' c:a='1'>t<b xmlns='u'><d xmlns='jabber:client'/><e></e>v</b>\
         <f xmlns=''/>w</body> <g xmlns=''/></message>",
    );
}

#[test]
fn an_element_that_is_no_stanza_stands_on_its_own() {
    let (frames, _) = with_prefixes("<p:x><y/></p:x>");
    match &frames[..] {
        [Frame::Element(x)] => {
            assert!(x.root().is("x", "urn:p"));
            assert_eq!(
                x.root().raw(),
                b"<p:x xmlns:p='urn:p' xmlns='jabber:client'><y/></p:x>"
            );
        }
        other => panic!("{other:?}"),
    }
    let (frames, _) = with_prefixes("<message xmlns='urn:other'/>");
    assert!(
        matches!(&frames[..], [Frame::Element(x)] if x.root().is("message", "urn:other")),
        "{frames:?}"
    );
}

#[test]
fn namespaces_written_with_references_are_understood() {
    let s = stanza("<message><x xmlns='a&amp;b'><y/></x></message>");
    assert_eq!(s.children().map(|c| c.ns()).collect::<Vec<_>>(), ["a&b"]);
    let x = s.payload().unwrap().parse();
    assert!(x.root().first_child().unwrap().is("y", "a&b"));
    let s = stanza("<message xmlns='jabber&#x3a;client' type='ch&#97;t'/>");
    assert_eq!(s.type_(), Some("chat"));
}

#[test]
fn copied_declarations_count_as_stanza_bytes() {
    let long = "x".repeat(2000);
    let limits = Limits {
        stanza_bytes: 3000,
        ..Limits::AFTER_LOGIN
    };
    let parse = |content: &str| {
        let header = HEADER.replace(" xmlns:stream", &format!(" xmlns:p='{long}' xmlns:stream"));
        parse_with(limits, format!("{header}{content}").as_bytes()).1
    };
    assert_eq!(parse("<message><p:a/></message>"), None);
    assert_eq!(
        parse("<message><p:a/><p:a/></message>"),
        Some(XmlError::Policy("stanza bytes"))
    );
}

#[test]
fn documents_stand_alone() {
    let limits = Limits::AFTER_LOGIN;
    let parse = |xml: &str| parse_document(xml.as_bytes(), "jabber:client", &limits);
    assert!(matches!(
        parse("<message xmlns='jabber:client'/>"),
        Ok(Frame::Stanza(_))
    ));
    assert!(matches!(parse("\n<iq/> "), Ok(Frame::Stanza(_))));
    assert!(matches!(
        parse("<message xmlns='jabber:server'/>"),
        Ok(Frame::Element(_))
    ));
    match parse("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org'/>") {
        Ok(Frame::Element(e)) => assert!(e.root().is("open", crate::ns::FRAMING)),
        other => panic!("{other:?}"),
    }
    for bad in [
        "",
        " ",
        "<iq/><iq/>",
        "<iq/>x",
        "x<iq/>",
        "<iq>",
        "</iq>",
        "<iq",
        "<",
        "<iq/>&#32;",
    ] {
        assert_eq!(parse(bad).err(), Some(XmlError::NotWellFormed), "{bad}");
    }
    assert_eq!(
        parse("<?xml version='1.0'?><iq/>").err(),
        Some(XmlError::Restricted)
    );
    let small = Limits {
        stanza_bytes: 5,
        ..limits
    };
    assert!(parse_document(b"<iq/>", "jabber:client", &small).is_ok());
    assert_eq!(
        parse_document(b"<iq />", "jabber:client", &small).err(),
        Some(XmlError::Policy("stanza bytes"))
    );
}
