//! Peers that lie (security.md, lines 3, 5, 10 and 11).

use std::time::Duration;

use tercet_core::{SaslFailure, StreamCondition};
use tercet_stream::s2s::{DialbackSecret, Goal, Input, S2sEnding, S2sEvent};

use super::peer::*;
use crate::support::{Split, dialogue};

#[test]
fn a_wrong_key_is_invalid_and_the_end() {
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &[], split);
        peer.recv();
        peer.send(&result("b.example", "a.example", "0123"));
        assert_eq!(
            peer.recv(),
            format!("<db:result from='a.example' to='b.example' type='invalid'/>{END}")
        );
        assert_eq!(peer.ending(), Some(S2sEnding::KeyInvalid));
        assert!(
            peer.events
                .contains(&S2sEvent::KeyInvalid(pair("a.example", "b.example")))
        );
        assert!(peer.authenticated.is_empty());
        peer.expect_silence();
    });
}

#[test]
fn a_key_of_another_stream_or_another_pair_is_worth_nothing() {
    let replayed = |make: fn(&DialbackSecret, &str) -> String| {
        dialogue(|split| {
            let mut peer = Peer::inside_tls(config(), &[], split);
            let key = make(&secret_of_b(), &peer.id());
            peer.send(&result("b.example", "a.example", &key));
            assert_eq!(peer.ending(), Some(S2sEnding::KeyInvalid));
            assert!(peer.authenticated.is_empty());
        });
    };
    replayed(|b, _| b.key("a.example", "b.example", "an-earlier-stream"));
    replayed(|b, id| b.key("a2.example", "b.example", id));
    replayed(|b, id| b.key("a.example", "b2.example", id));
    replayed(|b, id| b.key("b.example", "a.example", id));
}

#[test]
fn a_key_from_before_tls_is_worth_nothing_inside() {
    dialogue(|split| {
        let optional = config_with(|host| host.tls = tercet_stream::TlsPolicy::Optional);
        let mut peer = Peer::receiving(optional, split);
        peer.hold = true;
        peer.send(HEADER);
        peer.show_key("b.example", "a.example");
        peer.send(STARTTLS);
        let (ticket, _) = peer.held.pop_front().unwrap();
        peer.input(Input::TlsUp);
        let valid = tercet_stream::s2s::Verdict::Valid;
        peer.input(Input::Answer(
            ticket,
            tercet_stream::s2s::Answer::Key(valid),
        ));
        assert!(peer.authenticated.is_empty());
    });
}

#[test]
fn a_wrong_key_for_one_more_domain_does_not_cost_the_others_their_stream_but_not_for_ever() {
    dialogue(|split| {
        let mut peer = Peer::dialed_back(config(), split);
        for _ in 0..2 {
            peer.send(&result("c.example", "a.example", "0123"));
            assert!(
                peer.recv()
                    .contains("type='error'><error type='auth'><forbidden ")
            );
        }
        peer.send(MESSAGE);
        assert_eq!(peer.stanzas, [MESSAGE]);
        peer.send(&MESSAGE.replace("b.example", "c.example"));
        peer.expect_error(StreamCondition::InvalidFrom);

        let mut peer = Peer::dialed_back(config(), split);
        for _ in 0..3 {
            peer.send(&result("c.example", "a.example", "0123"));
        }
        assert_eq!(peer.ending(), Some(S2sEnding::KeyInvalid));
    });
}

#[test]
fn who_is_not_spoken_with_is_refused_before_anything_is_negotiated() {
    let deny = |domain: &'static str| {
        config_with(move |host| {
            let pattern = tercet_core::DomainPattern::parse(domain).unwrap();
            host.peers.deny.push(pattern);
        })
    };
    dialogue(|split| {
        let mut peer = Peer::receiving(deny("*.example"), split);
        peer.send(HEADER);
        peer.expect_error(StreamCondition::PolicyViolation);
        assert!(peer.authenticated.is_empty());
    });
    // One more domain on a stream of another is refused without harm to the first.
    dialogue(|split| {
        let mut peer = Peer::dialed_back(deny("c.example"), split);
        peer.show_key("c.example", "a.example");
        let refused = peer.recv();
        assert!(refused.contains("<policy-violation "), "{refused}");
        peer.send(MESSAGE);
        assert_eq!(peer.stanzas, [MESSAGE]);
        peer.send(&MESSAGE.replace("b.example", "c.example"));
        peer.expect_error(StreamCondition::InvalidFrom);
    });
}

