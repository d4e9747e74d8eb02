//! What needs a look inside: failing disks and full queues. The writer's connection is made to fail
//! by its own pragmas, as file permissions do not stop a test that runs as root.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use tracing::Level;

use super::*;
use crate::Owner;

static THINGS: Kind = Kind {
    name: "things",
    owner: Owner::Account,
    what: "anything",
};

/// A database in a folder that goes with it.
struct Subject {
    sqlite: Sqlite,
    folder: TempFolder,
}

struct TempFolder(PathBuf);

impl TempFolder {
    fn new() -> TempFolder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tercet-store-unit-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        TempFolder(path)
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Subject {
    fn new() -> Subject {
        let folder = TempFolder::new();
        let (sqlite, _) = Sqlite::open(&folder.0, &[&THINGS]).unwrap();
        Subject { sqlite, folder }
    }

    fn kind(&self) -> KindId {
        self.sqlite.shared.catalogue.id(&THINGS).unwrap()
    }

    /// Queues `run` for the writer's connection.
    fn on_writer(&self, run: impl FnOnce(&mut Connection) + Send + 'static) {
        let job = WriteJob::Run(Box::new(run));
        assert!(self.sqlite.shared.writes.push(0, false, job).is_none());
    }

    fn pragma(&self, name: &'static str, value: i64) {
        self.on_writer(move |connection| {
            // Some of them answer with a row, some do not.
            let _ = connection.pragma_update(None, name, value);
        });
        self.sqlite.flush().wait().unwrap();
    }

    /// Holds the writer until the sender that comes back is used or dropped.
    fn hold_writer(&self) -> mpsc::Sender<()> {
        let (entered, held) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        self.on_writer(move |_| {
            entered.send(()).unwrap();
            let _ = released.recv();
        });
        held.recv().unwrap();
        release
    }

    fn commit(&self, batch: Batch) -> Pending<()> {
        let (answer, pending) = Answer::pending();
        self.sqlite.commit(batch, answer);
        pending
    }

    fn put(&self, key: &str, bytes: usize) -> Pending<()> {
        self.commit(put(key, bytes))
    }

    fn keys(&self) -> Vec<String> {
        let list = self.sqlite.list(self.kind(), "owner", None, usize::MAX);
        let records = list.wait().unwrap();
        records.into_iter().map(|(key, _)| key).collect()
    }
}

/// What was logged, and by which thread.
static EVENTS: Mutex<Vec<(ThreadId, Level)>> = Mutex::new(Vec::new());

/// Collects [`EVENTS`].
struct Events;

impl tracing::Subscriber for Events {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let event = (std::thread::current().id(), *event.metadata().level());
        EVENTS.lock().unwrap().push(event);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

fn put(key: &str, bytes: usize) -> Batch {
    let mut batch = Batch::new();
    batch.put(&THINGS, "owner", key, vec![1; bytes]);
    batch
}

#[test]
fn a_full_disk_fails_the_batch_whole_and_heals() {
    let subject = Subject::new();
    subject.put("before", 10).wait().unwrap();
    subject.pragma("max_page_count", 40);
    let mut batch = put("half", 10);
    batch.append(&THINGS, "owner", 0, vec![1; 1 << 20]);
    let failed = subject.commit(batch).wait();
    assert!(matches!(failed, Err(StoreError::Full(_))), "{failed:?}");
    assert!(subject.sqlite.stats().failing);
    assert_eq!(subject.keys(), ["before"]);
    subject.put("small", 10).wait().unwrap();
    assert!(!subject.sqlite.stats().failing);
    subject.pragma("max_page_count", 1 << 20);
    subject.put("big", 1 << 20).wait().unwrap();
    assert_eq!(subject.keys(), ["before", "big", "small"]);
}

#[test]
fn what_needs_too_much_space_does_not_fail_what_needs_little() {
    let subject = Subject::new();
    subject.pragma("max_page_count", 60);
    let release = subject.hold_writer();
    let group: Vec<_> = (0..10)
        .map(|number| {
            let big = number % 3 == 2;
            let size = if big { 1 << 20 } else { 10 };
            (big, subject.put(&number.to_string(), size))
        })
        .collect();
    release.send(()).unwrap();
    for (big, answer) in group {
        let answer = answer.wait();
        assert_eq!(
            matches!(answer, Err(StoreError::Full(_))),
            big,
            "{answer:?}"
        );
    }
    assert_eq!(subject.keys(), ["0", "1", "3", "4", "6", "7", "9"]);
}

#[test]
fn deleting_makes_room_on_a_full_disk() {
    let subject = Subject::new();
    subject.put("old", 400_000).wait().unwrap();
    subject.pragma("max_page_count", 85);
    let failed = subject.put("new", 200_000).wait();
    assert!(matches!(failed, Err(StoreError::Full(_))), "{failed:?}");
    let mut batch = Batch::new();
    batch.delete(&THINGS, "owner", "old");
    subject.commit(batch).wait().unwrap();
    subject.put("new", 200_000).wait().unwrap();
    assert_eq!(subject.keys(), ["new"]);
}

#[test]
fn a_read_only_disk_fails_every_batch_and_heals() {
    let subject = Subject::new();
    subject.put("before", 10).wait().unwrap();
    subject.pragma("query_only", 1);
    let group: Vec<_> = (0..5).map(|n| subject.put(&n.to_string(), 10)).collect();
    for answer in group {
        let answer = answer.wait();
        assert!(matches!(answer, Err(StoreError::ReadOnly(_))), "{answer:?}");
    }
    assert!(subject.sqlite.stats().failing);
    assert_eq!(subject.keys(), ["before"]);
    subject.pragma("query_only", 0);
    subject.put("after", 10).wait().unwrap();
    assert!(!subject.sqlite.stats().failing);
    assert_eq!(subject.keys(), ["after", "before"]);
}

#[test]
fn a_failing_disk_is_logged_when_it_starts_and_when_it_ends() {
    let _ = tracing::subscriber::set_global_default(Events);
    let subject = Subject::new();
    let logged = || {
        let mut events = EVENTS.lock().unwrap();
        let of_ours = |event: &mut (ThreadId, Level)| event.0 == subject.sqlite.writer_id;
        let events = events.extract_if(.., of_ours);
        events.map(|event| event.1).collect::<Vec<_>>()
    };
    let write = |times| {
        (0..times)
            .filter(|_| subject.put("a", 1).wait().is_ok())
            .count()
    };
    assert_eq!(write(3), 3);
    assert!(logged().is_empty());
    subject.pragma("query_only", 1);
    assert_eq!(write(20), 0);
    assert_eq!(logged(), [Level::ERROR]);
    subject.pragma("query_only", 0);
    assert_eq!(write(20), 20);
    assert_eq!(logged(), [Level::INFO]);
}

#[test]
fn a_full_write_queue_refuses_at_once_and_takes_again() {
    let subject = Subject::new();
    let release = subject.hold_writer();
    let queued: Vec<_> = (0..MAX_QUEUED_BATCHES)
        .map(|number| subject.put(&(number % 100).to_string(), 1))
        .collect();
    assert_eq!(subject.put("more", 1).wait(), Err(StoreError::Busy));
    assert_eq!(subject.sqlite.stats().queued_batches, MAX_QUEUED_BATCHES);
    assert!(subject.sqlite.is_busy());
    release.send(()).unwrap();
    for answer in queued {
        assert_eq!(answer.wait(), Ok(()));
    }
    assert_eq!(subject.put("more", 1).wait(), Ok(()));
    assert!(!subject.sqlite.is_busy());
    let commits = subject.sqlite.stats().commits;
    assert!(
        commits < 200,
        "{commits} commits for {MAX_QUEUED_BATCHES} waiting batches"
    );
}

#[test]
fn the_write_queue_is_bounded_in_bytes() {
    let subject = Subject::new();
    let release = subject.hold_writer();
    let size = 16 << 20;
    let answers: Vec<_> = (0..8).map(|_| subject.put("same", size)).collect();
    let refused = answers.len() - 1;
    release.send(()).unwrap();
    for (number, answer) in answers.into_iter().enumerate() {
        let expected = if number == refused {
            Err(StoreError::Busy)
        } else {
            Ok(())
        };
        assert_eq!(answer.wait(), expected, "{number}");
    }
}

#[test]
fn a_held_writer_does_not_hold_readers() {
    let subject = Subject::new();
    subject.put("a", 1).wait().unwrap();
    let release = subject.hold_writer();
    let unanswered = subject.put("b", 1);
    assert_eq!(subject.keys(), ["a"]);
    release.send(()).unwrap();
    unanswered.wait().unwrap();
}

#[test]
fn a_full_read_queue_refuses_at_once() {
    let subject = Subject::new();
    let mut releases = Vec::new();
    for _ in 0..READERS {
        let (entered, held) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        releases.push((
            release,
            subject.sqlite.read(move |_| {
                entered.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            }),
        ));
        held.recv().unwrap();
    }
    let get = || subject.sqlite.get(subject.kind(), "owner", "a");
    let queued: Vec<_> = (0..MAX_QUEUED_READS).map(|_| get()).collect();
    assert_eq!(get().wait(), Err(StoreError::Busy));
    for (release, answer) in releases {
        release.send(()).unwrap();
        answer.wait().unwrap();
    }
    for answer in queued {
        assert_eq!(answer.wait(), Ok(None));
    }
    assert_eq!(get().wait(), Ok(None));
}

#[test]
fn the_write_ahead_log_stays_short_under_steady_writing() {
    let subject = Subject::new();
    for number in 0..400 {
        subject
            .put(&(number % 20).to_string(), 100_000)
            .wait()
            .unwrap();
    }
    let log = std::fs::metadata(subject.folder.0.join("tercet.db-wal")).unwrap();
    let bytes = log.len();
    assert!(bytes < 16 << 20, "{bytes} bytes after 40 MB of writes");
}

#[test]
fn every_query_is_answered_from_an_index() {
    let subject = Subject::new();
    let path = subject.folder.0.join("tercet.db");
    let connection = Connection::open(path).unwrap();
    let searches = writer::DELETES.iter().chain(reader::QUERIES).copied();
    for sql in searches.chain(archive::searches()) {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let count = statement.parameter_count();
        let parameters = rusqlite::params_from_iter(vec![1; count]);
        let plan = statement.query_map(parameters, |row| row.get::<_, String>(3));
        for step in plan.unwrap() {
            let step = step.unwrap();
            assert!(!step.starts_with("SCAN"), "{sql}: {step}");
            assert!(!step.contains("TEMP B-TREE"), "{sql}: {step}");
        }
    }
}

#[test]
fn a_panic_of_the_writer_closes_the_store_and_frees_the_folder() {
    let subject = Subject::new();
    subject.on_writer(|_| panic!("on purpose"));
    subject.sqlite.close().wait().unwrap();
    assert_eq!(subject.put("a", 1).wait(), Err(StoreError::Closed));
    drop(Sqlite::open(&subject.folder.0, &[&THINGS]).unwrap());
}
