//! Batches: whole or not at all, in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tercet_store::{
    Batch, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_OWNER_BYTES, MAX_VALUE_BYTES, Store, StoreError,
};

use super::{JULIET, OFFLINE, ROMEO, ROSTER, commit, keys, text, texts};

pub(crate) fn operations_apply_in_the_order_of_adding(store: &Store) {
    commit(store, |b| {
        b.put(&ROSTER, JULIET, "a", "1")
            .delete(&ROSTER, JULIET, "a")
            .put(&ROSTER, JULIET, "b", "1")
            .delete_all(&ROSTER, JULIET)
            .put(&ROSTER, JULIET, "c", "1")
            .put(&ROSTER, JULIET, "c", "2")
            .append(&OFFLINE, JULIET, 0, "gone")
            .delete_log_until(&OFFLINE, JULIET, u64::MAX)
            .append(&OFFLINE, JULIET, 0, "there");
    })
    .unwrap();
    assert_eq!(keys(store, &ROSTER, JULIET), ["c"]);
    assert_eq!(text(store, &ROSTER, JULIET, "c").unwrap(), "2");
    let log = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    assert_eq!(texts(&log), ["there"]);
}

pub(crate) fn insert_new_refuses_an_existing_record_and_takes_back_the_whole_batch(store: &Store) {
    commit(store, |b| {
        b.insert_new(&ROSTER, JULIET, "a", "first")
            .append(&OFFLINE, JULIET, 0, "kept");
    })
    .unwrap();
    let refused = commit(store, |b| {
        b.put(&ROSTER, JULIET, "b", "no")
            .delete_log_until(&OFFLINE, JULIET, u64::MAX)
            .append(&OFFLINE, ROMEO, 0, "no")
            .erase_owner(JULIET)
            .put(&ROSTER, JULIET, "a", "no")
            .insert_new(&ROSTER, JULIET, "a", "second")
            .put(&ROSTER, ROMEO, "c", "no");
    });
    assert_eq!(refused, Err(StoreError::Exists));
    assert_eq!(keys(store, &ROSTER, JULIET), ["a"]);
    assert_eq!(text(store, &ROSTER, JULIET, "a").unwrap(), "first");
    assert!(keys(store, &ROSTER, ROMEO).is_empty());
    let log = store.read_log(&OFFLINE, JULIET, 0, 10).wait().unwrap();
    assert_eq!(texts(&log), ["kept"]);
    let log = store.read_log(&OFFLINE, ROMEO, 0, 10).wait().unwrap();
    assert!(log.is_empty());
}

pub(crate) fn insert_new_sees_the_operations_before_it(store: &Store) {
    let twice = commit(store, |b| {
        b.insert_new(&ROSTER, JULIET, "a", "1")
            .insert_new(&ROSTER, JULIET, "a", "2");
    });
    assert_eq!(twice, Err(StoreError::Exists));
    assert!(keys(store, &ROSTER, JULIET).is_empty());
    commit(store, |b| {
        b.put(&ROSTER, JULIET, "a", "1")
            .delete(&ROSTER, JULIET, "a")
            .insert_new(&ROSTER, JULIET, "a", "2");
    })
    .unwrap();
    assert_eq!(text(store, &ROSTER, JULIET, "a").unwrap(), "2");
}

pub(crate) fn a_refused_batch_does_not_fail_its_neighbours(store: &Store) {
    let answers: Vec<_> = (0..30)
        .map(|number: u32| {
            let mut batch = Batch::new();
            batch
                .put(&ROSTER, ROMEO, &format!("{number:02}"), "")
                .insert_new(&ROSTER, JULIET, &(number / 3).to_string(), "");
            store.commit(batch)
        })
        .collect();
    for (number, answer) in answers.into_iter().enumerate() {
        let expected = if number % 3 == 0 {
            Ok(())
        } else {
            Err(StoreError::Exists)
        };
        assert_eq!(answer.wait(), expected, "{number}");
    }
    let kept: Vec<String> = (0..30).step_by(3).map(|n| format!("{n:02}")).collect();
    assert_eq!(keys(store, &ROSTER, ROMEO), kept);
}

pub(crate) fn commits_take_effect_in_the_order_of_the_calls(store: &Store) {
    let mut last = None;
    for number in 0..2_000 {
        let mut batch = Batch::new();
        batch
            .put(&ROSTER, JULIET, "last", number.to_string())
            .append(&OFFLINE, JULIET, number, "");
        last = Some(store.commit(batch));
    }
    last.unwrap().wait().unwrap();
    assert_eq!(text(store, &ROSTER, JULIET, "last").unwrap(), "1999");
    let log = store.read_log(&OFFLINE, JULIET, 0, 5_000).wait().unwrap();
    assert!(log.iter().map(|entry| entry.at_ms).eq(0..2_000));
}

