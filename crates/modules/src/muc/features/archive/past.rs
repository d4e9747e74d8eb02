//! What an archive has when its room comes into memory, and what goes from it in time.

use std::sync::Arc;

use tercet_core::{BareJid, Stanza, ns};
use tercet_server::Server;
use tercet_store::{ArchiveEntry, ArchiveQuery, Store, StoreError};

use super::{ROOM_ARCHIVE, is_tombstone};
use crate::mam::retention::forget;
use crate::mam::wire_id;
use crate::muc::ROOM;
use crate::muc::records::created_ms;
use crate::muc::room::State;
use crate::stable_id;

/// Bytes of messages that are read for those who enter.
const BYTES: usize = 1 << 20;
/// Entries that are looked at for them: others than messages with a body, and what was retracted, are not told.
const LOOK_AT: usize = 2_000;
/// Rooms that are read at a time.
const ROOMS: usize = 100;

/// Fills the history of a room with the end of its archive, each message under the id that it has there.
pub(super) async fn restore(
    store: &Store,
    room: &BareJid,
    state: &mut State,
) -> Result<(), StoreError> {
    let keep = state.config.max_history as usize;
    if keep == 0 || !state.config.archives() {
        return Ok(());
    }
    // What was said right before may not be durable yet.
    store.flush().await?;
    let query = ArchiveQuery {
        after: Some(Store::archive_id_from(state.created_ms).saturating_sub(1)),
        newest_first: true,
        limit: keep,
        bytes: BYTES,
        look_at: LOOK_AT,
        filter: Some(Arc::new(is_told)),
        ..ArchiveQuery::default()
    };
    let page = store
        .read_archive(&ROOM_ARCHIVE, room.as_str(), query)
        .await?;
    for entry in page.entries.iter().rev() {
        remember(room, entry, state, keep);
    }
    Ok(())
}

/// Whether those who enter are told of an archived message.
pub(super) fn is_told(message: &[u8]) -> bool {
    Stanza::parse(message)
        .is_ok_and(|message| message.own_child("body").is_some() && !is_tombstone(&message))
}

/// Puts an entry behind what the room remembers.
fn remember(room: &BareJid, entry: &ArchiveEntry, state: &mut State, keep: usize) {
    let Ok(message) = Stanza::parse(&entry.value) else {
        return;
    };
    let Ok(Some(from)) = message.from() else {
        return;
    };
    let id = wire_id(entry.id);
    let start = format!("<message xmlns='{}'", ns::CLIENT);
    let rest = entry.value.strip_prefix(start.as_bytes());
    let Some(rest) = rest.and_then(|rest| rest.strip_suffix(b"</message>")) else {
        return;
    };
    let mut written = [b"<message", rest].concat();
    stable_id::stamp(&id, room.as_str(), &mut written);
    written.extend_from_slice(b"</message>");
    let at_ms = Store::archive_time(entry.id);
    state.history.add(at_ms, from, Some(&id), &written, keep);
}

/// Deletes what is older than its service keeps it, and what was left by rooms that are not there any more.
pub(crate) async fn forget_old(server: &Arc<Server>) -> Result<(), StoreError> {
    let store = server.store();
    let mut after: Option<String> = None;
    loop {
        let rooms = store.owners(&ROOM_ARCHIVE, after.as_deref(), ROOMS).await?;
        for room in &rooms {
            forget(store, &ROOM_ARCHIVE, room, first_kept(server, room).await?).await?;
        }
        if rooms.len() < ROOMS {
            return Ok(());
        }
        after = rooms.into_iter().next_back();
    }
}

/// The first id that a room's archive keeps.
async fn first_kept(server: &Arc<Server>, room: &str) -> Result<u64, StoreError> {
    let now_ms = server.now_ms();
    let Ok(jid) = BareJid::parse(room) else {
        return Ok(Store::archive_id_from(now_ms));
    };
    let Some(host) = server.host(jid.domain()) else {
        // Its service is switched off, for now perhaps.
        return Ok(0);
    };
    let local = jid.local().unwrap_or_default();
    let kept = server.store().get(&ROOM, jid.domain(), local).await?;
    let created = match kept.as_deref().and_then(created_ms) {
        Some(created) => Some(created),
        None => crate::muc::live_since(server, &jid),
    };
    // A room that is being made meanwhile begins later than now.
    let created = created.unwrap_or(now_ms);
    let until = host.info().archive.keep_ms;
    let oldest = until.map_or(0, |keep_ms| now_ms.saturating_sub(keep_ms));
    Ok(Store::archive_id_from(created.max(oldest)))
}
