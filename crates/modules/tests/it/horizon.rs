//! Servers that vanish and come back, as the people here see them.

use tercet_core::{Stanza, StanzaError};
use tercet_testkit::Peer;

use crate::elsewhere::{from_elsewhere, juliet, received};
use crate::in_process::{InProcess, block_on};

/// Juliet and romeo@example.net see each other, and she has heard of him.
fn friends(server: &mut InProcess) {
    let client = "juliet";
    server.send(client, "<presence/>").unwrap();
    let ask = "<presence to='romeo@example.net' type='subscribe'/>";
    server.send(client, ask).unwrap();
    for answer in [
        "<presence from='romeo@example.net' to='juliet@localhost' type='subscribed'/>",
        "<presence from='romeo@example.net' to='juliet@localhost' type='subscribe'/>",
    ] {
        from_elsewhere(server, answer);
    }
    let grant = "<presence to='romeo@example.net' type='subscribed'/>";
    server.send(client, grant).unwrap();
    let there = "<presence from='romeo@example.net/x' to='juliet@localhost'/>";
    from_elsewhere(server, there);
    received(server);
}

fn later(server: &InProcess, ms: u64) {
    for _ in 0..ms / 1000 {
        server.server().advance(1000);
        server.run_due();
    }
}

fn is(stanza: &Stanza, kind: &str, from: &str) -> bool {
    stanza.type_() == Some(kind) && stanza.from().unwrap().unwrap().as_str() == from
}

#[test]
fn contacts_of_a_server_that_vanished_are_shown_as_unavailable_and_asked_about_when_it_is_back() {
    let (mut server, bag) = juliet();
    friends(&mut server);
    bag.take();
    server.server().out_of_reach("example.net");
    server.server().out_of_reach("example.org");
    later(&server, 10_000);
    let got = received(&mut server);
    assert_eq!(got.len(), 1, "{got:?}");
    assert!(is(&got[0], "unavailable", "romeo@example.net"));
    // Told once; from time to time somebody knocks.
    assert!(bag.take().is_empty());
    server.server().out_of_reach("example.net");
    later(&server, 70_000);
    assert!(received(&mut server).is_empty());
    let knock = bag.texts();
    assert_eq!(knock.len(), 1);
    assert!(knock[0].contains("type='probe'"), "{knock:?}");
    // It is back: presence is asked for and shown.
    server.server().within_reach("example.net");
    later(&server, 10_000);
    let sent = bag.texts().concat();
    assert!(
        sent.contains("from='juliet@localhost' to='romeo@example.net' type='probe'"),
        "{sent}"
    );
    assert!(
        sent.contains("<presence from='juliet@localhost/balcony' to='romeo@example.net'"),
        "{sent}"
    );
    later(&server, 300_000);
    assert!(bag.take().is_empty(), "nobody knocks at an open door");
}

#[test]
fn a_server_from_which_stanzas_come_is_not_taken_for_gone() {
    let (mut server, bag) = juliet();
    friends(&mut server);
    server.server().out_of_reach("example.net");
    from_elsewhere(
        &server,
        "<presence from='romeo@example.net/x' to='juliet@localhost'><show>away</show></presence>",
    );
    bag.take();
    for _ in 0..10 {
        server.server().out_of_reach("example.net");
        later(&server, 10_000);
    }
    let got = received(&mut server);
    assert!(got.iter().all(|stanza| stanza.type_().is_none()), "{got:?}");
}

#[test]
fn after_a_broken_stream_presence_is_asked_for_anew_and_not_again_at_once() {
    let (mut server, bag) = juliet();
    friends(&mut server);
    bag.take();
    for _ in 0..3 {
        server.server().disturbed("example.net");
        later(&server, 10_000);
    }
    let sent = bag.texts().concat();
    assert_eq!(sent.matches("type='probe'").count(), 1, "{sent}");
}

#[test]
fn who_did_not_address_a_contact_is_not_told_that_it_was_not_reached() {
    let (mut server, bag) = juliet();
    friends(&mut server);
    bag.take();
    server
        .send("juliet", "<presence><show>dnd</show></presence>")
        .unwrap();
    server
        .send("juliet", "<presence type='unavailable'/>")
        .unwrap();
    server.send("juliet", "<presence/>").unwrap();
    received(&mut server);
    let letters = bag.take();
    assert!(letters.len() >= 4);
    for letter in letters {
        let error = StanzaError::remote_server_timeout();
        block_on(server.server().undelivered(&letter, &error).wait());
    }
    assert!(received(&mut server).is_empty());
    // Presence to somebody is another matter, and its refusal ends it.
    let enter = "<presence to='room@rooms.example.net/juliet'/>";
    server.send("juliet", enter).unwrap();
    received(&mut server);
    for letter in bag.take() {
        let error = StanzaError::remote_server_timeout();
        block_on(server.server().undelivered(&letter, &error).wait());
    }
    let got = received(&mut server);
    assert!(
        is(&got[0], "error", "room@rooms.example.net/juliet"),
        "{got:?}"
    );
    server
        .send("juliet", "<presence type='unavailable'/>")
        .unwrap();
    assert!(!bag.texts().concat().contains("room@"));
}

#[test]
fn a_request_without_an_answer_is_sent_again_when_its_user_comes_back() {
    let (mut server, bag) = juliet();
    server.send("juliet", "<presence/>").unwrap();
    let ask = "<presence to='romeo@example.net' type='subscribe'/>";
    server.send("juliet", ask).unwrap();
    for letter in bag.take() {
        let error = StanzaError::remote_server_timeout();
        block_on(server.server().undelivered(&letter, &error).wait());
    }
    let got = received(&mut server);
    assert!(
        got.iter().any(|s| is(s, "error", "romeo@example.net")),
        "{got:?}"
    );
    server
        .send("juliet", "<presence type='unavailable'/>")
        .unwrap();
    server.send("juliet", "<presence/>").unwrap();
    let sent = bag.texts();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(
        sent[0].contains("from='juliet@localhost' to='romeo@example.net' type='subscribe'"),
        "{sent:?}"
    );
    server
        .send("juliet", "<presence><show>away</show></presence>")
        .unwrap();
    assert!(bag.take().is_empty());
}

#[test]
fn who_asks_about_one_resource_hears_of_that_one() {
    let (mut server, bag) = juliet();
    friends(&mut server);
    bag.take();
    for (to, kind) in [("balcony", false), ("garden", true)] {
        from_elsewhere(
            &server,
            &format!(
                "<presence from='romeo@example.net' to='juliet@localhost/{to}' type='probe'/>"
            ),
        );
        let sent = bag.texts();
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert!(
            sent[0].contains(&format!("from='juliet@localhost/{to}'")),
            "{sent:?}"
        );
        assert_eq!(sent[0].contains("type='unavailable'"), kind, "{sent:?}");
    }
}
