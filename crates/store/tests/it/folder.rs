//! The data folder of SQLite: what is there after closing, who may open it, what is refused.

use std::fs;

use rusqlite::Connection;
use tercet_store::{Exported, Kind, Owner, Store, StoreError};

use crate::battery::{CATALOGUE, JULIET, OFFLINE, ROOMS, ROSTER, commit, keys, text, texts};
use crate::temp::{TempFolder, block_on};

fn open(folder: &TempFolder) -> Store {
    Store::sqlite(folder.path(), CATALOGUE).unwrap()
}

#[test]
fn data_is_there_after_reopening() {
    let folder = TempFolder::new();
    let store = open(&folder);
    commit(&store, |b| {
        b.put(&ROSTER, JULIET, "a", "1")
            .append(&OFFLINE, JULIET, 5, "entry");
    })
    .unwrap();
    drop(store);
    let store = open(&folder);
    assert_eq!(text(&store, &ROSTER, JULIET, "a").unwrap(), "1");
    let log = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    assert_eq!(texts(&log), ["entry"]);
}

#[test]
fn log_ids_grow_across_reopening_even_if_the_log_was_emptied() {
    let folder = TempFolder::new();
    let mut last = 0;
    for _ in 0..3 {
        let store = open(&folder);
        commit(&store, |b| {
            b.append(&OFFLINE, JULIET, 0, "");
        })
        .unwrap();
        let log = store.read_log(&OFFLINE, JULIET, last, 10).wait().unwrap();
        assert_eq!(log.len(), 1);
        last = log[0].id;
        commit(&store, |b| {
            b.delete_log_until(&OFFLINE, JULIET, last);
        })
        .unwrap();
    }
}

#[test]
fn closing_leaves_one_database_file_and_the_lock() {
    let folder = TempFolder::new();
    let store = open(&folder);
    commit(&store, |b| {
        b.put(&ROSTER, JULIET, "a", "1");
    })
    .unwrap();
    store.close().wait().unwrap();
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["tercet.db", "tercet.lock"]);
    drop(open(&folder));
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_closed() {
    let folder = TempFolder::new();
    let first = open(&folder);
    let Err(error) = Store::sqlite(folder.path(), CATALOGUE) else {
        panic!("opened twice");
    };
    let expected = StoreError::InUse {
        folder: folder.path().to_owned(),
        pid: Some(std::process::id()),
    };
    assert_eq!(error, expected);
    let text = error.to_string();
    assert!(text.contains("in use"), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    first.close().wait().unwrap();
    drop(open(&folder));
    drop(first);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_data() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempFolder::new();
    let store = open(&folder);
    commit(&store, |b| {
        b.put(&ROSTER, JULIET, "a", "1");
    })
    .unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path()), 0o700);
    for file in ["tercet.db", "tercet.db-wal", "tercet.db-shm", "tercet.lock"] {
        assert_eq!(mode(&folder.path().join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_newer_schema_is_refused_with_a_clear_word() {
    let folder = TempFolder::new();
    drop(open(&folder));
    let connection = Connection::open(folder.path().join("tercet.db")).unwrap();
    connection
        .execute(
            "INSERT INTO migrations (version, checksum) VALUES (99, 0)",
            (),
        )
        .unwrap();
    drop(connection);
    let Err(error) = Store::sqlite(folder.path(), CATALOGUE) else {
        panic!("opened a newer schema");
    };
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }));
    assert!(error.to_string().contains("newer program"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_kept() {
    let folder = TempFolder::new();
    fs::create_dir_all(folder.path()).unwrap();
    let path = folder.path().join("tercet.db");
    let letter = "Dear Juliet, ".repeat(500);
    fs::write(&path, &letter).unwrap();
    let refused = Store::sqlite(folder.path(), CATALOGUE).map(drop);
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), letter);
}

#[test]
fn a_folder_that_is_a_file_is_refused() {
    let folder = TempFolder::new();
    fs::write(folder.path(), "a file").unwrap();
    let refused = Store::sqlite(folder.path(), CATALOGUE).map(drop);
    assert!(matches!(refused, Err(StoreError::Io(_))), "{refused:?}");
    fs::remove_file(folder.path()).unwrap();
}

#[test]
fn data_of_kinds_no_longer_in_the_program_is_exported_and_erased() {
    let folder = TempFolder::new();
    let store = open(&folder);
    commit(&store, |b| {
        b.put(&ROSTER, JULIET, "a", "1")
            .append(&OFFLINE, JULIET, 0, "2")
            .put(&ROOMS, JULIET, "host's", "3");
    })
    .unwrap();
    drop(store);
    let smaller: &[&Kind] = &[&ROSTER];
    let store = Store::sqlite(folder.path(), smaller).unwrap();
    let mut export = store.export(JULIET);
    let pieces: Vec<_> = std::iter::from_fn(|| block_on(export.next()).unwrap()).collect();
    assert_eq!(pieces.len(), 2);
    assert!(matches!(&pieces[0], Exported::Entry { kind, .. } if kind == "offline"));
    commit(&store, |b| {
        b.erase_owner(JULIET);
    })
    .unwrap();
    drop((export, store));
    let store = open(&folder);
    assert!(keys(&store, &ROSTER, JULIET).is_empty());
    let log = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    assert!(log.is_empty());
    assert_eq!(keys(&store, &ROOMS, JULIET), ["host's"]);
}

#[test]
fn a_kind_that_changed_hands_or_is_listed_twice_is_refused() {
    static HOSTS_ROSTER: Kind = Kind {
        name: "roster",
        owner: Owner::Host,
        what: "a host's",
    };
    let folder = TempFolder::new();
    let twice = Store::sqlite(folder.path(), &[&ROSTER, &HOSTS_ROSTER]).map(drop);
    assert!(matches!(twice, Err(StoreError::Catalogue(_))), "{twice:?}");
    drop(open(&folder));
    let changed = Store::sqlite(folder.path(), &[&HOSTS_ROSTER]).map(drop);
    assert!(
        matches!(changed, Err(StoreError::Catalogue(_))),
        "{changed:?}"
    );
    drop(open(&folder));
}

#[test]
fn a_new_kind_joins_old_data() {
    let folder = TempFolder::new();
    let smaller: &[&Kind] = &[&ROOMS];
    drop(Store::sqlite(folder.path(), smaller).unwrap());
    let store = open(&folder);
    commit(&store, |b| {
        b.put(&ROSTER, JULIET, "a", "1");
    })
    .unwrap();
    assert_eq!(keys(&store, &ROSTER, JULIET), ["a"]);
}
