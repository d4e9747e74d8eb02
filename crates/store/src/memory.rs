//! The backend that keeps everything in memory: for tests and transcripts. It passes the same
//! battery as the others, except that nothing outlives it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::archive::Archives;
use crate::backend::Backend;
use crate::batch::{Action, Op};
use crate::kind::{Catalogue, KindId};
use crate::logs::Logs;
use crate::pending::Answer;
use crate::records::Records;
use crate::{
    ArchiveEntry, ArchivePage, ArchiveQuery, Batch, LogEntry, LogSize, Pending, Stats, StoreError,
};

/// All data behind one lock, held for one call.
pub(crate) struct Memory {
    catalogue: Arc<Catalogue>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    data: BTreeMap<(KindId, String), Data>,
    last_id: u64,
    closed: bool,
    stats: Stats,
}

/// What one owner has of one kind.
#[derive(Clone, Default)]
struct Data {
    records: BTreeMap<String, Vec<u8>>,
    log: BTreeMap<u64, (u64, Vec<u8>)>,
    archive: BTreeMap<u64, ArchiveEntry>,
}

impl Memory {
    pub(crate) fn new(catalogue: Arc<Catalogue>) -> Memory {
        Memory {
            catalogue,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Pending<T> {
        let state = self.lock();
        Pending::ready(if state.closed {
            Err(StoreError::Closed)
        } else {
            Ok(read(&state))
        })
    }
}

impl State {
    fn data(&self, kind: KindId, owner: &str) -> Option<&Data> {
        self.data.get(&(kind, owner.to_owned()))
    }

    /// Applies a batch; on an error the owners it touched are put back as they were.
    fn apply(&mut self, catalogue: &Catalogue, batch: &Batch) -> Result<(), StoreError> {
        let mut before = HashMap::new();
        // Nothing else can refuse a batch.
        let inserts = |op: &Op| matches!(op.action, Action::InsertNew { .. });
        let may_fail = batch.ops().iter().any(inserts);
        for op in batch.ops() {
            let kinds = match op.kind {
                Some(kind) => vec![catalogue.id(kind)?],
                None => catalogue.account_kinds().collect(),
            };
            for kind in kinds {
                let place = (kind, op.owner.clone());
                if may_fail {
                    before
                        .entry(place.clone())
                        .or_insert_with(|| self.data.get(&place).cloned());
                }
                if let Err(error) = self.apply_op(&place, op) {
                    for (place, data) in before {
                        match data {
                            Some(data) => self.data.insert(place, data),
                            None => self.data.remove(&place),
                        };
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn apply_op(&mut self, place: &(KindId, String), op: &Op) -> Result<(), StoreError> {
        let data = self.data.entry(place.clone()).or_default();
        match &op.action {
            Action::Put { key, value } => {
                data.records.insert(key.clone(), value.clone());
            }
            Action::InsertNew { key, .. } if data.records.contains_key(key) => {
                return Err(StoreError::Exists);
            }
            Action::InsertNew { key, value } => {
                data.records.insert(key.clone(), value.clone());
            }
            Action::Delete { key } => {
                data.records.remove(key);
            }
            Action::DeleteAll => data.records.clear(),
            Action::Append { at_ms, value } => {
                self.last_id += 1;
                let at_ms = (*at_ms).min(i64::MAX.unsigned_abs());
                data.log.insert(self.last_id, (at_ms, value.clone()));
            }
            Action::DeleteLogUntil { id } => {
                data.log.retain(|entry, _| entry > id);
            }
            Action::Archive { entry } => {
                data.archive.insert(entry.id, ArchiveEntry::clone(entry));
            }
            Action::ReplaceArchived { id, value } => {
                if let Some(entry) = data.archive.get_mut(id) {
                    entry.value = value.as_slice().into();
                }
            }
            Action::DeleteArchivedUntil { id, limit } => {
                let oldest = data.archive.range(..=id).map(|(id, _)| *id);
                for id in oldest.take(*limit).collect::<Vec<_>>() {
                    data.archive.remove(&id);
                }
            }
            Action::EraseOwner => *data = Data::default(),
        }
        if data.records.is_empty() && data.log.is_empty() && data.archive.is_empty() {
            self.data.remove(place);
        }
        Ok(())
    }
}

impl Records for Memory {
    fn get(&self, kind: KindId, owner: &str, key: &str) -> Pending<Option<Vec<u8>>> {
        self.read(|state| state.data(kind, owner)?.records.get(key).cloned())
    }

    fn list(
        &self,
        kind: KindId,
        owner: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Pending<Vec<(String, Vec<u8>)>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read(|state| {
            let records = state.data(kind, owner).map(|data| &data.records);
            let records = records
                .into_iter()
                .flat_map(|records| records.range::<str, _>((start, Bound::Unbounded)));
            let records = records.map(|(key, value)| (key.clone(), value.clone()));
            records.take(limit).collect()
        })
    }

    fn owners(&self, kind: KindId, after: Option<&str>, limit: usize) -> Pending<Vec<String>> {
        let start = match after {
            Some(after) => Bound::Excluded((kind, after.to_owned())),
            None => Bound::Included((kind, String::new())),
        };
        self.read(|state| {
            let places = state.data.range((start, Bound::Unbounded));
            let owners = places.map(|(place, _)| place);
            let owners = owners.take_while(|place| place.0 == kind);
            owners.take(limit).map(|place| place.1.clone()).collect()
        })
    }
}

impl Logs for Memory {
    fn read_log(
        &self,
        kind: KindId,
        owner: &str,
        after: u64,
        limit: usize,
    ) -> Pending<Vec<LogEntry>> {
        self.read(|state| {
            let log = state.data(kind, owner).map(|data| &data.log);
            let entries = log
                .into_iter()
                .flat_map(|log| log.range((Bound::Excluded(after), Bound::Unbounded)));
            entries.take(limit).map(entry).collect()
        })
    }

    fn read_log_back(
        &self,
        kind: KindId,
        owner: &str,
        before: u64,
        limit: usize,
    ) -> Pending<Vec<LogEntry>> {
        self.read(|state| {
            let log = state.data(kind, owner).map(|data| &data.log);
            let entries = log.into_iter().flat_map(|log| log.range(..before).rev());
            entries.take(limit).map(entry).collect()
        })
    }

    fn log_size(&self, kind: KindId, owner: &str) -> Pending<LogSize> {
        self.read(|state| {
            let Some(data) = state.data(kind, owner) else {
                return LogSize::default();
            };
            LogSize {
                entries: data.log.len() as u64,
                bytes: data.log.values().map(|(_, value)| value.len() as u64).sum(),
            }
        })
    }
}

impl Archives for Memory {
    fn read_archive(&self, kind: KindId, owner: &str, query: ArchiveQuery) -> Pending<ArchivePage> {
        self.read(|state| {
            let archive = state.data(kind, owner).map(|data| &data.archive);
            let start = query.after.map_or(Bound::Unbounded, Bound::Excluded);
            let end = query.before.map_or(Bound::Unbounded, Bound::Excluded);
            let is_empty = matches!((query.after, query.before), (Some(a), Some(b)) if a >= b);
            let meant = |entry: &&ArchiveEntry| {
                query.peer.as_ref().is_none_or(|p| *p == entry.peer)
                    && query.part.as_ref().is_none_or(|p| *p == entry.part)
            };
            let entries = archive.filter(|_| !is_empty).into_iter();
            let entries = entries.flat_map(|archive| archive.range((start, end)));
            let entries = entries.map(|(_, entry)| entry).filter(meant);
            let mut found: Vec<_> = entries.cloned().map(Ok::<_, StoreError>).collect();
            if query.newest_first {
                found.reverse();
            }
            query.page(found.into_iter()).unwrap_or_default()
        })
    }

    fn archived(&self, kind: KindId, owner: &str, ids: &[u64]) -> Pending<Vec<ArchiveEntry>> {
        self.read(|state| {
            let archive = state.data(kind, owner).map(|data| &data.archive);
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids.dedup();
            let found = ids.iter().filter_map(|id| archive?.get(id).cloned());
            found.collect()
        })
    }

    fn archive_ends(&self, kind: KindId, owner: &str) -> Pending<Option<(u64, u64)>> {
        self.read(|state| {
            let archive = &state.data(kind, owner)?.archive;
            Some((*archive.keys().next()?, *archive.keys().next_back()?))
        })
    }

    fn newest_archive_id(&self) -> u64 {
        // Nothing outlives it, and it is asked when it is opened.
        0
    }
}

impl Backend for Memory {
    fn commit(&self, batch: Batch, answer: Answer) {
        let mut state = self.lock();
        let done = if state.closed {
            Err(StoreError::Closed)
        } else {
            state.apply(&self.catalogue, &batch)
        };
        if done.is_ok() {
            state.stats.batches += 1;
            state.stats.commits += 1;
        }
        drop(state);
        answer.send(done);
    }

    fn flush(&self) -> Pending<()> {
        self.read(|_| ())
    }

    fn close(&self) -> Pending<()> {
        self.lock().closed = true;
        Pending::ready(Ok(()))
    }

    fn is_busy(&self) -> bool {
        false
    }

    fn stats(&self) -> Stats {
        self.lock().stats
    }
}

fn entry((id, (at_ms, value)): (&u64, &(u64, Vec<u8>))) -> LogEntry {
    LogEntry {
        id: *id,
        at_ms: *at_ms,
        value: value.clone(),
    }
}
