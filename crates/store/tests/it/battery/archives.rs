//! Archives: ids, pages, peers, slices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tercet_store::{ArchiveEntry, ArchivePage, ArchiveQuery, Store, StoreError};

use super::{ARCHIVE, JULIET, OFFLINE, ROMEO, ROSTER, commit};

/// An entry of that second.
pub(crate) fn entry(store: &Store, second: u64, peer: &str) -> ArchiveEntry {
    ArchiveEntry {
        id: store.archive_id(second * 1_000),
        peer: peer.to_owned(),
        part: "part".to_owned(),
        value: second.to_string().into_bytes().into(),
    }
}

/// Archives `from..to` for Juliet, those of every third second with Romeo, each in a batch of its own; returns the ids.
fn fill(store: &Store, from: u64, to: u64) -> Vec<u64> {
    (from..to)
        .map(|second| {
            let peer = if second % 3 == 0 { ROMEO } else { "nurse" };
            let entry = entry(store, second, peer);
            let id = entry.id;
            commit(store, |b| {
                b.archive(&ARCHIVE, JULIET, entry);
            })
            .unwrap();
            id
        })
        .collect()
}

fn query(limit: usize) -> ArchiveQuery {
    ArchiveQuery {
        limit,
        ..ArchiveQuery::default()
    }
}

fn read(store: &Store, query: ArchiveQuery) -> ArchivePage {
    store.read_archive(&ARCHIVE, JULIET, query).wait().unwrap()
}

fn ids(page: &ArchivePage) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.id).collect()
}

pub(crate) fn archives_are_paged_both_ways(store: &Store) {
    assert_eq!(
        read(store, query(3)),
        ArchivePage {
            complete: true,
            ..ArchivePage::default()
        }
    );
    let all = fill(store, 1, 8);
    for newest_first in [false, true] {
        let mut left = all.clone();
        if newest_first {
            left.reverse();
        }
        let mut reached = None;
        while !left.is_empty() {
            let (after, before) = if newest_first {
                (None, reached)
            } else {
                (reached, None)
            };
            let page = read(
                store,
                ArchiveQuery {
                    after,
                    before,
                    newest_first,
                    ..query(3)
                },
            );
            let rest = left.split_off(left.len().min(3));
            assert_eq!(ids(&page), left);
            assert_eq!(page.complete, rest.is_empty());
            reached = page.reached;
            left = rest;
        }
        assert_eq!(
            reached,
            all.iter()
                .copied()
                .reduce(if newest_first { u64::min } else { u64::max })
        );
    }
    let whole = read(store, query(7));
    assert!(whole.complete);
    assert_eq!(*whole.entries[6].value, *b"7");
    let none = ArchiveQuery {
        after: Some(all[3]),
        before: Some(all[3]),
        ..query(7)
    };
    assert!(read(store, none).entries.is_empty());
    let past = ArchiveQuery {
        after: Some(u64::MAX),
        ..query(7)
    };
    assert!(read(store, past).entries.is_empty());
}

pub(crate) fn archives_are_found_by_peer_and_part(store: &Store) {
    let all = fill(store, 1, 10);
    let mut other = entry(store, 12, ROMEO);
    other.part = "another".to_owned();
    let other_id = other.id;
    commit(store, |b| {
        b.archive(&ARCHIVE, JULIET, other);
    })
    .unwrap();
    let of = |part: Option<&str>, newest_first| {
        let query = ArchiveQuery {
            peer: Some(ROMEO.to_owned()),
            part: part.map(str::to_owned),
            newest_first,
            after: Some(all[0]),
            before: Some(u64::MAX),
            ..query(3)
        };
        ids(&read(store, query))
    };
    assert_eq!(of(None, false), [all[2], all[5], all[8]]);
    assert_eq!(of(None, true), [other_id, all[8], all[5]]);
    assert_eq!(of(Some("another"), false), [other_id]);
    assert_eq!(of(Some("part"), true), [all[8], all[5], all[2]]);
    assert!(of(Some(""), true).is_empty());
}

pub(crate) fn a_range_of_times_is_a_range_of_ids(store: &Store) {
    let all = fill(store, 1, 6);
    assert!(
        all.iter()
            .zip(1..)
            .all(|(id, s)| Store::archive_time(*id) == s * 1_000)
    );
    let query = ArchiveQuery {
        after: Some(Store::archive_id_from(2_000) - 1),
        before: Some(Store::archive_id_from(4_000 + 1)),
        ..query(9)
    };
    assert_eq!(ids(&read(store, query)), all[1..4]);
}

