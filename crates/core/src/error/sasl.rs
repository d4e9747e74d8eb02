//! SASL failures, RFC 6120 §6.5.

use std::fmt;

use crate::xml::{XmlWriter, ns};

use super::write_text;

macro_rules! failures {
    ($($(#[$doc:meta])* $variant:ident $name:literal)*) => {
        /// Why an attempt to log in failed: the conditions of RFC 6120 §6.5.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum SaslFailure {
            $($(#[$doc])* $variant,)*
        }

        impl SaslFailure {
            /// Every failure, in the order of the RFC.
            pub const ALL: &'static [SaslFailure] = &[$(SaslFailure::$variant),*];

            /// The name of the element.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(SaslFailure::$variant => $name,)*
                }
            }
        }
    };
}

failures! {
    /// The peer gave up (§6.5.1).
    Aborted "aborted"
    /// The account is disabled (§6.5.2).
    AccountDisabled "account-disabled"
    /// The credentials have expired (§6.5.3).
    CredentialsExpired "credentials-expired"
    /// The mechanism is for encrypted streams only (§6.5.4).
    EncryptionRequired "encryption-required"
    /// Data that is not base64 (§6.5.5).
    IncorrectEncoding "incorrect-encoding"
    /// The authorization identity is malformed or not the peer's to take (§6.5.6).
    InvalidAuthzid "invalid-authzid"
    /// The mechanism is not offered (§6.5.7).
    InvalidMechanism "invalid-mechanism"
    /// A message that does not fit the mechanism (§6.5.8).
    MalformedRequest "malformed-request"
    /// The account may not be used with so weak a mechanism (§6.5.9).
    MechanismTooWeak "mechanism-too-weak"
    /// Wrong credentials, or no such account: the two are not told apart (§6.5.10).
    NotAuthorized "not-authorized"
    /// A fault on this side that may pass (§6.5.11).
    TemporaryAuthFailure "temporary-auth-failure"
}

impl SaslFailure {
    /// The failure with this element name.
    pub fn from_name(name: &str) -> Option<SaslFailure> {
        SaslFailure::ALL
            .iter()
            .copied()
            .find(|f| f.as_str() == name)
    }

    /// Writes `<failure/>` (RFC 6120 §6.4.5), with a text for people.
    ///
    /// ```
    /// use tercet_core::{SaslFailure, XmlWriter};
    /// let mut w = XmlWriter::new();
    /// SaslFailure::NotAuthorized.write(&mut w, None);
    /// assert_eq!(w.finish(), b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>");
    /// ```
    pub fn write(self, w: &mut XmlWriter, text: Option<&str>) {
        w.start("failure").attr("xmlns", ns::SASL);
        w.leaf(self.as_str(), &[]);
        write_text(w, text, ns::SASL);
        w.end();
    }
}

impl fmt::Display for SaslFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for SaslFailure {}
