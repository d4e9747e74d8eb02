//! Splitting a text into parts (RFC 7622 §3.1), with a short way for ASCII.

use super::prepare::{prepare_domain, prepare_local, prepare_resource};
use super::{Jid, JidError, MAX_PART_BYTES};

/// The class of every byte, one bit per place where it needs no work. A part is fine when the AND over its bytes still
/// has the part's bit.
const LOCAL: u8 = 1;
const DOMAIN: u8 = 2;
/// Not an ASCII upper-case letter.
const LOWER: u8 = 4;
/// `.` and `-`: two of those in a row, or one at an end of the domainpart, go to the long way, which alone knows about
/// `xn--`, empty labels and the trailing dot.
const JOINT: u8 = 8;
/// `@` and `/`.
const SEPARATOR: u8 = 16;

static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 128 {
        let b = i as u8;
        let mut class = 0;
        if b >= 0x21 && b <= 0x7e {
            // RFC 7622 §3.3.1: these may not appear in a localpart.
            if !matches!(b, b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@') {
                class |= LOCAL;
            }
            if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_') {
                class |= DOMAIN;
            }
        }
        if !b.is_ascii_uppercase() {
            class |= LOWER;
        }
        if matches!(b, b'.' | b'-') {
            class |= JOINT;
        }
        if matches!(b, b'@' | b'/') {
            class |= SEPARATOR;
        }
        table[i] = class;
        i += 1;
    }
    table
};

/// What a look at the bytes before the resourcepart found.
struct Scan {
    at: usize,
    bare: usize,
    /// Fine as they are, but for case.
    plain: bool,
    /// Upper case seen: the copy has to be folded.
    upper: bool,
}

#[inline]
fn scan(bytes: &[u8]) -> Scan {
    let (mut at, mut bare) = (0, bytes.len());
    let (mut plain, mut upper) = (true, false);
    // Of the part so far: the AND of its classes, `JOINT` where two met, and the class of the last byte.
    let (mut class, mut joints, mut last) = (0xff, 0, JOINT);
    for (i, &b) in bytes.iter().enumerate() {
        let c = CLASS[usize::from(b)];
        if c & SEPARATOR != 0 {
            if b == b'/' {
                bare = i;
                break;
            }
            // A first `@` at 0 ends an empty localpart; a second one stands in the domainpart.
            plain &= at == 0 && i > 0 && class & LOCAL != 0;
            upper |= class & LOWER == 0;
            at = i;
            (class, joints, last) = (0xff, 0, JOINT);
            continue;
        }
        class &= c;
        joints |= last & c;
        last = c;
    }
    Scan {
        at,
        bare,
        plain: plain && class & DOMAIN != 0 && (joints | last) & JOINT == 0,
        upper: upper || class & LOWER == 0,
    }
}

pub(super) fn parse(s: &str) -> Result<Jid, JidError> {
    let bytes = s.as_bytes();
    let found = scan(bytes);
    let short = bytes.len() <= MAX_PART_BYTES;
    let resource = &bytes[bytes.len().min(found.bare + 1)..];
    if found.plain && short && (found.bare == bytes.len() || plain_resource(resource)) {
        let mut text: Box<str> = s.into();
        if found.upper {
            text[..found.bare].make_ascii_lowercase();
        }
        return Ok(Jid {
            text,
            at: found.at as u16,
            bare: found.bare as u16,
        });
    }
    parse_slowly(s)
}

fn plain_resource(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .fold(true, |all, b| all & matches!(b, b' '..=b'~'))
}

#[cold]
fn parse_slowly(s: &str) -> Result<Jid, JidError> {
    // RFC 7622 §3.1: the first `/` ends the bare JID, and only then does the first `@` before it end the localpart.
    let (bare, resource) = match s.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (s, None),
    };
    let (local, domain) = match bare.split_once('@') {
        Some((local, domain)) => (Some(local), domain),
        None => (None, bare),
    };
    from_parts(local, domain, resource)
}

pub(super) fn from_parts(
    local: Option<&str>,
    domain: &str,
    resource: Option<&str>,
) -> Result<Jid, JidError> {
    let local = local.map(prepare_local).transpose()?;
    let domain = prepare_domain(domain)?;
    let resource = resource.map(prepare_resource).transpose()?;
    Ok(join(local.as_deref(), &domain, resource.as_deref()))
}

/// Joins parts that are prepared, hence at most [`MAX_PART_BYTES`] each: the offsets fit.
pub(super) fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Jid {
    let mut text = String::with_capacity(
        local.map_or(0, |l| l.len() + 1) + domain.len() + resource.map_or(0, |r| r.len() + 1),
    );
    let mut at = 0;
    if let Some(local) = local {
        text.push_str(local);
        at = text.len() as u16;
        text.push('@');
    }
    text.push_str(domain);
    let bare = text.len() as u16;
    if let Some(resource) = resource {
        text.push('/');
        text.push_str(resource);
    }
    Jid {
        text: text.into_boxed_str(),
        at,
        bare,
    }
}

/// Whether an ASCII localpart needs nothing but the folding of case.
pub(super) fn is_plain_local(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| CLASS[usize::from(b)] & LOCAL != 0)
}

/// Whether a resourcepart is ASCII and needs nothing.
pub(super) fn is_plain_resource(s: &str) -> bool {
    plain_resource(s.as_bytes())
}

/// Whether an ASCII domainpart needs nothing but the folding of case; a no is not a verdict.
pub(super) fn is_plain_domain(s: &str) -> bool {
    let found = scan(s.as_bytes());
    found.plain && found.at == 0 && found.bare == s.len()
}
