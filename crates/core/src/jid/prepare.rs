//! The preparation of each part, and the meeting of PRECIS and stringprep (see the module above).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::parse::{is_plain_domain, is_plain_local, is_plain_resource};
use super::precis::{is_identifier, opaque_string, username_case_mapped};
use super::{JidError, JidPart, MAX_PART_BYTES};

/// A part longer than this is refused unseen: it bounds the work, and no writing shrinks that far in preparation.
const MAX_RAW_BYTES: usize = 3 * MAX_PART_BYTES;

/// RFC 8264 §7: a preparation that has not settled after this many rounds is refused.
const MAX_ROUNDS: usize = 4;

/// What a domainpart may not hold beside letters, digits, `-`, `.` and `_`.
const NOT_IN_DOMAIN: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

/// Prepares a localpart.
///
/// # Errors
/// `Empty`, `TooLong` or `Forbidden`.
pub fn prepare_local(s: &str) -> Result<Cow<'_, str>, JidError> {
    if is_plain_local(s) {
        return within_limit(ascii_lowercase(s), JidPart::Local);
    }
    prepare(s, JidPart::Local, precis_local, stringprep::nodeprep)
}

/// Prepares a resourcepart.
///
/// # Errors
/// `Empty`, `TooLong` or `Forbidden`.
pub fn prepare_resource(s: &str) -> Result<Cow<'_, str>, JidError> {
    if is_plain_resource(s) {
        return within_limit(Cow::Borrowed(s), JidPart::Resource);
    }
    prepare(
        s,
        JidPart::Resource,
        opaque_string,
        stringprep::resourceprep,
    )
}

/// Prepares a localpart that this server is to hand out (a new account, room or node), which must mean the same to
/// software on stringprep: else two accounts would be one in such a peer's eyes, and one of them unreachable.
///
/// # Errors
/// As [`prepare_local`], and `Ambiguous` (`straße`, which Nodeprep reads as `strasse`).
pub fn mint_local(s: &str) -> Result<Cow<'_, str>, JidError> {
    let prepared = prepare_local(s)?;
    match stringprep::nodeprep(&prepared) {
        Ok(theirs) if theirs != prepared => Err(JidError::Ambiguous(JidPart::Local)),
        // What stringprep refuses (characters newer than its Unicode 3.2) it does not take for something else.
        _ => Ok(prepared),
    }
}

/// Prepares a resourcepart that this server is to hand out: where stringprep maps it to something else that PRECIS
/// accepts, it is that. The server may change a requested resource (RFC 6120 §7.7.2.1).
///
/// # Errors
/// As [`prepare_resource`].
pub fn mint_resource(s: &str) -> Result<Cow<'_, str>, JidError> {
    let prepared = prepare_resource(s)?;
    match stringprep::resourceprep(&prepared) {
        Ok(theirs) if theirs != prepared => Ok(Cow::Owned(prepare_resource(&theirs)?.into_owned())),
        _ => Ok(prepared),
    }
}

/// Prepares a domainpart: a name, an IPv4 address, or an IPv6 address in brackets.
///
/// # Errors
/// `Empty`, `TooLong` or `Forbidden`.
pub fn prepare_domain(s: &str) -> Result<Cow<'_, str>, JidError> {
    const PART: JidPart = JidPart::Domain;
    if is_plain_domain(s) {
        return within_limit(ascii_lowercase(s), PART);
    }
    check_raw(s, PART)?;
    if let Some(literal) = s.strip_prefix('[').and_then(|s| s.strip_suffix(']')) {
        // One spelling for one address, so that equal addresses are equal texts.
        let address: Ipv6Addr = literal.parse().map_err(|_| JidError::Forbidden(PART))?;
        return Ok(Cow::Owned(format!("[{address}]")));
    }
    let (name, verdict) =
        Uts46::new().to_unicode(s.as_bytes(), NOT_IN_DOMAIN, Hyphens::CheckFirstLast);
    verdict.map_err(|_| JidError::Forbidden(PART))?;
    // RFC 7622 §3.2: a final label separator is stripped before anything else is done with the domainpart.
    let name = match name.strip_suffix('.') {
        Some(stripped) => Cow::Owned(stripped.to_owned()),
        None => name,
    };
    if name.is_empty() {
        return Err(JidError::Empty(PART));
    }
    // UTS 46 lets symbols through; IDNA2008 has letters, digits and marks, as has the IdentifierClass. What was decoded
    // must not look encoded still: it would be decoded again.
    let labels_ok = name.split('.').all(|label| {
        let decoded_ok = || is_identifier(label) && !label.starts_with("xn--");
        !label.is_empty() && (label.is_ascii() || decoded_ok())
    });
    if !labels_ok {
        return Err(JidError::Forbidden(PART));
    }
    within_limit(name, PART)
}

