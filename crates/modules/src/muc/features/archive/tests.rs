//! Who may read, and what is shown, as tables.

use tercet_core::{BareJid, Jid};
use tercet_store::{Batch, Store};

use super::past::is_told;
use super::query::{Sight, show, sight};
use super::*;
use crate::muc::affiliation::Affiliation;
use crate::muc::config::{RoomConfig, Whois};
use crate::muc::history::Wanted;
use crate::muc::room::{Enrolled, State};

fn room(config: RoomConfig) -> State {
    let mut state = State::new(config, 0);
    for (name, affiliation) in [
        ("owner", Affiliation::Owner),
        ("admin", Affiliation::Admin),
        ("member", Affiliation::Member),
        ("outcast", Affiliation::Outcast),
    ] {
        let user = BareJid::parse(&format!("{name}@a")).unwrap();
        state.roll.insert(user, Enrolled::new(affiliation));
    }
    state
}

/// Who of owner, admin, member, stranger and outcast may read while they are not in the room.
fn readers(config: RoomConfig) -> [bool; 5] {
    let state = room(config);
    ["owner", "admin", "member", "stranger", "outcast"].map(|name| {
        let user = Jid::parse(&format!("{name}@a/x")).unwrap();
        sight(&state, &user).is_ok()
    })
}

#[test]
fn those_who_may_enter_may_read() {
    let open = RoomConfig::default();
    assert_eq!(readers(open.clone()), [true, true, true, true, false]);
    let members_only = RoomConfig {
        members_only: true,
        ..open.clone()
    };
    assert_eq!(readers(members_only), [true, true, true, false, false]);
    let secret = RoomConfig {
        password_protected: true,
        secret: "x".into(),
        ..open
    };
    assert_eq!(readers(secret.clone()), [true, false, false, false, false]);
    let logged = RoomConfig {
        public_logging: true,
        ..secret
    };
    assert_eq!(readers(logged), [true, true, true, true, false]);
}

#[test]
fn a_room_that_is_being_made_has_no_archive_for_others() {
    let mut state = room(RoomConfig::default());
    state.locked = true;
    let reads = |user: &str| sight(&state, &Jid::parse(user).unwrap());
    assert!(reads("owner@a/x").is_ok());
    assert_eq!(reads("admin@a/x"), Err(StanzaError::item_not_found()));
}

#[test]
fn real_addresses_are_for_those_who_see_them_in_the_room() {
    let sees = |whois, user: &str| {
        let state = room(RoomConfig {
            whois,
            ..RoomConfig::default()
        });
        sight(&state, &Jid::parse(user).unwrap()).unwrap().real
    };
    assert!(!sees(Whois::Moderators, "member@a/x"));
    assert!(!sees(Whois::Moderators, "stranger@a/x"));
    assert!(sees(Whois::Moderators, "admin@a/x"));
    assert!(sees(Whois::Anyone, "stranger@a/x"));
}

#[test]
fn an_entry_shows_the_real_address_to_some_alone() {
    let from = Jid::parse("a@b/c").unwrap();
    let value = b"<message xmlns='jabber:client'><body>Hi</body></message>".to_vec();
    let entry = entry(1, &from, value.clone());
    assert_eq!(&*show(&entry, Sight::of_all(false)), &*value);
    assert_eq!(
        std::str::from_utf8(&show(&entry, Sight::of_all(true))).unwrap(),
        "<message xmlns='jabber:client'><body>Hi</body>\
         <x xmlns='http://jabber.org/protocol/muc#user'><item jid='a@b/c'/></x></message>"
    );
}

#[test]
fn those_who_enter_are_told_of_messages_with_a_body() {
    let told = |content: &str| {
        is_told(format!("<message xmlns='jabber:client'>{content}</message>").as_bytes())
    };
    assert!(told("<body>Hi</body>"));
    assert!(!told("<subject>Hi</subject>"));
    assert!(!told(
        "<retracted xmlns='urn:xmpp:message-retract:1' id='1'/>"
    ));
    assert!(!is_told(b"no message"));
}

#[tokio::test]
async fn the_history_comes_back_from_the_archive_of_this_room_alone() {
    let store = Store::memory(&[&ROOM_ARCHIVE]);
    let room = BareJid::parse("room@a").unwrap();
    let from = Jid::parse("u@a/x").unwrap();
    let mut batch = Batch::new();
    for (at, body) in [
        (1_000, "before"),
        (5_000, "one"),
        (6_000, "two"),
        (7_000, "three"),
    ] {
        let value = format!(
            "<message xmlns='jabber:client' from='room@a/nick' type='groupchat'><body>{body}</body></message>"
        );
        let entry = entry(store.archive_id(at), &from, value.into_bytes());
        batch.archive(&ROOM_ARCHIVE, room.as_str(), entry);
    }
    store.commit(batch).await.unwrap();
    let told = async |max_history| {
        let config = RoomConfig {
            max_history,
            ..RoomConfig::default()
        };
        let mut state = State::new(config, 2_000);
        past::restore(&store, &room, &mut state).await.unwrap();
        let said = state.history.wanted(Wanted::default(), 10_000);
        said.map(|said| (said.at_ms / 1000, said.id.is_some()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(50).await, [(5, true), (6, true), (7, true)]);
    assert_eq!(told(2).await, [(6, true), (7, true)]);
    assert_eq!(told(0).await, []);
}
