//! What becomes of a stream: lines in the log that name the cause, and what is known of the peer.

use std::net::SocketAddr;
use std::sync::Arc;

use tercet_core::StreamCondition;
use tercet_server::Server;
use tercet_stream::s2s::{DomainPair, Proof, S2sEnding, S2sEvent};

use super::words;
use crate::listen::wire::WireError;
use crate::peers::{Negotiating, Open, Peers, Way};

/// Looks on at one stream.
pub(super) struct Witness {
    server: Arc<Server>,
    peers: Arc<Peers>,
    way: Way,
    address: SocketAddr,
    /// Nothing has come about yet.
    negotiating: Option<Negotiating>,
    open: Vec<Open>,
    /// Why the connection broke.
    lost: Option<String>,
}

impl Witness {
    /// A stream with whom is at `address`; `outward`: we open it.
    pub(super) fn new(server: &Arc<Server>, outward: bool, address: SocketAddr) -> Self {
        let peers = Peers::of(server);
        let way = if outward { Way::Out } else { Way::In };
        Witness {
            server: server.clone(),
            negotiating: Some(peers.negotiating(way)),
            peers,
            way,
            address,
            open: Vec::new(),
            lost: None,
        }
    }

    /// The peer may send for this pair.
    pub(super) fn authenticated(&mut self, pair: &DomainPair, proof: Proof) {
        tracing::info!(peer = %self.address, local = %pair.local, remote = %pair.remote, ?proof, "a server is authenticated");
        self.opened(Way::In, pair, proof);
    }

    /// We may send for this pair.
    pub(super) fn authorized(&mut self, pair: &DomainPair, proof: Proof) {
        tracing::info!(peer = %self.address, local = %pair.local, remote = %pair.remote, ?proof, "a server takes our stanzas");
        self.opened(Way::Out, pair, proof);
    }

    /// The connection broke.
    pub(super) fn lost(&mut self, error: &WireError) {
        tracing::debug!(peer = %self.address, %error, "a server's connection is lost");
        self.lost = Some(error.to_string());
    }

    /// Why the connection broke, if it did and that is known.
    pub(super) fn why_lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// Something happened on the stream, whose header names this pair.
    pub(super) fn event(&mut self, event: &S2sEvent, header: Option<&DomainPair>) {
        let address = self.address;
        match event {
            S2sEvent::KeyInvalid(pair) => {
                let cause = "a dialback key that its domain does not know";
                tracing::warn!(peer = %address, local = %pair.local, remote = %pair.remote, cause, "a server has failed to prove its domain");
                self.failed(&pair.remote, cause);
            }
            S2sEvent::KeyRefused(pair, error) => {
                let cause = words::unverified(error);
                tracing::info!(peer = %address, local = %pair.local, remote = %pair.remote, cause, "a server has failed to prove its domain");
                self.failed(&pair.remote, &cause);
            }
            S2sEvent::Unsolicited => {
                let cause = "an answer of dialback that was not asked for";
                tracing::warn!(peer = %address, cause, "a server has failed to prove its domain");
            }
            S2sEvent::Ended(ending) => self.ended(ending, header),
            event => tracing::debug!(peer = %address, ?event, "a server's stream"),
        }
    }

    fn ended(&mut self, ending: &S2sEnding, header: Option<&DomainPair>) {
        let address = self.address;
        let negotiated = self.negotiating.take().is_none();
        let Some((hostile, mut cause)) = words::fault(ending, negotiated) else {
            tracing::debug!(peer = %address, ?ending, "a server's stream has ended");
            return self.open.clear();
        };
        if let (S2sEnding::Lost, Some(lost)) = (ending, &self.lost) {
            cause = format!("{cause}: {lost}");
        }
        let local = header.map_or("-", |pair| &pair.local);
        let remote = header.map_or("-", |pair| &pair.remote);
        match hostile {
            true => {
                tracing::warn!(peer = %address, %local, %remote, cause, "a server's stream is ended")
            }
            false => {
                tracing::info!(peer = %address, %local, %remote, cause, "a server's stream is ended")
            }
        }
        // What never came about for us is told by who wanted it.
        if header.is_some() && (self.way == Way::In || negotiated) {
            self.failed(remote, &cause);
        }
        self.open.clear();
    }

    fn opened(&mut self, way: Way, pair: &DomainPair, proof: Proof) {
        self.negotiating = None;
        let proof = match proof {
            Proof::Certificate => "certificate",
            Proof::Dialback => "dialback",
        };
        let now = self.server.now_ms();
        let open = self.peers.opened(way, &pair.remote, proof, now);
        self.open.push(open);
    }

    fn failed(&self, remote: &str, cause: &str) {
        self.peers
            .failed(self.way, remote, cause, self.server.now_ms());
    }
}

/// What a stream that we end with this error has done.
pub(super) fn offence(condition: StreamCondition) -> (bool, &'static str) {
    match condition {
        StreamCondition::InvalidFrom => (true, "a stanza from a domain that it has not proved"),
        StreamCondition::NotAuthorized => (true, "something before it was authenticated"),
        StreamCondition::HostUnknown => (true, "a name that is not ours"),
        StreamCondition::ImproperAddressing => (true, "an address that is missing or wrong"),
        StreamCondition::ConnectionTimeout => (false, "no answer in time"),
        StreamCondition::PolicyViolation => (true, "more than is allowed"),
        StreamCondition::SystemShutdown => (false, "this server is ending"),
        _ => (true, "something that is no XMPP as it has to be"),
    }
}
