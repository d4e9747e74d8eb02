//! What rooms can do besides, one file each. A feature adds fields to the configuration, features to the room's discovery, checks
//! to entering and speaking, elements to presence, requests that the room answers, as far as it needs.
//!
//! Adding one: its file, its line in [`features`].

mod activity;
pub(crate) mod archive;
mod avatar;
mod away;
mod block_lists;
pub(super) mod directory;
pub(super) mod hats;
pub(super) mod invitations;
mod mentions;
mod occupant_id;
mod password;
mod registration;
mod retract;
pub(super) mod search;
mod self_ping;
mod slow;
mod tokens;
pub(super) mod unique;
pub(super) mod versions;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tercet_core::forms::Form;
use tercet_core::{BareJid, Element, Jid, StanzaError};
use tercet_server::{HostInfo, Routed, Server, store_failure};
use tercet_store::{Batch, Store, StoreError};

use super::affiliation::Affiliation;
use super::config::{Setting, decode, encode, take_form};
use super::occupant::Occupant;
use super::room::{Data, State};
use super::{Call, message, records};

/// The features of a service's rooms, in the order in which they are asked.
pub type Features = Arc<[Box<dyn RoomFeature>]>;

/// Every feature, for the rooms of a host. What refuses or adds to a message comes before the archive, which keeps it as it goes out.
pub fn features(host: &HostInfo) -> Features {
    Arc::new([
        Box::new(block_lists::Listed),
        Box::new(password::Password),
        Box::new(self_ping::SelfPing),
        Box::new(occupant_id::OccupantIds),
        Box::new(versions::Versioning),
        Box::new(registration::Registrations),
        Box::new(invitations::Invitations),
        Box::new(tokens::TokenInvites),
        Box::new(slow::SlowMode),
        Box::new(activity::ActivityIndicator),
        Box::new(avatar::Avatar),
        Box::new(hats::Wardrobe),
        Box::new(mentions::MentionsAllowed),
        Box::new(retract::Retract::new(host.archive.enabled)),
        Box::new(archive::Archive::new(host.archive.enabled)),
        Box::new(mentions::Mentions),
        Box::new(away::Away),
    ])
}

/// What [`RoomFeature::restore`] does.
pub type Restoring<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// Something that rooms can do. Everything is called with the room locked, unless it says otherwise.
pub trait RoomFeature: Send + Sync {
    /// Its file's name: the key of what it keeps, see [`RoomFeature::load`].
    fn name(&self) -> &'static str;

    /// Adds what the room advertises (XEP-0045 §6.4).
    fn disco(&self, room: &State, features: &mut BTreeSet<&'static str>) {
        let _ = (room, features);
    }

    /// Adds fields to the room's information (`muc#roominfo`, XEP-0128). `now_ms` is the server's clock.
    fn info(&self, room: &State, now_ms: u64, form: Form) -> Form {
        let _ = (room, now_ms);
        form
    }

    /// Adds fields to the form with which owners configure the room. Those of `RoomConfig` are there already.
    fn form(&self, room: &State, form: Form) -> Form {
        let _ = room;
        form
    }

    /// Reads its fields from a submitted form: what it wants to be kept, as [`RoomFeature::load`] reads it; `None` if nothing
    /// changes.
    ///
    /// # Errors
    /// The whole form is refused with it.
    fn submit(&self, room: &State, form: &Form) -> Result<Option<Vec<u8>>, StanzaError> {
        let _ = (room, form);
        Ok(None)
    }

    /// Gives a room that is being made what it needs from the beginning.
    fn made(&self, server: &Server, data: &mut Data) {
        let _ = (server, data);
    }