pub(crate) fn a_filter_sees_every_value_and_says_how_far_it_came(store: &Store) {
    let all = fill(store, 1, 30);
    let search = |look_at, after, limit| {
        let page = read(
            store,
            ArchiveQuery {
                filter: Some(Arc::new(|value: &[u8]| value.ends_with(b"5"))),
                look_at,
                after,
                ..query(limit)
            },
        );
        (ids(&page), page.complete, page.reached)
    };
    assert_eq!(
        search(0, None, 9),
        (vec![all[4], all[14], all[24]], true, Some(all[28]))
    );
    assert_eq!(
        search(0, None, 2),
        (vec![all[4], all[14]], false, Some(all[14]))
    );
    assert_eq!(search(10, None, 2), (vec![all[4]], false, Some(all[9])));
    assert_eq!(search(3, Some(all[5]), 2), (vec![], false, Some(all[8])));
}

pub(crate) fn archived_entries_are_found_by_their_ids(store: &Store) {
    let all = fill(store, 1, 5);
    let found = store.archived(&ARCHIVE, JULIET, &[all[3], 7, all[1], all[1]]);
    let found = found.wait().unwrap();
    assert_eq!(
        found.iter().map(|e| e.id).collect::<Vec<_>>(),
        [all[1], all[3]]
    );
    assert_eq!(found[0].peer, "nurse");
    assert_eq!(store.archived(&ARCHIVE, ROMEO, &all).wait(), Ok(Vec::new()));
    let ends = store.archive_ends(&ARCHIVE, JULIET).wait();
    assert_eq!(ends, Ok(Some((all[0], all[3]))));
    assert_eq!(store.archive_ends(&ARCHIVE, ROMEO).wait(), Ok(None));
}

pub(crate) fn archived_values_are_replaced(store: &Store) {
    let all = fill(store, 1, 3);
    commit(store, |b| {
        b.replace_archived(&ARCHIVE, JULIET, all[0], "gone")
            .replace_archived(&ARCHIVE, ROMEO, all[1], "not his")
            .replace_archived(&ARCHIVE, JULIET, 7, "not there");
    })
    .unwrap();
    let page = read(store, query(9));
    assert_eq!(*page.entries[0].value, *b"gone");
    assert_eq!(*page.entries[1].value, *b"2");
    assert_eq!(ids(&page), all);
}

pub(crate) fn the_oldest_are_deleted_in_slices(store: &Store) {
    let all = fill(store, 1, 8);
    let delete = |id, limit| {
        commit(store, |b| {
            b.delete_archived_until(&ARCHIVE, JULIET, id, limit);
        })
        .unwrap();
        ids(&read(store, query(9)))
    };
    assert_eq!(delete(all[4], 3), all[3..]);
    assert_eq!(delete(all[4], 3), all[5..]);
    assert_eq!(delete(all[4], 3), all[5..]);
    assert!(delete(u64::MAX, 3).is_empty());
    assert!(store.archive_id(0) > all[6]);
}

pub(crate) fn an_archive_is_erased_and_begins_anew(store: &Store) {
    let all = fill(store, 1, 4);
    commit(store, |b| {
        b.erase_owner(JULIET);
    })
    .unwrap();
    assert!(read(store, query(9)).entries.is_empty());
    assert_eq!(
        store.archived(&ARCHIVE, JULIET, &all).wait(),
        Ok(Vec::new())
    );
    assert_eq!(store.archive_ends(&ARCHIVE, JULIET).wait(), Ok(None));
    let again = fill(store, 2, 4);
    assert!(again[0] > all[2]);
    store.flush().wait().unwrap();
    assert_eq!(ids(&read(store, query(9))), again);
}

pub(crate) fn archives_of_other_owners_and_kinds_are_untouched(store: &Store) {
    let mine = fill(store, 1, 3);
    let (his, other) = (entry(store, 4, JULIET), entry(store, 5, ROMEO));
    let (his_id, other_id) = (his.id, other.id);
    commit(store, |b| {
        b.archive(&ARCHIVE, ROMEO, his)
            .archive(&OFFLINE, JULIET, other)
            .delete_archived_until(&ARCHIVE, ROMEO, mine[1], 9)
            .delete_archived_until(&ROSTER, JULIET, u64::MAX, 9);
    })
    .unwrap();
    assert_eq!(ids(&read(store, query(9))), mine);
    let of = |kind, owner| {
        let page = store.read_archive(kind, owner, query(9)).wait().unwrap();
        ids(&page)
    };
    assert_eq!(of(&ARCHIVE, ROMEO), [his_id]);
    assert_eq!(of(&OFFLINE, JULIET), [other_id]);
    assert_eq!(
        store.owners(&ARCHIVE, None, 9).wait(),
        Ok(vec![JULIET.to_owned(), ROMEO.to_owned()])
    );
}

