//! Answers that do not overtake each other.
//!
//! Two requests of a client wait on two connections. Answers that leave one right behind the other may come in any order,
//! and not every client puts them in the order of their numbers. So behind one with elements the next waits: until it is
//! known that the client has that one, or for a short time; not where both take the same way.

use std::time::{Duration, Instant};

use super::{Exchange, Held, Session, Way};

/// How far behind another answer the next one leaves, if nothing tells that the client has it.
const BEHIND: Duration = Duration::from_millis(50);
/// Time for an answer to leave; beyond that nobody waits for it.
const LEAVING: Duration = Duration::from_secs(1);
/// Bytes of an answer that is sent as one where a connection carries several (RFC 9113 §6.5.2: a frame).
const AS_ONE: usize = 16 * 1024;

/// An answer with elements.
#[derive(Debug)]
pub(super) struct Said {
    rid: u64,
    way: Way,
    bytes: usize,
    at: Instant,
    /// When all of it was with the system.
    left: Option<Instant>,
}

impl<X: Exchange> Session<X> {
    /// The last answer that had elements (see [`Answer::is_followed`](crate::bosh::Answer)) has left, or never will.
    pub fn left(&mut self, now: Instant) {
        if let Some(said) = &mut self.said {
            said.left.get_or_insert(now);
        }
    }

    /// Notes an answer with elements.
    pub(super) fn say(&mut self, rid: u64, way: Way, bytes: usize, now: Instant) {
        self.said = Some(Said {
            rid,
            way,
            bytes,
            at: now,
            left: None,
        });
    }

    /// The client has the answers up to this number.
    pub(super) fn heard(&mut self, rid: u64) {
        self.said.take_if(|said| said.rid <= rid);
    }

    /// Whether this was the last answer with elements.
    pub(super) fn is_said(&self, rid: u64) -> bool {
        self.said.as_ref().is_some_and(|said| said.rid == rid)
    }

    pub(super) fn forget_said(&mut self, now: Instant) {
        self.said.take_if(|said| said.until() <= now);
    }

    /// Until when the answer to a request could overtake the last one that had elements.
    pub(super) fn overtakes_until(&self, next: &Held<X>) -> Option<Instant> {
        let said = self.said.as_ref()?;
        let behind = match next.exchange.way() {
            Way::Unknown => false,
            way @ Way::InTurn(_) => said.way == way,
            way @ Way::Together(_) => said.way == way && said.bytes <= AS_ONE,
        };
        (!behind).then(|| said.until())
    }
}

impl Said {
    fn until(&self) -> Instant {
        match self.left {
            Some(left) => left + BEHIND,
            None => self.at + LEAVING,
        }
    }
}
