//! What those who run the server see of components.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use tercet_server::Server;

use super::{Hub, Station};

/// A component's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connected {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// From where.
    pub address: SocketAddr,
}

/// What has happened with a component since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Its connection, if it has one.
    pub connected: Option<Connected>,
    /// How often it has connected.
    pub connections: u64,
    /// Stanzas that it has sent.
    pub received: u64,
    /// Stanzas that were written to it.
    pub sent: u64,
    /// Stanzas for it that went back to their senders.
    pub returned: u64,
    /// Stanzas that wait for it.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
}

/// What is counted.
#[derive(Default)]
pub(super) struct Counters {
    connections: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    returned: AtomicU64,
}

impl Counters {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, stanzas: usize) {
        self.sent.fetch_add(stanzas as u64, Ordering::Relaxed);
    }

    pub(super) fn returned(&self, stanzas: usize) {
        self.returned.fetch_add(stanzas as u64, Ordering::Relaxed);
    }
}

/// The components of a server, if it listens for them.
#[derive(Default)]
pub(super) struct Known(OnceLock<Weak<Hub>>);

impl Known {
    /// Those of `server`: always the same value.
    pub(super) fn of(server: &Server) -> Arc<Known> {
        server.kept("", Known::default)
    }

    pub(super) fn set(&self, hub: &Arc<Hub>) {
        // One server has one.
        let _ = self.0.set(Arc::downgrade(hub));
    }
}

/// What has happened with the component of this domain; `None`: nobody listens for it.
pub fn figures(server: &Server, domain: &str) -> Option<Figures> {
    let hub = Known::of(server).0.get()?.upgrade()?;
    let station = hub.stations.load().get(domain)?.clone();
    Some(station.figures())
}

impl Station {
    fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = self.lock();
        let (waiting, waiting_bytes) = state.line.size();
        Figures {
            connected: state.connected,
            connections: read(&self.counters.connections),
            received: read(&self.counters.received),
            sent: read(&self.counters.sent),
            returned: read(&self.counters.returned),
            waiting,
            waiting_bytes,
        }
    }
}
