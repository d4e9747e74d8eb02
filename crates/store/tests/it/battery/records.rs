//! Records: read, list, page, remove.

use tercet_store::{MAX_VALUE_BYTES, Store, StoreError};

use super::{CATALOGUE, JULIET, OFFLINE, ROMEO, ROOMS, ROSTER, STRAY, commit, keys, text};

pub(crate) fn a_record_reads_back_as_it_was_put(store: &Store) {
    commit(store, |b| {
        b.put(&ROSTER, JULIET, ROMEO, "both");
    })
    .unwrap();
    assert_eq!(text(store, &ROSTER, JULIET, ROMEO).unwrap(), "both");
}

pub(crate) fn a_missing_record_is_none(store: &Store) {
    assert_eq!(store.get(&ROSTER, JULIET, ROMEO).wait(), Ok(None));
    assert_eq!(store.list(&ROSTER, JULIET).wait(), Ok(Vec::new()));
}

pub(crate) fn putting_again_replaces_the_value(store: &Store) {
    for value in ["none", "to", "both"] {
        commit(store, |b| {
            b.put(&ROSTER, JULIET, ROMEO, value);
        })
        .unwrap();
        assert_eq!(text(store, &ROSTER, JULIET, ROMEO).unwrap(), value);
    }
    assert_eq!(keys(store, &ROSTER, JULIET).len(), 1);
}

pub(crate) fn empty_owner_key_and_value_are_records_like_others(store: &Store) {
    commit(store, |b| {
        b.put(&ROOMS, "", "", "").put(&ROOMS, "", "a", "");
    })
    .unwrap();
    assert_eq!(text(store, &ROOMS, "", "").unwrap(), "");
    assert_eq!(keys(store, &ROOMS, ""), ["", "a"]);
    assert_eq!(
        store.owners(&ROOMS, None, 10).wait(),
        Ok(vec![String::new()])
    );
}

pub(crate) fn keys_are_any_text_and_values_any_bytes(store: &Store) {
    let keys = [
        "a\0b",
        "a\0",
        "a",
        "\0",
        "'; DROP TABLE records; --",
        "ключ",
        "𐍈",
        "a\u{301}",
        "á",
        "%",
        "\n",
    ];
    let value: Vec<u8> = (0..=255).collect();
    for key in keys {
        commit(store, |b| {
            b.put(&ROSTER, key, key, value.clone());
        })
        .unwrap();
    }
    for key in keys {
        let found = store.list(&ROSTER, key).wait().unwrap();
        assert_eq!(found, [(key.to_owned(), value.clone())], "{key:?}");
    }
}

pub(crate) fn a_list_is_ordered_by_the_bytes_of_its_keys(store: &Store) {
    let mut given = vec![
        "b",
        "a",
        "B",
        "",
        "a\0",
        "aa",
        "é",
        "z",
        "\u{10000}",
        "\u{ffff}",
        "10",
        "9",
    ];
    commit(store, |b| {
        for key in &given {
            b.put(&ROSTER, JULIET, key, "");
        }
    })
    .unwrap();
    given.sort_unstable();
    assert_eq!(keys(store, &ROSTER, JULIET), given);
}

pub(crate) fn a_list_is_read_in_pages(store: &Store) {
    let given = ["", "a", "a\0", "aa", "b", "c"];
    commit(store, |b| {
        for key in given {
            b.put(&ROSTER, JULIET, key, key);
        }
    })
    .unwrap();
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list_after(&ROSTER, JULIET, after.as_deref(), 2);
        let page = page.wait().unwrap();
        let Some((last, _)) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some(last.clone());
        seen.extend(page.into_iter().map(|(key, _)| key));
    }
    assert_eq!(seen, given);
}

