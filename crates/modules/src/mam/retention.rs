//! Old messages go, where the configuration says so.

use std::sync::Arc;

use tercet_core::BareJid;
use tercet_server::{Routed, Server};
use tercet_store::{Batch, Store, StoreError};

use super::ARCHIVE;

/// How often archives are looked through, in milliseconds.
const EVERY_MS: u64 = 3_600_000;
/// Entries that are deleted at once; owners that are read at once.
const SLICE: usize = 1_000;
const OWNERS: usize = 100;

/// From now on, once an hour, deletes what is older than its host keeps it (`archive.keep`), as the configuration says then.
pub fn keep_to_retention(server: &Arc<Server>) {
    let next = server.now_ms().saturating_add(EVERY_MS);
    server.at(next, |server| {
        keep_to_retention(server);
        let server = server.clone();
        Routed::later(async move {
            if let Err(error) = forget_old(&server).await {
                tracing::error!(%error, "old messages could not be deleted; it is tried again in an hour");
            }
        })
    });
}

/// Deletes what is older than its host keeps it, a slice at a time.
pub(super) async fn forget_old(server: &Arc<Server>) -> Result<(), StoreError> {
    if server
        .hosts()
        .iter()
        .all(|h| h.info().archive.keep_ms.is_none())
    {
        return Ok(());
    }
    let store = server.store();
    let mut after: Option<String> = None;
    loop {
        let owners = store.owners(&ARCHIVE, after.as_deref(), OWNERS).await?;
        for owner in &owners {
            if let Some(keep_ms) = keeps(server, owner) {
                let until = server.now_ms().saturating_sub(keep_ms);
                forget(store, owner, Store::archive_id_from(until)).await?;
            }
        }
        if owners.len() < OWNERS {
            return Ok(());
        }
        after = owners.into_iter().next_back();
    }
}

/// How long the host of `owner` keeps messages.
fn keeps(server: &Server, owner: &str) -> Option<u64> {
    let owner = BareJid::parse(owner).ok()?;
    server.host(owner.domain())?.info().archive.keep_ms
}

/// Deletes what has smaller ids than `first`.
async fn forget(store: &Store, owner: &str, first: u64) -> Result<(), StoreError> {
    while let Some((oldest, _)) = store.archive_ends(&ARCHIVE, owner).await?
        && oldest < first
    {
        let mut batch = Batch::new();
        batch.delete_archived_until(&ARCHIVE, owner, first.saturating_sub(1), SLICE);
        store.commit(batch).await?;
    }
    Ok(())
}
