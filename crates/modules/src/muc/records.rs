//! What is kept of a persistent room: a record of its configuration, its subject, and one for each name on its lists.

use std::collections::BTreeMap;

use tercet_core::{BareJid, Jid};
use tercet_store::{Batch, Kind, Owner, Store, StoreError};

use super::affiliation::Affiliation;
use super::config::RoomConfig;
use super::features::{Features, hats};
use super::room::{Enrolled, Room, State, Subject};

/// The rooms of a service: its domain is the owner, a room's localpart the key.
pub static ROOM: Kind = Kind {
    name: "muc-room",
    owner: Owner::Host,
    what: "rooms and how they are configured",
};

/// The lists of a room, whose address is the owner: keyed by bare JID.
pub static AFFILIATION: Kind = Kind {
    name: "muc-affiliation",
    owner: Owner::Host,
    what: "who owns a room, administers it, is a member or banned, and which nick is kept for them",
};

/// What else there is of a room, whose address is the owner: its subject, and what features keep under their names.
pub static ROOM_DATA: Kind = Kind {
    name: "muc-data",
    owner: Owner::Host,
    what: "what a room is about, and settings of its features",
};

/// The rooms on whose lists a user is, whose bare JID is the owner. An entry may outlive its room.
pub static AFFILIATED: Kind = Kind {
    name: "muc-affiliated",
    owner: Owner::Host,
    what: "on the lists of which rooms a user is, so that it can be taken off them",
};

/// The key of the time when a room was used last, among its data.
const USED: &str = "used";
/// The key of the subject among a room's data.
const SUBJECT: &str = "subject";
/// The first byte of each record.
const FORMAT: u8 = 1;

/// Reads a room; `None` if it is not kept.
pub(super) async fn load(
    store: &Store,
    features: &Features,
    jid: &BareJid,
) -> Result<Option<State>, StoreError> {
    let name = jid.local().unwrap_or_default();
    let room = store.get(&ROOM, jid.domain(), name);
    let Some(room) = room.await? else {
        return Ok(None);
    };
    // Both are under way at once.
    let roll = store.list(&AFFILIATION, jid.as_str());
    let data = store.list(&ROOM_DATA, jid.as_str());
    let (roll, data) = (roll.await?, data.await?);
    let corrupt = || StoreError::Corrupt(format!("what is kept of the room {jid} cannot be read"));
    let (config, created_ms) = read_room(&room).ok_or_else(corrupt)?;
    let mut state = State::new(config, created_ms);
    for (user, value) in roll {
        let user = BareJid::parse(&user).map_err(|_| corrupt())?;
        let enrolled = read_enrolled(&value).ok_or_else(corrupt)?;
        state.roll.insert(user, enrolled);
    }
    let mut data: BTreeMap<String, Vec<u8>> = data.into_iter().collect();
    if let Some(subject) = data.remove(SUBJECT) {
        state.subject = read_subject(&subject).ok_or_else(corrupt)?;
    }
    for feature in features.iter() {
        if let Some(kept) = data.get(feature.name()) {
            feature.load(&mut state.data, kept).ok_or_else(corrupt)?;
        }
    }
    for feature in features.iter() {
        feature.restore(store, jid, &mut state).await?;
    }
    Ok(Some(state))
}

/// When a room was made, by its record.
pub(super) fn created_ms(room: &[u8]) -> Option<u64> {
    read_room(room).map(|(_, created_ms)| created_ms)
}

/// What a service's records say of a room for its list: its configuration.
pub(super) fn read_config(room: &[u8]) -> Option<RoomConfig> {
    read_room(room).map(|(config, _)| config)
}

/// The configuration and when it was made.
pub(super) fn read_room(bytes: &[u8]) -> Option<(RoomConfig, u64)> {
    let (&FORMAT, rest) = bytes.split_first()? else {
        return None;
    };
    let (created, config) = rest.split_first_chunk()?;
    Some((
        RoomConfig::from_bytes(config)?,
        u64::from_be_bytes(*created),
    ))
}

