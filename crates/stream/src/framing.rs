//! How a stream's beginning, elements and end look on the wire. The machines know frames only.

use tercet_core::{Frame, Limits, StreamParser, XmlError, escape_attr, ns};

/// A way to put a stream on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One long XML document over TCP (RFC 6120 §4), with or without TLS below.
    Tcp,
}

/// The values of a response stream header (RFC 6120 §4.7).
pub(crate) struct ResponseHeader<'a> {
    pub(crate) content_ns: &'a str,
    pub(crate) id: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
    pub(crate) lang: &'a str,
}

/// Both directions of one stream: frames in, bytes out.
pub(crate) struct Framer {
    framing: Framing,
    parser: StreamParser,
    limits: Limits,
}

impl Framer {
    pub(crate) fn new(framing: Framing, limits: Limits) -> Self {
        Self {
            framing,
            parser: StreamParser::new(limits),
            limits,
        }
    }

    /// The next frame; see [`StreamParser::next`].
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, XmlError> {
        self.parser.next(input)
    }

    /// Expects a new header (RFC 6120 §4.3.3); nothing read before counts any more.
    pub(crate) fn restart(&mut self, limits: Limits) {
        self.parser = StreamParser::new(limits);
        self.limits = limits;
    }

    /// The bounds on what is read now.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn write_header(&self, header: &ResponseHeader<'_>, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Tcp => {
                out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
                let mut attribute = |name: &str, value: &str| {
                    out.push(b' ');
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b"='");
                    escape_attr(value, out);
                    out.push(b'\'');
                };
                attribute("xmlns", header.content_ns);
                attribute("xmlns:stream", ns::STREAMS);
                // RFC 6120 §4.7: id and from always; to if the peer said who it is.
                attribute("id", header.id);
                attribute("from", header.from);
                if let Some(to) = header.to {
                    attribute("to", to);
                }
                if let Some(version) = header.version {
                    attribute("version", version);
                }
                attribute("xml:lang", header.lang);
                out.push(b'>');
            }
        }
    }

    pub(crate) fn write_end(&self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Tcp => out.extend_from_slice(b"</stream:stream>"),
        }
    }

    /// RFC 6120 §4.6.1: white space keeps a connection alive without meaning anything.
    pub(crate) fn write_keep_alive(&self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Tcp => out.push(b' '),
        }
    }
}
