//! What happens when nothing happens.

use std::time::Duration;

use tercet_core::StreamCondition;
use tercet_stream::{Ending, Input, StreamEvent};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// security.md, line 4.
#[test]
fn thirty_seconds_are_all_there_is_for_tls_and_login_whatever_comes_meanwhile() {
    let texts = [
        "",
        "<stream:stre",
        HEADER,
        &format!("{HEADER}<auth"),
        &format!(
            "{HEADER}{}",
            auth("PLAIN", &format!("\0juliet\0{PASSWORD}"))
        ),
    ];
    for text in texts {
        for chatter in [false, true] {
            let mut client = Client::new(lab(), Split::Whole);
            client.send(text);
            for _ in 0..29 {
                client.wait(SECOND);
                if chatter && text == HEADER {
                    client.send(" ");
                }
                assert!(!client.closed, "{text}");
            }
            client.wait(SECOND);
            client.expect_error(StreamCondition::ConnectionTimeout);
        }
    }
    let mut client = Client::logged_in(lab(), Split::Whole);
    client.wait(30 * SECOND);
    client.expect_error(StreamCondition::ConnectionTimeout);
}

#[test]
fn an_owner_who_does_not_answer_holds_no_connection() {
    let mut client = Client::new(lab(), Split::Whole);
    client.send(HEADER);
    client.hold = true;
    client.send(&auth("PLAIN", &format!("\0juliet\0{PASSWORD}")));
    client.wait(30 * SECOND);
    client.answer();
    client.expect_error(StreamCondition::ConnectionTimeout);
}

#[test]
fn a_silent_client_is_sent_white_space_and_in_the_end_closed() {
    let mut client = Client::bound(lab(), Split::Whole);
    client.wait(179 * SECOND);
    assert_eq!(client.recv(), "");
    client.wait(SECOND);
    assert_eq!(client.recv(), " ");
    assert_eq!(client.events[1..], [StreamEvent::Silent]);
    client.wait(180 * SECOND);
    assert_eq!(client.recv(), " ");
    client.wait(3600 * SECOND - 360 * SECOND);
    let text = client.recv();
    let spaces = text.len() - text.trim_start().len();
    assert_eq!(spaces, 17);
    assert_eq!(
        client.ending(),
        Some(Ending::Error(StreamCondition::ConnectionTimeout))
    );
}

#[test]
fn whatever_a_client_sends_counts_as_a_sign_of_life() {
    let mut client = Client::bound(lab(), Split::Whole);
    for text in [" ", "<message/>", "<mess", "age/>", "\n"]
        .into_iter()
        .cycle()
        .take(100)
    {
        client.wait(170 * SECOND);
        client.send(text);
    }
    assert_eq!(client.recv(), "");
    assert!(!client.closed);
}

#[test]
fn without_settings_a_bound_client_may_be_silent_for_ever() {
    let mut config = lab();
    (config.keep_alive_after, config.idle_timeout) = (None, None);
    let mut client = Client::logged_in(config, Split::Whole);
    client.send(BIND);
    assert_eq!(client.stream.deadline(), None);
}

#[test]
fn an_early_tick_does_nothing() {
    for mut client in [
        Client::new(lab(), Split::Whole),
        Client::bound(lab(), Split::Whole),
    ] {
        client.input(Input::Tick);
        assert_eq!(client.recv(), "");
        assert!(!client.closed);
    }
}

#[test]
fn a_client_that_does_not_close_the_connection_is_let_go_after_five_seconds() {
    let mut client = Client::bound(lab(), Split::Whole);
    client.send(END);
    assert!(client.closed);
    client.wait(5 * SECOND - Duration::from_millis(1));
    client.send("<message/>");
    assert!(!client.stream.is_closed());
    client.wait(Duration::from_millis(1));
    assert!(client.stream.is_closed());
    assert_eq!(client.stanzas, [""; 0]);
}
