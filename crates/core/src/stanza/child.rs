//! A stanza's top-level children, as the index knows them.

use std::fmt;

use super::Inner;
use super::index::Entry;
use crate::xml::OwnedElement;

/// A top-level child of a [`Stanza`](super::Stanza): name, namespace and bytes are known, the rest on demand.
#[derive(Clone, Copy)]
pub struct Child<'a> {
    stanza: &'a Inner,
    entry: &'a Entry,
}

impl<'a> Child<'a> {
    pub(super) fn new(stanza: &'a Inner, entry: &'a Entry) -> Self {
        Child { stanza, entry }
    }

    /// The local name.
    pub fn name(&self) -> &'a str {
        self.entry.name.text(&self.stanza.text)
    }

    /// The namespace, empty if none. Without `xmlns` it is the content namespace of the stream the stanza came on.
    pub fn ns(&self) -> &'a str {
        self.stanza.resolve(self.entry.ns)
    }

    /// Whether this is `{ns}name`.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name() == name && self.ns() == ns
    }

    /// Its bytes, with all prefixes declared in them.
    pub fn raw(&self) -> &'a [u8] {
        self.entry.span.of(self.stanza.text.as_bytes())
    }

    /// A view of the whole element, parsed anew: for its consumer, not for whoever forwards it.
    pub fn parse(&self) -> OwnedElement {
        OwnedElement::parse(self.raw(), &self.stanza.content_ns)
            .expect("a child of a checked stanza is well-formed and leans on no outside prefix")
    }
}

impl fmt::Debug for Child<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{{}}} {}",
            self.ns(),
            String::from_utf8_lossy(self.raw())
        )
    }
}
