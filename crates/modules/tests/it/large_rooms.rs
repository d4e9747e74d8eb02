//! Large rooms: whatever comes together, each occupant knows who is there, and hears from nobody of whom it was not told.

use std::collections::BTreeSet;
use std::time::Duration;

use tercet_modules::muc::control;
use tercet_server::{HostInfo, Rooms};
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

const ROOM: &str = "stadium@rooms.localhost";

/// A client with what it knows of the room.
struct Person {
    name: String,
    inside: bool,
    seen: BTreeSet<String>,
    /// Presences of others since it was looked last.
    news: usize,
    heard: Vec<String>,
    status: Option<String>,
}

fn value<'a>(stanza: &'a str, attribute: &str) -> &'a str {
    let head = &stanza[..stanza.find('>').unwrap()];
    let Some((_, rest)) = head.split_once(&format!(" {attribute}='")) else {
        return "";
    };
    rest.split('\'').next().unwrap()
}

impl Person {
    fn new(name: &str) -> Person {
        Person {
            name: name.into(),
            inside: false,
            seen: BTreeSet::new(),
            news: 0,
            heard: Vec::new(),
            status: None,
        }
    }

    /// Takes all that has come.
    fn read(&mut self, server: &mut InProcess) {
        while let Arrival::Element(stanza) = server.receive(&self.name).unwrap() {
            let (room, nick) = value(&stanza, "from").split_once('/').unwrap_or_default();
            if room != ROOM {
                continue;
            }
            let is_self = stanza.contains("code='110'");
            match (stanza.starts_with("<presence"), value(&stanza, "type")) {
                (true, "unavailable") if is_self => {
                    self.inside = false;
                    self.seen.clear();
                }
                (true, "unavailable") => {
                    assert!(self.seen.remove(nick), "{}: {stanza}", self.name);
                    self.news += 1;
                }
                (true, "") => {
                    assert!(!is_self || nick == self.name, "{stanza}");
                    self.inside |= is_self;
                    self.seen.insert(nick.to_owned());
                    self.news += usize::from(!is_self);
                    let status = stanza.split("<status>").nth(1);
                    self.status = status.map(|s| s.split('<').next().unwrap().to_owned());
                }
                (true, type_) => panic!("{type_}: {stanza}"),
                (false, _) if stanza.contains("<body>") => {
                    assert!(self.inside, "before its own presence: {stanza}");
                    assert!(self.seen.contains(nick), "{}: {stanza}", self.name);
                    let body = stanza.split("<body>").nth(1).unwrap();
                    self.heard.push(body.split('<').next().unwrap().to_owned());
                }
                (false, _) => {}
            }
        }
    }
}

fn enter(server: &mut InProcess, name: &str) {
    let history = "<history maxstanzas='0'/>";
    let x = format!("<x xmlns='http://jabber.org/protocol/muc'>{history}</x>");
    let presence = format!("<presence to='{ROOM}/{name}'>{x}</presence>");
    server.send(name, &presence).unwrap();
}

fn show(server: &mut InProcess, name: &str, status: &str) {
    let presence = format!("<presence to='{ROOM}/{name}'><status>{status}</status></presence>");
    server.send(name, &presence).unwrap();
}

fn leave(server: &mut InProcess, name: &str) {
    let leave = format!("<presence type='unavailable' to='{ROOM}/{name}'/>");
    server.send(name, &leave).unwrap();
}

fn speak(server: &mut InProcess, name: &str, text: &str) {
    let message = format!("<message type='groupchat' to='{ROOM}'><body>{text}</body></message>");
    server.send(name, &message).unwrap();
}

fn wait(server: &mut InProcess, ms: u64) {
    server.advance(Duration::from_millis(ms)).unwrap();
}

