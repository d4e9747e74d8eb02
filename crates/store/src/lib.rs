//! Where Tercet keeps what must survive: few shapes with stated promises, several backends, one
//! battery of tests (`tests/it/battery`) that every backend passes.
//!
//! Shapes:
//! - *records* ([`Store::get`], [`Store::list`], [`Store::owners`]): `(kind, owner, key)` to bytes;
//! - *logs* ([`Store::read_log`], [`Store::read_log_back`], [`Store::log_size`]): `(kind, owner)` to
//!   a list of entries with ids that only grow;
//! - *archives* ([`Store::read_archive`], [`Store::archived`], [`Store::archive_ends`]): `(kind, owner)`
//!   to many entries, found by peer and by time.
//!
//! All are changed by one thing only, a [`Batch`] given to [`Store::commit`]: it happens whole or
//! not at all, in the order of the calls, and is on the disk when the future resolves. A further
//! shape is a sibling file beside `records.rs` and `logs.rs`, operations in [`Batch`], and a migration; a further backend implements the shape traits once and adds one line
//! to the battery.
//!
//! What is stored is registered in a catalogue: every [`Kind`] has a unique name and says whose data
//! it is, so that [`Store::export`] and [`Batch::erase_owner`] are complete by construction.
//!
//! **Invariant**: this crate knows no XEP, no stanza and no runtime. Its futures ([`Pending`]) work
//! in any executor, and [`Pending::wait`] serves code that has none.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod archive;
mod backend;
mod batch;
mod error;
mod export;
mod kind;
mod logs;
mod memory;
mod pending;
mod records;
mod sqlite;
mod store;

pub use archive::{ArchiveEntry, ArchiveFilter, ArchivePage, ArchiveQuery};
pub use batch::{Batch, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_OWNER_BYTES, MAX_VALUE_BYTES};
pub use error::StoreError;
pub use export::{Export, Exported};
pub use kind::{Kind, Owner};
pub use logs::{LogEntry, LogSize};
pub use pending::{Decided, Pending};
pub use store::{Stats, Store};
