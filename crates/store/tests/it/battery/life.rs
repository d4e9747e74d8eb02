//! From opening to closing.

use tercet_store::{Batch, Store, StoreError};

use super::{JULIET, ROSTER, commit, keys};
use crate::temp::block_on;

fn put(store: &Store, key: &str) -> tercet_store::Pending<()> {
    let mut batch = Batch::new();
    batch.put(&ROSTER, JULIET, key, "");
    store.commit(batch)
}

pub(crate) fn answers_arrive_in_any_executor(store: &Store) {
    let found = block_on(async {
        put(store, "a").await?;
        let store = store.clone();
        store.get(&ROSTER, JULIET, "a").await
    });
    assert_eq!(found, Ok(Some(Vec::new())));
}

pub(crate) fn flush_answers_after_the_commits_before_it(store: &Store) {
    for key in ["a", "b", "c"] {
        drop(put(store, key));
    }
    store.flush().wait().unwrap();
    assert_eq!(keys(store, &ROSTER, JULIET), ["a", "b", "c"]);
}

pub(crate) fn a_closed_store_refuses_everything(store: &Store) {
    let clone = store.clone();
    store.close().wait().unwrap();
    assert_eq!(put(&clone, "a").wait(), Err(StoreError::Closed));
    let read = clone.get(&ROSTER, JULIET, "a").wait();
    assert_eq!(read, Err(StoreError::Closed));
    assert_eq!(clone.flush().wait(), Err(StoreError::Closed));
}

pub(crate) fn close_finishes_what_was_queued(store: &Store) {
    let written: Vec<_> = (0..100).map(|key| put(store, &key.to_string())).collect();
    let read = store.list(&ROSTER, JULIET);
    store.close().wait().unwrap();
    for answer in written {
        assert_eq!(answer.wait(), Ok(()));
    }
    assert!(read.wait().is_ok());
}

pub(crate) fn closing_twice_is_no_error(store: &Store) {
    let (first, second) = (store.close(), store.close());
    assert_eq!(second.wait(), Ok(()));
    assert_eq!(first.wait(), Ok(()));
    assert_eq!(store.close().wait(), Ok(()));
}

pub(crate) fn the_figures_count_batches(store: &Store) {
    assert_eq!(store.stats().batches, 0);
    for _ in 0..3 {
        commit(store, |b| {
            b.put(&ROSTER, JULIET, "a", "");
        })
        .unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.batches, stats.commits), (3, 3));
    assert_eq!((stats.queued_batches, stats.queued_bytes), (0, 0));
    assert!(!stats.failing);
}
