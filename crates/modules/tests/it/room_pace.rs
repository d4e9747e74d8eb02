//! Bounds on what one user does in rooms, by the settings of the service.

use tercet_server::{HostInfo, Rooms};
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::InProcess;

const ROOM: &str = "garden@rooms.localhost";

fn received(server: &mut InProcess, name: &str) -> String {
    let mut all = String::new();
    while let Arrival::Element(element) = server.receive(name).unwrap() {
        all.push_str(&element);
    }
    all
}

fn enter(server: &mut InProcess, name: &str, room: &str) -> String {
    let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    let presence = format!("<presence to='{room}/{name}'>{x}</presence>");
    server.send(name, &presence).unwrap();
    received(server, name)
}

/// What `name` gets for a message to all.
fn speak(server: &mut InProcess, name: &str) -> String {
    let message = format!("<message type='groupchat' to='{ROOM}'><body>Hi</body></message>");
    server.send(name, &message).unwrap();
    received(server, name)
}

/// Romeo's open room, with these settings of the service.
fn server(settings: impl FnOnce(&mut Rooms)) -> InProcess {
    let clients = ["romeo", "juliet"].map(|name| Client {
        name: name.into(),
        jid: format!("{name}@localhost"),
        password: "password".into(),
        resource: Some("home".into()),
    });
    let mut server = InProcess::new(&clients);
    let mut rooms = Rooms::new("rooms.localhost");
    settings(&mut rooms);
    let info = HostInfo {
        domain: "localhost".into(),
        rooms: Some(rooms),
        ..HostInfo::default()
    };
    let configured = server
        .server()
        .configure(vec![info], tercet_modules::modules);
    configured.unwrap();
    for client in &clients {
        server.connect(client).unwrap();
    }
    enter(&mut server, "romeo", ROOM);
    let instant = format!(
        "<iq type='set' id='i' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'/></query></iq>"
    );
    server.send("romeo", &instant).unwrap();
    received(&mut server, "romeo");
    server
}

fn wait(server: &mut InProcess, seconds: u64) {
    let wait = std::time::Duration::from_secs(seconds);
    server.advance(wait).unwrap();
}

#[test]
fn who_enters_too_many_rooms_has_to_wait_whether_they_are_there_or_not() {
    let mut server = server(|rooms| rooms.joins_per_minute = 3);
    assert!(enter(&mut server, "juliet", ROOM).contains("code='110'"));
    for number in 1..3 {
        let room = format!("new{number}@rooms.localhost");
        assert!(enter(&mut server, "juliet", &room).contains("code='201'"));
    }
    for room in ["new3@rooms.localhost", "new1@rooms.localhost"] {
        let refused = enter(&mut server, "romeo", room);
        assert!(!refused.contains("<resource-constraint"), "{refused}");
    }
    let refused = enter(&mut server, "juliet", "new4@rooms.localhost");
    assert!(refused.contains("<resource-constraint"), "{refused}");
    assert!(
        refused.contains("<x xmlns='http://jabber.org/protocol/muc'/>"),
        "{refused}"
    );
    wait(&mut server, 20);
    let entered = enter(&mut server, "juliet", "new4@rooms.localhost");
    assert!(entered.contains("code='201'"), "{entered}");
}

#[test]
fn an_occupant_who_writes_too_much_is_told_and_moderators_are_not_held_up() {
    let mut server = server(|rooms| rooms.messages_per_minute = 10);
    enter(&mut server, "juliet", ROOM);
    for _ in 0..2 {
        assert!(speak(&mut server, "juliet").contains("<body>Hi</body>"));
    }
    let refused = speak(&mut server, "juliet");
    assert!(refused.contains("<resource-constraint"), "{refused}");
    // In private it counts as well.
    let whisper = format!("<message type='chat' to='{ROOM}/romeo'><body>Hi</body></message>");
    server.send("juliet", &whisper).unwrap();
    assert!(received(&mut server, "juliet").contains("<resource-constraint"));
    assert_eq!(received(&mut server, "romeo").matches("<body>").count(), 2);
    for _ in 0..20 {
        assert!(speak(&mut server, "romeo").contains("<body>Hi</body>"));
    }
    wait(&mut server, 6);
    received(&mut server, "juliet");
    assert!(speak(&mut server, "juliet").contains("<body>Hi</body>"));
}

#[test]
fn newcomers_wait_before_they_write_and_leaving_makes_it_no_shorter() {
    let mut server = server(|rooms| rooms.newcomers_wait_ms = 60_000);
    enter(&mut server, "juliet", ROOM);
    let refused = speak(&mut server, "juliet");
    assert!(
        refused.contains("<policy-violation") && refused.contains("type='wait'"),
        "{refused}"
    );
    wait(&mut server, 59);
    let leave = format!("<presence type='unavailable' to='{ROOM}/juliet'/>");
    server.send("juliet", &leave).unwrap();
    enter(&mut server, "juliet", ROOM);
    assert!(speak(&mut server, "juliet").contains("can write in 1 s"));
    wait(&mut server, 1);
    assert!(speak(&mut server, "juliet").contains("<body>Hi</body>"));
    // Its owner need not.
    assert!(speak(&mut server, "romeo").contains("<body>Hi</body>"));
}

#[test]
fn a_new_room_is_as_the_service_has_it_by_default() {
    let mut server = server(|rooms| {
        rooms.defaults.members_only = true;
        rooms.defaults.persistent = true;
    });
    let refused = enter(&mut server, "juliet", ROOM);
    assert!(refused.contains("<registration-required"), "{refused}");
    // It stays when its owner leaves.
    let leave = format!("<presence type='unavailable' to='{ROOM}/romeo'/>");
    server.send("romeo", &leave).unwrap();
    wait(&mut server, 3600);
    server.run_due();
    assert!(enter(&mut server, "juliet", ROOM).contains("<registration-required"));
}
