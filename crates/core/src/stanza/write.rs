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

/// How the content of a stanza differs when it is written from how it came. The default changes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edit<'a> {
    /// Children that are left out: their places among [`Stanza::children`], ascending.
    pub leave_out: &'a [u32],
    /// Elements that follow the last child, as XML: whole, with every prefix and namespace but the content namespace
    /// declared in them.
    pub append: &'a [u8],
}

impl Stanza {
    /// Appends the stanza with the addresses of `head`. `id`, `type`, `xml:lang` and further attributes, prefix
    /// declarations among them, are copied as they came, the content byte by byte.
    pub fn write(&self, out: &mut Vec<u8>, head: Head<'_>) {
        self.write_edited(out, head, Edit::default());
    }

    /// Like [`Stanza::write`], with the children that `edit` names left out and its bytes behind the others.
    pub fn write_edited(&self, out: &mut Vec<u8>, head: Head<'_>, edit: Edit<'_>) {
        let len = |text: Option<&str>| text.map_or(0, str::len);
        out.reserve(self.0.text.len() + 64 + len(head.from) + len(head.to) + edit.append.len());
        out.push(b'<');
        out.extend_from_slice(self.0.kind.as_str().as_bytes());
        attribute("xmlns", head.xmlns, out);
        attribute("from", head.from, out);
        attribute("to", head.to, out);
        self.0.write_rest(head.lang, edit, out);
    }
}

impl Inner {
    /// Appends the copied attributes, the content and the end tag.
    pub(super) fn write_rest(&self, lang: Option<&str>, edit: Edit<'_>, out: &mut Vec<u8>) {
        let bytes = self.text.as_bytes();
        for run in &self.index.kept {
            out.push(b' ');
            out.extend_from_slice(run.of(bytes));
        }
        if self.index.lang.is_none() {
            attribute("xml:lang", lang, out);
        }
        if self.index.content.len == 0 && edit.append.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        let mut rest = self.index.content;
        for &place in edit.leave_out {
            if let Some(child) = self.index.children.get(place as usize) {
                out.extend_from_slice(&bytes[rest.start as usize..child.span.start as usize]);
                rest.len = rest.end() - child.span.end();
                rest.start = child.span.end();
            }
        }
        out.extend_from_slice(rest.of(bytes));
        out.extend_from_slice(edit.append);
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
