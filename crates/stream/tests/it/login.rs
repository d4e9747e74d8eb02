//! SASL on a stream (RFC 6120 §6), XEP-0440, XEP-0474.

use tercet_core::{BareJid, SaslFailure, StreamCondition};
use tercet_stream::sasl::{BindingKind, Mechanism, ScramHash, ScramKeys, downgrade_hash};
use tercet_stream::{Answer, StreamEvent};

use crate::support::*;

const FIRST: &str = "n=juliet,r=fyko+d2lbbFgONRv9qkxdawL";

fn plain() -> String {
    auth("PLAIN", &format!("\0juliet\0{PASSWORD}"))
}

/// The client's side of SCRAM: what the server answers to the proof.
fn scram(client: &mut Client, mechanism: &str, gs2: &str, cbind: &[u8], password: &str) -> String {
    let hash = if mechanism.contains("256") {
        ScramHash::Sha256
    } else {
        ScramHash::Sha1
    };
    client.send(&auth(mechanism, &format!("{gs2}{FIRST}")));
    let text = client.recv();
    if !text.starts_with("<challenge") {
        return text;
    }
    let server_first = message_of(&text);
    let last = client_final(hash, password, FIRST, &server_first, cbind);
    client.send(&response(&last));
    client.recv()
}

#[test]
fn scram_succeeds_with_the_right_password_and_channel_only() {
    let exporter = |gs2: &str, byte: u8| [gs2.as_bytes(), &[byte; 32]].concat();
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
        let plus = format!("{mechanism}-PLUS");
        for (mechanism, gs2, cbind, password, succeeds) in [
            (mechanism, "n,,", b"n,,".to_vec(), PASSWORD, true),
            (mechanism, "n,,", b"n,,".to_vec(), "wrong", false),
            (mechanism, "n,,", b"y,,".to_vec(), PASSWORD, false),
            (
                &plus,
                "p=tls-exporter,,",
                exporter("p=tls-exporter,,", 1),
                PASSWORD,
                true,
            ),
            (
                &plus,
                "p=tls-exporter,,",
                exporter("p=tls-exporter,,", 9),
                PASSWORD,
                false,
            ),
            (
                &plus,
                "p=tls-exporter,,",
                exporter("p=tls-exporter,,", 1),
                "wrong",
                false,
            ),
            (
                &plus,
                "p=tls-server-end-point,,",
                exporter("p=tls-server-end-point,,", 2),
                PASSWORD,
                true,
            ),
            (
                &plus,
                "p=tls-exporter,a=juliet@im.example.com,",
                exporter("p=tls-exporter,a=juliet@im.example.com,", 1),
                PASSWORD,
                true,
            ),
        ] {
            for split in [Split::Whole, Split::Bytes, Split::At(70)] {
                let mut client = Client::inside_tls(config(), split, tls());
                let text = scram(&mut client, mechanism, gs2, &cbind, password);
                if succeeds {
                    assert!(message_of(&text).starts_with("v="), "{text}");
                } else {
                    assert_eq!(
                        text,
                        failure(SaslFailure::NotAuthorized),
                        "{mechanism} {gs2}"
                    );
                }
                assert_eq!(client.authenticated(), succeeds);
            }
        }
    }
}

#[test]
fn a_client_that_was_shown_no_plus_mechanism_though_it_was_offered_fails() {
    dialogue(|split| {
        let mut client = Client::inside_tls(config(), split, tls());
        let text = scram(&mut client, "SCRAM-SHA-256", "y,,", b"y,,", PASSWORD);
        assert_eq!(text, failure(SaslFailure::NotAuthorized));
        assert_eq!(client.asked, [""; 0]);
        // without TLS there was none to offer
        let mut client = Client::new(lab(), split);
        client.send(HEADER);
        client.recv();
        scram(&mut client, "SCRAM-SHA-256", "y,,", b"y,,", PASSWORD);
        assert!(client.authenticated());
    });
}

