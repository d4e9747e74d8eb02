//! The lists of one host, as they are in memory and in the store.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tercet_core::Jid;
use tercet_server::Server;
use tercet_store::{Batch, Kind, Owner, StoreError};

use super::Name;
use super::entry::{Entries, Hash, Reason, digits, hashes};
use crate::due::Table;

/// A line in the log for each sender that is refused, once in so many milliseconds.
const LOG_MS: u64 = 60_000;

/// The entries: a record for each, of the host that has subscribed.
pub static LISTED: Kind = Kind {
    name: "block-list",
    owner: Owner::Host,
    what: "the entries of block lists that the host has subscribed to, as they were last known",
};

/// The lists of a host.
#[derive(Default)]
pub(super) struct Lists {
    state: RwLock<State>,
    logged: Mutex<Table<String>>,
}

#[derive(Default)]
pub(super) struct State {
    /// What is in the store has been read.
    pub(super) is_loaded: bool,
    pub(super) lists: Vec<List>,
}

/// One of them.
pub(super) struct List {
    pub(super) name: Name,
    pub(super) entries: Entries,
    pub(super) phase: Phase,
    /// When it is read next, in milliseconds since 1970.
    pub(super) next_ms: u64,
    /// Times in a row that it could not be read.
    pub(super) failures: u32,
    /// When it was last read whole, or changed.
    pub(super) updated_ms: Option<u64>,
    /// What is wrong with it.
    pub(super) error: Option<String>,
    /// Stanzas that were refused.
    pub(super) refused: u64,
}

/// What goes on with a list.
pub(super) enum Phase {
    /// Nothing; it waits for news.
    Idle,
    /// It is being read.
    Reading {
        /// What there is so far.
        entries: Entries,
        /// What was published (`Some`) and retracted meanwhile.
        changes: HashMap<Hash, Option<Reason>>,
        /// Why there will be no news.
        deaf: Option<String>,
    },
}

impl List {
    pub(super) fn new(name: Name) -> List {
        List {
            name,
            entries: Entries::new(),
            phase: Phase::Idle,
            next_ms: 0,
            failures: 0,
            updated_ms: None,
            error: None,
            refused: 0,
        }
    }

    /// Takes an entry in or out, and has the batch do so. True if somebody is on the list who was not before. Of more than `most`
    /// entries nothing is kept.
    pub(super) fn change(
        &mut self,
        host: &str,
        hash: Hash,
        to: Option<Reason>,
        most: usize,
        batch: &mut Batch,
    ) -> bool {
        if let Phase::Reading { changes, .. } = &mut self.phase
            && changes.len() < most
        {
            changes.insert(hash, to);
        }
        let key = || key(&hash, &self.name);
        match to {
            None if self.entries.remove(&hash).is_some() => {
                batch.delete(&LISTED, host, &key());
                false
            }
            None => false,
            Some(_) if self.entries.len() >= most && !self.entries.contains_key(&hash) => {
                self.error = Some(too_long(most));
                false
            }
            Some(reason) => {
                let before = self.entries.insert(hash, reason);
                if before != Some(reason) {
                    batch.put(&LISTED, host, &key(), vec![reason as u8]);
                }
                before.is_none()
            }
        }
    }

    /// Has it hold exactly `entries`, and the batch do so. What was not there before.
    pub(super) fn replace(&mut self, host: &str, entries: Entries, batch: &mut Batch) -> Vec<Hash> {
        for hash in self.entries.keys().filter(|h| !entries.contains_key(*h)) {
            batch.delete(&LISTED, host, &key(hash, &self.name));
        }
        let mut added = Vec::new();
        for (hash, reason) in &entries {
            let before = self.entries.get(hash);
            if before != Some(reason) {
                let value = vec![*reason as u8];
                batch.put(&LISTED, host, &key(hash, &self.name), value);
            }
            if before.is_none() {
                added.push(*hash);
            }
        }
        self.entries = entries;
        added
    }
}

/// What is wrong with a list that has more than `most` entries.
pub(super) fn too_long(most: usize) -> String {
    format!("it has more than {most} entries; the others count for nothing")
}

fn key(hash: &Hash, name: &Name) -> String {
    let mut key: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    key.push(' ');
    key.push_str(&name.to_string());
    key
}

impl Lists {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list that `jid` is on.
    pub(super) fn find(&self, jid: &Jid) -> Option<Name> {
        let state = self.read();
        if state.lists.iter().all(|list| list.entries.is_empty()) {
            return None;
        }
        let hashes: Vec<Hash> = hashes(jid).collect();
        let on = |list: &&List| hashes.iter().any(|hash| list.entries.contains_key(hash));
        state.lists.iter().find(on).map(|list| list.name.clone())
    }

    /// Counts a stanza of `from` that is refused because of `list`. Whether the log is to say so.
    pub(super) fn refused(&self, list: &Name, from: &str, now_ms: u64) -> bool {
        if let Some(list) = self.write().list(list) {
            list.refused += 1;
        }
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.take(from, 1, LOG_MS, now_ms)
    }

    /// Reads what is in the store, once.
    pub(super) async fn load(&self, server: &Server, host: &str) -> Result<(), StoreError> {
        if self.read().is_loaded {
            return Ok(());
        }
        let kept = server.store().list(&LISTED, host).await?;
        let mut state = self.write();
        if std::mem::replace(&mut state.is_loaded, true) {
            return Ok(());
        }
        for (key, value) in kept {
            let Some((hash, name)) = key.split_once(' ') else {
                continue;
            };
            if let (Some(hash), Ok(name)) = (digits(hash), name.parse()) {
                let list = state.list_or_new(name);
                list.entries.insert(hash, Reason::read(&value));
            }
        }
        Ok(())
    }
}

impl State {
    pub(super) fn list(&mut self, name: &Name) -> Option<&mut List> {
        self.lists.iter_mut().find(|list| list.name == *name)
    }

    fn list_or_new(&mut self, name: Name) -> &mut List {
        let place = self.lists.iter().position(|list| list.name == name);
        let place = place.unwrap_or_else(|| {
            self.lists.push(List::new(name));
            self.lists.len() - 1
        });
        &mut self.lists[place]
    }

    /// Has the lists be those that are `wanted`, in their order. Returns those that are no more.
    pub(super) fn settle(&mut self, host: &str, wanted: &[Name], batch: &mut Batch) -> Vec<Name> {
        let mut gone = Vec::new();
        self.lists.retain_mut(|list| {
            let stays = wanted.contains(&list.name);
            if !stays {
                list.replace(host, Entries::new(), batch);
                gone.push(list.name.clone());
            }
            stays
        });
        for name in wanted {
            self.list_or_new(name.clone());
        }
        gone
    }
}
