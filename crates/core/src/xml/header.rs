//! The stream header and the XML declaration before it.

use std::borrow::Cow;

use super::scan::Scanner;
use super::scope::{Declaration, Scope};
use super::{XmlError, chars, ns};

/// A stream header as sent (RFC 6120 §4.7), for the stream's state machine to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHeader {
    /// The default namespace declared on it, empty if none: the content namespace (RFC 6120 §4.8.2).
    pub content_ns: String,
    /// Whether its namespace is [`ns::STREAMS`]. If not, the stream must end with `invalid-namespace`.
    pub stream_ns_ok: bool,
    /// The stream element's prefix, empty if none. RFC 6120 §4.8.5 wants `stream`; any prefix works here, and whoever
    /// wants to be strict answers `bad-namespace-prefix`.
    pub prefix: String,
    /// `to`, as sent.
    pub to: Option<String>,
    /// `from`, as sent.
    pub from: Option<String>,
    /// `id`, as sent.
    pub id: Option<String>,
    /// `version`, as sent.
    pub version: Option<String>,
    /// `xml:lang`, as sent.
    pub lang: Option<String>,
    /// Prefixes declared on it and their namespaces, that of the stream element among them. They stay in scope: dialback
    /// is announced so (XEP-0220 §2.1.1).
    pub declarations: Vec<(String, String)>,
}

/// What a header leaves behind for the stanzas after it.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) content_ns: Cow<'static, str>,
    /// The stream element's qualified name.
    pub(crate) name: Cow<'static, str>,
    pub(crate) outer: Vec<Declaration>,
}

/// The header in `bytes`, whose start tag `scanner` has just read.
pub(crate) fn header(
    bytes: &[u8],
    scanner: &Scanner,
    scope: &Scope<'_>,
) -> Result<(StreamHeader, Context), XmlError> {
    let (text, _) = chars::check(bytes, scanner.checked())?;
    let (name, prefix_len) = scanner.tag_name();
    let qname = name.text(text);
    let (prefix, local) = match prefix_len {
        0 => ("", qname),
        n => (&qname[..usize::from(n)], &qname[usize::from(n) + 1..]),
    };
    if local != "stream" {
        return Err(XmlError::BadFormat);
    }
    let mut header = StreamHeader {
        content_ns: String::new(),
        stream_ns_ok: false,
        prefix: prefix.to_owned(),
        to: None,
        from: None,
        id: None,
        version: None,
        lang: None,
        declarations: Vec::new(),
    };
    let mut outer: Vec<Declaration> = Vec::new();
    for attr in scanner.attributes() {
        let value = chars::attribute_value(attr.value.text(text)).into_owned();
        if attr.declares {
            if attr.prefix == 0 {
                header.content_ns = value;
            } else {
                let prefix = attr.local().text(text);
                if prefix != "xml" {
                    outer.push((prefix_name(prefix), known(&value)));
                    header.declarations.push((prefix.to_owned(), value));
                }
            }
            continue;
        }
        match attr.name.text(text) {
            "to" => header.to = Some(value),
            "from" => header.from = Some(value),
            "id" => header.id = Some(value),
            "version" => header.version = Some(value),
            "xml:lang" => header.lang = Some(value),
            _ => {}
        }
    }
    let stream_ns = match prefix {
        "" => header.content_ns.as_str(),
        _ => header
            .declarations
            .iter()
            .find(|d| d.0 == prefix)
            .map_or("", |d| d.1.as_str()),
    };
    header.stream_ns_ok = stream_ns == ns::STREAMS;
    debug_assert!(scope.header);
    outer.shrink_to_fit();
    let context = Context {
        content_ns: ns::intern(&header.content_ns),
        name: if qname == "stream:stream" {
            Cow::Borrowed("stream:stream")
        } else {
            qname.to_owned().into()
        },
        outer,
    };
    Ok((header, context))
}

fn prefix_name(prefix: &str) -> Cow<'static, str> {
    match prefix {
        "stream" => Cow::Borrowed("stream"),
        "db" => Cow::Borrowed("db"),
        _ => prefix.to_owned().into(),
    }
}

fn known(value: &str) -> Cow<'static, str> {
    match value {
        ns::STREAMS => Cow::Borrowed(ns::STREAMS),
        ns::DIALBACK => Cow::Borrowed(ns::DIALBACK),
        _ => value.to_owned().into(),
    }
}

/// Longest XML declaration accepted.
const DECLARATION_BYTES: usize = 256;

/// Reads the XML declaration at the front of `bytes`, which begin with `<?`: its length. `None`: it goes on behind the end.
pub(crate) fn declaration(bytes: &[u8]) -> Result<Option<usize>, XmlError> {
    let begin = b"<?xml";
    let have = &bytes[..bytes.len().min(begin.len())];
    if !begin.starts_with(have) {
        // RFC 6120 §11.1: no processing instructions.
        return Err(XmlError::Restricted);
    }
    match bytes.get(begin.len()) {
        None => return Ok(None),
        Some(&b) if chars::is_space(b) => {}
        Some(_) => return Err(XmlError::Restricted),
    }
    let window = &bytes[..bytes.len().min(DECLARATION_BYTES)];
    let Some(end) = window.windows(2).position(|w| w == b"?>") else {
        return if bytes.len() < DECLARATION_BYTES {
            Ok(None)
        } else {
            Err(XmlError::Policy("XML declaration"))
        };
    };
    let text =
        std::str::from_utf8(&bytes[begin.len()..end]).map_err(|_| XmlError::NotWellFormed)?;
    let mut rest = text;
    let mut expected = ["version", "encoding", "standalone"].iter();
    let mut first = true;
    while let Some((name, value, more)) = pseudo_attribute(rest)? {
        rest = more;
        // XML 1.0 §2.8: in this order, the version always.
        if !expected.any(|e| *e == name) || (first && name != "version") {
            return Err(XmlError::NotWellFormed);
        }
        first = false;
        match name {
            // RFC 6120 §11.5: XML 1.0.
            "version" if value != "1.0" => return Err(XmlError::NotWellFormed),
            // RFC 6120 §11.6: UTF-8 and nothing else.
            "encoding" if !value.eq_ignore_ascii_case("utf-8") => {
                return Err(XmlError::UnsupportedEncoding);
            }
            "standalone" if value != "yes" && value != "no" => return Err(XmlError::NotWellFormed),
            _ => {}
        }
    }
    if first {
        Err(XmlError::NotWellFormed)
    } else {
        Ok(Some(end + 2))
    }
}

/// `S name = 'value'` at the front of `text`, and what follows; `None` if only white space is left.
fn pseudo_attribute(text: &str) -> Result<Option<(&str, &str, &str)>, XmlError> {
    let space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let trimmed = text.trim_start_matches(space);
    if trimmed.is_empty() {
        return Ok(None);
    }
    let split = || {
        if trimmed.len() == text.len() {
            return None;
        }
        let (name, rest) = trimmed.split_once('=')?;
        let rest = rest.trim_start_matches(space);
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (value, rest) = rest[1..].split_once(quote)?;
        Some((name.trim_end_matches(space), value, rest))
    };
    split().map(Some).ok_or(XmlError::NotWellFormed)
}
