//! Acknowledgements and resumption (XEP-0198) over real sockets.

use super::*;
use std::net::Shutdown;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn message(number: usize) -> String {
    format!("<message to='juliet@localhost/juliet' type='chat'><body>{number}</body></message>")
}

fn ack(handled: usize) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>")
}

fn resume(id: &str, handled: usize) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{handled}'/>")
}

/// A bound session of `name` that can be resumed, and its id.
fn managed(scene: &Scene, name: &str) -> (Client, String) {
    let mut client = scene.session(name);
    client.send(ENABLE);
    let enabled = client.expect("/>");
    assert!(enabled.contains("resume='true'"), "{enabled}");
    assert!(enabled.contains("max='600'"), "{enabled}");
    assert!(!enabled.contains("location"), "{enabled}");
    let id = enabled.split("id='").nth(1).unwrap();
    let id = id.split('\'').next().unwrap().to_owned();
    assert_eq!(id.len(), 32, "128 bits: {id}");
    (client, id)
}

fn logged_in(scene: &Scene, name: &str) -> Client {
    let mut client = scene.connect_tls();
    client.login(name, "secret");
    client
}

fn cut(client: &Client) {
    client.socket().shutdown(Shutdown::Both).unwrap();
}

impl Scene {
    fn hibernates(&self, name: &str) -> bool {
        let account = self.server.loaded_account(&format!("{name}@localhost"));
        let account = account.unwrap();
        let state = account.lock();
        state.resources.iter().any(|r| r.session.is_hibernating())
    }

    fn is_bound(&self, name: &str) -> bool {
        let account = self.server.loaded_account(&format!("{name}@localhost"));
        !account.unwrap().lock().resources.is_empty()
    }
}

#[test]
fn a_client_is_told_what_was_handled_and_asked_what_it_has() {
    let scene = Scene::new(|_| {});
    let (mut juliet, _) = managed(&scene, "juliet");
    let mut romeo = scene.session("romeo");
    juliet.send(&format!("<presence/>{R}"));
    juliet.expect(&ack(1));
    for number in 0..10 {
        romeo.send(&message(number));
    }
    // Her own presence is among what she got.
    juliet.expect(R);
    juliet.send(&ack(11));
    juliet.send(&ack(12));
    assert!(juliet.rest().contains("<handled-count-too-high"));
}

#[test]
fn what_a_client_had_not_acknowledged_comes_again_in_order_and_then_the_rest() {
    let scene = Scene::new(|_| {});
    let (mut juliet, id) = managed(&scene, "juliet");
    let mut romeo = scene.session("romeo");
    for number in 0..4 {
        romeo.send(&message(number));
        juliet.expect("</message>");
    }
    // A stanza of hers that is on its way when the connection is lost counts once.
    juliet.send("<message to='romeo@localhost/romeo' type='chat'><body>one</body></message>");
    romeo.expect("<body>one</body>");
    cut(&juliet);
    scene.wait_for_connections(1);
    assert!(scene.hibernates("juliet"));
    for number in 4..6 {
        romeo.send(&message(number));
    }
    romeo.settle();
    let mut juliet = logged_in(&scene, "juliet");
    juliet.send(&resume(&id, 2));
    let resumed = juliet.expect("/>");
    assert_eq!(
        resumed,
        format!("<resumed xmlns='urn:xmpp:sm:3' h='1' previd='{id}'/>")
    );
    romeo.send(&message(6));
    for number in 2..7 {
        let next = juliet.expect("</message>");
        assert!(next.contains(&format!("<body>{number}</body>")), "{next}");
    }
    juliet.send(&format!("{}{R}", ack(7)));
    juliet.expect(&ack(1));
    juliet.settle();
    assert!(!juliet.heard.contains("<message"), "{}", juliet.heard);
}

#[test]
fn a_session_goes_on_although_the_connection_before_seems_to_be_there() {
    let scene = Scene::new(|_| {});
    let (mut before, id) = managed(&scene, "juliet");
    before.send("<presence/>");
    before.settle();
    let mut after = logged_in(&scene, "juliet");
    after.send(&resume(&id, 0));
    let resumed = after.expect("previd");
    // The presence, and the request by which it was seen to be handled.
    assert!(resumed.contains("h='2'"), "{resumed}");
    let rest = before.rest();
    assert!(rest.contains("<conflict"), "{rest}");
    // Both are written again: she said that she has not handled them.
    after.expect("<presence");
    after.expect("id='settle'");
    scene.wait_for_connections(1);
    assert!(!scene.hibernates("juliet"));
    assert!(after.settle().contains("service-unavailable"));
}

