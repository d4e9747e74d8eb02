//! SASL (RFC 4422), the server's side, apart from how a stream carries its messages.
//!
//! [`Offer`] says which mechanisms and channel bindings a connection gets, [`Exchange`] runs one
//! attempt, and the files below hold the mechanisms. Passwords are kept as [`Credentials`].

mod binding;
mod exchange;
mod external;
mod keys;
mod plain;
mod scram;
mod token;

pub use binding::{BindingKind, downgrade_hash};
pub use keys::{
    Credentials, DEFAULT_ITERATIONS, KeyError, MAX_SALT_LEN, SALT_LEN, ScramHash, ScramKeys,
    verify_plain,
};
pub use scram::{CbindFlag, ClientFirst, Proof};
pub use token::TokenProof;

pub(crate) use exchange::{Exchange, Scope, Step, Success};
pub(crate) use token::TokenUse;

use smallvec::SmallVec;

use crate::tls::TlsInfo;

/// A SASL mechanism the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// EXTERNAL: the client's certificate (RFC 4422 Appendix A, XEP-0178).
    External,
    /// SCRAM-SHA-256-PLUS: RFC 7677 with channel binding.
    ScramSha256Plus,
    /// SCRAM-SHA-1-PLUS: RFC 5802 with channel binding.
    ScramSha1Plus,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// PLAIN (RFC 4616).
    Plain,
    /// ANONYMOUS (RFC 4505, XEP-0175).
    Anonymous,
    /// HT-SHA-256-EXPR: a token (XEP-0484), bound to the channel by `tls-exporter`.
    TokenExporter,
    /// HT-SHA-256-ENDP: a token, bound to the channel by `tls-server-end-point`.
    TokenEndPoint,
    /// HT-SHA-256-NONE: a token, bound to no channel.
    TokenUnbound,
}

impl Mechanism {
    /// Every mechanism, in the order the server prefers them and offers them in.
    pub const ALL: [Mechanism; 10] = [
        Self::External,
        Self::ScramSha256Plus,
        Self::ScramSha1Plus,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::Plain,
        Self::Anonymous,
        Self::TokenExporter,
        Self::TokenEndPoint,
        Self::TokenUnbound,
    ];

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
            Self::Anonymous => "ANONYMOUS",
            Self::TokenExporter => "HT-SHA-256-EXPR",
            Self::TokenEndPoint => "HT-SHA-256-ENDP",
            Self::TokenUnbound => "HT-SHA-256-NONE",
        }
    }

    /// The mechanism with this name (names are upper case: RFC 4422 §3.1).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    /// Whether the mechanism binds the login to its channel.
    pub const fn binds_channel(self) -> bool {
        matches!(
            self,
            Self::ScramSha256Plus | Self::ScramSha1Plus | Self::TokenExporter | Self::TokenEndPoint
        )
    }

    /// Whether what is shown is a token that the server has given to this very client (XEP-0484).
    pub const fn takes_token(self) -> bool {
        matches!(
            self,
            Self::TokenExporter | Self::TokenEndPoint | Self::TokenUnbound
        )
    }
}

/// The mechanisms and channel bindings that a client is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) mechanisms: SmallVec<[Mechanism; 7]>,
    /// Mechanisms for those who have a token.
    pub(crate) tokens: SmallVec<[Mechanism; 3]>,
    pub(crate) bindings: SmallVec<[BindingKind; 2]>,
}

impl Offer {
    /// What `host` offers over this TLS connection, or without TLS. `tokens`: those who have one may log in with it.
    /// Whether a host allows logins without TLS at all is decided before.
    pub(crate) fn new(host: &str, anonymous: bool, tls: Option<&TlsInfo>, tokens: bool) -> Self {
        let bindings: SmallVec<[BindingKind; 2]> =
            [BindingKind::TlsExporter, BindingKind::TlsServerEndPoint]
                .into_iter()
                .filter(|&kind| tls.is_some_and(|tls| tls.binding(kind).is_some()))
                .collect();
        let offered = |mechanism: &Mechanism| match mechanism {
            // XEP-0178 §2: only where the certificate says who it may be.
            Mechanism::External => {
                tls.is_some_and(|tls| external::candidates(tls, host).next().is_some())
            }
            Mechanism::ScramSha256Plus | Mechanism::ScramSha1Plus => !bindings.is_empty(),
            Mechanism::ScramSha256 | Mechanism::ScramSha1 | Mechanism::Plain => true,
            Mechanism::Anonymous => anonymous,
            Mechanism::TokenExporter | Mechanism::TokenEndPoint | Mechanism::TokenUnbound => false,
        };
        let takes = |mechanism: &Mechanism| match mechanism {
            Mechanism::TokenExporter => bindings.contains(&BindingKind::TlsExporter),
            Mechanism::TokenEndPoint => bindings.contains(&BindingKind::TlsServerEndPoint),
            mechanism => mechanism.takes_token(),
        };
        Self {
            mechanisms: Mechanism::ALL.into_iter().filter(offered).collect(),
            // XEP-0484 §6: over secure connections only.
            tokens: Mechanism::ALL
                .into_iter()
                .filter(|mechanism| tokens && takes(mechanism))
                .collect(),
            bindings,
        }
    }

    /// The attributes that show a client that nobody has shortened this offer (XEP-0474), or speaks another version of TLS
    /// with it than the server does (XEP-0515 0.1.0 §5.1).
    fn protection(&self, hash: ScramHash, tls: Option<&TlsInfo>) -> String {
        let mechanisms = self.mechanisms.iter().copied();
        let hash = downgrade_hash(hash, mechanisms, self.bindings.iter().copied());
        // Without a binding TLS may end in front of the server, where the version is another one.
        match tls.filter(|_| !self.bindings.is_empty()) {
            Some(tls) => format!("h={hash},t={:04x}", tls.version.number()),
            None => format!("h={hash}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_mechanisms_belong_together() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name("plain"), None);
    }

    #[test]
    fn plus_mechanisms_are_offered_only_with_a_channel_binding() {
        let names = |tls: Option<&TlsInfo>| {
            let offer = Offer::new("example.org", false, tls, tls.is_some());
            let plus = offer.mechanisms.iter().any(|m| m.binds_channel());
            let tokens = offer.tokens.len();
            (plus, offer.bindings.len(), offer.mechanisms.len(), tokens)
        };
        let bound = TlsInfo {
            exporter: Some(vec![1; 32]),
            end_point: Some(vec![2; 32]),
            ..TlsInfo::default()
        };
        assert_eq!(names(None), (false, 0, 3, 0));
        assert_eq!(names(Some(&TlsInfo::default())), (false, 0, 3, 1));
        assert_eq!(names(Some(&bound)), (true, 2, 5, 3));
    }
}
