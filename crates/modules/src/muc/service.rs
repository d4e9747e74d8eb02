//! The rooms of one service: those in memory, and how the others come there.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tercet_core::{BareJid, StanzaError};
use tercet_server::{Routed, Server};
use tercet_store::StoreError;

use super::features::Features;
use super::occupant::Occupants;
use super::pace::Joins;
use super::records;
use super::room::{Room, State};

/// Parts of the table, each behind a lock of its own.
const SHARDS: usize = 16;
/// How long a persistent room stays in memory when the last occupant has left, in milliseconds: who comes back soon finds what
/// was said last.
pub(super) const IDLE_MS: u64 = 600_000;
/// How often it is looked for such rooms at the most, in milliseconds.
const SELDOM_MS: u64 = 1_000;

/// The rooms of one service.
pub struct Service {
    shards: [Shard; SHARDS],
    hasher: RandomState,
    idle: Mutex<Idle>,
    /// The server is ending: there are no rooms any more.
    is_closed: AtomicBool,
    /// How often users have entered.
    pub(super) joins: Joins,
}

/// Rooms that nobody may be in.
#[derive(Default)]
struct Idle {
    /// When they are to leave the memory if that is so, in milliseconds since 1970; ascending.
    rooms: VecDeque<(u64, Weak<Room>)>,
    /// A job of the agenda waits for all of them.
    is_awaited: bool,
}

#[derive(Default)]
struct Shard {
    rooms: Mutex<HashMap<Box<str>, Arc<Room>>>,
    /// Held while a room is read from the store or made, so that there is only one of each name.
    loading: tokio::sync::Mutex<()>,
}

impl Default for Service {
    fn default() -> Self {
        Service {
            shards: Default::default(),
            hasher: RandomState::new(),
            idle: Mutex::default(),
            is_closed: AtomicBool::new(false),
            joins: Joins::default(),
        }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    fn shard(&self, name: &str) -> &Shard {
        // The cast may cut the hash; only its low bits are used.
        &self.shards[self.hasher.hash_one(name) as usize % SHARDS]
    }

    /// The room of that name, if it is in memory.
    pub fn get(&self, name: &str) -> Option<Arc<Room>> {
        self.shard(name).lock().get(name).cloned()
    }

    /// The rooms in memory.
    pub fn all(&self) -> Vec<Arc<Room>> {
        self.shards
            .iter()
            .flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// The room with that address, read from the store if need be; `None` if there is none.
    pub async fn find(
        self: &Arc<Self>,
        server: &Arc<Server>,
        features: &Features,
        jid: &BareJid,
    ) -> Result<Option<Arc<Room>>, StoreError> {
        self.find_or_make(server, features, jid, || None).await
    }

    /// The same; where there is none, `make` may make it. Nobody else makes one of that name meanwhile. There is none, and none is
    /// made, once the service is [closed](Self::close).
    pub async fn find_or_make(
        self: &Arc<Self>,
        server: &Arc<Server>,
        features: &Features,
        jid: &BareJid,
        make: impl FnOnce() -> Option<State>,
    ) -> Result<Option<Arc<Room>>, StoreError> {
        let name = jid.local().unwrap_or_default();
        let shard = self.shard(name);
        let _alone = shard.loading.lock().await;
        if let Some(room) = shard.lock().get(name) {
            return Ok(Some(room.clone()));
        }
        let kept = records::load(server.store(), features, jid).await?;
        let was_kept = kept.is_some();
        let Some(state) = kept.or_else(make) else {
            return Ok(None);
        };
        let room = Arc::new(Room::new(jid.clone(), state));
        let mut rooms = shard.lock();
        if self.is_closed() {
            return Ok(None);
        }
        rooms.insert(name.into(), room.clone());
        drop(rooms);
        if was_kept {
            // Whoever asks need not enter.
            self.unload_later(server, &room);
        }
        Ok(Some(room))
    }

    /// Takes all rooms out of the table; from here on there are none.
    pub fn close(&self) -> Vec<Arc<Room>> {
        self.is_closed.store(true, Ordering::SeqCst);
        let shards = self.shards.iter();
        let rooms = shards.flat_map(|shard| std::mem::take(&mut *shard.lock()).into_values());
        rooms.collect()
    }

    /// Whether the server is ending.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Takes a room out of the table; it is locked, and found by nobody from here on.
    pub fn drop_room(&self, room: &Room, state: &mut State) {
        state.gone = true;
        let name = room.jid.local().unwrap_or_default();
        let mut rooms = self.shard(name).lock();
        if rooms.get(name).is_some_and(|r| std::ptr::eq(&**r, room)) {
            rooms.remove(name);
        }
    }

    /// The last occupant has left: a room that is not kept is gone, one that is kept leaves the memory after a while.
    pub fn emptied(self: &Arc<Self>, server: &Server, room: &Arc<Room>, state: &mut State) {
        if state.locked || !state.config.persistent {
            return self.drop_room(room, state);
        }
        // A room that was large holds nothing of that.
        state.occupants = Occupants::default();
        self.unload_later(server, room);
    }

    fn unload_later(self: &Arc<Self>, server: &Server, room: &Arc<Room>) {
        let at_ms = server.now_ms().saturating_add(IDLE_MS);
        let mut idle = self.idle();
        idle.rooms.push_back((at_ms, Arc::downgrade(room)));
        let is_awaited = std::mem::replace(&mut idle.is_awaited, true);
        drop(idle);
        if !is_awaited {
            self.look_at(server, at_ms);
        }
    }

    /// Looks for rooms to let go of at that time, and from then on as long as there are any.
    fn look_at(self: &Arc<Self>, server: &Server, at_ms: u64) {
        let service = self.clone();
        let job = move |server: &Arc<Server>| {
            service.unload_due(server);
            Routed::Done
        };
        if !server.at(at_ms, job) {
            // The next room that is idle begins anew.
            self.idle().is_awaited = false;
        }
    }

    fn unload_due(self: &Arc<Self>, server: &Server) {
        let now_ms = server.now_ms();
        let next_ms = loop {
            let mut idle = self.idle();
            match idle.rooms.pop_front() {
                Some((at_ms, room)) if at_ms <= now_ms => {
                    drop(idle);
                    if let Some(room) = room.upgrade()
                        && !self.unload(&room)
                    {
                        self.unload_later(server, &room);
                    }
                }
                Some(first) => {
                    let at_ms = first.0;
                    idle.rooms.push_front(first);
                    break at_ms;
                }
                None => {
                    *idle = Idle::default();
                    return;
                }
            }
        };
        self.look_at(server, next_ms.max(now_ms + SELDOM_MS));
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of a persistent room, unless somebody is there. False if it is changing.
    fn unload(&self, room: &Room) -> bool {
        let Ok(_still) = room.changing.try_lock() else {
            return false;
        };
        let mut state = room.lock();
        if state.occupants.is_empty() && state.config.persistent && !state.gone {
            self.drop_room(room, &mut state);
        }
        true
    }
}

/// What who wants something of a room is told while the server is ending: it may come back.
pub(super) fn closed() -> StanzaError {
    StanzaError::recipient_unavailable().text("the server is ending; try again in a moment")
}
