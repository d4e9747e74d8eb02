//! Stream headers (RFC 6120 §4.7, §4.8).

use tercet_core::StreamCondition::*;
use tercet_stream::{C2sConfig, HostConfig};

use crate::support::*;

fn header(attributes: &str) -> String {
    format!("<stream:stream xmlns:stream='http://etherx.jabber.org/streams' {attributes}>")
}

fn two_hosts() -> C2sConfig {
    C2sConfig::new(HostConfig::new(HOST), [HostConfig::new("example.net")])
}

#[test]
fn a_header_that_is_refused_is_answered_by_a_header_and_the_error() {
    for (attributes, condition) in [
        ("to='im.example.com' version='1.0'", InvalidNamespace),
        (
            "xmlns='jabber:server' to='im.example.com' version='1.0'",
            InvalidNamespace,
        ),
        (
            "xmlns='jabber:client' to='example.org' version='1.0'",
            HostUnknown,
        ),
        (
            "xmlns='jabber:client' to='juliet@im.example.com' version='1.0'",
            HostUnknown,
        ),
        (
            "xmlns='jabber:client' to='im.example.com/x' version='1.0'",
            HostUnknown,
        ),
        ("xmlns='jabber:client' to='' version='1.0'", HostUnknown),
        ("xmlns='jabber:client' to='a b' version='1.0'", HostUnknown),
        ("xmlns='jabber:client' version='1.0'", ImproperAddressing),
        (
            "xmlns='jabber:client' to='im.example.com'",
            UnsupportedVersion,
        ),
        (
            "xmlns='jabber:client' to='im.example.com' version='0.9'",
            UnsupportedVersion,
        ),
        (
            "xmlns='jabber:client' to='im.example.com' version='x'",
            UnsupportedVersion,
        ),
        // the first fault counts
        ("xmlns='jabber:server' to='example.org'", InvalidNamespace),
        ("xmlns='jabber:client' to='example.org'", HostUnknown),
    ] {
        dialogue(|split| {
            let mut client = Client::new(two_hosts(), split);
            client.send(&header(attributes));
            let text = client.recv();
            assert!(
                text.starts_with(
                    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                     xmlns:stream='http://etherx.jabber.org/streams' from='im.example.com'"
                ),
                "{text}"
            );
            assert_eq!(text.matches("<stream:stream ").count(), 1, "{text}");
            assert!(text.contains(&error(condition)), "{attributes}: {text}");
            assert!(text.ends_with("</stream:error></stream:stream>"), "{text}");
            client.expect_silence();
        });
    }
}

#[test]
fn a_wrong_namespace_of_the_stream_itself_is_refused() {
    dialogue(|split| {
        let mut client = Client::new(config(), split);
        client.send(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://example.org/streams' \
             to='im.example.com' version='1.0'>",
        );
        client.expect_error(InvalidNamespace);
    });
}

#[test]
fn the_host_is_found_by_its_normalised_name_and_assumed_if_there_is_one_only() {
    for attributes in ["to='IM.Example.COM'", "to='im.example.com.'", ""] {
        let mut client = Client::new(config(), Split::Bytes);
        client.send(&header(&format!(
            "xmlns='jabber:client' version='1.0' {attributes}"
        )));
        let text = client.recv();
        assert!(text.contains("<stream:features>"), "{attributes}: {text}");
    }
}

#[test]
fn each_host_answers_by_its_own_name() {
    let mut client = Client::new(two_hosts(), Split::Whole);
    client.send(&header(
        "xmlns='jabber:client' to='example.net' version='1.0'",
    ));
    assert!(client.recv().contains(" from='example.net' "));
}

#[test]
fn versions_above_ours_are_answered_by_ours() {
    let mut client = Client::new(config(), Split::Whole);
    client.send(&header(
        "xmlns='jabber:client' to='im.example.com' version='2.1'",
    ));
    let text = client.recv();
    assert!(text.contains(" version='1.0' "), "{text}");
    assert!(text.contains("<stream:features>"), "{text}");
}

#[test]
fn a_header_without_a_version_is_answered_by_one_without() {
    let mut client = Client::new(config(), Split::Whole);
    client.send(&header("xmlns='jabber:client' to='im.example.com'"));
    let text = client.recv();
    assert!(!text.contains(" version='1.0' "), "{text}");
}

#[test]
fn another_host_cannot_be_named_later_on_the_same_stream() {
    dialogue(|split| {
        let mut client = Client::new(
            C2sConfig::new(
                HostConfig {
                    tls: tercet_stream::TlsPolicy::Absent,
                    ..HostConfig::new(HOST)
                },
                [HostConfig::new("example.net")],
            ),
            split,
        );
        client.send(HEADER);
        client.send(&auth("PLAIN", &format!("\0juliet\0{PASSWORD}")));
        client.send(&header(
            "xmlns='jabber:client' to='example.net' version='1.0'",
        ));
        client.expect_error(HostUnknown);
    });
}

#[test]
fn stream_ids_differ_and_do_not_repeat() {
    let mut ids = std::collections::HashSet::new();
    let mut client = Client::new(lab(), Split::Whole);
    client.send(HEADER);
    client.send(&auth("PLAIN", &format!("\0juliet\0{PASSWORD}")));
    client.send(HEADER);
    let mut take = |text: &str| {
        for part in text.split(" id='").skip(1) {
            let id = part.split('\'').next().unwrap();
            assert_eq!(id.len(), 24);
            assert!(ids.insert(id.to_owned()));
        }
    };
    take(&client.raw());
    let seed = [8; 32];
    let mut other = tercet_stream::C2sStream::new(
        std::sync::Arc::new(lab()),
        tercet_stream::Framing::Tcp,
        client.now,
        seed,
    );
    other.handle(client.now, tercet_stream::Input::Bytes(HEADER.as_bytes()));
    let Some(tercet_stream::Output::Write(bytes)) = other.poll_output() else {
        panic!("nothing written")
    };
    take(&String::from_utf8(bytes).unwrap());
    assert_eq!(ids.len(), 3);
}

#[test]
fn what_is_answered_to_a_client_that_says_who_it_is_is_escaped() {
    let mut client = Client::new(config(), Split::Whole);
    client.send(&header(
        "xmlns='jabber:client' to='im.example.com' version='1.0' from='x&apos;&lt;@a'",
    ));
    let text = client.recv();
    assert!(!text.contains("x'"), "{text}");
    assert!(text.contains("<stream:features>"), "{text}");
}
