//! What a durable commit costs: commits per second and CPU time per commit, with 1, 64 and 512
//! commits under way at once. Each appends a message of 350 bytes to one of 1,000 logs.
//!
//! `cargo bench -p tercet-store --bench commit [FOLDER]`; the folder (a new one in it is used) says
//! which disk is measured.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tercet_store::{Batch, Kind, Owner, Store};

static MESSAGES: Kind = Kind {
    name: "messages",
    owner: Owner::Account,
    what: "messages",
};
const OWNERS: u64 = 1_000;
const BYTES: usize = 350;
const ROUND: Duration = Duration::from_millis(1_500);

fn main() {
    let given = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with("--"));
    let base = given.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = base.join(format!("tercet-bench-{}", std::process::id()));
    println!("under way   commits/s   us CPU/commit   commits/group   p50 ms   p99 ms");
    for pressure in [1, 64, 512] {
        measure(&folder, pressure);
        let _ = std::fs::remove_dir_all(&folder);
    }
}

fn measure(folder: &Path, pressure: usize) {
    let store = Store::sqlite(folder, &[&MESSAGES]).unwrap();
    let owners: Vec<_> = (0..OWNERS).map(|n| format!("{n}@example.com")).collect();
    let mut under_way = VecDeque::new();
    let mut waits = Vec::new();
    let (cpu, started) = (cpu_time(), Instant::now());
    let mut number = 0;
    while started.elapsed() < ROUND {
        let owner = &owners[usize::try_from(number * 7_919 % OWNERS).unwrap()];
        let mut batch = Batch::new();
        batch.append(&MESSAGES, owner, number, vec![b'x'; BYTES]);
        under_way.push_back((Instant::now(), store.commit(batch)));
        number += 1;
        if under_way.len() == pressure {
            let (queued, answer) = under_way.pop_front().unwrap();
            answer.wait().unwrap();
            waits.push(queued.elapsed());
        }
    }
    store.flush().wait().unwrap();
    let (elapsed, cpu) = (started.elapsed(), cpu_time().map(|now| now - cpu.unwrap()));
    let count = number as f64;
    waits.sort();
    let wait = |part: usize| waits[waits.len() * part / 100].as_secs_f64() * 1e3;
    println!(
        "{pressure:9}   {:9.0}   {:>13}   {:13.1}   {:6.2}   {:6.2}",
        count / elapsed.as_secs_f64(),
        cpu.map_or_else(
            || "unknown".to_owned(),
            |cpu| format!("{:.1}", cpu.as_secs_f64() * 1e6 / count)
        ),
        count / store.stats().commits as f64,
        wait(50),
        wait(99),
    );
}

/// CPU time of all threads of this process, where the system tells it in nanoseconds.
fn cpu_time() -> Option<Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = tasks.map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanoseconds.sum::<Option<u64>>().map(Duration::from_nanos)
}
