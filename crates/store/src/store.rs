//! The store as the rest of the server sees it. The methods of each shape are in the shape's file.

use std::path::Path;
use std::sync::Arc;

use crate::archive::{ArchiveIds, Archives};
use crate::backend::Backend;
use crate::kind::{Catalogue, KindId, KnownKind};
use crate::memory::Memory;
use crate::pending::Answer;
use crate::sqlite::Sqlite;
use crate::{Batch, Decided, Export, Kind, Owner, Pending, StoreError};

/// An open store; clones are the same store.
///
/// Dropping the last clone finishes what is queued and blocks until it is done; [`Store::close`] does
/// the same without blocking.
#[derive(Clone)]
pub struct Store {
    catalogue: Arc<Catalogue>,
    backend: Arc<dyn Backend>,
    archive_ids: Arc<ArchiveIds>,
}

/// Figures for metrics. Counters start at 0 when the store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Batches that wait to be written.
    pub queued_batches: usize,
    /// Their size, as [`Batch::bytes`] counts it.
    pub queued_bytes: usize,
    /// Reads that wait for a reader.
    pub queued_reads: usize,
    /// Batches made durable.
    pub batches: u64,
    /// Group commits that took.
    pub commits: u64,
    /// The last write failed for want of space, by a read-only folder or by an I/O error.
    pub failing: bool,
}

impl Store {
    /// A store that forgets everything when it is dropped.
    ///
    /// # Panics
    /// If the catalogue is faulty: [`Store::check_catalogue`] tells without a panic.
    pub fn memory(catalogue: &[&'static Kind]) -> Store {
        let known = catalogue.iter().zip(1..).map(|(kind, id)| KnownKind {
            id: KindId(id),
            name: kind.name.into(),
            owner: kind.owner,
        });
        let catalogue = match Catalogue::new(catalogue, known.collect()) {
            Ok(catalogue) => Arc::new(catalogue),
            Err(error) => panic!("{error}"),
        };
        Store {
            backend: Arc::new(Memory::new(Arc::clone(&catalogue))),
            catalogue,
            archive_ids: Arc::new(ArchiveIds::new(0)),
        }
    }

    /// The store in a data folder: `tercet.db`, made if there is none, migrated to this program's
    /// layout if it is older. Blocks until it is open.
    ///
    /// Fails with [`StoreError::InUse`] while another process (or another store of this one) has the
    /// folder open, with [`StoreError::NewerSchema`] if a newer program wrote it, with
    /// [`StoreError::Catalogue`] if the kinds are faulty, and as the disk does.
    pub fn sqlite(folder: &Path, catalogue: &[&'static Kind]) -> Result<Store, StoreError> {
        let (sqlite, catalogue) = Sqlite::open(folder, catalogue)?;
        Ok(Store {
            archive_ids: Arc::new(ArchiveIds::new(sqlite.newest_archive_id())),
            backend: Arc::new(sqlite),
            catalogue,
        })
    }

    /// The names are well formed and unique: what opening a store checks first.
    pub fn check_catalogue(catalogue: &[&'static Kind]) -> Result<(), StoreError> {
        crate::kind::check(catalogue)
    }

    /// The kinds it was opened with, by name.
    pub fn kinds(&self, owner: Owner) -> impl Iterator<Item = &'static Kind> + '_ {
        let kinds = self.catalogue.kinds().iter().copied();
        kinds.filter(move |kind| kind.owner == owner)
    }

    /// Queues a batch, at this call and not at the first poll, and answers once it is durable: after
    /// `Ok`, a crash of the process or a loss of power does not lose it (memory: it is visible).
    ///
    /// - *Order*: batches take effect in the order of the calls, also across threads where one call
    ///   happens before another; a later one is never durable without an earlier one that succeeded.
    /// - *Atomicity*: a batch that fails has changed nothing; its failure does not fail others.
    /// - *Bounds*: when the queue is full it fails at once with [`StoreError::Busy`], nothing waits.
    /// - *Errors*: [`StoreError::Exists`] by `insert_new`; [`StoreError::TooBig`];
    ///   [`StoreError::Full`], [`StoreError::ReadOnly`], [`StoreError::Io`] by the disk, with later
    ///   batches succeeding again when it does.
    pub fn commit(&self, batch: Batch) -> Pending<()> {
        let (answer, pending) = Answer::pending();
        self.commit_with(batch, answer);
        pending
    }

    /// Like [`Store::commit`], and tells `who` instead of answering.
    pub fn commit_for(&self, batch: Batch, who: Arc<dyn Decided>) {
        self.commit_with(batch, Answer::tell(who));
    }

    fn commit_with(&self, batch: Batch, answer: Answer) {
        let checked = batch.check().and_then(|()| {
            let mut kinds = batch.ops().iter().filter_map(|op| op.kind);
            kinds.try_for_each(|kind| self.catalogue.id(kind).map(drop))
        });
        match checked {
            Ok(()) => self.backend.commit(batch, answer),
            Err(error) => answer.send(Err(error)),
        }
    }

    /// Answers when every batch queued before this call has been decided.
    pub fn flush(&self) -> Pending<()> {
        self.backend.flush()
    }

    /// Refuses further work with [`StoreError::Closed`], finishes what is queued, and answers when
    /// the data can be opened by another.
    pub fn close(&self) -> Pending<()> {
        self.backend.close()
    }

    /// More than half of the batches that may wait do: who can wait before the next should, lest all are refused.
    pub fn is_busy(&self) -> bool {
        self.backend.is_busy()
    }

    /// Figures of this moment.
    pub fn stats(&self) -> Stats {
        self.backend.stats()
    }

    /// Everything an account has, over all [`Owner::Account`] kinds, those of modules that are no
    /// longer in the program included.
    pub fn export(&self, owner: &str) -> Export {
        let known = self.catalogue.known().iter();
        let kinds = known.filter(|kind| kind.owner == Owner::Account);
        Export::new(self.clone(), owner, kinds.cloned().collect())
    }

    pub(crate) fn archive_ids(&self) -> &ArchiveIds {
        &self.archive_ids
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Runs a call of the backend with the id of a registered kind.
    pub(crate) fn with<T>(
        &self,
        kind: &Kind,
        call: impl FnOnce(&dyn Backend, KindId) -> Pending<T>,
    ) -> Pending<T> {
        match self.catalogue.id(kind) {
            Ok(id) => call(&*self.backend, id),
            Err(error) => Pending::ready(Err(error)),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}
