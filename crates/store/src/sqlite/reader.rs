//! Reading: queries on connections of their own, which see the last commit and block no writer.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::kind::KindId;
use crate::{LogEntry, LogSize};

/// One record.
pub(super) fn get(
    connection: &Connection,
    kind: KindId,
    owner: &str,
    key: &str,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached(GET)?
        .query_row((kind.0, owner, key), |row| row.get(0))
        .optional()
}

/// A page of records by key.
pub(super) fn list(
    connection: &Connection,
    kind: KindId,
    owner: &str,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
    connection
        .prepare_cached(LIST)?
        .query_map((kind.0, owner, first_after(after), count(limit)), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// A page of owners: jumps from one to the next in the two indexes, however much each has.
pub(super) fn owners(
    connection: &Connection,
    kind: KindId,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<String>> {
    let transaction = connection.unchecked_transaction()?;
    let mut next_in_records = transaction.prepare_cached(NEXT_IN_RECORDS)?;
    let mut next_in_logs = transaction.prepare_cached(NEXT_IN_LOGS)?;
    let mut next_in_archives = transaction.prepare_cached(NEXT_IN_ARCHIVES)?;
    let mut owners = Vec::new();
    let mut start = first_after(after);
    while owners.len() < limit {
        let record: Option<String> =
            next_in_records.query_row((kind.0, &start), |row| row.get(0))?;
        let log: Option<String> = next_in_logs.query_row((kind.0, &start), |row| row.get(0))?;
        let archive: Option<String> =
            next_in_archives.query_row((kind.0, &start), |row| row.get(0))?;
        let Some(owner) = record.into_iter().chain(log).chain(archive).min() else {
            break;
        };
        start = first_after(Some(&owner));
        owners.push(owner);
    }
    Ok(owners)
}

/// A page of a log, oldest first.
pub(super) fn read_log(
    connection: &Connection,
    kind: KindId,
    owner: &str,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<LogEntry>> {
    connection
        .prepare_cached(READ_LOG)?
        .query_map((kind.0, owner, signed(after), count(limit)), entry)?
        .collect()
}

/// A page of a log, newest first.
pub(super) fn read_log_back(
    connection: &Connection,
    kind: KindId,
    owner: &str,
    before: u64,
    limit: usize,
) -> rusqlite::Result<Vec<LogEntry>> {
    // The greatest id there can be is i64::MAX: "below u64::MAX" includes it.
    let last = signed(before.saturating_sub(1));
    connection
        .prepare_cached(READ_LOG_BACK)?
        .query_map((kind.0, owner, last, count(limit)), entry)?
        .collect()
}

/// Entries and bytes of a log.
pub(super) fn log_size(
    connection: &Connection,
    kind: KindId,
    owner: &str,
) -> rusqlite::Result<LogSize> {
    connection
        .prepare_cached(LOG_SIZE)?
        .query_row((kind.0, owner), |row| {
            Ok(LogSize {
                entries: unsigned(row.get(0)?),
                bytes: unsigned(row.get(1)?),
            })
        })
}

const GET: &str = "SELECT value FROM records WHERE kind = ?1 AND owner = ?2 AND key = ?3";
const LIST: &str = "SELECT key, value FROM records WHERE kind = ?1 AND owner = ?2 AND key >= ?3
             ORDER BY key LIMIT ?4";
const NEXT_IN_RECORDS: &str = "SELECT min(owner) FROM records WHERE kind = ?1 AND owner >= ?2";
const NEXT_IN_LOGS: &str = "SELECT min(owner) FROM logs WHERE kind = ?1 AND owner >= ?2";
const NEXT_IN_ARCHIVES: &str = "SELECT min(owner) FROM archives WHERE kind = ?1 AND owner >= ?2";
const READ_LOG: &str =
    "SELECT id, at_ms, value FROM logs WHERE kind = ?1 AND owner = ?2 AND id > ?3
             ORDER BY id LIMIT ?4";
const READ_LOG_BACK: &str =
    "SELECT id, at_ms, value FROM logs WHERE kind = ?1 AND owner = ?2 AND id <= ?3
             ORDER BY id DESC LIMIT ?4";
const LOG_SIZE: &str = "SELECT count(*), coalesce(sum(length(value)), 0) FROM logs
             WHERE kind = ?1 AND owner = ?2";

/// Every query, for the test of their plans.
#[cfg(test)]
pub(super) const QUERIES: &[&str] = &[
    GET,
    LIST,
    NEXT_IN_RECORDS,
    NEXT_IN_LOGS,
    NEXT_IN_ARCHIVES,
    READ_LOG,
    READ_LOG_BACK,
    LOG_SIZE,
];

fn entry(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    Ok(LogEntry {
        id: unsigned(row.get(0)?),
        at_ms: unsigned(row.get(1)?),
        value: row.get(2)?,
    })
}

/// The smallest text greater than `after`.
fn first_after(after: Option<&str>) -> String {
    after.map_or_else(String::new, |after| format!("{after}\0"))
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
