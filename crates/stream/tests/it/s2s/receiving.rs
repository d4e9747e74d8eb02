//! Streams that other servers open: headers, features, authentication.

use std::time::Duration;

use tercet_core::StreamCondition;
use tercet_stream::TlsPolicy;
use tercet_stream::s2s::{Answer, Input, S2sEnding, Verdict};

use super::peer::*;
use crate::support::{Split, dialogue};

#[test]
fn a_header_is_answered_with_an_id_both_names_and_features() {
    dialogue(|split| {
        let mut peer = Peer::receiving(config(), split);
        peer.send(HEADER);
        let id = peer.id();
        assert_eq!(id.len(), 24);
        assert_eq!(
            peer.recv(),
            format!(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
                 xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
                 id='{id}' from='a.example' to='b.example' version='1.0' xml:lang='en'>\
                 <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
                 <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes>\
                 <idle-seconds>7200</idle-seconds></limits></stream:features>"
            )
        );
    });
}

#[test]
fn external_is_offered_only_if_the_certificate_proves_the_domain_of_the_header() {
    for (certificate, offered) in [
        (&["b.example"][..], true),
        (&["c.example"][..], false),
        (&[][..], false),
    ] {
        dialogue(|split| {
            let mut peer = Peer::inside_tls(config(), certificate, split);
            let text = peer.recv();
            assert_eq!(text.contains("<mechanism>EXTERNAL</mechanism>"), offered);
            assert!(text.contains("<dialback xmlns='urn:xmpp:features:dialback'><errors/>"));
            assert!(text.contains("<bidi xmlns='urn:xmpp:features:bidi'/>"));
            assert!(!text.contains("starttls"));
            // Behind SASL there are features again, behind dialback there are not.
            assert_eq!(text.contains("<sm xmlns='urn:xmpp:sm:3'/>"), !offered);
        });
    }
}

#[test]
fn a_peer_with_a_certificate_logs_in_and_its_stanzas_come_through() {
    // With its name, with none, and in two steps.
    for steps in [
        &[auth("Yi5leGFtcGxl")][..],
        &[auth("=")][..],
        &[
            auth(""),
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned(),
        ][..],
    ] {
        dialogue(|split| {
            let mut peer = Peer::inside_tls(config(), &["b.example"], split);
            peer.recv();
            for step in steps {
                peer.send(step);
            }
            let text = peer.recv();
            assert!(text.ends_with("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"));
            assert!(peer.authenticated.is_empty());
            peer.send(HEADER);
            let text = peer.recv();
            assert!(text.contains("<sm xmlns='urn:xmpp:sm:3'/>"), "{text}");
            assert!(text.contains("<max-bytes>262144</max-bytes>"), "{text}");
            assert_eq!(
                peer.authenticated,
                ["a.example and b.example by Certificate"]
            );
            peer.send(MESSAGE);
            assert_eq!(peer.stanzas, [MESSAGE]);
            peer.send(END);
            assert_eq!(peer.recv(), END);
            assert_eq!(peer.ending(), Some(S2sEnding::ByPeer));
            peer.expect_silence();
        });
    }
}

#[test]
fn a_key_that_its_domain_knows_is_valid() {
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &[], split);
        peer.recv();
        peer.show_key("b.example", "a.example");
        let valid = "<db:result from='a.example' to='b.example' type='valid'/>";
        assert_eq!(peer.recv(), valid);
        assert_eq!(peer.authenticated, ["a.example and b.example by Dialback"]);
        peer.send(MESSAGE);
        assert_eq!(peer.stanzas, [MESSAGE]);
        // Once and for all.
        let asked = peer.asked.len();
        peer.send(&result("b.example", "a.example", "whatever"));
        assert_eq!((peer.recv().as_str(), peer.asked.len()), (valid, asked));
    });
}

#[test]
fn what_an_authenticated_peer_may_send_is_more_than_before() {
    let body = "x".repeat(20_000);
    let long = format!("<message from='b.example' to='a.example'><body>{body}</body></message>");
    let mut peer = Peer::dialed_back(config(), Split::Whole);
    peer.send(&long);
    assert_eq!(peer.stanzas.len(), 1);
    let mut peer = Peer::inside_tls(config(), &[], Split::Whole);
    peer.send(&long);
    peer.expect_error(StreamCondition::PolicyViolation);
}

#[test]
fn a_certificate_makes_dialing_back_needless() {
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &["b.example"], split);
        peer.recv();
        peer.send(&result("b.example", "a.example", "whatever"));
        assert!(peer.recv().contains("type='valid'"));
        assert_eq!(
            peer.authenticated,
            ["a.example and b.example by Certificate"]
        );
    });
}

