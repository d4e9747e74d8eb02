//! Components: one that speaks for `irc.localhost`, played by hand over plain sockets.

use super::*;
use std::net::TcpStream;
use tercet_stream::component::{ComponentConfig, ComponentHost, ComponentSecret};

pub(super) const IRC: &str = "irc.localhost";

fn streams() -> ComponentConfig {
    ComponentConfig::new([IRC, "wide.localhost"].map(|domain| ComponentHost {
        domain: domain.into(),
        secret: ComponentSecret::new("secret"),
        subdomains: domain != IRC,
    }))
}

fn places(replace: bool, wait: Duration) -> Vec<Place> {
    let place = |domain: &str| Place {
        domain: domain.into(),
        subdomains: domain != IRC,
        replace,
        wait,
        bytes: 1 << 16,
    };
    [IRC, "wide.localhost"].map(place).into()
}

/// Components whose stanzas wait for a minute.
fn scene() -> Scene {
    scene_with(false, Duration::from_secs(60))
}

fn scene_with(replace: bool, wait: Duration) -> Scene {
    Scene::new(|settings| {
        configure(settings);
        settings.components = places(replace, wait);
    })
}

/// Components whose stanzas wait for a minute.
pub(super) fn configure(settings: &mut Settings) {
    settings.component = Some(0);
    settings.components = places(false, Duration::from_secs(60));
    settings.component_streams = streams();
}

impl Scene {
    /// A connection that has said for whom it speaks, and proved to know `secret`.
    fn component_with(&self, domain: &str, secret: &str) -> Client {
        let mut component = Client::connect(self.address(Purpose::Component));
        component.send(&format!(
            "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>"
        ));
        let header = component.expect("xml:lang='en'>");
        let id = header.split(" id='").nth(1).unwrap().split('\'').next();
        let proof = ComponentSecret::new(secret).handshake(id.unwrap());
        component.send(&format!("<handshake>{proof}</handshake>"));
        component
    }

    /// A component that is connected.
    pub(super) fn component(&self, domain: &str) -> Client {
        let mut component = self.component_with(domain, "secret");
        component.expect("<handshake/>");
        component
    }
}

fn to_irc(id: &str) -> String {
    format!("<message to='rust@irc.localhost' id='{id}'><body>hi</body></message>")
}

#[test]
fn a_component_and_a_user_talk_in_the_order_of_what_they_say() {
    let scene = scene();
    let mut irc = scene.component(IRC);
    let mut romeo = scene.session("romeo");
    for number in 0..20 {
        romeo.send(&to_irc(&format!("r{number}")));
        irc.send(&format!("<message from='rust@irc.localhost/x' to='romeo@localhost/romeo' id='i{number}'><body>ho</body></message>"));
    }
    for number in 0..20 {
        let got = irc.expect("</message>");
        assert!(got.contains(&format!("id='r{number}'")), "{got}");
        assert!(got.contains("from='romeo@localhost/romeo'"), "{got}");
        assert!(!got.contains("jabber:client"), "{got}");
        let got = romeo.expect("</message>");
        assert!(got.contains(&format!("id='i{number}'")), "{got}");
        assert!(got.contains("from='rust@irc.localhost/x'"), "{got}");
    }
}

#[test]
fn components_reach_each_other_and_what_lies_below_them() {
    let scene = scene();
    let mut irc = scene.component(IRC);
    let mut wide = scene.component("wide.localhost");
    irc.send(
        "<message from='a@irc.localhost' to='b@deep.wide.localhost'><body>hi</body></message>",
    );
    assert!(wide.expect("</message>").contains("from='a@irc.localhost'"));
    wide.send(
        "<message from='b@deep.wide.localhost' to='a@irc.localhost'><body>ho</body></message>",
    );
    assert!(
        irc.expect("</message>")
            .contains("from='b@deep.wide.localhost'")
    );
    // Nobody is there.
    irc.send("<message from='a@irc.localhost' to='b@x.irc.localhost' id='n'/>");
    let error = irc.expect("</message>");
    assert!(
        error.contains("id='n'") && error.contains("<remote-server-not-found"),
        "{error}"
    );
}

