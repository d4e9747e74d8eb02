//! Acknowledgements between servers (XEP-0198).

use tercet_core::StreamCondition;
use tercet_stream::NotResumed;
use tercet_stream::s2s::{Answer, Goal, Input, Manage, Question};

use super::peer::*;
use crate::support::{Split, dialogue};

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

#[test]
fn the_peers_stanzas_are_counted_from_its_enable_on() {
    dialogue(|split| {
        let mut peer = Peer::dialed_back(config(), split);
        peer.send(&format!(
            "{MESSAGE}{REQUEST}{ENABLE}{MESSAGE}{MESSAGE}{REQUEST}"
        ));
        assert_eq!(
            peer.recv(),
            "<enabled xmlns='urn:xmpp:sm:3' id='sm-id' resume='true' max='600'/>\
             <a xmlns='urn:xmpp:sm:3' h='2'/>"
        );
        assert_eq!(peer.stream.received(), Some(2));
        peer.send("<a xmlns='urn:xmpp:sm:3' h='7'/>");
        assert_eq!(peer.managed, ["acked 7"]);
        peer.send(END);
        assert_eq!(
            peer.recv(),
            format!("<a xmlns='urn:xmpp:sm:3' h='2'/>{END}")
        );
    });
}

#[test]
fn there_is_no_counting_before_authentication_and_none_twice() {
    dialogue(|split| {
        let mut peer = Peer::inside_tls(config(), &[], split);
        peer.recv();
        peer.send(ENABLE);
        assert!(peer.recv().contains("<unexpected-request "));
        let mut peer = Peer::dialed_back(config(), split);
        peer.send(ENABLE);
        peer.recv();
        peer.send(ENABLE);
        peer.expect_error(StreamCondition::PolicyViolation);
    });
}

#[test]
fn a_session_of_the_peer_goes_on() {
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='old' h='3'/>";
    dialogue(|split| {
        let mut peer = Peer::dialed_back(config(), split);
        peer.hold = true;
        peer.send(resume);
        peer.send(MESSAGE);
        assert!(peer.stanzas.is_empty(), "it waits for the answer");
        assert_eq!(
            peer.asked.last(),
            Some(&Question::Resume {
                pair: pair("a.example", "b.example"),
                previd: "old".into(),
                handled: 3
            })
        );
        peer.answer_with(Answer::Resumed(Ok(5)));
        assert_eq!(
            peer.recv(),
            "<resumed xmlns='urn:xmpp:sm:3' h='5' previd='old'/>"
        );
        assert_eq!(peer.stanzas, [MESSAGE]);
        assert_eq!(peer.stream.received(), Some(6));

        let mut peer = Peer::dialed_back(config(), split);
        peer.hold = true;
        peer.send(resume);
        peer.answer_with(Answer::Resumed(Err(NotResumed::NotFound {
            handled: Some(2),
        })));
        assert!(
            peer.recv()
                .starts_with("<failed xmlns='urn:xmpp:sm:3' h='2'><item-not-found ")
        );
        peer.send(ENABLE);
        assert!(peer.recv().starts_with("<enabled "));
    });
}

fn authorized(split: Split, sm: &str) -> Peer {
    let mut peer = Peer::initiating(lab(), pair("a.example", "b.example"), Goal::Stanzas, split);
    peer.send(ANSWER);
    peer.send(&format!("<stream:features>{sm}</stream:features>"));
    assert!(!peer.stream.can_manage());
    peer.send("<db:result from='b.example' to='a.example' type='valid'/>");
    peer.recv();
    peer
}

#[test]
fn our_stanzas_are_acknowledged_where_the_peer_offers_it() {
    dialogue(|split| {
        let mut peer = authorized(split, "<sm xmlns='urn:xmpp:sm:3'/>");
        assert!(peer.stream.can_manage());
        peer.input(Input::Manage(Manage::Enable));
        assert_eq!(peer.recv(), ENABLE);
        peer.send("<enabled xmlns='urn:xmpp:sm:3' id='x' resume='true' max='60'/><a xmlns='urn:xmpp:sm:3' h='1'/>");
        assert_eq!(peer.managed, ["enabled Some(\"x\") Some(60)", "acked 1"]);

        let mut peer = authorized(split, "<sm xmlns='urn:xmpp:sm:3'/>");
        peer.input(Input::Manage(Manage::Resume {
            previd: "x".into(),
            handled: 4,
        }));
        assert_eq!(
            peer.recv(),
            "<resume xmlns='urn:xmpp:sm:3' previd='x' h='4'/>"
        );
        peer.send("<resumed xmlns='urn:xmpp:sm:3' previd='x' h='9'/>");
        assert_eq!(
            (peer.managed[0].as_str(), peer.stream.received()),
            ("resumed 9", Some(4))
        );

        let mut peer = authorized(split, "<sm xmlns='urn:xmpp:sm:3'/>");
        peer.input(Input::Manage(Manage::Resume {
            previd: "x".into(),
            handled: 4,
        }));
        peer.send("<failed xmlns='urn:xmpp:sm:3' h='8'/>");
        assert_eq!(peer.managed, ["not Some(8)"]);
        assert!(peer.stream.can_manage());

        let mut peer = authorized(split, "");
        peer.input(Input::Manage(Manage::Enable));
        assert_eq!((peer.recv().as_str(), &*peer.managed[0]), ("", "not None"));
    });
}
