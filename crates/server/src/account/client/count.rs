//! How many times tokens were used, before that is durable.
//!
//! The count only tells a login that is heard again (XEP-0484 §3.4) from the next one. Nobody waits for it to be on the disk: it is
//! known here at once, and written for all clients together. What a crash loses of it is the last moment; the end of the server
//! loses nothing.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_store::Batch;

use super::{CLIENT, ClientRecord};
use crate::route::Routed;
use crate::server::Server;

/// For how long counts are gathered, in milliseconds.
const GATHERED_MS: u64 = 1000;
/// Clients whose counts may wait. Others are written at once.
const MOST: usize = 20_000;

/// An account, and the name of one of its clients.
type Which = (Box<str>, Box<str>);

/// How many times a token was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// When the token was given: another one begins anew.
    pub(super) issued_ms: u64,
    /// So many times.
    pub(super) count: u32,
}

/// The counts that are not durable.
#[derive(Default)]
struct Counts(Mutex<HashMap<Which, Count>>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Which, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counts(server: &Server) -> Arc<Counts> {
    server.kept("", Counts::default)
}

impl Server {
    /// The record of a client, with what is not durable of it. The caller holds the account's clients.
    pub(super) fn up_to_date(
        &self,
        account: &str,
        name: &str,
        bytes: &[u8],
    ) -> Option<ClientRecord> {
        let mut client = ClientRecord::from_bytes(bytes)?;
        let waiting = counts(self);
        let waiting = waiting.lock();
        if let Some(count) = waiting.get(&(account.into(), name.into())) {
            client.tokens.catch_up(*count);
        }
        Some(client)
    }

    /// Notes a count, to be written soon; false: too many wait, and it is to be written by the caller.
    pub(super) fn note_count(&self, account: &str, name: &str, count: Count) -> bool {
        let counts = counts(self);
        let mut waiting = counts.lock();
        if waiting.len() >= MOST {
            return false;
        }
        let first = waiting.is_empty();
        waiting.insert((account.into(), name.into()), count);
        drop(waiting);
        !first || self.keep_counts_soon()
    }

    fn keep_counts_soon(&self) -> bool {
        let at = self.now_ms().saturating_add(GATHERED_MS);
        self.at(at, |server| Routed::Later(keep(server.clone())))
    }

    /// Makes durable how many times tokens were used. The server's end waits for it.
    pub async fn keep_counts(&self) {
        let counts = counts(self);
        let waiting: Vec<(Which, Count)> = {
            let waiting = counts.lock();
            waiting
                .iter()
                .map(|(which, count)| (which.clone(), *count))
                .collect()
        };
        let mut commits = Vec::new();
        for ((account, name), count) in &waiting {
            // Whoever changes the record does it before or behind this.
            let _alone = self.accounts().alone(account).await;
            let kept = match self.store().get(&CLIENT, account, name).await {
                Ok(kept) => kept,
                Err(error) => {
                    tracing::error!(%error, "the count of a token was lost");
                    continue;
                }
            };
            let Some(mut client) = kept.as_deref().and_then(ClientRecord::from_bytes) else {
                continue;
            };
            if client.tokens.catch_up(*count) {
                let mut batch = Batch::new();
                batch.put(&CLIENT, account, name, client.to_bytes());
                commits.push(self.store().commit(batch));
            }
        }
        for commit in commits {
            if let Err(error) = commit.await {
                tracing::error!(%error, "the count of a token was lost");
            }
        }
        let mut now = counts.lock();
        for (which, count) in &waiting {
            if now.get(which) == Some(count) {
                now.remove(which);
            }
        }
        let more = !now.is_empty();
        drop(now);
        if more {
            self.keep_counts_soon();
        }
    }
}

/// [`Server::keep_counts`], which ends by asking for itself once more.
fn keep(server: Arc<Server>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move { server.keep_counts().await })
}
