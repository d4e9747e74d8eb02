//! The proxy's side of SOCKS5: the same however the bytes come, nothing kept beyond a bound, and no more than two steps.

use tercet_stream::socks::{Event, Handshake, Reply};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "socks",
    run,
    dictionary: &[
        "\u{5}\u{1}\0",
        "\u{5}\u{1}\0\u{3}(",
        "0123456789abcdef0123456789abcdef01234567",
    ],
};

fn run(data: &[u8]) {
    let whole = events(data, data.len().max(1));
    assert_eq!(whole, events(data, 1), "however it comes");
    assert!(whole.len() <= 2, "a method and an end");
}

fn events(data: &[u8], piece: usize) -> Vec<Event> {
    let mut handshake = Handshake::new();
    let mut events = Vec::new();
    for bytes in data.chunks(piece) {
        handshake.receive(bytes);
        while let Some(event) = handshake.poll() {
            if matches!(event, Event::Connect(_)) {
                let reply = handshake.reply(Reply::Succeeded);
                assert_eq!(reply.len(), 3 + 2 + 40 + 2, "with the client's address");
            }
            events.push(event);
        }
    }
    events
}
