//! Stanzas: what is relayed means exactly what was sent, whoever it is addressed to and however often.

use tercet_core::{Frame, Head, Limits, Stanza, ns, parse_document};

use super::same;
use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "stanza",
    run,
    dictionary: &[
        "<message",
        "<presence",
        "<iq",
        "/>",
        "</message>",
        " to='a@b'",
        " from='a@b/c'",
        " type='chat'",
        " type='error'",
        " id='1'",
        " xml:lang='de'",
        " xmlns='jabber:client'",
        " xmlns='urn:x'",
        " xmlns:p='urn:x'",
        "<p:x/>",
        "<x xmlns=''/>",
        "<![CDATA[",
        "]]>",
        "&amp;",
        "&#13;",
        "&#x9;",
        "\r\n",
        "<body>",
        "</body>",
        "p:a='1'",
        "\"",
        "'",
    ],
};

/// Wide enough for an accepted stanza with a longer head.
const WIDE: Limits = Limits {
    stanza_bytes: 2 * 1024 * 1024,
    depth: 1024,
    attributes: 1024,
    children: u32::MAX,
    name_bytes: u16::MAX,
    namespaces: 1024,
};

fn run(data: &[u8]) {
    let Ok(stanza) = Stanza::parse(data) else {
        return;
    };
    let mut once = Vec::new();
    stanza.write(&mut once, head("romeo@montague.example/orchard"));
    let relayed = parse(&once);
    same::stanzas(&stanza, &relayed);
    let sender = relayed
        .from()
        .ok()
        .flatten()
        .map(|jid| jid.as_str().to_owned());
    assert_eq!(
        sender.as_deref(),
        Some("romeo@montague.example/orchard"),
        "the sender is the server's word"
    );

    let mut twice = Vec::new();
    relayed.write(&mut twice, head("a@b"));
    let again = parse(&twice);
    same::stanzas(&stanza, &again);
    assert_eq!(
        relayed.content(),
        again.content(),
        "the content is copied as it came"
    );

    let shared = stanza.share(Some("romeo@montague.example/orchard"), None);
    let mut fanned = Vec::new();
    shared.write(&mut fanned, Some("juliet@capulet.example"));
    same::stanzas(&stanza, &parse(&fanned));
}

fn head(from: &str) -> Head<'_> {
    Head {
        from: Some(from),
        to: Some("juliet@capulet.example/balcony"),
        lang: None,
        xmlns: Some(ns::CLIENT),
    }
}

fn parse(bytes: &[u8]) -> Stanza {
    match parse_document(bytes, ns::CLIENT, &WIDE) {
        Ok(Frame::Stanza(stanza)) => stanza,
        other => panic!(
            "a written stanza is a stanza: {other:?}\n{}",
            String::from_utf8_lossy(bytes)
        ),
    }
}
