//! Reading: blocks, and what waits to be in one, as one order.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

use rusqlite::{Connection, OptionalExtension, Rows};

use super::block::{self, EntryRef};
use super::tail::{Tail, Waiting};
use super::{number, seal, signed, unsigned};
use crate::archive::MAX_ID;
use crate::kind::KindId;
use crate::{ArchiveEntry, ArchivePage, ArchiveQuery};

/// Whether an entry with that peer and part is asked for.
pub(super) fn is_of(query: &ArchiveQuery, entry: &EntryRef<'_>) -> bool {
    let is = |asked: &Option<String>, of: &[u8]| asked.as_ref().is_none_or(|a| a.as_bytes() == of);
    is(&query.peer, entry.peer) && is(&query.part, entry.part)
}

/// A page.
pub(in crate::sqlite) fn page(
    connection: &Connection,
    tail: &Tail,
    kind: KindId,
    owner: &str,
    query: &ArchiveQuery,
) -> rusqlite::Result<ArchivePage> {
    let limit = match (query.filter.is_some(), query.look_at) {
        (false, _) => query.limit,
        (true, 0) => usize::MAX,
        (true, look_at) => look_at,
    };
    // One more tells whether the page is the last.
    let limit = limit.saturating_add(1);
    let (after, before) = (query.after.unwrap_or(0), query.before.unwrap_or(u64::MAX));
    if after >= MAX_ID || before <= after.saturating_add(1) {
        return query.page(std::iter::empty());
    }
    let look = |waiting: &Waiting, archive| waiting.wanted(archive, query, limit);
    let (snapshot, found) = Snapshot::take(connection, tail, kind, owner, look)?;
    let Some((archive, waiting)) = found else {
        return query.page(std::iter::empty());
    };
    // The greatest id there can be is i64::MAX: "below u64::MAX" includes it.
    let (first, last) = (signed(after + 1), signed(before.saturating_sub(1)));
    let of_peer = usize::from(query.peer.is_some());
    let sql = READS[of_peer][usize::from(query.newest_first)];
    let mut statement = snapshot.0.prepare_cached(sql)?;
    let rows = match &query.peer {
        None => statement.query((archive, first, last))?,
        Some(peer) => statement.query((archive, first, last, peer))?,
    };
    query.page(Merged {
        sealed: Sealed {
            rows,
            query,
            range: (after, before),
            left: limit,
            ready: Vec::new().into_iter(),
        }
        .peekable(),
        waiting: waiting.into_iter().peekable(),
        newest_first: query.newest_first,
    })
}

/// Entries by their ids.
pub(in crate::sqlite) fn entries(
    connection: &Connection,
    tail: &Tail,
    kind: KindId,
    owner: &str,
    ids: &[u64],
) -> rusqlite::Result<Vec<ArchiveEntry>> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let look = |waiting: &Waiting, archive| {
        let of = waiting.of(archive);
        let there = |id: &u64| of.binary_search_by_key(id, |entry| entry.id).ok();
        let found = ids.iter().filter_map(there);
        found.map(|at| Arc::clone(&of[at])).collect::<Vec<_>>()
    };
    let (snapshot, found) = Snapshot::take(connection, tail, kind, owner, look)?;
    let Some((archive, waiting)) = found else {
        return Ok(Vec::new());
    };
    let mut waiting = waiting.into_iter().peekable();
    let mut statement = snapshot.0.prepare_cached(HOLDING)?;
    let mut found = Vec::new();
    let (mut last, mut data) = (0, Vec::new());
    for id in ids {
        if let Some(entry) = waiting.next_if(|entry| entry.id == id) {
            found.push(ArchiveEntry::clone(&entry));
            continue;
        }
        if id > last {
            let block = statement.query_row((archive, signed(id)), |row| {
                Ok((unsigned(row.get(0)?), row.get(1)?))
            });
            (last, data) = block.optional()?.unwrap_or_default();
        }
        if id <= last {
            let entries = block::entries(&data)?;
            let at = entries.binary_search_by_key(&id, |entry| entry.id);
            if let Ok(at) = at {
                found.push(entries[at].to_entry()?);
            }
        }
    }
    Ok(found)
}

/// The oldest and the newest id.
pub(in crate::sqlite) fn ends(
    connection: &Connection,
    tail: &Tail,
    kind: KindId,
    owner: &str,
) -> rusqlite::Result<Option<(u64, u64)>> {
    let look = |waiting: &Waiting, archive| {
        let all = waiting.of(archive);
        all.first().zip(all.last()).map(|(a, b)| (a.id, b.id))
    };
    let (snapshot, found) = Snapshot::take(connection, tail, kind, owner, look)?;
    let Some((archive, waiting)) = found else {
        return Ok(None);
    };
    let sealed = seal::ends(snapshot.0, archive)?;
    let both = sealed.into_iter().chain(waiting);
    Ok(both.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))))
}

/// A transaction that reads, ended when it is dropped.
struct Snapshot<'c>(&'c Connection);

