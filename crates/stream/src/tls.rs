//! What the stream needs to know about the TLS connection that carries it.

use tercet_core::BareJid;

use crate::sasl::BindingKind;

/// A TLS connection, seen after its handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// The exporter value of RFC 9266 (label `EXPORTER-Channel-Binding`, no context, 32 bytes).
    /// `None` where it binds nothing: TLS 1.2 without extended master secret.
    pub exporter: Option<Vec<u8>>,
    /// The `tls-server-end-point` value (RFC 5929 §4.1): hash of the server's certificate.
    pub end_point: Option<Vec<u8>>,
    /// The negotiated version.
    pub version: TlsVersion,
    /// The client's certificate, only if its chain was verified.
    pub peer: Option<PeerCertificate>,
    /// TLS from the first byte (XEP-0368), not by STARTTLS.
    pub direct: bool,
}

impl TlsInfo {
    /// The channel binding data of `kind`.
    pub fn binding(&self, kind: BindingKind) -> Option<&[u8]> {
        match kind {
            BindingKind::TlsExporter => self.exporter.as_deref(),
            BindingKind::TlsServerEndPoint => self.end_point.as_deref(),
        }
    }
}

/// Versions of TLS the server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    #[default]
    Tls13,
}

impl TlsVersion {
    /// The number that stands for it in the protocol itself (RFC 8446 §4.2.1).
    pub const fn number(self) -> u16 {
        match self {
            Self::Tls12 => 0x0303,
            Self::Tls13 => 0x0304,
        }
    }
}

/// What counts of a verified client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The `id-on-xmppAddr` subject alternative names (RFC 6120 §13.7.1.4) that are bare JIDs.
    pub xmpp_addrs: Vec<BareJid>,
}
