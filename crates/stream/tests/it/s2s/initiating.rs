//! Streams to other servers: what is chosen of what they offer.

use std::time::Duration;

use tercet_core::{Condition, SaslFailure, StreamCondition};
use tercet_stream::s2s::{
    DialbackSecret, Goal, Input, KeyClaim, Refusal, S2sConfig, S2sEnding, Verdict,
};

use super::peer::*;
use crate::support::{Split, dialogue};

const EXTERNAL: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
const ERRORS: &str = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>\
    <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>5000</max-bytes></limits></stream:features>";

fn start(config: S2sConfig, split: Split) -> Peer {
    Peer::initiating(config, pair("a.example", "b.example"), Goal::Stanzas, split)
}

/// Inside TLS with a peer whose certificate proves these domains.
fn inside_tls(config: S2sConfig, certificate: &[&'static str], split: Split) -> Peer {
    let mut peer = start(config, split);
    peer.certificate = certificate.to_vec();
    peer.send(ANSWER);
    peer.send(&format!("<stream:features>{STARTTLS}</stream:features>"));
    assert!(peer.recv().ends_with(STARTTLS));
    peer.send(PROCEED);
    assert!(peer.tls_wanted);
    peer.input(Input::TlsUp);
    peer
}

#[test]
fn the_way_by_certificate() {
    dialogue(|split| {
        let mut peer = inside_tls(config(), &["b.example"], split);
        assert!(
            peer.recv()
                .ends_with(" from='a.example' to='b.example' version='1.0' xml:lang='en'>")
        );
        peer.send(ANSWER);
        peer.send(EXTERNAL);
        // base64 of "a.example".
        assert_eq!(peer.recv(), auth("YS5leGFtcGxl"));
        peer.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        assert!(peer.recv().contains("<stream:stream"));
        assert!(peer.authorized.is_empty());
        peer.send(ANSWER);
        peer.send(ERRORS);
        assert_eq!(peer.authorized, ["a.example and b.example by Certificate"]);
        assert_eq!(peer.stream.peer_limit(), Some(5000));
    });
}

#[test]
fn the_way_by_dialback() {
    let key = DialbackSecret::new(b"secret of a").key("b.example", "a.example", "id-of-b");
    dialogue(|split| {
        let mut peer = inside_tls(config(), &[], split);
        peer.recv();
        peer.send(ANSWER);
        peer.send(ERRORS);
        assert_eq!(peer.recv(), result("a.example", "b.example", &key));
        assert!(peer.authorized.is_empty());
        peer.send("<db:result from='b.example' to='a.example' type='valid'/>");
        assert_eq!(peer.authorized, ["a.example and b.example by Dialback"]);
    });
}

#[test]
fn dialback_comes_when_external_fails() {
    let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
    dialogue(|split| {
        let mut peer = inside_tls(config(), &[], split);
        peer.send(ANSWER);
        peer.send(EXTERNAL);
        peer.recv();
        peer.send(failure);
        assert!(
            peer.recv()
                .starts_with("<db:result from='a.example' to='b.example'>")
        );
    });
    dialogue(|split| {
        let mut peer = inside_tls(config(), &[], split);
        peer.send(&ANSWER.replace(" xmlns:db='jabber:server:dialback'", ""));
        peer.send(EXTERNAL);
        peer.recv();
        peer.send(failure);
        let refusal = Refusal::Sasl(Some(SaslFailure::NotAuthorized));
        assert_eq!(peer.refused[0].1, refusal);
        assert_eq!(peer.ending(), Some(S2sEnding::Refused(refusal)));
        assert_eq!(peer.recv(), END);
    });
}

#[test]
fn what_the_peer_says_of_our_key_is_told() {
    let error = |error: &str| {
        format!("<db:result from='b.example' to='a.example' type='error'>{error}</db:result>")
    };
    for (answer, refusal) in [
        (
            "<db:result from='b.example' to='a.example' type='invalid'/>".to_owned(),
            Refusal::Invalid,
        ),
        (
            error(
                "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>who?</text></error>",
            ),
            Refusal::Error(Some(Condition::ItemNotFound), Some("who?".into())),
        ),
        (error(""), Refusal::Error(None, None)),
    ] {
        dialogue(|split| {
            let mut peer = inside_tls(config(), &[], split);
            peer.send(ANSWER);
            peer.send(ERRORS);
            peer.send(&answer);
            assert_eq!(
                peer.refused,
                [("a.example and b.example".to_owned(), refusal.clone())]
            );
            assert!(peer.authorized.is_empty());
        });
    }
}

#[test]
fn nothing_goes_to_a_peer_without_the_tls_that_we_require() {
    dialogue(|split| {
        let mut peer = start(config(), split);
        peer.send(ANSWER);
        peer.recv();
        peer.send(ERRORS);
        assert_eq!(peer.recv(), END);
        assert_eq!(peer.ending(), Some(S2sEnding::TlsMissing));
    });
    dialogue(|split| {
        let mut peer = start(config(), split);
        peer.send(ANSWER);
        peer.send(&format!("<stream:features>{STARTTLS}</stream:features>"));
        peer.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert_eq!(peer.ending(), Some(S2sEnding::TlsRefused));
    });
    dialogue(|split| {
        let strict = config_with(|host| host.require_certificate = true);
        let mut peer = inside_tls(strict, &["c.example"], split);
        assert_eq!(peer.recv(), "");
        assert_eq!(peer.ending(), Some(S2sEnding::Untrusted));
        assert!(peer.closed);
    });
}

#[test]
fn headers_of_somebody_else_end_the_stream() {
    use StreamCondition::*;
    for (header, condition) in [
        (
            ANSWER.replace("from='b.example'", "from='c.example'"),
            InvalidFrom,
        ),
        (ANSWER.replace("version='1.0'>", ">"), UnsupportedVersion),
        (
            ANSWER.replace("jabber:server'", "jabber:client'"),
            InvalidNamespace,
        ),
        (
            format!("{}<stream:features/>", ANSWER.replace("id='id-of-b'", "")),
            BadFormat,
        ),
        (format!("{ANSWER}{MESSAGE}"), NotAuthorized),
        (format!("{ANSWER}{PROCEED}"), UnsupportedStanzaType),
    ] {
        dialogue(|split| {
            let mut peer = start(config(), split);
            peer.recv();
            peer.send(&header);
            peer.expect_error(condition);
        });
    }
}

#[test]
fn the_peers_error_and_its_text_are_told() {
    let error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
        <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>gone fishing</text></stream:error></stream:stream>";
    dialogue(|split| {
        let mut peer = start(config(), split);
        peer.recv();
        peer.send(&format!("{ANSWER}{error}"));
        let text = Some("gone fishing".into());
        let ending = S2sEnding::PeerError(Some(StreamCondition::HostUnknown), text);
        assert_eq!(peer.ending(), Some(ending));
        assert_eq!(peer.recv(), END);
        peer.expect_silence();
    });
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut peer = start(config(), Split::Whole);
    peer.recv();
    peer.wait(Duration::from_secs(30));
    peer.expect_error(StreamCondition::ConnectionTimeout);
}

#[test]
fn questions_about_keys_wait_until_the_stream_is_ready_and_need_no_authentication() {
    let claim = KeyClaim {
        pair: pair("a.example", "b.example"),
        id: "our'stream".into(),
        key: "k".into(),
    };
    dialogue(|split| {
        let mut peer = Peer::initiating(
            lab(),
            pair("a.example", "b.example"),
            Goal::Verification,
            split,
        );
        peer.recv();
        peer.input(Input::Verify(claim.clone()));
        peer.send(ANSWER);
        assert_eq!(peer.recv(), "");
        peer.send("<stream:features/>");
        assert_eq!(
            peer.recv(),
            "<db:verify from='a.example' to='b.example' id='our&apos;stream'>k</db:verify>"
        );
        peer.send("<db:verify from='b.example' to='a.example' id='our&apos;stream' type='valid'/>");
        assert_eq!(peer.verified, [(claim.clone(), Verdict::Valid)]);
        peer.input(Input::Verify(claim.clone()));
        peer.send("<db:verify from='b.example' to='a.example' id=\"our'stream\" type='error'/>");
        assert!(matches!(peer.verified[1].1, Verdict::Unknown(_)));
    });
}

#[test]
fn other_targets_are_tried_only_where_errors_do_not_end_the_stream() {
    for (features, refused) in [("<stream:features/>", true), (ERRORS, false)] {
        dialogue(|split| {
            let mut peer = start(lab(), split);
            peer.send(ANSWER);
            peer.send(features);
            peer.recv();
            peer.input(Input::Authenticate(pair("a2.example", "b.example")));
            assert!(
                peer.recv()
                    .starts_with("<db:result from='a2.example' to='b.example'>")
            );
            peer.input(Input::Authenticate(pair("a.example", "b2.example")));
            let sent = peer
                .recv()
                .starts_with("<db:result from='a.example' to='b2.example'>");
            assert_eq!((sent, peer.refused.len()), (!refused, usize::from(refused)));
            peer.send("<db:result from='b.example' to='a2.example' type='valid'/>");
            assert_eq!(peer.authorized, ["a2.example and b.example by Dialback"]);
        });
    }
}

#[test]
fn direct_tls_says_nothing_before_its_handshake() {
    let mut stream = tercet_stream::s2s::S2sStream::initiating(
        std::sync::Arc::new(config()),
        pair("a.example", "b.example"),
        Goal::Stanzas,
        true,
        std::time::Instant::now(),
        [1; 32],
    );
    assert!(stream.poll_output().is_none());
}
