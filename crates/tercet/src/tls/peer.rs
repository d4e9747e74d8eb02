//! Peers' certificates: who is behind them, and whether that can be believed (RFC 6120 §13.7, XEP-0178).
//!
//! In the handshake any chain is accepted, and only possession of its key is checked. The chain is judged once the
//! handshake is done, on resumption too, and the judgement is kept: a client with a certificate of no use to us can
//! still log in by password, and a server may still prove its domain by dialback.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, RootCertStore};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::sync::{Arc, OnceLock};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::names::CertificateNames;

/// For what a peer has shown its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// As a user's client.
    Client,
    /// As a server that we have connected to.
    Server,
    /// As a server that has connected to us: authorities give most servers certificates for servers alone, which serve
    /// here too.
    EitherServer,
}

/// The certificate of a peer that has proved to hold its key, and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    names: CertificateNames,
    doubt: Option<Doubt>,
    /// What it has shown, its own certificate first.
    pub(super) chain: Box<[CertificateDer<'static>]>,
    /// Who has signed it, as it is written there: not escaped.
    pub issuer: String,
    /// Its last second, since 1970.
    pub not_after: i64,
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Its time, or that of a certificate above it, is over.
    Expired,
    /// Its time, or that of a certificate above it, has not begun.
    NotYetValid,
    /// It has signed itself.
    SelfSigned,
    /// No authority that we know has signed it.
    UnknownAuthority,
    /// It is good, and for other names: these, not escaped.
    OtherName(Vec<String>),
    /// It is not meant for this use.
    OtherUse,
    /// Anything else, for people.
    Broken(String),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Expired => f.write_str("the certificate has expired"),
            Doubt::NotYetValid => f.write_str("the certificate is not valid yet"),
            Doubt::SelfSigned => f.write_str("the certificate is self-signed"),
            Doubt::UnknownAuthority => f.write_str("the certificate is from an unknown authority"),
            Doubt::OtherName(names) if names.is_empty() => {
                f.write_str("the certificate names no domain")
            }
            Doubt::OtherName(names) => {
                f.write_str("the certificate is for ")?;
                for (place, name) in names.iter().enumerate() {
                    let comma = if place > 0 { ", " } else { "" };
                    write!(f, "{comma}{}", name.escape_debug())?;
                }
                Ok(())
            }
            Doubt::OtherUse => f.write_str("the certificate is not meant for this use"),
            Doubt::Broken(reason) => {
                write!(f, "the certificate is of no use: {}", reason.escape_debug())
            }
        }
    }
}

impl PeerCertificate {
    /// The JIDs in its names of type xmppAddr, as they are written there; none if its chain is not trusted.
    pub fn xmpp_addresses(&self) -> &[String] {
        match self.doubt {
            None => &self.names.xmpp_addresses,
            Some(_) => &[],
        }
    }

    /// Whether its chain leads to a root that we trust. It may be for any name.
    pub fn is_trusted(&self) -> bool {
        self.doubt.is_none()
    }

    /// Whether the peer is the server of `domain`, which is normalised (RFC 7622).
    ///
    /// # Errors
    /// Why it has not proved that.
    pub fn proves(&self, domain: &str) -> Result<(), Doubt> {
        match &self.doubt {
            Some(doubt) => Err(doubt.clone()),
            // RFC 7590 §3.4: a chain without the right name is no authentication.
            None if self.names.cover(domain) => Ok(()),
            None => Err(Doubt::OtherName(self.names.all())),
        }
    }

    /// Whether the peer is the web server `host`, a name in ASCII or an IP address, both in lower case.
    ///
    /// # Errors
    /// Why it has not proved that.
    pub fn proves_web(&self, host: &str) -> Result<(), Doubt> {
        match &self.doubt {
            Some(doubt) => Err(doubt.clone()),
            None if self.names.cover_web(host) => Ok(()),
            None => Err(Doubt::OtherName(self.names.all())),
        }
    }

    /// The names it carries, believed or not.
    pub fn names(&self) -> &CertificateNames {
        &self.names
    }
}

