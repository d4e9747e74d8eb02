//! Logs: append, page, trim, measure.

use tercet_store::{LogSize, Store};

use super::{JULIET, OFFLINE, ROMEO, ROSTER, commit, keys, texts};

/// Appends `from..to` as decimal texts, each in a batch of its own.
fn append(store: &Store, owner: &str, from: u64, to: u64) {
    for number in from..to {
        commit(store, |b| {
            b.append(&OFFLINE, owner, number, number.to_string());
        })
        .unwrap();
    }
}

pub(crate) fn entries_read_back_in_the_order_of_appending(store: &Store) {
    commit(store, |b| {
        b.append(&OFFLINE, JULIET, 10, "a")
            .append(&OFFLINE, JULIET, 20, "b");
    })
    .unwrap();
    append(store, JULIET, 2, 5);
    let entries = store.read_log(&OFFLINE, JULIET, 0, 100).wait().unwrap();
    assert_eq!(texts(&entries), ["a", "b", "2", "3", "4"]);
    assert!(entries[0].id >= 1);
    assert!(entries.windows(2).all(|pair| pair[0].id < pair[1].id));
}

pub(crate) fn ids_only_grow_even_after_everything_was_deleted(store: &Store) {
    append(store, JULIET, 0, 3);
    let before = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    let last = before.last().unwrap().id;
    commit(store, |b| {
        b.delete_log_until(&OFFLINE, JULIET, u64::MAX);
    })
    .unwrap();
    append(store, JULIET, 3, 4);
    let after = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    assert_eq!(texts(&after), ["3"]);
    assert!(after[0].id > last);
    commit(store, |b| {
        b.erase_owner(JULIET);
    })
    .unwrap();
    append(store, JULIET, 4, 5);
    let erased = store.read_log(&OFFLINE, JULIET, last, 10).wait().unwrap();
    assert_eq!(texts(&erased), ["4"]);
    assert!(erased[0].id > after[0].id);
}

pub(crate) fn pages_forwards_from_the_start(store: &Store) {
    append(store, ROMEO, 100, 103);
    append(store, JULIET, 0, 7);
    append(store, ROMEO, 103, 105);
    let mut after = 0;
    let mut seen = Vec::new();
    loop {
        let page = store.read_log(&OFFLINE, JULIET, after, 3).wait().unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = last.id;
        seen.extend(page.iter().map(|entry| entry.at_ms));
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    let past = store.read_log(&OFFLINE, JULIET, u64::MAX, 3).wait();
    assert_eq!(past, Ok(Vec::new()));
}

pub(crate) fn pages_backwards_from_the_end(store: &Store) {
    append(store, JULIET, 0, 7);
    append(store, ROMEO, 100, 103);
    let mut before = u64::MAX;
    let mut seen = Vec::new();
    loop {
        let page = store.read_log_back(&OFFLINE, JULIET, before, 3);
        let page = page.wait().unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = last.id;
        seen.extend(page.iter().map(|entry| entry.at_ms));
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
    let past = store.read_log_back(&OFFLINE, JULIET, 0, 3).wait();
    assert_eq!(past, Ok(Vec::new()));
}

pub(crate) fn a_page_of_limit_zero_is_empty(store: &Store) {
    append(store, JULIET, 0, 2);
    let forwards = store.read_log(&OFFLINE, JULIET, 0, 0).wait();
    assert_eq!(forwards, Ok(Vec::new()));
    let backwards = store.read_log_back(&OFFLINE, JULIET, u64::MAX, 0).wait();
    assert_eq!(backwards, Ok(Vec::new()));
}

pub(crate) fn deletes_up_to_and_with_an_id(store: &Store) {
    append(store, JULIET, 0, 5);
    let all = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    commit(store, |b| {
        b.delete_log_until(&OFFLINE, JULIET, all[2].id);
    })
    .unwrap();
    let left = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    assert_eq!(left, all[3..]);
    commit(store, |b| {
        b.delete_log_until(&OFFLINE, JULIET, all[1].id);
    })
    .unwrap();
    let again = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    assert_eq!(again, left);
}

pub(crate) fn the_size_counts_entries_and_bytes(store: &Store) {
    let size = |entries, bytes| Ok(LogSize { entries, bytes });
    assert_eq!(store.log_size(&OFFLINE, JULIET).wait(), size(0, 0));
    commit(store, |b| {
        b.append(&OFFLINE, JULIET, 0, "four")
            .append(&OFFLINE, JULIET, 0, "")
            .append(&OFFLINE, JULIET, 0, vec![0; 10_000])
            .append(&OFFLINE, ROMEO, 0, "not counted");
    })
    .unwrap();
    assert_eq!(store.log_size(&OFFLINE, JULIET).wait(), size(3, 10_004));
    let first = store.read_log(&OFFLINE, JULIET, 0, 1).wait().unwrap();
    commit(store, |b| {
        b.delete_log_until(&OFFLINE, JULIET, first[0].id);
    })
    .unwrap();
    assert_eq!(store.log_size(&OFFLINE, JULIET).wait(), size(2, 10_000));
}

pub(crate) fn logs_of_other_owners_and_kinds_are_untouched(store: &Store) {
    commit(store, |b| {
        b.append(&OFFLINE, JULIET, 1, "juliet")
            .append(&OFFLINE, ROMEO, 2, "romeo")
            .append(&ROSTER, JULIET, 3, "another kind")
            .delete_log_until(&OFFLINE, JULIET, u64::MAX);
    })
    .unwrap();
    let of = |kind, owner| store.read_log(kind, owner, 0, 10).wait().unwrap();
    assert!(of(&OFFLINE, JULIET).is_empty());
    assert_eq!(texts(&of(&OFFLINE, ROMEO)), ["romeo"]);
    assert_eq!(texts(&of(&ROSTER, JULIET)), ["another kind"]);
}

pub(crate) fn a_log_and_the_records_of_one_kind_are_apart(store: &Store) {
    commit(store, |b| {
        b.append(&OFFLINE, JULIET, 1, "entry")
            .put(&OFFLINE, JULIET, "key", "value")
            .delete_all(&OFFLINE, JULIET);
    })
    .unwrap();
    assert!(keys(store, &OFFLINE, JULIET).is_empty());
    let log = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    assert_eq!(texts(&log), ["entry"]);
}

pub(crate) fn times_are_kept_and_do_not_order(store: &Store) {
    let times = [5, 0, u64::MAX, 1_800_000_000_000];
    commit(store, |b| {
        for at_ms in times {
            b.append(&OFFLINE, JULIET, at_ms, "");
        }
    })
    .unwrap();
    let log = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    let kept: Vec<u64> = log.iter().map(|entry| entry.at_ms).collect();
    assert_eq!(kept, [5, 0, i64::MAX.unsigned_abs(), 1_800_000_000_000]);
}
