//! Handing over what waits.

use std::sync::Arc;

use tercet_core::Stanza;
use tercet_server::{Account, Server, Session};
use tercet_store::{Batch, LogSize, StoreError};

use super::{OFFLINE, Waiting};
use crate::blocking::BlockList;
use crate::stable_id;

/// Messages read from the store at once.
const PAGE: usize = 16;
/// Bytes in an outbox that are waited for before more are put there.
const IN_FLIGHT: u64 = 64 << 10;

/// Puts everything that waits into the outbox of `session`, oldest first, and deletes what has been written. Ends early, with the
/// rest still in the store, when the session ends.
pub(super) async fn deliver(
    server: &Arc<Server>,
    session: &Arc<Session>,
    waiting: &Waiting,
) -> Result<(), StoreError> {
    let account = session.account();
    let owner = account.jid().as_str();
    let mut after = 0;
    loop {
        let entries = {
            // Who found nobody available has counted and queued its message under this lock.
            let state = account.lock();
            if state.removed {
                return Ok(());
            }
            waiting.size().entries
        };
        if entries == 0 {
            return Ok(());
        }
        // What is queued is read, too.
        server.store().flush().await?;
        let page = server
            .store()
            .read_log(&OFFLINE, owner, after, PAGE)
            .await?;
        if page.is_empty() {
            // What is still counted could not be written, and is about to be counted no more.
            return Ok(());
        }
        let mut handed = LogSize::default();
        for entry in page {
            handed.entries += 1;
            handed.bytes += entry.value.len() as u64;
            after = entry.id;
            // Who has been blocked since is heard no more (XEP-0191 §3.3).
            let message = Stanza::parse(&entry.value).ok();
            let skipped = message.as_ref().is_some_and(|message| {
                is_from_blocked(account, message)
                    // XEP-0386 §3.2: what the client reads in the archive is not handed to it as well.
                    || session.syncs() && stable_id::is_stamped(message, account.jid())
            });
            if skipped {
                continue;
            }
            if !session
                .outbox()
                .push(|out| out.extend_from_slice(&entry.value))
            {
                return Ok(());
            }
            if handed.bytes >= IN_FLIGHT
                && !settle(server, session, waiting, &mut handed, after).await?
            {
                return Ok(());
            }
        }
        if handed.entries > 0 && !settle(server, session, waiting, &mut handed, after).await? {
            return Ok(());
        }
    }
}

fn is_from_blocked(account: &Account, message: &Stanza) -> bool {
    let from = message.from().ok().flatten();
    let list = account.slot::<BlockList>();
    from.is_some_and(|from| list.is_some_and(|list| list.blocks(from)))
}

/// Waits until what was `handed` over has been written, then deletes it. False if it was not written.
async fn settle(
    server: &Arc<Server>,
    session: &Arc<Session>,
    waiting: &Waiting,
    handed: &mut LogSize,
    last: u64,
) -> Result<bool, StoreError> {
    if !session.outbox().watch().await {
        return Ok(false);
    }
    let account = session.account();
    let commit = {
        let state = account.lock();
        if state.removed {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.delete_log_until(&OFFLINE, account.jid().as_str(), last);
        server.store().commit(batch)
    };
    commit.await?;
    waiting.subtract(std::mem::take(handed));
    Ok(true)
}