#[test]
fn requests_of_a_component_are_answered_and_its_mistakes_come_back() {
    let scene = scene();
    let mut irc = scene.component(IRC);
    irc.send("<iq type='get' id='1' from='irc.localhost' to='localhost'><query xmlns='urn:unknown'/></iq>");
    let error = irc.expect("</iq>");
    assert!(
        error.contains("<service-unavailable") && error.contains("id='1'"),
        "{error}"
    );
    irc.send(
        "<iq type='get' from='irc.localhost' to='localhost'><query xmlns='urn:unknown'/></iq>",
    );
    assert!(irc.expect("</iq>").contains("<bad-request"));
    irc.send("<message from='a@irc.localhost' to='nobody@localhost' type='chat' id='2'><body>?</body></message>");
    assert!(irc.expect("</message>").contains("id='2'"));
}

#[test]
fn what_is_for_a_component_that_was_never_there_comes_back_at_once() {
    let scene = scene();
    let mut romeo = scene.session("romeo");
    romeo.send(&to_irc("one"));
    let error = romeo.expect("</message>");
    assert!(
        error.contains("<remote-server-timeout") && error.contains("id='one'"),
        "{error}"
    );
    assert!(
        error.contains("the component irc.localhost is not connected"),
        "{error}"
    );
}

#[test]
fn what_comes_in_the_middle_of_a_components_restart_waits_for_it() {
    let scene = scene();
    let mut irc = scene.component(IRC);
    let mut romeo = scene.session("romeo");
    romeo.send(&to_irc("before"));
    irc.expect("id='before'");
    irc.send("</stream:stream>");
    irc.rest();
    // The server has seen the end before it says its own.
    for number in 0..5 {
        romeo.send(&to_irc(&format!("m{number}")));
    }
    romeo.settle();
    let away = figures(&scene.server, IRC).unwrap();
    assert_eq!((away.connected, away.waiting), (None, 5));
    assert!(away.waiting_bytes > 0 && away.connections == 1);
    let mut irc = scene.component(IRC);
    for number in 0..5 {
        assert!(
            irc.expect("</message>")
                .contains(&format!("id='m{number}'"))
        );
    }
    let back = figures(&scene.server, IRC).unwrap();
    assert!(back.connected.is_some());
    assert_eq!((back.connections, back.sent, back.waiting), (2, 6, 0));
    assert_eq!((back.received, back.returned), (0, 0));
}

#[test]
fn what_waits_for_a_component_that_does_not_come_back_goes_back() {
    let scene = scene_with(false, Duration::from_millis(50));
    let mut irc = scene.component(IRC);
    let mut romeo = scene.session("romeo");
    irc.send("</stream:stream>");
    irc.rest();
    romeo.send(&to_irc("one"));
    let error = romeo.expect("</message>");
    assert!(
        error.contains("<remote-server-timeout") && error.contains("id='one'"),
        "{error}"
    );
}

#[test]
fn what_waits_for_a_component_goes_back_when_the_server_ends_and_it_is_told_last() {
    let mut scene = scene();
    let mut irc = scene.component(IRC);
    let mut wide = scene.component("wide.localhost");
    let mut romeo = scene.session("romeo");
    romeo.send("<presence to='x@wide.localhost'/>");
    wide.expect("/>");
    irc.send("</stream:stream>");
    irc.rest();
    romeo.send(&to_irc("one"));
    romeo.settle();
    scene.drain();
    let error = romeo.expect("</message>");
    assert!(
        error.contains("<remote-server-timeout") && error.contains("id='one'"),
        "{error}"
    );
    let end = wide.rest();
    assert!(end.contains("type='unavailable'"), "{end}");
    assert!(
        end.contains("<system-shutdown") && end.ends_with("</stream:stream>"),
        "{end}"
    );
}

