//! Rows of the journal: entries of any archives, one behind the other, each behind the number of its archive.
//!
//! A message is in the archives of both its ends, mostly next to each other, and its value is written once: a 0, which is the number
//! of no archive, stands before an entry that has no value of its own, and how many entries before it the one stands that
//! lends it.

use std::sync::Arc;

use rusqlite::Connection;

use super::block::{self, EntryRef};
use super::{signed, unsigned};
use crate::ArchiveEntry;

/// About how many bytes a row has.
const ROW_BYTES: usize = 64 << 10;
/// Among so many entries of its row a shared value is looked for.
const NEAR: usize = 8;

/// Appends entries, each with its archive.
pub(super) fn append(
    connection: &Connection,
    entries: &[(i64, Arc<ArchiveEntry>)],
) -> rusqlite::Result<()> {
    let mut append = connection.prepare_cached(APPEND)?;
    let mut row = Vec::new();
    let mut first = 0;
    for (at, (archive, entry)) in entries.iter().enumerate() {
        let mut written = EntryRef::of(entry);
        let near = &entries[first.max(at.saturating_sub(NEAR))..at];
        let lends = |(_, other): &(i64, Arc<ArchiveEntry>)| Arc::ptr_eq(&other.value, &entry.value);
        if let Some(back) = near.iter().rev().position(lends) {
            row.push(0);
            block::write_number(back as u64 + 1, &mut row);
            written.value = &[];
        } else if row.is_empty() {
            row.reserve(ROW_BYTES);
        } else if row.len() + written.size() > ROW_BYTES {
            append.execute((&row,))?;
            row.clear();
            first = at;
        }
        block::write_number(unsigned(*archive), &mut row);
        written.write(&mut row);
    }
    if !row.is_empty() {
        append.execute((&row,))?;
    }
    Ok(())
}

/// Reads all of it, in the order in which it was appended.
pub(super) fn read(
    connection: &Connection,
    mut each: impl FnMut(i64, ArchiveEntry),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(READ)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let mut data = row.get_ref(0)?.as_blob()?;
        let mut values: Vec<Arc<[u8]>> = Vec::new();
        while !data.is_empty() {
            let mut number = block::number(&mut data)?;
            let mut lent = None;
            if number == 0 {
                let back = usize::try_from(block::number(&mut data)?).unwrap_or(usize::MAX);
                let lender = values.len().checked_sub(back);
                let lender = lender.and_then(|lender| values.get(lender));
                lent = Some(lender.ok_or_else(block::damaged)?.clone());
                number = block::number(&mut data)?;
            }
            let mut entry = EntryRef::read(&mut data)?.to_entry()?;
            if let Some(value) = lent {
                entry.value = value;
            }
            values.push(entry.value.clone());
            each(signed(number), entry);
        }
    }
    Ok(())
}

const APPEND: &str = "INSERT INTO archive_journal (entries) VALUES (?1)";
const READ: &str = "SELECT entries FROM archive_journal ORDER BY id";

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::sqlite::schema::migrate(&mut connection).unwrap();
        connection
    }

    #[test]
    fn what_is_shared_is_written_once_and_read_as_it_was() {
        let connection = database();
        let values = [3, 40_000, 50_000].map(|length| Arc::from(vec![b'x'; length]));
        let entry = |(at, value): (usize, &Arc<[u8]>)| {
            let entry = ArchiveEntry {
                id: at as u64 + 1,
                peer: format!("peer{at}"),
                part: String::new(),
                value: value.clone(),
            };
            (at as i64 + 7, Arc::new(entry))
        };
        let order = [0, 0, 1, 0, 1, 2, 2, 0, 1, 1, 2].map(|at| &values[at]);
        let all: Vec<_> = order.into_iter().enumerate().map(entry).collect();
        append(&connection, &all).unwrap();
        let mut found = Vec::new();
        read(&connection, |archive, entry| {
            found.push((archive, Arc::new(entry)));
        })
        .unwrap();
        assert_eq!(found, all);
        let bytes = "SELECT sum(length(entries)) FROM archive_journal";
        let bytes: i64 = connection.query_row(bytes, (), |row| row.get(0)).unwrap();
        // Each value once in each row that has it.
        assert!((180_000..181_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_value_lent_by_nobody_is_refused() {
        let connection = database();
        for row in [&[0, 1, 7][..], &[0, 0, 7], &[0]] {
            let mut row = row.to_vec();
            row.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            connection
                .execute("DELETE FROM archive_journal", ())
                .unwrap();
            connection.execute(APPEND, (&row,)).unwrap();
            assert!(read(&connection, |_, _| ()).is_err());
        }
    }
}
