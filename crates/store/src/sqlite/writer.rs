//! The one thread that writes: batches in the order in which they were queued, many to a commit.
//!
//! A group is whatever waits in the queue when the disk is free, up to a bound; so a lone batch
//! waits for nothing, and under pressure one `fsync` serves hundreds.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{CachedStatement, Connection};

use super::archive::{self, Archiver, Tail};
use super::fault::from_sqlite;
use super::{Shared, WriteJob};
use crate::batch::{Action, Op};
use crate::kind::KindId;
use crate::pending::{Answer, Reply};
use crate::{Batch, StoreError};

/// A group takes no further batch once it has this many operations,
const GROUP_WRITES: usize = 8_192;
/// or this many bytes,
const GROUP_BYTES: usize = 16 << 20;
/// or has been open for so long.
const GROUP_TIME: Duration = Duration::from_millis(20);
/// How long a batch that is patient waits for others. Neighbours in the indexes then share the pages that are written: of 100
/// archives written to in turn, each page is written once for several messages.
const GATHERING: Duration = Duration::from_millis(50);
/// Batches taken from the queue at once.
const AT_ONCE: usize = 64;
/// The write-ahead log is copied into the database when it has grown by this many pages,
const CHECKPOINT_PAGES: usize = 4_000;
/// and the writer waits for the readers to let go of it when it has this many (64 MiB).
const RESTART_PAGES: usize = 8_192;

/// The writing side of a database.
pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    /// Pages in the write-ahead log after the last commit.
    wal_pages: Arc<AtomicUsize>,
    /// `wal_pages` at which to checkpoint next.
    checkpoint_at: usize,
    /// How the last write failed, until one succeeds: so that each change is logged once.
    failing: Option<StoreError>,
    checkpoint_failing: bool,
    archiver: Archiver,
    /// Taken from the queue, and next.
    taken: VecDeque<WriteJob>,
    /// There may be archives of nobody to delete.
    clearing: bool,
}

/// A batch with whom to answer.
type Queued = (Batch, Answer);

/// Why a batch was not applied.
enum Refused {
    /// Its own fault: the others of its group are not concerned.
    Batch(StoreError),
    /// The disk's: the transaction is lost.
    Disk(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Refused {
        Refused::Disk(error)
    }
}

impl Writer {
    /// Takes the writing connection.
    pub(super) fn new(
        mut connection: Connection,
        shared: Arc<Shared>,
        tail: Arc<Tail>,
    ) -> Result<Writer, rusqlite::Error> {
        let wal_pages = Arc::new(AtomicUsize::new(0));
        let pages = Arc::clone(&wal_pages);
        // Takes the place of SQLite's own checkpoint inside the commit: ours runs after the answers.
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
            pages.store(usize::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Writer {
            connection,
            shared,
            wal_pages,
            checkpoint_at: CHECKPOINT_PAGES,
            failing: None,
            checkpoint_failing: false,
            archiver: Archiver::new(tail),
            taken: VecDeque::new(),
            clearing: true,
        })
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(&mut self) {
        while let Some(job) = self.next() {
            if self.taken.is_empty()
                && matches!(&job, WriteJob::Batch(batch, _) if batch.is_patient())
            {
                self.shared.writes.rest(GATHERING, GROUP_WRITES);
            }
            let mut aside = Vec::new();
            if let Some(first) = self.take(job, &mut aside) {
                self.write_group(first, &mut aside);
            }
            for reply in aside {
                reply.send(Ok(()));
            }
            self.seal_if_due();
            self.checkpoint_if_due();
        }
    }

    /// What is to be done next; while nothing is, what nobody owns is cleared away.
    fn next(&mut self) -> Option<WriteJob> {
        while self.clearing {
            if let Some(job) = self.try_next() {
                return Some(job);
            }
            if self.shared.writes.is_closed() {
                break;
            }
            // A full disk does not matter: it is tried again after the next erasure, or start.
            self.clearing = archive::delete_slice(&self.connection).unwrap_or(false);
            self.checkpoint_if_due();
        }
        self.taken.pop_front().or_else(|| self.shared.writes.pop())
    }

    /// The same, if there is something.
    fn try_next(&mut self) -> Option<WriteJob> {
        if self.taken.is_empty() {
            self.shared.writes.take_some(AT_ONCE, &mut self.taken);
        }
        self.taken.pop_front()
    }

    /// A batch to write, or puts what only waits for those before it `aside`.
    fn take(&mut self, job: WriteJob, aside: &mut Vec<Reply<()>>) -> Option<Queued> {
        match job {
            WriteJob::Batch(batch, answer) => Some((batch, answer)),
            WriteJob::Flush(reply) => {
                aside.push(reply);
                None
            }
            #[cfg(test)]
            WriteJob::Run(run) => {
                run(&mut self.connection);
                None
            }
        }
    }

    /// Writes `first` and what waits behind it as one transaction, and answers them all.
    fn write_group(&mut self, first: Queued, aside: &mut Vec<Reply<()>>) {
        let mut group = vec![(first, Ok(()))];
        match self.try_group(&mut group, aside) {
            Ok(()) => {
                self.succeeded(group.iter().filter(|(_, answer)| answer.is_ok()).count());
                for ((_, reply), answer) in group {
                    reply.send(answer);
                }
            }
            Err(error) => {
                self.roll_back();
                let mut group = group.into_iter().map(|(queued, _)| queued);
                if group.len() == 1 {
                    let failure = self.failed(&error);
                    group.for_each(|(_, reply)| reply.send(Err(failure.clone())));
                } else {
                    self.write_singly(&mut group);
                }
            }
        }
    }

    /// Commits what is in `group`, the first batch, and those it adds from the queue.
    fn try_group(
        &mut self,
        group: &mut Vec<(Queued, Result<(), StoreError>)>,
        aside: &mut Vec<Reply<()>>,
    ) -> rusqlite::Result<()> {
        let started = Instant::now();
        let (mut writes, mut bytes) = (0, 0);
        execute(&self.connection, "BEGIN IMMEDIATE")?;
        while let Some(((batch, _), answer)) = group.last_mut() {
            self.clearing |= batch.erases();
            match apply(&self.connection, &self.shared, &mut self.archiver, batch) {
                Ok(()) => {}
                Err(Refused::Batch(error)) => *answer = Err(error),
                Err(Refused::Disk(error)) => return Err(error),
            }
            writes += batch.len().max(1);
            bytes += batch.bytes();
            let next = loop {
                if writes >= GROUP_WRITES || bytes >= GROUP_BYTES || started.elapsed() > GROUP_TIME
                {
                    break None;
                }
                let Some(job) = self.try_next() else {
                    break None;
                };
                if let Some(queued) = self.take(job, aside) {
                    break Some(queued);
                }
            };
            let Some(next) = next else {
                break;
            };
            group.push((next, Ok(())));
        }
        self.archiver.commit(&self.connection)
    }

    /// After a group failed: a transaction for each batch, so that one that needs too much space
    /// does not take along those that need little or give some back.
    fn write_singly(&mut self, group: &mut dyn Iterator<Item = Queued>) {
        for (batch, reply) in group {
            let written = execute(&self.connection, "BEGIN IMMEDIATE")
                .map_err(Refused::Disk)
                .and_then(|()| apply(&self.connection, &self.shared, &mut self.archiver, &batch))
                .and_then(|()| Ok(self.archiver.commit(&self.connection)?));
            let answer = match written {
                Ok(()) => {
                    self.succeeded(1);
                    Ok(())
                }
                Err(refused) => {
                    self.roll_back();
                    Err(match refused {
                        Refused::Batch(error) => error,
                        Refused::Disk(error) => self.failed(&error),
                    })
                }
            };
            reply.send(answer);
        }
    }

    /// Ends a transaction that SQLite has not already ended by itself.
    fn roll_back(&mut self) {
        self.archiver.rolled_back();
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&self.connection, "ROLLBACK")
        {
            tracing::error!(%error, "storage: a failed write could not be rolled back");
        }
    }