    /// Takes what it has kept into the room's data: when the room comes into memory, and when what [`RoomFeature::submit`] said is
    /// durable. `None`: it cannot be read; the room is then refused to everybody rather than opened by mistake.
    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        let _ = (data, kept);
        Some(())
    }

    /// What it keeps of the room, as [`RoomFeature::load`] reads it: for a room that has not been kept before.
    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        let _ = data;
        None
    }

    /// Somebody wants to enter, with this `<x/>`, and is asked nothing yet: refuses it, or does first what has to be waited for, and has
    /// it come again.
    fn arrive(&self, call: &Call<'_>, room: &mut State, x: Element<'_>) -> Option<Routed> {
        let _ = (call, room, x);
        None
    }

    /// Whether somebody may enter.
    ///
    /// # Errors
    /// What the user is told.
    fn enter(&self, room: &State, entry: &Entry<'_>) -> Result<(), StanzaError> {
        let _ = (room, entry);
        Ok(())
    }

    /// Somebody has entered with this `<x/>`, as the session that sent it, and has been told nothing yet: tells it what comes before
    /// everything else, and says what stands inside `<x/>` of its own presence.
    fn entered(&self, call: &Call<'_>, room: &mut State, x: Element<'_>) -> Vec<u8> {
        let _ = (call, room, x);
        Vec::new()
    }

    /// Adds elements to the presence of `occupant` as everybody sees it, beside `<x/>` of `muc#user`. Children of the same names
    /// that clients send are to be listed in `enter.rs`, which leaves them out.
    fn presence(&self, address: &Jid, room: &State, occupant: &Occupant, out: &mut Vec<u8>) {
        let _ = (address, room, occupant, out);
    }

    /// Adds elements to all that goes out in the name of `occupant`: its presence, messages to all and to one, what it says as it goes.
    /// Those of the same names that clients send are to be listed in `enter.rs` and `message.rs`, which leave them out.
    fn stamp(&self, room: &State, occupant: &Occupant, out: &mut Vec<u8>) {
        let _ = (room, occupant, out);
    }

    /// Looks at a message to all, which its sender may send: refuses it, or changes it, or keeps something.
    ///
    /// # Errors
    /// What the sender is told; nobody gets the message.
    fn message(&self, cx: &mut message::Speech<'_>) -> Result<(), StanzaError> {
        let _ = cx;
        Ok(())
    }

    /// Looks at a change of the subject, which its sender may make, as at a message to all: only what it appends, leaves out, and keeps
    /// counts.
    fn subject(&self, cx: &mut message::Speech<'_>) {
        let _ = cx;
    }

    /// Answers a request to the room's bare JID, or to an occupant (see `call.entity.to`), whose payload it knows; `None`: it is
    /// another's. Not called with the room locked.
    fn request(&self, call: &Call<'_>) -> Option<Routed> {
        let _ = call;
        None
    }

    /// Reads what it keeps elsewhere than under its name: when a room that is kept comes into memory, behind [`RoomFeature::load`].
    fn restore<'a>(
        &'a self,
        store: &'a Store,
        room: &'a BareJid,
        state: &'a mut State,
    ) -> Restoring<'a> {
        let _ = (store, room, state);
        Box::pin(std::future::ready(Ok(())))
    }

    /// Takes a message to the room's bare JID that is not for all, from whoever it comes; `None`: it is another's.
    fn note(&self, call: &Call<'_>, room: &mut State) -> Option<Routed> {
        let _ = (call, room);
        None
    }

    /// The room is being destroyed for good: deletes what it keeps elsewhere than under its name.
    fn destroy(&self, room: &Jid, batch: &mut Batch) {
        let _ = (room, batch);
    }
}

/// What all features add to what goes out in the name of `occupant`.
pub(super) fn stamp(features: &Features, room: &State, occupant: &Occupant, out: &mut Vec<u8>) {
    for feature in features.iter() {
        feature.stamp(room, occupant, out);
    }
}

/// What a feature with the fields `table` keeps when `form` is submitted; `now` is what it has. `None`: nothing changes.
///
/// # Errors
/// As [`take_form`].
fn submit<C: Clone + Default + PartialEq>(
    table: &[Setting<C>],
    now: Option<&C>,
    form: &Form,
) -> Result<Option<Vec<u8>>, StanzaError> {
    let now = now.cloned().unwrap_or_default();
    let mut next = now.clone();
    take_form(table, &mut next, form)?;
    let mut kept = Vec::new();
    encode(table, &next, &mut kept);
    Ok((next != now).then_some(kept))
}

/// Reads what [`submit`] or [`save`] gave.
fn load<C: Default>(table: &[Setting<C>], into: &mut C, kept: &[u8]) -> Option<()> {
    *into = C::default();
    decode(table, into, kept)
}

/// What a feature with the fields `table` keeps of what it has.
fn save<C>(table: &[Setting<C>], now: Option<&C>) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    encode(table, now?, &mut kept);
    Some(kept)
}

/// Changes what the feature called `name` keeps of a room, outside of its configuration: `change` decides, and nothing else changes
/// meanwhile, and may put more into the batch; it is durable, if the room is, before the feature loads it.
///
/// # Errors
/// Those of `change`, and of the store; the room has gone.
async fn keep(
    call: &Call<'_>,
    name: &'static str,
    change: impl FnOnce(&State, &mut Batch) -> Result<Vec<u8>, StanzaError>,
) -> Result<(), StanzaError> {
    let _alone = call.room.changing.lock().await;
    let (kept, commit) = {
        let state = call.room.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        let mut batch = Batch::new();
        let kept = change(&state, &mut batch)?;
        let is_kept = state.config.persistent && !state.locked;
        let commit = is_kept.then(|| {
            records::put_data(&mut batch, &call.room.jid, name, kept.clone());
            call.entity.server.store().commit(batch)
        });
        (kept, commit)
    };
    if let Some(commit) = commit {
        commit.await.map_err(|e| store_failure(&e))?;
    }
    let mut state = call.room.lock();
    for feature in call.core.features.iter().filter(|f| f.name() == name) {
        // It has just been written by the same feature.
        let _ = feature.load(&mut state.data, &kept);
    }
    Ok(())
}

/// Somebody at the door.
pub struct Entry<'a> {
    /// The real address.
    pub real: &'a Jid,
    /// The affiliation.
    pub affiliation: Affiliation,
    /// The nick that is wished for.
    pub nick: &'a str,
    /// `<x/>` of `http://jabber.org/protocol/muc`.
    pub x: Element<'a>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}