/// Sessions of a few accounts, and the owner's open room, which is large with more than `large` occupants.
fn server(people: usize, large: usize) -> (InProcess, Vec<Client>) {
    let clients = (0..people).map(|n| Client {
        name: format!("p{n}"),
        // The owner is nobody else.
        jid: format!("user{}@localhost", if n == 0 { 0 } else { 1 + n % 4 }),
        password: "password".into(),
        resource: Some(format!("r{n}")),
    });
    let clients: Vec<_> = clients.collect();
    let mut server = InProcess::new(&clients);
    let info = HostInfo {
        domain: "localhost".into(),
        rooms: Some(Rooms {
            large,
            joins_per_minute: 0,
            messages_per_minute: 0,
            ..Rooms::new("rooms.localhost")
        }),
        ..HostInfo::default()
    };
    let configured = server
        .server()
        .configure(vec![info], tercet_modules::modules);
    configured.unwrap();
    for client in &clients {
        server.connect(client).unwrap();
    }
    enter(&mut server, "p0");
    let instant = format!(
        "<iq type='set' id='i' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'/></query></iq>"
    );
    server.send("p0", &instant).unwrap();
    (server, clients)
}

/// Who is in the room.
fn present(server: &InProcess) -> BTreeSet<String> {
    let jid = tercet_core::BareJid::parse(ROOM).unwrap();
    let shown = block_on(control::show(server.server(), &jid, 1000)).unwrap();
    shown.present.into_iter().map(|p| p.nick).collect()
}

#[test]
fn who_comes_and_goes_in_a_large_room_is_told_in_one_go_and_self_presence_at_once() {
    let (mut server, _) = server(6, 2);
    let mut people: Vec<_> = (0..6).map(|n| Person::new(&format!("p{n}"))).collect();
    enter(&mut server, "p1");
    people[0].read(&mut server);
    assert!(people[0].seen.contains("p1"), "the room is small yet");
    enter(&mut server, "p2");
    wait(&mut server, 500);
    for name in ["p3", "p4", "p5"] {
        enter(&mut server, name);
    }
    show(&mut server, "p2", "first");
    show(&mut server, "p2", "last");
    leave(&mut server, "p4");
    people[0].read(&mut server);
    people[0].news = 0;
    assert_eq!(people[0].seen.len(), 3, "it gathers");
    for person in &mut people {
        person.read(&mut server);
    }
    assert!(people[2].inside && people[3].inside && !people[4].inside);
    wait(&mut server, 499);
    people[0].read(&mut server);
    assert_eq!(people[0].news, 0, "and it still does");
    wait(&mut server, 1);
    let present = present(&server);
    for person in people.iter_mut().filter(|p| present.contains(&p.name)) {
        person.read(&mut server);
        assert_eq!(person.seen, present, "{}", person.name);
    }
    // Each of three once, and nothing of who came and left.
    assert_eq!(people[0].news, 3);
    assert_eq!(people[3].status.as_deref(), Some("last"));
}

#[test]
fn nobody_hears_from_an_occupant_of_whom_it_was_not_told() {
    let (mut server, _) = server(5, 1);
    let mut people: Vec<_> = (0..5).map(|n| Person::new(&format!("p{n}"))).collect();
    for name in ["p1", "p2", "p3"] {
        enter(&mut server, name);
    }
    // Who has been there for longer speaks without hurrying the others.
    people[0].read(&mut server);
    let before = people[0].seen.len();
    speak(&mut server, "p0", "one");
    people[0].read(&mut server);
    assert_eq!(people[0].seen.len(), before);
    speak(&mut server, "p3", "two");
    for person in &mut people[..4] {
        person.read(&mut server);
        assert_eq!(person.seen.len(), 4, "{}", person.name);
    }
    enter(&mut server, "p4");
    let whisper = format!("<message type='chat' to='{ROOM}/p0'><body>three</body></message>");
    server.send("p4", &whisper).unwrap();
    people[0].read(&mut server);
    assert_eq!(people[0].heard, ["one", "two", "three"]);
}