pub(crate) fn kinds_and_owners_do_not_see_each_other(store: &Store) {
    commit(store, |b| {
        b.put(&ROSTER, JULIET, "k", "1")
            .put(&ROSTER, ROMEO, "k", "2")
            .put(&OFFLINE, JULIET, "k", "3")
            .put(&ROSTER, "juliet@example.co", "mk", "4");
    })
    .unwrap();
    assert_eq!(text(store, &ROSTER, JULIET, "k").unwrap(), "1");
    assert_eq!(text(store, &ROSTER, ROMEO, "k").unwrap(), "2");
    assert_eq!(text(store, &OFFLINE, JULIET, "k").unwrap(), "3");
    assert_eq!(text(store, &ROSTER, JULIET, "mk"), None);
    assert_eq!(keys(store, &ROSTER, JULIET), ["k"]);
}

pub(crate) fn delete_removes_one_record_and_minds_no_missing_one(store: &Store) {
    commit(store, |b| {
        b.put(&ROSTER, JULIET, "a", "1")
            .put(&ROSTER, JULIET, "b", "2");
    })
    .unwrap();
    commit(store, |b| {
        b.delete(&ROSTER, JULIET, "a")
            .delete(&ROSTER, JULIET, "missing");
    })
    .unwrap();
    assert_eq!(keys(store, &ROSTER, JULIET), ["b"]);
}

pub(crate) fn delete_all_removes_the_records_of_one_owner_and_kind(store: &Store) {
    commit(store, |b| {
        b.put(&ROSTER, JULIET, "a", "1")
            .put(&ROSTER, JULIET, "b", "2")
            .put(&ROSTER, ROMEO, "a", "3")
            .put(&OFFLINE, JULIET, "a", "4");
    })
    .unwrap();
    commit(store, |b| {
        b.delete_all(&ROSTER, JULIET);
    })
    .unwrap();
    assert!(keys(store, &ROSTER, JULIET).is_empty());
    assert_eq!(keys(store, &ROSTER, ROMEO), ["a"]);
    assert_eq!(keys(store, &OFFLINE, JULIET), ["a"]);
}

pub(crate) fn owners_are_paged_in_order_over_records_and_logs(store: &Store) {
    commit(store, |b| {
        for owner in ["d", "b", "a", "a\0", "ab"] {
            b.put(&OFFLINE, owner, "1", "")
                .put(&OFFLINE, owner, "2", "");
        }
        b.append(&OFFLINE, "c", 0, "").append(&OFFLINE, "b", 0, "");
        b.put(&ROSTER, "another kind", "1", "");
    })
    .unwrap();
    let all = ["a", "a\0", "ab", "b", "c", "d"];
    assert_eq!(store.owners(&OFFLINE, None, 100).wait().unwrap(), all);
    let mut seen: Vec<String> = Vec::new();
    loop {
        let after = seen.last().map(String::as_str);
        let page = store.owners(&OFFLINE, after, 2).wait().unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, all);
    commit(store, |b| {
        b.delete_all(&OFFLINE, "d")
            .delete_log_until(&OFFLINE, "c", u64::MAX);
    })
    .unwrap();
    let left = store.owners(&OFFLINE, Some("ab"), 100).wait().unwrap();
    assert_eq!(left, ["b"], "who has nothing left is no owner");
    assert_eq!(store.owners(&OFFLINE, None, 0).wait(), Ok(Vec::new()));
}

pub(crate) fn a_value_of_the_biggest_size_reads_back(store: &Store) {
    let value = vec![7; MAX_VALUE_BYTES];
    commit(store, |b| {
        b.put(&ROOMS, "host", "big", value.clone());
    })
    .unwrap();
    assert!(store.get(&ROOMS, "host", "big").wait() == Ok(Some(value)));
}

pub(crate) fn a_kind_outside_the_catalogue_is_refused(store: &Store) {
    let refused = |error| matches!(error, Err(StoreError::Catalogue(_)));
    assert!(refused(commit(store, |b| {
        b.put(&ROSTER, JULIET, "a", "1")
            .put(&STRAY, JULIET, "a", "1");
    })));
    assert!(refused(store.get(&STRAY, JULIET, "a").wait().map(drop)));
    assert!(keys(store, &ROSTER, JULIET).is_empty());
    assert!(CATALOGUE.iter().all(|kind| kind.name != STRAY.name));
}
