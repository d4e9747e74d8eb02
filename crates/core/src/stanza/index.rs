//! What a stanza's bytes hold where: filled in while they are scanned.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::StanzaKind;
use crate::xml::{Ns, Scope, Scopes, Sink, Span, Tag, attribute_value};

/// Positions in a stanza's bytes.
#[derive(Debug, Clone)]
pub(crate) struct StanzaIndex {
    name: Span,
    ns: Ns,
    /// Raw attribute values.
    pub(super) to: Option<Value>,
    pub(super) from: Option<Value>,
    pub(super) id: Option<Value>,
    pub(super) type_: Option<Value>,
    pub(super) lang: Option<Value>,
    /// Runs of attributes that are copied when the stanza is written: all but `to`, `from` and `xmlns`.
    pub(super) kept: SmallVec<[Span; 3]>,
    pub(super) content: Span,
    pub(super) children: SmallVec<[Entry; 6]>,
}

/// An attribute's value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    raw: Span,
    /// Whether it is written without references and odd white space.
    plain: bool,
}

impl Value {
    /// What it says in a stanza's text.
    #[inline]
    pub(super) fn of(self, text: &str) -> Cow<'_, str> {
        let raw = self.raw.text(text);
        if self.plain {
            Cow::Borrowed(raw)
        } else {
            attribute_value(raw)
        }
    }

    /// Where it stands, if it is written plainly.
    #[inline]
    pub(super) fn span(self) -> Option<Span> {
        self.plain.then_some(self.raw)
    }
}

/// A top-level child.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) span: Span,
    /// The local name.
    pub(super) name: Span,
    pub(super) ns: Ns,
}

impl Default for StanzaIndex {
    #[inline]
    fn default() -> Self {
        StanzaIndex {
            name: Span::default(),
            ns: Ns::None,
            to: None,
            from: None,
            id: None,
            type_: None,
            lang: None,
            kept: SmallVec::new(),
            content: Span::default(),
            children: SmallVec::new(),
        }
    }
}

impl StanzaIndex {
    /// The kind of stanza; `None` if the element is none, by name or namespace.
    #[inline]
    pub(crate) fn kind(
        &self,
        text: &str,
        scopes: &Scopes,
        scope: &Scope<'_>,
    ) -> Option<StanzaKind> {
        let kind = match self.name.of(text.as_bytes()) {
            b"message" => StanzaKind::Message,
            b"presence" => StanzaKind::Presence,
            b"iq" => StanzaKind::Iq,
            _ => return None,
        };
        let ns = scopes.name(text.as_bytes(), scope, self.ns);
        (ns == scope.default.as_bytes()).then_some(kind)
    }
}

impl Sink for StanzaIndex {
    #[inline]
    fn open(&mut self, tag: &Tag<'_>) {
        match tag.depth {
            1 => {
                self.name = tag.local;
                self.ns = tag.ns;
                self.content.start = tag.content;
                for attr in tag.attributes {
                    let value = Some(Value {
                        raw: attr.value,
                        plain: attr.plain,
                    });
                    match attr.name.of(tag.bytes) {
                        b"to" => self.to = value,
                        b"from" => self.from = value,
                        b"xmlns" => continue,
                        b"id" => self.id = value,
                        b"type" => self.type_ = value,
                        b"xml:lang" => self.lang = value,
                        _ => {}
                    }
                    if !matches!(attr.name.of(tag.bytes), b"to" | b"from") {
                        self.keep(tag.bytes, attr.span());
                    }
                }
            }
            2 => self.children.push(Entry {
                span: Span {
                    start: tag.start,
                    len: 0,
                },
                name: tag.local,
                ns: tag.ns,
            }),
            _ => {}
        }
    }

    #[inline]
    fn close(&mut self, depth: usize, content_end: u32, end: u32) {
        match depth {
            1 => self.content.len = content_end.saturating_sub(self.content.start),
            2 => {
                if let Some(child) = self.children.last_mut() {
                    child.span.len = end - child.span.start;
                }
            }
            _ => {}
        }
    }
}

impl StanzaIndex {
    /// Notes an attribute to be copied, in one run with its neighbour if nothing but white space is between them.
    #[inline]
    fn keep(&mut self, bytes: &[u8], span: Span) {
        if let Some(last) = self.kept.last_mut() {
            let between = &bytes[last.end() as usize..span.start as usize];
            if between == b" " || between.iter().all(u8::is_ascii_whitespace) {
                last.len = span.end() - last.start;
                return;
            }
        }
        self.kept.push(span);
    }
}
