//! The incremental parser of a stream: bytes in whatever pieces they come, frames out.

use super::element::OwnedElement;
use super::header::{self, Context, StreamHeader};
use super::scan::Scanner;
use super::scope::{Scope, Splice};
use super::{Limits, XmlError, chars, rewrite};
use crate::stanza::{Draft, Stanza};

/// One unit of a stream.
#[derive(Debug, Clone)]
pub enum Frame {
    /// The stream's start tag.
    Header(Box<StreamHeader>),
    /// A message, presence or iq in the stream's content namespace.
    Stanza(Stanza),
    /// Any other first-level element: SASL, STARTTLS, stream management and whatever else is not a stanza, also unknown
    /// elements in the content namespace (which earn `unsupported-stanza-type`).
    Element(OwnedElement),
    /// The stream's end tag.
    End,
    /// White space between first-level elements (RFC 6120 §4.4 allows it as a keep-alive), as much as there was.
    Whitespace,
}

/// Turns the bytes of one direction of a stream into [`Frame`]s.
///
/// A frame that is complete in the bytes given is parsed where it stands; only the part of a frame that has come so far is
/// kept, and between frames nothing is. Work is linear in the input however it is split. After an error every further
/// call gives the same error.
///
/// Literal line ends of frames, CR and CR LF, become the line feeds as which XML 1.0 §2.11 has every parser read them, so
/// that a receiver's parser can't differ: some end the stream at a CR in an attribute's value, or keep it in CDATA. `&#13;` is
/// and stays a carriage return.
///
/// ```
/// use tercet_core::{Frame, Limits, StreamParser};
/// let mut parser = StreamParser::new(Limits::BEFORE_LOGIN);
/// let mut input: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
///     <message to='juliet@example.org'><body>Hi</body></message>";
/// assert!(matches!(parser.next(&mut input), Ok(Some(Frame::Header(_)))));
/// assert!(matches!(parser.next(&mut input), Ok(Some(Frame::Stanza(_)))));
/// assert!(matches!(parser.next(&mut input), Ok(None)));
/// ```
#[derive(Debug)]
pub struct StreamParser {
    limits: Limits,
    phase: Phase,
    /// Since the header.
    context: Option<Box<Context>>,
    partial: Option<Box<Partial>>,
    failed: Option<XmlError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// An XML declaration or a header.
    Start,
    /// A header.
    Declared,
    Open,
    /// The header's element was empty: its end is still to be told.
    Ending,
    Ended,
}

/// A frame under way.
struct Partial {
    bytes: Vec<u8>,
    work: Work,
}

struct Work {
    scanner: Scanner,
    stanza: Draft,
}

impl Work {
    #[inline]
    fn new() -> Self {
        Work {
            scanner: Scanner::new(),
            stanza: Draft::new(),
        }
    }
}

impl std::fmt::Debug for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Partial({} bytes)", self.bytes.len())
    }
}

/// How much is added to a partial frame at a time: what is taken beyond its end was copied in vain.
const CHUNK: usize = 4096;
/// White space allowed inside `</stream:stream >`.
const END_TAG_SPACE: usize = 64;

impl StreamParser {
    /// A parser that expects a stream header first.
    pub fn new(limits: Limits) -> Self {
        StreamParser {
            limits,
            phase: Phase::Start,
            context: None,
            partial: None,
            failed: None,
        }
    }

    /// Other limits, from the next byte on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Forgets everything but the limits: after TLS and SASL a new stream header is expected (RFC 6120 §4.3.3).
    pub fn reset(&mut self) {
        *self = StreamParser::new(self.limits);
    }

    /// Bytes of an incomplete frame that are kept.
    pub fn buffered(&self) -> usize {
        self.partial.as_ref().map_or(0, |p| p.bytes.len())
    }