pub(crate) fn a_commit_counts_from_the_call_and_not_from_the_poll(store: &Store) {
    let mut first = Batch::new();
    first.put(&ROSTER, JULIET, "a", "first");
    let first = store.commit(first);
    commit(store, |b| {
        b.put(&ROSTER, JULIET, "a", "second");
    })
    .unwrap();
    first.wait().unwrap();
    assert_eq!(text(store, &ROSTER, JULIET, "a").unwrap(), "second");
}

pub(crate) fn a_commit_whose_answer_nobody_awaits_is_done(store: &Store) {
    let mut batch = Batch::new();
    batch.put(&ROSTER, JULIET, "a", "1");
    drop(store.commit(batch));
    store.flush().wait().unwrap();
    assert_eq!(keys(store, &ROSTER, JULIET), ["a"]);
}

pub(crate) fn many_threads_lose_nothing(store: &Store) {
    const EACH: u64 = 100;
    thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let owner = format!("{thread}@example.com");
                for number in 0..EACH {
                    commit(store, |b| {
                        b.put(&ROSTER, &owner, &number.to_string(), "").append(
                            &OFFLINE,
                            "all@example.com",
                            number,
                            owner.as_str(),
                        );
                    })
                    .unwrap();
                    let read = store.get(&ROSTER, &owner, &number.to_string());
                    assert_eq!(read.wait(), Ok(Some(Vec::new())), "reads its own write");
                }
            });
        }
    });
    let log = store.read_log(&OFFLINE, "all@example.com", 0, 10_000);
    let log = log.wait().unwrap();
    for thread in 0..8 {
        let owner = format!("{thread}@example.com");
        let of_thread = log.iter().filter(|entry| entry.value == owner.as_bytes());
        assert!(of_thread.map(|entry| entry.at_ms).eq(0..EACH));
        assert_eq!(keys(store, &ROSTER, &owner).len() as u64, EACH);
    }
}

pub(crate) fn readers_never_see_half_a_batch(store: &Store) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..300 {
                commit(store, |b| {
                    for key in ["a", "b", "c"] {
                        b.put(&ROSTER, JULIET, key, round.to_string());
                    }
                })
                .unwrap();
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let records = store.list(&ROSTER, JULIET).wait().unwrap();
            assert!(records.is_empty() || records.len() == 3);
            let same = |pair: &[(String, Vec<u8>)]| pair[0].1 == pair[1].1;
            assert!(records.windows(2).all(same));
        }
    });
}

pub(crate) fn what_is_too_big_is_refused_whole(store: &Store) {
    let long = |bytes| "x".repeat(bytes);
    let check = |what: &'static str, fill: &dyn Fn(&mut Batch)| {
        let answer = commit(store, |b| {
            b.put(&ROSTER, JULIET, "with it", "");
            fill(b);
        });
        match answer {
            Err(StoreError::TooBig {
                what: found,
                bytes,
                limit,
            }) => {
                assert_eq!(found, what);
                assert!(bytes > limit);
            }
            other => panic!("{what}: {other:?}"),
        }
    };
    check("owner", &|b| {
        b.put(&ROSTER, &long(MAX_OWNER_BYTES + 1), "", "");
    });
    check("key", &|b| {
        b.put(&ROSTER, JULIET, &long(MAX_KEY_BYTES + 1), "");
    });
    check("value", &|b| {
        b.append(&OFFLINE, JULIET, 0, vec![0; MAX_VALUE_BYTES + 1]);
    });
    check("batch", &|b| {
        for key in 0..=MAX_BATCH_BYTES / MAX_VALUE_BYTES {
            b.put(&ROSTER, JULIET, &key.to_string(), vec![0; MAX_VALUE_BYTES]);
        }
    });
    assert!(keys(store, &ROSTER, JULIET).is_empty());
    let (owner, key) = (long(MAX_OWNER_BYTES), long(MAX_KEY_BYTES));
    commit(store, |b| {
        b.put(&ROSTER, &owner, &key, "fits");
    })
    .unwrap();
    assert_eq!(text(store, &ROSTER, &owner, &key).unwrap(), "fits");
}

pub(crate) fn an_empty_batch_succeeds(store: &Store) {
    assert_eq!(commit(store, |_| ()), Ok(()));
}
