//! Namespaces in scope: which prefix means what, where it was declared.

use smallvec::SmallVec;

use super::error::Fault;
use super::scan::Attr;
use super::{Limits, chars, ns};

/// A stretch of a frame's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    #[inline]
    pub(crate) fn end(self) -> u32 {
        self.start + self.len
    }

    #[inline]
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end() as usize]
    }

    /// Whether both hold the same bytes; neither is empty.
    #[inline]
    pub(crate) fn same(self, other: Span, bytes: &[u8]) -> bool {
        self.len == other.len
            && bytes[self.start as usize] == bytes[other.start as usize]
            && self.of(bytes) == other.of(bytes)
    }

    #[inline]
    pub(crate) fn text(self, text: &str) -> &str {
        &text[self.start as usize..self.end() as usize]
    }
}

/// Where a namespace name is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ns {
    /// No namespace.
    None,
    /// The default namespace that held outside the frame.
    Inherited,
    /// That of the prefix `xml`.
    Xml,
    /// Written in the frame, without references.
    Bytes(Span),
    /// Written in the frame with references: resolved in [`Scopes::side`].
    Side(Span),
    /// Declared outside the frame: index into [`Scope::outer`].
    Outer(u16),
}

/// What a frame's prefixes may refer to outside of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The default namespace outside.
    pub(crate) default: &'a str,
    /// Prefixes declared outside.
    pub(crate) outer: &'a [Declaration],
    /// Which outside declarations are copied in.
    pub(crate) splice: Splice,
    /// Whether the frame ends with its first start tag.
    pub(crate) header: bool,
    /// How many bytes of outside declarations may be copied in.
    pub(crate) budget: u32,
}

/// A prefix and its namespace.
pub(crate) type Declaration = (
    std::borrow::Cow<'static, str>,
    std::borrow::Cow<'static, str>,
);

/// Which element gets the declarations of the outside prefixes it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Splice {
    /// None: the frame stands where its outside declarations hold.
    Nowhere,
    /// The first-level element, the default namespace included: the frame stands anywhere.
    Root,
    /// Of a stanza in the default namespace, each child (the stanza's start tag is written anew, so that its
    /// declarations count as outside); of any other element, as for [`Splice::Root`].
    Stanza,
}

/// What a name's prefix, or its absence, means, and the depth of the declaring element (0: outside the frame).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) ns: Ns,
    pub(crate) depth: u16,
}

#[derive(Debug, Clone, Copy)]
struct Binding {
    prefix: Span,
    bound: Bound,
}

/// The declarations in scope.
#[derive(Debug)]
pub(crate) struct Scopes {
    default: Bound,
    bindings: SmallVec<[Binding; 4]>,
    /// Default declarations in scope, for the limit.
    defaults: u16,
    /// Namespace names written with references, resolved.
    pub(crate) side: String,
}

/// What [`Scopes::leave`] returns to.
pub(crate) type Saved = (u16, Bound, u16);

impl Scopes {
    pub(crate) fn new() -> Self {
        Scopes {
            default: Bound {
                ns: Ns::Inherited,
                depth: 0,
            },
            bindings: SmallVec::new(),
            defaults: 0,
            side: String::new(),
        }
    }

    #[inline]
    pub(crate) fn enter(&self) -> Saved {
        (self.bindings.len() as u16, self.default, self.defaults)
    }

    #[inline]
    pub(crate) fn leave(&mut self, saved: Saved) {
        self.bindings.truncate(usize::from(saved.0));
        self.default = saved.1;
        self.defaults = saved.2;
    }

    /// Takes a namespace declaration of the element at `depth`.
    pub(crate) fn declare(
        &mut self,
        bytes: &[u8],
        attr: &Attr,
        depth: usize,
        limits: &Limits,
    ) -> Result<(), Fault> {
        if self.bindings.len() + usize::from(self.defaults) >= usize::from(limits.namespaces) {
            return Err(Fault::Namespaces);
        }
        let raw = attr.value.of(bytes);
        let ns = if raw.is_empty() {
            Ns::None
        } else if !attr.plain {
            let raw = std::str::from_utf8(raw).map_err(|_| Fault::NotWellFormed)?;
            let start = self.side.len() as u32;
            self.side.push_str(&chars::attribute_value(raw));
            Ns::Side(Span {
                start,
                len: self.side.len() as u32 - start,
            })
        } else {
            Ns::Bytes(attr.value)
        };
        let name = match ns {
            Ns::Side(span) => span.of(self.side.as_bytes()),
            _ => raw,
        };
        let bound = Bound {
            ns,
            depth: depth as u16,
        };
        // Namespaces in XML §3: `xml` and `xmlns` and their namespaces belong to each other alone.
        let reserved = name == ns::XML.as_bytes() || name == ns::XMLNS.as_bytes();
        if attr.prefix == 0 {
            if reserved {
                return Err(Fault::NotWellFormed);
            }
            self.default = bound;
            self.defaults += 1;
            return Ok(());
        }
        let prefix = attr.local();
        match prefix.of(bytes) {
            b"xml" if name == ns::XML.as_bytes() => return Ok(()),
            b"xml" | b"xmlns" => return Err(Fault::NotWellFormed),
            // §5: a prefix can't be undeclared.
            _ if reserved || name.is_empty() => return Err(Fault::NotWellFormed),
            _ => {}
        }
        self.bindings.push(Binding { prefix, bound });
        Ok(())
    }

    /// What `prefix` means.
    pub(crate) fn resolve_prefix(
        &self,
        bytes: &[u8],
        prefix: Span,
        scope: &Scope<'_>,
    ) -> Result<Bound, Fault> {
        let name = prefix.of(bytes);
        if name == b"xml" {
            // Bound everywhere: never to be copied in.
            return Ok(Bound {
                ns: Ns::Xml,
                depth: u16::MAX,
            });
        }
        if let Some(binding) = self
            .bindings
            .iter()
            .rev()
            .find(|b| b.prefix.of(bytes) == name)
        {
            return Ok(binding.bound);
        }
        // Namespaces in XML §5: a prefix must be declared.
        let index = scope
            .outer
            .iter()
            .position(|d| d.0.as_bytes() == name)
            .ok_or(Fault::NotWellFormed)?;
        Ok(Bound {
            ns: Ns::Outer(index as u16),
            depth: 0,
        })
    }

    /// The default namespace in scope.
    #[inline]
    pub(crate) fn default(&self) -> Bound {
        self.default
    }

    /// The namespace name itself.
    #[inline]
    pub(crate) fn name<'a>(&'a self, bytes: &'a [u8], scope: &Scope<'a>, ns: Ns) -> &'a [u8] {
        match ns {
            Ns::None => b"",
            Ns::Inherited => scope.default.as_bytes(),
            Ns::Xml => ns::XML.as_bytes(),
            Ns::Bytes(span) => span.of(bytes),
            Ns::Side(span) => span.of(self.side.as_bytes()),
            Ns::Outer(index) => scope.outer[usize::from(index)].1.as_bytes(),
        }
    }
}
