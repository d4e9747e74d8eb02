//! Stream management (XEP-0198): what a client may ask where, and what is counted.

use tercet_core::StreamCondition;
use tercet_stream::Ending;

use super::support::{Client, END, Split, bind, dialogue, lab};

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn a(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

fn resume(id: &str, h: &str) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>")
}

fn failed(condition: &str) -> String {
    format!(
        "<failed xmlns='urn:xmpp:sm:3'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    )
}

#[test]
fn stanzas_of_the_client_count_from_enable_on() {
    dialogue(|split| {
        let mut client = Client::bound(lab(), split);
        client.send("<presence/>");
        client.send(&format!("{ENABLE}<presence/>{R}"));
        assert_eq!(
            client.recv(),
            format!("<enabled xmlns='urn:xmpp:sm:3'/>{}", a(1))
        );
        // White space, acknowledgements and requests are no stanzas.
        client.send(&format!("<message/> {R}{}<iq type='get' id='1'/>{R}", a(7)));
        assert_eq!(client.recv(), format!("{}{}", a(2), a(3)));
        assert_eq!(client.acked, [7]);
        assert_eq!(client.stream.received(), Some(3));
    });
}

#[test]
fn what_the_stream_answers_itself_counts_too() {
    dialogue(|split| {
        let mut client = Client::bound(lab(), split);
        client.send(&format!("{ENABLE}{}{R}", bind("garden")));
        let text = client.recv();
        assert!(text.contains("<not-allowed"), "{text}");
        assert!(text.ends_with(&a(1)), "{text}");
    });
}

#[test]
fn a_session_can_be_resumable() {
    for value in ["true", "1", "false"] {
        dialogue(|split| {
            let mut client = Client::bound(lab(), split);
            client.send(&format!(
                "<enable xmlns='urn:xmpp:sm:3' resume='{value}' max='60'/>"
            ));
            let resumable = "<enabled xmlns='urn:xmpp:sm:3' id='sm-id' resume='true' max='600'/>";
            match value {
                "false" => assert_eq!(client.recv(), "<enabled xmlns='urn:xmpp:sm:3'/>"),
                _ => assert_eq!(client.recv(), resumable),
            }
        });
    }
}

#[test]
fn enabling_twice_ends_the_stream() {
    dialogue(|split| {
        let mut client = Client::bound(lab(), split);
        client.send(&format!("{ENABLE}{ENABLE}"));
        let text = client.recv();
        assert!(text.contains("<policy-violation"), "{text}");
        client.expect_silence();
    });
}

#[test]
fn before_a_login_nothing_of_it_can_be_had() {
    dialogue(|split| {
        let mut client = Client::new(lab(), split);
        client.send(super::support::HEADER);
        client.recv();
        client.send(ENABLE);
        assert_eq!(client.recv(), failed("unexpected-request"));
        client.send(&resume("sm-id", "0"));
        assert_eq!(client.recv(), failed("unexpected-request"));
        assert!(client.asked.is_empty());
    });
}

#[test]
fn before_a_resource_is_bound_there_is_nothing_to_enable() {
    dialogue(|split| {
        let mut client = Client::logged_in(lab(), split);
        client.send(ENABLE);
        assert_eq!(client.recv(), failed("unexpected-request"));
        client.send(&bind("balcony"));
        client.recv();
        client.send(ENABLE);
        assert_eq!(client.recv(), "<enabled xmlns='urn:xmpp:sm:3'/>");
    });
}

#[test]
fn a_session_goes_on_with_its_counts() {
    dialogue(|split| {
        let mut client = Client::logged_in(lab(), split);
        // What comes behind is the session's.
        client.send(&format!("{}<message/>{R}", resume("sm-id", "10")));
        assert_eq!(
            client.recv(),
            format!(
                "<resumed xmlns='urn:xmpp:sm:3' h='5' previd='sm-id'/>{}",
                a(6)
            )
        );
        assert_eq!(client.bound[0].as_str(), "juliet@im.example.com/balcony");
        assert_eq!(client.stanzas.len(), 1);
        assert_eq!(client.asked.last().unwrap(), "resume sm-id at 10");
        // It has a resource, and is counted.
        client.send(&resume("sm-id", "10"));
        assert_eq!(client.recv(), failed("unexpected-request"));
        client.send(ENABLE);
        client.expect_error(StreamCondition::PolicyViolation);
    });
}

#[test]
fn who_cannot_resume_may_bind() {
    dialogue(|split| {
        let mut client = Client::logged_in(lab(), split);
        client.send(&resume("other", "0"));
        assert_eq!(client.recv(), failed("item-not-found"));
        client.send(&resume("sm-old", "0"));
        assert_eq!(
            client.recv(),
            failed("item-not-found").replace("sm:3'", "sm:3' h='3'")
        );
        for bad in [
            resume("sm-id", "-1"),
            resume("sm-id", "4294967296"),
            "<resume xmlns='urn:xmpp:sm:3' h='1'/>".to_owned(),
            "<resume xmlns='urn:xmpp:sm:3' previd='sm-id'/>".to_owned(),
        ] {
            client.send(&bad);
            assert_eq!(client.recv(), failed("bad-request"));
        }
        client.send(&format!("{}<presence/>", bind("balcony")));
        assert_eq!(client.bound.len(), 1);
        assert_eq!(client.stanzas.len(), 1);
    });
}

#[test]
fn session_ids_cannot_be_tried_for_ever() {
    let mut client = Client::logged_in(lab(), Split::Whole);
    for _ in 0..10 {
        client.send(&resume("guess", "0"));
    }
    client.expect_error(StreamCondition::PolicyViolation);
}

#[test]
fn who_has_handled_more_than_was_sent_is_told_how_much_that_was() {
    dialogue(|split| {
        let mut client = Client::logged_in(lab(), split);
        client.send(&resume("sm-id", "11"));
        let text = client.recv();
        assert!(
            text.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='11' send-count='10'/>"),
            "{text}"
        );
        assert!(text.contains("<undefined-condition"), "{text}");
        client.expect_silence();
    });
}

#[test]
fn acknowledgements_that_were_not_enabled_are_not_heard() {
    dialogue(|split| {
        let mut client = Client::bound(lab(), split);
        client.send(&format!("{R}{}", a(3)));
        assert_eq!(client.recv(), "");
        assert!(client.acked.is_empty());
    });
}

#[test]
fn an_acknowledgement_without_its_count_ends_the_stream() {
    for bad in ["", "h=''", "h='-1'", "h='x'", "h='4294967296'"] {
        let mut client = Client::bound(lab(), Split::Whole);
        client.send(&format!("{ENABLE}<a xmlns='urn:xmpp:sm:3' {bad}/>"));
        assert_eq!(
            client.ending(),
            Some(Ending::Error(StreamCondition::InvalidXml))
        );
    }
}

#[test]
fn the_counter_begins_again_at_its_end() {
    // The highest count is another number like any.
    let mut client = Client::bound(lab(), Split::Whole);
    client.send(&format!("{ENABLE}{}", a(u32::MAX)));
    assert_eq!(client.acked, [u32::MAX]);
}

#[test]
fn who_ends_the_stream_is_told_what_was_handled() {
    dialogue(|split| {
        let mut client = Client::bound(lab(), split);
        client.send(ENABLE);
        client.recv();
        client.send(&format!("<message/>{END}"));
        assert_eq!(client.recv(), format!("{}</stream:stream>", a(1)));
    });
}
