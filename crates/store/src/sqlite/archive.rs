//! Archives in SQLite: a table in the order of the ids, and an index each for the owner and for the owner's peers.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::archive::MAX_ID;
use crate::kind::KindId;
use crate::{ArchiveEntry, ArchivePage, ArchiveQuery};

/// Numbers of archives that the writer remembers.
const REMEMBERED: usize = 10_000;
/// Entries of nobody that are deleted at once.
const SLICE: i64 = 1_000;

/// The numbers of archives that have been written to, by kind and owner.
#[derive(Default)]
pub(super) struct Numbers(HashMap<i64, HashMap<String, i64>>, usize);

impl Numbers {
    /// What was remembered may not be so: a transaction was rolled back, or an owner was erased.
    pub(super) fn forget(&mut self) {
        *self = Numbers::default();
    }

    /// The number of the archive of `owner`, made if there is none.
    fn of(&mut self, connection: &Connection, kind: KindId, owner: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.0.get(&kind.0).and_then(|owners| owners.get(owner)) {
            return Ok(*number);
        }
        connection
            .prepare_cached(NEW_ARCHIVE)?
            .execute((kind.0, owner))?;
        let number = connection
            .prepare_cached(ARCHIVE)?
            .query_row((kind.0, owner), |row| row.get(0))?;
        if self.1 >= REMEMBERED {
            self.forget();
        }
        self.1 += 1;
        self.0
            .entry(kind.0)
            .or_default()
            .insert(owner.to_owned(), number);
        Ok(number)
    }
}

/// Adds an entry.
pub(super) fn add(
    connection: &Connection,
    numbers: &mut Numbers,
    kind: KindId,
    owner: &str,
    entry: &ArchiveEntry,
) -> rusqlite::Result<()> {
    let archive = numbers.of(connection, kind, owner)?;
    let ArchiveEntry {
        id,
        peer,
        part,
        value,
    } = entry;
    connection
        .prepare_cached(ADD)?
        .execute((signed(*id), archive, peer, part, value))
        .map(drop)
}

/// Replaces a value.
pub(super) fn replace(
    connection: &Connection,
    kind: KindId,
    owner: &str,
    id: u64,
    value: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(REPLACE)?
        .execute((kind.0, owner, signed(id), value))
        .map(drop)
}

/// Deletes the oldest.
pub(super) fn delete_until(
    connection: &Connection,
    kind: KindId,
    owner: &str,
    id: u64,
    limit: usize,
) -> rusqlite::Result<()> {
    remember_newest(connection)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(DELETE_UNTIL)?
        .execute((kind.0, owner, signed(id), limit))
        .map(drop)
}

/// Makes the archive of `owner` nobody's.
pub(super) fn disown(connection: &Connection, kind: KindId, owner: &str) -> rusqlite::Result<bool> {
    let disowned = connection
        .prepare_cached(DISOWN)?
        .execute((kind.0, owner))?;
    Ok(disowned > 0)
}

/// Deletes a slice of what is nobody's, as a transaction of its own; true if there may be more.
pub(super) fn delete_slice(connection: &Connection) -> rusqlite::Result<bool> {
    let archive: Option<i64> = connection
        .prepare_cached(OF_NOBODY)?
        .query_row((), |row| row.get(0))
        .optional()?;
    let Some(archive) = archive else {
        return Ok(false);
    };
    let transaction = connection.unchecked_transaction()?;
    remember_newest(&transaction)?;
    let deleted = transaction
        .prepare_cached(DELETE_SLICE)?
        .execute((archive, SLICE))?;
    if deleted == 0 {
        transaction
            .prepare_cached(DELETE_ARCHIVE)?
            .execute((archive,))?;
    }
    transaction.commit()?;
    Ok(true)
}

/// Ids are never used again, also if those that are deleted were the newest and the clock is set back.
fn remember_newest(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached(REMEMBER_NEWEST)?.execute(())?;
    Ok(())
}

/// The greatest id that was ever used.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(NEWEST)?
        .query_row((), |row| row.get(0))
        .map(unsigned)
}

/// A page.
pub(super) fn read(
    connection: &Connection,
    kind: KindId,
    owner: &str,
    query: &ArchiveQuery,
) -> rusqlite::Result<ArchivePage> {
    let Some(archive) = number(connection, kind, owner)? else {
        return query.page(std::iter::empty());
    };
    let (after, before) = (query.after.unwrap_or(0), query.before.unwrap_or(u64::MAX));
    // The greatest id there can be is i64::MAX: "below u64::MAX" includes it.
    let first = signed(after.saturating_add(1));
    let last = signed(before.saturating_sub(1));
    if after >= MAX_ID {
        return query.page(std::iter::empty());
    }
    let limit = match (query.filter.is_some(), query.look_at) {
        (false, _) => query.limit,
        (true, 0) => usize::MAX,
        (true, look_at) => look_at,
    };
    // One more tells whether the page is the last.
    let limit = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let (peer, part) = (query.peer.as_deref(), query.part.as_deref());
    let narrow = match (peer, part) {
        (None, None) => 0,
        (Some(_), None) => 1,
        (_, Some(_)) => 2,
    };
    let sql = READS[narrow][usize::from(query.newest_first)];
    let mut statement = connection.prepare_cached(sql)?;
    match (peer, part) {
        (None, None) => query.page(statement.query_map((archive, first, last, limit), entry)?),
        (Some(peer), None) => {
            query.page(statement.query_map((archive, first, last, limit, peer), entry)?)
        }
        (peer, Some(part)) => {
            let peer = peer.unwrap_or_default();
            query.page(statement.query_map((archive, first, last, limit, peer, part), entry)?)
        }
    }
}

