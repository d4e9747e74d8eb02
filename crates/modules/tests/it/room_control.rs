//! Those who run the server act on rooms in which people are.

use tercet_core::BareJid;
use tercet_modules::muc::AFFILIATION;
use tercet_modules::muc::affiliation::Affiliation;
use tercet_modules::muc::control::{self, ControlError};
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

const ROOM: &str = "garden@rooms.localhost";

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

/// All that has come for a client since.
fn received(server: &mut InProcess, name: &str) -> String {
    let mut all = String::new();
    while let Arrival::Element(element) = server.receive(name).unwrap() {
        all.push_str(&element);
    }
    all
}

fn enter(server: &mut InProcess, name: &str) -> String {
    let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    let presence = format!("<presence to='{ROOM}/{name}'>{x}</presence>");
    server.send(name, &presence).unwrap();
    received(server, name)
}

/// Romeo owns a temporary room, and Juliet is there, too.
fn server() -> InProcess {
    let clients = ["romeo", "juliet"].map(|name| Client {
        name: name.into(),
        jid: format!("{name}@localhost"),
        password: "password".into(),
        resource: Some("home".into()),
    });
    let mut server = InProcess::new(&clients);
    for client in &clients {
        server.connect(client).unwrap();
    }
    enter(&mut server, "romeo");
    let instant = format!(
        "<iq type='set' id='i' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'/></query></iq>"
    );
    server.send("romeo", &instant).unwrap();
    enter(&mut server, "juliet");
    received(&mut server, "romeo");
    server
}

/// Juliet's, and kept.
fn make(server: &InProcess, room: &BareJid) {
    let owner = jid("juliet@localhost");
    block_on(control::create(server.server(), room, &owner, &[])).unwrap();
}

#[test]
fn a_room_with_people_in_it_is_shown_and_a_temporary_one_is_listed() {
    let server = server();
    let kept = jid("other@rooms.localhost");
    make(&server, &kept);
    let list = |after| block_on(control::list(server.server(), "rooms.localhost", after, 10));
    let (rooms, next) = list(None).unwrap();
    let names: Vec<_> = rooms
        .iter()
        .map(|r| (r.jid.as_str(), r.occupants))
        .collect();
    assert_eq!(names, [(ROOM, 2), (kept.as_str(), 0)]);
    assert_eq!(next, None);
    assert_eq!(list(Some("garden")).unwrap().0.len(), 1);
    let shown = block_on(control::show(server.server(), &jid(ROOM), 1)).unwrap();
    assert_eq!(shown.present.len(), 1);
    assert_eq!(shown.present[0].user, jid("romeo@localhost"));
    assert_eq!(shown.affiliations[0], (Affiliation::Owner, 1));
}

#[test]
fn pages_of_rooms_hold_each_once_whether_it_is_in_memory_or_not() {
    let server = server();
    for number in 0..7 {
        make(&server, &jid(&format!("{number}@rooms.localhost")));
    }
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = control::list(server.server(), "rooms.localhost", after.as_deref(), 3);
        let (page, next) = block_on(page).unwrap();
        names.extend(
            page.into_iter()
                .map(|room| room.jid.local().unwrap().to_owned()),
        );
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6", "garden"]);
}

#[test]
fn who_is_banned_by_an_operator_leaves_and_the_room_keeps_an_owner() {
    let mut server = server();
    let affiliate = |server: &InProcess, user: &str, to| {
        let (room, user) = (jid(ROOM), jid(user));
        block_on(control::affiliate(server.server(), &room, &user, to, None))
    };
    affiliate(&server, "juliet@localhost", Affiliation::Outcast).unwrap();
    let told = received(&mut server, "juliet");
    assert!(
        told.contains("code='301'") && told.contains("code='110'"),
        "{told}"
    );
    assert!(enter(&mut server, "juliet").contains("<forbidden"));
    let refused = affiliate(&server, "romeo@localhost", Affiliation::None);
    assert!(
        matches!(refused, Err(ControlError::Refused(_))),
        "{refused:?}"
    );
    // Of a room that is not kept, nothing is.
    let kept = server.server().store().list(&AFFILIATION, ROOM);
    assert_eq!(block_on(kept).unwrap(), []);
}

#[test]
fn who_is_in_a_room_that_an_operator_destroys_is_told_why_and_where_to_go() {
    let mut server = server();
    let other = Some(jid("other@rooms.localhost"));
    let reason = Some("Frost".to_owned());
    block_on(control::destroy(server.server(), &jid(ROOM), other, reason)).unwrap();
    for name in ["romeo", "juliet"] {
        let told = received(&mut server, name);
        assert!(told.contains("type='unavailable'"), "{told}");
        assert!(
            told.contains("<destroy jid='other@rooms.localhost'>"),
            "{told}"
        );
        assert!(told.contains("<reason>Frost</reason>"), "{told}");
    }
    let again = block_on(control::destroy(server.server(), &jid(ROOM), None, None));
    assert!(matches!(again, Err(ControlError::Missing(_))));
}