#[test]
fn several_pairs_of_domains_share_a_stream_and_do_not_wait_for_each_other() {
    dialogue(|split| {
        let mut peer = Peer::dialed_back(config(), split);
        peer.hold = true;
        peer.show_key("b2.example", "a.example");
        peer.show_key("b.example", "a2.example");
        peer.send(MESSAGE);
        assert_eq!(peer.stanzas, [MESSAGE]);
        // The certificates of both say nothing; the keys are asked about.
        peer.answer_with(Answer::Certificate(false));
        peer.answer_with(Answer::Certificate(false));
        peer.answer_with(Answer::Key(Verdict::Valid));
        peer.answer_with(Answer::Key(Verdict::Valid));
        assert_eq!(
            peer.authenticated[1..],
            [
                "a.example and b2.example by Dialback",
                "a2.example and b.example by Dialback"
            ]
        );
        let other = MESSAGE.replace("a.example", "a2.example");
        peer.send(&other);
        assert_eq!(peer.stanzas.len(), 2);
    });
}

#[test]
fn what_can_not_be_granted_is_an_error_of_dialback_and_the_stream_goes_on() {
    let tls = config;
    let strict = || config_with(|host| host.require_certificate = true);
    let check = |config: fn() -> _, from: &str, to: &str, condition: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        dialogue(move |split| {
            let mut peer = Peer::inside_tls(config(), &[], split);
            peer.recv();
            peer.show_key(&from, &to);
            let text = peer.recv();
            let start = format!("<db:result from='{to}' to='{from}' type='error'><error type='");
            assert!(text.starts_with(&start), "{text}");
            assert!(text.contains(&format!("<{condition} xmlns=")), "{text}");
            assert!(peer.authenticated.is_empty());
            assert_eq!(peer.ending(), None);
            peer.send(MESSAGE);
            peer.expect_error(StreamCondition::NotAuthorized);
        });
    };
    check(tls, "b.example", "elsewhere.example", "item-not-found");
    check(tls, "a2.example", "a.example", "forbidden");
    check(strict, "b.example", "a.example", "not-authorized");
    // Before TLS, where that is required.
    dialogue(|split| {
        let mut peer = Peer::receiving(config(), split);
        peer.send(HEADER);
        peer.show_key("b.example", "a.example");
        assert!(peer.recv().contains("<policy-violation xmlns="));
        assert!(peer.asked.is_empty());
    });
}

#[test]
fn a_host_that_requires_certificates_offers_no_dialback() {
    dialogue(|split| {
        let strict = config_with(|host| host.require_certificate = true);
        let mut peer = Peer::inside_tls(strict, &["b.example"], split);
        let text = peer.recv();
        assert!(!text.contains("urn:xmpp:features:dialback"), "{text}");
        assert!(text.contains("EXTERNAL"), "{text}");
    });
}

#[test]
fn keys_of_ours_are_known_and_others_are_not() {
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &[], split);
        peer.recv();
        let key = tercet_stream::s2s::DialbackSecret::new(b"secret of a").key(
            "b.example",
            "a.example",
            "x&y",
        );
        let verify = |to: &str, id: &str, key: &str| {
            format!("<db:verify from='b.example' to='{to}' id='{id}'>{key}</db:verify>")
        };
        peer.send(&verify("a.example", "x&amp;y", &key));
        assert_eq!(
            peer.recv(),
            "<db:verify from='a.example' to='b.example' id='x&amp;y' type='valid'/>"
        );
        for (to, id, key) in [
            ("a.example", "another", key.as_str()),
            ("a2.example", "x&amp;y", &key),
            ("a.example", "x&amp;y", "made up"),
        ] {
            peer.send(&verify(to, id, key));
            assert!(peer.recv().ends_with(" type='invalid'/>"));
        }
        peer.send(&verify("elsewhere.example", "x", &key));
        assert!(peer.recv().contains("<item-not-found xmlns="));
        assert_eq!(peer.ending(), None);
    });
}

#[test]
fn headers_that_are_not_right_end_the_stream() {
    use StreamCondition::*;
    for (attributes, condition) in [
        ("from='b.example' version='1.0'", ImproperAddressing),
        ("to='a.example' version='1.0'", ImproperAddressing),
        ("from='' to='a.example' version='1.0'", ImproperAddressing),
        (
            "from='x@b.example' to='a.example' version='1.0'",
            ImproperAddressing,
        ),
        (
            "from='b.example' to='elsewhere.example' version='1.0'",
            HostUnknown,
        ),
        (
            "from='a2.example' to='a.example' version='1.0'",
            InvalidFrom,
        ),
        ("from='a.example' to='a.example' version='1.0'", InvalidFrom),
        ("from='b.example' to='a.example'", UnsupportedVersion),
        (
            "from='b.example' to='a.example' version='0.9'",
            UnsupportedVersion,
        ),
    ] {
        dialogue(|split| {
            let mut peer = Peer::receiving(config(), split);
            peer.send(&format!("{STREAM} {attributes}>"));
            peer.expect_error(condition);
        });
    }
    for header in [
        HEADER.replace("jabber:server'", "jabber:client'"),
        HEADER.replace("etherx.jabber.org", "example.org"),
    ] {
        dialogue(|split| {
            let mut peer = Peer::receiving(config(), split);
            peer.send(&header);
            peer.expect_error(InvalidNamespace);
        });
    }
}

