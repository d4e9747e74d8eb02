//! The embedded backend: one SQLite file in a data folder.
//!
//! One thread writes ([`writer`]), [`READERS`] threads read ([`reader`]); the queues before them are
//! bounded and refuse what exceeds the bound. The write-ahead log with `synchronous=FULL` makes a
//! commit durable against loss of power. One process at a time may open the folder ([`folder`]).

mod archive;
mod fault;
mod folder;
mod queue;
mod reader;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, ThreadId};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::archive::Archives;
use crate::backend::Backend;
use crate::kind::{Catalogue, KindId};
use crate::logs::Logs;
use crate::pending::{Answer, Reply};
use crate::records::Records;
use crate::{
    ArchiveEntry, ArchivePage, ArchiveQuery, Batch, Kind, LogEntry, LogSize, Pending, Stats,
    StoreError,
};
use archive::Tail;
use fault::{from_io, from_sqlite};
use folder::DataFolder;
use queue::Queue;
use writer::Writer;

/// Threads that read.
const READERS: usize = 2;
/// Reads that may wait.
const MAX_QUEUED_READS: usize = 4_096;
/// Batches that may wait,
const MAX_QUEUED_BATCHES: usize = 65_536;
/// and their bytes (128 MiB).
const MAX_QUEUED_BYTES: usize = 128 << 20;
/// How long a statement waits for a lock: held by others only while a tool has the file open.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// A page of a new database: a block of an archive takes two, with little left over. Others keep what they were made with.
const PAGE_BYTES: i64 = 8_192;
/// Pages in memory, in KiB, at most: of the writer, whose indexes are written to everywhere,
const WRITER_CACHE: i64 = 32 << 10;
/// and of each reader.
const READER_CACHE: i64 = 8 << 10;
/// Compiled statements kept for each connection.
const CACHED_STATEMENTS: usize = 48;

/// An open database.
pub(crate) struct Sqlite {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    writer_id: ThreadId,
    /// What was archived and is not in blocks yet.
    tail: Arc<Tail>,
    /// When it was opened.
    newest_archive_id: u64,
}

/// What callers and threads share.
struct Shared {
    catalogue: Arc<Catalogue>,
    writes: Queue<WriteJob>,
    reads: Queue<ReadJob>,
    stats: SharedStats,
    closing: Mutex<Closing>,
}

#[derive(Default)]
struct SharedStats {
    batches: AtomicU64,
    commits: AtomicU64,
    failing: AtomicBool,
}

/// Who waits for the end of the threads.
#[derive(Default)]
struct Closing {
    ended: bool,
    replies: Vec<Reply<()>>,
}

enum WriteJob {
    Batch(Batch, Answer),
    /// Answered when all before it were.
    Flush(Reply<()>),
    /// Runs on the writer's connection, to make it fail.
    #[cfg(test)]
    Run(Box<dyn FnOnce(&mut Connection) + Send>),
}

type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

