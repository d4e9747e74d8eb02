//! All sessions, by their names; how many there may be.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tercet_stream::bosh::{Condition, Request};
use tokio::sync::mpsc;

use super::pipe::Reply;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoshLimits {
    /// In all.
    pub sessions: usize,
    /// Of one address (for IPv6: one /64).
    pub per_address: usize,
}

impl Default for BoshLimits {
    fn default() -> Self {
        BoshLimits {
            sessions: 8192,
            per_address: 128,
        }
    }
}

/// The sessions that are open.
pub(super) struct Table {
    limits: BoshLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<Box<str>, Entry>,
    addresses: HashMap<IpAddr, usize>,
}

/// One session, as requests find it.
#[derive(Clone)]
pub(super) struct Entry {
    mailbox: mpsc::Sender<(Request, Reply)>,
    facts: Arc<Facts>,
    private: bool,
}

/// What requests have to know of a session, said by its task.
pub(super) struct Facts {
    /// Bytes of a stanza.
    pub(super) limit: AtomicUsize,
    /// The client has logged in.
    pub(super) bound: AtomicBool,
}

/// One session's place, given back when dropped.
pub(super) struct Place {
    table: Arc<Table>,
    sid: Box<str>,
    address: IpAddr,
    pub(super) facts: Arc<Facts>,
}

impl Table {
    pub(super) fn new(limits: BoshLimits) -> Arc<Table> {
        Arc::new(Table {
            limits,
            state: Mutex::default(),
        })
    }

    /// The session of a client that says its name; one that was private stays so.
    pub(super) fn find(&self, sid: &str, private: bool) -> Option<Entry> {
        let entry = self.lock().sessions.get(sid).cloned();
        entry.filter(|entry| private || !entry.private)
    }

    /// A place for a session.
    ///
    /// # Errors
    /// The end of one for which there is none.
    pub(super) fn enter(
        self: &Arc<Self>,
        sid: &str,
        peer: IpAddr,
        private: bool,
        mailbox: mpsc::Sender<(Request, Reply)>,
        limit: usize,
    ) -> Result<Place, Condition> {
        let address = network(peer);
        let mut state = self.lock();
        if state.sessions.len() >= self.limits.sessions {
            return Err(Condition::InternalServerError);
        }
        let count = state.addresses.entry(address).or_default();
        if *count >= self.limits.per_address {
            return Err(Condition::PolicyViolation);
        }
        *count += 1;
        let facts = Arc::new(Facts {
            limit: AtomicUsize::new(limit),
            bound: AtomicBool::new(false),
        });
        let entry = Entry {
            mailbox,
            facts: facts.clone(),
            private,
        };
        state.sessions.insert(sid.into(), entry);
        Ok(Place {
            table: self.clone(),
            sid: sid.into(),
            address,
            facts,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Entry {
    /// Bytes that a stanza may have now.
    pub(super) fn limit(&self) -> usize {
        self.facts.limit.load(Ordering::Relaxed)
    }

    pub(super) fn is_bound(&self) -> bool {
        self.facts.bound.load(Ordering::Relaxed)
    }

    /// Gives a request to the session's task. One that has ended drops it.
    pub(super) async fn send(&self, request: Request, reply: Reply) {
        let _ = self.mailbox.send((request, reply)).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        state.sessions.remove(&self.sid);
        if let Some(count) = state.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.addresses.remove(&self.address);
            }
        }
    }
}

/// Who counts as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(table: &Arc<Table>, sid: &str, peer: &str) -> Result<Place, Condition> {
        let (mailbox, _) = mpsc::channel(1);
        table.enter(sid, peer.parse().unwrap(), true, mailbox, 1)
    }

    /// security.md, line 12.
    #[test]
    fn there_are_no_more_sessions_than_allowed_in_all_and_of_one_address() {
        let table = Table::new(BoshLimits {
            sessions: 3,
            per_address: 2,
        });
        let first = enter(&table, "a", "2001:db8::1").unwrap();
        let _second = enter(&table, "b", "2001:db8::2").unwrap();
        let third = enter(&table, "c", "2001:db8::3");
        assert_eq!(third.err(), Some(Condition::PolicyViolation));
        let _third = enter(&table, "c", "192.0.2.1").unwrap();
        let fourth = enter(&table, "d", "192.0.2.2");
        assert_eq!(fourth.err(), Some(Condition::InternalServerError));
        assert!(table.find("a", true).is_some());
        assert!(table.find("a", false).is_none());
        drop(first);
        assert!(table.find("a", true).is_none());
        let _fourth = enter(&table, "d", "2001:db8::3").unwrap();
        assert_eq!(table.lock().addresses.len(), 2);
    }
}
