//! Addresses: RFC 7622 (JIDs) and XEP-0106 1.1.1 (escaping, in [`escape`]).
//!
//! A [`Jid`] holds its prepared text and two offsets, so two JIDs are equal exactly when their texts are. [`BareJid`]
//! and [`FullJid`] say in the type whether there is a resourcepart.
//!
//! # Preparation
//! - localpart: PRECIS `UsernameCaseMapped` (RFC 8265 §3.3), then the excluded characters of RFC 7622 §3.3.1;
//! - resourcepart: PRECIS `OpaqueString` (RFC 8265 §4.2);
//! - domainpart: U-labels (RFC 5890) in lower case and NFC, a trailing dot cut off, or an IP literal. Underscores are let
//!   through, because names in private networks have them.
//! - Each part has 1 to 1023 bytes afterwards. Preparation is repeated until it changes nothing (RFC 8264 §7), so a
//!   prepared text always prepares to itself.
//!
//! # Peers that speak stringprep
//! RFC 6122 and older software prepares with Nodeprep and Resourceprep. The rule, argued in
//! `docs/adr/0001-jid-preparation.md`:
//! 1. PRECIS decides first.
//! 2. What PRECIS refuses is mapped as stringprep maps it (compatibility characters folded, invisible characters
//!    removed), and PRECIS judges the result. So an old client's `ＡＢ…` or `a<soft hyphen>b` reaches the account it means.
//! 3. Never the other way round: stringprep does not change what PRECIS accepts (`ß` stays `ß`).
//! 4. Names that this server hands out ([`mint_local`], [`mint_resource`]) must look the same to both standards, so no
//!    table here ever holds two entries that either of them calls equal.

mod nickname;
mod parse;
mod precis;
mod prepare;
#[cfg(test)]
mod tests;
mod typed;

pub mod escape;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

pub use nickname::nickname_key;
pub use prepare::{
    ascii_domain, mint_local, mint_resource, prepare_domain, prepare_local, prepare_resource,
};
pub use typed::{BareJid, FullJid};

/// RFC 7622 §3.1: the largest size of each part after preparation, in bytes.
pub const MAX_PART_BYTES: usize = 1023;

/// The part of a JID that a [`JidError`] speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JidPart {
    /// What stands before the `@`.
    Local,
    /// The host.
    Domain,
    /// What stands behind the first `/`.
    Resource,
}

impl fmt::Display for JidPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JidPart::Local => "localpart",
            JidPart::Domain => "domainpart",
            JidPart::Resource => "resourcepart",
        })
    }
}

/// Why a text is not a JID. On the wire it is `jid-malformed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// A part is there but empty, before or after preparation; an absent domainpart is an empty one.
    #[error("the {0} is empty")]
    Empty(JidPart),
    /// A part is longer than [`MAX_PART_BYTES`], or was so much longer before preparation that it was not looked at.
    #[error("the {0} is longer than 1023 bytes")]
    TooLong(JidPart),
    /// A part holds a character, or an order of characters, that its rules do not allow.
    #[error("the {0} has characters that are not allowed there")]
    Forbidden(JidPart),
    /// A bare JID was wanted.
    #[error("there is a resourcepart where none belongs")]
    UnexpectedResource,
    /// A full JID was wanted.
    #[error("the resourcepart is missing")]
    MissingResource,
    /// The part is a JID's by RFC 7622, but software on stringprep takes it for another name. Only for names to be handed
    /// out: [`mint_local`].
    #[error("older software takes this {0} for another name")]
    Ambiguous(JidPart),
}

/// A prepared JID, with or without localpart and resourcepart: 24 bytes and one allocation.
///
/// Equality, order and hash are those of the prepared text; as `Borrow<str>` promises, a map keyed by JIDs is looked up by
/// `&str`, which must then be prepared text.
///
/// ```
/// use tercet_core::Jid;
/// let jid: Jid = "Juliet@Capulet.example/Balcony".parse()?;
/// assert_eq!(jid.as_str(), "juliet@capulet.example/Balcony");
/// assert_eq!(jid.local(), Some("juliet"));
/// assert_eq!(jid.bare_str(), "juliet@capulet.example");
/// # Ok::<(), tercet_core::JidError>(())
/// ```
#[derive(Clone)]
pub struct Jid {
    text: Box<str>,
    /// Where the `@` stands; 0 if there is none (a localpart is never empty).
    at: u16,
    /// Where the bare JID ends: at the `/` or at the end.
    bare: u16,
}

impl Jid {
    /// Reads and prepares a JID.
    ///
    /// # Errors
    /// Any [`JidError`] but `UnexpectedResource`, `MissingResource` and `Ambiguous`.
    #[inline]
    pub fn parse(s: &str) -> Result<Jid, JidError> {
        parse::parse(s)
    }

    /// Prepares each part and joins them. Unlike in [`Jid::parse`], an `@` or `/` does not separate parts: in the localpart
    /// or domainpart it is an error.
    ///
    /// # Errors
    /// As [`Jid::parse`].
    pub fn from_parts(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Jid, JidError> {
        parse::from_parts(local, domain, resource)
    }

    /// The localpart.
    pub fn local(&self) -> Option<&str> {
        (self.at > 0).then(|| &self.text[..usize::from(self.at)])
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        let start = if self.at > 0 { self.at + 1 } else { 0 };
        &self.text[usize::from(start)..usize::from(self.bare)]
    }

    /// The resourcepart.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.bare) + 1..)
    }

    /// The whole prepared text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text without the resourcepart: `local@domain`, or `domain`.
    pub fn bare_str(&self) -> &str {
        &self.text[..usize::from(self.bare)]
    }

    /// Whether there is no resourcepart.
    pub fn is_bare(&self) -> bool {
        usize::from(self.bare) == self.text.len()
    }

    /// Whether there is a resourcepart.
    pub fn is_full(&self) -> bool {
        !self.is_bare()
    }

    /// A copy without the resourcepart.
    pub fn to_bare(&self) -> BareJid {
        BareJid(Jid {
            text: self.bare_str().into(),
            at: self.at,
            bare: self.bare,
        })
    }

    /// A copy, if there is a resourcepart.
    pub fn to_full(&self) -> Option<FullJid> {
        self.is_full().then(|| FullJid(self.clone()))
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Jid {}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Borrow<str> for Jid {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for Jid {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl PartialEq<str> for Jid {
    fn eq(&self, other: &str) -> bool {
        *self.text == *other
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jid({:?})", self.text)
    }
}

impl FromStr for Jid {
    type Err = JidError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Jid::parse(s)
    }
}

impl TryFrom<&str> for Jid {
    type Error = JidError;

    fn try_from(s: &str) -> Result<Self, Self::Error> {
        Jid::parse(s)
    }
}
