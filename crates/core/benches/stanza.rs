//! What a stanza costs: `cargo bench -p tercet-core --bench stanza [-- part of a name]`. Best of many rounds, in
//! nanoseconds.

use std::hint::black_box;
use std::time::Instant;

use rxml::Parse;
use tercet_core::{Frame, Head, Limits, OwnedElement, Stanza, StreamParser};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// 362 bytes, as chat clients send them.
const CHAT: &str = "<message xmlns='jabber:client' from='romeo@montague.example/orchard' to='juliet@capulet.example' \
    id='5a3f9c1e-7b42-4d8e-9f10' type='chat'><body>Wherefore art thou?</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
    <origin-id xmlns='urn:xmpp:sid:0' id='5a3f9c1e-7b42-4d8e-9f10'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>";

/// About 2,000 bytes: eight keys and a payload, as OMEMO has them.
fn omemo() -> String {
    let mut keys = String::new();
    for rid in 0..8 {
        keys += &format!(
            "<key rid='{}'>{}</key>",
            1_830_214_417 + rid,
            "MwohBRKd0JbgTz4+".repeat(10)
        );
    }
    format!(
        "<message to='juliet@capulet.example' type='chat' id='9e1f0c7a'><encrypted xmlns='eu.siacs.conversations.axolotl'>\
         <header sid='1830214416'>{keys}<iv>bGfNAH2mVYd4kGxu</iv></header><payload>{}</payload></encrypted>\
         <encryption xmlns='urn:xmpp:eme:0' name='OMEMO' namespace='eu.siacs.conversations.axolotl'/>\
         <store xmlns='urn:xmpp:hints'/><body>I sent you an OMEMO encrypted message</body></message>",
        "q83vEjRWeJA=".repeat(8)
    )
}

/// Runs `work` in rounds of `count` and prints the best round's time of one.
fn time(what: &str, bytes: usize, mut work: impl FnMut()) {
    const COUNT: u32 = 2_000;
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    if wanted.is_some_and(|part| !what.contains(&part)) {
        return;
    }
    let mut best = f64::MAX;
    for _ in 0..25 {
        let start = Instant::now();
        for _ in 0..COUNT {
            work();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(COUNT));
    }
    println!(
        "{what:<44} {bytes:>6} bytes {best:>9.1} ns {:>7.2} GB/s",
        bytes as f64 / best
    );
}

fn parser() -> StreamParser {
    let mut parser = StreamParser::new(Limits::AFTER_LOGIN);
    let mut header = HEADER.as_bytes();
    assert!(matches!(
        parser.next(&mut header),
        Ok(Some(Frame::Header(_)))
    ));
    parser
}

fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml.as_bytes()).expect("the bench's own stanza is well-formed")
}

fn main() {
    let omemo = omemo();
    for (name, xml) in [("chat", CHAT), ("omemo", &omemo)] {
        let mut parser = parser();
        time(&format!("parse {name}"), xml.len(), || {
            let mut input = black_box(xml.as_bytes());
            black_box(parser.next(&mut input).is_ok());
        });
        time(&format!("parse {name}, in two pieces"), xml.len(), || {
            let (mut a, mut b) = black_box(xml.as_bytes()).split_at(xml.len() / 2);
            black_box(parser.next(&mut a).is_ok());
            black_box(parser.next(&mut b).is_ok());
        });
    }
    for (name, xml) in [("chat", CHAT), ("omemo", &omemo)] {
        time(
            &format!("rxml reads {name}, for comparison"),
            xml.len(),
            || {
                let mut reader = rxml::Parser::new();
                let mut input = black_box(xml.as_bytes());
                while let Ok(Some(event)) = reader.parse(&mut input, true) {
                    black_box(event);
                }
            },
        );
    }
    let many = CHAT.repeat(100);
    let mut in_batch = parser();
    time("parse 100 chat messages in one buffer", many.len(), || {
        let mut input = black_box(many.as_bytes());
        while let Ok(Some(frame)) = in_batch.next(&mut input) {
            black_box(frame);
        }
    });
    for (name, xml) in [("chat", CHAT), ("omemo", &omemo)] {
        let stanza = stanza(xml);
        let mut out = Vec::with_capacity(4096);
        let head = Head {
            from: Some("romeo@montague.example/orchard"),
            to: Some("juliet@capulet.example/balcony"),
            ..Head::default()
        };
        time(&format!("write {name}"), xml.len(), || {
            out.clear();
            black_box(&stanza).write(&mut out, head);
            black_box(&out);
        });
        time(&format!("element view of {name}"), xml.len(), || {
            black_box(OwnedElement::parse(black_box(xml.as_bytes()), "jabber:client").is_ok());
        });
    }
    let shared = stanza(CHAT).share(Some("room@muc.example/romeo"), None);
    let mut out = Vec::with_capacity(1 << 20);
    time(
        "fan-out of chat to 1,000 targets",
        1000 * CHAT.len(),
        || {
            out.clear();
            for _ in 0..1000 {
                black_box(&shared).write(&mut out, Some("juliet@capulet.example/balcony"));
            }
            black_box(&out);
        },
    );
}
