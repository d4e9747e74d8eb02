//! Which stanzas of a session are settled: delivered, and everything durable that was to be written for them.
//!
//! Deliveries do not wait for the disk, acknowledgements do (design, promise 2). The stanzas of a session are numbered as they
//! come; those with writes under way stand in a list until the store has answered. Nobody polls for that: the store's thread
//! notes it, and wakes the session's connection only if it waits for it, once for many.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tercet_core::{Jid, Stanza, error_reply};
use tercet_store::{Decided, StoreError};

use crate::route::Routed;
use crate::server::store_failure;
use crate::session::Session;

/// Stanzas of one session with writes under way, beyond which the session's next stanza waits: a flood by one user must not
/// fill the store's queue for all.
const UNDER_WAY: usize = 256;
/// The same where the store has much to write for all.
const UNDER_WAY_BUSY: usize = 8;

/// The state of one session.
#[derive(Debug, Default)]
pub(crate) struct Settlement(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many stanzas have come.
    begun: u64,
    /// The numbers of those that are not settled, ascending; a number may stand there twice. True: its part is done, but one
    /// before it is not.
    open: VecDeque<(u64, bool)>,
    waker: Option<Waker>,
}

impl Inner {
    fn settled(&self) -> u64 {
        self.open
            .front()
            .map_or(self.begun, |(number, _)| number - 1)
    }
}

impl Settlement {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stanza has come. Returns its number, from 1 on.
    pub(crate) fn begin(&self) -> u64 {
        let mut inner = self.lock();
        inner.begun += 1;
        inner.begun
    }

    /// Ready with how many are settled once `enough` says so of that number, and of how many have come.
    fn poll(&self, cx: &Context<'_>, enough: impl FnOnce(u64, u64) -> bool) -> Poll<u64> {
        // One lock for question and wait: what settles in between would wake nobody.
        let mut inner = self.lock();
        let settled = inner.settled();
        if enough(settled, inner.begun) {
            return Poll::Ready(settled);
        }
        inner.wait(cx);
        Poll::Pending
    }

    /// Something is under way for that stanza, the last that has begun.
    pub(crate) fn open(&self, number: u64) {
        self.lock().open.push_back((number, false));
    }

    /// It is done.
    pub(crate) fn close(&self, number: u64) {
        let mut inner = self.lock();
        let mut entries = inner.open.iter_mut();
        if let Some(entry) = entries.find(|(n, done)| *n == number && !done) {
            entry.1 = true;
        }
        let before = inner.open.len();
        while inner.open.front().is_some_and(|(_, done)| *done) {
            inner.open.pop_front();
        }
        if inner.open.is_empty() {
            // An idle session holds no buffer.
            inner.open = VecDeque::new();
        }
        let waker = (inner.open.len() < before).then(|| inner.waker.take());
        drop(inner);
        if let Some(waker) = waker.flatten() {
            waker.wake();
        }
    }
}

impl Session {
    /// How many of the stanzas given to [`Server::accept`](crate::Server::accept) are settled, all before them included: routed,
    /// with all that was to be kept durable. Only these may be acknowledged.
    pub fn settled(&self) -> u64 {
        self.settlement().lock().settled()
    }

    /// How many stanzas have been given to [`Server::accept`](crate::Server::accept).
    pub fn begun(&self) -> u64 {
        self.settlement().lock().begun
    }

    /// Counts a stanza that was answered on the way here.
    pub fn answered(&self) {
        self.settlement().begin();
    }

    /// Ready with [`Session::settled`] once it is more than `seen`. Only one task may wait.
    pub fn poll_settled(&self, cx: &mut Context<'_>, seen: u64) -> Poll<u64> {
        self.settlement().poll(cx, |settled, _| settled > seen)
    }

    /// Ready with how many have come, once all of them are settled. Only one task may wait.
    pub(crate) fn poll_all_settled(&self, cx: &mut Context<'_>) -> Poll<u64> {
        self.settlement()
            .poll(cx, |settled, begun| settled == begun)
    }

    /// The session's last stanza is settled when all commits that tell what this returns are decided, and nobody else has it any
    /// more; if one fails, its client gets the error as from the addressee.
    pub(crate) fn settle_later(self: &Arc<Self>, stanza: &Stanza) -> Arc<Kept> {
        let number = {
            let mut inner = self.settlement().lock();
            let number = inner.begun;
            inner.open.push_back((number, false));
            number
        };
        Arc::new(Kept {
            session: self.clone(),
            stanza: stanza.clone(),
            number,
            failed: AtomicBool::new(false),
        })
    }

    /// What the session's next stanza has to wait for, if too much is under way.
    pub(crate) fn not_too_much(self: &Arc<Self>, store_is_busy: bool) -> Routed {
        let limit = if store_is_busy {
            UNDER_WAY_BUSY
        } else {
            UNDER_WAY
        };
        if self.settlement().lock().open.len() < limit {
            return Routed::Done;
        }
        let session = self.clone();
        Routed::later(async move {
            poll_fn(|cx| {
                let mut inner = session.settlement().lock();
                if inner.open.len() < limit {
                    return Poll::Ready(());
                }
                inner.wait(cx);
                Poll::Pending
            })
            .await;
        })
    }
}

impl Inner {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

/// A stanza whose writes are under way, one for all of them; no task has to wait for the store. Its end is the stanza's settlement.
pub(crate) struct Kept {
    session: Arc<Session>,
    stanza: Stanza,
    number: u64,
    failed: AtomicBool,
}

impl Decided for Kept {
    fn decided(&self, answer: Result<(), StoreError>) {
        let Err(error) = answer else {
            return;
        };
        if self.failed.swap(true, Ordering::Relaxed) || !self.stanza.may_bounce() {
            return;
        }
        let error = store_failure(&error);
        let addressee = self.stanza.to().ok().flatten();
        let own = self.session.account().jid();
        let from = addressee.map_or_else(|| own.as_str(), Jid::as_str);
        let to = self.session.jid().as_str();
        self.session.outbox().push(|out| {
            error_reply(&self.stanza, &error, Some(from), Some(to), out);
        });
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.session.settlement().close(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;
    use std::task::Wake;

    use super::*;

    #[test]
    fn stanzas_settle_in_their_order() {
        let settlement = Settlement::default();
        let settled = || settlement.lock().settled();
        let (one, two) = (settlement.begin(), settlement.begin());
        settlement.open(two);
        assert_eq!(settled(), one);
        let three = settlement.begin();
        settlement.open(three);
        settlement.open(three);
        settlement.close(three);
        assert_eq!(settled(), one);
        settlement.close(two);
        assert_eq!(settled(), two);
        settlement.close(three);
        assert_eq!(settled(), three);
        let four = settlement.begin();
        assert_eq!(settled(), four);
    }

    #[test]
    fn who_waits_for_all_is_woken_by_each_that_settles_and_ready_with_the_last() {
        let settlement = Settlement::default();
        let (flag, waker) = flagged();
        let cx = Context::from_waker(&waker);
        let all = || settlement.poll(&cx, |settled, begun| settled == begun);
        assert_eq!(all(), Poll::Ready(0));
        let numbers = [settlement.begin(), settlement.begin()];
        for number in numbers {
            settlement.open(number);
        }
        for number in numbers {
            assert!(all().is_pending());
            settlement.close(number);
            assert!(flag.0.swap(false, Relaxed));
        }
        assert_eq!(all(), Poll::Ready(2));
    }

    fn flagged() -> (Arc<Flag>, Waker) {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        (flag.clone(), Waker::from(flag))
    }

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }
}
