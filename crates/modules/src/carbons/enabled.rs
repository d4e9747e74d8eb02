//! The devices of one account that get copies, and which messages an error may answer.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tercet_core::{BareJid, Jid, Stanza};
use tercet_server::Session;
use tercet_server::module::{Side, Slot, SlotFuture};
use tercet_store::Store;

/// Messages of one account that are remembered for the errors that may answer them.
const REMEMBERED: usize = 64;

/// Who gets copies.
#[derive(Default)]
pub(super) struct Devices {
    /// Spares the lock to accounts of which no device has ever asked.
    any: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    enabled: Vec<Weak<Session>>,
    /// The last messages that were eligible, oldest first: see [`mark`].
    answerable: VecDeque<u64>,
}

impl Slot for Devices {
    fn load(_: &Store, _: &BareJid) -> SlotFuture<Self> {
        // XEP-0280 §4: for the session; nothing is kept.
        Box::pin(std::future::ready(Ok(Devices::default())))
    }
}

impl Devices {
    /// `session` gets copies from now on.
    pub(super) fn enable(&self, session: &Arc<Session>) {
        let mut inner = self.lock();
        inner.forget(session);
        inner.enabled.push(Arc::downgrade(session));
        self.any.store(true, Ordering::Release);
    }

    /// `session` gets no more copies.
    pub(super) fn disable(&self, session: &Session) {
        self.lock().forget(session);
    }

    /// The enabled sessions among which `wanted` picks.
    pub(super) fn among(&self, wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let inner = self.lock();
        let live = inner.enabled.iter().filter_map(Weak::upgrade);
        live.filter(|session| wanted(session)).collect()
    }

    /// Notes that `message` was eligible: the user has sent it to `peer` or received it from there, as `side` says.
    pub(super) fn note(&self, side: Side, message: &Stanza, peer: &Jid) {
        let Some(mark) = mark(side, message, peer) else {
            return;
        };
        let mut inner = self.lock();
        if inner.answerable.len() == REMEMBERED {
            inner.answerable.pop_front();
        }
        inner.answerable.push_back(mark);
    }

    /// Whether `error`, which the user sends to `peer` or receives from there, answers a message that was noted.
    pub(super) fn is_answer(&self, side: Side, error: &Stanza, peer: &Jid) -> bool {
        let asked = match side {
            Side::Sender => Side::Recipient,
            Side::Recipient => Side::Sender,
        };
        mark(asked, error, peer).is_some_and(|mark| self.lock().answerable.contains(&mark))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Drops `session`, and those that are no more.
    fn forget(&mut self, session: &Session) {
        self.enabled
            .retain(|s| s.strong_count() > 0 && !std::ptr::eq(s.as_ptr(), session));
    }
}

/// A short name for a message with an id: a hash of its direction, the peer's bare JID and the id, which an error repeats (RFC
/// 6120 §8.3.1). The worst that two messages of one name do is a copy too many.
fn mark(side: Side, message: &Stanza, peer: &Jid) -> Option<u64> {
    let id = message.id()?;
    let mut hasher = DefaultHasher::new();
    (side == Side::Sender, peer.bare_str(), &*id).hash(&mut hasher);
    Some(hasher.finish())
}
