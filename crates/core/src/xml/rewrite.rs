//! Rare changes of a whole frame's bytes, which leave its meaning.

use super::element::OwnedElement;
use super::scope::Scope;
use super::{Limits, XmlError};

/// The bytes with every line end a line feed.
pub(super) fn with_line_feeds(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut last = 0;
    for &byte in bytes {
        match byte {
            b'\n' if last == b'\r' => {}
            b'\r' => out.push(b'\n'),
            _ => out.push(byte),
        }
        last = byte;
    }
    out
}

/// A stanza with no prefixes on children in the content namespace, so that they are in the content namespace of whatever
/// stream they travel on, as those written without are.
pub(super) fn without_prefixes(
    bytes: &[u8],
    scope: &Scope<'_>,
    limits: &Limits,
) -> Result<Vec<u8>, XmlError> {
    let stanza = OwnedElement::scan(bytes, scope)?;
    let limit = limits.stanza_bytes as usize;
    let mut out = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for child in stanza
        .root()
        .children()
        .filter(|c| c.is_prefixed() && c.ns() == scope.default)
    {
        let (start, end) = child.source_span();
        out.extend_from_slice(&bytes[from..start]);
        // A long namespace name instead of a short prefix on thousands of elements is not worth its bytes.
        if !child.write_unprefixed(scope.default, &mut out, limit) {
            return Err(XmlError::Policy("stanza bytes"));
        }
        from = end;
    }
    out.extend_from_slice(&bytes[from..]);
    Ok(out)
}
