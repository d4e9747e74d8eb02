//! The shape of keyed records: `(kind, owner, key)` to bytes.

use crate::kind::KindId;
use crate::{Kind, Pending, Store};

/// What a backend does for records; the promises are those of the methods of [`Store`].
pub(crate) trait Records {
    /// One record.
    fn get(&self, kind: KindId, owner: &str, key: &str) -> Pending<Option<Vec<u8>>>;

    /// Up to `limit` records with keys after `after`, by key.
    fn list(
        &self,
        kind: KindId,
        owner: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Pending<Vec<(String, Vec<u8>)>>;

    /// Up to `limit` owners after `after`, ordered.
    fn owners(&self, kind: KindId, after: Option<&str>, limit: usize) -> Pending<Vec<String>>;
}

/// # Records
/// Reads see every batch whose commit had resolved before the call, and never a part of a batch.
/// They wait in a bounded queue and fail with [`crate::StoreError::Busy`] when it is full.
impl Store {
    /// One record; `None` if it is not there.
    pub fn get(&self, kind: &'static Kind, owner: &str, key: &str) -> Pending<Option<Vec<u8>>> {
        self.with(kind, |backend, kind| backend.get(kind, owner, key))
    }

    /// All records of an owner in one kind, ordered by the bytes of their keys, as of one moment.
    /// All of them are in memory at once: where an owner may have many, use [`Store::list_after`].
    pub fn list(&self, kind: &'static Kind, owner: &str) -> Pending<Vec<(String, Vec<u8>)>> {
        self.list_after(kind, owner, None, usize::MAX)
    }

    /// A page of an owner's records: up to `limit` with keys after `after` (`None`: from the start),
    /// ordered by the bytes of their keys. Fewer than `limit` means the end.
    pub fn list_after(
        &self,
        kind: &'static Kind,
        owner: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Pending<Vec<(String, Vec<u8>)>> {
        self.with(kind, |backend, kind| {
            backend.list(kind, owner, after, limit)
        })
    }

    /// A page of the owners that have a record, a log entry or an archive of a kind: up to `limit` after `after`
    /// (`None`: from the start), ordered by their bytes. Fewer than `limit` means the end.
    pub fn owners(
        &self,
        kind: &'static Kind,
        after: Option<&str>,
        limit: usize,
    ) -> Pending<Vec<String>> {
        self.with(kind, |backend, kind| backend.owners(kind, after, limit))
    }
}
