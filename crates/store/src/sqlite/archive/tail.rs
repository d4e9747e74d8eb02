//! What has been archived and is not in a block yet: durable in the journal, and here, by archive.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rusqlite::Connection;

use super::block::EntryRef;
use super::journal;
use super::read::is_of;
use crate::{ArchiveEntry, ArchiveQuery};

/// What an entry takes in memory beside its text.
const ENTRY_BYTES: usize = 160;
/// The tail is sealed when it has so many bytes,
const MAX_BYTES: usize = 8 << 20;
/// or, for archives that each fill a block, so many,
const ENOUGH_BYTES: usize = 1 << 20;
/// which are so many entries each;
const ENOUGH_ENTRIES: usize = 32;
/// and nothing is added, if that fails, when it has so many.
const MOST_BYTES: usize = 4 * MAX_BYTES;

/// The tail of all archives. Changed by the writer alone, when a transaction has been committed.
///
/// A reader holds the lock while it takes its snapshot of the database and copies what waits here, so that the two fit. Of a
/// transaction that does more than append the writer holds it from before the commit until this is changed, so that nobody sees half of it.
#[derive(Default)]
pub(in crate::sqlite) struct Tail(RwLock<Waiting>);

/// The entries, those of an archive in the order of their ids.
#[derive(Default)]
pub(super) struct Waiting {
    archives: HashMap<i64, Vec<Arc<ArchiveEntry>>>,
    entries: usize,
    bytes: usize,
}

impl Tail {
    /// What the journal holds, and the greatest id in it.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<(Tail, u64)> {
        let mut waiting = Waiting::default();
        let mut newest = 0;
        journal::read(connection, |archive, entry| {
            newest = newest.max(entry.id);
            waiting.add(archive, Arc::new(entry));
        })?;
        Ok((Tail(RwLock::new(waiting)), newest))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Waiting> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Waiting> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    pub(super) fn add(&mut self, archive: i64, entry: Arc<ArchiveEntry>) {
        let entries = self.archives.entry(archive).or_default();
        let size = bytes(&entry);
        match entries.last() {
            Some(last) if last.id >= entry.id => {
                let Err(place) = entries.binary_search_by_key(&entry.id, |entry| entry.id) else {
                    return;
                };
                entries.insert(place, entry);
            }
            _ => entries.push(entry),
        }
        self.entries += 1;
        self.bytes += size;
    }

    /// All of it, by archive.
    pub(super) fn all(&self) -> impl Iterator<Item = (i64, &[Arc<ArchiveEntry>])> {
        self.archives
            .iter()
            .map(|(archive, all)| (*archive, &**all))
    }

    /// What waits of one archive.
    pub(super) fn of(&self, archive: i64) -> &[Arc<ArchiveEntry>] {
        self.archives.get(&archive).map_or(&[], Vec::as_slice)
    }

    /// It is worth its while to seal it.
    pub(super) fn is_due(&self) -> bool {
        is_enough(self.bytes, self.entries, || self.archives.len())
    }

    /// It would be with these, which are not in it.
    pub(super) fn is_due_with(&self, added: &[(i64, Arc<ArchiveEntry>)]) -> bool {
        let bytes: usize = added.iter().map(|(_, entry)| bytes(entry)).sum();
        is_enough(self.bytes + bytes, self.entries + added.len(), || {
            let new = added.iter().map(|(archive, _)| *archive);
            let new = new.filter(|archive| !self.archives.contains_key(archive));
            self.archives.len() + new.collect::<BTreeSet<_>>().len()
        })
    }

    /// Nothing may be added before it is sealed.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES
    }

    pub(super) fn len(&self) -> usize {
        self.entries
    }

    /// What a query asks of an archive, at most `limit`, in the order asked for.
    pub(super) fn wanted(
        &self,
        archive: i64,
        query: &ArchiveQuery,
        limit: usize,
    ) -> Vec<Arc<ArchiveEntry>> {
        let all = self.of(archive);
        let after = query.after.unwrap_or(0);
        let start = all.partition_point(|entry| entry.id <= after);
        let end = query.before.map_or(all.len(), |before| {
            all.partition_point(|entry| entry.id < before)
        });
        let range = all.get(start..end).unwrap_or_default().iter();
        let range = range.filter(|entry| is_of(query, &EntryRef::of(entry)));
        if query.newest_first {
            range.rev().take(limit).cloned().collect()
        } else {
            range.take(limit).cloned().collect()
        }
    }
}

/// What an entry takes in memory.
fn bytes(entry: &ArchiveEntry) -> usize {
    EntryRef::of(entry).size() + ENTRY_BYTES
}

/// Whether so much fills blocks.
fn is_enough(bytes: usize, entries: usize, archives: impl FnOnce() -> usize) -> bool {
    bytes >= MAX_BYTES || (bytes >= ENOUGH_BYTES && entries >= ENOUGH_ENTRIES * archives())
}