/// A prepared domainpart as DNS, TLS and certificates write it: in A-labels (RFC 5890 §2.3.2.1). None if it cannot be a
/// name there, as with a label of more than 63 bytes. What is ASCII stays as it is.
pub fn ascii_domain(domain: &str) -> Option<Cow<'_, str>> {
    if domain.is_ascii() {
        return Some(Cow::Borrowed(domain));
    }
    let ascii = Uts46::new().to_ascii(
        domain.as_bytes(),
        NOT_IN_DOMAIN,
        Hyphens::CheckFirstLast,
        DnsLength::Verify,
    );
    ascii.ok()
}

fn prepare<'a>(
    s: &'a str,
    part: JidPart,
    precis: fn(&str) -> Option<String>,
    stringprep: for<'s> fn(&'s str) -> Result<Cow<'s, str>, stringprep::Error>,
) -> Result<Cow<'a, str>, JidError> {
    check_raw(s, part)?;
    if let Some(prepared) = settle(s, precis) {
        return within_limit(Cow::Owned(prepared), part);
    }
    // Stringprep's Unicode ends at 3.2; what it does not know, a query may pass through it (RFC 3454 §7), which leaves the
    // removal of invisible characters.
    let mapped = match stringprep(s) {
        Ok(mapped) => mapped.into_owned(),
        Err(_) => s
            .chars()
            .filter(|&c| !stringprep::tables::commonly_mapped_to_nothing(c))
            .collect(),
    };
    match settle(&mapped, precis) {
        Some(prepared) => within_limit(Cow::Owned(prepared), part),
        None => Err(JidError::Forbidden(part)),
    }
}

/// Applies `precis` until it changes nothing.
fn settle(s: &str, precis: fn(&str) -> Option<String>) -> Option<String> {
    let mut current = precis(s)?;
    let mut changed = current != s;
    for _ in 1..MAX_ROUNDS {
        if !changed {
            return Some(current);
        }
        let next = precis(&current)?;
        changed = next != current;
        current = next;
    }
    (!changed).then_some(current)
}

fn precis_local(s: &str) -> Option<String> {
    let prepared = username_case_mapped(s)?;
    // RFC 7622 §3.3.1: judged afterwards too, since a full-width `＠` becomes `@`.
    let excluded = |c| matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@');
    (!prepared.contains(excluded)).then_some(prepared)
}

fn check_raw(s: &str, part: JidPart) -> Result<(), JidError> {
    match s.len() {
        0 => Err(JidError::Empty(part)),
        1..=MAX_RAW_BYTES => Ok(()),
        _ => Err(JidError::TooLong(part)),
    }
}

fn within_limit(s: Cow<'_, str>, part: JidPart) -> Result<Cow<'_, str>, JidError> {
    if s.is_empty() {
        Err(JidError::Empty(part))
    } else if s.len() > MAX_PART_BYTES {
        Err(JidError::TooLong(part))
    } else {
        Ok(s)
    }
}

fn ascii_lowercase(s: &str) -> Cow<'_, str> {
    if s.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(s.to_ascii_lowercase())
    } else {
        Cow::Borrowed(s)
    }
}
