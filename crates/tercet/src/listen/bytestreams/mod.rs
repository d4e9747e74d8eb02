//! Streams of bytes between clients (XEP-0065): where two connections meet that have named the same stream.
//!
//! ```text
//! connection -- SOCKS5 --> Exchange: waits under the hash of its stream <-- SOCKS5 -- connection
//! requester's <activate/> -- Relay::activate --> both are told: one hands its socket to the other, which relays
//! ```
//! A connection is nothing but an end of a stream: nobody is connected to anywhere. What is named by no user's request ends with
//! its time, and all that are there are counted.

mod link;
mod pace;
mod relay;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tercet_modules::bytestreams::{Refusal, Relay};
use tercet_stream::socks::StreamHash;
use tokio::sync::oneshot;

use link::Party;
pub(super) use link::serve;

/// Bounds of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Connections in all; a stream has two.
    pub connections: usize,
    /// Streams that one user may have begun at a time.
    pub streams_per_user: usize,
    /// How long a connection may take for SOCKS5, and then wait for its stream to begin.
    pub wait: Duration,
    /// Silence after which a stream ends.
    pub idle: Duration,
    /// Bytes of a stream in a second, each way; 0: as many as the network takes.
    pub bytes_per_second: u64,
    /// Bytes of a stream, both ways together.
    pub stream_bytes: u64,
}

/// Where connections meet.
pub(super) struct Exchange {
    port: u16,
    limits: ArcSwap<RelayLimits>,
    /// Connections there are.
    open: AtomicUsize,
    ids: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that wait, by their stream; one or two each.
    waiting: HashMap<StreamHash, Vec<Waiting>>,
    /// How many streams of each user are under way.
    streams: HashMap<Box<str>, usize>,
}

struct Waiting {
    id: u64,
    begin: oneshot::Sender<Part>,
}

/// What a connection does in the stream that begins.
enum Part {
    /// It gives its socket to the other.
    Hand(oneshot::Sender<Party>),
    /// It gets the other's socket, and relays between the two.
    Relay(oneshot::Receiver<Party>, Underway),
}

/// Why a connection is no end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unwelcome {
    /// The stream has two ends.
    Third,
}

/// A connection's place among those that wait; it goes with it.
struct Seat {
    exchange: Arc<Exchange>,
    hash: StreamHash,
    id: u64,
    begin: oneshot::Receiver<Part>,
}

/// Counts a stream of a user for as long as it exists.
struct Underway {
    exchange: Arc<Exchange>,
    user: Box<str>,
}

/// Counts a connection for as long as it exists.
struct Counted(Arc<Exchange>);

