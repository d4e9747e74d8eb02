//! Bounds on what one user does in rooms, by the settings of the service.

use tercet_core::BareJid;
use tercet_modules::muc::affiliation::Affiliation;
use tercet_modules::muc::control::{self, ControlError};
use tercet_modules::muc::{AFFILIATED, AFFILIATION, keep_up};
use tercet_server::{HostInfo, RoomCreation, Rooms};
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

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

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn leave(server: &mut InProcess, name: &str, room: &str) {
    let leave = format!("<presence type='unavailable' to='{room}/{name}'/>");
    server.send(name, &leave).unwrap();
    received(server, name);
}

#[test]
fn a_user_makes_no_more_rooms_than_one_may_own() {
    let mut server = server(|rooms| rooms.per_user = 3);
    let kept = jid("kept@rooms.localhost");
    block_on(control::create(
        server.server(),
        &kept,
        &jid("juliet@localhost"),
        &[],
    ))
    .unwrap();
    for (room, code) in [
        ("a", "code='201'"),
        ("b", "code='201'"),
        ("c", "<resource-constraint"),
    ] {
        let answer = enter(&mut server, "juliet", &format!("{room}@rooms.localhost"));
        assert!(answer.contains(code), "{room}: {answer}");
    }
    // One's own and others' that are there may be entered, and one that has gone makes room for another.
    assert!(enter(&mut server, "juliet", "kept@rooms.localhost").contains("code='110'"));
    assert!(enter(&mut server, "juliet", ROOM).contains("code='110'"));
    leave(&mut server, "juliet", "kept@rooms.localhost");
    block_on(control::destroy(server.server(), &kept, None, None)).unwrap();
    assert!(enter(&mut server, "juliet", "c@rooms.localhost").contains("code='201'"));
}

#[test]
fn what_a_removed_account_was_to_rooms_is_not_for_the_next_owner_of_its_name() {
    let mut server = server(|rooms| rooms.defaults.persistent = true);
    keep_up(server.server());
    let (room, juliet) = (jid(ROOM), jid("juliet@localhost"));
    let member = control::affiliate(server.server(), &room, &juliet, Affiliation::Admin, None);
    block_on(member).unwrap();
    let own = jid("balcony@rooms.localhost");
    block_on(control::create(server.server(), &own, &juliet, &[])).unwrap();
    block_on(server.server().delete_account(&juliet, None)).unwrap();
    block_on(server.server().create_account(&juliet, "other", false)).unwrap();
    wait(&mut server, 10);
    server.run_due();
    let users = |room: &BareJid| -> Vec<String> {
        let all = block_on(control::affiliations(server.server(), room, None, 10)).unwrap();
        all.into_iter().map(|(user, _)| user.to_string()).collect()
    };
    assert_eq!(users(&room), ["romeo@localhost"]);
    assert!(
        users(&own).is_empty(),
        "nobody owns it, and operators can say who does"
    );
    for (kind, owner) in [(&AFFILIATED, juliet.as_str()), (&AFFILIATION, own.as_str())] {
        let left = server.server().store().list(kind, owner);
        assert_eq!(block_on(left).unwrap(), []);
    }
    // What was missed while nobody listened is found at the next start.
    block_on(control::affiliate(
        server.server(),
        &room,
        &jid("ghost@localhost"),
        Affiliation::Member,
        None,
    ))
    .unwrap();
    keep_up(server.server());
    wait(&mut server, 10);
    server.run_due();
    assert_eq!(
        block_on(control::affiliations(server.server(), &room, None, 10))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_room_that_nobody_uses_for_long_goes_and_one_that_is_used_stays() {
    const DAY: u64 = 86_400;
    let mut server = server(|rooms| {
        rooms.idle_ms = Some(10 * DAY * 1000);
        rooms.defaults.persistent = true;
    });
    keep_up(server.server());
    let (used, unused) = (jid(ROOM), jid("unused@rooms.localhost"));
    let romeo = jid("romeo@localhost");
    block_on(control::create(server.server(), &unused, &romeo, &[])).unwrap();
    for _ in 0..30 {
        wait(&mut server, DAY / 2);
        server.run_due();
    }
    let shown = |room| block_on(control::show(server.server(), room, 0));
    assert!(matches!(shown(&unused), Err(ControlError::Missing(_))));
    assert!(shown(&used).is_ok(), "Romeo is in it");
    leave(&mut server, "romeo", ROOM);
    for _ in 0..18 {
        wait(&mut server, DAY / 2);
        server.run_due();
    }
    let kept = server.server().store().list(&AFFILIATION, ROOM);
    assert_eq!(block_on(kept).unwrap().len(), 1, "nine days are not ten");
    for _ in 0..5 {
        wait(&mut server, DAY / 2);
        server.run_due();
    }
    let shown = block_on(control::show(server.server(), &used, 0));
    assert!(matches!(shown, Err(ControlError::Missing(_))));
}

#[test]
fn rooms_are_made_by_those_whom_the_service_lets() {
    let made = |creation| {
        let mut server = server(|rooms| rooms.creation = creation);
        enter(&mut server, "juliet", "new@rooms.localhost")
    };
    assert!(made(RoomCreation::Everybody).contains("code='201'"));
    assert!(made(RoomCreation::Users).contains("code='201'"));
    // XEP-0045 §10.1.1: not-allowed, with what was asked for; and there is no room after it.
    let refused = made(RoomCreation::Admins);
    assert!(refused.contains("<not-allowed "), "{refused}");
    assert!(
        refused.contains("<x xmlns='http://jabber.org/protocol/muc'/>"),
        "{refused}"
    );
    assert!(!refused.contains("code="), "{refused}");
}