/// The roots that vouch for peers: the system's, and more. Those of the system are read when the first peer is judged.
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    more: Vec<CertificateDer<'static>>,
    roots: OnceLock<Roots>,
}

struct Roots {
    store: Arc<RootCertStore>,
    /// None if there is no root.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Trust {
    pub(super) fn new(provider: Arc<CryptoProvider>, more: Vec<CertificateDer<'static>>) -> Self {
        Trust {
            provider,
            more,
            roots: OnceLock::new(),
        }
    }

    /// What is behind `chain` (its own certificate first) at `now`. None without a certificate.
    pub(super) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Option<PeerCertificate> {
        let (own, intermediates) = chain.split_first()?;
        let error = self.verify(own, intermediates, usage, now).err();
        if let Some(error) = &error {
            tracing::debug!(%error, "a peer's certificate was not verified");
        }
        let shown = chain.iter().map(|one| one.clone().into_owned()).collect();
        let Ok((_, parsed)) = X509Certificate::from_der(own) else {
            let reason = error.map_or("it cannot be read".to_owned(), |error| error.to_string());
            return Some(PeerCertificate {
                names: CertificateNames::default(),
                doubt: Some(Doubt::Broken(reason)),
                chain: shown,
                issuer: String::new(),
                not_after: 0,
            });
        };
        Some(PeerCertificate {
            names: CertificateNames::of(&parsed),
            doubt: error.map(|error| doubt(error, parsed.issuer() == parsed.subject())),
            chain: shown,
            issuer: parsed.issuer().to_string(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    fn verify(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<(), Error> {
        let roots = self.roots();
        let as_client = || match &roots.clients {
            Some(verifier) => verifier
                .verify_client_cert(own, intermediates, now)
                .map(drop),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        let as_server = || {
            let parsed = ParsedCertificate::try_from(own)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            let store = &roots.store;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                store,
                intermediates,
                now,
                algorithms,
            )
        };
        match usage {
            Usage::Client => as_client(),
            Usage::Server => as_server(),
            Usage::EitherServer => match as_server() {
                Err(error) if is_use(&error) => as_client(),
                result => result,
            },
        }
    }

    fn roots(&self) -> &Roots {
        self.roots.get_or_init(|| {
            let mut store = RootCertStore::empty();
            let system = rustls_native_certs::load_native_certs();
            for error in &system.errors {
                tracing::debug!(%error, "a system root certificate was not read");
            }
            store.add_parsable_certificates(system.certs);
            store.add_parsable_certificates(self.more.iter().cloned());
            let store = Arc::new(store);
            let provider = self.provider.clone();
            let clients = WebPkiClientVerifier::builder_with_provider(store.clone(), provider);
            Roots {
                clients: clients.build().ok(),
                store,
            }
        })
    }
}

fn is_use(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
        )
    )
}

fn doubt(error: Error, signed_itself: bool) -> Doubt {
    use CertificateError as E;
    match error {
        ref error if is_use(error) => Doubt::OtherUse,
        Error::InvalidCertificate(E::Expired | E::ExpiredContext { .. }) => Doubt::Expired,
        Error::InvalidCertificate(E::NotValidYet | E::NotValidYetContext { .. }) => {
            Doubt::NotYetValid
        }
        // An authority's own certificate cannot be a server's: to rustls that is another error.
        Error::InvalidCertificate(E::UnknownIssuer | E::BadSignature | E::Other(_))
            if signed_itself =>
        {
            Doubt::SelfSigned
        }
        // One of another authority that has the same name as one of ours has the wrong signature.
        Error::InvalidCertificate(E::UnknownIssuer | E::BadSignature) => Doubt::UnknownAuthority,
        other => Doubt::Broken(other.to_string()),
    }
}

/// Accepts any chain in the handshake and checks only that the peer holds the key of its certificate.
#[derive(Debug)]
pub(super) struct AnyChain(pub(super) Arc<CryptoProvider>);

impl AnyChain {
    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for AnyChain {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // None: the list of system roots would be 15 kB in every handshake.
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ServerCertVerifier for AnyChain {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
