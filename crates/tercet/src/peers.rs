//! What has happened with other servers: how often streams with them came about and failed, when last, and why. For those who run this server.
//!
//! Kept in memory, within bounds. A domain that has proved itself, or that we have reached, is not forgotten because of names
//! that somebody only claims: those have a table of their own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tercet_server::Server;

/// Domains with which a stream has come about.
const PROVED_MAX: usize = 10_000;
/// Domains with which none has, or that others have claimed to be.
const CLAIMED_MAX: usize = 1_000;
/// Longest reason that is kept, in characters.
const REASON_MAX: usize = 400;

/// Who opened a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// This server did, to send.
    Out,
    /// The other one did, to send to us.
    In,
}

/// What happened with streams of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// Open now.
    pub open: u32,
    /// Have come about since the server's start.
    pub opened: u64,
    /// Did not come about, or were ended for a fault, since then.
    pub failed: u64,
    /// The last that came about: milliseconds since 1970.
    pub last_opened: Option<u64>,
    /// How the other server was known there: `certificate` or `dialback`.
    pub proof: Option<String>,
    /// The last failure: milliseconds since 1970.
    pub last_failed: Option<u64>,
    /// Its reason, for people. Words of the other server in it are not escaped.
    pub reason: Option<String>,
}

/// What is known of one other server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its domain.
    pub domain: String,
    /// Streams that we open.
    pub outgoing: Streams,
    /// Streams that it opens, or that somebody opened in its name.
    pub incoming: Streams,
}

/// Streams of all other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Streams that we open: still being negotiated.
    pub outgoing_negotiating: u32,
    /// Streams that others open: still being negotiated.
    pub incoming_negotiating: u32,
    /// Domains that we may send to, each counted once for a stream.
    pub outgoing_open: u32,
    /// Domains that others may send from, likewise.
    pub incoming_open: u32,
    /// Have come about, since the start.
    pub outgoing_opened: u64,
    /// Likewise.
    pub incoming_opened: u64,
    /// Have failed, since the start.
    pub outgoing_failed: u64,
    /// Likewise.
    pub incoming_failed: u64,
}

/// All other servers.
#[derive(Debug, Default)]
pub struct Peers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    proved: Table,
    claimed: Table,
    totals: Totals,
}

/// Records by domain, and their domains by the time of the last change.
#[derive(Debug, Default)]
struct Table {
    records: HashMap<Box<str>, (u64, Peer)>,
    ages: BTreeMap<u64, Box<str>>,
    next: u64,
}

/// A domain's part in an open stream, which ends with the value.
#[derive(Debug)]
pub struct Open {
    peers: Arc<Peers>,
    way: Way,
    domain: Box<str>,
}

/// A stream that is being negotiated, for as long as the value lives.
#[derive(Debug)]
pub struct Negotiating {
    peers: Arc<Peers>,
    way: Way,
}

impl Peers {
    /// Those of `server`: always the same value.
    pub fn of(server: &Server) -> Arc<Peers> {
        server.kept("", Peers::default)
    }

    /// A stream has begun.
    pub fn negotiating(self: &Arc<Self>, way: Way) -> Negotiating {
        *self.lock().totals.negotiating(way) += 1;
        let peers = self.clone();
        Negotiating { peers, way }
    }

    /// Stanzas to or from `domain` may pass over a stream.
    pub fn opened(self: &Arc<Self>, way: Way, domain: &str, proof: &str, now_ms: u64) -> Open {
        let mut state = self.lock();
        let mut peer = state.take(domain);
        let streams = peer.streams(way);
        streams.open += 1;
        streams.opened += 1;
        streams.last_opened = Some(now_ms);
        streams.proof = Some(proof.to_owned());
        state.proved.put(peer, PROVED_MAX);
        let (open, opened, _) = state.totals.streams(way);
        *open += 1;
        *opened += 1;
        drop(state);
        Open {
            peers: self.clone(),
            way,
            domain: domain.into(),
        }
    }

    /// A stream for `domain` did not come about, or had to be ended.
    pub fn failed(&self, way: Way, domain: &str, reason: &str, now_ms: u64) {
        let mut state = self.lock();
        let mut peer = state.take(domain);
        let streams = peer.streams(way);
        streams.failed += 1;
        streams.last_failed = Some(now_ms);
        streams.reason = Some(reason.chars().take(REASON_MAX).collect());
        match peer.is_proved() {
            true => state.proved.put(peer, PROVED_MAX),
            false => state.claimed.put(peer, CLAIMED_MAX),
        }
        *state.totals.streams(way).2 += 1;
    }

    /// What is known of one of them.
    pub fn show(&self, domain: &str) -> Option<Peer> {
        let state = self.lock();
        let tables = [&state.proved, &state.claimed];
        let found = tables.iter().find_map(|table| table.records.get(domain));
        found.map(|(_, peer)| peer.clone())
    }

    /// Up to `count` of them in the order of their domains, behind `after`.
    pub fn list(&self, after: Option<&str>, count: usize) -> Vec<Peer> {
        let state = self.lock();
        let records = state.proved.records.iter().chain(&state.claimed.records);
        let records = records.filter(|(domain, _)| after.is_none_or(|after| &***domain > after));
        let mut all: Vec<&Peer> = records.map(|(_, (_, peer))| peer).collect();
        all.sort_unstable_by(|a, b| a.domain.cmp(&b.domain));
        all.into_iter().take(count).cloned().collect()
    }