    /// Takes bytes from the front of `input`. `Some`: a frame is complete and `input` begins behind it. `None`: all of the
    /// input was taken. An error is the end of the stream: how much was taken then is not said.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, XmlError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.step(input);
        if let Err(error) = result {
            self.failed = Some(error);
            self.partial = None;
        }
        result
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, XmlError> {
        if self.phase == Phase::Ending {
            self.phase = Phase::Ended;
            return Ok(Some(Frame::End));
        }
        loop {
            if let Some(partial) = self.partial.take() {
                match self.resume(partial, input)? {
                    Some(Some(frame)) => return Ok(Some(frame)),
                    Some(None) => continue,
                    None => return Ok(None),
                }
            }
            let space = input
                .iter()
                .position(|&b| !chars::is_space(b))
                .unwrap_or(input.len());
            if space > 0 {
                *input = &input[space..];
                // Around an XML declaration it tells nobody anything.
                if self.context.is_some() {
                    return Ok(Some(Frame::Whitespace));
                }
            }
            if input.is_empty() {
                return Ok(None);
            }
            let mut work = Work::new();
            let visible = &input[..input.len().min(self.limits.stanza_bytes as usize)];
            match self.advance(visible, &mut work)? {
                Some(end) => {
                    let (bytes, rest) = input.split_at(end);
                    *input = rest;
                    if let Some(frame) = self.complete(bytes, &mut work)? {
                        return Ok(Some(frame));
                    }
                }
                None if visible.len() < input.len() => {
                    return Err(XmlError::Policy("stanza bytes"));
                }
                None => {
                    self.partial = Some(Box::new(Partial {
                        bytes: input.to_vec(),
                        work,
                    }));
                    *input = &[];
                    return Ok(None);
                }
            }
        }
    }

    /// Goes on with a frame of which a part was kept. `Some(None)`: complete, but nothing to tell.
    fn resume(
        &mut self,
        mut partial: Box<Partial>,
        input: &mut &[u8],
    ) -> Result<Option<Option<Frame>>, XmlError> {
        let limit = self.limits.stanza_bytes as usize;
        while !input.is_empty() {
            let had = partial.bytes.len();
            let (chunk, rest) = input.split_at(input.len().min(CHUNK));
            partial.bytes.extend_from_slice(chunk);
            let visible = &partial.bytes[..partial.bytes.len().min(limit)];
            match self.advance(visible, &mut partial.work)? {
                Some(end) => {
                    *input = &input[end.saturating_sub(had)..];
                    let Partial { bytes, work } = &mut *partial;
                    return self.complete(&bytes[..end], work).map(Some);
                }
                None if partial.bytes.len() > limit => {
                    return Err(XmlError::Policy("stanza bytes"));
                }
                None => *input = rest,
            }
        }
        self.partial = Some(partial);
        Ok(None)
    }

    /// Scans on over a frame's bytes as far as they have come; its length if it is complete.
    #[inline]
    fn advance(&self, bytes: &[u8], work: &mut Work) -> Result<Option<usize>, XmlError> {
        let end_possible = match self.phase {
            Phase::Ended => return Err(XmlError::NotWellFormed),
            Phase::Start | Phase::Declared => false,
            _ => true,
        };
        match bytes {
            [b'<'] => return Ok(None),
            [b'<', b'/', ..] if end_possible => return self.end_tag(bytes),
            [b'<', b'?', ..] if self.phase == Phase::Start => return header::declaration(bytes),
            [b'<', b'?', ..] => return Err(XmlError::Restricted),
            [b'<', b'!', b'[', ..] => return Err(XmlError::BadFormat),
            [b'<', b'!'] => return Ok(None),
            [b'<', b'!', ..] => return Err(XmlError::Restricted),
            [b'<', ..] => {}
            // Only UTF-16 begins so.
            [0xFE | 0xFF, ..] if self.phase == Phase::Start => {
                return Err(XmlError::UnsupportedEncoding);
            }
            _ => return Err(XmlError::BadFormat),
        }
        Ok(work
            .scanner
            .run(bytes, &self.limits, &self.scope(), work.stanza.index())?)
    }

    fn scope(&self) -> Scope<'_> {
        match &self.context {
            Some(context) => Scope {
                default: &context.content_ns,
                outer: &context.outer,
                splice: Splice::Stanza,
                header: false,
                budget: self.limits.stanza_bytes,
            },
            None => Scope {
                default: "",
                outer: &[],
                splice: Splice::Nowhere,
                header: true,
                budget: 0,
            },
        }
    }

    /// The stream's end tag: its length if it is complete.
    fn end_tag(&self, bytes: &[u8]) -> Result<Option<usize>, XmlError> {
        let name = self
            .context
            .as_ref()
            .map_or(&b""[..], |c| c.name.as_bytes());
        let have = &bytes[2..bytes.len().min(2 + name.len())];
        if !name.starts_with(have) {
            return Err(XmlError::NotWellFormed);
        }
        let rest = bytes.get(2 + name.len()..).unwrap_or(&[]);
        match rest.iter().position(|&b| !chars::is_space(b)) {
            Some(at) if rest[at] == b'>' => Ok(Some(2 + name.len() + at + 1)),
            Some(_) => Err(XmlError::NotWellFormed),
            None if rest.len() > END_TAG_SPACE => Err(XmlError::Policy("end tag")),
            None => Ok(None),
        }
    }

    /// Makes the frame of its complete bytes. `None`: it was the XML declaration.
    #[inline]
    fn complete(&mut self, bytes: &[u8], work: &mut Work) -> Result<Option<Frame>, XmlError> {
        match (&self.context, bytes) {
            (Some(_), [_, b'/', ..]) => {
                self.phase = Phase::Ended;
                Ok(Some(Frame::End))
            }
            (Some(_), _) => element_frame(bytes, work, &self.scope(), &self.limits).map(Some),
            (None, [_, b'?', ..]) => {
                self.phase = Phase::Declared;
                Ok(None)
            }
            (None, _) => {
                let (header, context) = header::header(bytes, &work.scanner, &self.scope())?;
                self.context = Some(Box::new(context));
                self.phase = if work.scanner.is_open() {
                    Phase::Open
                } else {
                    Phase::Ending
                };
                Ok(Some(Frame::Header(Box::new(header))))
            }
        }
    }
}