#[test]
fn a_nick_that_passes_to_somebody_else_and_a_new_nick_leave_no_ghost() {
    let (mut server, _) = server(4, 1);
    let mut people: Vec<_> = (0..4).map(|n| Person::new(&format!("p{n}"))).collect();
    for name in ["p1", "p2"] {
        enter(&mut server, name);
    }
    wait(&mut server, 500);
    leave(&mut server, "p1");
    // Another user takes the nick before the others have heard that it is free.
    let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    let taken = format!("<presence to='{ROOM}/p1'>{x}</presence>");
    server.send("p3", &taken).unwrap();
    wait(&mut server, 500);
    people[0].read(&mut server);
    assert_eq!(people[0].seen, present(&server));
    let renamed = format!("<presence to='{ROOM}/other'/>");
    server.send("p3", &renamed).unwrap();
    for person in [0, 2] {
        people[person].read(&mut server);
        assert_eq!(people[person].seen, present(&server));
    }
    assert!(people[0].seen.contains("other") && !people[0].seen.contains("p1"));
}

#[test]
fn the_end_of_the_service_costs_a_large_room_one_presence_for_each_session() {
    let (mut server, _) = server(40, 5);
    let mut people: Vec<_> = (0..40).map(|n| Person::new(&format!("p{n}"))).collect();
    for n in 1..40 {
        enter(&mut server, &format!("p{n}"));
    }
    wait(&mut server, 1000);
    for person in &mut people {
        person.read(&mut server);
        person.news = 0;
        assert!(person.inside, "{}", person.name);
    }
    tercet_modules::muc::shut_down(server.server());
    // Their sessions end: nobody is told of that, either.
    for n in 1..40 {
        server.disconnect(&format!("p{n}")).unwrap();
    }
    wait(&mut server, 1000);
    people[0].read(&mut server);
    assert!(!people[0].inside && people[0].news == 0);
}

#[test]
fn whatever_happens_all_know_who_is_there() {
    const PEOPLE: usize = 24;
    for seed in 1..=4_u64 {
        let (mut server, clients) = server(PEOPLE, 5);
        let mut people: Vec<_> = clients.iter().map(|c| Person::new(&c.name)).collect();
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (mut said, mut unread) = (0, [0; PEOPLE]);
        for step in 0..600 {
            // xorshift64
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let who = 1 + (dice >> 8) as usize % (PEOPLE - 1);
            let name = clients[who].name.clone();
            let inside = present(&server).contains(&name);
            match (dice % 16, inside) {
                // Who is inside enters again like a client that has lost track. Nobody is given list after list without reading.
                (0, _) | (1..=6, false) => {
                    unread[who] += 1;
                    if unread[who] > 3 {
                        people[who].read(&mut server);
                        unread[who] = 1;
                    }
                    enter(&mut server, &name);
                }
                (1, true) => leave(&mut server, &name),
                (2..=5, true) => show(&mut server, &name, &format!("s{step}")),
                (6..=8, true) => {
                    speak(&mut server, &name, &format!("m{step}"));
                    said += 1;
                }
                (9, _) => {
                    // Its connection ends, and it comes again as somebody new.
                    server.disconnect(&name).unwrap();
                    server.connect(&clients[who]).unwrap();
                    people[who] = Person::new(&name);
                    unread[who] = 0;
                }
                (10, _) => wait(&mut server, 1000),
                // Some read late.
                (11, _) => {
                    people[who].read(&mut server);
                    unread[who] = 0;
                }
                _ => {}
            }
        }
        wait(&mut server, 1000);
        let present = present(&server);
        assert!(present.len() > 5 && said > 20);
        for person in &mut people {
            person.read(&mut server);
            assert_eq!(person.inside, present.contains(&person.name));
            if person.inside {
                assert_eq!(person.seen, present, "{} with {seed}", person.name);
            }
        }
        assert_eq!(people[0].heard.len(), said);
    }
}
