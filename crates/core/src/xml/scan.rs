//! The scanner: one pass over an element's bytes that checks everything and tells a [`Sink`] where things are.
//!
//! It is a state machine without a stack of calls: it stops wherever the bytes end and goes on from there when more have
//! come, so that the cost is linear in the input however it is split. Positions count from the element's `<`.
//!
//! ```text
//! Content --'<name'--> Tag --name--> Eq --'='--> Quote --quote--> Value
//!  ^ | |                | ^                                         |
//!  | | '--'</name'--> EndWs                 '-----------quote-------'
//!  | '--'<![CDATA['--> CData
//!  '---- '>' or ']]>' of each of them; the '>' that closes the first element ends the scan
//! ```

use memchr::memchr;
use smallvec::SmallVec;

use super::Limits;
use super::chars::{self, is_space};
use super::error::Fault;
use super::scope::{Ns, Saved, Scope, Scopes, Span};
use super::splice::{Element, Splices};
pub(crate) use super::tag::{Attr, Sink, Tag};

#[derive(Debug, Clone, Copy)]
enum State {
    Content,
    Tag,
    Eq,
    Quote,
    Value(u8),
    EndWs,
    CData,
}

/// How far [`Scanner::tag`] came.
enum Step {
    /// More bytes are needed.
    More,
    /// The state has changed.
    Suspended,
    /// The tag ends before this position; whether with `/>`.
    Done(usize, bool),
}

/// An element whose end tag has not come.
#[derive(Debug, Clone, Copy)]
struct Open {
    name: Span,
    /// The scopes to return to.
    scopes: Saved,
}

