//! Blocks: the entries of one archive that follow each other, so that a page is read from few places.
//!
//! A block is named by its first id; those of an archive do not overlap. A run of new entries becomes blocks behind the others,
//! and takes in the last of them while these are no bigger than itself: so blocks become full, and an entry is written
//! again a few times at most (as often as a block can double), however few come at a time.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::block::{self, EntryRef};
use super::{signed, unsigned};
use crate::ArchiveEntry;

/// A block ends before it has more bytes, if it has more than one entry.
const BLOCK_BYTES: usize = 16_000;
/// A block with so many is not taken in.
const FULL_BYTES: usize = BLOCK_BYTES * 3 / 4;

/// Where a block is.
struct Place {
    row: i64,
    first: u64,
    last: u64,
    bytes: usize,
}

/// Puts entries, in the order of their ids, into blocks of their archive. What is there already stays as it is.
pub(super) fn add(
    connection: &Connection,
    archive: i64,
    mut run: &[Arc<ArchiveEntry>],
) -> rusqlite::Result<()> {
    if let Some(end) = last(connection, archive)? {
        // Those whose commit came behind that of greater ids.
        let (late, rest) = run.split_at(run.partition_point(|entry| entry.id <= end.last));
        for entry in late {
            add_late(connection, archive, EntryRef::of(entry))?;
        }
        run = rest;
    }
    let mut bytes: usize = run.iter().map(|entry| EntryRef::of(entry).size()).sum();
    let mut taken_in = Vec::new();
    while bytes > 0
        && let Some(end) = last(connection, archive)?
        && end.bytes < FULL_BYTES.min(bytes)
    {
        let data = data(connection, &end)?;
        remove(connection, archive, &end, &block::entries(&data)?)?;
        bytes += end.bytes;
        taken_in.push(data);
    }
    let mut entries = Vec::new();
    for data in taken_in.iter().rev() {
        entries.extend(block::entries(data)?);
    }
    entries.extend(run.iter().map(|entry| EntryRef::of(entry)));
    write(connection, archive, &entries)
}

/// Adds an entry between those that are in blocks.
fn add_late(connection: &Connection, archive: i64, entry: EntryRef<'_>) -> rusqlite::Result<()> {
    let Some(place) = holding(connection, archive, entry.id)? else {
        return write(connection, archive, &[entry]);
    };
    let data = data(connection, &place)?;
    let mut entries = block::entries(&data)?;
    if let Err(at) = entries.binary_search_by_key(&entry.id, |entry| entry.id) {
        remove(connection, archive, &place, &entries)?;
        entries.insert(at, entry);
        write(connection, archive, &entries)?;
    }
    Ok(())
}

/// Replaces a value, if it is there.
pub(super) fn replace(
    connection: &Connection,
    archive: i64,
    id: u64,
    value: &[u8],
) -> rusqlite::Result<()> {
    let Some(place) = holding(connection, archive, id)?.filter(|place| id <= place.last) else {
        return Ok(());
    };
    let data = data(connection, &place)?;
    let mut entries = block::entries(&data)?;
    if let Ok(at) = entries.binary_search_by_key(&id, |entry| entry.id) {
        remove(connection, archive, &place, &entries)?;
        entries[at].value = value;
        write(connection, archive, &entries)?;
    }
    Ok(())
}

/// Deletes the oldest up to and with `id`, at most `limit`.
pub(super) fn delete_until(
    connection: &Connection,
    archive: i64,
    id: u64,
    mut limit: usize,
) -> rusqlite::Result<()> {
    while limit > 0
        && let Some(place) = first(connection, archive)?.filter(|place| place.first <= id)
    {
        let data = data(connection, &place)?;
        let entries = block::entries(&data)?;
        let gone = entries.partition_point(|entry| entry.id <= id).min(limit);
        remove(connection, archive, &place, &entries)?;
        write(connection, archive, &entries[gone..])?;
        if gone < entries.len() {
            break;
        }
        limit -= gone;
    }
    Ok(())
}

/// Deletes up to `limit` blocks of an archive; true if there were any.
pub(super) fn delete_blocks(
    connection: &Connection,
    archive: i64,
    limit: usize,
) -> rusqlite::Result<bool> {
    for number in 0..limit {
        let Some(place) = first(connection, archive)? else {
            return Ok(number > 0);
        };
        let data = data(connection, &place)?;
        remove(connection, archive, &place, &block::entries(&data)?)?;
    }
    Ok(true)
}