impl Exchange {
    /// Nobody is there. Clients connect to `port`.
    pub(super) fn new(port: u16, limits: RelayLimits) -> Arc<Exchange> {
        Arc::new(Exchange {
            port,
            limits: ArcSwap::from_pointee(limits),
            open: AtomicUsize::new(0),
            ids: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// Takes other bounds. They hold for what begins from now on.
    pub(super) fn set(&self, limits: RelayLimits) {
        self.limits.store(Arc::new(limits));
    }

    fn limits(&self) -> RelayLimits {
        **self.limits.load()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection; `None` if there are as many as may be.
    fn enter(self: &Arc<Self>) -> Option<Counted> {
        let counted = Counted(self.clone());
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        (before < self.limits().connections).then_some(counted)
    }

    /// Has a connection wait for its stream to begin.
    fn wait(self: &Arc<Self>, hash: StreamHash) -> Result<Seat, Unwelcome> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (begin, begun) = oneshot::channel();
        let mut state = self.lock();
        let ends = state.waiting.entry(hash).or_default();
        // XEP-0065 §8.1: one target connects to a stream.
        if ends.len() >= 2 {
            return Err(Unwelcome::Third);
        }
        ends.push(Waiting { id, begin });
        drop(state);
        Ok(Seat {
            exchange: self.clone(),
            hash,
            id,
            begin: begun,
        })
    }

    /// Has the stream begin, and counts it for `user`.
    fn begin(self: &Arc<Self>, user: &str, hash: &StreamHash) -> Result<(), Refusal> {
        let mut state = self.lock();
        let both = match state.waiting.get(hash) {
            None => return Err(Refusal::Unknown),
            Some(ends) => ends.len() == 2,
        };
        if !both {
            return Err(Refusal::OneEnd);
        }
        let streams = state.streams.get(user).copied().unwrap_or(0);
        if streams >= self.limits().streams_per_user {
            return Err(Refusal::TooMany);
        }
        let ends = state.waiting.remove(hash).unwrap_or_default();
        *state.streams.entry(user.into()).or_insert(0) += 1;
        drop(state);
        let underway = Underway {
            exchange: self.clone(),
            user: user.into(),
        };
        let (hand, handed) = oneshot::channel();
        let mut parts = [Part::Relay(handed, underway), Part::Hand(hand)].into_iter();
        for end in ends {
            if let Some(part) = parts.next() {
                // One that has just gone ends the other.
                let _ = end.begin.send(part);
            }
        }
        Ok(())
    }
}

/// What the module is given: an exchange by its owner.
pub(super) struct Desk(pub(super) Arc<Exchange>);

impl Relay for Desk {
    fn port(&self) -> u16 {
        self.0.port
    }

    fn activate(&self, user: &str, stream: &[u8; 20]) -> Result<(), Refusal> {
        self.0.begin(user, stream)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.exchange.lock();
        if let Some(ends) = state.waiting.get_mut(&self.hash) {
            ends.retain(|end| end.id != self.id);
            if ends.is_empty() {
                state.waiting.remove(&self.hash);
            }
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut state = self.exchange.lock();
        if let Some(streams) = state.streams.get_mut(&self.user) {
            *streams -= 1;
            if *streams == 0 {
                state.streams.remove(&self.user);
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RelayLimits = RelayLimits {
        connections: 4,
        streams_per_user: 1,
        wait: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        bytes_per_second: 0,
        stream_bytes: 1 << 30,
    };

    #[test]
    fn a_stream_begins_when_both_ends_are_there_and_it_is_asked_for() {
        let exchange = Exchange::new(1, LIMITS);
        let hash = [1; 20];
        assert_eq!(exchange.begin("romeo", &hash), Err(Refusal::Unknown));
        let mut one = exchange.wait(hash).unwrap();
        assert_eq!(exchange.begin("romeo", &hash), Err(Refusal::OneEnd));
        let mut two = exchange.wait(hash).unwrap();
        assert_eq!(exchange.wait(hash).err(), Some(Unwelcome::Third));
        assert!(one.begin.try_recv().is_err(), "nobody has asked for it");
        assert_eq!(exchange.begin("romeo", &hash), Ok(()));
        let relay = one.begin.try_recv();
        assert!(matches!(relay, Ok(Part::Relay(..))));
        assert!(matches!(two.begin.try_recv(), Ok(Part::Hand(_))));
        assert_eq!(exchange.begin("romeo", &hash), Err(Refusal::Unknown));

        // A user's streams are counted until they end.
        let other = [2; 20];
        let _ends = [exchange.wait(other), exchange.wait(other)];
        assert_eq!(exchange.begin("romeo", &other), Err(Refusal::TooMany));
        drop(relay);
        assert_eq!(exchange.begin("romeo", &other), Ok(()));
    }

    #[test]
    fn nothing_stays_of_connections_that_have_gone() {
        let exchange = Exchange::new(1, LIMITS);
        let hash = [1; 20];
        let one = exchange.wait(hash).unwrap();
        let two = exchange.wait(hash).unwrap();
        drop(one);
        assert_eq!(exchange.begin("romeo", &hash), Err(Refusal::OneEnd));
        drop(two);
        assert_eq!(exchange.begin("romeo", &hash), Err(Refusal::Unknown));
        assert!(exchange.lock().waiting.is_empty());
        assert!(exchange.lock().streams.is_empty());
    }

    #[test]
    fn connections_are_counted_until_they_end() {
        let exchange = Exchange::new(1, LIMITS);
        let mut inside: Vec<_> = (0..4).map(|_| exchange.enter()).collect();
        assert!(inside.iter().all(Option::is_some));
        assert!(exchange.enter().is_none());
        inside.pop();
        assert!(exchange.enter().is_some());
    }
}
