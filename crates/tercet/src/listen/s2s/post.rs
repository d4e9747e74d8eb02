//! The lines of stanzas for other servers, behind a lock: whoever changes them has what is due done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tercet_core::{BareJid, StanzaError};
use tercet_server::Letter;
use tercet_stream::s2s::DomainPair;
use tokio::sync::Notify;

use super::desk::Desk;
use super::words;
use crate::reach::Unreachable;
use crate::reach::queue::{Due, Item, QueueLimits, Queues};

/// The time in which searches are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// Senders whose searches are counted before those of long ago are forgotten.
const REMEMBERED: usize = 1024;

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
    writers: HashMap<DomainPair, Arc<Desk>>,
    searches: Searches,
}

/// How many servers each sender has had looked for within a minute.
struct Searches {
    most: u32,
    senders: HashMap<BareJid, (Instant, u32)>,
}

impl Searches {
    /// Whether another one may be looked for.
    fn may(&mut self, sender: &BareJid, now: Instant) -> bool {
        if self.senders.len() >= REMEMBERED {
            self.senders.retain(|_, (since, _)| *since + MINUTE > now);
        }
        let (since, count) = self.senders.entry(sender.clone()).or_insert((now, 0));
        if *since + MINUTE <= now {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= self.most
    }
}

impl Post {
    /// Empty lines. A sender may have so many servers looked for in a minute. `errand` must not block, nor come back here.
    pub(super) fn new(
        limits: QueueLimits,
        searches_a_minute: u32,
        errand: impl Fn(Errand) + Send + Sync + 'static,
    ) -> Self {
        Post {
            state: Mutex::new(State {
                queues: Queues::new(limits),
                writers: HashMap::new(),
                searches: Searches {
                    most: searches_a_minute,
                    senders: HashMap::new(),
                },
            }),
            sooner: Notify::new(),
            errand: Box::new(errand),
        }
    }

    /// Puts a stanza into its line.
    pub(super) fn push(&self, letter: Letter) {
        let pair = DomainPair::new(letter.from.domain(), letter.to.domain());
        let bytes = letter.bytes.len();
        let refused = self.change(|state, now| {
            // What the server sends on its own, such as presence, is for those who have been asked before.
            let new = letter.may_bounce() && !state.queues.knows(&pair);
            if new && !state.searches.may(&letter.from.to_bare(), now) {
                return Some(letter);
            }
            state.queues.push(&pair, letter, bytes, now);
            None
        });
        if let Some(letter) = refused {
            let error = words::too_many(&pair.remote);
            (self.errand)(Errand::Bounce(Box::new(letter), error));
        }
    }

    /// Whether what waits for `pair` is far below its bound.
    pub(super) fn has_room(&self, pair: &DomainPair) -> bool {
        self.lock().queues.has_room(pair)
    }

    /// The stream of this desk takes the stanzas of `pair` from now on, and is told there when there are some. False if
    /// another one does.
    pub(super) fn connected(&self, pair: &DomainPair, desk: &Arc<Desk>) -> bool {
        self.change(|state, now| {
            if let Some(writer) = state.writers.get(pair)
                && !Arc::ptr_eq(writer, desk)
            {
                return false;
            }
            state.writers.insert(pair.clone(), desk.clone());
            state.queues.connected(pair, now);
            true
        })
    }

    /// The same for a pair that another stream has left to this one.
    pub(super) fn taken_over(&self, pair: &DomainPair, desk: &Arc<Desk>) {
        self.change(|state, now| {
            state.writers.insert(pair.clone(), desk.clone());
            state.queues.connected(pair, now);
        });
    }

    /// The next stanzas of `pair`, of so many bytes, but at least one if there is any.
    pub(super) fn take(&self, pair: &DomainPair, most: usize) -> Vec<Item<Letter>> {
        self.change(|state, _| state.queues.take(pair, most))
    }

    /// What was [taken](Self::take) and not handled waits again, before everything else.
    pub(super) fn put_back(&self, letters: Vec<(DomainPair, Item<Letter>)>) {
        let mut lines: HashMap<DomainPair, Vec<Item<Letter>>> = HashMap::new();
        for (pair, item) in letters {
            lines.entry(pair).or_default().push(item);
        }
        self.change(|state, _| {
            for (pair, items) in lines {
                state.queues.put_back(&pair, items);
            }
        });
    }

    /// No stream for `pair` came about. Nothing changes if one of the peer's takes its stanzas meanwhile.
    pub(super) fn failed(&self, pair: &DomainPair, reason: &Unreachable, random: u64) {
        self.change(|state, now| {
            if !state.writers.contains_key(pair) {
                state.queues.failed(pair, reason, now, random);
            }
        });
    }

    /// The stream of this desk does not take the stanzas of `pair` any more; another one is being opened.
    pub(super) fn left(&self, pair: &DomainPair, desk: &Arc<Desk>) {
        self.change(|state, _| {
            let writer = state.writers.get(pair);
            if writer.is_some_and(|writer| Arc::ptr_eq(writer, desk)) {
                state.writers.remove(pair);
            }
        });
    }

    /// The stream of `pair` that this desk belongs to has ended.
    pub(super) fn lost(&self, pair: &DomainPair, desk: &Arc<Desk>, random: u64) {
        self.change(|state, now| {
            if state
                .writers
                .get(pair)
                .is_some_and(|writer| Arc::ptr_eq(writer, desk))
            {
                state.writers.remove(pair);
                state.queues.lost(pair, now, random);
            }
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
                        writer.ready.notify_one();
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