/// The last id in a block of the archive.
pub(super) fn last_id(connection: &Connection, archive: i64) -> rusqlite::Result<Option<u64>> {
    Ok(last(connection, archive)?.map(|place| place.last))
}

/// The first and the last id in blocks of the archive.
pub(super) fn ends(connection: &Connection, archive: i64) -> rusqlite::Result<Option<(u64, u64)>> {
    let (first, last) = (first(connection, archive)?, last(connection, archive)?);
    Ok(first
        .zip(last)
        .map(|(first, last)| (first.first, last.last)))
}

/// Writes entries as blocks.
fn write(
    connection: &Connection,
    archive: i64,
    mut entries: &[EntryRef<'_>],
) -> rusqlite::Result<()> {
    let mut data = Vec::with_capacity(BLOCK_BYTES);
    while let Some(first) = entries.first() {
        data.clear();
        let mut count = 0;
        for entry in entries {
            if count > 0 && data.len() + entry.size() > BLOCK_BYTES {
                break;
            }
            entry.write(&mut data);
            count += 1;
        }
        let (block, rest) = entries.split_at(count);
        let last = block.last().map_or(first.id, |last| last.id);
        connection.prepare_cached(WRITE)?.execute((
            archive,
            signed(first.id),
            signed(last),
            &data,
        ))?;
        let mut write_peer = connection.prepare_cached(WRITE_PEER)?;
        for peer in peers(block)? {
            write_peer.execute((archive, peer, signed(first.id)))?;
        }
        entries = rest;
    }
    Ok(())
}

/// Deletes a block that holds `entries`.
fn remove(
    connection: &Connection,
    archive: i64,
    place: &Place,
    entries: &[EntryRef<'_>],
) -> rusqlite::Result<()> {
    connection.prepare_cached(REMOVE)?.execute((place.row,))?;
    let mut remove_peer = connection.prepare_cached(REMOVE_PEER)?;
    for peer in peers(entries)? {
        remove_peer.execute((archive, peer, signed(place.first)))?;
    }
    Ok(())
}

/// Each peer once.
fn peers<'a>(entries: &[EntryRef<'a>]) -> rusqlite::Result<Vec<&'a str>> {
    let mut peers: Vec<&[u8]> = entries.iter().map(|entry| entry.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    peers.into_iter().map(block::text).collect()
}

fn data(connection: &Connection, place: &Place) -> rusqlite::Result<Vec<u8>> {
    connection
        .prepare_cached(DATA)?
        .query_row((place.row,), |row| row.get(0))
}

/// The block that holds `id`, if any does.
fn holding(connection: &Connection, archive: i64, id: u64) -> rusqlite::Result<Option<Place>> {
    connection
        .prepare_cached(HOLDING)?
        .query_row((archive, signed(id)), place)
        .optional()
}

fn first(connection: &Connection, archive: i64) -> rusqlite::Result<Option<Place>> {
    connection
        .prepare_cached(FIRST)?
        .query_row((archive,), place)
        .optional()
}

fn last(connection: &Connection, archive: i64) -> rusqlite::Result<Option<Place>> {
    connection
        .prepare_cached(LAST)?
        .query_row((archive,), place)
        .optional()
}

fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    Ok(Place {
        row: row.get(0)?,
        first: unsigned(row.get(1)?),
        last: unsigned(row.get(2)?),
        bytes: usize::try_from(row.get::<_, i64>(3)?).unwrap_or(usize::MAX),
    })
}

const WRITE: &str =
    "INSERT INTO archive_blocks (archive, first, last, data) VALUES (?1, ?2, ?3, ?4)";
const WRITE_PEER: &str = "INSERT INTO archive_peers (archive, peer, first) VALUES (?1, ?2, ?3)";
const REMOVE: &str = "DELETE FROM archive_blocks WHERE id = ?1";
const REMOVE_PEER: &str =
    "DELETE FROM archive_peers WHERE archive = ?1 AND peer = ?2 AND first = ?3";
const DATA: &str = "SELECT data FROM archive_blocks WHERE id = ?1";
const HOLDING: &str = "SELECT id, first, last, length(data) FROM archive_blocks
             WHERE archive = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
const FIRST: &str = "SELECT id, first, last, length(data) FROM archive_blocks
             WHERE archive = ?1 ORDER BY first LIMIT 1";
const LAST: &str = "SELECT id, first, last, length(data) FROM archive_blocks
             WHERE archive = ?1 ORDER BY first DESC LIMIT 1";

/// The statements that search.
#[cfg(test)]
pub(super) const SEARCHES: &[&str] = &[REMOVE, REMOVE_PEER, DATA, HOLDING, FIRST, LAST];
