//! Bad input in every state, and the stream error it ends with (RFC 6120 §4.9.3, §11).

use tercet_core::StreamCondition::{self, *};

use crate::support::*;

/// Every state that reads frames.
const STATES: [&str; 5] = [
    "opening",
    "negotiating",
    "authenticating",
    "unbound",
    "bound",
];

fn client_in(state: &str, split: Split) -> Client {
    match state {
        "opening" => Client::new(lab(), split),
        "negotiating" => {
            let mut client = Client::new(lab(), split);
            client.send(HEADER);
            client.recv();
            client
        }
        "authenticating" => {
            let mut client = Client::new(lab(), split);
            client.send(HEADER);
            client.send(&auth("SCRAM-SHA-1", "n,,n=juliet,r=abc"));
            client.recv();
            client
        }
        "unbound" => Client::logged_in(lab(), split),
        _ => Client::bound(lab(), split),
    }
}

fn check(states: &[&str], input: &str, condition: StreamCondition) {
    for state in states {
        dialogue(|split| {
            let mut client = client_in(state, split);
            client.send(input);
            let text = client.raw();
            assert!(
                text.contains(&error(condition)),
                "{input:?} in {state} ({split:?}): {text}"
            );
            // RFC 6120 §4.9.1.2: even then inside a stream
            assert_eq!(
                text.contains("<stream:stream "),
                *state == "opening",
                "{text}"
            );
            assert!(text.ends_with("</stream:error></stream:stream>"), "{text}");
            client.expect_silence();
        });
    }
}

#[test]
fn xml_that_is_not_well_formed() {
    for input in [
        "<a></b>",
        "<a b=c/>",
        "<a b='1' b='2'/>",
        "<a:b/>",
        "<message>\u{1}</message>",
    ] {
        check(&STATES[1..], input, NotWellFormed);
    }
    for input in ["<stream:stream>", "<stream:stream to=x>", "<1>"] {
        check(&STATES[..1], input, NotWellFormed);
    }
}

#[test]
fn xml_that_xmpp_forbids() {
    for input in ["<!-- x -->", "<?x y?>", "<!DOCTYPE x>"] {
        check(&STATES, input, RestrictedXml);
    }
    for input in ["<message>&x;</message>", "<message><!-- x --></message>"] {
        check(&STATES[1..], input, RestrictedXml);
    }
}

#[test]
fn other_encodings() {
    check(
        &STATES[..1],
        "<?xml version='1.0' encoding='ISO-8859-1'?>",
        UnsupportedEncoding,
    );
}

#[test]
fn text_where_only_elements_may_be() {
    check(&STATES, "text", BadFormat);
    check(&STATES[1..], "<![CDATA[x]]>", BadFormat);
    check(&STATES[..1], "<message/>", BadFormat);
}

#[test]
fn stanzas_before_a_login() {
    for input in [
        "<message to='romeo@example.net'><body>x</body></message>",
        "<presence/>",
        "<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>",
        BIND,
    ] {
        check(&["negotiating", "authenticating"], input, NotAuthorized);
    }
}

#[test]
fn elements_that_nobody_knows() {
    for input in [
        "<x xmlns='urn:example:x'/>",
        "<x/>",
        "<enabled xmlns='urn:xmpp:sm:3'/>",
        "<stream:features/>",
        "<message xmlns='jabber:server'/>",
        "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    ] {
        check(&STATES[1..], input, UnsupportedStanzaType);
    }
    let before_bound = &STATES[1..STATES.len() - 1];
    let inactive = "<inactive xmlns='urn:xmpp:csi:0'/>";
    check(before_bound, inactive, UnsupportedStanzaType);
    check(
        &["bound"],
        &auth("PLAIN", "\0juliet\0x"),
        UnsupportedStanzaType,
    );
    check(&["bound"], STARTTLS, UnsupportedStanzaType);
    check(&["authenticating"], STARTTLS, UnsupportedStanzaType);
}

#[test]
fn a_second_header_inside_the_stream() {
    let header = "<stream:stream to='im.example.com' version='1.0'></stream:stream>";
    check(&STATES[1..], header, UnsupportedStanzaType);
}

/// security.md, line 1.
#[test]
fn frames_beyond_the_limits_are_refused_while_they_arrive() {
    let before = |text: &str| {
        for state in ["negotiating", "authenticating"] {
            let mut client = client_in(state, Split::Whole);
            client.send(text);
            client.expect_error(PolicyViolation);
        }
    };
    let after = |text: &str| {
        for state in ["unbound", "bound"] {
            let mut client = client_in(state, Split::Whole);
            client.send(text);
            client.expect_error(PolicyViolation);
        }
    };
    let fill = |length: usize| format!("<message><body>{}", "x".repeat(length));
    before(&fill(10 * 1024));
    after(&fill(256 * 1024));
    let deep = "<message>".to_owned() + &"<a>".repeat(64);
    before(&deep);
    after(&deep);
    let attributes: String = (0..65).map(|i| format!(" a{i}=''")).collect();
    before(&format!("<message{attributes}/>"));
    after(&format!("<message{attributes}/>"));
    let mut client = Client::new(lab(), Split::Whole);
    client.send(&format!("<stream:stream to='{}", "x".repeat(10 * 1024)));
    client.expect_error(PolicyViolation);
}

#[test]
fn what_fits_the_limits_after_a_login_passes() {
    let mut client = Client::bound(lab(), Split::Whole);
    let message = format!("<message><body>{}</body></message>", "x".repeat(255 * 1024));
    client.send(&message);
    assert_eq!(client.stanzas, [message]);
}

#[test]
fn broken_utf_8_is_not_well_formed() {
    use tercet_stream::Input;
    for state in &STATES[1..] {
        let mut client = client_in(state, Split::Whole);
        client.input(Input::Bytes(b"<message><body>\xC3\x28</body></message>"));
        client.expect_error(NotWellFormed);
    }
}
