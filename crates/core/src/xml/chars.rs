//! Characters, names and references of XML 1.0 (fifth edition) and Namespaces in XML 1.0.

use std::borrow::Cow;

use super::error::Fault;

/// Longest reference accepted, from `&` to `;`. Leading zeros are legal XML, so it is not ten.
const REFERENCE_BYTES: usize = 64;

const START: u8 = 1;
const NAME: u8 = 2;
const SPACE: u8 = 4;
const ASCII_NAME: u8 = 8;

/// Classes of ASCII bytes; bytes of multi-byte characters count as name bytes and are looked at when the name is complete.
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => START | NAME | ASCII_NAME,
            b'0'..=b'9' | b'-' | b'.' => NAME | ASCII_NAME,
            0x80.. => START | NAME,
            b' ' | b'\t' | b'\n' | b'\r' => SPACE,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// XML white space: space, tab, line feed, carriage return.
#[inline]
pub(crate) fn is_space(byte: u8) -> bool {
    CLASS[byte as usize] & SPACE != 0
}

/// A qualified name at the front of some bytes: its length, and that of its prefix (0: none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QName {
    pub(crate) len: u16,
    pub(crate) prefix: u16,
}

/// Reads the name at the front of `bytes`. `None`: it may go on behind the end.
#[inline]
pub(crate) fn qname(bytes: &[u8], limit: u16) -> Result<Option<QName>, Fault> {
    let mut len = 0;
    while let Some(&byte) = bytes.get(len)
        && CLASS[usize::from(byte)] & ASCII_NAME != 0
    {
        len += 1;
    }
    // Most names are plain, and complete.
    if let Some(b'=' | b' ' | b'>' | b'/') = bytes.get(len)
        && CLASS[usize::from(bytes[0])] & START != 0
        && len <= usize::from(limit)
    {
        return Ok(Some(QName {
            len: len as u16,
            prefix: 0,
        }));
    }
    any_qname(bytes, limit)
}

/// The general case of [`qname`].
#[cold]
fn any_qname(bytes: &[u8], limit: u16) -> Result<Option<QName>, Fault> {
    let limit = usize::from(limit);
    let window = &bytes[..bytes.len().min(limit + 1)];
    let name_end = |from: usize| {
        let rest = &window[from..];
        rest.iter()
            .position(|&b| CLASS[usize::from(b)] & NAME == 0)
            .map_or(window.len(), |n| from + n)
    };
    let mut len = name_end(0);
    let mut prefix = 0;
    if window.get(len) == Some(&b':') {
        // Namespaces in XML §3: at most one colon, with a name on each side.
        if len == 0 {
            return Err(Fault::NotWellFormed);
        }
        prefix = len;
        len = name_end(len + 1);
    }
    if len > limit {
        return Err(Fault::NameBytes);
    }
    match window.get(len) {
        None => return Ok(None),
        Some(b':') => return Err(Fault::NotWellFormed),
        Some(_) => {}
    }
    let local = if prefix == 0 { 0 } else { prefix + 1 };
    let starts = |at: usize| CLASS[usize::from(window[at])] & START != 0;
    if !starts(0) || !starts(local) || !(window[..len].is_ascii() || is_qname(&window[..len])) {
        return Err(Fault::NotWellFormed);
    }
    Ok(Some(QName {
        len: len as u16,
        prefix: prefix as u16,
    }))
}

/// Whether all characters of a qualified name, ASCII or not, may stand where they stand.
#[cold]
fn is_qname(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| name.split(':').all(is_ncname))
}

/// Whether `name` is a legal name without a colon.
fn is_ncname(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

/// `NameStartChar` of XML 1.0 §2.3, without the colon.
fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | 'a'..='z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// `NameChar` of XML 1.0 §2.3, without the colon.
fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '0'..='9' | '-' | '.' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// `Char` of XML 1.0 §2.2.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// Marks, in its highest bit, the first byte of eight that is `byte`, and possibly others behind it.
#[inline]
pub(crate) fn equal(eight: u64, byte: u8) -> u64 {
    let differs = eight ^ (ONES * u64::from(byte));
    differs.wrapping_sub(ONES) & !differs
}

/// Marks the first of eight bytes that is below 0x20, like [`equal`].
#[inline]
pub(crate) fn control(eight: u64) -> u64 {
    eight.wrapping_sub(ONES * 0x20) & !eight
}

/// The first of eight bytes that was marked.
#[inline]
pub(crate) fn first_marked(marks: u64) -> Option<usize> {
    match marks & HIGH {
        0 => None,
        marks => Some(marks.trailing_zeros() as usize / 8),
    }
}

/// Finds, from `from` on, the first quote, `<`, `&` or control character.
#[inline]
pub(crate) fn value_end(bytes: &[u8], from: usize, quote: u8) -> Option<usize> {
    let mut at = from;
    while let Some(chunk) = bytes[at..].first_chunk() {
        let x = u64::from_le_bytes(*chunk);
        let marks = equal(x, quote) | equal(x, b'<') | equal(x, b'&') | control(x);
        if let Some(found) = first_marked(marks) {
            return Some(at + found);
        }
        at += 8;
    }
    let found = bytes[at..]
        .iter()
        .position(|&b| b == quote || matches!(b, b'<' | b'&' | 0..0x20))?;
    Some(at + found)
}

/// Texts longer than this are searched with wider steps.
const SHORT_TEXT: usize = 40;

/// Finds, from `from` on, the first `<`, `&` or `>`.
#[inline]
pub(crate) fn text_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at < from + SHORT_TEXT {
        let Some(chunk) = bytes[at..].first_chunk() else {
            break;
        };
        let x = u64::from_le_bytes(*chunk);
        if let Some(found) = first_marked(equal(x, b'<') | equal(x, b'&') | equal(x, b'>')) {
            return Some(at + found);
        }
        at += 8;
    }
    Some(at + memchr::memchr3(b'<', b'&', b'>', &bytes[at..])?)
}

