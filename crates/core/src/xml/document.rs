//! Big documents, piece by piece: a parser that goes into the elements it is told to go into and takes others whole, so that
//! what is in memory at a time is one of those. For files that people bring; peers' streams have [`StreamParser`](super::StreamParser).

use std::borrow::Cow;
use std::fmt;

use super::element::{Nothing, OwnedElement};
use super::scan::Scanner;
use super::scope::{Declaration, Scope, Splice};
use super::{Limits, XmlError, chars, header, ns, rewrite};

/// Something in a document.
#[derive(Debug, Clone)]
pub enum Piece {
    /// A start tag: an element without its content. Before anything else one of [`DocumentParser::enter`] and
    /// [`DocumentParser::take`] has to be called.
    Start(OwnedElement),
    /// The element that was to be taken, with all that is in it.
    Whole(OwnedElement),
    /// The end of the element that was entered last.
    End,
}

/// What is wrong with a document, and in which element: where that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {error}")]
pub struct DocumentError {
    /// From 1 on.
    pub line: u64,
    /// From 1 on, in bytes.
    pub column: u64,
    /// What is wrong.
    pub error: XmlError,
}

/// Reads one document under the rules for streams: UTF-8, no DTD, no entities beyond the five, no comments and processing
/// instructions. In elements that are entered there is white space between the elements, and nothing else.
///
/// The limits hold for each element that is taken; `depth` for those that are entered, too.
///
/// ```
/// use tercet_core::xml::{DocumentParser, Limits, Piece};
/// let mut parser = DocumentParser::new(Limits::AFTER_LOGIN);
/// parser.push(b"<a xmlns='n'><b>1</b>");
/// assert!(matches!(parser.next(), Ok(Some(Piece::Start(a))) if a.root().is("a", "n")));
/// parser.enter();
/// assert!(matches!(parser.next(), Ok(Some(Piece::Start(_)))));
/// parser.take();
/// assert!(matches!(parser.next(), Ok(Some(Piece::Whole(b))) if b.root().text() == "1"));
/// assert!(matches!(parser.next(), Ok(None)));
/// parser.push(b"</a>");
/// assert!(matches!(parser.next(), Ok(Some(Piece::End))));
/// assert!(parser.finish().is_ok());
/// ```
pub struct DocumentParser {
    limits: Limits,
    buffer: Vec<u8>,
    /// What was told of the buffer so far.
    at: usize,
    line: u64,
    column: u64,
    scanner: Option<Scanner>,
    open: Vec<Open>,
    next: Next,
    failed: Option<DocumentError>,
}

/// An element that was entered.
struct Open {
    name: Box<[u8]>,
    default: Cow<'static, str>,
    /// All that are in scope inside it, each prefix once.
    declared: Vec<Declaration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// An XML declaration or the root.
    Begin,
    /// The root.
    Root,
    /// An element or an end tag.
    Content,
    /// What is to become of the element whose start tag ends there.
    Decision { tag: usize, empty: bool },
    /// The end of an empty element that was entered.
    EmptyEnd,
    /// The rest of an element.
    Whole,
    /// Nothing.
    Over,
}

impl fmt::Debug for DocumentParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentParser({}:{})", self.line, self.column)
    }
}

impl DocumentParser {
    /// A parser at the beginning of a document.
    pub fn new(limits: Limits) -> Self {
        DocumentParser {
            limits,
            buffer: Vec::new(),
            at: 0,
            line: 1,
            column: 1,
            scanner: None,
            open: Vec::new(),
            next: Next::Begin,
            failed: None,
        }
    }

