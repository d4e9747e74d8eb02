//! The layout of the data in SQLite: numbered migrations, forward only, each checked by a checksum
//! against the one that was run.

use rusqlite::{Connection, TransactionBehavior};

use super::fault::from_sqlite;
use crate::kind::{KindId, KnownKind};
use crate::{Kind, Owner, StoreError};

/// Written into the file's header, so that a database of another program is not taken for ours.
const APPLICATION_ID: i32 = 0x5443_5254;

/// One step. Its SQL never changes once it was released: a change is a further step.
struct Migration {
    version: u32,
    sql: &'static str,
}

/// All steps, in order, versions from 1 without a gap.
const MIGRATIONS: &[Migration] = &[RECORDS_AND_LOGS, ARCHIVES, BLOCKS, LENT_VALUES];

const RECORDS_AND_LOGS: Migration = Migration {
    version: 1,
    // Rowid tables with an index write three to four times cheaper than tables clustered by owner.
    // The rowid is the last column of every index, so logs_by_owner orders a log by id.
    sql: "
        CREATE TABLE kinds (
            id    INTEGER PRIMARY KEY,
            name  TEXT NOT NULL UNIQUE,
            owner TEXT NOT NULL CHECK (owner IN ('account', 'host'))
        ) STRICT;
        CREATE TABLE records (
            kind  INTEGER NOT NULL,
            owner TEXT NOT NULL,
            key   TEXT NOT NULL,
            value BLOB NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX records_by_owner ON records (kind, owner, key);
        CREATE TABLE logs (
            id    INTEGER PRIMARY KEY AUTOINCREMENT,
            kind  INTEGER NOT NULL,
            owner TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            value BLOB NOT NULL
        ) STRICT;
        CREATE INDEX logs_by_owner ON logs (kind, owner);
    ",
};

const ARCHIVES: Migration = Migration {
    version: 2,
    // Entries name their archive by a number, so that the indexes stay small, and an archive of any size is erased by
    // forgetting its owner: what nobody owns (owner NULL) is deleted bit by bit. newest outlives what is deleted.
    sql: "
        CREATE TABLE archives (
            id    INTEGER PRIMARY KEY AUTOINCREMENT,
            kind  INTEGER NOT NULL,
            owner TEXT
        ) STRICT;
        CREATE UNIQUE INDEX archives_by_owner ON archives (kind, owner);
        CREATE INDEX archives_of_nobody ON archives (id) WHERE owner IS NULL;
        CREATE TABLE archived (
            id      INTEGER PRIMARY KEY,
            archive INTEGER NOT NULL,
            peer    TEXT NOT NULL,
            part    TEXT NOT NULL,
            value   BLOB NOT NULL
        ) STRICT;
        CREATE INDEX archived_by_archive ON archived (archive);
        CREATE INDEX archived_by_peer ON archived (archive, peer);
        CREATE TABLE archive_newest (id INTEGER NOT NULL) STRICT;
        INSERT INTO archive_newest (id) VALUES (0);
    ",
};

const BLOCKS: Migration = Migration {
    version: 3,
    // Entries come into the journal, and from there into blocks of one archive each, named by their first id. What is in
    // archived is put into blocks by the program (`archive::convert`), which removes the table then.
    sql: "
        CREATE TABLE archive_journal (
            id      INTEGER PRIMARY KEY,
            entries BLOB NOT NULL
        ) STRICT;
        CREATE TABLE archive_blocks (
            id      INTEGER PRIMARY KEY,
            archive INTEGER NOT NULL,
            first   INTEGER NOT NULL,
            last    INTEGER NOT NULL,
            data    BLOB NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX archive_blocks_by_first ON archive_blocks (archive, first);
        CREATE TABLE archive_peers (
            archive INTEGER NOT NULL,
            peer    TEXT NOT NULL,
            first   INTEGER NOT NULL,
            PRIMARY KEY (archive, peer, first)
        ) STRICT, WITHOUT ROWID;
        UPDATE archive_newest SET id = max(id, (SELECT coalesce(max(id), 0) FROM archived));
    ",
};

const LENT_VALUES: Migration = Migration {
    version: 4,
    // A program that does not know of this cannot read the journal: it is to refuse the database.
    sql: "-- In a row of archive_journal, an entry may have the value of one before it.",
};

/// Brings a database to the newest version, or refuses it.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    run(connection, MIGRATIONS)
}

fn run(connection: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let fault = |error: rusqlite::Error| from_sqlite(&error);
    claim(connection)?;
    let done: Vec<(u32, i64)> = connection
        .prepare("SELECT version, checksum FROM migrations ORDER BY version")
        .and_then(|mut statement| {
            let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
        .map_err(fault)?;
    let known = migrations.last().map_or(0, |last| last.version);
    if let Some((found, _)) = done.last().filter(|(version, _)| *version > known) {
        return Err(StoreError::NewerSchema {
            found: *found,
            known,
        });
    }
    for migration in migrations {
        let version = migration.version;
        let checksum = checksum(migration.sql);
        match done.iter().find(|(done, _)| *done == version) {
            Some((_, found)) if *found == checksum => {}
            Some(_) => {
                return Err(StoreError::Corrupt(format!(
                    "schema version {version} was made by a different program (checksum)"
                )));
            }
            None => {
                let transaction = connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .map_err(fault)?;
                transaction.execute_batch(migration.sql).map_err(fault)?;
                transaction
                    .execute(
                        "INSERT INTO migrations (version, checksum) VALUES (?1, ?2)",
                        (version, checksum),
                    )
                    .map_err(fault)?;
                transaction.commit().map_err(fault)?;
                tracing::info!(version, "storage schema migrated");
            }
        }
    }
    Ok(())
}

/// Makes an empty database ours; refuses one that belongs to something else.
fn claim(connection: &mut Connection) -> Result<(), StoreError> {
    let fault = |error: rusqlite::Error| from_sqlite(&error);
    let id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(fault)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
        .map_err(fault)?;
    if id == APPLICATION_ID {
        return Ok(());
    }
    if id != 0 || tables > 0 {
        return Err(StoreError::Corrupt(
            "the database belongs to another program".to_owned(),
        ));
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(fault)?;
    transaction
        .execute_batch(
            "CREATE TABLE migrations (
                version  INTEGER PRIMARY KEY,
                checksum INTEGER NOT NULL
            ) STRICT;",
        )
        .map_err(fault)?;
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(fault)?;
    transaction.commit().map_err(fault)
}

/// Gives each kind an id that stays, and returns all kinds of the database.
pub(super) fn register(
    connection: &mut Connection,
    kinds: &[&'static Kind],
) -> Result<Vec<KnownKind>, StoreError> {
    let fault = |error: rusqlite::Error| from_sqlite(&error);
    let known = read_kinds(connection).map_err(fault)?;
    let is_known = |kind: &&'static Kind| known.iter().any(|known| *known.name == *kind.name);
    if kinds.iter().all(is_known) {
        return Ok(known);
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(fault)?;
    for kind in kinds {
        transaction
            .execute(
                "INSERT INTO kinds (name, owner) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
                (kind.name, kind.owner.as_str()),
            )
            .map_err(fault)?;
    }
    let known = read_kinds(&transaction).map_err(fault)?;
    transaction.commit().map_err(fault)?;
    Ok(known)
}

fn read_kinds(connection: &Connection) -> rusqlite::Result<Vec<KnownKind>> {
    let mut statement = connection.prepare("SELECT id, name, owner FROM kinds")?;
    let rows = statement.query_map((), |row| {
        let owner: String = row.get(2)?;
        Ok(KnownKind {
            id: KindId(row.get(0)?),
            name: row.get(1)?,
            owner: Owner::from_name(&owner).ok_or(rusqlite::Error::InvalidQuery)?,
        })
    })?;
    rows.collect()
}

/// 64-bit FNV-1a over the SQL without its white space: tells a changed migration from the one that
/// was run. It guards against mistakes, not against attackers.
fn checksum(sql: &str) -> i64 {
    let words = sql.split_ascii_whitespace();
    let bytes = words.flat_map(|word| word.bytes().chain([b' ']));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ArchiveQuery;
    use crate::sqlite::archive;

    /// The checksums of all released steps: a step that appears here never changes again.
    const RELEASED: &[(u32, i64)] = &[
        (1, 8_192_978_722_121_886_858),
        (2, -4_041_117_534_446_494_464),
        (3, 6_786_449_195_400_639_698),
        (4, -2_957_133_696_321_083_375),
    ];

    /// For each version from 1, SQL that fills a database of that version with [`JULIETS`].
    const FILLED: &[&str] = &[FILLED_1, FILLED_2, FILLED_3, FILLED_4];
    const FILLED_1: &str = "
        INSERT INTO kinds (id, name, owner) VALUES (7, 'roster', 'account');
        INSERT INTO records (kind, owner, key, value)
            VALUES (7, 'juliet@example.com', 'romeo@example.net', x'626f7468');
        INSERT INTO logs (id, kind, owner, at_ms, value)
            VALUES (41, 7, 'juliet@example.com', 1000, x'6869');
        DELETE FROM logs;
        INSERT INTO logs (kind, owner, at_ms, value)
            VALUES (7, 'juliet@example.com', 2000, x'686f');
    ";
    const FILLED_2: &str = "
        INSERT INTO kinds (id, name, owner) VALUES (7, 'roster', 'account');
        INSERT INTO records (kind, owner, key, value)
            VALUES (7, 'juliet@example.com', 'romeo@example.net', x'626f7468');
        INSERT INTO logs (id, kind, owner, at_ms, value)
            VALUES (41, 7, 'juliet@example.com', 1000, x'6869');
        DELETE FROM logs;
        INSERT INTO logs (kind, owner, at_ms, value)
            VALUES (7, 'juliet@example.com', 2000, x'686f');
        INSERT INTO archives (id, kind, owner) VALUES (3, 7, 'juliet@example.com');
        INSERT INTO archived (id, archive, peer, part, value)
            VALUES (1048576, 3, 'romeo@example.net', 'orchard', x'6869');
    ";

    const FILLED_3: &str = "
        INSERT INTO kinds (id, name, owner) VALUES (7, 'roster', 'account');
        INSERT INTO records (kind, owner, key, value)
            VALUES (7, 'juliet@example.com', 'romeo@example.net', x'626f7468');
        INSERT INTO logs (id, kind, owner, at_ms, value)
            VALUES (41, 7, 'juliet@example.com', 1000, x'6869');
        DELETE FROM logs;
        INSERT INTO logs (kind, owner, at_ms, value)
            VALUES (7, 'juliet@example.com', 2000, x'686f');
        INSERT INTO archives (id, kind, owner) VALUES (3, 7, 'juliet@example.com');
        INSERT INTO archive_blocks (archive, first, last, data) VALUES (3, 1048576, 1048576,
            x'0000100000000000110702726f6d656f406578616d706c652e6e65746f7263686172646869');
        INSERT INTO archive_peers (archive, peer, first) VALUES (3, 'romeo@example.net', 1048576);
        INSERT INTO archive_journal (entries) VALUES (
            x'030000200000000000110702726f6d656f406578616d706c652e6e65746f726368617264686f');
        DROP TABLE archived;
    ";

    const FILLED_4: &str = "
        INSERT INTO kinds (id, name, owner) VALUES (7, 'roster', 'account');
        INSERT INTO records (kind, owner, key, value)
            VALUES (7, 'juliet@example.com', 'romeo@example.net', x'626f7468');
        INSERT INTO logs (id, kind, owner, at_ms, value)
            VALUES (41, 7, 'juliet@example.com', 1000, x'6869');
        DELETE FROM logs;
        INSERT INTO logs (kind, owner, at_ms, value)
            VALUES (7, 'juliet@example.com', 2000, x'686f');
        INSERT INTO archives (id, kind, owner)
            VALUES (3, 7, 'juliet@example.com'), (4, 7, 'nurse@example.com');
        INSERT INTO archive_blocks (archive, first, last, data) VALUES (3, 1048576, 1048576,
            x'0000100000000000110702726f6d656f406578616d706c652e6e65746f7263686172646869');
        INSERT INTO archive_peers (archive, peer, first) VALUES (3, 'romeo@example.net', 1048576);
        INSERT INTO archive_journal (entries) VALUES (
            x'040000200000000000110702726f6d656f406578616d706c652e6e65746f726368617264686f0001030000200000000000110700726f6d656f406578616d706c652e6e65746f726368617264');
        DROP TABLE archived;
    ";

    fn version(connection: &Connection) -> Option<u32> {
        connection
            .query_row("SELECT max(version) FROM migrations", (), |row| row.get(0))
            .unwrap()
    }

    fn step(version: u32, sql: &'static str) -> Migration {
        Migration { version, sql }
    }

    #[test]
    fn versions_count_from_one_and_released_steps_never_change() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            assert_eq!(
                Some(&(migration.version, checksum(migration.sql))),
                RELEASED.get(index)
            );
        }
        assert_eq!(RELEASED.len(), MIGRATIONS.len());
    }

    #[test]
    fn data_of_every_released_version_reads_the_same_after_migration() {
        assert_eq!(FILLED.len(), MIGRATIONS.len());
        for (index, fill) in FILLED.iter().enumerate() {
            let mut connection = Connection::open_in_memory().unwrap();
            run(&mut connection, &MIGRATIONS[..=index]).unwrap();
            connection.execute_batch(fill).unwrap();
            migrate(&mut connection).unwrap();
            assert_eq!(version(&connection), Some(MIGRATIONS.len() as u32));
            let known = read_kinds(&connection).unwrap();
            assert_eq!(known.len(), 1);
            assert_eq!(
                (&*known[0].name, known[0].owner),
                ("roster", Owner::Account)
            );
            let (kind, owner) = (known[0].id, "juliet@example.com");
            let records = super::super::reader::list(&connection, kind, owner, None, 9).unwrap();
            assert_eq!(
                records,
                [("romeo@example.net".to_owned(), b"both".to_vec())]
            );
            let log = super::super::reader::read_log(&connection, kind, owner, 0, 9).unwrap();
            assert_eq!(log.len(), 1);
            assert_eq!((log[0].id, log[0].at_ms), (42, 2000));
            assert_eq!(log[0].value, b"ho");
            archive::convert(&connection).unwrap();
            let (tail, newest) = archive::load(&connection).unwrap();
            let query = ArchiveQuery {
                limit: 9,
                peer: Some("romeo@example.net".to_owned()),
                ..ArchiveQuery::default()
            };
            let page = archive::page(&connection, &tail, kind, owner, &query).unwrap();
            let archived = page.entries.iter().map(|e| (e.id, &*e.part, &*e.value));
            let expected = [
                (1 << 20, "orchard", &b"hi"[..]),
                (2 << 20, "orchard", b"ho"),
            ];
            // What each version could hold.
            let count = index.min(2);
            assert!(archived.eq(expected.into_iter().take(count)));
            assert_eq!(newest, (count as u64) << 20);
        }
    }

    #[test]
    fn steps_run_once_and_in_order() {
        let steps = [
            step(1, "CREATE TABLE a (x)"),
            step(2, "ALTER TABLE a ADD COLUMN y"),
        ];
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &steps[..1]).unwrap();
        assert_eq!(version(&connection), Some(1));
        run(&mut connection, &steps).unwrap();
        run(&mut connection, &steps).unwrap();
        assert_eq!(version(&connection), Some(2));
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let broken = [
            step(1, "CREATE TABLE a (x)"),
            step(2, "CREATE TABLE b (x); CREATE TABLE b (x)"),
        ];
        let mut connection = Connection::open_in_memory().unwrap();
        assert!(run(&mut connection, &broken).is_err());
        assert_eq!(version(&connection), Some(1));
        let mended = [step(1, "CREATE TABLE a (x)"), step(2, "CREATE TABLE b (x)")];
        run(&mut connection, &mended).unwrap();
        assert_eq!(version(&connection), Some(2));
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let steps = [step(1, "CREATE TABLE a (x)"), step(2, "CREATE TABLE b (x)")];
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &steps).unwrap();
        let refused = run(&mut connection, &steps[..1]);
        assert_eq!(refused, Err(StoreError::NewerSchema { found: 2, known: 1 }));
        assert_eq!(version(&connection), Some(2));
    }

    #[test]
    fn a_step_unlike_the_one_that_was_run_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[step(1, "CREATE TABLE a (x)")]).unwrap();
        run(&mut connection, &[step(1, "CREATE\n  TABLE a (x)")]).unwrap();
        let refused = run(&mut connection, &[step(1, "CREATE TABLE b (x)")]);
        assert!(
            matches!(refused, Err(StoreError::Corrupt(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE songs (title)").unwrap();
        assert!(matches!(migrate(&mut foreign), Err(StoreError::Corrupt(_))));
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.pragma_update(None, "application_id", 7).unwrap();
        assert!(matches!(migrate(&mut foreign), Err(StoreError::Corrupt(_))));
    }
}
