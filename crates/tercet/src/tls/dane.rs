//! DANE (RFC 6698, RFC 7671): certificates that the DNS names, where its answers are validated (DNSSEC).
//!
//! Left out: usage 0 (PKIX-TA). An authority is rarely in the chain that a server shows, so such records say nothing here.

use aws_lc_rs::digest;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::provider;
use super::peer::PeerCertificate;

/// What a certificate in the DNS is for (RFC 7218 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// The server's own, which a known authority must have signed as well.
    PkixEe,
    /// An authority of the server's own, which has signed its certificate.
    DaneTa,
    /// The server's own, whoever has signed it.
    DaneEe,
}

/// What of the certificate is named (RFC 7218 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All of it.
    Certificate,
    /// Its key.
    Key,
}

/// How it is named (RFC 7218 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// As it is.
    Whole,
    /// By its SHA-256.
    Sha256,
    /// By its SHA-512.
    Sha512,
}

/// A TLSA record that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    /// What the certificate is for.
    pub usage: Usage,
    /// What of it is named.
    pub selector: Selector,
    /// How.
    pub matching: Matching,
    /// What it must be.
    pub data: Box<[u8]>,
}

impl Tlsa {
    fn names(&self, certificate: &[u8]) -> bool {
        let key;
        let selected = match self.selector {
            Selector::Certificate => certificate,
            Selector::Key => match X509Certificate::from_der(certificate) {
                Ok((_, parsed)) => {
                    key = parsed.public_key().raw.to_vec();
                    &key
                }
                Err(_) => return false,
            },
        };
        let hash = |algorithm| *digest::digest(algorithm, selected).as_ref() == *self.data;
        match self.matching {
            Matching::Whole => *selected == *self.data,
            Matching::Sha256 => hash(&digest::SHA256),
            Matching::Sha512 => hash(&digest::SHA512),
        }
    }
}

impl PeerCertificate {
    /// Whether the certificate is one of those that the DNS names for the server `host` of `domain`; `None` if it names none.
    pub fn is_named(&self, records: &[Tlsa], domain: &str, host: &str) -> Option<bool> {
        if records.is_empty() {
            return None;
        }
        let Some((own, above)) = self.chain.split_first() else {
            return Some(false);
        };
        let mut found = records.iter().filter(|record| match record.usage {
            // RFC 7671 §5.1: the record binds the key to the name; neither the names within nor the times count.
            Usage::DaneEe => record.names(own),
            // RFC 7671 §5.3: besides, all that holds without DANE.
            Usage::PkixEe => record.names(own) && self.proves(domain).is_ok(),
            // RFC 7671 §5.2, RFC 7673 §4.1: times and names count, those of the domain or of the host that it names.
            Usage::DaneTa => {
                let names = self.names();
                (names.cover(domain) || names.cover(host))
                    && above
                        .iter()
                        .any(|root| record.names(root) && signed(own, above, root).is_ok())
            }
        });
        Some(found.next().is_some())
    }
}

/// Whether `root` has signed `own`, through `above`.
fn signed(
    own: &CertificateDer<'_>,
    above: &[CertificateDer<'_>],
    root: &CertificateDer<'_>,
) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots
        .add(root.clone().into_owned())
        .map_err(|_| CertificateError::BadEncoding)?;
    let provider = provider();
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(own)?,
        &roots,
        above,
        UnixTime::now(),
        provider.signature_verification_algorithms.all,
    )
}
