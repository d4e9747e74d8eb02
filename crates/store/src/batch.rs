//! The one way to change what is stored: a list of operations that happen together or not at all.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{ArchiveEntry, Kind, StoreError};

/// Longest owner in bytes: that of a full JID (RFC 7622 §3.1).
pub const MAX_OWNER_BYTES: usize = 3_071;
/// Longest key of a record in bytes.
pub const MAX_KEY_BYTES: usize = 8_192;
/// Biggest value in bytes: 16 MiB.
pub const MAX_VALUE_BYTES: usize = 16 << 20;
/// Biggest batch in bytes, 64 bytes an operation included: 64 MiB.
pub const MAX_BATCH_BYTES: usize = 64 << 20;
/// What an operation counts beside its owner, key and value.
const OP_BYTES: usize = 64;

/// Operations on any kinds and owners, applied in the order in which they were added, as one:
/// readers see all of them or none, and so does the disk after a crash.
///
/// Bounds (owner, key, value, whole batch) are checked by [`crate::Store::commit`], which then fails
/// with [`StoreError::TooBig`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Most batches have one.
    ops: SmallVec<[Op; 1]>,
    bytes: usize,
    too_big: Option<StoreError>,
    patient: bool,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    /// `None` only for [`Action::EraseOwner`].
    pub(crate) kind: Option<&'static Kind>,
    pub(crate) owner: String,
    pub(crate) action: Action,
}

/// What an operation does to its kind and owner.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Put { key: String, value: Vec<u8> },
    InsertNew { key: String, value: Vec<u8> },
    Delete { key: String },
    DeleteAll,
    Append { at_ms: u64, value: Vec<u8> },
    DeleteLogUntil { id: u64 },
    Archive { entry: Arc<ArchiveEntry> },
    ReplaceArchived { id: u64, value: Vec<u8> },
    DeleteArchivedUntil { id: u64, limit: usize },
    EraseOwner,
}

impl Batch {
    /// An empty batch; committing it waits for the batches before it.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Sets a record, whether or not it is there.
    pub fn put(
        &mut self,
        kind: &'static Kind,
        owner: &str,
        key: &str,
        value: impl Into<Vec<u8>>,
    ) -> &mut Batch {
        let (key, value) = (key.to_owned(), value.into());
        self.push(Some(kind), owner, Action::Put { key, value })
    }

    /// Sets a record that must not be there (operations before this one included): otherwise the
    /// whole batch fails with [`StoreError::Exists`].
    pub fn insert_new(
        &mut self,
        kind: &'static Kind,
        owner: &str,
        key: &str,
        value: impl Into<Vec<u8>>,
    ) -> &mut Batch {
        let (key, value) = (key.to_owned(), value.into());
        self.push(Some(kind), owner, Action::InsertNew { key, value })
    }

    /// Removes a record; no error if it is not there.
    pub fn delete(&mut self, kind: &'static Kind, owner: &str, key: &str) -> &mut Batch {
        let key = key.to_owned();
        self.push(Some(kind), owner, Action::Delete { key })
    }

    /// Removes all records of an owner in one kind. The log of that kind stays.
    pub fn delete_all(&mut self, kind: &'static Kind, owner: &str) -> &mut Batch {
        self.push(Some(kind), owner, Action::DeleteAll)
    }

    /// Adds an entry to the end of a log. `at_ms` (unix milliseconds) is kept with it and means
    /// nothing to the store; what exceeds `i64::MAX` is kept as `i64::MAX`.
    pub fn append(
        &mut self,
        kind: &'static Kind,
        owner: &str,
        at_ms: u64,
        value: impl Into<Vec<u8>>,
    ) -> &mut Batch {
        let value = value.into();
        self.push(Some(kind), owner, Action::Append { at_ms, value })
    }

    /// Removes the entries of a log up to and with `id`; `u64::MAX` empties it. Ids are not used
    /// again.
    pub fn delete_log_until(&mut self, kind: &'static Kind, owner: &str, id: u64) -> &mut Batch {
        self.push(Some(kind), owner, Action::DeleteLogUntil { id })
    }