/// Keeps the configuration.
pub(super) fn put_config(batch: &mut Batch, jid: &BareJid, config: &RoomConfig, created_ms: u64) {
    let mut value = vec![FORMAT];
    value.extend_from_slice(&created_ms.to_be_bytes());
    value.extend_from_slice(&config.to_bytes());
    batch.put(&ROOM, jid.domain(), jid.local().unwrap_or_default(), value);
}

/// Keeps what a bare JID is to the room; without affiliation and nick that is nothing.
pub(super) fn put_enrolled(batch: &mut Batch, jid: &BareJid, user: &str, enrolled: &Enrolled) {
    if enrolled.affiliation == Affiliation::None && enrolled.nick.is_none() {
        batch.delete(&AFFILIATION, jid.as_str(), user);
        batch.delete(&AFFILIATED, user, jid.as_str());
        return;
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (nick, reason) = (text(&enrolled.nick), text(&enrolled.reason));
    let mut value = vec![FORMAT, enrolled.affiliation as u8];
    let length = u16::try_from(nick.len()).unwrap_or(0);
    value.extend_from_slice(&length.to_be_bytes());
    value.extend_from_slice(&nick.as_bytes()[..usize::from(length)]);
    value.extend_from_slice(reason.as_bytes());
    batch.put(&AFFILIATION, jid.as_str(), user, value);
    let value = vec![FORMAT, enrolled.affiliation as u8];
    batch.put(&AFFILIATED, user, jid.as_str(), value);
}

/// Notes that the room has something for a user who is on none of its lists.
pub(super) fn put_wearer(batch: &mut Batch, jid: &BareJid, user: &BareJid) {
    let value = vec![FORMAT, Affiliation::None as u8];
    batch.put(&AFFILIATED, user.as_str(), jid.as_str(), value);
}

fn read_enrolled(bytes: &[u8]) -> Option<Enrolled> {
    let [FORMAT, affiliation, rest @ ..] = bytes else {
        return None;
    };
    let mut known = Affiliation::ALL.iter().copied();
    let affiliation = known.find(|a| *a as u8 == *affiliation)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (nick, reason) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let text = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.into()).ok()?;
        Some(Some(text).filter(|t| !t.is_empty()))
    };
    Some(Enrolled {
        affiliation,
        nick: text(nick)?,
        reason: text(reason)?,
    })
}

/// Keeps the subject.
pub(super) fn put_subject(batch: &mut Batch, jid: &BareJid, subject: &Subject) {
    let by = subject.by.as_ref().map_or("", |by| by.as_str());
    let mut value = vec![FORMAT];
    value.extend_from_slice(&subject.at_ms.to_be_bytes());
    let length = u16::try_from(by.len()).unwrap_or(0);
    value.extend_from_slice(&length.to_be_bytes());
    value.extend_from_slice(&by.as_bytes()[..usize::from(length)]);
    value.extend_from_slice(&subject.xml);
    batch.put(&ROOM_DATA, jid.as_str(), SUBJECT, value);
}

