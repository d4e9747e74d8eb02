//! The server side of one port: which ALPN names it knows and where its certificates are.

use super::TlsError;
use super::certificates::{Certificates, HostCertificate, Snapshot};
use super::connector::ALPN_SERVER;
use super::peer::{AnyChain, Usage};
use super::session::TlsSession;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{KeyLog, ServerConfig};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use tercet_core::ascii_domain;
use zeroize::Zeroizing;

/// XEP-0368 §2.1: the ALPN protocol name of client-to-server streams.
pub const ALPN_CLIENT: &[u8] = b"xmpp-client";

/// The ALPN protocol name of HTTP/1.1 (RFC 7301 §6).
const ALPN_HTTP: &[u8] = b"http/1.1";

/// RFC 9113 §3.1: the ALPN protocol name of HTTP/2.
pub const ALPN_HTTP_2: &[u8] = b"h2";

/// Makes the TLS sessions of one listener.
#[derive(Clone, Debug)]
pub struct TlsAcceptor {
    certificates: Arc<Certificates>,
    template: Arc<ServerConfig>,
    usage: Usage,
}

impl TlsAcceptor {
    /// An acceptor with the certificates' current and future state.
    ///
    /// `alpn` lists the protocol names of a direct TLS port, preferred first: a client that offers ALPN without one of
    /// them is refused (RFC 7301 §3.2), one that offers no ALPN is served. Empty: ALPN is ignored, as within STARTTLS.
    ///
    /// # Errors
    /// [`TlsError::Peer`] if the crypto library offers no common protocol version: a fault of the build.
    pub fn new(certificates: Arc<Certificates>, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let verifier = Arc::new(AnyChain(certificates.provider().clone()));
        Self::with_verifier(certificates, alpn, verifier, Usage::Client)
    }

    /// The same for other servers, whose certificates are judged as those of servers. `direct`: for TLS from the first
    /// byte (XEP-0368), with ALPN.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub fn for_servers(certificates: Arc<Certificates>, direct: bool) -> Result<Self, TlsError> {
        let verifier = Arc::new(AnyChain(certificates.provider().clone()));
        let alpn: &[&[u8]] = if direct { &[ALPN_SERVER] } else { &[] };
        Self::with_verifier(certificates, alpn, verifier, Usage::EitherServer)
    }

    /// The same for HTTP/2 and HTTP/1.1. Clients are not asked for certificates: a browser would ask its user.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub fn for_web(certificates: Arc<Certificates>) -> Result<Self, TlsError> {
        Self::with_verifier(
            certificates,
            &[ALPN_HTTP_2, ALPN_HTTP],
            Arc::new(NoClientAuth),
            Usage::Client,
        )
    }

    fn with_verifier(
        certificates: Arc<Certificates>,
        alpn: &[&[u8]],
        verifier: Arc<dyn ClientCertVerifier>,
        usage: Usage,
    ) -> Result<Self, TlsError> {
        let mut template = ServerConfig::builder_with_provider(certificates.provider().clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Unresolved));
        template.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        template.ignore_client_order = true;
        // Tickets carry the state: nothing is kept here for a session that may be resumed.
        template.session_storage = Arc::new(NoServerSessionStorage {});
        // A client keeps one stream at a time, and gets a new ticket with every one.
        template.send_tls13_tickets = 1;
        template.max_early_data_size = 0;
        Ok(TlsAcceptor {
            certificates,
            template: Arc::new(template),
            usage,
        })
    }

    /// Starts a session. `host` is the domain to choose the certificate by if the client sends no SNI: the `to` of the
    /// stream that STARTTLS ended.
    ///
    /// # Errors
    /// [`TlsError::Peer`] for a faulty configuration only.
    pub fn start(&self, host: Option<&str>) -> Result<TlsSession, TlsError> {
        let snapshot = self.certificates.current();
        let handshake = Arc::new(Handshake {
            fallback_host: host.and_then(ascii_domain).map(Into::into),
            snapshot: snapshot.clone(),
            usage: self.usage,
            seen: Mutex::default(),
        });
        // A configuration of its own for each handshake (a dozen reference counts) tells which certificate was chosen
        // and what the exporter secret is, without a table shared by all. rustls drops it with the handshake.
        let mut config = ServerConfig::clone(&self.template);
        config.cert_resolver = handshake.clone();
        config.key_log = handshake.clone();
        config.ticketer = snapshot.tickets.clone();
        TlsSession::accept(Arc::new(config), handshake)
    }
}

/// One handshake as rustls' callbacks see it.
pub(super) struct Handshake {
    fallback_host: Option<Box<str>>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) usage: Usage,
    seen: Mutex<Seen>,
}

/// What the callbacks reported.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) server_name: Option<Box<str>>,
    pub(super) certificate: Option<Arc<HostCertificate>>,
    /// The exporter secret of TLS 1.3 or the master secret of TLS 1.2.
    pub(super) secret: Zeroizing<Vec<u8>>,
    pub(super) client_random: Vec<u8>,
}

impl Handshake {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Handshake {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let certificate = self
            .snapshot
            .choose(name.as_deref().or(self.fallback_host.as_deref()));
        let key = certificate.key.clone();
        let mut seen = self.seen();
        seen.server_name = name.map(Into::into);
        seen.certificate = Some(certificate);
        Some(key)
    }
}

impl KeyLog for Handshake {
    fn will_log(&self, label: &str) -> bool {
        matches!(label, "EXPORTER_SECRET" | "CLIENT_RANDOM")
    }

    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if self.will_log(label) {
            let mut seen = self.seen();
            seen.secret = Zeroizing::new(secret.to_vec());
            seen.client_random = client_random.to_vec();
        }
    }
}

/// Stands in the template, which is never used for a handshake.
#[derive(Debug)]
struct Unresolved;

impl ResolvesServerCert for Unresolved {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
