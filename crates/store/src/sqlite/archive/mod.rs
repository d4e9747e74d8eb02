//! Archives in SQLite: what comes is appended to a journal and known in memory ([`tail`]); later it is put, sorted, into
//! blocks of one archive each ([`seal`]). Why: `docs/adr/0008-archives-in-blocks.md`.

mod block;
mod convert;
mod journal;
mod read;
mod seal;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

pub(super) use convert::convert;
pub(super) use read::{ends, entries, page};
pub(super) use tail::Tail;

use crate::ArchiveEntry;
use crate::kind::KindId;

/// Owners of archives whose numbers the writer remembers.
const REMEMBERED: usize = 10_000;
/// Blocks of nobody that are deleted at once.
const SLICE: usize = 32;

/// The numbers of archives that have been written to, by owner and kind.
#[derive(Default)]
struct Numbers(HashMap<String, Vec<(KindId, i64)>>);

impl Numbers {
    /// The number of the archive of `owner`, made if there is none.
    fn of(&mut self, connection: &Connection, kind: KindId, owner: &str) -> rusqlite::Result<i64> {
        let mut known = self.0.get(owner).into_iter().flatten();
        if let Some((_, number)) = known.find(|(of, _)| *of == kind) {
            return Ok(*number);
        }
        connection
            .prepare_cached(NEW_ARCHIVE)?
            .execute((kind.0, owner))?;
        let number = connection
            .prepare_cached(ARCHIVE)?
            .query_row((kind.0, owner), |row| row.get(0))?;
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let known = self.0.entry(owner.to_owned()).or_default();
        known.push((kind, number));
        Ok(number)
    }
}

/// What the writer knows about archives, and about the open transaction: what it adds is appended to the journal when it is
/// committed, and to the tail after that.
pub(super) struct Archiver {
    tail: Arc<Tail>,
    numbers: Numbers,
    open: Open,
    /// What the open transaction adds, each with its archive.
    added: Vec<(i64, Arc<ArchiveEntry>)>,
    /// Sealing failed with so many entries in the tail.
    failed_with: usize,
}

/// What the open transaction has done so far.
#[derive(Clone, Copy, Default)]
struct Open {
    /// So many of those it added are in blocks already,
    sealed: usize,
    /// and so is the tail.
    tail_sealed: bool,
    /// It does more than append: nobody may see it in parts.
    shut: bool,
}

/// To where a batch can be taken back.
pub(super) struct Mark(Open, usize);

impl Archiver {
    pub(super) fn new(tail: Arc<Tail>) -> Archiver {
        Archiver {
            tail,
            numbers: Numbers::default(),
            open: Open::default(),
            added: Vec::new(),
            failed_with: 0,
        }
    }

