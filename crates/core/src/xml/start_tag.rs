//! Start tags: attributes one by one, and, when the tag is complete, what its names mean.

use super::Limits;
use super::chars::{self, is_space};
use super::error::Fault;
use super::scan::{Open, Scanner, State, skip_space};
use super::scope::{Ns, Scope, Span};
use super::splice::Element;
use super::tag::{Attr, Sink, Tag};

/// How far [`Scanner::tag`] came.
pub(super) enum Step {
    /// More bytes are needed.
    More,
    /// The state has changed.
    Suspended,
    /// The tag ends before this position; whether with `/>`.
    Done(usize, bool),
}

impl Scanner {
    /// Reads attributes up to the end of the start tag.
    #[inline(always)]
    pub(super) fn tag(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step, Fault> {
        let mut at = self.pos;
        loop {
            at = skip_space(bytes, at);
            let Some(&byte) = bytes.get(at) else {
                self.pos = at;
                return Ok(Step::More);
            };
            match byte {
                b'>' => return Ok(Step::Done(at + 1, false)),
                b'/' => {
                    self.pos = at;
                    return match bytes.get(at + 1) {
                        None => Ok(Step::More),
                        Some(b'>') => Ok(Step::Done(at + 2, true)),
                        Some(_) => Err(Fault::NotWellFormed),
                    };
                }
                // XML 1.0 §3.1: white space before each attribute.
                _ if !is_space(bytes[at - 1]) => return Err(Fault::NotWellFormed),
                _ => {}
            }
            let Some(name) = chars::qname(&bytes[at..], limits.name_bytes)? else {
                self.pos = at;
                return Ok(Step::More);
            };
            if self.attributes.len() >= usize::from(limits.attributes) {
                return Err(Fault::Attributes);
            }
            let end = at + usize::from(name.len);
            let mut attr = Attr {
                name: Span {
                    start: at as u32,
                    len: u32::from(name.len),
                },
                prefix: name.prefix,
                value: Span {
                    start: end as u32 + 2,
                    len: 0,
                },
                plain: true,
                // Of the names `xmlns`, `xmlns:prefix` and `xmlnsfoo`, the last is an ordinary one.
                declares: byte == b'x'
                    && bytes[at..end].starts_with(b"xmlns")
                    && (name.len == 5 || name.prefix == 5),
                ns: Ns::None,
            };
            // As nearly everybody writes it.
            let [b'=', quote @ (b'\'' | b'"'), ..] = bytes[end..] else {
                self.attributes.push(attr);
                self.pos = end;
                self.state = State::Eq;
                return Ok(Step::Suspended);
            };
            let (stop, complete) = value(bytes, end + 2, quote, &mut attr.plain)?;
            if !complete {
                self.attributes.push(attr);
                self.pos = stop;
                self.state = State::Value(quote);
                return Ok(Step::More);
            }
            attr.value.len = stop as u32 - attr.value.start;
            self.attributes.push(attr);
            at = stop + 1;
        }
    }

    /// The start tag that ends before `end` is complete: resolves its names. True: the frame is complete, too.
    pub(super) fn finish_tag<S: Sink>(
        &mut self,
        bytes: &[u8],
        end: usize,
        empty: bool,
        limits: &Limits,
        scope: &Scope<'_>,
        sink: &mut S,
    ) -> Result<bool, Fault> {
        let depth = self.open.len() + 1;
        let before = self.scopes.enter();
        let mut prefixes = false;
        for (i, attr) in self.attributes.iter().enumerate() {
            // XML 1.0 §3.1: no attribute twice.
            if self.attributes[..i]
                .iter()
                .any(|a| a.name.same(attr.name, bytes))
            {
                return Err(Fault::NotWellFormed);
            }
            if attr.declares {
                self.scopes.declare(bytes, attr, depth, limits)?;
            } else {
                prefixes |= attr.prefix != 0;
            }
        }
        let prefix = Span {
            start: self.name.start,
            len: u32::from(self.prefix),
        };
        let (bound, local) = if prefix.len == 0 {
            (self.scopes.default(), self.name)
        } else {
            let start = prefix.end() + 1;
            let local = Span {
                start,
                len: self.name.end() - start,
            };
            (self.scopes.resolve_prefix(bytes, prefix, scope)?, local)
        };
        let element = Element {
            depth,
            name: self.name,
            local,
            bound,
        };
        self.splices
            .element(bytes, scope, &self.scopes, &element, &self.attributes);
        if self.splices.concerns(depth, prefix, bound) {
            self.splices
                .prefix(bytes, scope, &self.scopes, depth, prefix, bound)?;
        }
        if prefixes {
            self.resolve_attributes(bytes, depth, scope)?;
        }
        sink.open(&Tag {
            bytes,
            depth,
            start: self.token as u32,
            content: end as u32,
            local,
            ns: bound.ns,
            attributes: &self.attributes,
        });
        if scope.header && depth == 1 {
            if !empty {
                self.open.push(Open {
                    name: self.name,
                    scopes: before,
                });
            }
            return Ok(true);
        }
        if empty {
            sink.close(depth, end as u32, end as u32);
            self.scopes.leave(before);
            if depth == 1 {
                return Ok(true);
            }
        } else {
            self.open.push(Open {
                name: self.name,
                scopes: before,
            });
        }
        self.content_from(end);
        Ok(false)
    }

    /// Finds the namespaces of the attributes with prefixes, and duplicates among them.
    #[cold]
    fn resolve_attributes(
        &mut self,
        bytes: &[u8],
        depth: usize,
        scope: &Scope<'_>,
    ) -> Result<(), Fault> {
        for i in 0..self.attributes.len() {
            let attr = self.attributes[i];
            if attr.prefix == 0 || attr.declares {
                continue;
            }
            let prefix = Span {
                start: attr.name.start,
                len: u32::from(attr.prefix),
            };
            let bound = self.scopes.resolve_prefix(bytes, prefix, scope)?;
            self.splices
                .prefix(bytes, scope, &self.scopes, depth, prefix, bound)?;
            self.attributes[i].ns = bound.ns;
            let ns = self.scopes.name(bytes, scope, bound.ns);
            // Namespaces in XML §6.3: no two attributes with the same namespace and local name.
            let same = |a: &Attr| {
                a.prefix != 0
                    && !a.declares
                    && a.local().of(bytes) == attr.local().of(bytes)
                    && self.scopes.name(bytes, scope, a.ns) == ns
            };
            if self.attributes[..i].iter().any(same) {
                return Err(Fault::NotWellFormed);
            }
        }
        Ok(())
    }
}

/// Reads an attribute's value, from `at` on, up to its quote. Where that stands, and true; or where to go on when there are
/// more bytes, and false.
#[inline(always)]
pub(super) fn value(
    bytes: &[u8],
    mut at: usize,
    quote: u8,
    plain: &mut bool,
) -> Result<(usize, bool), Fault> {
    loop {
        let Some(found) = chars::value_end(bytes, at, quote) else {
            return Ok((bytes.len(), false));
        };
        at = found;
        let byte = bytes[at];
        if byte == quote {
            return Ok((at, true));
        }
        *plain = false;
        match byte {
            b'<' => return Err(Fault::NotWellFormed),
            b'&' => match chars::reference(&bytes[at..])? {
                Some((len, _)) => at += len,
                None => return Ok((at, false)),
            },
            _ => at += 1,
        }
    }
}
