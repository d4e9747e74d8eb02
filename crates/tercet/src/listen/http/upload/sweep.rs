//! What goes: files whose time is over, slots that nobody used, and everything of accounts that are removed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tercet_core::BareJid;
use tercet_modules::upload::ledger;
use tercet_modules::upload::{Entry, Id};
use tercet_store::StoreError;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::Uploads;

/// How often everything is looked through.
const EVERY: Duration = Duration::from_secs(600);

/// Why something could not be deleted.
#[derive(Debug, thiserror::Error)]
pub(in crate::listen) enum SweepError {
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("the folder of uploads: {0}")]
    Disk(#[from] io::Error),
}

impl Uploads {
    /// Deletes what has to go, until the server ends.
    pub(in crate::listen) async fn keep(self: Arc<Self>, mut stopped: watch::Receiver<()>) {
        let removals = self
            .removals
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .take();
        let Some(mut removals) = removals else {
            return;
        };
        // Accounts may have been removed while this program did not run, or in its last moment.
        let mut done = self.sweep(true).await;
        loop {
            if let Err(error) = &done {
                tracing::error!(%error, "old uploads are not deleted; it is tried again");
            }
            done = tokio::select! {
                _ = stopped.changed() => return,
                () = tokio::time::sleep(EVERY) => self.sweep(false).await,
                removed = removals.recv() => match removed {
                    Ok(account) => self.leave(&account).await,
                    Err(RecvError::Lagged(_)) => self.sweep(true).await,
                    Err(RecvError::Closed) => return,
                },
            };
        }
    }

    /// Looks through everything. `orphans`: files of accounts that are gone are looked for too, which takes a read each.
    pub(in crate::listen) async fn sweep(
        self: &Arc<Self>,
        orphans: bool,
    ) -> Result<(), SweepError> {
        let store = self.server.store();
        let mut after = None;
        loop {
            let page = ledger::page(store, after).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(*last);
            let now = self.server.now_ms();
            for (id, entry) in &page {
                let over = entry.expires_ms <= now;
                if over || (orphans && !ledger::is_owned(store, *id, &entry.owner).await?) {
                    self.remove(*id).await?;
                }
            }
        }
    }

    /// Deletes the files of a removed account.
    async fn leave(self: &Arc<Self>, account: &BareJid) -> Result<(), SweepError> {
        for id in self.folder.of(account).await? {
            // Somebody may have the name again.
            if !ledger::is_owned(self.server.store(), id, account).await? {
                self.remove(id).await?;
            }
        }
        self.folder.tidy(account).await;
        Ok(())
    }

    /// Deletes a file or slot that has to go, if that is still so once nobody else can change it.
    async fn remove(self: &Arc<Self>, id: Id) -> Result<(), SweepError> {
        // Whoever has it is storing it; the next time will do.
        let Some(_claim) = self.claim(id) else {
            return Ok(());
        };
        let store = self.server.store();
        let Some(entry) = ledger::entry(store, id).await? else {
            return Ok(());
        };
        if !self.must_go(id, &entry).await? {
            return Ok(());
        }
        // The file first: what is noted is found again.
        self.folder.delete(&entry.owner, id).await?;
        ledger::forget(&self.server, &[(id, entry)]).await?;
        Ok(())
    }

    async fn must_go(&self, id: Id, entry: &Entry) -> Result<bool, StoreError> {
        if entry.expires_ms <= self.server.now_ms() {
            return Ok(true);
        }
        Ok(!ledger::is_owned(self.server.store(), id, &entry.owner).await?)
    }
}
