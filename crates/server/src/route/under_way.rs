//! What is kept of stanzas that come from other servers and from components: the next one does not wait for the disk, what is said of
//! them to the peer does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tercet_store::{Decided, StoreError};
use tokio::sync::Notify;

use super::{Parcel, Routed};
use crate::server::{Server, store_failure};

/// Stanzas of one stream whose writes may be under way; and where the store is busy.
const MOST: usize = 1024;
const MOST_BUSY: usize = 64;

/// The stanzas of one stream whose writes are under way.
#[derive(Default)]
pub struct UnderWay {
    open: AtomicUsize,
    less: Notify,
}

impl UnderWay {
    /// Waits until all that has been kept so far is durable, or has failed.
    pub async fn settled(&self) {
        self.below(1).await;
    }

    /// What the stream's next stanza has to wait for, if too much is under way.
    pub(super) fn not_too_much(self: &Arc<Self>, store_is_busy: bool) -> Routed {
        let limit = if store_is_busy { MOST_BUSY } else { MOST };
        if self.open.load(Ordering::Acquire) < limit {
            return Routed::Done;
        }
        let under_way = self.clone();
        Routed::later(async move { under_way.below(limit).await })
    }

    async fn below(&self, limit: usize) {
        loop {
            let mut less = std::pin::pin!(self.less.notified());
            less.as_mut().enable();
            if self.open.load(Ordering::Acquire) < limit {
                return;
            }
            less.await;
        }
    }
}

/// A stanza whose writes are under way.
pub(super) struct Entry {
    server: Arc<Server>,
    parcel: Mutex<Option<Parcel>>,
    under_way: Arc<UnderWay>,
}

impl Entry {
    pub(super) fn new(
        server: &Arc<Server>,
        parcel: Parcel,
        under_way: &Arc<UnderWay>,
    ) -> Arc<Entry> {
        under_way.open.fetch_add(1, Ordering::AcqRel);
        Arc::new(Entry {
            server: server.clone(),
            parcel: Mutex::new(Some(parcel)),
            under_way: under_way.clone(),
        })
    }
}

impl Decided for Entry {
    fn decided(&self, answer: Result<(), StoreError>) {
        let Err(error) = answer else { return };
        let parcel = self
            .parcel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(parcel) = parcel else { return };
        let error = store_failure(&error);
        self.server.at(self.server.now_ms(), move |server| {
            server.bounce(parcel.passage(), &error);
            Routed::Done
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.under_way.open.fetch_sub(1, Ordering::AcqRel);
        self.under_way.less.notify_waiters();
    }
}
