//! What routing costs without sockets: `cargo bench -p tercet-server`. Nanoseconds per stanza, best of several runs.

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tercet_core::{BareJid, Stanza};
use tercet_server::{Clock, HostInfo, KINDS, Limits, Outbox, Routed, Server, Session};
use tercet_store::Store;

const MESSAGE: &str = "<message xmlns='jabber:client' to='juliet@bench.example/home' type='chat' id='a1b2c3'>\
    <body>Wherefore art thou? Deny thy father and refuse thy name.</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
    <origin-id xmlns='urn:xmpp:sid:0' id='a1b2c3'/></message>";
const PRESENCE: &str =
    "<presence xmlns='jabber:client'><show>away</show><priority>1</priority></presence>";
const CONTACTS: usize = 1000;

fn main() {
    let server = server();
    let romeo = login(&server, "romeo@bench.example", "orchard");
    let juliet = login(&server, "juliet@bench.example", "home");
    let message = Stanza::parse(MESSAGE.as_bytes()).expect("a message");
    let one = best(100_000, || {
        done(server.accept(&romeo, message.clone()));
        black_box(drain(juliet.outbox()));
    });
    println!("message to a full JID       {one:8.0} ns");
    let bare = MESSAGE.replace("/home", "");
    let bare = Stanza::parse(bare.as_bytes()).expect("a message");
    let presence = Stanza::parse(PRESENCE.as_bytes()).expect("presence");
    wait(server.accept(&juliet, presence.clone()));
    let one = best(100_000, || {
        done(server.accept(&romeo, bare.clone()));
        black_box(drain(juliet.outbox()));
    });
    println!("message to a bare JID       {one:8.0} ns");

    let contacts: Vec<_> = (0..CONTACTS)
        .map(|i| login(&server, &format!("contact{i}@bench.example"), "x"))
        .collect();
    for contact in &contacts {
        let jid = contact.account().jid().clone();
        let changed = server.change_contact(romeo.account(), &jid, |item| {
            item.in_roster = true;
            item.subscription.from = true;
        });
        futures_wait(changed).expect("room in the roster");
        wait(server.accept(contact, presence.clone()));
        drain(contact.outbox());
    }
    let one = best(200, || {
        done(server.accept(&romeo, presence.clone()));
        for contact in &contacts {
            black_box(drain(contact.outbox()));
        }
    });
    println!(
        "presence to {CONTACTS} contacts    {:8.0} ns each",
        one / CONTACTS as f64
    );
}

fn server() -> Arc<Server> {
    let server = futures_wait(Server::new(
        Store::memory(KINDS),
        Limits::default(),
        Clock::System,
    ))
    .expect("a server");
    let info = HostInfo {
        domain: "bench.example".into(),
        ..HostInfo::default()
    };
    server
        .configure(vec![info], |_| ())
        .expect("no modules, no faults");
    server
}

fn login(server: &Arc<Server>, jid: &str, resource: &str) -> Arc<Session> {
    let jid = BareJid::parse(jid).expect("a JID");
    futures_wait(server.create_account(&jid, "secret", false)).expect("a new account");
    let outbox = Arc::new(Outbox::new(1 << 20));
    futures_wait(server.bind(&jid, Some(resource), outbox, None)).expect("a session")
}

/// The shortest of five runs of `times` calls, in nanoseconds a call.
fn best(times: u32, mut call: impl FnMut()) -> f64 {
    let run = |call: &mut dyn FnMut()| {
        let began = Instant::now();
        (0..times).for_each(|_| call());
        began.elapsed()
    };
    let shortest = (0..5)
        .map(|_| run(&mut call))
        .min()
        .unwrap_or(Duration::ZERO);
    shortest.as_nanos() as f64 / f64::from(times)
}

fn drain(outbox: &Outbox) -> usize {
    match outbox.poll_take(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => taken.bytes.len(),
        Poll::Pending => 0,
    }
}

fn done(routed: Routed) {
    assert!(
        matches!(routed, Routed::Done),
        "the fast path is synchronous"
    );
}

fn wait(routed: Routed) {
    futures_wait(routed.wait());
}

/// The memory store answers at once, so that every future here is ready at its first poll.
fn futures_wait<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}