#[test]
fn a_component_that_does_not_read_has_a_bound_and_harms_nobody() {
    let scene = scene();
    let mut irc = scene.component(IRC);
    let mut romeo = scene.session("romeo");
    let body = "a".repeat(60_000);
    let mut refused = false;
    for _ in 0..400 {
        romeo.send(&format!(
            "<message to='rust@irc.localhost' type='chat'><body>{body}</body></message>"
        ));
        if romeo.settle().contains("<resource-constraint") {
            refused = true;
            break;
        }
    }
    assert!(refused, "what waits for a component is bounded");
    let mut juliet = scene.session("juliet");
    juliet.settle();
    irc.expect(&body);
}

#[test]
fn who_does_not_know_the_secret_is_not_heard() {
    let scene = scene();
    let mut irc = scene.component_with(IRC, "other");
    let end = irc.rest();
    assert!(
        end.contains("<not-authorized") && end.ends_with("</stream:stream>"),
        "{end}"
    );
    // Nor is it taken for connected.
    let mut romeo = scene.session("romeo");
    romeo.send(&to_irc("one"));
    assert!(
        romeo
            .expect("</message>")
            .contains("<remote-server-timeout")
    );
}

#[test]
fn a_component_that_speaks_for_others_is_sent_away() {
    let scene = scene();
    let mut romeo = scene.session("romeo");
    for from in [
        "juliet@localhost",
        "localhost",
        "x@wide.localhost",
        "x@sub.irc.localhost",
    ] {
        let mut irc = scene.component(IRC);
        irc.send(&format!(
            "<message from='{from}' to='romeo@localhost/romeo'><body>forged</body></message>"
        ));
        let end = irc.rest();
        assert!(end.contains("<invalid-from"), "{from}: {end}");
    }
    assert!(!romeo.settle().contains("forged"));
}

#[test]
fn a_second_connection_is_refused_or_takes_the_place_of_the_first() {
    let scene = scene();
    let mut first = scene.component(IRC);
    let mut second = scene.component_with(IRC, "secret");
    let end = second.rest();
    assert!(
        end.contains("<conflict") && !end.contains("<handshake/>"),
        "{end}"
    );
    let mut romeo = scene.session("romeo");
    romeo.send(&to_irc("one"));
    first.expect("id='one'");

    let scene = scene_with(true, Duration::from_secs(60));
    let mut first = scene.component(IRC);
    let mut second = scene.component(IRC);
    assert!(first.rest().contains("<conflict"));
    let mut romeo = scene.session("romeo");
    for id in ["one", "two"] {
        romeo.send(&to_irc(id));
        second.expect(&format!("id='{id}'"));
    }
}

#[test]
fn a_component_that_is_taken_away_is_told_and_others_are_not() {
    let scene = scene();
    let mut irc = scene.component(IRC);
    let mut wide = scene.component("wide.localhost");
    let hub = scene
        .listeners
        .as_ref()
        .unwrap()
        .components
        .clone()
        .unwrap();
    let mut places = places(false, Duration::ZERO);
    places.remove(0);
    hub.set(places, streams());
    assert!(irc.rest().contains("<host-gone"));
    let mut romeo = scene.session("romeo");
    romeo.send(&to_irc("one"));
    assert!(
        romeo
            .expect("</message>")
            .contains("<remote-server-not-found")
    );
    romeo.send("<message to='x@wide.localhost' id='two'/>");
    wide.expect("id='two'");
}

#[test]
fn without_a_component_nothing_listens() {
    let scene = Scene::new(|_| {});
    let bound = scene.listeners.as_ref().unwrap().bound();
    assert!(
        bound
            .iter()
            .all(|(_, purpose)| *purpose != Purpose::Component)
    );
    // The port is for this machine alone unless other addresses are named.
    let scene = self::scene();
    let address = scene.address(Purpose::Component);
    assert!(address.ip().is_loopback() && TcpStream::connect(address).is_ok());
}
