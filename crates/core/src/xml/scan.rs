//! The scanner: one pass over an element's bytes that checks everything and tells a [`Sink`] where things are.
//!
//! It is a state machine without a stack of calls: it stops wherever the bytes end and goes on from there when more have
//! come, so that the cost is linear in the input however it is split. Positions count from the element's `<`.
//!
//! ```text
//!   Content -> Tag             <name
//!   Tag -> Eq -> Quote -> Value -> Tag       attribute = 'value'; in one go if written without white space and complete
//!   Tag -> Content             > or />
//!   Content -> EndWs -> Content              </name >
//!   Content -> CData -> Content              <![CDATA[ ]]>
//!   the > that closes the first-level element ends the scan
//! ```

use memchr::memchr;
use smallvec::SmallVec;

use super::Limits;
use super::chars::{self, is_space};
use super::error::Fault;
use super::scope::{Saved, Scope, Scopes, Span};
use super::splice::Splices;
use super::start_tag::{Step, value};
pub(crate) use super::tag::{Attr, Sink, Tag};

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// Text, or the beginning of a tag or CDATA section.
    Content,
    /// A start tag behind its name or an attribute.
    Tag,
    /// The white space behind an attribute's name, or its `=`.
    Eq,
    /// The white space behind `=`, or the value's first quote.
    Quote,
    /// A value in these quotes.
    Value(u8),
    /// The white space behind an end tag's name, or its `>`.
    EndWs,
    /// The inside of a CDATA section.
    CData,
}

/// An element whose end tag has not come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) name: Span,
    /// The scopes to return to.
    pub(super) scopes: Saved,
}

/// State of a scan, see the module's text.
pub(crate) struct Scanner {
    pub(super) state: State,
    /// The next byte to look at.
    pub(super) pos: usize,
    /// Where the tag, text or CDATA section under way began; all before is complete.
    pub(super) token: usize,
    /// Bytes before are known to be UTF-8 and legal characters.
    checked: usize,
    /// Elements seen so far.
    pub(super) elements: u32,
    /// The start tag under way.
    pub(super) name: Span,
    pub(super) prefix: u16,
    pub(super) attributes: SmallVec<[Attr; 8]>,
    pub(super) open: SmallVec<[Open; 8]>,
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
    #[inline(always)]
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

    /// Whether elements are open.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    #[inline]
    pub(super) fn content_from(&mut self, at: usize) {
        self.pos = at;
        self.token = at;
        self.state = State::Content;
    }
}

const CDATA: &[u8] = b"<![CDATA[";

#[inline]
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && is_space(bytes[at]) {
        at += 1;
    }
    at
}
