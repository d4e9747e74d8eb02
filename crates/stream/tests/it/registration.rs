//! In-band registration before a login (XEP-0077).

use std::time::Duration;

use tercet_core::StreamCondition;

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn registration_is_announced_and_heard_where_it_is_offered() {
    let request =
        "<iq type='get' id='r1' to='im.example.com'><query xmlns='jabber:iq:register'/></iq>";
    dialogue(|split| {
        let mut client = Client::new(config_with(|host| host.registration = true), split);
        client.input(tercet_stream::Input::TlsUp(tls()));
        client.send(HEADER);
        let feature = "<register xmlns='http://jabber.org/features/iq-register'/>";
        assert!(client.recv().contains(feature));
        client.send(request);
        assert_eq!(client.recv(), "<iq type='result' id='r1'/>");
        assert_eq!(client.asked, ["register at im.example.com"]);
        client.send(&auth("PLAIN", &format!("\0juliet\0{PASSWORD}")));
        assert!(client.authenticated());
    });
}

#[test]
fn registration_that_is_not_offered_is_an_unavailable_service() {
    let mut client = Client::inside_tls(config(), Split::Bytes, tls());
    client.send("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>");
    let text = client.recv();
    assert!(
        text.starts_with("<iq type='error' from='im.example.com' id='r1'>"),
        "{text}"
    );
    assert!(text.contains("<service-unavailable "), "{text}");
    assert_eq!(client.asked, [""; 0]);
}

#[test]
fn an_invitation_that_was_shown_goes_along_with_registrations() {
    let show = |token: &str| {
        format!(
            "<iq type='set' id='{token}' to='im.example.com'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></iq>"
        )
    };
    let register = "<iq type='set' id='r1'><query xmlns='jabber:iq:register'/></iq>";
    dialogue(|split| {
        let config = config_with(|host| (host.registration, host.invitations) = (true, true));
        let mut client = Client::new(config, split);
        client.input(tercet_stream::Input::TlsUp(tls()));
        client.send(HEADER);
        let feature = "<register xmlns='urn:xmpp:ibr-token:0'/>";
        assert!(client.recv().contains(feature));
        client.send(&show("bad"));
        assert_eq!(client.recv(), "<iq type='error' id='bad'/>");
        client.send(register);
        client.recv();
        client.send(&show("good"));
        assert_eq!(client.recv(), "<iq type='result' id='good'/>");
        client.send(register);
        client.recv();
        client.send(&show("worse"));
        client.recv();
        client.send(register);
        client.recv();
        assert_eq!(
            client.asked,
            [
                "invitation to im.example.com",
                "register at im.example.com",
                "invitation to im.example.com",
                "register at im.example.com with good",
                "invitation to im.example.com",
                "register at im.example.com",
            ]
        );
    });
}

#[test]
fn invitations_that_are_not_offered_are_an_unavailable_service() {
    let mut client = Client::inside_tls(
        config_with(|host| host.registration = true),
        Split::Bytes,
        tls(),
    );
    client.send("<iq type='set' id='p1'><preauth xmlns='urn:xmpp:pars:0' token='good'/></iq>");
    let text = client.recv();
    assert!(text.contains("<service-unavailable "), "{text}");
    assert_eq!(client.asked, [""; 0]);
}

#[test]
fn registration_requests_are_bounded() {
    let mut client = Client::inside_tls(
        config_with(|host| host.registration = true),
        Split::Whole,
        tls(),
    );
    for _ in 0..10 {
        client.send("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>");
        assert!(!client.closed);
    }
    client.send("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>");
    client.expect_error(StreamCondition::PolicyViolation);
}

/// security.md, line 4: what a laboratory's tools need holds for them only.
#[test]
fn more_time_for_a_stream_that_registers_is_no_more_for_others() {
    let mut config = config_with(|host| host.registration = true);
    config.max_registrations = u32::MAX;
    config.registering_timeout = 3600 * SECOND;
    let open = || Client::inside_tls(config.clone(), Split::Whole, tls());

    let mut registers = open();
    for _ in 0..25 {
        registers.send("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>");
    }
    registers.wait(3599 * SECOND);
    assert!(!registers.closed);
    registers.wait(SECOND);
    registers.expect_error(StreamCondition::ConnectionTimeout);

    let mut silent = open();
    silent.wait(30 * SECOND);
    silent.expect_error(StreamCondition::ConnectionTimeout);

    let mut guesses = open();
    for _ in 0..10 {
        assert!(!guesses.closed);
        guesses.send(&auth("PLAIN", "\0juliet\0wrong"));
    }
    guesses.expect_error(StreamCondition::PolicyViolation);
}
