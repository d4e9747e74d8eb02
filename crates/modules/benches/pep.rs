//! What it costs to tell contacts of an item, without sockets: `cargo bench -p tercet-modules`. The best of many publications.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tercet_core::{BareJid, Stanza};
use tercet_server::{Clock, HostInfo, Limits, Outbox, Server, Session};
use tercet_store::Store;

const CONTACTS: usize = 1000;
const NODE: &str = "http://jabber.org/protocol/tune";
const PRESENCE: &str = "<presence xmlns='jabber:client'><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
    node='urn:client' ver='Typ2y7NU52Y+tPVqOQzbGpfy65A='/></presence>";
/// What the hash was made of (XEP-0115 §5.1).
const FEATURES: &str = "<identity category='client' type='pc' name='Romeo'/>\
    <feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/tune+notify'/>";

fn main() {
    let server = server();
    let juliet = login(&server, "juliet@bench.example");
    let presence = stanza(PRESENCE);
    let mut contacts = Vec::new();
    for i in 0..CONTACTS {
        let contact = login(&server, &format!("contact{i}@bench.example"));
        let jid = contact.account().jid().clone();
        let changed = server.change_contact(juliet.account(), &jid, |item| {
            item.in_roster = true;
            item.subscription.from = true;
        });
        wait(changed).expect("room in the roster");
        wait(server.accept(&contact, presence.clone()).wait());
        run_due(&server);
        answer(&server, &contact);
        contacts.push(contact);
    }
    let publish = stanza(&format!(
        "<iq xmlns='jabber:client' type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <publish node='{NODE}'><item id='now'><tune xmlns='{NODE}'><artist>Gerald Finzi</artist>\
         <title>Introduction (Allegro vigoroso)</title></tune></item></publish></pubsub></iq>"
    ));
    let mut told = 0;
    let shortest = (0..200)
        .map(|_| {
            let began = Instant::now();
            wait(server.accept(&juliet, publish.clone()).wait());
            let took = began.elapsed();
            told = contacts
                .iter()
                .filter(|contact| !drain(contact.outbox()).is_empty())
                .count();
            drain(juliet.outbox());
            took
        })
        .min()
        .unwrap_or(Duration::ZERO);
    assert_eq!(told, CONTACTS, "all hear of it");
    println!(
        "an item to {CONTACTS} contacts  {:8.0} ns each",
        shortest.as_nanos() as f64 / CONTACTS as f64
    );
}

fn server() -> Arc<Server> {
    let kinds = [tercet_server::KINDS, tercet_modules::KINDS].concat();
    let server = Server::new(Store::memory(&kinds), Limits::default(), Clock::System);
    let server = wait(server).expect("a server");
    let info = HostInfo {
        domain: "bench.example".into(),
        ..HostInfo::default()
    };
    server
        .configure(vec![info], tercet_modules::modules)
        .expect("no faults");
    server
}

fn login(server: &Arc<Server>, jid: &str) -> Arc<Session> {
    let jid = BareJid::parse(jid).expect("a JID");
    wait(server.create_account(&jid, "secret", false)).expect("a new account");
    let outbox = Arc::new(Outbox::new(1 << 20));
    wait(server.bind(&jid, Some("x"), outbox, None)).expect("a session")
}

/// Says what the client's capabilities are, if it is asked.
fn answer(server: &Arc<Server>, session: &Arc<Session>) {
    let asked = drain(session.outbox());
    let asked = String::from_utf8_lossy(&asked);
    let Some(iq) = asked.split("<iq ").nth(1) else {
        return;
    };
    let id = iq.split("id='").nth(1).and_then(|id| id.split('\'').next());
    let answer = stanza(&format!(
        "<iq xmlns='jabber:client' type='result' to='bench.example' id='{}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{FEATURES}</query></iq>",
        id.unwrap_or_default()
    ));
    wait(server.accept(session, answer).wait());
    run_due(server);
    drain(session.outbox());
}

fn run_due(server: &Arc<Server>) {
    loop {
        let begun = server.run_due();
        if begun.is_empty() {
            return;
        }
        begun.into_iter().for_each(|rest| wait(rest.wait()));
    }
}

fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml.as_bytes()).expect("a stanza")
}

fn drain(outbox: &Outbox) -> Vec<u8> {
    match outbox.poll_take(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => taken.bytes.to_vec(),
        Poll::Pending => Vec::new(),
    }
}

/// The memory store answers at once, so that every future here is ready at its first poll.
fn wait<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}
