//! TLS for XMPP streams: one session type of ours over rustls for both sides, certificates by host, and channel bindings.
//!
//! [`TlsSession`] is driven with buffers that belong to the thread, not to the connection, so that an idle connection
//! costs its keys and little more. It stands on rustls' unbuffered interface, which later versions of rustls replace:
//! [`session`] and [`side`] are the only files that name it.
//!
//! Protocol versions are TLS 1.2 (authenticated ciphers with forward secrecy only) and 1.3 (RFC 9325). There is no
//! renegotiation, no compression and no early data. Tickets resume sessions of both versions; they are encrypted by keys
//! that live in memory and are replaced whenever a certificate changes.
//!
//! Certificates of those who connect are asked for and never required (XEP-0178): the handshake proves possession of
//! the key, and the chain is judged behind it by [`peer`]. So it is with the servers that we connect to: what their
//! certificates are worth, the stream decides. [`names`] has the rules for names.
//!
//! - RFC 6120 §5, §13.7: STARTTLS, certificates; XEP-0368: direct TLS with ALPN.
//! - RFC 9266 `tls-exporter` and RFC 5929 §4 `tls-server-end-point` ([`binding`]).

mod acceptor;
mod binding;
mod certificates;
mod connector;
pub mod dane;
mod expiry;
pub mod local_ca;
mod names;
mod peer;
mod session;
mod side;
#[cfg(test)]
mod tests;

pub use acceptor::{ALPN_CLIENT, ALPN_HTTP_2, TlsAcceptor};
pub use certificates::{CertificateFiles, Certificates};
pub use connector::{ALPN_SERVER, TlsConnector};
pub use expiry::{Expiries, Expiry};
pub use names::CertificateNames;
pub use peer::{Doubt, PeerCertificate};
pub use session::{TlsEvent, TlsInfo, TlsSession, TlsVersion};

use std::path::PathBuf;

/// What went wrong with TLS, by who is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The peer broke the protocol, or shares no version, cipher or ALPN name with us. The alert for it is in the output.
    #[error("TLS: {0}")]
    Peer(#[from] rustls::Error),
    /// The peer keeps a handshake message open for more than [`session`] holds for it.
    #[error("TLS: unfinished message too long")]
    TooLong,
    /// Bytes to encrypt after the closing alert, or before the handshake is complete.
    #[error("TLS: the connection does not take data now")]
    NotOpen,
    /// A file of the configuration cannot be read or used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why, for people.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("making a certificate: {0}")]
    Make(String),
    /// There is no certificate at all.
    #[error("no certificate is configured")]
    NoCertificate,
}

impl TlsError {
    fn file(path: impl Into<PathBuf>, reason: impl std::fmt::Display) -> Self {
        TlsError::File {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}
