//! Everything of an account: erased, exported.

use tercet_store::{Exported, Store};

use super::archives;
use super::{ARCHIVE, JULIET, OFFLINE, ROMEO, ROOMS, ROSTER, commit, keys, texts};
use crate::temp::block_on;

fn export(store: &Store, owner: &str) -> Vec<Exported> {
    let mut export = store.export(owner);
    std::iter::from_fn(|| block_on(export.next()).unwrap()).collect()
}

pub(crate) fn erase_removes_everything_of_an_account_and_nothing_else(store: &Store) {
    commit(store, |b| {
        b.put(&ROSTER, JULIET, "a", "1")
            .append(&ROSTER, JULIET, 0, "log")
            .put(&OFFLINE, JULIET, "b", "2")
            .append(&OFFLINE, JULIET, 0, "log")
            .put(&ROOMS, JULIET, "host's", "3")
            .put(&ROSTER, ROMEO, "a", "4")
            .append(&OFFLINE, ROMEO, 0, "romeo's")
            .put(&ROSTER, "juliet@example.com/balcony", "a", "5");
    })
    .unwrap();
    commit(store, |b| {
        b.erase_owner(JULIET);
    })
    .unwrap();
    assert!(export(store, JULIET).is_empty());
    assert!(keys(store, &ROSTER, JULIET).is_empty());
    assert!(keys(store, &OFFLINE, JULIET).is_empty());
    assert_eq!(keys(store, &ROOMS, JULIET), ["host's"]);
    assert_eq!(keys(store, &ROSTER, ROMEO), ["a"]);
    assert_eq!(keys(store, &ROSTER, "juliet@example.com/balcony"), ["a"]);
    let log = store.read_log(&OFFLINE, ROMEO, 0, 10).wait().unwrap();
    assert_eq!(texts(&log), ["romeo's"]);
}

pub(crate) fn an_export_holds_everything_of_an_account(store: &Store) {
    commit(store, |b| {
        b.put(&ROSTER, JULIET, "b", "2")
            .put(&ROSTER, JULIET, "a", "1")
            .put(&OFFLINE, JULIET, "k", "3")
            .append(&OFFLINE, JULIET, 7, "entry")
            .put(&ROOMS, JULIET, "host's", "4")
            .put(&ROSTER, ROMEO, "c", "5");
    })
    .unwrap();
    let record = |kind: &str, key: &str, value: &str| Exported::Record {
        kind: kind.to_owned(),
        key: key.to_owned(),
        value: value.into(),
    };
    let entry = store.read_log(&OFFLINE, JULIET, 0, 1).wait().unwrap();
    let expected = [
        record("offline", "k", "3"),
        Exported::Entry {
            kind: "offline".to_owned(),
            entry: entry[0].clone(),
        },
        record("roster", "a", "1"),
        record("roster", "b", "2"),
    ];
    assert_eq!(export(store, JULIET), expected);
}

pub(crate) fn an_export_of_many_records_and_entries_is_complete(store: &Store) {
    for count in [99_usize, 100, 101, 250] {
        let owner = format!("{count}@example.com");
        commit(store, |b| {
            for number in 0..count {
                b.put(&ROSTER, &owner, &format!("{number:04}"), "").append(
                    &OFFLINE,
                    &owner,
                    number as u64,
                    "",
                );
                let entry = archives::entry(store, number as u64, "peer");
                b.archive(&ARCHIVE, &owner, entry);
            }
        })
        .unwrap();
        let (mut keys, mut times, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for piece in export(store, &owner) {
            match piece {
                Exported::Record { key, .. } => keys.push(key.parse::<usize>().unwrap()),
                Exported::Entry { entry, .. } => times.push(entry.at_ms),
                Exported::Archived { entry, .. } => ids.push(entry.id),
            }
        }
        assert!(keys.into_iter().eq(0..count), "{count}");
        assert!(times.into_iter().eq(0..count as u64), "{count}");
        assert_eq!(ids.len(), count);
        assert!(ids.is_sorted());
    }
}
