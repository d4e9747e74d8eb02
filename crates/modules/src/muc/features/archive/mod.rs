//! XEP-0313 Message Archive Management 1.1.3 of rooms, with search (XEP-0431), and the ids that rooms give to messages (XEP-0359).
//! Gaps: preferences are for accounts; the archive does not remember who was allowed to read when.
//!
//! Each message to all gets an id by the room, archived or not: by it messages are retracted, and what is told of the past on entering
//! is known again in the archive. Kept is what everybody got, but for the id, and whose it really was beside it: that is shown to
//! those alone who may know. A sender's stanza counts as settled once the message is durable.
//!
//! An archive begins with its room: what an earlier room of the same name has left is shown to nobody and deleted in time.

mod past;
mod query;
#[cfg(test)]
mod tests;

pub(crate) use past::forget_old;

use std::collections::BTreeSet;
use std::sync::Arc;

use tercet_core::{BareJid, Edit, Head, Jid, Stanza, StanzaError, ns};
use tercet_server::Routed;
use tercet_store::{ArchiveEntry, Batch, Kind, Owner, Store};

use super::{Restoring, RoomFeature};
use crate::hints::{Hints, Keeping};
use crate::mam::search::{self, Searching};
use crate::mam::{self, NS, rules, wire_id};
use crate::muc::Call;
use crate::muc::message::Speech;
use crate::muc::room::State;
use crate::stable_id;

/// What was said in rooms: the owner is a room, the peer who said it, each the message to all, in `jabber:client`.
pub static ROOM_ARCHIVE: Kind = Kind {
    name: "muc-archive",
    owner: Owner::Host,
    what: "what was said in rooms",
};

/// Entries that go with their room in the same write; the others follow.
const AT_ONCE: usize = 1_000;

/// The archive.
pub(super) struct Archive {
    /// Whether the host keeps messages at all.
    enabled: bool,
    searching: Arc<Searching>,
}

impl Archive {
    /// The archives of a host's rooms, if it keeps messages.
    pub(super) fn new(enabled: bool) -> Archive {
        Archive {
            enabled,
            searching: Arc::default(),
        }
    }

    /// Gives a message its id, and keeps it if it is `wanted` and the room has an archive.
    fn take(&self, cx: &mut Speech<'_>, wanted: bool) {
        let entity = cx.call.entity;
        let id = entity.server.store().archive_id(entity.server.now_ms());
        let room = cx.call.room.jid.as_str();
        if wanted && self.enabled && cx.state.config.archives() {
            let entry = entry(id, entity.from, written(cx));
            cx.keep.archive(&ROOM_ARCHIVE, room, entry);
        }
        // XEP-0313 §3.3: the message says under which id the room has it.
        stable_id::stamp(&wire_id(id), room, &mut cx.append);
        cx.id = Some(wire_id(id));
    }
}

impl RoomFeature for Archive {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn disco(&self, room: &State, features: &mut BTreeSet<&'static str>) {
        features.insert(stable_id::NS);
        if self.enabled && room.config.archives() {
            features.extend([NS, "urn:xmpp:mam:2#extended", search::NS]);
        }
    }

    fn message(&self, cx: &mut Speech<'_>) -> Result<(), StanzaError> {
        let entity = cx.call.entity;
        let hinted = Hints::of(entity.stanza).archiving();
        // XEP-0334 §4.1: what is not to be kept is not told to those who enter later either.
        cx.remembered &= hinted != Keeping::No;
        let wanted = cx.remembered || rules::has_content(entity.stanza);
        self.take(cx, wanted);
        Ok(())
    }

    fn subject(&self, cx: &mut Speech<'_>) {
        // XEP-0313 §6.1.2: changes of the subject are archived, too; what is not to be kept is not.
        let wanted = Hints::of(cx.call.entity.stanza).archiving() != Keeping::No;
        self.take(cx, wanted);
    }

    fn request(&self, call: &Call<'_>) -> Option<Routed> {
        let payload = call.entity.stanza.payload()?;
        if payload.ns() != NS || call.entity.to.is_full() || !self.enabled {
            return None;
        }
        query::answer(call, &self.searching)
    }

    fn restore<'a>(
        &'a self,
        store: &'a Store,
        room: &'a BareJid,
        state: &'a mut State,
    ) -> Restoring<'a> {
        Box::pin(past::restore(store, room, state))
    }

    fn destroy(&self, room: &Jid, batch: &mut Batch) {
        batch.delete_archived_until(&ROOM_ARCHIVE, room.as_str(), u64::MAX, AT_ONCE);
    }
}

/// What `from` said.
pub(super) fn entry(id: u64, from: &Jid, value: Vec<u8>) -> ArchiveEntry {
    ArchiveEntry {
        id,
        peer: from.bare_str().to_owned(),
        part: from.resource().unwrap_or_default().to_owned(),
        value: value.into(),
    }
}

/// The message as everybody gets it, but for `to`, and ready to stand alone.
fn written(cx: &mut Speech<'_>) -> Vec<u8> {
    cx.leave_out.sort_unstable();
    cx.leave_out.dedup();
    let entity = cx.call.entity;
    let from = &cx.state.occupants.at(cx.place).jid;
    let head = Head {
        // XEP-0313 §6.1.2: from the occupant, to nobody.
        from: Some(from.as_str()),
        to: None,
        lang: entity.lang,
        xmlns: Some(ns::CLIENT),
    };
    let edit = Edit {
        leave_out: &cx.leave_out,
        append: &cx.append,
    };
    let mut value = Vec::new();
    entity.stanza.write_edited(&mut value, head, edit);
    value
}

/// Whether an archived message is what is left of one that was retracted.
pub(super) fn is_tombstone(message: &Stanza) -> bool {
    message.child("retracted", mam::retract::NS).is_some()
}
