//! The example of RFC 6120 §9.1, with this server's nonce and features.

use tercet_core::{SaslFailure, StreamCondition};
use tercet_stream::sasl::{Mechanism, ScramHash};
use tercet_stream::{Ending, Input, StreamEvent};

use crate::support::*;

/// The features without those that the RFC does not know, SASL2 and what belongs to it.
fn older(features: &str) -> String {
    let mut text = features.to_owned();
    for (start, end) in [
        ("<authentication ", "</authentication>"),
        ("<config-version ", "/>"),
    ] {
        let from = text.find(start).unwrap();
        let to = text[from..].find(end).unwrap() + from + end.len();
        text.replace_range(from..to, "");
    }
    text
}

#[test]
fn the_client_of_rfc_6120_section_9_1_gets_through() {
    dialogue(|split| {
        let mut client = Client::new(config(), split);
        // §9.1.1, steps 1 to 3
        client.send(
            "<stream:stream from='juliet@im.example.com' to='im.example.com' version='1.0' \
             xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        );
        let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
            xmlns:stream='http://etherx.jabber.org/streams' from='im.example.com' \
            to='juliet@im.example.com' version='1.0' xml:lang='en'>";
        assert_eq!(
            client.recv(),
            header.to_owned()
                + "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>\
                   </starttls><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes>\
                   </limits></stream:features>"
        );
        // steps 4 and 5
        client.send(STARTTLS);
        assert_eq!(client.recv(), PROCEED);
        assert!(client.tls_wanted);
        client.input(Input::TlsUp(tls()));
        // §9.1.2, steps 6 to 8
        client.send(
            "<stream:stream from='juliet@im.example.com' to='im.example.com' version='1.0' \
             xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        );
        assert_eq!(
            older(&client.recv()),
            header.to_owned()
                + "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                   <mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism>\
                   <mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism>\
                   <mechanism>PLAIN</mechanism></mechanisms>\
                   <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
                   <channel-binding type='tls-exporter'/>\
                   <channel-binding type='tls-server-end-point'/></sasl-channel-binding>\
                   <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes></limits>\
                   </stream:features>"
        );
        // steps 9 to 12
        let first = "n=juliet,r=oMsTAAwAAAAMAAAANP0TAAAAAABPU0AA";
        client.send(&auth("SCRAM-SHA-1", &format!("n,,{first}")));
        let server_first = message_of(&client.recv());
        assert!(server_first.starts_with("r=oMsTAAwAAAAMAAAANP0TAAAAAABPU0AA"));
        let last = client_final(ScramHash::Sha1, PASSWORD, first, &server_first, b"n,,");
        client.send(&response(&last));
        let success = client.recv();
        assert!(success.starts_with("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"));
        assert!(message_of(&success).starts_with("v="));
        let account = tercet_core::BareJid::parse("juliet@im.example.com").unwrap();
        assert_eq!(
            client.events,
            [StreamEvent::Authenticated {
                account,
                mechanism: Mechanism::ScramSha1
            }]
        );
        // §9.1.3, steps 13 to 15
        client.send(
            "<stream:stream from='juliet@im.example.com' to='im.example.com' version='1.0' \
             xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        );
        assert_eq!(
            client.recv(),
            header.to_owned()
                + "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                   <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session><sm xmlns='urn:xmpp:sm:3'/>\
                   <ver xmlns='urn:xmpp:features:rosterver'/>\
                   <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes>\
                   <idle-seconds>3600</idle-seconds></limits></stream:features>"
        );
        // steps 16 and 17
        client.send(
            "<iq id='yhc13a95' type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>balcony</resource></bind></iq>",
        );
        assert_eq!(
            client.recv(),
            "<iq type='result' id='yhc13a95'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>juliet@im.example.com/balcony</jid></bind></iq>"
        );
        assert!(client.stream.is_bound());
        assert_eq!(client.stream.lang(), Some("en"));
        // §9.1.4
        let message = "<message from='juliet@im.example.com/balcony' id='ju2ba41c' \
            to='romeo@example.net' type='chat' xml:lang='en'>\
            <body>Art thou not Romeo, and a Montague?</body></message>";
        client.send(message);
        assert_eq!(client.stanzas, [message]);
        // §9.1.5
        client.send(END);
        assert_eq!(client.recv(), END);
        assert_eq!(client.ending(), Some(Ending::ByPeer));
        client.expect_silence();
    });
}

#[test]
fn every_stream_error_of_the_rfc_can_be_sent() {
    for &condition in StreamCondition::ALL {
        let mut client = Client::bound(lab(), Split::Whole);
        client.input(Input::Close(condition.into()));
        client.expect_error(condition);
    }
}

#[test]
fn every_failure_of_the_rfc_reaches_the_client() {
    for &reason in SaslFailure::ALL {
        let mut client = Client::new(lab(), Split::Whole);
        client.send(HEADER);
        client.recv();
        client.hold = true;
        client.send(&auth("PLAIN", "\0juliet\0x"));
        client.answer_with(tercet_stream::Answer::Account(Err(reason)));
        assert_eq!(client.recv(), failure(reason));
    }
}
