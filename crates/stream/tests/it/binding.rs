//! Resource binding (RFC 6120 §7).

use tercet_core::{StanzaError, StreamCondition};
use tercet_stream::Answer;

use crate::support::*;

#[test]
fn the_server_makes_an_unpredictable_resource_for_a_client_that_asks_for_none() {
    dialogue(|split| {
        for request in [BIND, &bind("")] {
            let mut client = Client::logged_in(lab(), split);
            client.send(request);
            assert_eq!(client.asked[1], "bind juliet@im.example.com to None");
            assert_eq!(client.bound[0].resource().len(), 24);
            let jid = client.bound[0].clone();
            let expected = format!(
                "<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                 <jid>{jid}</jid></bind></iq>"
            );
            assert_eq!(client.recv(), expected);
        }
    });
}

#[test]
fn a_resource_is_prepared_and_escaped() {
    let mut client = Client::logged_in(lab(), Split::Bytes);
    client.send(&bind("a&lt;b&apos;  c"));
    assert_eq!(client.bound[0].resource(), "a<b'  c");
    assert!(
        client
            .recv()
            .contains("<jid>juliet@im.example.com/a&lt;b'  c</jid>")
    );
}

#[test]
fn a_resource_that_is_none_is_a_bad_request_and_may_be_tried_again() {
    for request in [
        bind("a&#9;b"),
        bind(&"x".repeat(1024)),
        BIND.replace("'set'", "'get'"),
        BIND.replace("type='set' ", ""),
    ] {
        let mut client = Client::logged_in(lab(), Split::Whole);
        client.send(&request);
        let text = client.recv();
        assert!(
            text.contains("<error type='modify'><bad-request "),
            "{request}: {text}"
        );
        assert_eq!(client.asked.len(), 1);
        client.send(&bind("balcony"));
        assert!(client.stream.is_bound(), "{request}");
    }
}

#[test]
fn a_resource_that_is_refused_may_be_tried_again_ten_times() {
    dialogue(|split| {
        let mut client = Client::logged_in(lab(), split);
        for _ in 0..9 {
            client.send(&bind("taken"));
            let text = client.recv();
            assert!(text.starts_with("<iq type='error' id='b'>"), "{text}");
            assert!(text.contains("<error type='cancel'><conflict "), "{text}");
        }
        client.send(&bind("taken"));
        client.expect_error(StreamCondition::PolicyViolation);
    });
}

/// RFC 6120 §7.1.
#[test]
fn nothing_but_binding_is_heard_before_it() {
    for stanza in [
        "<message to='romeo@example.net'><body>x</body></message>",
        "<presence/>",
        "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
        "<iq type='result' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<iq type='set' id='1' to='romeo@example.net'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<iq type='set' id='1'/>",
    ] {
        dialogue(|split| {
            let mut client = Client::logged_in(lab(), split);
            client.send(stanza);
            client.expect_error(StreamCondition::NotAuthorized);
        });
    }
    for element in [
        auth("PLAIN", &format!("\0romeo\0{PASSWORD}")),
        STARTTLS.to_owned(),
    ] {
        let mut client = Client::logged_in(lab(), Split::Whole);
        client.send(&element);
        client.expect_error(StreamCondition::UnsupportedStanzaType);
    }
}

#[test]
fn stanzas_sent_behind_the_request_come_out_behind_the_binding_in_order() {
    let pipelined =
        format!("{BIND}<presence/><message to='a@b' id='1'/><message to='a@b' id='2'/>");
    let expected = [
        "<presence/>",
        "<message to='a@b' id='1'/>",
        "<message to='a@b' id='2'/>",
    ];
    dialogue(|split| {
        let mut client = Client::logged_in(lab(), split);
        client.hold = true;
        client.send(&pipelined);
        assert_eq!(client.stanzas, [""; 0]);
        client.answer();
        assert_eq!(client.stanzas, expected);
        assert_eq!(client.bound.len(), 1);
    });
}

/// RFC 6120 §7.6.2.2: one resource a stream.
#[test]
fn a_second_resource_is_not_allowed() {
    for to in ["", " to='im.example.com'", " to='juliet@im.example.com'"] {
        dialogue(|split| {
            let mut client = Client::bound(lab(), split);
            client.send(&BIND.replace(" id=", &format!("{to} id=")));
            let text = client.recv();
            assert!(
                text.contains("<error type='cancel'><not-allowed "),
                "{text}"
            );
            assert_eq!(client.stanzas, [""; 0]);
            assert!(client.stream.is_bound());
        });
    }
    let mut client = Client::bound(lab(), Split::Whole);
    client.send(&BIND.replace(" id=", " to='romeo@example.net' id="));
    assert_eq!(client.stanzas.len(), 1, "a request to others is theirs");
}

#[test]
fn the_old_session_request_is_answered_and_does_nothing() {
    let request = "<iq type='set' id='s' to='im.example.com'>\
        <session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
    dialogue(|split| {
        let mut client = Client::bound(lab(), split);
        client.send(request);
        assert_eq!(
            client.recv(),
            "<iq type='result' from='im.example.com' id='s'/>"
        );
        client.send(&request.replace("'set'", "'get'"));
        assert!(client.recv().contains("<bad-request "));
        assert_eq!(client.stanzas, [""; 0]);
    });
}

#[test]
fn a_failing_store_is_told_as_it_says_and_a_wrong_answer_ends_the_stream() {
    let mut client = Client::logged_in(lab(), Split::Whole);
    client.hold = true;
    client.send(BIND);
    client.answer_with(Answer::Bound(Err(StanzaError::internal_server_error())));
    assert!(client.recv().contains("<internal-server-error "));
    client.send(BIND);
    client.answer_with(Answer::Xml(Vec::new()));
    client.expect_error(StreamCondition::InternalServerError);
}
