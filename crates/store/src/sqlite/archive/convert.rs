//! From the layout of version 2, a row for each entry, to blocks.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::{seal, signed, unsigned};
use crate::ArchiveEntry;

/// Entries in one transaction.
const SLICE: i64 = 5_000;

/// Puts what is in the table of version 2 into blocks, and removes the table. Ended at any point it goes on where it was: the
/// blocks of an archive grow in the order of the ids, and nothing else is written meanwhile.
pub(in crate::sqlite) fn convert(connection: &Connection) -> rusqlite::Result<()> {
    if !connection.table_exists(None, "archived")? {
        return Ok(());
    }
    let mut archive = 0;
    let mut entries = 0;
    while let Some(next) = connection
        .prepare_cached(NEXT_ARCHIVE)?
        .query_row((archive,), |row| row.get(0))
        .optional()?
    {
        if entries == 0 {
            tracing::info!("storage: archives are put into their new layout");
        }
        archive = next;
        loop {
            let transaction = connection.unchecked_transaction()?;
            let last = seal::last_id(&transaction, archive)?.unwrap_or(0);
            let slice: Vec<Arc<ArchiveEntry>> = transaction
                .prepare_cached(READ)?
                .query_map((archive, signed(last), SLICE), |row| {
                    Ok(Arc::new(ArchiveEntry {
                        id: unsigned(row.get(0)?),
                        peer: row.get(1)?,
                        part: row.get(2)?,
                        value: row.get_ref(3)?.as_blob()?.into(),
                    }))
                })?
                .collect::<rusqlite::Result<_>>()?;
            seal::add(&transaction, archive, &slice)?;
            transaction.commit()?;
            if slice.is_empty() {
                break;
            }
            entries += slice.len();
        }
    }
    // Statements that name the table would hold it.
    connection.flush_prepared_statement_cache();
    connection.execute_batch("DROP TABLE archived")?;
    if entries > 0 {
        tracing::info!(entries, "storage: archives are in their new layout");
    }
    Ok(())
}

const NEXT_ARCHIVE: &str = "SELECT archive FROM archived INDEXED BY archived_by_archive
             WHERE archive > ?1 ORDER BY archive LIMIT 1";
const READ: &str = "SELECT id, peer, part, value FROM archived INDEXED BY archived_by_archive
             WHERE archive = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