#[test]
fn nobody_becomes_another_by_beginning_anew() {
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &["b.example"], split);
        peer.send(&auth("="));
        peer.recv();
        peer.send(&HEADER.replace("from='b.example'", "from='c.example'"));
        peer.expect_error(StreamCondition::InvalidFrom);
        assert!(peer.authenticated.is_empty());
    });
}

#[test]
fn a_stream_that_is_not_authenticated_in_time_ends() {
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &[], split);
        peer.recv();
        peer.wait(Duration::from_secs(29));
        assert_eq!(peer.recv(), "");
        peer.wait(Duration::from_secs(1));
        peer.expect_error(StreamCondition::ConnectionTimeout);
    });
}

#[test]
fn a_silent_peer_is_reminded_and_then_left() {
    dialogue(|split| {
        let mut peer = Peer::dialed_back(config(), split);
        peer.wait(Duration::from_secs(180));
        assert_eq!(peer.recv(), " ");
        peer.send(" ");
        peer.wait(Duration::from_secs(7199));
        assert_eq!(peer.recv().trim(), "");
        peer.wait(Duration::from_secs(1));
        assert_eq!(peer.recv().trim(), END);
        peer.send(END);
        assert_eq!(peer.ending(), Some(S2sEnding::ByUs));
    });
}

#[test]
fn labs_may_do_without_tls() {
    dialogue(|split| {
        let mut peer = Peer::receiving(lab(), split);
        peer.send(HEADER);
        assert!(!peer.recv().contains("starttls"));
        peer.show_key("b.example", "a.example");
        assert_eq!(peer.authenticated, ["a.example and b.example by Dialback"]);
        peer.send(STARTTLS);
        assert!(
            peer.recv()
                .contains("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        );
        assert_eq!(peer.ending(), Some(S2sEnding::TlsRefused));
    });
    dialogue(|split| {
        let optional = config_with(|host| host.tls = TlsPolicy::Optional);
        let mut peer = Peer::receiving(optional, split);
        peer.send(HEADER);
        assert!(
            peer.recv()
                .contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        );
        peer.send(STARTTLS);
        assert_eq!(peer.recv(), PROCEED);
        peer.input(Input::TlsUp);
        peer.send(HEADER);
        assert!(peer.recv().contains("<stream:features>"));
    });
}

#[test]
fn what_comes_behind_our_end_is_taken_until_the_peer_ends_its_side() {
    dialogue(|split| {
        let mut peer = Peer::dialed_back(config(), split);
        peer.send(MESSAGE);
        peer.input(Input::End);
        assert_eq!(peer.recv(), END);
        assert!(peer.stream.has_ended() && !peer.closed);
        // What can only be answered is not looked at.
        peer.send(MESSAGE);
        peer.send("<db:verify from='b.example' to='a.example' id='i'>k</db:verify>");
        peer.send(MESSAGE);
        peer.input(Input::End);
        peer.input(Input::Authenticate(pair("a2.example", "b.example")));
        assert_eq!((peer.stanzas.len(), peer.ending()), (3, None));
        peer.send(END);
        assert_eq!(peer.ending(), Some(S2sEnding::ByUs));
        assert_eq!(peer.recv(), "");
        peer.expect_silence();
    });
}

#[test]
fn a_peer_that_does_not_end_its_side_is_left() {
    let leaving = || {
        let mut peer = Peer::dialed_back(config(), Split::Whole);
        peer.input(Input::End);
        assert_eq!(peer.recv(), END);
        peer
    };
    let mut peer = leaving();
    peer.wait(Duration::from_millis(4900));
    peer.send(MESSAGE);
    assert_eq!((peer.stanzas.len(), peer.ending()), (1, None));
    peer.wait(Duration::from_millis(200));
    assert_eq!(peer.ending(), Some(S2sEnding::ByUs));
    peer.expect_silence();
    // Or whose connection ends, or who breaks the rules.
    let mut peer = leaving();
    peer.input(Input::PeerClosed);
    assert_eq!(peer.ending(), Some(S2sEnding::ByUs));
    let mut peer = leaving();
    peer.send("<message from='x@c.example/r' to='y@a.example'/>");
    let condition = StreamCondition::InvalidFrom;
    assert_eq!(peer.ending(), Some(S2sEnding::Error(condition)));
    assert_eq!(peer.recv(), "");
    peer.expect_silence();
}

#[test]
fn a_peer_that_counts_knows_what_is_not_taken_behind_our_end() {
    let mut peer = Peer::dialed_back(config(), Split::Whole);
    peer.send("<enable xmlns='urn:xmpp:sm:3'/>");
    peer.send(MESSAGE);
    peer.recv();
    peer.input(Input::End);
    assert_eq!(
        peer.recv(),
        format!("<a xmlns='urn:xmpp:sm:3' h='1'/>{END}")
    );
    assert_eq!(peer.ending(), Some(S2sEnding::ByUs));
    peer.expect_silence();
}
