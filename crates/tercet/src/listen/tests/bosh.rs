//! BOSH by hand, over HTTP.

use super::*;

const BODY: &str = "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'";

impl Scene {
    /// Sends a request on a connection of its own.
    fn post_body(&self, attributes: &str) -> Client {
        let body = format!("{BODY} {attributes}/>");
        let mut client = Client::connect(self.address(Purpose::Http));
        client.send(&format!(
            "POST /bosh HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        client
    }

    /// The name of a new session.
    fn bosh_session(&self) -> String {
        let attributes = "rid='1' to='localhost' ver='1.6' hold='1' wait='60' xmpp:version='1.0'";
        let answer = self.post_body(attributes).rest();
        let (_, rest) = answer.split_once(" sid='").expect(&answer);
        rest.split('\'').next().unwrap().to_owned()
    }
}

#[test]
fn a_bosh_session_is_told_that_the_server_ends() {
    let mut scene = Scene::new(|_| {});
    let sid = scene.bosh_session();
    let mut first = scene.post_body(&format!("rid='2' sid='{sid}'"));
    let mut second = scene.post_body(&format!("rid='3' sid='{sid}'"));
    // The second is held now.
    let answer = first.rest();
    assert!(answer.contains("ack='3'"), "{answer}");
    assert_eq!(scene.drain(), 0);
    let answer = second.rest();
    assert!(answer.contains("condition='system-shutdown'"), "{answer}");
}

/// security.md, lines 4 and 12.
#[test]
fn a_bosh_session_that_does_not_log_in_in_time_ends_and_leaves_nothing() {
    let scene = Scene::new(|settings| settings.streams.login_timeout = Duration::from_secs(1));
    let sid = scene.bosh_session();
    scene.wait_for_connections(1);
    let answer = scene.post_body(&format!("rid='2' sid='{sid}'")).rest();
    assert!(answer.contains("<connection-timeout"), "{answer}");
    scene.wait_for_connections(0);
    let answer = scene.post_body(&format!("rid='3' sid='{sid}'")).rest();
    assert!(answer.contains("condition='item-not-found'"), "{answer}");
}

/// security.md, line 12.
#[test]
fn bosh_sessions_of_one_address_are_bounded_over_http() {
    let scene = Scene::new(|settings| {
        settings.web.bosh = Some(BoshLimits {
            sessions: 10,
            per_address: 1,
        });
    });
    scene.bosh_session();
    let answer = scene.post_body("rid='1' to='localhost' ver='1.6'").rest();
    assert!(answer.contains("condition='policy-violation'"), "{answer}");
}
