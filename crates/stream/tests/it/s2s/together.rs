//! Two of our own servers with each other, to the first stanza.

use tercet_stream::s2s::{Answer, Goal, Input, KeyClaim, Question, S2sConfig, Verdict};

use super::peer::*;
use crate::support::{Split, dialogue};

/// Carries what both have written, until neither has more to say.
fn run(a: &mut Peer, b: &mut Peer) {
    loop {
        let (to_b, to_a) = (a.recv(), b.recv());
        if to_a.is_empty() && to_b.is_empty() {
            // Whoever answers is ready first.
            if b.tls_wanted && a.tls_wanted {
                (a.tls_wanted, b.tls_wanted) = (false, false);
                b.input(Input::TlsUp);
                a.input(Input::TlsUp);
                continue;
            }
            return;
        }
        b.send(&to_b);
        a.send(&to_a);
    }
}

fn meet(mut ours: S2sConfig, mut theirs: S2sConfig, bidi: bool, split: Split) -> (Peer, Peer) {
    (ours.bidi, theirs.bidi) = (bidi, bidi);
    let ab = pair("a.example", "b.example");
    let a = Peer::initiating(ours, ab, Goal::Stanzas, split);
    (a, Peer::receiving(theirs, split))
}

#[test]
fn by_certificate_in_one_direction() {
    dialogue(|split| {
        let (mut a, mut b) = meet(config(), config_of_b(), false, split);
        (a.certificate, b.certificate) = (vec!["b.example"], vec!["a.example"]);
        run(&mut a, &mut b);
        assert_eq!(a.authorized, ["a.example and b.example by Certificate"]);
        assert_eq!(b.authenticated, ["b.example and a.example by Certificate"]);
        assert!(a.authenticated.is_empty() && b.authorized.is_empty());
    });
}

#[test]
fn by_certificate_in_both_directions() {
    dialogue(|split| {
        let (mut a, mut b) = meet(config(), config_of_b(), true, split);
        (a.certificate, b.certificate) = (vec!["b.example"], vec!["a.example"]);
        run(&mut a, &mut b);
        assert_eq!(a.authorized, ["a.example and b.example by Certificate"]);
        assert_eq!(a.authenticated, a.authorized);
        assert_eq!(b.authenticated, ["b.example and a.example by Certificate"]);
        assert_eq!(b.authorized, b.authenticated);
        assert_eq!(b.stream.peer_limit(), Some(262_144));
        a.send(MESSAGE);
        assert_eq!(a.stanzas, [MESSAGE]);
        // The other one's further domain, which is proved on the same stream.
        b.input(Input::Authenticate(pair("b2.example", "a.example")));
        a.hold = true;
        run(&mut a, &mut b);
        a.answer_with(Answer::Certificate(false));
        let Some((_, Question::Key(claim))) = a.held.front() else {
            panic!("{:?}", a.held)
        };
        assert_eq!(claim.pair, pair("a.example", "b2.example"));
        a.answer_with(Answer::Key(Verdict::Valid));
        run(&mut a, &mut b);
        assert_eq!(b.authorized[1], "b2.example and a.example by Certificate");
        assert_eq!(a.authenticated[1], "a.example and b2.example by Dialback");
    });
}

#[test]
fn by_dialback_over_a_connection_back() {
    dialogue(|split| {
        let (mut a, mut b) = meet(config(), config_of_b(), false, split);
        b.hold = true;
        run(&mut a, &mut b);
        // TLS is up; nothing else was asked than about certificates, which prove nothing.
        b.answer_with(Answer::Certificate(false));
        run(&mut a, &mut b);
        b.answer_with(Answer::Certificate(false));
        let Some((ticket, Question::Key(claim))) = b.held.pop_front() else {
            panic!()
        };
        let ba = pair("b.example", "a.example");
        let mut asking = Peer::initiating(config_of_b(), ba, Goal::Verification, split);
        let mut answering = Peer::receiving_by(config(), [8; 32], split);
        asking.input(Input::Verify(claim.clone()));
        let forged = KeyClaim {
            id: "another".into(),
            ..claim.clone()
        };
        asking.input(Input::Verify(forged.clone()));
        run(&mut asking, &mut answering);
        assert_eq!(
            asking.verified,
            [(claim, Verdict::Valid), (forged, Verdict::Invalid)]
        );
        assert!(answering.authenticated.is_empty());
        b.input(Input::Answer(ticket, Answer::Key(Verdict::Valid)));
        run(&mut a, &mut b);
        assert_eq!(a.authorized, ["a.example and b.example by Dialback"]);
        assert_eq!(b.authenticated, ["b.example and a.example by Dialback"]);
    });
}

#[test]
fn a_key_is_not_verified_on_the_connection_that_it_came_on() {
    let (mut a, mut b) = meet(config(), config_of_b(), true, Split::Whole);
    (a.certificate, b.certificate) = (vec!["b.example"], vec!["a.example"]);
    run(&mut a, &mut b);
    b.input(Input::Authenticate(pair("b2.example", "a.example")));
    a.hold = true;
    run(&mut a, &mut b);
    a.answer_with(Answer::Certificate(false));
    let Some((_, Question::Key(claim))) = a.held.pop_front() else {
        panic!()
    };
    a.input(Input::Verify(claim));
    assert!(matches!(a.verified[0].1, Verdict::Unknown(_)));
    assert_eq!(a.recv(), "");
}
