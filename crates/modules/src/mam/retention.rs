//! Old messages go, where the configuration, an administrator or the user says so.

use std::sync::Arc;

use tercet_server::{Routed, Server};
use tercet_store::{Batch, Kind, Store, StoreError};

use super::ARCHIVE;
use super::keep::{self, ARCHIVE_KEEP, Keep};
use crate::muc::features::archive;

/// How often archives are looked through, in milliseconds.
const EVERY_MS: u64 = 3_600_000;
/// Entries that are deleted at once; owners that are read at once.
const SLICE: usize = 1_000;
const OWNERS: usize = 100;

/// From now on, once an hour, deletes what is older than its account keeps it ([`Kept::in_force`](super::Kept::in_force)), as the configuration says then.
pub fn keep_to_retention(server: &Arc<Server>) {
    let next = server.now_ms().saturating_add(EVERY_MS);
    server.at(next, |server| {
        keep_to_retention(server);
        let server = server.clone();
        Routed::later(async move {
            let done = async {
                forget_old(&server).await?;
                archive::forget_old(&server).await
            };
            if let Err(error) = done.await {
                tracing::error!(%error, "old messages could not be deleted; it is tried again in an hour");
            }
        })
    });
}

/// Deletes what is older than it is kept, a slice at a time.
pub(super) async fn forget_old(server: &Arc<Server>) -> Result<(), StoreError> {
    let store = server.store();
    let hosts = server.hosts();
    // Where every host keeps all, only accounts for which somebody has said otherwise can have something to delete.
    let kind = match hosts.iter().all(|h| h.info().archive.keep_ms.is_none()) {
        true => &ARCHIVE_KEEP,
        false => &ARCHIVE,
    };
    let mut after: Option<String> = None;
    loop {
        let owners = store.owners(kind, after.as_deref(), OWNERS).await?;
        for owner in &owners {
            let kept = keep::of_owner(server, owner).await?;
            if let Some(Keep::Seconds(keep)) = kept.map(|kept| kept.in_force()) {
                let until = server.now_ms().saturating_sub(keep.saturating_mul(1000));
                forget(store, &ARCHIVE, owner, Store::archive_id_from(until)).await?;
            }
        }
        if owners.len() < OWNERS {
            return Ok(());
        }
        after = owners.into_iter().next_back();
    }
}

/// Deletes what has smaller ids than `first`.
pub(crate) async fn forget(
    store: &Store,
    kind: &'static Kind,
    owner: &str,
    first: u64,
) -> Result<(), StoreError> {
    while let Some((oldest, _)) = store.archive_ends(kind, owner).await?
        && oldest < first
    {
        let mut batch = Batch::new();
        batch.delete_archived_until(kind, owner, first.saturating_sub(1), SLICE);
        store.commit(batch).await?;
    }
    Ok(())
}
