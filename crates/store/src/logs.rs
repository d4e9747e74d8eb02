//! The shape of logs: `(kind, owner)` to entries in the order in which they were appended.

use crate::kind::KindId;
use crate::{Kind, Pending, Store};

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place: greater than that of every entry appended to the same log before, those deleted or
    /// erased since included. At least 1, at most `i64::MAX`. Not without gaps, and nothing to show
    /// to peers: it tells how much others store.
    pub id: u64,
    /// The time given to [`crate::Batch::append`], unix milliseconds.
    pub at_ms: u64,
    /// What was appended.
    pub value: Vec<u8>,
}

/// How much is in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSize {
    /// Number of entries.
    pub entries: u64,
    /// Sum of the lengths of their values.
    pub bytes: u64,
}

/// What a backend does for logs; the promises are those of the methods of [`Store`].
pub(crate) trait Logs {
    /// Up to `limit` entries with ids above `after`, oldest first.
    fn read_log(
        &self,
        kind: KindId,
        owner: &str,
        after: u64,
        limit: usize,
    ) -> Pending<Vec<LogEntry>>;

    /// Up to `limit` entries with ids below `before`, newest first.
    fn read_log_back(
        &self,
        kind: KindId,
        owner: &str,
        before: u64,
        limit: usize,
    ) -> Pending<Vec<LogEntry>>;

    /// Entries and bytes.
    fn log_size(&self, kind: KindId, owner: &str) -> Pending<LogSize>;
}

/// # Logs
/// Reads see every batch whose commit had resolved before the call, and never a part of a batch. An
/// entry becomes visible after all entries of its log with smaller ids, so a reader that goes on from
/// the last id it saw misses none. They wait in a bounded queue and fail with
/// [`crate::StoreError::Busy`] when it is full.
impl Store {
    /// A page forwards: up to `limit` entries with ids above `after` (0: from the start), oldest
    /// first. Fewer than `limit` means the end.
    pub fn read_log(
        &self,
        kind: &'static Kind,
        owner: &str,
        after: u64,
        limit: usize,
    ) -> Pending<Vec<LogEntry>> {
        self.with(kind, |backend, kind| {
            backend.read_log(kind, owner, after, limit)
        })
    }

    /// A page backwards: up to `limit` entries with ids below `before` (`u64::MAX`: from the end),
    /// newest first. Fewer than `limit` means the start.
    pub fn read_log_back(
        &self,
        kind: &'static Kind,
        owner: &str,
        before: u64,
        limit: usize,
    ) -> Pending<Vec<LogEntry>> {
        self.with(kind, |backend, kind| {
            backend.read_log_back(kind, owner, before, limit)
        })
    }

    /// How much is in a log. Takes time in proportion to its entries: keep the answer where it is
    /// needed for every stanza.
    pub fn log_size(&self, kind: &'static Kind, owner: &str) -> Pending<LogSize> {
        self.with(kind, |backend, kind| backend.log_size(kind, owner))
    }
}
