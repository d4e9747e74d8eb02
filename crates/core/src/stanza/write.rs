//! Writing a stanza onto a stream: a new start tag around the bytes that came.

use super::{Inner, Stanza};
use crate::xml::escape_attr;

/// What a written stanza's start tag says beyond what is copied.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head<'a> {
    /// `from`, left out if `None`.
    pub from: Option<&'a str>,
    /// `to`, left out if `None`.
    pub to: Option<&'a str>,
    /// `xml:lang`, used if the stanza has none (RFC 6120 §8.1.5: that of the stream it came on).
    pub lang: Option<&'a str>,
    /// The default namespace to declare: needed wherever none holds around the stanza, or another (WebSocket, storage,
    /// forwarding).
    pub xmlns: Option<&'a str>,
}

impl Stanza {
    /// Appends the stanza with the addresses of `head`. `id`, `type`, `xml:lang` and further attributes, prefix
    /// declarations among them, are copied as they came, the content byte by byte.
    pub fn write(&self, out: &mut Vec<u8>, head: Head<'_>) {
        let len = |text: Option<&str>| text.map_or(0, str::len);
        out.reserve(self.0.text.len() + 64 + len(head.from) + len(head.to));
        out.push(b'<');
        out.extend_from_slice(self.0.kind.as_str().as_bytes());
        attribute("xmlns", head.xmlns, out);
        attribute("from", head.from, out);
        attribute("to", head.to, out);
        self.0.write_rest(head.lang, out);
    }
}

impl Inner {
    /// Appends the copied attributes, the content and the end tag.
    pub(super) fn write_rest(&self, lang: Option<&str>, out: &mut Vec<u8>) {
        let bytes = self.text.as_bytes();
        for run in &self.index.kept {
            out.push(b' ');
            out.extend_from_slice(run.of(bytes));
        }
        if self.index.lang.is_none() {
            attribute("xml:lang", lang, out);
        }
        if self.index.content.len == 0 {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(self.index.content.of(bytes));
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.kind.as_str().as_bytes());
        out.push(b'>');
    }
}

/// Appends ` name='value'`, if there is a value.
#[inline]
pub(super) fn attribute(name: &str, value: Option<&str>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"='");
        escape_attr(value, out);
        out.push(b'\'');
    }
}
