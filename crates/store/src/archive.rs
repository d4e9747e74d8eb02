//! The shape of archives: `(kind, owner)` to many entries in the order of their ids, found by peer and by time.
//!
//! Ids are known before the write ([`Store::archive_id`]), tell the time, only grow, and are never used again; so an entry's
//! time is in its id, and a range of times is a range of ids.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kind::KindId;
use crate::{Kind, Pending, Store};

/// Bits of an id below its milliseconds.
const BITS: u32 = 20;
/// The greatest id: SQLite's rowids are signed.
pub(crate) const MAX_ID: u64 = i64::MAX.unsigned_abs();

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Its id, from [`Store::archive_id`]: 1 to `i64::MAX`.
    pub id: u64,
    /// Whom it was exchanged with: entries are found by this.
    pub peer: String,
    /// A further part of the peer's address; entries of one peer can be narrowed by it.
    pub part: String,
    /// What was archived. Entries of several archives may share it: it is then written to the disk once as long as they wait for
    /// their blocks.
    pub value: Arc<[u8]>,
}

/// Decides whether a value is meant. Called on the threads of the store.
pub type ArchiveFilter = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Which entries are asked for. The default asks for all of them, oldest first, and gets none for want of a limit.
#[derive(Clone, Default)]
pub struct ArchiveQuery {
    /// Only those of this peer.
    pub peer: Option<String>,
    /// Only those with this part; together with a peer.
    pub part: Option<String>,
    /// Only those with greater ids.
    pub after: Option<u64>,
    /// Only those with smaller ids.
    pub before: Option<u64>,
    /// The page is that at the end of what is asked for, and comes newest first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
    /// The page ends with the entry that brings its values to so many bytes; 0 for any number.
    pub bytes: usize,
    /// Only those whose value passes.
    pub filter: Option<Arc<ArchiveFilter>>,
    /// At most so many entries are looked at for the filter; 0 for any number.
    pub look_at: usize,
}

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchivePage {
    /// In the order that was asked for.
    pub entries: Vec<ArchiveEntry>,
    /// Nothing more is there in the direction that was asked for.
    pub complete: bool,
    /// The last id that was looked at, found or not: where to go on.
    pub reached: Option<u64>,
}

impl ArchiveQuery {
    /// Makes a page of entries that pass all but the filter, which are given one more than may be looked at where there are more.
    pub(crate) fn page<E>(
        &self,
        found: impl Iterator<Item = Result<ArchiveEntry, E>>,
    ) -> Result<ArchivePage, E> {
        let mut page = ArchivePage::default();
        let mut bytes = 0;
        for (looked_at, entry) in found.enumerate() {
            let entry = entry?;
            let full = page.entries.len() == self.limit
                || (self.look_at > 0 && looked_at == self.look_at)
                || (self.bytes > 0 && bytes >= self.bytes);
            if full {
                return Ok(page);
            }
            page.reached = Some(entry.id);
            if self
                .filter
                .as_ref()
                .is_none_or(|passes| passes(&entry.value))
            {
                bytes += entry.value.len();
                page.entries.push(entry);
            }
        }
        page.complete = true;
        Ok(page)
    }
}

/// What a backend does for archives; the promises are those of the methods of [`Store`].
pub(crate) trait Archives {
    /// A page.
    fn read_archive(&self, kind: KindId, owner: &str, query: ArchiveQuery) -> Pending<ArchivePage>;

    /// Those among `ids` that are there, in the order of the ids.
    fn archived(&self, kind: KindId, owner: &str, ids: &[u64]) -> Pending<Vec<ArchiveEntry>>;

    /// The oldest and the newest id.
    fn archive_ends(&self, kind: KindId, owner: &str) -> Pending<Option<(u64, u64)>>;

    /// The greatest id that was ever used.
    fn newest_archive_id(&self) -> u64;
}

/// Where ids come from.
pub(crate) struct ArchiveIds {
    last: AtomicU64,
    random: RandomState,
}

impl ArchiveIds {
    /// Ids above `last`.
    pub(crate) fn new(last: u64) -> Self {
        ArchiveIds {
            last: AtomicU64::new(last),
            random: RandomState::new(),
        }
    }

    fn next(&self, now_ms: u64) -> u64 {
        let time = now_ms.min(MAX_ID >> BITS) << BITS;
        let after = |last: u64| {
            // The gaps are random, so that ids tell nothing but the time and cannot be guessed.
            let random = self.random.hash_one(last);
            let (start, gap) = (random & ((1 << BITS) - 1), random >> 56);
            (time | start)
                .max(last.saturating_add(1 + gap))
                .clamp(1, MAX_ID)
        };
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.last.fetch_update(set, get, |last| Some(after(last))) {
            Ok(last) | Err(last) => after(last),
        }
    }
}

/// # Archives
/// Reads see every batch whose commit had resolved before the call, and never a part of a batch. A page takes as many
/// steps in an archive of millions as in one of a hundred. Reads wait in a bounded queue and fail with [`crate::StoreError::Busy`] when it is full.
impl Store {
    /// An id for an entry to be archived at `now_ms` (unix milliseconds): greater than all given before, by this process or an
    /// earlier one. Its time ([`Store::archive_time`]) is `now_ms`, or slightly more where the clock has been set back.
    pub fn archive_id(&self, now_ms: u64) -> u64 {
        self.archive_ids().next(now_ms)
    }

    /// When the entry with that id was archived, in unix milliseconds.
    pub fn archive_time(id: u64) -> u64 {
        id >> BITS
    }

    /// The smallest id of that time; greater than any other if the time is later than ids can tell.
    pub fn archive_id_from(time_ms: u64) -> u64 {
        time_ms.min((MAX_ID >> BITS) + 1) << BITS
    }

    /// A page of an archive.
    pub fn read_archive(
        &self,
        kind: &'static Kind,
        owner: &str,
        query: ArchiveQuery,
    ) -> Pending<ArchivePage> {
        self.with(kind, |backend, kind| {
            backend.read_archive(kind, owner, query)
        })
    }

    /// Those entries among `ids` that are in the archive, oldest first.
    pub fn archived(
        &self,
        kind: &'static Kind,
        owner: &str,
        ids: &[u64],
    ) -> Pending<Vec<ArchiveEntry>> {
        self.with(kind, |backend, kind| backend.archived(kind, owner, ids))
    }

    /// The ids of the oldest and the newest entry; `None` if there is none.
    pub fn archive_ends(&self, kind: &'static Kind, owner: &str) -> Pending<Option<(u64, u64)>> {
        self.with(kind, |backend, kind| backend.archive_ends(kind, owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_whatever_the_clock_does_and_tell_the_time() {
        let ids = ArchiveIds::new(0);
        let mut last = 0;
        for now in [1_000, 1_000, 1_000, 1_001, 500, 2_000, 2_000, u64::MAX, 1] {
            let id = ids.next(now);
            assert!(id > last && id <= MAX_ID);
            if now >= Store::archive_time(last) && now != u64::MAX {
                assert_eq!(Store::archive_time(id), now);
                assert!(id >= Store::archive_id_from(now));
                assert!(id < Store::archive_id_from(now + 1));
            }
            last = id;
        }
        assert!(ArchiveIds::new(7 << BITS).next(3) > 7 << BITS);
    }
}