impl Sqlite {
    /// Opens the database in `path`, made and migrated as needed; also gives the catalogue with the
    /// ids of this database.
    pub(crate) fn open(
        path: &Path,
        kinds: &[&'static Kind],
    ) -> Result<(Sqlite, Arc<Catalogue>), StoreError> {
        crate::kind::check(kinds)?;
        let folder = DataFolder::take(path)?;
        let database = folder.database()?;
        let mut connection = connect(&database, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(|error| from_sqlite(&error))?;
        connection
            .pragma_update(None, "page_size", PAGE_BYTES)
            .map_err(|error| from_sqlite(&error))?;
        for (pragma, value) in [
            ("journal_mode", "WAL"),
            ("synchronous", "FULL"),
            ("journal_size_limit", "67108864"),
        ] {
            connection
                .pragma_update(None, pragma, value)
                .map_err(|error| from_sqlite(&error))?;
        }
        // Negative: in KiB.
        connection
            .pragma_update(None, "cache_size", -WRITER_CACHE)
            .map_err(|error| from_sqlite(&error))?;
        schema::migrate(&mut connection)?;
        let known = schema::register(&mut connection, kinds)?;
        let catalogue = Arc::new(Catalogue::new(kinds, known)?);
        let (tail, newest_archive_id) = archive::convert(&connection)
            .and_then(|()| archive::load(&connection))
            .map_err(|error| from_sqlite(&error))?;
        let tail = Arc::new(tail);
        let shared = Arc::new(Shared {
            catalogue: Arc::clone(&catalogue),
            writes: Queue::new(MAX_QUEUED_BATCHES, MAX_QUEUED_BYTES),
            reads: Queue::new(MAX_QUEUED_READS, usize::MAX),
            stats: SharedStats::default(),
            closing: Mutex::default(),
        });
        let readers = start_readers(&database, &shared)?;
        let ending = Ending {
            shared: Arc::clone(&shared),
            readers,
            folder: Some(folder),
        };
        let mut writer = Writer::new(connection, Arc::clone(&shared), Arc::clone(&tail))
            .map_err(|error| from_sqlite(&error))?;
        let writer = Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                let mut ending = ending;
                writer.run();
                // The last connection to close tidies the write-ahead log away: only a writing one can.
                ending.end_readers();
                drop(writer);
            })
            .map_err(|error| from_io(path, &error))?;
        let sqlite = Sqlite {
            shared,
            writer_id: writer.thread().id(),
            writer: Mutex::new(Some(writer)),
            tail,
            newest_archive_id,
        };
        Ok((sqlite, catalogue))
    }

    /// Queues a query for the next free reader.
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let (reply, pending) = Pending::channel();
        let job: ReadJob = Box::new(move |connection| {
            if !reply.is_abandoned() {
                reply.send(query(connection).map_err(|error| from_sqlite(&error)));
            }
        });
        match self.shared.reads.push(1, false, job) {
            None => pending,
            Some((_, error)) => Pending::ready(Err(error)),
        }
    }
}

fn connect(database: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(database, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Plans do not depend on what is bound: a statement is never prepared again for another owner.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(connection)
}

fn start_readers(database: &Path, shared: &Arc<Shared>) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let start = |number: usize| {
        let connection = connect(database, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|reader| {
                reader.pragma_update(None, "cache_size", -READER_CACHE)?;
                Ok(reader)
            })
            .map_err(|error| from_sqlite(&error))?;
        let shared = Arc::clone(shared);
        Builder::new()
            .name(format!("store-reader-{number}"))
            .spawn(move || {
                while let Some(job) = shared.reads.pop() {
                    // A reader outlives a fault in one query, whose caller learns of it as Closed.
                    let _ = catch_unwind(AssertUnwindSafe(|| job(&connection)));
                }
            })
            .map_err(|error| from_io(database, &error))
    };
    let mut readers = Vec::new();
    for number in 0..READERS {
        match start(number) {
            Ok(reader) => readers.push(reader),
            Err(error) => {
                shared.reads.close();
                return Err(error);
            }
        }
    }
    Ok(readers)
}

/// Lives as long as the writer's thread; its end is the end of the store, also by a panic.
struct Ending {
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<()>>,
    folder: Option<DataFolder>,
}

impl Ending {
    /// Lets the readers finish what is queued, and waits for them.
    fn end_readers(&mut self) {
        self.shared.reads.close();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.writes.close();
        while self.shared.writes.try_pop().is_some() {}
        self.end_readers();
        self.folder = None;
        let mut closing = self.shared.lock_closing();
        closing.ended = true;
        let replies = std::mem::take(&mut closing.replies);
        drop(closing);
        for reply in replies {
            reply.send(Ok(()));
        }
    }
}

impl Shared {
    fn lock_closing(&self) -> std::sync::MutexGuard<'_, Closing> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records for Sqlite {
    fn get(&self, kind: KindId, owner: &str, key: &str) -> Pending<Option<Vec<u8>>> {
        let (owner, key) = (owner.to_owned(), key.to_owned());
        self.read(move |connection| reader::get(connection, kind, &owner, &key))
    }

