//! A session whose client acknowledges stanzas, and may come back when its connection is lost (XEP-0198).
//!
//! ```text
//!             connection lost               resumed
//!  Attached ────────────────> Hibernating ───────────> Attached (to another connection)
//!     │ ^                         │
//!     │ └── resumed: the one      │ time is up, too much waits, the account needs the place
//!     │     before lets go        v
//!     └───────────────────────> Ended: what was not acknowledged goes to others
//! ```

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Session;

/// The name under which a session is resumed: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(u128);

/// What a session has once its client acknowledges.
pub(crate) struct Management {
    id: Id,
    /// For how long it may hibernate, in milliseconds; 0 if its client cannot come back.
    resume_ms: u64,
    /// How many stanzas of the client had come before it asked for acknowledgements.
    before: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Link,
    /// How many connections it has had.
    turn: u32,
}

enum Link {
    /// It has a connection; the wakers are of those who want it.
    Attached(Vec<Waker>),
    /// It waits until then, in milliseconds since 1970.
    Hibernating(u64),
    Ended,
}

impl Default for Link {
    fn default() -> Self {
        Link::Attached(Vec::new())
    }
}

impl Id {
    pub(crate) fn new(random: [u8; 16]) -> Id {
        Id(u128::from_be_bytes(random))
    }

    /// Reads what [`to_string`](Self::to_string) wrote; of any other text there is no session.
    pub(crate) fn parse(text: &str) -> Option<Id> {
        let id = u128::from_str_radix(text, 16).ok().map(Id)?;
        (id.to_string() == text).then_some(id)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Management {
    /// `before` stanzas of the client do not count.
    pub(crate) fn new(id: Id, resume_ms: u64, before: u64) -> Management {
        Management {
            id,
            resume_ms,
            before,
            state: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// For how long it may hibernate, in milliseconds; 0 for not at all.
    pub(crate) fn resume_ms(&self) -> u64 {
        self.resume_ms
    }

    /// What the client is told when so many of all its stanzas are handled.
    fn count(&self, handled: u64) -> u32 {
        // XEP-0198 §4: modulo 2^32.
        handled.saturating_sub(self.before) as u32
    }

    /// Until when it hibernates, if it does.
    pub(crate) fn hibernates_until(&self) -> Option<u64> {
        match self.state().link {
            Link::Hibernating(until_ms) => Some(until_ms),
            Link::Attached(_) | Link::Ended => None,
        }
    }

    /// Its connection is gone. False if it has ended.
    pub(crate) fn hibernate(&self, until_ms: u64) -> bool {
        let mut state = self.state();
        let Link::Attached(heirs) = &mut state.link else {
            return false;
        };
        let heirs = std::mem::take(heirs);
        state.link = Link::Hibernating(until_ms);
        drop(state);
        heirs.into_iter().for_each(Waker::wake);
        true
    }

    /// Ends it, whatever it does.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        let link = std::mem::replace(&mut state.link, Link::Ended);
        drop(state);
        if let Link::Attached(heirs) = link {
            heirs.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes it for another connection. `turn` is `None` at first; `release` tells the one that has it to let go. Ready with
    /// false if it has ended, or somebody else took it.
    pub(crate) fn poll_attach(
        &self,
        cx: &Context<'_>,
        turn: &mut Option<u32>,
        release: impl FnOnce(),
    ) -> Poll<bool> {
        let mut state = self.state();
        let State { link, turn: at } = &mut *state;
        match link {
            Link::Ended => Poll::Ready(false),
            Link::Hibernating(_) if turn.is_none_or(|turn| turn == *at) => {
                *at = at.wrapping_add(1);
                *link = Link::default();
                Poll::Ready(true)
            }
            Link::Attached(heirs) if turn.is_none_or(|turn| turn == *at) => {
                heirs.push(cx.waker().clone());
                let first = turn.replace(*at).is_none();
                drop(state);
                if first {
                    release();
                }
                Poll::Pending
            }
            Link::Attached(_) | Link::Hibernating(_) => Poll::Ready(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Management {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Who knows the id can go on with the session.
        f.debug_struct("Management").finish_non_exhaustive()
    }
}

impl Session {
    /// Whether its connection is lost and its client may come back.
    pub fn is_hibernating(&self) -> bool {
        self.management()
            .is_some_and(|management| management.hibernates_until().is_some())
    }

    /// Whether its client can come back when its connection is lost.
    pub fn is_resumable(&self) -> bool {
        self.management()
            .is_some_and(|management| management.resume_ms > 0)
    }

    /// How many stanzas of its client have come, as it counts them.
    pub(crate) fn count_begun(&self) -> u32 {
        self.management()
            .map_or(0, |management| management.count(self.begun()))
    }

    /// How many stanzas its client may be told that are handled, as it counts them: those that are
    /// [settled](Self::settled).
    pub fn count_settled(&self) -> u32 {
        self.management()
            .map_or(0, |management| management.count(self.settled()))
    }

    /// Waits until all that have come are settled, and says how many that are, as its client counts them.
    pub(crate) async fn all_settled(&self) -> u32 {
        poll_fn(|cx| self.poll_all_settled(cx)).await;
        self.count_settled()
    }
}

/// The sessions that hibernate, of all accounts.
#[derive(Default)]
pub(crate) struct Hibernating(Mutex<HashMap<Id, (u64, Arc<Session>)>>);

impl Hibernating {
    pub(crate) fn enter(&self, id: Id, until_ms: u64, session: Arc<Session>) {
        self.lock().insert(id, (until_ms, session));
    }

    pub(crate) fn leave(&self, id: Id) {
        self.lock().remove(&id);
    }

    /// Takes out those that are over: their time is up, or their outbox has been ended.
    pub(crate) fn over(&self, now_ms: u64) -> Vec<Arc<Session>> {
        self.lock()
            .extract_if(|_, (until_ms, session)| *until_ms <= now_ms || !session.outbox().is_open())
            .map(|(_, (_, session))| session)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, (u64, Arc<Session>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_only_as_they_are_written() {
        let id = Id::new([0xab; 16]);
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        for other in [
            "",
            "+bababababababababababababababab",
            "ABABABABABABABABABABABABABABABAB",
            "ab",
        ] {
            assert_eq!(Id::parse(other), None, "{other}");
        }
    }

    #[test]
    fn of_two_who_want_a_session_one_gets_it() {
        let management = Management::new(Id::new([0; 16]), 1000, 0);
        let cx = Context::from_waker(Waker::noop());
        let (mut one, mut other) = (None, None);
        let mut released = 0;
        assert!(
            management
                .poll_attach(&cx, &mut one, || released += 1)
                .is_pending()
        );
        assert!(
            management
                .poll_attach(&cx, &mut other, || released += 1)
                .is_pending()
        );
        assert_eq!(released, 2);
        assert!(management.hibernate(5));
        assert_eq!(
            management.poll_attach(&cx, &mut other, || ()),
            Poll::Ready(true)
        );
        assert_eq!(
            management.poll_attach(&cx, &mut one, || ()),
            Poll::Ready(false)
        );
    }
}
