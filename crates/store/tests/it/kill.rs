//! Acknowledged means durable: a process that is killed while it writes loses nothing of what it had
//! reported as done, and leaves no half of a batch.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use tercet_store::{ArchiveEntry, ArchiveQuery, Batch, Store};

use crate::battery::{ARCHIVE, CATALOGUE, OFFLINE, ROSTER, keys};
use crate::temp::TempFolder;

/// Tells the child where to write.
const FOLDER: &str = "TERCET_KILL_TEST_FOLDER";
const ROUNDS: u64 = 12;
const THREADS: u64 = 4;

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let folder = TempFolder::new();
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let after = RandomState::new().hash_one(round) % 400;
        write_until_killed(folder.path(), after, &mut acknowledged);
        check(
            folder.path(),
            &acknowledged,
            &format!("round {round}, killed after {after}"),
        );
    }
    assert!(acknowledged.len() as u64 >= ROUNDS);
}

/// Starts a child that writes, kills it when it has acknowledged `after` batches, and adds all that
/// it acknowledged: `(thread, number)`.
fn write_until_killed(folder: &Path, after: u64, acknowledged: &mut BTreeSet<(u64, u64)>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_writes_until_it_is_killed"])
        .arg("--nocapture")
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut count = 0;
    while output.read_line(&mut line).unwrap() > 0 {
        let mut words = line.split_whitespace();
        if words.next() == Some("done") && line.ends_with('\n') {
            let mut number = || words.next().unwrap().parse().unwrap();
            acknowledged.insert((number(), number()));
            count += 1;
            if count == after + 1 {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    assert!(count > after, "the child ended by itself");
    child.wait().unwrap();
}

/// Everything acknowledged is there, and everything that is there is whole.
fn check(folder: &Path, acknowledged: &BTreeSet<(u64, u64)>, when: &str) {
    let store = Store::sqlite(folder, CATALOGUE).unwrap();
    for thread in 0..THREADS {
        let owner = owner(thread);
        let recorded: BTreeSet<u64> = keys(&store, &ROSTER, &owner)
            .iter()
            .map(|key| key.parse().unwrap())
            .collect();
        let log = store.read_log(&OFFLINE, &owner, 0, usize::MAX);
        let logged: Vec<u64> = log.wait().unwrap().iter().map(|e| e.at_ms).collect();
        let count = recorded.len() as u64;
        assert!(recorded.iter().copied().eq(0..count), "{when}: a gap");
        assert!(logged.into_iter().eq(0..count), "{when}: half a batch");
        let query = ArchiveQuery {
            limit: usize::MAX,
            ..ArchiveQuery::default()
        };
        let archived = store.read_archive(&ARCHIVE, &owner, query).wait().unwrap();
        let archived = archived.entries.iter().map(|e| Store::archive_time(e.id));
        assert!(archived.eq(0..count), "{when}: half a batch");
        let last = acknowledged.iter().filter(|done| done.0 == thread).max();
        let last = last.map_or(0, |done| done.1 + 1);
        assert!(last <= count, "{when}: {last} acknowledged, {count} there");
    }
}

/// Does nothing unless the test above starts it.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = Store::sqlite(Path::new(&folder), CATALOGUE).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || write(store, thread));
        }
    });
}

/// Goes on where the last process was killed, for ever: or as long as somebody reads what is done.
fn write(store: &Store, thread: u64) {
    let owner = owner(thread);
    let start = keys(store, &ROSTER, &owner).len() as u64;
    for number in start.. {
        let mut batch = Batch::new();
        let entry = ArchiveEntry {
            id: (number << 20) + thread + 1,
            peer: "peer@example.net".to_owned(),
            part: String::new(),
            value: [7; 5_000].into(),
        };
        batch
            .archive(&ARCHIVE, &owner, entry)
            .put(&ROSTER, &owner, &number.to_string(), vec![7; 300])
            .append(&OFFLINE, &owner, number, vec![7; 5_000]);
        store.commit(batch).wait().unwrap();
        if writeln!(std::io::stdout().lock(), "done {thread} {number}").is_err() {
            return;
        }
    }
}

fn owner(thread: u64) -> String {
    format!("{thread}@example.com")
}