    /// Further bytes of the document. What is kept of them is what [`DocumentParser::next`] has not told yet: call that until it
    /// gives `None` before the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        if let Next::Decision { tag, .. } = &mut self.next {
            *tag -= self.at;
        }
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece; `None`: bytes are missing, or the document has ended.
    ///
    /// # Errors
    /// What breaks the rules or the limits. Every further call gives the same.
    #[expect(
        clippy::should_implement_trait,
        reason = "it fails, and goes on after `None`"
    )]
    pub fn next(&mut self) -> Result<Option<Piece>, DocumentError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.step().map_err(|error| {
            let error = self.fault(error);
            self.failed = Some(error);
            error
        })
    }

    /// Goes into the element whose start tag was told last.
    pub fn enter(&mut self) {
        let Next::Decision { tag, empty } = self.next else {
            debug_assert!(false, "there is no start tag to enter");
            return;
        };
        if let Ok(open) = self.opened(tag) {
            self.open.push(open);
        }
        self.advance(tag);
        self.next = if empty { Next::EmptyEnd } else { Next::Content };
    }

    /// Takes the element whose start tag was told last whole.
    pub fn take(&mut self) {
        debug_assert!(matches!(self.next, Next::Decision { .. }));
        self.next = Next::Whole;
    }

    /// Where the parser is: line and column, both from 1 on, of what comes next, or of the start tag that was told last.
    pub fn position(&self) -> (u64, u64) {
        (self.line, self.column)
    }

    /// How many elements are entered.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// To be called when there are no more bytes.
    ///
    /// # Errors
    /// The document does not end there.
    pub fn finish(&self) -> Result<(), DocumentError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.next == Next::Over => Ok(()),
            None => Err(self.fault(XmlError::NotWellFormed)),
        }
    }

    fn fault(&self, error: XmlError) -> DocumentError {
        DocumentError {
            line: self.line,
            column: self.column,
            error,
        }
    }

    fn step(&mut self) -> Result<Option<Piece>, XmlError> {
        loop {
            match self.next {
                Next::Decision { .. } => return Ok(None),
                Next::EmptyEnd => return Ok(Some(self.end())),
                Next::Whole => return Ok(self.whole()?.map(Piece::Whole)),
                Next::Begin | Next::Root | Next::Content | Next::Over => {}
            }
            let rest = &self.buffer[self.at..];
            let space = rest.iter().take_while(|&&b| chars::is_space(b)).count();
            self.advance(self.at + space);
            let rest = &self.buffer[self.at..];
            let within = self.next == Next::Content;
            match rest {
                [] | [b'<'] if rest.is_empty() || self.next != Next::Over => return Ok(None),
                _ if self.next == Next::Over => return Err(XmlError::NotWellFormed),
                [b'<', b'/', ..] if within => match self.end_tag(rest)? {
                    None => return Ok(None),
                    Some(length) => {
                        self.advance(self.at + length);
                        return Ok(Some(self.end()));
                    }
                },
                [b'<', b'?', ..] if self.next == Next::Begin => match header::declaration(rest)? {
                    None => return Ok(None),
                    Some(length) => {
                        self.advance(self.at + length);
                        self.next = Next::Root;
                    }
                },
                [b'<', b'!' | b'?', ..] => return Err(XmlError::Restricted),
                [b'<', ..] => return self.start(),
                [0xFE | 0xFF, ..] if self.next == Next::Begin => {
                    return Err(XmlError::UnsupportedEncoding);
                }
                _ => return Err(XmlError::BadFormat),
            }
        }
    }

    /// The start tag at hand, once it is complete.
    fn start(&mut self) -> Result<Option<Piece>, XmlError> {
        if self.open.len() >= usize::from(self.limits.depth) {
            return Err(XmlError::Policy("depth"));
        }
        let Some(end) = self.scan(true)? else {
            return Ok(None);
        };
        let tag = &self.buffer[self.at..end];
        let empty = tag.ends_with(b"/>");
        let mut alone = tag.to_vec();
        if !empty {
            alone.pop();
            alone.extend_from_slice(b"/>");
        }
        let element = self.element(&alone)?;
        self.next = Next::Decision { tag: end, empty };
        Ok(Some(Piece::Start(element)))
    }

    /// The element at hand with its content, once it is complete.
    fn whole(&mut self) -> Result<Option<OwnedElement>, XmlError> {
        let Some(end) = self.scan(false)? else {
            return Ok(None);
        };
        let element = self.element(&self.buffer[self.at..end])?;
        self.advance(end);
        self.next = match self.open.is_empty() {
            true => Next::Over,
            false => Next::Content,
        };
        Ok(Some(element))
    }

    /// Scans on over the element at hand, or its start tag alone: where that ends.
    fn scan(&mut self, header: bool) -> Result<Option<usize>, XmlError> {
        let mut scanner = self.scanner.take().unwrap_or_else(Scanner::new);
        let rest = &self.buffer[self.at..];
        let limit = self.limits.stanza_bytes as usize;
        let visible = &rest[..rest.len().min(limit)];
        let scope = Scope {
            header,
            ..self.scope()
        };
        match scanner.run(visible, &self.limits, &scope, &mut Nothing)? {
            Some(end) => Ok(Some(self.at + end)),
            None if visible.len() < rest.len() => Err(XmlError::Policy("bytes of an element")),
            None => {
                self.scanner = Some(scanner);
                Ok(None)
            }
        }
    }

    /// The element of these bytes, with all declarations from around it that it uses.
    fn element(&self, bytes: &[u8]) -> Result<OwnedElement, XmlError> {
        let mut scanner = Scanner::new();
        let scope = self.scope();
        scanner.run(bytes, &self.limits, &scope, &mut Nothing)?;
        let mut bytes = match scanner.splices.is_empty() {
            true => Cow::Borrowed(bytes),
            false => Cow::Owned(scanner.splices.apply(bytes)),
        };
        if memchr::memchr(b'\r', &bytes).is_some() {
            bytes = Cow::Owned(rewrite::with_line_feeds(&bytes));
        }
        OwnedElement::parse(&bytes, "")
    }

    fn scope(&self) -> Scope<'_> {
        let open = self.open.last();
        Scope {
            default: open.map_or("", |open| &open.default),
            outer: open.map_or(&[], |open| &open.declared),
            splice: Splice::Root,
            header: false,
            budget: self.limits.stanza_bytes,
        }
    }

    /// What holds inside the element whose start tag ends at `end`.
    fn opened(&self, end: usize) -> Result<Open, XmlError> {
        let mut scanner = Scanner::new();
        let scope = Scope {
            header: true,
            ..self.scope()
        };
        let tag = &self.buffer[self.at..end];
        scanner.run(tag, &self.limits, &scope, &mut Nothing)?;
        let (text, _) = chars::check(tag, scanner.checked())?;
        let mut default = Cow::Owned(scope.default.to_owned());
        let mut declared = scope.outer.to_vec();
        for attr in scanner.attributes().iter().filter(|attr| attr.declares) {
            let value = chars::attribute_value(attr.value.text(text));
            if attr.prefix == 0 {
                default = ns::intern(&value);
                continue;
            }
            let prefix = attr.local().text(text);
            if prefix != "xml" {
                declared.retain(|(known, _)| known != prefix);
                declared.push((prefix.to_owned().into(), value.into_owned().into()));
            }
        }
        Ok(Open {
            name: scanner.tag_name().0.text(text).as_bytes().into(),
            default,
            declared,
        })
    }

    /// The end tag at the front of `rest`: its length, if it is complete.
    fn end_tag(&self, rest: &[u8]) -> Result<Option<usize>, XmlError> {
        let name = self.open.last().map_or(&b""[..], |open| &open.name);
        let have = &rest[2..rest.len().min(2 + name.len())];
        if !name.starts_with(have) {
            return Err(XmlError::NotWellFormed);
        }
        let behind = rest.get(2 + name.len()..).unwrap_or(&[]);
        match behind.iter().position(|&b| !chars::is_space(b)) {
            Some(at) if behind[at] == b'>' => Ok(Some(2 + name.len() + at + 1)),
            None if behind.len() <= END_TAG_SPACE => Ok(None),
            _ => Err(XmlError::NotWellFormed),
        }
    }

    fn end(&mut self) -> Piece {
        self.open.pop();
        self.next = match self.open.is_empty() {
            true => Next::Over,
            false => Next::Content,
        };
        Piece::End
    }

    /// Everything before `to` has been told.
    fn advance(&mut self, to: usize) {
        for &byte in &self.buffer[self.at..to] {
            if byte == b'\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at = to;
        self.scanner = None;
    }
}

/// White space allowed inside `</element >`.
const END_TAG_SPACE: usize = 64;