/// State of a scan, see the module's text.
pub(crate) struct Scanner {
    state: State,
    /// The next byte to look at.
    pos: usize,
    /// Where the tag, text or CDATA section under way began; all before is complete.
    token: usize,
    /// Bytes before are known to be UTF-8 and legal characters.
    checked: usize,
    /// Elements seen so far.
    elements: u32,
    /// The start tag under way.
    name: Span,
    prefix: u16,
    attributes: SmallVec<[Attr; 8]>,
    open: SmallVec<[Open; 8]>,
    pub(crate) scopes: Scopes,
    pub(crate) splices: Splices,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Scanner {
            state: State::Content,
            pos: 0,
            token: 0,
            checked: 0,
            elements: 0,
            name: Span::default(),
            prefix: 0,
            attributes: SmallVec::new(),
            open: SmallVec::new(),
            scopes: Scopes::new(),
            splices: Splices::default(),
        }
    }

    /// The attributes of the start tag read last.
    pub(crate) fn attributes(&self) -> &[Attr] {
        &self.attributes
    }

    /// Name and prefix length of the start tag read last.
    pub(crate) fn tag_name(&self) -> (Span, u16) {
        (self.name, self.prefix)
    }

    /// From where on a complete frame's bytes still have to go through [`chars::check`].
    pub(crate) fn checked(&self) -> usize {
        self.checked
    }

    /// Goes on over `bytes`, which begin with the frame and hold all that was seen before. `Some(end)`: the frame is
    /// complete and `end` bytes long; its characters before [`Scanner::checked`] were looked at. `None`: it goes on
    /// behind `bytes`.
    #[inline]
    pub(crate) fn run<S: Sink>(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        scope: &Scope<'_>,
        sink: &mut S,
    ) -> Result<Option<usize>, Fault> {
        let found = self.scan(bytes, limits, scope, sink);
        if let Ok(Some(_)) = found {
            return found;
        }
        // The first bad token decides, so that the same bytes give the same error however they are split.
        let complete = self.token.min(bytes.len());
        if complete > self.checked {
            chars::check(&bytes[self.checked..complete], 0)?;
            self.checked = complete;
        }
        found
    }

    fn scan<S: Sink>(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        scope: &Scope<'_>,
        sink: &mut S,
    ) -> Result<Option<usize>, Fault> {
        loop {
            match self.state {
                State::Content => {
                    if !self.content(bytes, limits)? {
                        return Ok(None);
                    }
                }
                State::Tag => match self.tag(bytes, limits)? {
                    Step::More => return Ok(None),
                    Step::Suspended => {}
                    Step::Done(end, empty) => {
                        if self.finish_tag(bytes, end, empty, limits, scope, sink)? {
                            return Ok(Some(end));
                        }
                    }
                },
                State::Eq => {
                    self.pos = skip_space(bytes, self.pos);
                    match bytes.get(self.pos) {
                        None => return Ok(None),
                        Some(b'=') => {
                            self.pos += 1;
                            self.state = State::Quote;
                        }
                        Some(_) => return Err(Fault::NotWellFormed),
                    }
                }
                State::Quote => {
                    self.pos = skip_space(bytes, self.pos);
                    match bytes.get(self.pos) {
                        None => return Ok(None),
                        Some(&quote @ (b'\'' | b'"')) => {
                            self.pos += 1;
                            if let Some(attr) = self.attributes.last_mut() {
                                attr.value.start = self.pos as u32;
                            }
                            self.state = State::Value(quote);
                        }
                        Some(_) => return Err(Fault::NotWellFormed),
                    }
                }
                State::Value(quote) => {
                    let Some(attr) = self.attributes.last_mut() else {
                        return Err(Fault::NotWellFormed);
                    };
                    let (stop, complete) = value(bytes, self.pos, quote, &mut attr.plain)?;
                    self.pos = stop;
                    if !complete {
                        return Ok(None);
                    }
                    attr.value.len = stop as u32 - attr.value.start;
                    self.pos = stop + 1;
                    self.state = State::Tag;
                }
                State::EndWs => {
                    self.pos = skip_space(bytes, self.pos);
                    match bytes.get(self.pos) {
                        None => return Ok(None),
                        Some(b'>') => {
                            let end = self.pos + 1;
                            sink.close(self.open.len(), self.token as u32, end as u32);
                            if let Some(open) = self.open.pop() {
                                self.scopes.leave(open.scopes);
                            }
                            if self.open.is_empty() {
                                return Ok(Some(end));
                            }
                            self.content_from(end);
                        }
                        Some(_) => return Err(Fault::NotWellFormed),
                    }
                }
                State::CData => {
                    let Some(found) = memchr(b'>', &bytes[self.pos..]) else {
                        self.pos = bytes.len();
                        return Ok(None);
                    };
                    let at = self.pos + found;
                    self.pos = at + 1;
                    if bytes[self.token + CDATA.len()..at].ends_with(b"]]") {
                        self.content_from(at + 1);
                    }
                }
            }
        }
    }

    /// Reads text and references up to a tag, and the tag's beginning. False: more bytes are needed.
    #[inline]
    fn content(&mut self, bytes: &[u8], limits: &Limits) -> Result<bool, Fault> {
        let mut at = self.pos;
        // Mostly there is no text between tags.
        while bytes.get(at) != Some(&b'<') {
            let Some(found) = chars::text_end(bytes, at) else {
                self.pos = bytes.len();
                return Ok(false);
            };
            at = found;
            match bytes[at] {
                b'<' => break,
                b'&' => match chars::reference(&bytes[at..])? {
                    Some((len, _)) => at += len,
                    None => {
                        self.pos = at;
                        return Ok(false);
                    }
                },
                // XML 1.0 §2.4: `]]>` must not appear in text.
                _ if bytes[self.token..at].ends_with(b"]]") => return Err(Fault::NotWellFormed),
                _ => at += 1,
            }
        }
        self.pos = at;
        self.token = at;
        let rest = &bytes[at + 1..];
        match rest.first() {
            None => Ok(false),
            Some(b'/') => {
                let Some(open) = self.open.last() else {
                    return Err(Fault::NotWellFormed);
                };
                let name = open.name.of(bytes);
                let have = &rest[1..rest.len().min(1 + name.len())];
                if !name.starts_with(have) {
                    return Err(Fault::NotWellFormed);
                }
                if have.len() < name.len() {
                    return Ok(false);
                }
                self.pos = at + 2 + name.len();
                self.state = State::EndWs;
                Ok(true)
            }
            Some(b'!') => {
                let have = &bytes[at..bytes.len().min(at + CDATA.len())];
                if have.len() > 2 && have[2] != b'[' {
                    // RFC 6120 §11.1: no comments, no DTD.
                    return Err(Fault::Restricted);
                }
                if !CDATA.starts_with(have) || self.open.is_empty() {
                    return Err(Fault::NotWellFormed);
                }
                if have.len() < CDATA.len() {
                    return Ok(false);
                }
                self.pos = at + CDATA.len();
                self.state = State::CData;
                Ok(true)
            }
            // RFC 6120 §11.1: no processing instructions.
            Some(b'?') => Err(Fault::Restricted),
            Some(_) => {
                let Some(name) = chars::qname(rest, limits.name_bytes)? else {
                    return Ok(false);
                };
                if self.open.len() >= usize::from(limits.depth) {
                    return Err(Fault::Depth);
                }
                if self.elements > limits.children {
                    return Err(Fault::Children);
                }
                self.elements += 1;
                self.name = Span {
                    start: at as u32 + 1,
                    len: u32::from(name.len),
                };
                self.prefix = name.prefix;
                self.attributes.clear();
                self.pos = at + 1 + usize::from(name.len);
                self.state = State::Tag;
                Ok(true)
            }
        }
    }

    /// Reads attributes up to the end of the start tag.
    #[inline]
    fn tag(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step, Fault> {
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
    fn finish_tag<S: Sink>(
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

    /// Whether elements are open.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
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

    #[inline]
    fn content_from(&mut self, at: usize) {
        self.pos = at;
        self.token = at;
        self.state = State::Content;
    }
}

/// Reads an attribute's value, from `at` on, up to its quote. Where that stands, and true; or where to go on when there are
/// more bytes, and false.
#[inline]
fn value(bytes: &[u8], mut at: usize, quote: u8, plain: &mut bool) -> Result<(usize, bool), Fault> {
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

const CDATA: &[u8] = b"<![CDATA[";

#[inline]
fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && is_space(bytes[at]) {
        at += 1;
    }
    at
}