    /// How many streams there are.
    pub fn totals(&self) -> Totals {
        self.lock().totals.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.peers.lock();
        let open = state.totals.streams(self.way).0;
        *open = open.saturating_sub(1);
        if let Some((_, peer)) = state.proved.records.get_mut(&self.domain) {
            let streams = peer.streams(self.way);
            // A record that was forgotten meanwhile counts anew.
            streams.open = streams.open.saturating_sub(1);
        }
    }
}

impl Drop for Negotiating {
    fn drop(&mut self) {
        let mut state = self.peers.lock();
        let count = state.totals.negotiating(self.way);
        *count = count.saturating_sub(1);
    }
}

impl Peer {
    fn streams(&mut self, way: Way) -> &mut Streams {
        match way {
            Way::Out => &mut self.outgoing,
            Way::In => &mut self.incoming,
        }
    }

    fn is_proved(&self) -> bool {
        self.outgoing.opened + self.incoming.opened > 0
    }
}

impl Totals {
    fn negotiating(&mut self, way: Way) -> &mut u32 {
        match way {
            Way::Out => &mut self.outgoing_negotiating,
            Way::In => &mut self.incoming_negotiating,
        }
    }

    /// Open, opened, failed.
    fn streams(&mut self, way: Way) -> (&mut u32, &mut u64, &mut u64) {
        match way {
            Way::Out => (
                &mut self.outgoing_open,
                &mut self.outgoing_opened,
                &mut self.outgoing_failed,
            ),
            Way::In => (
                &mut self.incoming_open,
                &mut self.incoming_opened,
                &mut self.incoming_failed,
            ),
        }
    }
}

impl State {
    /// The record of a domain, to be put back; a new one if there is none.
    fn take(&mut self, domain: &str) -> Peer {
        let known = self.proved.take(domain);
        known
            .or_else(|| self.claimed.take(domain))
            .unwrap_or_else(|| Peer {
                domain: domain.to_owned(),
                ..Peer::default()
            })
    }
}

impl Table {
    fn take(&mut self, domain: &str) -> Option<Peer> {
        let (age, peer) = self.records.remove(domain)?;
        self.ages.remove(&age);
        Some(peer)
    }

    /// Adds a record; beyond `most`, the one goes that has been as it is for longest.
    fn put(&mut self, peer: Peer, most: usize) {
        while self.records.len() >= most {
            let Some((_, oldest)) = self.ages.pop_first() else {
                break;
            };
            self.records.remove(&oldest);
        }
        let domain: Box<str> = peer.domain.as_str().into();
        self.ages.insert(self.next, domain.clone());
        self.records.insert(domain, (self.next, peer));
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_by_direction_and_the_last_of_each_sort_is_known() {
        let peers = Arc::new(Peers::default());
        let negotiating = peers.negotiating(Way::In);
        assert_eq!(peers.totals().incoming_negotiating, 1);
        drop(negotiating);
        let one = peers.opened(Way::Out, "b.example", "certificate", 5);
        let two = peers.opened(Way::In, "b.example", "dialback", 6);
        peers.failed(Way::Out, "b.example", "it closed the connection", 7);
        let shown = peers.show("b.example").unwrap();
        assert_eq!(
            (
                shown.outgoing.open,
                shown.incoming.open,
                shown.outgoing.failed
            ),
            (1, 1, 1)
        );
        assert_eq!(shown.incoming.proof.as_deref(), Some("dialback"));
        assert_eq!(
            (
                shown.outgoing.last_failed,
                shown.outgoing.reason.as_deref(),
                shown.incoming.last_opened
            ),
            (Some(7), Some("it closed the connection"), Some(6))
        );
        drop((one, two));
        let totals = peers.totals();
        assert_eq!(
            (
                totals.outgoing_open,
                totals.incoming_open,
                totals.incoming_opened,
                totals.outgoing_failed
            ),
            (0, 0, 1, 1)
        );
        assert_eq!(peers.show("b.example").unwrap().outgoing.open, 0);
    }

    #[test]
    fn names_that_somebody_claims_take_no_place_of_servers_that_are_known() {
        let peers = Arc::new(Peers::default());
        drop(peers.opened(Way::In, "known.example", "certificate", 1));
        for number in 0..2 * CLAIMED_MAX {
            peers.failed(Way::In, &format!("{number}.invalid"), "?", 2);
        }
        assert!(peers.show("known.example").is_some());
        assert!(peers.show("0.invalid").is_none());
        assert_eq!(peers.list(None, usize::MAX).len(), CLAIMED_MAX + 1);
        // A failure of a known one leaves it where it is.
        peers.failed(Way::Out, "known.example", "?", 3);
        assert_eq!(peers.lock().proved.records.len(), 1);
    }

    #[test]
    fn known_servers_have_a_bound_too_and_the_oldest_goes() {
        let peers = Arc::new(Peers::default());
        for number in 0..=PROVED_MAX {
            drop(peers.opened(Way::Out, &format!("{number:05}.example"), "dialback", 1));
        }
        assert!(peers.show("00000.example").is_none());
        let page = peers.list(Some("00001.example"), 2);
        assert_eq!(page[0].domain, "00002.example");
        assert_eq!(page.len(), 2);
        let state = peers.lock();
        assert_eq!(state.proved.ages.len(), state.proved.records.len());
    }

    #[test]
    fn reasons_are_cut() {
        let peers = Peers::default();
        peers.failed(Way::In, "b.example", &"é".repeat(10_000), 1);
        let reason = peers.show("b.example").unwrap().incoming.reason.unwrap();
        assert_eq!(reason.chars().count(), REASON_MAX);
    }
}
