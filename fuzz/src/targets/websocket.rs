//! WebSocket frames and the messages in them: the same events however the bytes are split, no message longer than its bound, and stanzas that
//! stand alone mean what they meant on their stream.

use tercet_core::{Frame, Head, Limits, OwnedElement, StreamParser, ns};
use tercet_stream::messages;
use tercet_stream::websocket::{Event, Fault, Reader};

use super::same;
use crate::Target;
use crate::mutate::Random;

pub(crate) const TARGET: Target = Target {
    name: "websocket",
    run,
    dictionary: &[
        "\u{1}\u{0}",
        "<message>",
        "</message>",
        "<presence/>",
        "<iq id='1'>",
        " xmlns='jabber:client'",
        " xmlns='urn:x'",
        "<p:x xmlns:p='urn:x'/>",
        "<client:message xmlns:client='jabber:client'/>",
        " a='>'",
        " a=\"/>\"",
        "<![CDATA[</message>]]>",
        "&gt;",
        "/>",
        "\t",
        "\n",
    ],
};

/// Bytes that a message may have here.
const LIMIT: usize = 2048;

type Outcome = (Vec<Event>, Option<Fault>);

fn run(data: &[u8]) {
    frames(data);
    stanzas(data);
}

/// The first eight bytes say how the rest is split.
fn frames(data: &[u8]) {
    let (seed, data) = match data.split_first_chunk::<8>() {
        Some((seed, rest)) => (u64::from_le_bytes(*seed), rest),
        None => (0, data),
    };
    let whole = read([data]);
    assert_eq!(whole, read(data.chunks(1)), "the same events byte by byte");
    let middle = Random::new(seed).below(data.len() + 1);
    let (head, tail) = data.split_at(middle);
    assert_eq!(whole, read([head, tail]), "the same events in two pieces");
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = Reader::new();
    let mut events = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece, LIMIT) {
                Ok(Some(event)) => {
                    match &event {
                        Event::Text(text) => {
                            assert!(text.len() <= LIMIT && std::str::from_utf8(text).is_ok())
                        }
                        Event::Ping(payload) => assert!(payload.len() <= 125),
                        Event::Pong | Event::Close(_) => {}
                    }
                    events.push(event);
                }
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(reader.next(&mut piece, LIMIT), Err(fault), "a fault stays");
                    return (events, Some(fault));
                }
            }
        }
        assert!(piece.is_empty(), "all is taken");
    }
    (events, None)
}

/// Reads stanzas off a stream, writes them as they wait in an outbox, and takes them apart into messages.
fn stanzas(data: &[u8]) {
    let mut parser = StreamParser::new(Limits::AFTER_LOGIN);
    let mut header: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:p'>";
    assert!(matches!(
        parser.next(&mut header),
        Ok(Some(Frame::Header(_)))
    ));
    let mut rest = data;
    let mut outbox = Vec::new();
    let mut expected = Vec::new();
    while let Ok(Some(frame)) = parser.next(&mut rest) {
        if let Frame::Stanza(stanza) = frame {
            let mut head = Head {
                from: Some("romeo@montague.example/>'"),
                to: Some("juliet@capulet.example"),
                lang: None,
                xmlns: None,
            };
            stanza.write(&mut outbox, head);
            let mut alone = Vec::new();
            head.xmlns = Some(ns::CLIENT);
            stanza.write(&mut alone, head);
            expected.push(alone);
        }
    }
    let mut count = 0;
    for (message, expected) in messages(&outbox).zip(&expected) {
        count += 1;
        let mut out = Vec::new();
        message.write(&mut out);
        assert_eq!(
            out.len(),
            message.len(),
            "the frame's header says its length"
        );
        let one = OwnedElement::parse(&out, "").expect("a message is a document");
        let other = OwnedElement::parse(expected, "").expect("a stanza is a document");
        same::elements(one.root(), other.root());
    }
    assert_eq!(count, expected.len(), "as many messages as stanzas");
    assert_eq!(messages(&outbox).count(), expected.len(), "and none more");
}