/// The text of `bytes`, if they are UTF-8 and, from `from` on, legal XML characters throughout; and whether there may be
/// control characters in it.
#[inline]
pub(crate) fn check(bytes: &[u8], from: usize) -> Result<(&str, bool), Fault> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Fault::NotWellFormed)?;
    let controls = legal(&bytes[from..])?;
    Ok((text, controls || from > 0))
}

/// Refuses UTF-8 `bytes` with a control character other than tab, line feed and carriage return, or with U+FFFE or U+FFFF.
/// (Surrogates are not UTF-8.) Says whether there may be any of those three.
#[inline]
fn legal(bytes: &[u8]) -> Result<bool, Fault> {
    let mut any = false;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(rest.len().min(256));
        let mut seen = false;
        for &byte in chunk {
            seen |= byte < 0x20 || byte == 0xEF;
        }
        if seen && !chunk_is_legal(bytes, bytes.len() - rest.len(), chunk.len()) {
            return Err(Fault::NotWellFormed);
        }
        any |= seen;
        rest = more;
    }
    Ok(any)
}

/// The exact rule for `len` bytes from `at` on.
fn chunk_is_legal(bytes: &[u8], at: usize, len: usize) -> bool {
    bytes[at..at + len]
        .iter()
        .enumerate()
        .all(|(i, &byte)| match byte {
            b'\t' | b'\n' | b'\r' => true,
            0..0x20 => false,
            // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
            0xEF => !matches!(bytes.get(at + i + 1..at + i + 3), Some([0xBF, 0xBE | 0xBF])),
            _ => true,
        })
}

/// Reads the reference at the front of `bytes`, which begin with `&`: its length and the character it stands for.
/// `None`: it may go on behind the end.
pub(crate) fn reference(bytes: &[u8]) -> Result<Option<(usize, char)>, Fault> {
    let mut end = 1;
    loop {
        match bytes.get(end) {
            None => return Ok(None),
            Some(b';') => break,
            Some(b'#' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9') if end < REFERENCE_BYTES => {
                end += 1
            }
            Some(_) => return Err(Fault::NotWellFormed),
        }
    }
    let c = match &bytes[1..end] {
        b"lt" => '<',
        b"gt" => '>',
        b"amp" => '&',
        b"apos" => '\'',
        b"quot" => '"',
        [b'#', b'x', digits @ ..] => numeric(digits, 16)?,
        [b'#', digits @ ..] => numeric(digits, 10)?,
        [] => return Err(Fault::NotWellFormed),
        // RFC 6120 §11.1: no entity references but the five predefined ones.
        _ => return Err(Fault::Restricted),
    };
    Ok(Some((end + 1, c)))
}

fn numeric(digits: &[u8], radix: u32) -> Result<char, Fault> {
    let mut value = 0u32;
    for &digit in digits {
        let digit = (digit as char)
            .to_digit(radix)
            .ok_or(Fault::NotWellFormed)?;
        value = (value.saturating_mul(radix).saturating_add(digit)).min(0x11_0000);
    }
    if digits.is_empty() {
        return Err(Fault::NotWellFormed);
    }
    char::from_u32(value)
        .filter(|&c| is_char(c))
        .ok_or(Fault::NotWellFormed)
}

/// An attribute's value as XML 1.0 §3.3.3 defines it, from checked source text: references resolved, white space made
/// spaces.
#[inline]
pub(crate) fn attribute_value(raw: &str) -> Cow<'_, str> {
    if !raw
        .bytes()
        .any(|b| matches!(b, b'&' | b'\t' | b'\n' | b'\r'))
    {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(normalised_value(raw))
}

#[cold]
fn normalised_value(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let len = match rest.as_bytes() {
            [b'&', ..] => push_reference(rest, &mut out),
            // §2.11: CR LF is one line end, hence one space.
            [b'\r', b'\n', ..] => {
                out.push(' ');
                2
            }
            _ => {
                out.push(' ');
                1
            }
        };
        rest = &rest[len..];
    }
    out.push_str(rest);
    out
}

/// Appends the meaning of character data without markup, from checked source text: references resolved, line ends made
/// line feeds (XML 1.0 §2.11).
pub(crate) fn push_text(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\r']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let len = match rest.as_bytes() {
            [b'&', ..] => push_reference(rest, out),
            [b'\r', b'\n', ..] => 1,
            _ => {
                out.push('\n');
                1
            }
        };
        rest = &rest[len..];
    }
    out.push_str(rest);
}

/// Appends the meaning of a CDATA section's inside: only line ends change.
pub(crate) fn push_cdata(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = rest.find('\r') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if !rest.starts_with('\n') {
            out.push('\n');
        }
    }
    out.push_str(rest);
}

/// Appends the character that the reference at the front of `rest` stands for; returns the reference's length.
fn push_reference(rest: &str, out: &mut String) -> usize {
    match reference(rest.as_bytes()) {
        Ok(Some((len, c))) => {
            out.push(c);
            len
        }
        // Never for checked text; keep the ampersand rather than lose anything.
        _ => {
            out.push('&');
            1
        }
    }
}
