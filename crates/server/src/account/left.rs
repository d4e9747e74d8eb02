//! What a process that ended left behind: accounts that are marked to go with it.

use tercet_store::{Batch, Kind, Store, StoreError};

/// Accounts that are removed in one batch.
pub(super) const BATCH: usize = 256;

/// Removes all that is kept for accounts with this mark. For a start, before anybody can log in.
pub(crate) async fn remove_left(store: &Store, mark: &'static Kind) -> Result<(), StoreError> {
    loop {
        let left = store.owners(mark, None, BATCH).await?;
        if left.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for account in &left {
            batch.erase_owner(account);
        }
        store.commit(batch).await?;
    }
}
