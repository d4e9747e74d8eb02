//! A bound stream: stanzas, their `from`, and the stream's end.

use tercet_core::StreamCondition;
use tercet_stream::{Ending, Input, StreamEvent};

use crate::support::*;

/// RFC 6120 §8.1.2.1.
#[test]
fn ones_own_addresses_are_the_only_ones_to_be_from() {
    for from in [
        "",
        " from='juliet@im.example.com'",
        " from='juliet@im.example.com/balcony'",
        " from='Juliet@IM.example.com/balcony'",
    ] {
        dialogue(|split| {
            let mut client = Client::bound(lab(), split);
            let stanza = format!("<message to='romeo@example.net'{from}/>");
            client.send(&stanza);
            assert_eq!(client.stanzas, [stanza]);
        });
    }
    for from in [
        "romeo@im.example.com",
        "juliet@im.example.com/chamber",
        "juliet@im.example.com/Balcony",
        "juliet@example.net",
        "im.example.com",
        "",
        "@",
        "juliet@im.example.com/",
    ] {
        for stanza in ["message", "presence", "iq"] {
            let mut client = Client::bound(lab(), Split::Whole);
            client.send(&format!(
                "<{stanza} to='romeo@example.net' from='{from}' id='1'/>"
            ));
            assert_eq!(client.stanzas, [""; 0]);
            client.expect_error(StreamCondition::InvalidFrom);
        }
    }
}

/// XEP-0352 §4.2.
#[test]
fn a_client_says_whether_somebody_looks_at_it() {
    dialogue(|split| {
        let mut client = Client::bound(lab(), split);
        client.send("<inactive xmlns='urn:xmpp:csi:0'/>");
        assert_eq!(client.active, [false]);
        client.send("<active xmlns='urn:xmpp:csi:0'/><message id='1'/>");
        assert_eq!(client.active, [false, true]);
        assert_eq!(client.stanzas, ["<message id='1'/>"]);
        client.send("<asleep xmlns='urn:xmpp:csi:0'/>");
        client.expect_error(StreamCondition::UnsupportedStanzaType);
    });
}

#[test]
fn a_bad_to_is_left_to_the_router() {
    let mut client = Client::bound(lab(), Split::Bytes);
    client.send("<message to='@'/>");
    assert_eq!(client.stanzas, ["<message to='@'/>"]);
}

#[test]
fn many_stanzas_in_one_piece_come_out_in_order() {
    let numbers: Vec<String> = (0..500).map(|i| format!("<message id='{i}'/>")).collect();
    let mut client = Client::bound(lab(), Split::Whole);
    client.send(&numbers.concat());
    assert_eq!(client.stanzas, numbers);
}

#[test]
fn the_end_of_the_clients_stream_is_answered_and_ends_ours() {
    dialogue(|split| {
        let mut client = Client::bound(lab(), split);
        client.send("<presence/></stream:stream>");
        assert_eq!(client.stanzas, ["<presence/>"]);
        assert_eq!(client.recv(), END);
        assert_eq!(client.ending(), Some(Ending::ByPeer));
        client.expect_silence();
    });
    dialogue(|split| {
        // before a login too, and where the header's element is empty
        let mut client = Client::new(config(), split);
        client.send(&HEADER.replace("streams'>", "streams'/>"));
        assert!(client.recv().ends_with(&format!("</stream:features>{END}")));
        assert_eq!(client.ending(), Some(Ending::ByPeer));
        client.expect_silence();
    });
}

#[test]
fn the_clients_own_stream_error_ends_the_stream() {
    for (error, expected) in [
        (
            "<not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
            Some(StreamCondition::NotWellFormed),
        ),
        ("<x xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", None),
        ("", None),
    ] {
        dialogue(|split| {
            let mut client = Client::bound(lab(), split);
            client.send(&format!(
                "<stream:error>{error}</stream:error></stream:stream>"
            ));
            assert_eq!(client.recv(), END);
            assert_eq!(client.ending(), Some(Ending::PeerError(expected)));
            client.expect_silence();
        });
    }
}

#[test]
fn a_lost_connection_is_told_from_a_closed_stream() {
    let mut client = Client::bound(lab(), Split::Whole);
    client.input(Input::PeerClosed);
    assert_eq!(client.recv(), "");
    assert!(client.closed && client.stream.is_closed());
    assert_eq!(client.events[1..], [StreamEvent::Ended(Ending::Lost)]);

    let mut client = Client::bound(lab(), Split::Whole);
    client.send(END);
    client.input(Input::PeerClosed);
    assert!(client.stream.is_closed());
    assert_eq!(client.events[1..], [StreamEvent::Ended(Ending::ByPeer)]);
}

#[test]
fn the_server_can_send_a_client_elsewhere_before_and_after_its_header() {
    let error = tercet_core::StreamError::see_other_host("[2001:db8::1]:5222");
    for bound in [false, true] {
        let mut client = if bound {
            Client::bound(lab(), Split::Whole)
        } else {
            Client::new(lab(), Split::Whole)
        };
        client.input(Input::Close(error.clone()));
        let text = client.recv();
        assert_eq!(text.contains("<stream:stream "), !bound, "{text}");
        assert!(
            text.contains(">[2001:db8::1]:5222</see-other-host></stream:error>"),
            "{text}"
        );
        client.expect_silence();
    }
}