    /// Where the open transaction is.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.open, self.added.len())
    }

    /// The transaction was rolled back to there.
    pub(super) fn back_to(&mut self, Mark(open, added): Mark) {
        self.open = open;
        self.added.truncate(added);
        self.numbers = Numbers::default();
    }

    /// The transaction was rolled back.
    pub(super) fn rolled_back(&mut self) {
        self.back_to(Mark(Open::default(), 0));
    }

    /// Commits the open transaction. What it adds goes to the journal, or into blocks at once if it is enough for that.
    pub(super) fn commit(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let commit = || super::writer::execute(connection, "COMMIT");
        if self.adds_enough() {
            self.try_seal(connection)?;
        }
        journal::append(connection, &self.added[self.open.sealed..])?;
        let mut tail = if self.open.shut {
            let tail = self.tail.write();
            commit()?;
            tail
        } else {
            commit()?;
            self.tail.write()
        };
        if self.open.tail_sealed {
            *tail = tail::Waiting::default();
        }
        for (archive, entry) in self.added.drain(..).skip(self.open.sealed) {
            tail.add(archive, entry);
        }
        if self.open.tail_sealed {
            self.failed_with = 0;
        }
        self.open = Open::default();
        Ok(())
    }

    /// The transaction does several things that are seen together.
    pub(super) fn shut(&mut self) {
        self.open.shut = true;
    }

    /// Adds an entry.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        kind: KindId,
        owner: &str,
        entry: &Arc<ArchiveEntry>,
    ) -> rusqlite::Result<()> {
        if !self.open.tail_sealed && self.tail.read().is_full() {
            self.shut();
            self.seal(connection)?;
        }
        let archive = self.numbers.of(connection, kind, owner)?;
        self.added.push((archive, Arc::clone(entry)));
        Ok(())
    }

    /// Replaces a value.
    pub(super) fn replace(
        &mut self,
        connection: &Connection,
        kind: KindId,
        owner: &str,
        id: u64,
        value: &[u8],
    ) -> rusqlite::Result<()> {
        let Some(archive) = number(connection, kind, owner)? else {
            return Ok(());
        };
        self.seal_if(connection, archive, |entry| entry.id == id)?;
        seal::replace(connection, archive, id, value)
    }

    /// Deletes the oldest.
    pub(super) fn delete_until(
        &mut self,
        connection: &Connection,
        kind: KindId,
        owner: &str,
        id: u64,
        limit: usize,
    ) -> rusqlite::Result<()> {
        let Some(archive) = number(connection, kind, owner)? else {
            return Ok(());
        };
        self.seal_if(connection, archive, |entry| entry.id <= id)?;
        seal::delete_until(connection, archive, id, limit)
    }

    /// Makes the archive of `owner` nobody's.
    pub(super) fn disown(
        &mut self,
        connection: &Connection,
        kind: KindId,
        owner: &str,
    ) -> rusqlite::Result<()> {
        let Some(archive) = number(connection, kind, owner)? else {
            return Ok(());
        };
        self.seal_if(connection, archive, |_| true)?;
        connection.prepare_cached(DISOWN)?.execute((archive,))?;
        self.numbers = Numbers::default();
        Ok(())
    }

    /// Seals the tail, in a transaction of its own, if it is worth its while. `Ok(false)` if there was nothing to do.
    pub(super) fn seal_if_due(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        if !self.may_seal() || !self.tail.read().is_due() {
            return Ok(false);
        }
        super::writer::execute(connection, "BEGIN IMMEDIATE")?;
        self.try_seal(connection)?;
        self.commit(connection)?;
        Ok(true)
    }

    /// Whether the open transaction adds so much that it can be sealed at once, with what little waits in the tail.
    fn adds_enough(&self) -> bool {
        let added = &self.added[self.open.sealed..];
        if self.open.tail_sealed || !self.may_seal() {
            return false;
        }
        let tail = self.tail.read();
        added.len() >= tail.len() && tail.is_due_with(added)
    }

    /// A full disk is not asked again for each message.
    fn may_seal(&self) -> bool {
        self.failed_with == 0 || self.unsealed() >= self.failed_with + self.failed_with / 4
    }

    /// How many entries are in no block.
    fn unsealed(&self) -> usize {
        self.tail.read().len() + self.added.len() - self.open.sealed
    }

    /// Seals; remembers with how many entries, until it is committed.
    fn try_seal(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.failed_with = self.unsealed();
        self.seal(connection)
    }

    /// What is in the journal can only be changed together with all of it: so it is sealed before an entry of the archive
    /// that is `meant` is changed.
    fn seal_if(
        &mut self,
        connection: &Connection,
        archive: i64,
        meant: impl Fn(&ArchiveEntry) -> bool,
    ) -> rusqlite::Result<()> {
        self.shut();
        let in_tail = !self.open.tail_sealed
            && self
                .tail
                .read()
                .of(archive)
                .iter()
                .any(|entry| meant(entry));
        let added = || {
            let mut added = self.added[self.open.sealed..].iter();
            added.any(|(of, entry)| *of == archive && meant(entry))
        };
        if in_tail || added() {
            self.seal(connection)?;
        }
        Ok(())
    }

    /// Empties the journal into blocks, as part of the open transaction.
    fn seal(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // First what gives space.
        connection.prepare_cached(EMPTY_JOURNAL)?.execute(())?;
        let mut runs: BTreeMap<i64, Vec<Arc<ArchiveEntry>>> = BTreeMap::new();
        if !self.open.tail_sealed {
            let tail = self.tail.read();
            runs.extend(tail.all().map(|(archive, all)| (archive, all.to_vec())));
        }
        for (archive, entry) in &self.added[self.open.sealed..] {
            runs.entry(*archive).or_default().push(Arc::clone(entry));
        }
        let mut newest = 0;
        for (archive, mut run) in runs {
            run.sort_by_key(|entry| entry.id);
            run.dedup_by_key(|entry| entry.id);
            newest = run.last().map_or(0, |entry| entry.id).max(newest);
            seal::add(connection, archive, &run)?;
        }
        // Ids are never used again, also if those that are deleted were the newest and the clock is set back.
        connection
            .prepare_cached(REMEMBER_NEWEST)?
            .execute((signed(newest),))?;
        self.open.sealed = self.added.len();
        self.open.tail_sealed = true;
        Ok(())
    }
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
    if !seal::delete_blocks(&transaction, archive, SLICE)? {
        transaction
            .prepare_cached(DELETE_ARCHIVE)?
            .execute((archive,))?;
    }
    transaction.commit()?;
    Ok(true)
}

/// Reads the journal; also gives the greatest id that was ever used.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<(Tail, u64)> {
    let (tail, newest) = Tail::load(connection)?;
    let sealed: i64 = connection.query_row(NEWEST, (), |row| row.get(0))?;
    Ok((tail, newest.max(unsigned(sealed))))
}

fn number(connection: &Connection, kind: KindId, owner: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(ARCHIVE)?
        .query_row((kind.0, owner), |row| row.get(0))
        .optional()
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
const EMPTY_JOURNAL: &str = "DELETE FROM archive_journal";
const DISOWN: &str = "UPDATE archives SET owner = NULL WHERE id = ?1";
const OF_NOBODY: &str = "SELECT id FROM archives WHERE owner IS NULL LIMIT 1";
const DELETE_ARCHIVE: &str = "DELETE FROM archives WHERE id = ?1";
const REMEMBER_NEWEST: &str = "UPDATE archive_newest SET id = max(id, ?1)";
const NEWEST: &str = "SELECT id FROM archive_newest";

/// The statements that search, for the test of their plans; not [`OF_NOBODY`], which takes the first of an index of what is
/// to be cleared away, nor those of tables that are read or emptied as a whole.
#[cfg(test)]
pub(super) fn searches() -> impl Iterator<Item = &'static str> {
    let others = [ARCHIVE, DISOWN, DELETE_ARCHIVE];
    let sealing = seal::SEARCHES.iter().copied();
    others.into_iter().chain(sealing).chain(read::searches())
}
