//! Settings of the streams between servers.

use std::collections::HashMap;
use std::time::Duration;

use tercet_core::{Limits, Peers};

use super::keys::DialbackSecret;
use crate::c2s::TlsPolicy;

/// Settings of all streams with other servers. Shared by the streams that were opened with it; later ones may get another.
#[derive(Clone, Debug)]
pub struct S2sConfig {
    hosts: HashMap<String, S2sHost>,
    pub(super) secret: DialbackSecret,
    /// Bounds on what is read while no domain of the peer is authenticated.
    pub before_login: Limits,
    /// Bounds on what is read afterwards.
    pub after_login: Limits,
    /// Time from the connection's beginning to the first authenticated pair of domains.
    pub negotiation_timeout: Duration,
    /// Silence of the peer after which white space is sent to it, and again after as long.
    pub keep_alive_after: Option<Duration>,
    /// Time without anything from the peer and stanzas for it after which a stream that we have opened ends in good order; one
    /// that the peer has opened ends after twice as long, as is announced by XEP-0478.
    pub idle_timeout: Option<Duration>,
    /// Time for the peer to close the connection after the stream's end.
    pub close_timeout: Duration,
    /// Whether a stream may carry stanzas in both directions (XEP-0288).
    pub bidi: bool,
    /// Whether stanzas may be acknowledged (XEP-0198).
    pub management: bool,
    /// Pairs of domains that a peer may have authenticated on one stream.
    pub max_pairs: usize,
    /// Pairs of domains whose keys are being verified for one stream.
    pub max_pending: usize,
    /// Failed attempts at SASL, and keys found invalid: of each at most so many a stream.
    pub max_attempts: u32,
    /// Keys that one stream may ask about in a minute.
    pub verifications_a_minute: u32,
}

/// What one domain of this server asks of its peers.
#[derive(Clone, Debug)]
pub struct S2sHost {
    /// The domain, normalised (RFC 7622).
    pub domain: String,
    /// Whether its streams are encrypted.
    pub tls: TlsPolicy,
    /// A peer's certificate must prove its domain: dialback is not enough.
    pub require_certificate: bool,
    /// Domains that may be authenticated to it.
    pub peers: Peers,
}

impl S2sHost {
    /// A domain that requires TLS and accepts dialback.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            tls: TlsPolicy::Required,
            require_certificate: false,
            peers: Peers::default(),
        }
    }
}

impl S2sConfig {
    /// The default settings for these domains of this server, and the secret of its dialback keys.
    pub fn new(hosts: impl IntoIterator<Item = S2sHost>, secret: DialbackSecret) -> Self {
        let hosts = hosts.into_iter();
        Self {
            hosts: hosts.map(|host| (host.domain.clone(), host)).collect(),
            secret,
            before_login: Limits::BEFORE_LOGIN,
            after_login: Limits::AFTER_LOGIN,
            negotiation_timeout: Duration::from_secs(30),
            keep_alive_after: Some(Duration::from_secs(180)),
            idle_timeout: Some(Duration::from_secs(3600)),
            close_timeout: Duration::from_secs(5),
            bidi: true,
            management: true,
            max_pairs: 64,
            max_pending: 16,
            max_attempts: 3,
            verifications_a_minute: 120,
        }
    }

    /// Whether a domain of this server speaks with that of a peer.
    pub fn admits(&self, local: &str, remote: &str) -> bool {
        self.hosts
            .get(local)
            .is_some_and(|host| host.peers.admit(remote))
    }

    /// The settings of a domain of this server.
    pub fn host(&self, domain: &str) -> Option<&S2sHost> {
        self.hosts.get(domain)
    }
}