#[test]
fn stanzas_come_only_from_and_to_an_authenticated_pair() {
    use StreamCondition::*;
    for (stanza, condition) in [
        (MESSAGE.replace("b.example", "c.example"), InvalidFrom),
        (MESSAGE.replace("b.example", "sub.b.example"), InvalidFrom),
        (MESSAGE.replace("b.example", "a.example"), InvalidFrom),
        (MESSAGE.replace("a.example", "a2.example"), HostUnknown),
        (
            MESSAGE.replace("a.example", "elsewhere.example"),
            HostUnknown,
        ),
        (
            MESSAGE.replace("from='x@b.example/r'", ""),
            ImproperAddressing,
        ),
        (MESSAGE.replace("to='y@a.example'", ""), ImproperAddressing),
        (
            MESSAGE.replace("x@b.example", "@b.example"),
            ImproperAddressing,
        ),
        (MESSAGE.replace("y@a.example", ""), ImproperAddressing),
        (
            MESSAGE.replace("<message", "<message xmlns='jabber:client'"),
            InvalidNamespace,
        ),
        ("<handshake/>".to_owned(), UnsupportedStanzaType),
        ("<!-- -->".to_owned(), RestrictedXml),
    ] {
        dialogue(|split| {
            let mut peer = Peer::dialed_back(config(), split);
            peer.send(&stanza);
            peer.expect_error(condition);
            assert!(peer.stanzas.is_empty());
        });
    }
}

#[test]
fn nothing_is_accepted_before_authentication() {
    for before in ["", STARTTLS] {
        dialogue(|split| {
            let mut peer = Peer::receiving(config(), split);
            peer.send(HEADER);
            peer.send(before);
            peer.send(MESSAGE);
            assert!(peer.stanzas.is_empty());
        });
    }
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &["b.example"], split);
        peer.send(MESSAGE);
        peer.expect_error(StreamCondition::NotAuthorized);
    });
    // Not while the key is being asked about, either.
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &[], split);
        peer.recv();
        peer.hold = true;
        peer.show_key("b.example", "a.example");
        peer.send(MESSAGE);
        peer.expect_error(StreamCondition::NotAuthorized);
    });
}

#[test]
fn external_is_refused_for_a_name_that_the_certificate_does_not_have() {
    // base64 of "c.example".
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &["b.example"], split);
        peer.recv();
        peer.send(&auth("Yy5leGFtcGxl"));
        assert!(peer.recv().contains("<invalid-authzid/></failure>"));
        assert_eq!(
            peer.events,
            [S2sEvent::SaslFailed(Some(SaslFailure::InvalidAuthzid))]
        );
        assert!(peer.authenticated.is_empty());
    });
    // It was not offered.
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &["c.example"], split);
        peer.recv();
        for failure in ["<not-authorized/>", "<not-authorized/>"] {
            peer.send(&auth("Yi5leGFtcGxl"));
            assert!(peer.recv().contains(failure));
        }
        peer.send(&auth("="));
        peer.expect_error(StreamCondition::PolicyViolation);
        assert!(peer.authenticated.is_empty());
    });
    for (message, failure) in [
        ("!!!", "<incorrect-encoding/>"),
        ("/w==", "<malformed-request/>"),
        ("eEBiLmV4YW1wbGU=", "<invalid-authzid/>"),
    ] {
        let mut peer = Peer::inside_tls(config(), &["b.example"], Split::Whole);
        peer.recv();
        peer.send(&auth(message));
        assert!(peer.recv().contains(failure), "{message}");
    }
}

#[test]
fn dialback_after_a_failed_external_is_still_dialback() {
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &["c.example"], split);
        peer.send(&auth("="));
        peer.show_key("b.example", "a.example");
        assert_eq!(peer.authenticated, ["a.example and b.example by Dialback"]);
    });
    dialogue(|split| {
        let strict = config_with(|host| host.require_certificate = true);
        let mut peer = Peer::inside_tls(strict, &["c.example"], split);
        peer.send(&auth("="));
        peer.recv();
        peer.show_key("b.example", "a.example");
        assert!(
            peer.recv()
                .contains("<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>")
        );
        assert!(peer.authenticated.is_empty());
    });
}

/// The attacks of 2012 (XEP-0220 §4): answers to questions that nobody asked.
#[test]
fn answers_that_nobody_asked_for_count_for_nothing() {
    let unsolicited = [
        "<db:result from='b.example' to='a.example' type='valid'/>",
        "<db:verify from='b.example' to='a.example' id='id-of-b' type='valid'/>",
        "<db:result from='b.example' to='a.example' type='invalid'/>",
    ];
    for answer in unsolicited {
        dialogue(|split| {
            for bidi in ["", "<bidi xmlns='urn:xmpp:bidi'/>"] {
                let mut peer = Peer::inside_tls(config(), &[], split);
                peer.send(bidi);
                peer.send(answer);
                assert_eq!(peer.events, [S2sEvent::Unsolicited]);
                assert!(peer.authenticated.is_empty() && peer.authorized.is_empty());
                peer.recv();
                peer.send(MESSAGE);
                peer.expect_error(StreamCondition::NotAuthorized);
            }
        });
    }
    // Nor do answers for another pair, or another id, than that which was asked about.
    dialogue(|split| {
        let ab = pair("a.example", "b.example");
        let mut peer = Peer::initiating(lab(), ab.clone(), Goal::Stanzas, split);
        peer.send(ANSWER);
        peer.send("<stream:features/>");
        peer.input(Input::Verify(tercet_stream::s2s::KeyClaim {
            pair: ab,
            id: "7".into(),
            key: "k".into(),
        }));
        for answer in [
            "<db:result from='c.example' to='a.example' type='valid'/>",
            "<db:result from='b.example' to='a2.example' type='valid'/>",
            "<db:verify from='b.example' to='a.example' id='8' type='valid'/>",
            "<db:verify from='b2.example' to='a.example' id='7' type='valid'/>",
        ] {
            peer.send(answer);
        }
        assert_eq!(
            peer.events,
            [
                S2sEvent::Unsolicited,
                S2sEvent::Unsolicited,
                S2sEvent::Unsolicited,
                S2sEvent::Unsolicited
            ]
        );
        assert!(peer.authorized.is_empty() && peer.verified.is_empty());
    });
}