/// XEP-0474 §5.1.
#[test]
fn the_challenge_covers_the_mechanisms_and_bindings_that_were_offered() {
    let mut client = Client::inside_tls(config(), Split::Whole, tls());
    client.send(&auth("SCRAM-SHA-256", &format!("n,,{FIRST}")));
    let bound = downgrade_hash(
        ScramHash::Sha256,
        [
            Mechanism::Plain,
            Mechanism::ScramSha1,
            Mechanism::ScramSha1Plus,
            Mechanism::ScramSha256,
            Mechanism::ScramSha256Plus,
        ],
        [BindingKind::TlsExporter, BindingKind::TlsServerEndPoint],
    );
    let server_first = message_of(&client.recv());
    assert!(
        server_first.ends_with(&format!(",h={bound},t=0304")),
        "{server_first}"
    );
}

#[test]
fn a_recorded_exchange_does_not_log_in_again() {
    let mut client = Client::inside_tls(config(), Split::Whole, tls());
    client.send(&auth("SCRAM-SHA-1", &format!("n,,{FIRST}")));
    let server_first = message_of(&client.recv());
    let last = client_final(ScramHash::Sha1, PASSWORD, FIRST, &server_first, b"n,,");
    client.send("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert_eq!(client.recv(), failure(SaslFailure::Aborted));
    client.send(&auth("SCRAM-SHA-1", &format!("n,,{FIRST}")));
    let again = message_of(&client.recv());
    assert_ne!(server_first, again);
    client.send(&response(&last));
    assert_eq!(client.recv(), failure(SaslFailure::NotAuthorized));
    // nor does the right answer to a challenge that was answered wrongly
    let last = client_final(ScramHash::Sha1, PASSWORD, FIRST, &again, b"n,,");
    client.send(&response(&last));
    assert_eq!(client.recv(), failure(SaslFailure::MalformedRequest));
    assert!(!client.authenticated());
}

/// security.md, line 6: an unknown name cannot be told from a wrong password.
#[test]
fn unknown_names_get_the_same_messages_as_known_ones() {
    let salt_of = |name: &str| {
        let mut client = Client::inside_tls(config(), Split::Whole, tls());
        let mut talk = Vec::new();
        let first = format!("n={name},r=fyko+d2lbbFgONRv9qkxdawL");
        client.send(&auth("SCRAM-SHA-256", &format!("n,,{first}")));
        let server_first = message_of(&client.recv());
        let last = client_final(ScramHash::Sha256, "wrong", &first, &server_first, b"n,,");
        client.send(&response(&last));
        talk.push(client.recv());
        client.send(&auth("PLAIN", &format!("\0{name}\0wrong")));
        talk.push(client.recv());
        let names: Vec<&str> = server_first.split(',').map(|field| &field[..2]).collect();
        talk.push(names.concat());
        let kinds: Vec<String> = client
            .asked
            .iter()
            .map(|asked| asked.split(' ').next().unwrap().to_owned())
            .collect();
        talk.push(kinds.concat());
        let salt = server_first.split(',').nth(1).unwrap().to_owned();
        (talk, salt)
    };
    let (known, _) = salt_of("juliet");
    let (unknown, salt) = salt_of("nobody");
    assert_eq!(known, unknown);
    assert_eq!(salt_of("nobody").1, salt);
    assert_eq!(salt_of("Nobody").1, salt);
    assert_ne!(salt_of("nobody2").1, salt);
    // a name that no account can have
    let (impossible, _) = salt_of("no@body");
    assert_eq!(known, impossible);
}

#[test]
fn what_is_wrong_with_a_message_is_told_by_its_failure() {
    use SaslFailure::*;
    const NS: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
    let raw = |mechanism: &str, text: &str| {
        format!("<auth xmlns='{NS}' mechanism='{mechanism}'>{text}</auth>")
    };
    for (element, expected) in [
        (auth("PLAIN", "\0juliet\0wrong"), NotAuthorized),
        (auth("PLAIN", "\0nobody\0wrong"), NotAuthorized),
        (
            auth("PLAIN", "romeo@im.example.com\0juliet\0x"),
            InvalidAuthzid,
        ),
        (
            auth("PLAIN", "juliet@im.example.com/balcony\0juliet\0x"),
            InvalidAuthzid,
        ),
        (auth("PLAIN", "\0juliet\0x\0y"), MalformedRequest),
        (auth("PLAIN", "\0\0\0juliet\0x"), MalformedRequest),
        (auth("PLAIN", "juliet\0x"), MalformedRequest),
        (raw("PLAIN", "="), MalformedRequest),
        (raw("PLAIN", "AGp1bGlldAB4*"), IncorrectEncoding),
        (raw("PLAIN", "AGp1bGlldAB"), IncorrectEncoding),
        (raw("PLAIN", " AGp1bGlldAB4 "), IncorrectEncoding),
        (raw("PLAIN", "AGp1bGlldAB4="), IncorrectEncoding),
        (raw("PLAIN", "=="), IncorrectEncoding),
        (raw("PLAIN", "<x/>"), MalformedRequest),
        (auth("X-NONE", ""), InvalidMechanism),
        (auth("DIGEST-MD5", ""), InvalidMechanism),
        (auth("EXTERNAL", ""), InvalidMechanism),
        (auth("ANONYMOUS", ""), InvalidMechanism),
        (
            auth("plain", &format!("\0juliet\0{PASSWORD}")),
            InvalidMechanism,
        ),
        (format!("<auth xmlns='{NS}'/>"), InvalidMechanism),
        (auth("SCRAM-SHA-1", "n,,n=juliet"), MalformedRequest),
        (
            auth("SCRAM-SHA-1", "n,a=romeo@im.example.com,n=juliet,r=x"),
            InvalidAuthzid,
        ),
        (
            auth("SCRAM-SHA-1-PLUS", "p=tls-unique,,n=juliet,r=x"),
            NotAuthorized,
        ),
        (
            auth("SCRAM-SHA-1-PLUS", "n,,n=juliet,r=x"),
            MalformedRequest,
        ),
        (
            auth("SCRAM-SHA-1", "p=tls-exporter,,n=juliet,r=x"),
            MalformedRequest,
        ),
        (format!("<response xmlns='{NS}'/>"), MalformedRequest),
        (format!("<abort xmlns='{NS}'/>"), Aborted),
    ] {
        for split in [Split::Whole, Split::Bytes, Split::At(60)] {
            let mut client = Client::inside_tls(config(), split, tls());
            client.send(&element);
            assert_eq!(client.recv(), failure(expected), "{element}");
            // and the client may try again
            client.send(&plain());
            assert!(client.authenticated(), "{element}");
        }
    }
}

#[test]
fn where_a_response_is_expected_anything_else_of_sasl_is_a_failure() {
    use SaslFailure::*;
    const NS: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
    for (element, expected) in [
        (format!("<abort xmlns='{NS}'/>"), Aborted),
        (plain(), MalformedRequest),
        (format!("<challenge xmlns='{NS}'/>"), MalformedRequest),
        (
            format!("<response xmlns='{NS}'>*</response>"),
            IncorrectEncoding,
        ),
        (format!("<response xmlns='{NS}'/>"), MalformedRequest),
        (response("c=biws"), MalformedRequest),
    ] {
        dialogue(|split| {
            let mut client = Client::inside_tls(config(), split, tls());
            client.send(&auth("SCRAM-SHA-1", &format!("n,,{FIRST}")));
            client.recv();
            client.send(&element);
            assert_eq!(client.recv(), failure(expected), "{element}");
        });
    }
}

#[test]
fn a_client_that_waits_to_be_asked_gets_an_empty_challenge() {
    dialogue(|split| {
        let mut client = Client::inside_tls(config(), split, tls());
        client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>");
        let empty = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
        assert_eq!(client.recv(), empty);
        client.send(&response(&format!("\0juliet\0{PASSWORD}")));
        assert_eq!(
            client.recv(),
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
        );
    });
}

#[test]
fn a_stream_has_ten_tries() {
    dialogue(|split| {
        let mut client = Client::inside_tls(config(), split, tls());
        for _ in 0..9 {
            client.send(&auth("PLAIN", "\0juliet\0wrong"));
            assert_eq!(client.recv(), failure(SaslFailure::NotAuthorized));
        }
        client.send(&auth("PLAIN", "\0juliet\0wrong"));
        let StreamEvent::AuthFailed {
            username, attempts, ..
        } = &client.events[9]
        else {
            panic!("no failure")
        };
        assert_eq!((username.as_deref(), *attempts), (Some("juliet"), 10));
        client.expect_error(StreamCondition::PolicyViolation);
    });
}

#[test]
fn a_failure_is_told_to_the_driver_before_it_is_written() {
    use tercet_stream::{C2sStream, Framing, Input, Output};
    let now = std::time::Instant::now();
    let mut stream = C2sStream::new(std::sync::Arc::new(lab()), Framing::Tcp, now, [1; 32]);
    stream.handle(now, Input::Bytes(HEADER.as_bytes()));
    while stream.poll_output().is_some() {}
    stream.handle(now, Input::Bytes(auth("PLAIN", "x").as_bytes()));
    let Some(Output::Event(StreamEvent::AuthFailed {
        failure, mechanism, ..
    })) = stream.poll_output()
    else {
        panic!("no failure")
    };
    assert_eq!(failure, SaslFailure::MalformedRequest);
    assert_eq!(mechanism, Some(Mechanism::Plain));
    assert!(matches!(stream.poll_output(), Some(Output::Write(_))));
}

/// security.md, line 5.
#[test]
fn bytes_before_success_are_never_read_as_if_they_came_after() {
    let pipelined = format!("{}{HEADER}{BIND}", plain());
    dialogue(|split| {
        let mut client = Client::inside_tls(config(), split, tls());
        client.hold = true;
        client.send(&pipelined);
        assert_eq!(client.recv(), "");
        client.answer();
        assert!(!client.authenticated());
        client.expect_error(StreamCondition::PolicyViolation);
    });
    // the same where no question is asked
    dialogue(|split| {
        let mut client = Client::inside_tls(config(), split, tls());
        client.send(&auth("SCRAM-SHA-1", &format!("n,,{FIRST}")));
        let server_first = message_of(&client.recv());
        let last = client_final(ScramHash::Sha1, PASSWORD, FIRST, &server_first, b"n,,");
        client.send(&format!("{}{HEADER}{BIND}", response(&last)));
        if client.closed {
            client.expect_error(StreamCondition::PolicyViolation);
        } else {
            // the header came behind the success
            assert_eq!(client.asked[1..], ["bind juliet@im.example.com to None"]);
        }
    });
}

#[test]
fn white_space_before_success_does_no_harm() {
    dialogue(|split| {
        let mut client = Client::inside_tls(config(), split, tls());
        client.hold = true;
        client.send(&format!("{}\n ", plain()));
        client.answer();
        client.recv();
        client.send(HEADER);
        let text = client.recv();
        assert!(text.contains("<bind "), "{text}");
        assert!(text.contains(" to='juliet@im.example.com'"), "{text}");
    });
}

#[test]
fn tries_sent_before_a_failure_are_made_in_order_after_it() {
    dialogue(|split| {
        let mut client = Client::inside_tls(config(), split, tls());
        client.send(&format!("{}{}", auth("PLAIN", "\0romeo\0wrong"), plain()));
        let text = client.recv();
        let refused = failure(SaslFailure::NotAuthorized);
        assert_eq!(
            text,
            refused + "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
        );
        assert_eq!(client.asked, ["password of romeo", "password of juliet"]);
    });
}

#[test]
fn what_is_parked_is_bounded() {
    let mut client = Client::inside_tls(config(), Split::Whole, tls());
    client.hold = true;
    client.send(&plain());
    client.send(&" ".repeat(10 * 1024));
    assert!(!client.closed);
    client.send(" ");
    client.answer();
    assert!(!client.authenticated());
    client.expect_error(StreamCondition::PolicyViolation);
}

#[test]
fn a_certificate_logs_in_the_account_it_names() {
    dialogue(|split| {
        let tls = certificate(&["juliet@im.example.com", "juliet@example.net"]);
        let mut client = Client::new(config(), split);
        client.input(tercet_stream::Input::TlsUp(tls));
        client.send(HEADER);
        assert!(
            client
                .recv()
                .contains("'><mechanism>EXTERNAL</mechanism><mechanism>SCRAM")
        );
        client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
        assert_eq!(
            client.recv(),
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
        );
        assert_eq!(client.asked, ["certificate of juliet@im.example.com"]);
    });
}

#[test]
fn a_certificate_of_others_logs_in_nobody() {
    use SaslFailure::*;
    for (addresses, authzid, expected) in [
        (&["nobody@im.example.com"][..], "", NotAuthorized),
        (&["juliet@example.net"], "", InvalidMechanism),
        (&["im.example.com"], "", InvalidMechanism),
        (&[], "juliet@im.example.com", InvalidMechanism),
        (
            &["juliet@im.example.com"],
            "romeo@im.example.com",
            InvalidAuthzid,
        ),
        (
            &["juliet@im.example.com", "romeo@im.example.com"],
            "",
            InvalidAuthzid,
        ),
    ] {
        let mut client = Client::inside_tls(config(), Split::Whole, certificate(addresses));
        client.send(&auth("EXTERNAL", authzid).replace("></", ">=</"));
        assert_eq!(client.recv(), failure(expected), "{addresses:?} {authzid}");
    }
}

#[test]
fn anonymous_clients_are_let_in_where_the_setting_says_so() {
    dialogue(|split| {
        for element in [
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>",
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'>c2lyaGM=</auth>",
        ] {
            let config = config_with(|host| host.anonymous = true);
            let mut client = Client::inside_tls(config, split, tls());
            client.send(element);
            client.send(HEADER);
            client.send(BIND);
            assert_eq!(client.asked[0], "anonymous at im.example.com");
            assert_eq!(client.bound[0].local(), Some("anon"));
        }
    });
}

#[test]
fn a_failing_store_is_a_temporary_failure_and_no_end() {
    let mut client = Client::inside_tls(config(), Split::Whole, tls());
    for wrong in [
        Answer::Account(Err(SaslFailure::TemporaryAuthFailure)),
        Answer::Xml(b"<x/>".to_vec()),
        Answer::ScramKeys {
            keys: ScramKeys::fake(b"s", ScramHash::Sha1, "juliet"),
            account: Ok(BareJid::parse("juliet@im.example.com").unwrap()),
        },
    ] {
        client.hold = true;
        client.send(&auth("SCRAM-SHA-256", &format!("n,,{FIRST}")));
        client.answer_with(wrong);
        assert_eq!(client.recv(), failure(SaslFailure::TemporaryAuthFailure));
    }
    client.hold = false;
    client.send(&plain());
    assert!(client.authenticated());
}

#[test]
fn answers_that_nobody_waits_for_any_more_do_nothing() {
    let mut client = Client::inside_tls(config(), Split::Whole, tls());
    client.hold = true;
    client.send(&plain());
    client.input(tercet_stream::Input::Close(
        StreamCondition::SystemShutdown.into(),
    ));
    client.answer();
    assert!(!client.authenticated());
    client.expect_error(StreamCondition::SystemShutdown);
}