#[test]
fn an_id_that_is_wrong_or_of_somebody_else_tells_nothing() {
    let scene = Scene::new(|_| {});
    let (juliet, id) = managed(&scene, "juliet");
    cut(&juliet);
    scene.wait_for_connections(0);
    let mut romeo = logged_in(&scene, "romeo");
    let mut answers = Vec::new();
    for other in [
        id.as_str(),
        "0123456789abcdef0123456789abcdef",
        "",
        "\u{e9}",
    ] {
        romeo.send(&resume(other, 0));
        answers.push(romeo.expect("</failed>"));
    }
    answers.dedup();
    assert_eq!(
        answers,
        ["<failed xmlns='urn:xmpp:sm:3'>\
          <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"]
    );
    assert!(scene.hibernates("juliet"), "it is still hers");
    // What she says that she has handled was never sent.
    let mut juliet = logged_in(&scene, "juliet");
    juliet.send(&resume(&id, 1));
    assert!(juliet.rest().contains("<handled-count-too-high"));
    let mut juliet = logged_in(&scene, "juliet");
    juliet.send(&resume(&id, 0));
    juliet.expect("<resumed");
}

#[test]
fn a_client_that_leaves_in_good_order_does_not_come_back() {
    let scene = Scene::new(|_| {});
    let (mut juliet, id) = managed(&scene, "juliet");
    juliet.send("<presence/></stream:stream>");
    assert!(juliet.rest().ends_with("</stream:stream>"));
    scene.wait_for_connections(0);
    assert!(!scene.is_bound("juliet"));
    let mut juliet = logged_in(&scene, "juliet");
    juliet.send(&resume(&id, 0));
    // It is known still how far it had come.
    let failed = juliet.expect("</failed>");
    assert!(failed.contains("h='1'"), "{failed}");
    // A new session can be had on the same stream.
    juliet.bind("balcony");
}

#[test]
fn whoever_does_not_come_back_in_time_is_gone_and_senders_are_told() {
    let limits = Limits {
        resume_ms: 1,
        ..Limits::default()
    };
    let scene = Scene::with_limits(limits, |_| {});
    let mut romeo = scene.session("romeo");
    let mut juliet = scene.session("juliet");
    juliet.send(ENABLE);
    juliet.expect("<enabled");
    romeo.send(
        "<iq type='get' id='asked' to='juliet@localhost/juliet'><x xmlns='urn:example:x'/></iq>",
    );
    juliet.expect("</iq>");
    cut(&juliet);
    let answer = romeo.expect("</iq>");
    assert!(answer.contains("id='asked'"), "{answer}");
    assert!(answer.contains("<service-unavailable"), "{answer}");
    assert!(!scene.is_bound("juliet"));
}

#[test]
fn of_many_sessions_that_wait_the_oldest_ends() {
    let limits = Limits {
        hibernating: 2,
        ..Limits::default()
    };
    let scene = Scene::with_limits(limits, |_| {});
    let mut ids = Vec::new();
    for resource in ["a", "b", "c"] {
        let mut client = logged_in(&scene, "juliet");
        client.bind(resource);
        client.send(ENABLE);
        let enabled = client.expect("/>");
        ids.push(enabled.split('\'').nth(3).unwrap().to_owned());
        cut(&client);
        scene.wait_for_connections(0);
    }
    let mut results = Vec::new();
    for id in &ids {
        let mut client = logged_in(&scene, "juliet");
        client.send(&resume(id, 0));
        client.expect("urn:xmpp:sm:3");
        results.push(!client.expect(">").contains("<item-not-found"));
        cut(&client);
        scene.wait_for_connections(0);
    }
    let account = scene.server.loaded_account("juliet@localhost").unwrap();
    assert_eq!(account.lock().resources.len(), 2, "{results:?}");
}

#[test]
fn a_client_that_acknowledges_nothing_gets_no_more_than_the_bound() {
    let limits = Limits {
        unacked_stanzas: 100,
        ..Limits::default()
    };
    let scene = Scene::with_limits(limits, |_| {});
    let (mut juliet, _) = managed(&scene, "juliet");
    let mut romeo = scene.session("romeo");
    for number in 0..300 {
        romeo.send(&message(number));
        if number % 50 == 0 {
            romeo.settle();
        }
    }
    romeo.settle();
    // All that she is sent is acknowledged, when she is asked behind the hundredth or later.
    let mut handled = 0;
    while handled < 300 {
        juliet.expect("<body>");
        handled += 1;
        if handled == 100 {
            // Long enough in one piece that more would have come.
            juliet.send("<iq type='get' id='settle' to='localhost'><nothing xmlns='urn:example:none'/></iq>");
        }
        if handled >= 100 {
            juliet.send(&ack(handled));
        }
    }
}
