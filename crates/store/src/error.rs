//! What can go wrong in a store, named by what the caller can do about it.

use std::path::PathBuf;

/// Why a read or a [`crate::Batch`] failed. A failed batch has changed nothing.
///
/// The text is for the operator's log; it never goes to a peer and never holds stored values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// [`crate::Batch::insert_new`] met a record that is already there.
    #[error("the record exists already")]
    Exists,
    /// The queue of the store is at its bound. Nothing was queued; try again later.
    #[error("the store is overloaded: its queue is full")]
    Busy,
    /// An owner, key, value or batch is bigger than its bound.
    #[error("{what} has {bytes} bytes, the bound is {limit}")]
    TooBig {
        /// What is too big: `"owner"`, `"key"`, `"value"` or `"batch"`.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// No space is left for the data (disk, quota or a set maximum). Writes succeed again when there is.
    #[error("no space is left for the store: {0}")]
    Full(String),
    /// The data folder or its file system does not allow writing.
    #[error("the store is read-only: {0}")]
    ReadOnly(String),
    /// The disk or the operating system failed. If the process ends before a later write succeeds, a
    /// batch that failed so may be found done: the disk took it and failed to confirm it.
    #[error("the store cannot read or write: {0}")]
    Io(String),
    /// The data is damaged, or is no data of Tercet.
    #[error("the store's data is damaged or not Tercet's: {0}")]
    Corrupt(String),
    /// Another process has the data folder open.
    #[error("the data folder {folder} is in use by another process{}", .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The process that holds it, if it left its id.
        pid: Option<u32>,
    },
    /// The data was written by a newer version of Tercet, whose layout this one does not know.
    #[error(
        "the data has schema version {found}, this program knows versions up to {known}: use the newer program, or restore a backup made before the upgrade"
    )]
    NewerSchema {
        /// Version found in the data.
        found: u32,
        /// Highest version this program knows.
        known: u32,
    },
    /// The kinds contradict each other or the stored data: a mistake in the program.
    #[error("storage catalogue: {0}")]
    Catalogue(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
