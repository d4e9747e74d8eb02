//! Making a frame's bytes mean the same on any stream: declarations from outside that its content uses are copied onto
//! the outermost element whose bytes travel, and the content namespace is left to the stream they travel on.

use super::error::Fault;
use super::scan::Attr;
use super::scope::{Bound, Scope, Scopes, Span, Splice};
use super::writer;

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
        self.edits.is_empty()
    }

    /// Looks at a start tag whose name and attributes are known.
    #[inline]
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn element(
        &mut self,
        bytes: &[u8],
        scope: &Scope<'_>,
        scopes: &Scopes,
        depth: usize,
        name: Span,
        local: Span,
        prefix: Span,
        bound: Bound,
        attributes: &[Attr],
    ) -> Result<(), Fault> {
        if depth <= 2 {
            self.names[depth - 1] = name.end();
            if depth == 1 {
                self.level = match scope.splice {
                    Splice::Nowhere => 0,
                    Splice::Root => 1,
                    Splice::Stanza => {
                        let stanza = matches!(local.of(bytes), b"message" | b"presence" | b"iq")
                            && scopes.name(bytes, scope, bound.ns) == scope.default.as_bytes();
                        1 + u16::from(stanza)
                    }
                };
            }
            if self.level == 2 && usize::from(scopes.default().depth) == depth {
                self.content_namespace(bytes, scope, scopes, depth, attributes);
            }
        }
        if bound.depth < self.level.min(depth as u16) {
            self.prefix(bytes, scope, scopes, depth, prefix, bound)?;
        }
        Ok(())
    }

    /// A stanza's children say nothing where they mean the content namespace, so that they mean that of the stream they
    /// travel on (RFC 6120 §4.8.3); the stanza's own default namespace goes, its children get it if they use it.
    fn content_namespace(
        &mut self,
        bytes: &[u8],
        scope: &Scope<'_>,
        scopes: &Scopes,
        depth: usize,
        attributes: &[Attr],
    ) {
        let ns = scopes.name(bytes, scope, scopes.default().ns);
        if (ns == scope.default.as_bytes()) == (depth == 2)
            && let Some(attr) = attributes.iter().find(|a| a.declares && a.prefix == 0)
        {
            let span = attr.span();
            self.edits.push(Edit {
                at: span.start - 1,
                remove: span.len + 1,
                insert: String::new(),
            });
        }
    }

    /// Looks at the use of `prefix` (empty: the default namespace) in an element at `depth`.
    pub(crate) fn prefix(
        &mut self,
        bytes: &[u8],
        scope: &Scope<'_>,
        scopes: &Scopes,
        depth: usize,
        prefix: Span,
        bound: Bound,
    ) -> Result<(), Fault> {
        let level = self.level.min(depth as u16);
        if bound.depth >= level {
            return Ok(());
        }
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