/// The frame of a first-level element that was scanned.
#[inline]
fn element_frame(
    bytes: &[u8],
    work: &mut Work,
    scope: &Scope<'_>,
    limits: &Limits,
) -> Result<Frame, XmlError> {
    let Work { scanner, stanza } = work;
    let (text, controls) = chars::check(bytes, scanner.checked())?;
    if !scanner.splices.is_empty() || (controls && memchr::memchr(b'\r', bytes).is_some()) {
        return rewritten_frame(bytes, scanner, scope, limits);
    }
    match stanza.kind(text, &scanner.scopes, scope) {
        Some(kind) => {
            let stanza = stanza.finish(kind, text, scope.default, &mut scanner.scopes);
            Ok(Frame::Stanza(stanza))
        }
        None => Ok(Frame::Element(OwnedElement::scan(
            bytes,
            &Scope {
                splice: Splice::Nowhere,
                outer: &[],
                ..*scope
            },
        )?)),
    }
}

/// The frame of an element whose bytes have to change.
#[cold]
fn rewritten_frame(
    bytes: &[u8],
    scanner: &mut Scanner,
    scope: &Scope<'_>,
    limits: &Limits,
) -> Result<Frame, XmlError> {
    if memchr::memchr(b'\r', bytes).is_some() {
        return scan_again(&rewrite::with_line_feeds(bytes), scope, limits);
    }
    if bytes.len() + scanner.splices.added() > limits.stanza_bytes as usize {
        return Err(XmlError::Policy("stanza bytes"));
    }
    // What was copied in counts for the bytes only.
    let limits = Limits {
        attributes: u16::MAX,
        namespaces: u16::MAX,
        ..*limits
    };
    let scope = Scope {
        outer: &[],
        splice: Splice::Nowhere,
        ..*scope
    };
    let mut bytes = scanner.splices.apply(bytes);
    if scanner.splices.is_prefixed() {
        bytes = rewrite::without_prefixes(&bytes, &scope, &limits)?;
    }
    scan_again(&bytes, &scope, &limits)
}

fn scan_again(bytes: &[u8], scope: &Scope<'_>, limits: &Limits) -> Result<Frame, XmlError> {
    let mut work = Work::new();
    match work
        .scanner
        .run(bytes, limits, scope, work.stanza.index())?
    {
        Some(end) if end == bytes.len() => element_frame(bytes, &mut work, scope, limits),
        _ => Err(XmlError::NotWellFormed),
    }
}

/// Parses one whole element with nothing but white space around it: a WebSocket frame, a stored stanza. `content_ns` is the
/// default namespace outside of it and the one that makes a message, presence or iq a [`Frame::Stanza`]; anything else
/// is a [`Frame::Element`], a stream header too.
pub fn parse_document(bytes: &[u8], content_ns: &str, limits: &Limits) -> Result<Frame, XmlError> {
    let bytes = bytes.trim_ascii();
    let scope = Scope {
        default: content_ns,
        outer: &[],
        splice: Splice::Stanza,
        header: false,
        budget: limits.stanza_bytes,
    };
    match bytes {
        [b'<', b'?', ..] => return Err(XmlError::Restricted),
        [b'<', ..] => {}
        _ => return Err(XmlError::NotWellFormed),
    }
    let visible = &bytes[..bytes.len().min(limits.stanza_bytes as usize)];
    let mut work = Work::new();
    match work
        .scanner
        .run(visible, limits, &scope, work.stanza.index())?
    {
        Some(end) if end == bytes.len() => element_frame(bytes, &mut work, &scope, limits),
        None if visible.len() < bytes.len() => Err(XmlError::Policy("stanza bytes")),
        _ => Err(XmlError::NotWellFormed),
    }
}