#[test]
fn whom_we_have_connected_to_sends_nothing_back_without_an_agreement() {
    dialogue(|split| {
        let mut peer =
            Peer::initiating(lab(), pair("a.example", "b.example"), Goal::Stanzas, split);
        peer.send(ANSWER);
        peer.send("<stream:features/>");
        peer.send("<db:result from='b.example' to='a.example' type='valid'/>");
        assert_eq!(peer.authorized, ["a.example and b.example by Dialback"]);
        peer.recv();
        peer.send(MESSAGE);
        peer.expect_error(StreamCondition::NotAuthorized);
    });
}

#[test]
fn bytes_from_before_a_layer_are_never_read_inside_it() {
    let injected = format!("{STARTTLS}{HEADER}");
    dialogue(|split| {
        let mut peer = Peer::receiving(config(), split);
        peer.send(HEADER);
        peer.recv();
        peer.send(&injected);
        let text = peer.recv();
        if peer.closed {
            assert!(text.contains("<policy-violation "), "{text}");
            assert!(!peer.tls_wanted);
        } else {
            assert_eq!(text, PROCEED);
            peer.input(Input::TlsUp);
            assert_eq!(peer.recv(), "");
        }
        assert!(peer.asked.is_empty());
    });
    let injected = format!("{PROCEED}{ANSWER}<stream:features/>");
    dialogue(|split| {
        let mut peer = Peer::initiating(
            config(),
            pair("a.example", "b.example"),
            Goal::Stanzas,
            split,
        );
        peer.send(ANSWER);
        peer.send(&format!("<stream:features>{STARTTLS}</stream:features>"));
        peer.recv();
        peer.send(&injected);
        if peer.closed {
            assert!(peer.recv().contains("<policy-violation "));
        } else {
            peer.input(Input::TlsUp);
            // Only our header is there, and nothing of what came too early is answered.
            let text = peer.recv();
            assert!(
                text.contains("<stream:stream") && !text.contains("db:result"),
                "{text}"
            );
        }
    });
    let early = format!("{}{HEADER}", auth("="));
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &["b.example"], split);
        peer.recv();
        peer.send(&early);
        if peer.closed {
            assert!(peer.recv().contains("<policy-violation "));
            assert!(peer.authenticated.is_empty());
        }
    });
}

#[test]
fn a_flood_of_questions_about_keys_meets_a_bound() {
    let mut peer = Peer::inside_tls(config(), &[], Split::Whole);
    let verify = "<db:verify from='b.example' to='a.example' id='1'>k</db:verify>";
    for _ in 0..2 {
        for _ in 0..120 {
            peer.send(verify);
        }
        assert_eq!(peer.ending(), None);
        peer.now += Duration::from_secs(60);
    }
    for _ in 0..120 {
        peer.send(verify);
    }
    peer.recv();
    peer.send(verify);
    peer.expect_error(StreamCondition::PolicyViolation);
}

#[test]
fn pairs_of_one_stream_and_keys_under_way_are_bounded() {
    let mut config = config();
    config.max_pairs = 2;
    config.max_pending = 3;
    let mut peer = Peer::dialed_back(config, Split::Whole);
    peer.hold = true;
    for n in 0..3 {
        peer.show_key(&format!("n{n}.example"), "a.example");
    }
    assert_eq!((peer.recv().as_str(), peer.held.len()), ("", 3));
    peer.show_key("n0.example", "a.example");
    assert!(peer.recv().contains("<unexpected-request "));
    peer.show_key("n3.example", "a.example");
    assert!(peer.recv().contains("<resource-constraint "));
    peer.answer_with(tercet_stream::s2s::Answer::Certificate(true));
    peer.recv();
    peer.show_key("n4.example", "a.example");
    assert!(peer.recv().contains("<resource-constraint "));
    assert_eq!(peer.authenticated.len(), 2);
    peer.send(MESSAGE);
    assert_eq!(peer.stanzas, [MESSAGE]);
}

#[test]
fn what_comes_while_the_certificate_is_judged_is_kept_within_a_bound() {
    let mut peer = Peer::receiving(config(), Split::Whole);
    peer.hold = true;
    peer.input(Input::TlsUp);
    peer.send(HEADER);
    peer.send(&"<x>".repeat(3000));
    assert_eq!(peer.ending(), None);
    peer.send(&"<x>".repeat(3000));
    peer.expect_error(StreamCondition::PolicyViolation);
}
