//! What the stream announces is what service discovery tells (XEP-0115 §5.4).

use tercet_core::OwnedElement;
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::InProcess;

#[test]
fn the_node_in_the_stream_features_is_answered_like_the_host() {
    let romeo = Client {
        name: "Romeo".into(),
        jid: "romeo@localhost".into(),
        password: "password".into(),
        resource: Some("orchard".into()),
    };
    let mut server = InProcess::new(std::slice::from_ref(&romeo));
    server
        .configure("contact = { abuse = ['mailto:abuse@shakespeare.lit'] }")
        .unwrap();
    server.connect(&romeo).unwrap();

    let features = server.host().stream_features();
    let wrapped = [b"<features>", features.as_slice(), b"</features>"].concat();
    let features = OwnedElement::parse(&wrapped, "").unwrap();
    let caps = features
        .root()
        .child("c", "http://jabber.org/protocol/caps")
        .unwrap();
    assert_eq!(caps.attr("hash").as_deref(), Some("sha-1"));
    let node = format!(
        "{}#{}",
        caps.attr("node").unwrap(),
        caps.attr("ver").unwrap()
    );

    let mut ask = |node: &str| {
        let query = format!("<query xmlns='http://jabber.org/protocol/disco#info'{node}/>");
        let request = format!("<iq type='get' id='d' to='localhost'>{query}</iq>");
        server.send("Romeo", &request).unwrap();
        match server.receive("Romeo").unwrap() {
            Arrival::Element(answer) => answer,
            other => panic!("{request} is answered with {other:?}"),
        }
    };
    // XEP-0390 §5.5
    let second = features.root().child("c", "urn:xmpp:caps").unwrap();
    let hashes = second.children().map(|hash| {
        let algo = hash.attr("algo").unwrap().into_owned();
        format!("urn:xmpp:caps#{algo}.{}", hash.text())
    });
    let mut nodes: Vec<String> = hashes.collect();
    assert_eq!(nodes.len(), 2, "SHA-256 and SHA3-256");
    nodes.push(node);
    let plain = ask("");
    for node in nodes {
        let with_node = format!(" node='{node}'");
        let named = ask(&with_node);
        assert!(named.contains(&with_node), "{named}");
        assert_eq!(plain, named.replace(&with_node, ""));
    }
    assert!(ask(" node='urn:xmpp:caps#sha-256.AAAA'").contains("<item-not-found"));
    // RFC 6121 §2.6.1, §3.4
    for (name, ns) in [
        ("ver", "urn:xmpp:features:rosterver"),
        ("sub", "urn:xmpp:features:pre-approval"),
    ] {
        assert!(features.root().child(name, ns).is_some(), "{ns}");
    }
}