    /// Puts an entry into an archive. Its id is from [`crate::Store::archive_id`], and used once.
    pub fn archive(&mut self, kind: &'static Kind, owner: &str, entry: ArchiveEntry) -> &mut Batch {
        let entry = Arc::new(entry);
        self.push(Some(kind), owner, Action::Archive { entry })
    }

    /// Puts another value in the place of that of an archived entry; no error if it is not there.
    pub fn replace_archived(
        &mut self,
        kind: &'static Kind,
        owner: &str,
        id: u64,
        value: impl Into<Vec<u8>>,
    ) -> &mut Batch {
        let value = value.into();
        self.push(Some(kind), owner, Action::ReplaceArchived { id, value })
    }

    /// Removes the oldest entries of an archive up to and with `id`, at most `limit` of them: however much there is, others'
    /// writes wait for a slice of it alone.
    pub fn delete_archived_until(
        &mut self,
        kind: &'static Kind,
        owner: &str,
        id: u64,
        limit: usize,
    ) -> &mut Batch {
        self.push(Some(kind), owner, Action::DeleteArchivedUntil { id, limit })
    }

    /// Removes everything an account has: records, logs and archives of all [`crate::Owner::Account`] kinds,
    /// those of modules that are no longer in the program included.
    pub fn erase_owner(&mut self, owner: &str) -> &mut Batch {
        self.push(None, owner, Action::EraseOwner)
    }

    /// Adds the operations of `other` behind those that are in it.
    pub fn merge(&mut self, other: Batch) -> &mut Batch {
        self.too_big = self.too_big.take().or(other.too_big);
        self.bytes += other.bytes;
        self.ops.extend(other.ops);
        self
    }

    /// Lets the commit wait for others for some milliseconds, so that many share one: for writes whose answer nobody hurries for.
    pub fn patiently(&mut self) -> &mut Batch {
        self.patient = true;
        self
    }

    pub(crate) fn is_patient(&self) -> bool {
        self.patient
    }

    /// How many operations are in it.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// No operation is in it.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Its size as [`MAX_BATCH_BYTES`] and the store's queue count it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it erases an owner.
    pub(crate) fn erases(&self) -> bool {
        self.ops.iter().any(|op| op.kind.is_none())
    }

    pub(crate) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Every part is within its bound.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match &self.too_big {
            Some(error) => Err(error.clone()),
            None => within("batch", self.bytes, MAX_BATCH_BYTES),
        }
    }

    fn push(&mut self, kind: Option<&'static Kind>, owner: &str, action: Action) -> &mut Batch {
        let (key, value) = match &action {
            Action::Put { key, value } | Action::InsertNew { key, value } => {
                (key.len(), value.len())
            }
            Action::Delete { key } => (key.len(), 0),
            Action::Append { value, .. } => (0, value.len()),
            Action::Archive { entry } => (entry.peer.len() + entry.part.len(), entry.value.len()),
            Action::ReplaceArchived { value, .. } => (0, value.len()),
            Action::DeleteAll
            | Action::DeleteLogUntil { .. }
            | Action::DeleteArchivedUntil { .. }
            | Action::EraseOwner => (0, 0),
        };
        if self.too_big.is_none() {
            self.too_big = within("owner", owner.len(), MAX_OWNER_BYTES)
                .and(within("key", key, MAX_KEY_BYTES))
                .and(within("value", value, MAX_VALUE_BYTES))
                .err();
        }
        self.bytes += OP_BYTES + owner.len() + key + value;
        self.ops.push(Op {
            kind,
            owner: owner.to_owned(),
            action,
        });
        self
    }
}

fn within(what: &'static str, bytes: usize, limit: usize) -> Result<(), StoreError> {
    if bytes <= limit {
        Ok(())
    } else {
        Err(StoreError::TooBig { what, bytes, limit })
    }
}