    fn succeeded(&mut self, batches: usize) {
        let stats = &self.shared.stats;
        stats.batches.fetch_add(batches as u64, Ordering::Relaxed);
        stats.commits.fetch_add(1, Ordering::Relaxed);
        if self.failing.take().is_some() {
            stats.failing.store(false, Ordering::Relaxed);
            tracing::info!("storage: writes succeed again");
        }
    }

    /// Notes a failure of the disk; logs it if the last write did not fail in the same way.
    fn failed(&mut self, error: &rusqlite::Error) -> StoreError {
        let failure = from_sqlite(error);
        let before = self.failing.as_ref().map(discriminant);
        if before != Some(discriminant(&failure)) {
            tracing::error!(error = %failure, "storage: writes fail; trying on with each further write");
            self.shared.stats.failing.store(true, Ordering::Relaxed);
            self.failing = Some(failure.clone());
        }
        failure
    }

    /// Puts what was archived into its blocks, once it is enough. It is durable already: a failure here loses nothing and is
    /// tried again.
    fn seal_if_due(&mut self) {
        if let Err(error) = self.archiver.seal_if_due(&self.connection) {
            self.roll_back();
            tracing::warn!(%error, "storage: archived messages cannot be put into blocks and gather");
        }
    }

    /// Copies the write-ahead log into the database once it is long enough. What is in it is durable
    /// already: a failure here loses nothing and is tried again.
    fn checkpoint_if_due(&mut self) {
        let pages = self.wal_pages.load(Ordering::Relaxed);
        if pages < self.checkpoint_at {
            // A short log was started anew since the last time.
            self.checkpoint_at = self.checkpoint_at.min(pages + CHECKPOINT_PAGES);
            self.checkpoint_at = self.checkpoint_at.max(CHECKPOINT_PAGES);
            return;
        }
        self.checkpoint_at = pages + CHECKPOINT_PAGES;
        let mode = if pages < RESTART_PAGES {
            "PRAGMA wal_checkpoint(PASSIVE)"
        } else {
            "PRAGMA wal_checkpoint(RESTART)"
        };
        let done = self
            .connection
            .prepare_cached(mode)
            .and_then(|mut statement| statement.query_row((), |_| Ok(())));
        match done {
            Ok(()) => self.checkpoint_failing = false,
            Err(error) if !self.checkpoint_failing => {
                self.checkpoint_failing = true;
                tracing::warn!(%error, "storage: the write-ahead log cannot be copied into the database and grows");
            }
            Err(_) => {}
        }
    }
}

/// Applies one batch inside the open transaction; when it refuses the batch, nothing of it is left.
fn apply(
    connection: &Connection,
    shared: &Shared,
    archiver: &mut Archiver,
    batch: &Batch,
) -> Result<(), Refused> {
    let inserts = |op: &Op| matches!(op.action, Action::InsertNew { .. });
    // Only an insert_new can refuse a batch, and only after a first operation is there anything to
    // take back.
    let savepoint = batch.ops().iter().skip(1).any(inserts);
    if savepoint {
        execute(connection, "SAVEPOINT batch")?;
    }
    let mark = archiver.mark();
    let adds = |op: &Op| matches!(op.action, Action::Archive { .. });
    let first_adds = batch.ops().first().is_some_and(adds);
    if batch.ops().iter().any(|op| adds(op) != first_adds) {
        archiver.shut();
    }
    let applied = batch
        .ops()
        .iter()
        .try_for_each(|op| apply_op(connection, shared, archiver, op));
    if savepoint && !matches!(applied, Err(Refused::Disk(_))) {
        if applied.is_err() {
            execute(connection, "ROLLBACK TO batch")?;
            archiver.back_to(mark);
        }
        execute(connection, "RELEASE batch")?;
    }
    applied
}

fn apply_op(
    connection: &Connection,
    shared: &Shared,
    archiver: &mut Archiver,
    op: &Op,
) -> Result<(), Refused> {
    let Some(kind) = op.kind else {
        for KindId(kind) in shared.catalogue.account_kinds() {
            cached(connection, DELETE_ALL)?.execute((kind, &op.owner))?;
            cached(connection, DELETE_LOG)?.execute((kind, &op.owner))?;
            archiver.disown(connection, KindId(kind), &op.owner)?;
        }
        return Ok(());
    };
    let KindId(kind) = shared.catalogue.id(kind).map_err(Refused::Batch)?;
    let owner = &op.owner;
    match &op.action {
        Action::Put { key, value } => {
            cached(connection, PUT)?.execute((kind, owner, key, value))?;
        }
        Action::InsertNew { key, value } => {
            if cached(connection, INSERT_NEW)?.execute((kind, owner, key, value))? == 0 {
                return Err(Refused::Batch(StoreError::Exists));
            }
        }
        Action::Delete { key } => {
            cached(connection, DELETE)?.execute((kind, owner, key))?;
        }
        Action::DeleteAll => {
            cached(connection, DELETE_ALL)?.execute((kind, owner))?;
        }
        Action::Append { at_ms, value } => {
            let at_ms = i64::try_from(*at_ms).unwrap_or(i64::MAX);
            cached(connection, APPEND)?.execute((kind, owner, at_ms, value))?;
        }
        Action::DeleteLogUntil { id } => {
            let id = i64::try_from(*id).unwrap_or(i64::MAX);
            cached(connection, DELETE_LOG_UNTIL)?.execute((kind, owner, id))?;
        }
        Action::Archive { entry } => {
            archiver.add(connection, KindId(kind), owner, entry)?;
        }
        Action::ReplaceArchived { id, value } => {
            archiver.replace(connection, KindId(kind), owner, *id, value)?;
        }
        Action::DeleteArchivedUntil { id, limit } => {
            archiver.delete_until(connection, KindId(kind), owner, *id, *limit)?;
        }
        Action::EraseOwner => unreachable!("the only operation without a kind"),
    }
    Ok(())
}

const PUT: &str = "INSERT INTO records (kind, owner, key, value) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (kind, owner, key) DO UPDATE SET value = excluded.value";
const INSERT_NEW: &str = "INSERT INTO records (kind, owner, key, value) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (kind, owner, key) DO NOTHING";
const DELETE: &str = "DELETE FROM records WHERE kind = ?1 AND owner = ?2 AND key = ?3";
const DELETE_ALL: &str = "DELETE FROM records WHERE kind = ?1 AND owner = ?2";
const APPEND: &str = "INSERT INTO logs (kind, owner, at_ms, value) VALUES (?1, ?2, ?3, ?4)";
const DELETE_LOG_UNTIL: &str = "DELETE FROM logs WHERE kind = ?1 AND owner = ?2 AND id <= ?3";
const DELETE_LOG: &str = "DELETE FROM logs WHERE kind = ?1 AND owner = ?2";

/// The statements that search, for the test of their plans.
#[cfg(test)]
pub(super) const DELETES: &[&str] = &[DELETE, DELETE_ALL, DELETE_LOG, DELETE_LOG_UNTIL];

fn cached<'c>(connection: &'c Connection, sql: &str) -> rusqlite::Result<CachedStatement<'c>> {
    connection.prepare_cached(sql)
}

pub(super) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    cached(connection, sql)?.execute(()).map(drop)
}