impl<'c> Snapshot<'c> {
    /// Takes a snapshot, and from the tail of that moment what `look` finds of the archive, if the owner has one.
    fn take<T>(
        connection: &'c Connection,
        tail: &Tail,
        kind: KindId,
        owner: &str,
        look: impl FnOnce(&Waiting, i64) -> T,
    ) -> rusqlite::Result<(Snapshot<'c>, Option<(i64, T)>)> {
        let waiting = tail.read();
        connection.prepare_cached("BEGIN")?.execute(())?;
        let snapshot = Snapshot(connection);
        // The first read fixes what the others see.
        let archive = number(connection, kind, owner)?;
        let found = archive.map(|archive| (archive, look(&waiting, archive)));
        Ok((snapshot, found))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let ended = self
            .0
            .prepare_cached("COMMIT")
            .and_then(|mut end| end.execute(()));
        if let Err(error) = ended {
            tracing::error!(%error, "storage: a reader cannot let go of what it read");
        }
    }
}

/// What is asked for of the blocks that come.
struct Sealed<'a> {
    rows: Rows<'a>,
    query: &'a ArchiveQuery,
    /// Greater than the one, smaller than the other.
    range: (u64, u64),
    /// How many may still be needed.
    left: usize,
    ready: vec::IntoIter<ArchiveEntry>,
}

impl Sealed<'_> {
    fn read(&mut self) -> rusqlite::Result<Option<ArchiveEntry>> {
        loop {
            if let Some(entry) = self.ready.next() {
                return Ok(Some(entry));
            }
            if self.left == 0 {
                return Ok(None);
            }
            let Some(row) = self.rows.next()? else {
                return Ok(None);
            };
            let (after, before) = self.range;
            let asked = |entry: &EntryRef<'_>| {
                entry.id > after && entry.id < before && is_of(self.query, entry)
            };
            let mut found = block::entries_if(row.get_ref(0)?.as_blob()?, asked)?;
            if self.query.newest_first {
                found.reverse();
            }
            found.truncate(self.left);
            self.left -= found.len();
            let found = found.into_iter().map(EntryRef::to_entry);
            self.ready = found.collect::<rusqlite::Result<Vec<_>>>()?.into_iter();
        }
    }
}

impl Iterator for Sealed<'_> {
    type Item = rusqlite::Result<ArchiveEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Two orders as one; what is in both comes once, as it is in its block.
struct Merged<'a> {
    sealed: Peekable<Sealed<'a>>,
    waiting: Peekable<vec::IntoIter<Arc<ArchiveEntry>>>,
    newest_first: bool,
}

impl Iterator for Merged<'_> {
    type Item = rusqlite::Result<ArchiveEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(Ok(sealed)) = self.sealed.peek() {
            let (id, newest_first) = (sealed.id, self.newest_first);
            self.waiting.next_if(|entry| entry.id == id);
            let comes_first = |entry: &Arc<ArchiveEntry>| (entry.id > id) == newest_first;
            if let Some(entry) = self.waiting.next_if(comes_first) {
                return Some(Ok(ArchiveEntry::clone(&entry)));
            }
            return self.sealed.next();
        }
        // The end of the blocks, or an error.
        self.sealed.next().or_else(|| {
            let entry = self.waiting.next()?;
            Some(Ok(ArchiveEntry::clone(&entry)))
        })
    }
}

const HOLDING: &str = "SELECT last, data FROM archive_blocks
             WHERE archive = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";

/// Blocks that may hold what is asked for: of all, of a peer; oldest first, newest first. The one that holds the start is
/// the last that begins before it.
const READS: [[&str; 2]; 2] = [
    [
        "SELECT data FROM archive_blocks WHERE archive = ?1 AND first BETWEEN coalesce((
             SELECT first FROM archive_blocks WHERE archive = ?1 AND first <= ?2
             ORDER BY first DESC LIMIT 1), ?2) AND ?3 ORDER BY first",
        "SELECT data FROM archive_blocks WHERE archive = ?1 AND first BETWEEN coalesce((
             SELECT first FROM archive_blocks WHERE archive = ?1 AND first <= ?2
             ORDER BY first DESC LIMIT 1), ?2) AND ?3 ORDER BY first DESC",
    ],
    [
        "SELECT b.data FROM archive_peers p CROSS JOIN archive_blocks b USING (archive, first)
             WHERE p.archive = ?1 AND p.peer = ?4 AND p.first BETWEEN coalesce((
             SELECT first FROM archive_peers WHERE archive = ?1 AND peer = ?4 AND first <= ?2
             ORDER BY first DESC LIMIT 1), ?2) AND ?3 ORDER BY p.first",
        "SELECT b.data FROM archive_peers p CROSS JOIN archive_blocks b USING (archive, first)
             WHERE p.archive = ?1 AND p.peer = ?4 AND p.first BETWEEN coalesce((
             SELECT first FROM archive_peers WHERE archive = ?1 AND peer = ?4 AND first <= ?2
             ORDER BY first DESC LIMIT 1), ?2) AND ?3 ORDER BY p.first DESC",
    ],
];

/// The statements that search.
#[cfg(test)]
pub(super) fn searches() -> impl Iterator<Item = &'static str> {
    READS.into_iter().flatten().chain([HOLDING])
}