pub(crate) fn a_refused_batch_makes_no_archive(store: &Store) {
    commit(store, |b| {
        b.put(&ROSTER, JULIET, "a", "1");
    })
    .unwrap();
    let (lost, kept, third) = (
        entry(store, 1, ROMEO),
        entry(store, 2, ROMEO),
        entry(store, 3, ROMEO),
    );
    let refused = commit(store, |b| {
        b.archive(&ARCHIVE, JULIET, lost)
            .insert_new(&ROSTER, JULIET, "a", "2");
    });
    assert_eq!(refused, Err(StoreError::Exists));
    let (kept_id, third_id) = (kept.id, third.id);
    commit(store, |b| {
        b.archive(&ARCHIVE, ROMEO, kept);
    })
    .unwrap();
    commit(store, |b| {
        b.archive(&ARCHIVE, JULIET, third);
    })
    .unwrap();
    assert_eq!(ids(&read(store, query(9))), [third_id]);
    let his = store
        .read_archive(&ARCHIVE, ROMEO, query(9))
        .wait()
        .unwrap();
    assert_eq!(ids(&his), [kept_id]);
}

/// An entry of so many bytes; some dozens of the big ones are more than a backend keeps aside.
fn big(store: &Store, second: u64, bytes: usize) -> ArchiveEntry {
    ArchiveEntry {
        value: vec![b'x'; bytes].into(),
        ..entry(store, second, ROMEO)
    }
}

pub(crate) fn entries_that_are_committed_late_are_in_their_place(store: &Store) {
    let entries: Vec<_> = (0..300).map(|n| big(store, n, 20_000)).collect();
    let all: Vec<u64> = entries.iter().map(|entry| entry.id).collect();
    for number in (0..300).map(|number| number * 7 % 300) {
        commit(store, |b| {
            b.archive(&ARCHIVE, JULIET, entries[number].clone());
        })
        .unwrap();
    }
    assert_eq!(ids(&read(store, query(999))), all);
    let page = ArchiveQuery {
        before: Some(all[200]),
        newest_first: true,
        peer: Some(ROMEO.to_owned()),
        ..query(2)
    };
    assert_eq!(ids(&read(store, page)), [all[199], all[198]]);
    let ends = store.archive_ends(&ARCHIVE, JULIET).wait();
    assert_eq!(ends, Ok(Some((all[0], all[299]))));
}

pub(crate) fn readers_see_an_archive_that_grows_whole(store: &Store) {
    const PAIRS: u64 = 250;
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let done = &done;
            scope.spawn(move || {
                while done.load(Ordering::SeqCst) < PAIRS {
                    let least = done.load(Ordering::SeqCst) * 2;
                    let newest = ArchiveQuery {
                        newest_first: reader > 0,
                        filter: Some(Arc::new(|value: &[u8]| value.len() > 1)),
                        ..query(9_999)
                    };
                    let count = read(store, newest).entries.len() as u64;
                    assert!(count >= least, "{count} of {least}");
                    assert_eq!(count % 2, 0, "half a batch");
                }
            });
        }
        for number in 0..PAIRS {
            let pair = [big(store, number, 12_000), big(store, number, 3_000)];
            commit(store, |b| {
                for entry in pair {
                    b.archive(&ARCHIVE, JULIET, entry);
                }
            })
            .unwrap();
            done.store(number + 1, Ordering::SeqCst);
        }
    });
}

pub(crate) fn what_has_just_been_archived_is_replaced_deleted_and_erased(store: &Store) {
    let entries: Vec<_> = (1..6).map(|n| entry(store, n, ROMEO)).collect();
    let all: Vec<u64> = entries.iter().map(|entry| entry.id).collect();
    // In the same batch, and in one behind it.
    commit(store, |b| {
        for entry in entries {
            b.archive(&ARCHIVE, JULIET, entry);
        }
        b.replace_archived(&ARCHIVE, JULIET, all[2], "same")
            .delete_archived_until(&ARCHIVE, JULIET, all[1], 1);
    })
    .unwrap();
    let page = read(store, query(9));
    assert_eq!(ids(&page), all[1..]);
    assert_eq!(*page.entries[1].value, *b"same");
    commit(store, |b| {
        b.replace_archived(&ARCHIVE, JULIET, all[2], "next")
            .delete_archived_until(&ARCHIVE, JULIET, all[1], 9);
    })
    .unwrap();
    assert_eq!(*read(store, query(9)).entries[0].value, *b"next");
    let more = entry(store, 7, ROMEO);
    let id = more.id;
    let refused = commit(store, |b| {
        b.archive(&ARCHIVE, JULIET, more.clone())
            .erase_owner(JULIET)
            .put(&ROSTER, JULIET, "a", "1")
            .insert_new(&ROSTER, JULIET, "a", "2");
    });
    assert_eq!(refused, Err(StoreError::Exists));
    assert_eq!(ids(&read(store, query(9))), all[2..]);
    commit(store, |b| {
        b.erase_owner(JULIET).archive(&ARCHIVE, JULIET, more);
    })
    .unwrap();
    assert_eq!(ids(&read(store, query(9))), [id]);
}
