//! One account's block list, in memory.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tercet_core::{BareJid, Jid};
use tercet_server::Session;
use tercet_server::module::{Slot, SlotFuture};
use tercet_store::Store;

use super::BLOCKED;

/// Whom a user has blocked, and which sessions want to hear of changes.
pub struct BlockList {
    /// Spares the lock to those who block nobody.
    empty: AtomicBool,
    inner: Mutex<Inner>,
    pushes: AtomicU64,
}

/// What is behind the lock of a [`BlockList`].
#[derive(Default)]
pub(super) struct Inner {
    pub(super) jids: BTreeSet<Box<str>>,
    pub(super) asked: Vec<Weak<Session>>,
}

impl Slot for BlockList {
    fn load(store: &Store, account: &BareJid) -> SlotFuture<Self> {
        let records = store.list(&BLOCKED, account.as_str());
        Box::pin(async move {
            let jids = records.await?.into_iter().map(|(jid, _)| jid.into());
            Ok(BlockList::new(jids.collect()))
        })
    }
}

impl BlockList {
    fn new(jids: BTreeSet<Box<str>>) -> Self {
        BlockList {
            empty: AtomicBool::new(jids.is_empty()),
            inner: Mutex::new(Inner {
                jids,
                asked: Vec::new(),
            }),
            pushes: AtomicU64::new(0),
        }
    }

    /// Whether nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.empty.load(Ordering::Acquire)
    }

    /// Whether `peer` is blocked (XEP-0191 §5).
    pub fn blocks(&self, peer: &Jid) -> bool {
        !self.is_empty() && matches(&self.lock().jids, peer)
    }

    /// Looks at the list or changes it.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let result = work(&mut inner);
        self.empty.store(inner.jids.is_empty(), Ordering::Release);
        result
    }

    /// The sessions that have asked for the list, and a number for what they are told.
    pub(super) fn interested(&self) -> (Vec<Arc<Session>>, u64) {
        let mut inner = self.lock();
        inner.asked.retain(|s| s.strong_count() > 0);
        let sessions = inner.asked.iter().filter_map(Weak::upgrade);
        let number = self.pushes.fetch_add(1, Ordering::Relaxed);
        (sessions.collect(), number)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// XEP-0191 §5: the resource, the bare JID, the resource of the domain, the domain.
fn matches(jids: &BTreeSet<Box<str>>, peer: &Jid) -> bool {
    jids.contains(peer.as_str())
        || jids.contains(peer.bare_str())
        || peer
            .resource()
            .is_some_and(|resource| jids.contains(format!("{}/{resource}", peer.domain()).as_str()))
        || jids.contains(peer.domain())
}

/// Whether blocking `item` concerns `peer`.
pub(super) fn covers(item: &Jid, peer: &Jid) -> bool {
    matches(&BTreeSet::from([item.as_str().into()]), peer)
}

#[cfg(test)]
mod tests {
    use super::covers;
    use tercet_core::Jid;

    #[test]
    fn jids_match_in_the_order_of_section_5() {
        let check = |item: &str, peer: &str, covered: bool| {
            let (item, peer) = (Jid::parse(item).unwrap(), Jid::parse(peer).unwrap());
            assert_eq!(covers(&item, &peer), covered, "{item} and {peer}");
        };
        check("a@b/c", "a@b/c", true);
        check("a@b/c", "a@b/d", false);
        check("a@b/c", "a@b", false);
        check("a@b", "a@b/c", true);
        check("a@b", "a@b", true);
        check("a@b", "d@b", false);
        check("b/c", "b/c", true);
        check("b/c", "a@b/c", true);
        check("b/c", "b", false);
        check("b", "b", true);
        check("b", "b/c", true);
        check("b", "a@b/c", true);
        check("b", "a@sub.b", false);
    }
}
