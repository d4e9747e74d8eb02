//! STARTTLS (RFC 6120 §5) and TLS from the first byte (XEP-0368).

use tercet_core::{SaslFailure, StreamCondition};
use tercet_stream::{Ending, Input, StreamEvent, TlsPolicy};

use crate::support::*;

/// security.md, line 5.
#[test]
fn bytes_behind_starttls_are_never_read_as_if_they_came_inside_it() {
    let injected = format!(
        "{STARTTLS}{HEADER}{}",
        auth("PLAIN", &format!("\0juliet\0{PASSWORD}"))
    );
    dialogue(|split| {
        let mut client = Client::new(config(), split);
        client.send(HEADER);
        client.recv();
        client.send(&injected);
        let text = client.recv();
        // Either the client is found out, or the bytes came later and are dropped.
        if client.closed {
            assert!(
                text.contains(&error(StreamCondition::PolicyViolation)),
                "{text}"
            );
            assert!(!client.tls_wanted);
        } else {
            assert_eq!(text, PROCEED);
            client.input(Input::TlsUp(tls()));
            assert_eq!(client.recv(), "");
            client.send(HEADER);
            let text = client.recv();
            assert_eq!(text.matches("<stream:features>").count(), 1, "{text}");
        }
        assert_eq!(client.asked, [""; 0]);
    });
}

#[test]
fn half_an_element_behind_starttls_is_not_completed_inside() {
    dialogue(|split| {
        let mut client = Client::new(config(), split);
        client.send(HEADER);
        client.recv();
        client.send(STARTTLS);
        client.send("<stream:stream to='evil.example' ");
        client.input(Input::TlsUp(tls()));
        client.send(HEADER);
        let text = client.recv();
        assert!(text.contains("<mechanism>PLAIN</mechanism>"), "{text}");
    });
}

#[test]
fn white_space_behind_starttls_does_no_harm() {
    dialogue(|split| {
        let mut client = Client::new(config(), split);
        client.send(HEADER);
        client.recv();
        client.send(&format!("{STARTTLS}\r\n"));
        assert_eq!(client.recv(), PROCEED);
        assert!(client.tls_wanted);
    });
}

#[test]
fn starttls_where_it_cannot_be_had_is_a_failure_and_the_end() {
    let failure = format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{END}");
    dialogue(|split| {
        let mut client = Client::new(lab(), split);
        client.send(HEADER);
        assert!(!client.recv().contains("starttls"));
        client.send(STARTTLS);
        assert_eq!(client.recv(), failure);
        assert_eq!(client.ending(), Some(Ending::TlsRefused));
        client.expect_silence();

        let mut client = Client::inside_tls(config(), split, tls());
        client.send(STARTTLS);
        assert_eq!(client.recv(), failure);
        client.expect_silence();
    });
}

#[test]
fn nothing_but_starttls_is_offered_or_taken_before_required_tls() {
    dialogue(|split| {
        let mut client = Client::new(config_with(|host| host.registration = true), split);
        client.send(HEADER);
        let text = client.recv();
        for word in ["mechanism", "register", "channel-binding"] {
            assert!(!text.contains(word), "{text}");
        }
        for mechanism in ["PLAIN", "SCRAM-SHA-1", "X"] {
            client.send(&auth(mechanism, "n,,n=juliet,r=abc"));
            assert_eq!(client.recv(), failure(SaslFailure::EncryptionRequired));
        }
        assert_eq!(client.asked, [""; 0]);
        client.send("<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>");
        client.expect_error(StreamCondition::NotAuthorized);
    });
}

#[test]
fn a_lab_offers_both_starttls_and_login_without() {
    dialogue(|split| {
        let mut client = Client::new(config_with(|host| host.tls = TlsPolicy::Optional), split);
        client.send(HEADER);
        let text = client.recv();
        assert!(text.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
        assert!(text.contains("<mechanism>PLAIN</mechanism>"));
        assert!(!text.contains("-PLUS"));
        client.send(&auth("PLAIN", &format!("\0juliet\0{PASSWORD}")));
        assert!(client.authenticated());
    });
}

#[test]
fn a_connection_with_tls_from_its_first_byte_is_offered_no_starttls() {
    dialogue(|split| {
        let mut client = Client::new(config(), split);
        client.input(Input::TlsUp(tercet_stream::TlsInfo {
            direct: true,
            ..tls()
        }));
        client.send(HEADER);
        let text = client.recv();
        assert!(!text.contains("starttls"), "{text}");
        assert!(text.contains("SCRAM-SHA-256-PLUS"), "{text}");
    });
}

#[test]
fn without_a_binding_no_plus_mechanism_and_no_binding_is_offered() {
    let mut client = Client::new(config(), Split::Whole);
    client.input(Input::TlsUp(tercet_stream::TlsInfo::default()));
    client.send(HEADER);
    let text = client.recv();
    assert!(!text.contains("PLUS"), "{text}");
    assert!(!text.contains("sasl-channel-binding"), "{text}");
}

#[test]
fn a_handshake_that_fails_or_does_not_end_closes_the_connection_without_a_word() {
    for fail in [true, false] {
        let mut client = Client::new(config(), Split::Whole);
        client.send(HEADER);
        client.send(STARTTLS);
        client.recv();
        if fail {
            client.input(Input::PeerClosed);
        } else {
            client.wait(std::time::Duration::from_secs(30));
        }
        assert_eq!(client.recv(), "");
        assert!(client.closed);
        assert_eq!(client.events, [StreamEvent::Ended(Ending::Lost)]);
    }
    let mut client = Client::new(config(), Split::Whole);
    client.send(HEADER);
    client.send(STARTTLS);
    client.recv();
    client.input(Input::Close(StreamCondition::SystemShutdown.into()));
    assert_eq!(client.recv(), "");
    assert!(client.closed);
}
