//! What an item of a list says.

use std::collections::HashMap;

use aws_lc_rs::digest;
use tercet_core::{BareJid, Element, Jid};

/// XEP-0377
const REPORTING: &str = "urn:xmpp:reporting:1";

/// The SHA-256 of an address.
pub(super) type Hash = [u8; 32];
/// Entries, and why they are there.
pub(super) type Entries = HashMap<Hash, Reason>;

/// Why somebody is on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// It does not say.
    Unsaid = 0,
    /// Spam.
    Spam = 1,
    /// Abuse.
    Abuse = 2,
}

impl Reason {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unsaid => "",
            Reason::Spam => "spam",
            Reason::Abuse => "abuse",
        }
    }

    /// Reads the byte as which it is kept.
    pub(super) fn read(bytes: &[u8]) -> Reason {
        match bytes.first() {
            Some(1) => Reason::Spam,
            Some(2) => Reason::Abuse,
            _ => Reason::Unsaid,
        }
    }
}

/// The hash of a normalised address.
pub(super) fn hash(address: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, address.as_bytes()).as_ref());
    hash
}

/// The hashes under which somebody may be listed: of the bare JID, and of its domain.
pub(super) fn hashes(jid: &Jid) -> impl Iterator<Item = Hash> {
    let domain = jid.local().map(|_| hash(jid.domain()));
    std::iter::once(hash(jid.bare_str())).chain(domain)
}

/// Whom an item's name means; `None`: it is no name of an entry.
pub(super) fn named(id: &str) -> Option<Hash> {
    digits(id).or_else(|| Some(hash(BareJid::parse(id).ok()?.as_str())))
}

/// 64 hexadecimal digits.
pub(super) fn digits(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = Hash::default();
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let value = digit(pair[0])? << 4 | digit(pair[1])?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(hash)
}

/// An item with its name, and the report (XEP-0377) in it if there is one.
pub(super) fn item(item: Element<'_>) -> Option<(Hash, Reason)> {
    let report = item.child("report", REPORTING);
    let reason = report.and_then(|report| report.attr("reason").map(|r| r.into_owned()));
    let reason = match reason.as_deref() {
        Some("urn:xmpp:reporting:spam") => Reason::Spam,
        Some("urn:xmpp:reporting:abuse") => Reason::Abuse,
        _ => Reason::Unsaid,
    };
    Some((named(&item.attr("id")?)?, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_hash_or_an_address() {
        let digits = "7e578a5f03ff9660625f4806c24d3845007c9fa226dcd63e1075b299cbbe2da9";
        assert_eq!(named(digits), Some(hash("romeo@example.net")));
        assert_eq!(named("Romeo@Example.net"), Some(hash("romeo@example.net")));
        assert_eq!(named("example.net"), Some(hash("example.net")));
        assert_eq!(named("a b"), None);
        assert_eq!(named(&digits[1..]), Some(hash(&digits[1..])));
        assert_eq!(named(&digits.to_uppercase()), named(digits));
    }

    #[test]
    fn who_is_listed_by_domain_is_listed_whatever_the_name() {
        let jid = Jid::parse("romeo@example.net/x").unwrap();
        let found: Vec<_> = hashes(&jid).collect();
        assert_eq!(found, [hash("romeo@example.net"), hash("example.net")]);
        let domain = Jid::parse("example.net").unwrap();
        assert_eq!(hashes(&domain).collect::<Vec<_>>(), [hash("example.net")]);
    }
}