    fn list(
        &self,
        kind: KindId,
        owner: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Pending<Vec<(String, Vec<u8>)>> {
        let (owner, after) = (owner.to_owned(), after.map(str::to_owned));
        self.read(move |connection| reader::list(connection, kind, &owner, after.as_deref(), limit))
    }

    fn owners(&self, kind: KindId, after: Option<&str>, limit: usize) -> Pending<Vec<String>> {
        let after = after.map(str::to_owned);
        self.read(move |connection| reader::owners(connection, kind, after.as_deref(), limit))
    }
}

impl Logs for Sqlite {
    fn read_log(
        &self,
        kind: KindId,
        owner: &str,
        after: u64,
        limit: usize,
    ) -> Pending<Vec<LogEntry>> {
        let owner = owner.to_owned();
        self.read(move |connection| reader::read_log(connection, kind, &owner, after, limit))
    }

    fn read_log_back(
        &self,
        kind: KindId,
        owner: &str,
        before: u64,
        limit: usize,
    ) -> Pending<Vec<LogEntry>> {
        let owner = owner.to_owned();
        self.read(move |connection| reader::read_log_back(connection, kind, &owner, before, limit))
    }

    fn log_size(&self, kind: KindId, owner: &str) -> Pending<LogSize> {
        let owner = owner.to_owned();
        self.read(move |connection| reader::log_size(connection, kind, &owner))
    }
}

impl Archives for Sqlite {
    fn read_archive(&self, kind: KindId, owner: &str, query: ArchiveQuery) -> Pending<ArchivePage> {
        let owner = owner.to_owned();
        let tail = Arc::clone(&self.tail);
        self.read(move |connection| archive::page(connection, &tail, kind, &owner, &query))
    }

    fn archived(&self, kind: KindId, owner: &str, ids: &[u64]) -> Pending<Vec<ArchiveEntry>> {
        let (owner, ids) = (owner.to_owned(), ids.to_vec());
        let tail = Arc::clone(&self.tail);
        self.read(move |connection| archive::entries(connection, &tail, kind, &owner, &ids))
    }

    fn archive_ends(&self, kind: KindId, owner: &str) -> Pending<Option<(u64, u64)>> {
        let owner = owner.to_owned();
        let tail = Arc::clone(&self.tail);
        self.read(move |connection| archive::ends(connection, &tail, kind, &owner))
    }

    fn newest_archive_id(&self) -> u64 {
        self.newest_archive_id
    }
}

impl Backend for Sqlite {
    fn commit(&self, batch: Batch, answer: Answer) {
        let (bytes, patient) = (batch.bytes().max(1), batch.is_patient());
        let job = WriteJob::Batch(batch, answer);
        if let Some((WriteJob::Batch(_, answer), error)) =
            self.shared.writes.push(bytes, patient, job)
        {
            answer.send(Err(error));
        }
    }

    fn flush(&self) -> Pending<()> {
        let (reply, pending) = Pending::channel();
        match self.shared.writes.push(0, false, WriteJob::Flush(reply)) {
            None => pending,
            Some((_, error)) => Pending::ready(Err(error)),
        }
    }

    fn close(&self) -> Pending<()> {
        let mut closing = self.shared.lock_closing();
        if closing.ended {
            return Pending::ready(Ok(()));
        }
        let (reply, pending) = Pending::channel();
        closing.replies.push(reply);
        drop(closing);
        self.shared.reads.close();
        self.shared.writes.close();
        pending
    }

    fn is_busy(&self) -> bool {
        self.shared.writes.is_half_full()
    }

    fn stats(&self) -> Stats {
        let (queued_batches, queued_bytes) = self.shared.writes.size();
        let stats = &self.shared.stats;
        Stats {
            queued_batches,
            queued_bytes,
            queued_reads: self.shared.reads.size().0,
            batches: stats.batches.load(Ordering::Relaxed),
            commits: stats.commits.load(Ordering::Relaxed),
            failing: stats.failing.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.shared.reads.close();
        self.shared.writes.close();
        let writer = self
            .writer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // The last clone may live in a task that the writer itself wakes.
        if let Some(writer) = writer.filter(|_| std::thread::current().id() != self.writer_id) {
            let _ = writer.join();
        }
    }
}