/// Entries by their ids.
pub(super) fn entries(
    connection: &Connection,
    kind: KindId,
    owner: &str,
    ids: &[u64],
) -> rusqlite::Result<Vec<ArchiveEntry>> {
    let Some(archive) = number(connection, kind, owner)? else {
        return Ok(Vec::new());
    };
    let mut ids: Vec<i64> = ids.iter().map(|id| signed(*id)).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut statement = connection.prepare_cached(ONE)?;
    let mut found = Vec::new();
    for id in ids {
        found.extend(statement.query_row((archive, id), entry).optional()?);
    }
    Ok(found)
}

/// The oldest and the newest id.
pub(super) fn ends(
    connection: &Connection,
    kind: KindId,
    owner: &str,
) -> rusqlite::Result<Option<(u64, u64)>> {
    let Some(archive) = number(connection, kind, owner)? else {
        return Ok(None);
    };
    let transaction = connection.unchecked_transaction()?;
    let end = |sql| {
        transaction
            .prepare_cached(sql)?
            .query_row((archive,), |row| row.get(0))
            .optional()
    };
    let (oldest, newest) = (end(OLDEST_OF)?, end(NEWEST_OF)?);
    Ok(oldest.zip(newest).map(|(a, b)| (unsigned(a), unsigned(b))))
}

fn number(connection: &Connection, kind: KindId, owner: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(ARCHIVE)?
        .query_row((kind.0, owner), |row| row.get(0))
        .optional()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<ArchiveEntry> {
    Ok(ArchiveEntry {
        id: unsigned(row.get(0)?),
        peer: row.get(1)?,
        part: row.get(2)?,
        value: row.get(3)?,
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

const NEW_ARCHIVE: &str =
    "INSERT INTO archives (kind, owner) VALUES (?1, ?2) ON CONFLICT (kind, owner) DO NOTHING";
const ARCHIVE: &str = "SELECT id FROM archives WHERE kind = ?1 AND owner = ?2";
const ADD: &str =
    "INSERT INTO archived (id, archive, peer, part, value) VALUES (?1, ?2, ?3, ?4, ?5)";
const REPLACE: &str = "UPDATE archived SET value = ?4 WHERE id = ?3
             AND archive = (SELECT id FROM archives WHERE kind = ?1 AND owner = ?2)";
const DELETE_UNTIL: &str = "DELETE FROM archived WHERE id IN (SELECT id FROM archived
             WHERE archive = (SELECT id FROM archives WHERE kind = ?1 AND owner = ?2) AND id <= ?3
             ORDER BY id LIMIT ?4)";
const DISOWN: &str = "UPDATE archives SET owner = NULL WHERE kind = ?1 AND owner = ?2";
const OF_NOBODY: &str = "SELECT id FROM archives WHERE owner IS NULL LIMIT 1";
const DELETE_SLICE: &str = "DELETE FROM archived WHERE id IN (SELECT id FROM archived
             WHERE archive = ?1 ORDER BY id LIMIT ?2)";
const DELETE_ARCHIVE: &str = "DELETE FROM archives WHERE id = ?1";
const REMEMBER_NEWEST: &str = "UPDATE archive_newest
             SET id = max(id, (SELECT coalesce(max(id), 0) FROM archived))";
const NEWEST: &str = "SELECT max((SELECT id FROM archive_newest),
             (SELECT coalesce(max(id), 0) FROM archived))";
const ONE: &str = "SELECT id, peer, part, value FROM archived WHERE id = ?2 AND archive = ?1";
const OLDEST_OF: &str = "SELECT id FROM archived WHERE archive = ?1 ORDER BY id LIMIT 1";
const NEWEST_OF: &str = "SELECT id FROM archived WHERE archive = ?1 ORDER BY id DESC LIMIT 1";

/// Pages: of all, of a peer, of a peer's part; oldest first, newest first.
const READS: [[&str; 2]; 3] = [
    [
        "SELECT id, peer, part, value FROM archived INDEXED BY archived_by_archive
             WHERE archive = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id LIMIT ?4",
        "SELECT id, peer, part, value FROM archived INDEXED BY archived_by_archive
             WHERE archive = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id DESC LIMIT ?4",
    ],
    [
        "SELECT id, peer, part, value FROM archived INDEXED BY archived_by_peer
             WHERE archive = ?1 AND peer = ?5 AND id BETWEEN ?2 AND ?3 ORDER BY id LIMIT ?4",
        "SELECT id, peer, part, value FROM archived INDEXED BY archived_by_peer
             WHERE archive = ?1 AND peer = ?5 AND id BETWEEN ?2 AND ?3 ORDER BY id DESC LIMIT ?4",
    ],
    [
        "SELECT id, peer, part, value FROM archived INDEXED BY archived_by_peer
             WHERE archive = ?1 AND peer = ?5 AND part = ?6 AND id BETWEEN ?2 AND ?3
             ORDER BY id LIMIT ?4",
        "SELECT id, peer, part, value FROM archived INDEXED BY archived_by_peer
             WHERE archive = ?1 AND peer = ?5 AND part = ?6 AND id BETWEEN ?2 AND ?3
             ORDER BY id DESC LIMIT ?4",
    ],
];

/// The statements that search, for the test of their plans; not [`OF_NOBODY`], which takes the first of an index of what is
/// to be cleared away.
#[cfg(test)]
pub(super) fn searches() -> impl Iterator<Item = &'static str> {
    let others = [
        ARCHIVE,
        REPLACE,
        DELETE_UNTIL,
        DISOWN,
        DELETE_SLICE,
        DELETE_ARCHIVE,
        ONE,
        OLDEST_OF,
        NEWEST_OF,
    ];
    others.into_iter().chain(READS.into_iter().flatten())
}
