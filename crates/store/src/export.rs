//! Everything one owner has, piece by piece.

use crate::kind::KnownKind;
use crate::{ArchiveEntry, ArchiveQuery, LogEntry, Store, StoreError};

/// How many records or entries are read at a time.
const PAGE: usize = 100;

/// One piece of what an owner has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exported {
    /// A record.
    Record {
        /// Name of its kind.
        kind: String,
        /// Its key.
        key: String,
        /// Its value.
        value: Vec<u8>,
    },
    /// An entry of a log.
    Entry {
        /// Name of its kind.
        kind: String,
        /// The entry.
        entry: LogEntry,
    },
    /// An entry of an archive.
    Archived {
        /// Name of its kind.
        kind: String,
        /// The entry.
        entry: ArchiveEntry,
    },
}

/// Goes through all kinds by name, and in each through the records by key, then the log, then the
/// archive. Made by
/// [`Store::export`]; holds one page in memory.
pub struct Export {
    store: Store,
    owner: String,
    /// Kinds still to come, the next one last.
    kinds: Vec<KnownKind>,
    part: Part,
    /// What was read and not yet given, the next one last.
    page: Vec<Exported>,
}

/// Where in the current kind an export goes on.
enum Part {
    Records { after: Option<String> },
    Log { after: u64 },
    Archive { after: u64 },
}

impl Export {
    pub(crate) fn new(store: Store, owner: &str, mut kinds: Vec<KnownKind>) -> Export {
        kinds.reverse();
        Export {
            store,
            owner: owner.to_owned(),
            kinds,
            part: Part::Records { after: None },
            page: Vec::new(),
        }
    }

    /// The next piece, or `None` at the end. Each page is of one moment, the whole is not: what is
    /// written meanwhile may or may not be in it.
    pub async fn next(&mut self) -> Result<Option<Exported>, StoreError> {
        while self.page.is_empty() {
            let Some(kind) = self.kinds.last() else {
                return Ok(None);
            };
            let (backend, name) = (self.store.backend(), kind.name.to_string());
            let (page, next) = match &self.part {
                Part::Records { after } => {
                    let found = backend
                        .list(kind.id, &self.owner, after.as_deref(), PAGE)
                        .await?;
                    let next = match found.last() {
                        Some((key, _)) if found.len() == PAGE => Part::Records {
                            after: Some(key.clone()),
                        },
                        _ => Part::Log { after: 0 },
                    };
                    let page = found.into_iter().map(|(key, value)| Exported::Record {
                        kind: name.clone(),
                        key,
                        value,
                    });
                    (page.rev().collect(), Some(next))
                }
                Part::Log { after } => {
                    let found = backend.read_log(kind.id, &self.owner, *after, PAGE).await?;
                    let next = match found.last() {
                        Some(entry) if found.len() == PAGE => Part::Log { after: entry.id },
                        _ => Part::Archive { after: 0 },
                    };
                    let page = found.into_iter().map(|entry| Exported::Entry {
                        kind: name.clone(),
                        entry,
                    });
                    (page.rev().collect::<Vec<_>>(), Some(next))
                }
                Part::Archive { after } => {
                    let query = ArchiveQuery {
                        after: Some(*after),
                        limit: PAGE,
                        ..ArchiveQuery::default()
                    };
                    let found = backend.read_archive(kind.id, &self.owner, query).await?;
                    let next = (!found.complete)
                        .then(|| found.reached.map(|after| Part::Archive { after }))
                        .flatten();
                    let page = found.entries.into_iter().map(|entry| Exported::Archived {
                        kind: name.clone(),
                        entry,
                    });
                    (page.rev().collect::<Vec<_>>(), next)
                }
            };
            self.page = page;
            self.part = next.unwrap_or_else(|| {
                self.kinds.pop();
                Part::Records { after: None }
            });
        }
        Ok(self.page.pop())
    }
}
