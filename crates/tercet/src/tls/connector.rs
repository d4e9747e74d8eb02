//! The connecting side: a client's half of TLS towards another server.

use super::TlsError;
use super::certificates::{Certificates, provider, read_chain};
use super::peer::{AnyChain, Trust};
use super::session::TlsSession;
use rustls::ClientConfig;
use rustls::SignatureScheme;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::ServerName;
use std::path::PathBuf;
use std::sync::Arc;
use tercet_core::ascii_domain;

/// XEP-0368 §2.2: the ALPN protocol name of server-to-server streams.
pub const ALPN_SERVER: &[u8] = b"xmpp-server";

/// RFC 7301 §6: the ALPN protocol name of HTTP/1.1.
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// Makes the TLS sessions towards other servers. No chain ends a handshake: what it is worth is in
/// [`TlsInfo::peer`](super::TlsInfo::peer).
#[derive(Clone)]
pub struct TlsConnector {
    own: Own,
    template: Arc<ClientConfig>,
}

/// What this server shows of itself, and whom it trusts.
#[derive(Clone)]
enum Own {
    /// The certificate of the domain that connects.
    Certificates(Arc<Certificates>),
    /// None.
    Nothing(Arc<Trust>),
}

impl TlsConnector {
    /// A connector that shows the certificate of the domain that connects, in its current and future state, and
    /// trusts the roots that `certificates` have.
    ///
    /// # Errors
    /// [`TlsError::Peer`] if the crypto library offers no common protocol version: a fault of the build.
    pub fn new(certificates: Arc<Certificates>) -> Result<Self, TlsError> {
        let template = template(certificates.provider())?;
        Ok(TlsConnector {
            own: Own::Certificates(certificates),
            template,
        })
    }

    /// A connector that shows no certificate. `ca_files` hold further roots in PEM.
    ///
    /// # Errors
    /// [`TlsError::File`] for the first file that cannot be read; else as those of [`new`](Self::new).
    pub fn without_certificate(ca_files: &[PathBuf]) -> Result<Self, TlsError> {
        let provider = Arc::new(provider());
        let template = template(&provider)?;
        let mut more = Vec::new();
        for file in ca_files {
            more.extend(read_chain(file)?);
        }
        Ok(TlsConnector {
            own: Own::Nothing(Arc::new(Trust::new(provider, more))),
            template,
        })
    }

    /// Starts a session from the domain `local` to the domain `remote`, both normalised (RFC 7622). `direct`: TLS from
    /// the connection's first byte, not by STARTTLS.
    ///
    /// # Errors
    /// [`TlsError::Peer`] if `remote` cannot stand in a TLS handshake.
    pub fn start(&self, local: &str, remote: &str, direct: bool) -> Result<TlsSession, TlsError> {
        let mut config = ClientConfig::clone(&self.template);
        if direct {
            // XEP-0368 §2.2: who connects names the protocol.
            config.alpn_protocols = vec![ALPN_SERVER.to_vec()];
        }
        let trust = match &self.own {
            Own::Nothing(trust) => trust.clone(),
            Own::Certificates(certificates) => {
                let snapshot = certificates.current();
                let host = snapshot.choose(ascii_domain(local).as_deref());
                config.client_auth_cert_resolver = Arc::new(One(host.key.clone()));
                snapshot.trust.clone()
            }
        };
        // RFC 6120 §13.7.2: the name that was meant before DNS had its say.
        let name = server_name(&ascii_domain(remote).unwrap_or_default())?;
        TlsSession::connect(Arc::new(config), name, trust)
    }

    /// Starts a session with the web server `host`, a name in ASCII or an IP address. It is shown no certificate.
    ///
    /// # Errors
    /// As those of [`start`](Self::start).
    pub fn start_web(&self, host: &str) -> Result<TlsSession, TlsError> {
        let mut config = ClientConfig::clone(&self.template);
        config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
        let trust = match &self.own {
            Own::Nothing(trust) => trust.clone(),
            Own::Certificates(certificates) => certificates.current().trust.clone(),
        };
        TlsSession::connect(Arc::new(config), server_name(host)?, trust)
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
    name.map_err(|_| rustls::Error::General("the domain is no DNS name".to_owned()).into())
}

fn template(provider: &Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyChain(provider.clone())))
        .with_no_client_auth();
    // Streams between servers last: nothing is kept for the next one.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The one certificate that a connection may show, for whatever authorities the peer names.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesClientCert for One {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let usable = self.0.key.choose_scheme(schemes).is_some();
        usable.then(|| self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
