//! Making a frame's bytes mean the same on any stream: declarations from outside that its content uses are copied onto
//! the outermost element whose bytes travel, and the content namespace is left to the stream they travel on.

use super::error::Fault;
use super::scan::Attr;
use super::scope::{Bound, Scope, Scopes, Span, Splice};
use super::writer;

/// A start tag's element.
pub(crate) struct Element {
    pub(crate) depth: usize,
    /// The qualified name.
    pub(crate) name: Span,
    pub(crate) local: Span,
    pub(crate) bound: Bound,
}

/// One change of a frame's bytes.
#[derive(Debug)]
struct Edit {
    at: u32,
    remove: u32,
    insert: String,
}

/// The changes that a frame's bytes need; none in nearly all cases.
#[derive(Debug, Default)]
pub(crate) struct Splices {
    /// Ends of the names of the first-level element and of its child under way.
    names: [u32; 2],
    /// Declarations made outside elements of this depth, and used in them, are copied.
    level: u16,
    /// Whether the default namespace around a stanza's children is the content namespace.
    default_is_content: bool,
    /// Whether a stanza's child in the content namespace is written with a prefix.
    prefixed: bool,
    edits: Vec<Edit>,
    /// Bytes the edits insert.
    added: usize,
    /// Prefixes already copied onto the first-level element and onto the child under way.
    done: Vec<(u32, String)>,
}

impl Splices {
    /// Bytes that [`Splices::apply`] adds.
    pub(crate) fn added(&self) -> usize {
        self.added
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty() && !self.prefixed
    }

    /// Whether a stanza's child in the content namespace is written with a prefix, which binds it to that of this stream.
    pub(crate) fn is_prefixed(&self) -> bool {
        self.prefixed
    }

    /// Looks at a start tag whose names are resolved.
    #[inline]
    pub(crate) fn element(
        &mut self,
        bytes: &[u8],
        scope: &Scope<'_>,
        scopes: &Scopes,
        element: &Element,
        attributes: &[Attr],
    ) {
        match element.depth {
            1 => self.first_level(bytes, scope, scopes, element),
            2 => {
                self.names[1] = element.name.end();
                self.prefixed |= self.level == 2
                    && element.name != element.local
                    && scopes.name(bytes, scope, element.bound.ns) == scope.default.as_bytes();
            }
            _ => return,
        }
        if self.level == 2 && usize::from(scopes.default().depth) == element.depth {
            let ns = scopes.name(bytes, scope, scopes.default().ns);
            if (ns == scope.default.as_bytes()) == (element.depth == 2) {
                self.remove_default(attributes);
            }
        }
    }

    /// Whether the use of `prefix` (empty: the default namespace) in an element at `depth` needs a declaration copied.
    #[inline]
    pub(crate) fn concerns(&self, depth: usize, prefix: Span, bound: Bound) -> bool {
        bound.depth < self.level.min(depth as u16) && !(self.default_is_content && prefix.len == 0)
    }

    fn first_level(&mut self, bytes: &[u8], scope: &Scope<'_>, scopes: &Scopes, element: &Element) {
        self.names[0] = element.name.end();
        if scope.splice == Splice::Nowhere {
            return;
        }
        let is_content = |ns| scopes.name(bytes, scope, ns) == scope.default.as_bytes();
        let stanza = scope.splice == Splice::Stanza
            && matches!(element.local.of(bytes), b"message" | b"presence" | b"iq")
            && is_content(element.bound.ns);
        self.level = if stanza { 2 } else { 1 };
        // Whatever takes it from outside its child may do so on any stream.
        self.default_is_content = stanza && is_content(scopes.default().ns);
    }

    /// A stanza's children say nothing where they mean the content namespace, so that they mean that of the stream they
    /// travel on (RFC 6120 §4.8.3); another default namespace of the stanza itself goes, and its children get it if they use it.
    #[cold]
    fn remove_default(&mut self, attributes: &[Attr]) {
        if let Some(attr) = attributes.iter().find(|a| a.declares && a.prefix == 0) {
            let span = attr.span();
            self.edits.push(Edit {
                at: span.start - 1,
                remove: span.len + 1,
                insert: String::new(),
            });
        }
    }

    /// Has the declaration of `prefix` (empty: the default namespace), used in an element at `depth`, copied onto the
    /// outermost element that travels, if it [concerns](Splices::concerns) one.
    #[cold]
    pub(crate) fn prefix(
        &mut self,
        bytes: &[u8],
        scope: &Scope<'_>,
        scopes: &Scopes,
        depth: usize,
        prefix: Span,
        bound: Bound,
    ) -> Result<(), Fault> {
        if !self.concerns(depth, prefix, bound) {
            return Ok(());
        }
        let level = self.level.min(depth as u16);
        let ns = scopes.name(bytes, scope, bound.ns);
        if self.level == 2 && prefix.len == 0 && ns == scope.default.as_bytes() {
            return Ok(());
        }
        let at = self.names[usize::from(level) - 1];
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Fault::NotWellFormed);
        let prefix = text(prefix.of(bytes))?;
        self.done
            .retain(|d| d.0 == self.names[0] || d.0 == self.names[1]);
        if self.done.iter().any(|d| d.0 == at && d.1 == prefix) {
            return Ok(());
        }
        let mut insert = Vec::with_capacity(ns.len() + prefix.len() + 11);
        insert.extend_from_slice(b" xmlns");
        if !prefix.is_empty() {
            insert.push(b':');
            insert.extend_from_slice(prefix.as_bytes());
        }
        insert.extend_from_slice(b"='");
        writer::escape_attr(text(ns)?, &mut insert);
        insert.push(b'\'');
        // One declaration on the stream header could otherwise be copied into thousands of children.
        self.added += insert.len();
        if self.added > scope.budget as usize {
            return Err(Fault::StanzaBytes);
        }
        self.done.push((at, prefix.to_owned()));
        self.edits.push(Edit {
            at,
            remove: 0,
            insert: text(&insert)?.to_owned(),
        });
        Ok(())
    }

    /// The frame with all changes made.
    pub(crate) fn apply(&mut self, bytes: &[u8]) -> Vec<u8> {
        // Removals never overlap each other. At the place where one begins, an insertion goes first.
        self.edits.sort_by_key(|e| (e.at, e.remove));
        let mut out = Vec::with_capacity(bytes.len() + self.added);
        let mut from = 0;
        for edit in &self.edits {
            out.extend_from_slice(&bytes[from..edit.at as usize]);
            out.extend_from_slice(edit.insert.as_bytes());
            from = (edit.at + edit.remove) as usize;
        }
        out.extend_from_slice(&bytes[from..]);
        out
    }
}
