//! The lines of stanzas for other servers, behind a lock: whoever changes them has what is due done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tercet_core::StanzaError;
use tercet_server::Letter;
use tercet_stream::s2s::DomainPair;
use tokio::sync::Notify;

use crate::reach::Unreachable;
use crate::reach::queue::{Due, Item, QueueLimits, Queues};

/// What is to be done for a line, outside of the lock.
pub(super) enum Errand {
    /// Open a stream for this pair, and say how it went: [`Post::connected`] or [`Post::failed`].
    Connect(DomainPair),
    /// This goes back to its sender.
    Bounce(Box<Letter>, StanzaError),
}

/// All lines.
pub(super) struct Post {
    state: Mutex<State>,
    /// The next deadline has come nearer.
    sooner: Notify,
    errand: Box<dyn Fn(Errand) + Send + Sync>,
}

struct State {
    queues: Queues<Letter>,
    /// Who writes the stanzas of a pair.
    writers: HashMap<DomainPair, Arc<Notify>>,
}

impl Post {
    /// Empty lines. `errand` must not block, nor come back here.
    pub(super) fn new(
        limits: QueueLimits,
        errand: impl Fn(Errand) + Send + Sync + 'static,
    ) -> Self {
        Post {
            state: Mutex::new(State {
                queues: Queues::new(limits),
                writers: HashMap::new(),
            }),
            sooner: Notify::new(),
            errand: Box::new(errand),
        }
    }

    /// Puts a stanza into its line.
    pub(super) fn push(&self, letter: Letter) {
        let pair = DomainPair::new(letter.from.domain(), letter.to.domain());
        let bytes = letter.bytes.len();
        self.change(|state, now| state.queues.push(&pair, letter, bytes, now));
    }

    /// A stream takes the stanzas of `pair` from now on. What is returned says when there are some.
    pub(super) fn connected(&self, pair: &DomainPair) -> Arc<Notify> {
        let ready = Arc::new(Notify::new());
        self.change(|state, now| {
            state.writers.insert(pair.clone(), ready.clone());
            state.queues.connected(pair, now);
        });
        ready
    }

    /// The next stanzas of `pair`, of so many bytes, but at least one if there is any.
    pub(super) fn take(&self, pair: &DomainPair, most: usize) -> Vec<Item<Letter>> {
        self.change(|state, _| state.queues.take(pair, most))
    }

    /// What was [taken](Self::take) and not handled waits again, before everything else.
    pub(super) fn put_back(&self, pair: &DomainPair, items: Vec<Item<Letter>>) {
        self.change(|state, _| state.queues.put_back(pair, items));
    }

    /// No stream for `pair` came about.
    pub(super) fn failed(&self, pair: &DomainPair, reason: &Unreachable, random: u64) {
        self.change(|state, now| {
            state.writers.remove(pair);
            state.queues.failed(pair, reason, now, random);
        });
    }

    /// The stream of `pair` has ended.
    pub(super) fn lost(&self, pair: &DomainPair, random: u64) {
        self.change(|state, now| {
            state.writers.remove(pair);
            state.queues.lost(pair, now, random);
        });
    }

    /// What waits for a stream that is not there goes back with this reason, now and from now on.
    pub(super) fn close(&self, reason: &Unreachable) {
        self.change(|state, _| state.queues.close(reason));
    }

    /// Does what is due at its time, for ever.
    pub(super) async fn keep_time(&self) {
        loop {
            let deadline = self.lock().queues.deadline();
            let time = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = time => self.change(|state, now| state.queues.tick(now)),
                () = self.sooner.notified() => {}
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let before = state.queues.deadline();
        let result = change(&mut state, Instant::now());
        while let Some(due) = state.queues.poll() {
            match due {
                Due::Connect(pair) => (self.errand)(Errand::Connect(pair)),
                Due::Ready(pair) => {
                    if let Some(writer) = state.writers.get(&pair) {
                        writer.notify_one();
                    }
                }
                Due::Bounce(letter, error) => {
                    (self.errand)(Errand::Bounce(Box::new(letter), error));
                }
            }
        }
        let after = state.queues.deadline();
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}
