//! What the scanner tells of a start tag, and to whom.

use super::scope::{Ns, Span};

/// Hears about the elements of a well-formed frame, in document order.
pub(crate) trait Sink {
    /// A start tag is complete.
    fn open(&mut self, tag: &Tag<'_>);
    /// The innermost element ends: `depth` as in its [`Tag`], its end tag begins at `content_end`, and `end` is behind it.
    /// Follows [`Sink::open`] directly for `<empty/>`, with `content_end` equal to `end`.
    fn close(&mut self, depth: usize, content_end: u32, end: u32);
}

/// A complete start tag.
pub(crate) struct Tag<'a> {
    /// The frame's bytes as far as they have come.
    pub(crate) bytes: &'a [u8],
    /// 1 for the first-level element.
    pub(crate) depth: usize,
    /// Where `<` stands.
    pub(crate) start: u32,
    /// Behind `>`.
    pub(crate) content: u32,
    /// The local name.
    pub(crate) local: Span,
    pub(crate) ns: Ns,
    pub(crate) attributes: &'a [Attr],
}

/// An attribute as written, namespace declarations included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attr {
    /// The qualified name; the value's quote follows the name behind `=` and white space.
    pub(crate) name: Span,
    /// Length of the prefix, 0 if none.
    pub(crate) prefix: u16,
    /// The raw value between the quotes.
    pub(crate) value: Span,
    /// Whether the raw value is the value: no references, no white space but spaces.
    pub(crate) plain: bool,
    /// Whether this is `xmlns` or `xmlns:prefix`.
    pub(crate) declares: bool,
    /// The prefix's namespace; [`Ns::None`] without a prefix and for declarations.
    pub(crate) ns: Ns,
}

impl Attr {
    /// The part of the name behind the prefix.
    #[inline]
    pub(crate) fn local(&self) -> Span {
        match self.prefix {
            0 => self.name,
            p => Span {
                start: self.name.start + u32::from(p) + 1,
                len: self.name.len - u32::from(p) - 1,
            },
        }
    }

    /// Name, `=`, quotes and value.
    #[inline]
    pub(crate) fn span(&self) -> Span {
        Span {
            start: self.name.start,
            len: self.value.end() + 1 - self.name.start,
        }
    }
}