fn read_subject(bytes: &[u8]) -> Option<Subject> {
    let (&FORMAT, rest) = bytes.split_first()? else {
        return None;
    };
    let (at, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (by, xml) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let by = std::str::from_utf8(by).ok()?;
    Some(Subject {
        xml: xml.into(),
        by: (!by.is_empty()).then(|| Jid::parse(by)).transpose().ok()?,
        at_ms: u64::from_be_bytes(*at),
    })
}

/// Whether an entry of [`AFFILIATED`] says that the user owns the room.
pub(super) fn is_owner(entry: &[u8]) -> bool {
    entry == [FORMAT, Affiliation::Owner as u8]
}

/// Whether the room is kept and `user` owns it.
pub(super) async fn owns(store: &Store, room: &str, user: &BareJid) -> Result<bool, StoreError> {
    let enrolled = store.get(&AFFILIATION, room, user.as_str()).await?;
    let enrolled = enrolled.and_then(|value| read_enrolled(&value));
    Ok(enrolled.is_some_and(|e| e.affiliation == Affiliation::Owner))
}

/// When a kept room was used last, in milliseconds since 1970, if that was noted.
pub(super) async fn used(store: &Store, jid: &BareJid) -> Result<Option<u64>, StoreError> {
    let used = store.get(&ROOM_DATA, jid.as_str(), USED).await?;
    let used = used.and_then(|value| value.try_into().ok());
    Ok(used.map(u64::from_be_bytes))
}

/// Notes when a kept room was used last.
pub(super) fn put_used(batch: &mut Batch, jid: &BareJid, now_ms: u64) {
    let value = now_ms.to_be_bytes().to_vec();
    batch.put(&ROOM_DATA, jid.as_str(), USED, value);
}

/// Keeps what a feature wants to be kept.
pub(super) fn put_data(batch: &mut Batch, jid: &BareJid, feature: &str, value: Vec<u8>) {
    batch.put(&ROOM_DATA, jid.as_str(), feature, value);
}

/// Keeps all of a room that was not kept before.
pub(super) fn put_all(batch: &mut Batch, features: &Features, room: &Room, state: &State) {
    put_config(batch, &room.jid, &state.config, state.created_ms);
    put_subject(batch, &room.jid, &state.subject);
    hats::index_all(batch, &room.jid, state);
    for (user, enrolled) in &state.roll {
        put_enrolled(batch, &room.jid, user.as_str(), enrolled);
    }
    for feature in features.iter() {
        if let Some(value) = feature.save(&state.data) {
            put_data(batch, &room.jid, feature.name(), value);
        }
    }
}

/// Deletes all of a room.
pub(super) fn delete(batch: &mut Batch, features: &Features, jid: &BareJid) {
    batch.delete(&ROOM, jid.domain(), jid.local().unwrap_or_default());
    batch.delete_all(&AFFILIATION, jid.as_str());
    batch.delete_all(&ROOM_DATA, jid.as_str());
    for feature in features.iter() {
        feature.destroy(jid, batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::muc::features;
    use tercet_server::HostInfo;

    async fn reloaded(state: &State) -> State {
        let store = Store::memory(crate::KINDS);
        let jid = BareJid::parse("room@rooms.example.org").unwrap();
        let room = Room::new(jid.clone(), State::new(RoomConfig::default(), 0));
        let mut batch = Batch::new();
        let features = features::features(&HostInfo::default());
        put_all(&mut batch, &features, &room, state);
        store.commit(batch).await.unwrap();
        load(&store, &features, &jid).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_room_comes_back_as_it_was_kept() {
        let mut state = State::new(RoomConfig::default(), 42);
        state.config.name = "Coven".into();
        state.config.persistent = true;
        let owner = BareJid::parse("crone1@shakespeare.lit").unwrap();
        let mut enrolled = Enrolled::new(Affiliation::Owner);
        enrolled.nick = Some("firstwitch".into());
        state.roll.insert(owner, enrolled);
        let outcast = BareJid::parse("earlofcambridge@shakespeare.lit").unwrap();
        let mut enrolled = Enrolled::new(Affiliation::Outcast);
        enrolled.reason = Some("Treason".into());
        state.roll.insert(outcast, enrolled);
        state.subject = Subject {
            xml: b"<subject>Fire Burn!</subject>".to_vec(),
            by: Some(Jid::parse("room@rooms.example.org/firstwitch").unwrap()),
            at_ms: 7,
        };
        let again = reloaded(&state).await;
        assert_eq!(again.config, state.config);
        assert_eq!(again.roll, state.roll);
        assert_eq!(again.subject, state.subject);
        assert_eq!(again.created_ms, 42);
    }

    #[tokio::test]
    async fn a_room_that_was_deleted_is_not_there() {
        let store = Store::memory(crate::KINDS);
        let jid = BareJid::parse("room@rooms.example.org").unwrap();
        let state = State::new(RoomConfig::default(), 42);
        let room = Room::new(jid.clone(), State::new(RoomConfig::default(), 0));
        let features = features::features(&HostInfo::default());
        let mut batch = Batch::new();
        put_all(&mut batch, &features, &room, &state);
        delete(&mut batch, &features, &jid);
        store.commit(batch).await.unwrap();
        assert!(load(&store, &features, &jid).await.unwrap().is_none());
    }
}
