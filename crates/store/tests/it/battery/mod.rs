//! The battery: every promise of a shape as a function over a store. A backend gets them all, as
//! tests with names, by `battery!(name, constructor)`, the constructor giving a [`Subject`].

pub(crate) mod archives;
pub(crate) mod batches;
pub(crate) mod erasure;
pub(crate) mod life;
pub(crate) mod logs;
pub(crate) mod records;

use std::ops::Deref;

use tercet_store::{Batch, Kind, LogEntry, Owner, Store, StoreError};

use crate::temp::TempFolder;

/// An account's kind, used for records.
pub(crate) static ROSTER: Kind = Kind {
    name: "roster",
    owner: Owner::Account,
    what: "roster items",
};
/// An account's kind, used as a log.
pub(crate) static OFFLINE: Kind = Kind {
    name: "offline",
    owner: Owner::Account,
    what: "messages for later",
};
/// A host's kind.
pub(crate) static ROOMS: Kind = Kind {
    name: "rooms",
    owner: Owner::Host,
    what: "rooms",
};
/// In no catalogue.
pub(crate) static STRAY: Kind = Kind {
    name: "stray",
    owner: Owner::Account,
    what: "forgotten in the list",
};
/// An account's kind, used as an archive.
pub(crate) static ARCHIVE: Kind = Kind {
    name: "archive",
    owner: Owner::Account,
    what: "messages",
};
/// What the store of a test is opened with.
pub(crate) static CATALOGUE: &[&Kind] = &[&ROSTER, &OFFLINE, &ROOMS, &ARCHIVE];

pub(crate) const JULIET: &str = "juliet@example.com";
pub(crate) const ROMEO: &str = "romeo@example.net";

/// A store to test, and the folder it is in, if any.
pub(crate) struct Subject {
    store: Store,
    _folder: Option<TempFolder>,
}

impl Subject {
    pub(crate) fn new(store: Store, folder: Option<TempFolder>) -> Subject {
        Subject {
            store,
            _folder: folder,
        }
    }
}

impl Deref for Subject {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// Makes and commits a batch, and waits for it.
pub(crate) fn commit(store: &Store, fill: impl FnOnce(&mut Batch)) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    fill(&mut batch);
    store.commit(batch).wait()
}

/// A record's value as text.
pub(crate) fn text(store: &Store, kind: &'static Kind, owner: &str, key: &str) -> Option<String> {
    let value = store.get(kind, owner, key).wait().unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

/// The keys of an owner.
pub(crate) fn keys(store: &Store, kind: &'static Kind, owner: &str) -> Vec<String> {
    let records = store.list(kind, owner).wait().unwrap();
    records.into_iter().map(|(key, _)| key).collect()
}

/// The values of entries as texts.
pub(crate) fn texts(entries: &[LogEntry]) -> Vec<&str> {
    let values = entries.iter();
    values
        .map(|entry| std::str::from_utf8(&entry.value).unwrap())
        .collect()
}

/// Names the tests of one backend.
macro_rules! battery {
    ($backend:ident, $constructor:path) => {
        mod $backend {
            battery! { @tests $constructor;
                records: [
                    a_record_reads_back_as_it_was_put,
                    a_missing_record_is_none,
                    putting_again_replaces_the_value,
                    empty_owner_key_and_value_are_records_like_others,
                    keys_are_any_text_and_values_any_bytes,
                    a_list_is_ordered_by_the_bytes_of_its_keys,
                    a_list_is_read_in_pages,
                    kinds_and_owners_do_not_see_each_other,
                    delete_removes_one_record_and_minds_no_missing_one,
                    delete_all_removes_the_records_of_one_owner_and_kind,
                    owners_are_paged_in_order_over_records_and_logs,
                    a_value_of_the_biggest_size_reads_back,
                    a_kind_outside_the_catalogue_is_refused,
                ]
                logs: [
                    entries_read_back_in_the_order_of_appending,
                    ids_only_grow_even_after_everything_was_deleted,
                    pages_forwards_from_the_start,
                    pages_backwards_from_the_end,
                    a_page_of_limit_zero_is_empty,
                    deletes_up_to_and_with_an_id,
                    the_size_counts_entries_and_bytes,
                    logs_of_other_owners_and_kinds_are_untouched,
                    a_log_and_the_records_of_one_kind_are_apart,
                    times_are_kept_and_do_not_order,
                ]
                archives: [
                    archives_are_paged_both_ways,
                    archives_are_found_by_peer_and_part,
                    a_range_of_times_is_a_range_of_ids,
                    a_filter_sees_every_value_and_says_how_far_it_came,
                    archived_entries_are_found_by_their_ids,
                    archived_values_are_replaced,
                    the_oldest_are_deleted_in_slices,
                    an_archive_is_erased_and_begins_anew,
                    archives_of_other_owners_and_kinds_are_untouched,
                    a_refused_batch_makes_no_archive,
                    entries_that_are_committed_late_are_in_their_place,
                    readers_see_an_archive_that_grows_whole,
                    what_has_just_been_archived_is_replaced_deleted_and_erased,
                ]
                batches: [
                    operations_apply_in_the_order_of_adding,
                    insert_new_refuses_an_existing_record_and_takes_back_the_whole_batch,
                    insert_new_sees_the_operations_before_it,
                    a_refused_batch_does_not_fail_its_neighbours,
                    commits_take_effect_in_the_order_of_the_calls,
                    a_commit_counts_from_the_call_and_not_from_the_poll,
                    a_commit_whose_answer_nobody_awaits_is_done,
                    many_threads_lose_nothing,
                    readers_never_see_half_a_batch,
                    what_is_too_big_is_refused_whole,
                    an_empty_batch_succeeds,
                ]
                erasure: [
                    erase_removes_everything_of_an_account_and_nothing_else,
                    an_export_holds_everything_of_an_account,
                    an_export_of_many_records_and_entries_is_complete,
                ]
                life: [
                    answers_arrive_in_any_executor,
                    flush_answers_after_the_commits_before_it,
                    a_closed_store_refuses_everything,
                    close_finishes_what_was_queued,
                    closing_twice_is_no_error,
                    the_figures_count_batches,
                ]
            }
        }
    };
    (@tests $constructor:path; $($group:ident: [$($test:ident,)*])*) => {
        $(mod $group {
            $(#[test]
            fn $test() {
                crate::battery::$group::$test(&$constructor());
            })*
        })*
    };
}
