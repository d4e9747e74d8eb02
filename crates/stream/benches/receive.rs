//! What a client stream costs: stanzas of a bound client beside the parser alone, and a login.
//! `cargo bench -p tercet-stream --bench receive`

#![allow(missing_docs)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::{BareJid, Limits, StreamParser};
use tercet_stream::sasl::{ScramHash, ScramKeys};
use tercet_stream::{
    Answer, C2sConfig, C2sStream, Framing, HostConfig, Input, Output, Question, TlsPolicy,
};

const HEADER: &[u8] = b"<stream:stream to='example.org' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
const MESSAGE: &str = "<message to='romeo@example.net/orchard' id='ju2ba41c' type='chat'>\
    <body>Art thou not Romeo, and a Montague?</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/></message>";
const AUTH: &[u8] =
    b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
const SCRAM: &[u8] = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>\
    biwsbj11c2VyLHI9Zm55a28=</auth>";
const PROOF: &[u8] = b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    Yz1iaXdzLHI9eCxwPUFBRUNBd1FGQmdjSUNRb0xEQTBPRHhBUkVoTVVGUllYR0JrYUd4d2RIaDg9</response>";
const BIND: &[u8] = b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";

/// Best of several rounds, in nanoseconds per call: the rest is the machine's noise.
fn measure(rounds: u32, calls: u32, mut call: impl FnMut()) -> f64 {
    let best = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                call();
            }
            start.elapsed()
        })
        .min()
        .unwrap_or(Duration::ZERO);
    best.as_nanos() as f64 / f64::from(calls)
}

fn feed(stream: &mut C2sStream, now: Instant, bytes: &[u8], keys: &ScramKeys) {
    stream.handle(now, Input::Bytes(bytes));
    while let Some(output) = stream.poll_output() {
        let Output::Ask(ticket, question) = output else {
            continue;
        };
        let account = BareJid::parse("a@example.org").expect("a JID");
        let answer = match question {
            Question::Bind { fallback, .. } => Answer::Bound(Ok(account
                .with_resource(&fallback)
                .expect("a resource of the stream's making")
                .into())),
            Question::ScramKeys { .. } => Answer::ScramKeys {
                keys: keys.clone(),
                account: Ok(account),
            },
            _ => Answer::Account(Ok(account)),
        };
        stream.handle(now, Input::Answer(ticket, answer));
    }
}

fn main() {
    let mut host = HostConfig::new("example.org");
    host.tls = TlsPolicy::Absent;
    let config = Arc::new(C2sConfig::new(host, []));
    let now = Instant::now();
    let rounds = NonZeroU32::new(2).expect("not zero");
    let keys = ScramKeys::derive(ScramHash::Sha256, "b", b"salt", rounds).expect("keys");
    let open = || {
        let mut stream = C2sStream::new(config.clone(), Framing::Tcp, now, [7; 32]);
        feed(&mut stream, now, HEADER, &keys);
        stream
    };
    let login = || {
        let mut stream = open();
        for bytes in [AUTH, HEADER, BIND] {
            feed(&mut stream, now, bytes, &keys);
        }
        assert!(stream.is_bound());
        stream
    };

    for batch in [1, 100] {
        let bytes = MESSAGE.repeat(batch);
        let per_stanza = |ns: f64| ns / batch as f64;
        let calls = 100_000 / batch as u32;

        let mut parser = StreamParser::new(Limits::AFTER_LOGIN);
        let mut input = HEADER;
        while let Ok(Some(_)) = parser.next(&mut input) {}
        let ns = measure(20, calls, || {
            let mut input = bytes.as_bytes();
            while let Ok(Some(frame)) = parser.next(&mut input) {
                drop(black_box(frame));
            }
        });
        println!("{batch:3} a read: parser     {:8.1} ns", per_stanza(ns));

        let mut stream = login();
        let ns = measure(20, calls, || {
            let mut input = bytes.as_bytes();
            while let Some(stanza) = stream.receive(now, &mut input) {
                drop(black_box(stanza));
            }
        });
        println!("{batch:3} a read: receive()  {:8.1} ns", per_stanza(ns));

        let mut stream = login();
        let ns = measure(20, calls, || {
            stream.handle(now, Input::Bytes(bytes.as_bytes()));
            while let Some(output) = stream.poll_output() {
                drop(black_box(output));
            }
        });
        println!("{batch:3} a read: handle()   {:8.1} ns", per_stanza(ns));
    }
    let ns = measure(20, 1_000, || drop(black_box(open())));
    println!("header, features      {ns:8.1} ns");
    let ns = measure(20, 1_000, || drop(black_box(login())));
    println!("header to bound       {ns:8.1} ns");
    let ns = measure(20, 1_000, || {
        let mut stream = open();
        feed(&mut stream, now, SCRAM, &keys);
        feed(&mut stream, now, PROOF, &keys);
        drop(black_box(stream));
    });
    println!("header, SCRAM refused {ns:8.1} ns");
}
