//! Client certificates: who is behind them (RFC 6120 §13.7.1, XEP-0178).

use rustls::RootCertStore;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDR: &str = "1.3.6.1.5.5.7.8.5";

/// A client certificate whose chain leads to a trusted root and whose key the client has proved to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The JIDs in its subject alternative names of type xmppAddr, as they are written there.
    pub xmpp_addresses: Vec<String>,
}

/// Judges the chains of client certificates.
pub(super) struct PeerVerifier(Arc<dyn ClientCertVerifier>);

impl PeerVerifier {
    /// Over the system's roots and `more`. None if there is no usable root.
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        more: &[CertificateDer<'static>],
    ) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!(%error, "a system root certificate was not read");
        }
        roots.add_parsable_certificates(system.certs);
        roots.add_parsable_certificates(more.iter().cloned());
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .ok()
            .map(PeerVerifier)
    }

    /// The peer behind `chain` (its own certificate first), or None if it does not verify at `now`.
    pub(super) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<PeerCertificate> {
        let (own, intermediates) = chain.split_first()?;
        if let Err(error) = self.0.verify_client_cert(own, intermediates, now) {
            tracing::debug!(%error, "client certificate not verified");
            return None;
        }
        Some(PeerCertificate {
            xmpp_addresses: xmpp_addresses(own),
        })
    }
}

/// The xmppAddr values of a certificate in DER, from structured SAN fields only (never from the subject).
fn xmpp_addresses(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let addresses = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::OtherName(oid, value) if oid.to_id_string() == XMPP_ADDR => {
                utf8_string(value)
            }
            _ => None,
        });
    addresses.collect()
}

/// The text of an otherName value: `[0] EXPLICIT UTF8String`, and nothing behind it.
fn utf8_string(value: &[u8]) -> Option<String> {
    let text = der_value(der_value(value, 0xa0)?, 0x0c)?;
    String::from_utf8(text.to_vec()).ok()
}

/// The contents of the one DER element `bytes` consists of, if it has this tag.
fn der_value(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    if head[0] != tag {
        return None;
    }
    // A JID has at most 3071 bytes: lengths of one or two bytes are enough.
    let (length, contents) = match head[1] {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (
            usize::from(u16::from_be_bytes(*rest.first_chunk()?)),
            rest.get(2..)?,
        ),
        _ => return None,
    };
    (contents.len() == length).then_some(contents)
}

/// Accepts any chain in the handshake and checks only that the client holds the key of its certificate.
///
/// The chain is judged afterwards, on resumption too, so that a client with a certificate of no use to us can still
/// log in by password.
#[derive(Debug)]
pub(super) struct AnyChain(pub(super) Arc<CryptoProvider>);

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
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
