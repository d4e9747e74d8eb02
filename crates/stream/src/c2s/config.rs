//! Settings of client streams, and what each host offers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tercet_core::Limits;

/// Settings of all client streams. Shared by the streams that were opened with it; later ones may
/// get another.
#[derive(Clone, Debug)]
pub struct C2sConfig {
    hosts: HashMap<String, Arc<HostConfig>>,
    default_host: Arc<HostConfig>,
    /// Bounds on what is read before a login.
    pub before_login: Limits,
    /// Bounds on what is read after a login.
    pub after_login: Limits,
    /// Time from the connection's beginning to a bound resource.
    pub login_timeout: Duration,
    /// Silence of a bound client after which white space is sent to it, and again after as long.
    pub keep_alive_after: Option<Duration>,
    /// Silence of a bound client after which its stream ends with `connection-timeout`.
    /// Announced by XEP-0478.
    pub idle_timeout: Option<Duration>,
    /// Time for the client to close the connection after the stream's end.
    pub close_timeout: Duration,
    /// Where a client on a WebSocket is sent when the server ends (RFC 7395 §3.6.1).
    pub see_other_uri: Option<String>,
    /// Failed logins and failed bindings: of each at most so many a stream.
    pub max_attempts: u32,
    /// Registration requests: at most so many a stream.
    pub max_registrations: u32,
    /// What counts in the place of [`login_timeout`](Self::login_timeout) once a stream has asked to register, if it is longer.
    pub registering_timeout: Duration,
}

impl C2sConfig {
    /// The default settings for these hosts. A stream header without `to` means `first` if there is
    /// no other host. `first` is also the name shown to clients that ask for an unknown host.
    pub fn new(first: HostConfig, others: impl IntoIterator<Item = HostConfig>) -> Self {
        let default_host = Arc::new(first);
        let hosts = others
            .into_iter()
            .map(Arc::new)
            .chain([default_host.clone()])
            .map(|host| (host.domain.clone(), host))
            .collect();
        Self {
            hosts,
            default_host,
            before_login: Limits::BEFORE_LOGIN,
            after_login: Limits::AFTER_LOGIN,
            login_timeout: Duration::from_secs(30),
            keep_alive_after: Some(Duration::from_secs(180)),
            idle_timeout: Some(Duration::from_secs(3600)),
            close_timeout: Duration::from_secs(5),
            see_other_uri: None,
            max_attempts: 10,
            max_registrations: 10,
            registering_timeout: Duration::from_secs(30),
        }
    }

    /// The host of this (normalised) name.
    pub(crate) fn host(&self, domain: &str) -> Option<&Arc<HostConfig>> {
        self.hosts.get(domain)
    }

    /// The domain of the first host.
    pub fn default_domain(&self) -> &str {
        &self.default_host.domain
    }

    pub(crate) fn default_host(&self) -> &Arc<HostConfig> {
        &self.default_host
    }

    /// The host of a stream header without `to`.
    pub(crate) fn only_host(&self) -> Option<&Arc<HostConfig>> {
        (self.hosts.len() == 1).then_some(&self.default_host)
    }
}

/// What one host offers to clients.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Its domainpart, normalised (RFC 7622).
    pub domain: String,
    /// Whether its streams are encrypted.
    pub tls: TlsPolicy,
    /// SASL ANONYMOUS.
    pub anonymous: bool,
    /// Tokens with which clients log in again (XEP-0484), where nobody can listen in.
    pub tokens: bool,
    /// SCRAM-SHA-256. Without it, clients log in by SCRAM-SHA-1, for accounts that have no other keys.
    pub sha256: bool,
    /// In-band registration (XEP-0077) before a login.
    pub registration: bool,
    /// Whether an invitation may be shown for it (XEP-0445).
    pub invitations: bool,
    /// What a session can begin with besides acknowledgements (XEP-0386 §3.1), by its namespaces.
    pub inline: Vec<String>,
    /// Stream features announced after a login besides those of the stream itself (roster
    /// versioning, capabilities, …): elements that declare their namespaces.
    pub features: String,
}

impl HostConfig {
    /// A host that requires TLS, with neither anonymous logins nor registration.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            tls: TlsPolicy::Required,
            anonymous: false,
            tokens: true,
            sha256: true,
            registration: false,
            invitations: false,
            inline: Vec::new(),
            features: String::new(),
        }
    }
}

/// Whether the streams of a host are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Nobody logs in without TLS.
    Required,
    /// STARTTLS is offered, but clients may log in without, by PLAIN too. For labs only.
    Optional,
    /// There is no STARTTLS, and clients may log in without TLS. For labs only.
    Absent,
}
