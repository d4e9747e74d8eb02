//! A page of an archive, of 50 entries, in a store that holds more and more: each entry may lie in a page of
//! the file of its own, beyond that what it takes must not depend on how much the store holds.
//!
//! `cargo bench -p tercet-store --bench archive -- 10000 100000 1000000` (messages in all, of a thousand owners but one, who has
//! a hundredth of them).

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use tercet_store::{ArchiveEntry, ArchiveQuery, Batch, Kind, Owner, Store};

static ARCHIVE: Kind = Kind {
    name: "archive",
    owner: Owner::Account,
    what: "messages",
};

const OWNERS: u64 = 1_000;
const BATCH: u64 = 500;
const PAGES: u32 = 400;

fn owner(number: u64) -> String {
    let number = if number.is_multiple_of(100) {
        0
    } else {
        number * 7_919 % OWNERS
    };
    format!("user{number}@example.org")
}

fn fill(store: &Store, from: u64, to: u64) -> Duration {
    let began = Instant::now();
    let mut number = from;
    while number < to {
        let mut batch = Batch::new();
        for _ in 0..BATCH {
            let entry = ArchiveEntry {
                id: store.archive_id(1_700_000_000_000 + number),
                peer: format!("peer{}@example.net", number / 100 % 50),
                part: "phone".to_owned(),
                value: [b'x'; 350].into(),
            };
            batch.archive(&ARCHIVE, &owner(number), entry);
            number += 1;
        }
        store.commit(batch).wait().unwrap();
    }
    store.flush().wait().unwrap();
    began.elapsed()
}

/// Pages forwards through the archive of the owner who has most, again and again: once so that what is read is in memory, for the
/// machine may have forgotten what was written long ago, then by the clock.
fn page(store: &Store, peer: Option<&str>) -> Duration {
    pages(store, peer);
    pages(store, peer) / PAGES
}

fn pages(store: &Store, peer: Option<&str>) -> Duration {
    let mut after = None;
    let began = Instant::now();
    for _ in 0..PAGES {
        let query = ArchiveQuery {
            after,
            peer: peer.map(str::to_owned),
            limit: 50,
            ..ArchiveQuery::default()
        };
        let page = store.read_archive(&ARCHIVE, &owner(0), query);
        let page = page.wait().unwrap();
        after = page.reached.filter(|_| !page.complete);
    }
    began.elapsed()
}

fn main() {
    let sizes: Vec<u64> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let sizes = if sizes.is_empty() {
        vec![10_000, 100_000]
    } else {
        sizes
    };
    let folder = std::env::temp_dir().join(format!("tercet-archive-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let store = Store::sqlite(&folder, &[&ARCHIVE]).unwrap();
    let mut there = 0;
    for size in sizes {
        let took = fill(&store, there, size);
        let written = u32::try_from(size - there).unwrap().max(1);
        there = size;
        println!(
            "{size} messages: {:?} a message written, {:?} a page of all, {:?} a page of one peer",
            took / written,
            page(&store, None),
            page(&store, Some("peer0@example.net")),
        );
    }
    drop(store);
    std::fs::remove_dir_all(&folder).unwrap();
}
