//! Time to parse a JID. `cargo bench -p tercet-core --bench jid`

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use tercet_core::Jid;

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

fn main() {
    let long = "a".repeat(1023);
    let dots = format!("{}\u{30a2}@d", "\u{30fb}".repeat(340));
    let cases = [
        ("domain", "example.org"),
        ("bare", "juliet@capulet.example"),
        ("full", "juliet@capulet.example/balcony"),
        (
            "full, random resource",
            "user1234@chat.example.org/gajim.5XK3Q0VW",
        ),
        ("full, upper case", "Juliet@Capulet.Example/Balcony"),
        ("longest bare", &format!("{long}@{long}")),
        ("umlauts", "j\u{fc}rgen@b\u{fc}cher.example/K\u{fc}che"),
        ("punycode", "a@xn--bcher-kva.example"),
        ("stringprep only", "ad\u{ad}min@capulet.example"),
        ("emoji nick", "room@chat.example.org/\u{1f970}\u{fe0f}"),
        ("340 Katakana dots", &dots),
    ];
    for (name, text) in cases {
        let calls = if text.is_ascii() { 100_000 } else { 2_000 };
        let ns = measure(20, calls, || {
            drop(black_box(Jid::parse(black_box(text))));
        });
        println!("{name:24} {ns:10.1} ns");
    }
    let copy: Box<str> = "juliet@capulet.example/balcony".into();
    let ns = measure(20, 100_000, || drop(black_box(copy.clone())));
    println!("{:24} {ns:10.1} ns", "the box alone");
}
