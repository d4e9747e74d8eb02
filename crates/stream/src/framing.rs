//! How a stream's beginning, elements and end look on the wire. The machines know frames only.

use std::borrow::Cow;

use tercet_core::{
    Element, Frame, Limits, StreamHeader, StreamParser, XmlError, XmlWriter, escape_attr, ns,
    parse_document,
};

use crate::messages::has_namespace;

/// A way to put a stream on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One long XML document over TCP (RFC 6120 §4), with or without TLS below.
    Tcp,
    /// An element a WebSocket message (RFC 7395). Every [`Input::Bytes`](crate::Input::Bytes) is one
    /// message; what is to be written are elements, a message each: see
    /// [`messages`](crate::messages()).
    WebSocket {
        /// Whether nobody can listen in although there is no TLS here: the connection does not
        /// leave this machine. Such a client may log in where TLS is required.
        private: bool,
    },
    /// Elements in HTTP requests and their answers (XEP-0206), by way of a [`bosh::Session`](crate::bosh::Session); to the
    /// stream they are what they are on a WebSocket, its `<open/>` and `<close/>` included.
    Bosh {
        /// The same as of a WebSocket.
        private: bool,
    },
}

/// The values of a stream header (RFC 6120 §4.7).
pub(crate) struct Header<'a> {
    pub(crate) content_ns: &'a str,
    /// Namespaces declared besides, by their prefixes.
    pub(crate) declarations: &'a [(&'a str, &'a str)],
    /// Of response headers.
    pub(crate) id: Option<&'a str>,
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
    #[inline]
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, XmlError> {
        match self.framing {
            Framing::Tcp => self.parser.next(input),
            // All of the last message was taken.
            Framing::WebSocket { .. } | Framing::Bosh { .. } if input.is_empty() => Ok(None),
            Framing::WebSocket { .. } | Framing::Bosh { .. } => {
                message(std::mem::take(input), &self.limits).map(Some)
            }
        }
    }

    /// Expects a new header (RFC 6120 §4.3.3); nothing read before counts any more.
    pub(crate) fn restart(&mut self, limits: Limits) {
        self.parser = StreamParser::new(limits);
        self.limits = limits;
    }

    /// Other bounds from now on.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.parser.set_limits(limits);
        self.limits = limits;
    }

    /// The bounds on what is read now.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether every input is a message, whole and alone.
    pub(crate) fn has_messages(&self) -> bool {
        self.framing != Framing::Tcp
    }

    /// Whether the carrier finds out by itself that the client has gone (XEP-0124 §10).
    pub(crate) fn is_watched(&self) -> bool {
        matches!(self.framing, Framing::Bosh { .. })
    }

    /// Whether nobody can listen in even without TLS.
    pub(crate) fn is_private(&self) -> bool {
        matches!(
            self.framing,
            Framing::WebSocket { private: true } | Framing::Bosh { private: true }
        )
    }

    pub(crate) fn write_header(&self, header: &Header<'_>, out: &mut Vec<u8>) {
        let attribute = |name: &str, value: &str, out: &mut Vec<u8>| {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            escape_attr(value, out);
            out.push(b'\'');
        };
        match self.framing {
            Framing::Tcp => {
                out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
                attribute("xmlns", header.content_ns, out);
                attribute("xmlns:stream", ns::STREAMS, out);
                for (prefix, namespace) in header.declarations {
                    attribute(&format!("xmlns:{prefix}"), namespace, out);
                }
            }
            // RFC 7395 §3.4: what a stream header has, without its namespaces.
            Framing::WebSocket { .. } | Framing::Bosh { .. } => {
                out.extend_from_slice(b"<open");
                attribute("xmlns", ns::FRAMING, out);
            }
        }
        // RFC 6120 §4.7: id in every answer, and from always; to if the peer said who it is.
        if let Some(id) = header.id {
            attribute("id", id, out);
        }
        attribute("from", header.from, out);
        if let Some(to) = header.to {
            attribute("to", to, out);
        }
        if let Some(version) = header.version {
            attribute("version", version, out);
        }
        attribute("xml:lang", header.lang, out);
        out.extend_from_slice(match self.framing {
            Framing::Tcp => b">",
            Framing::WebSocket { .. } | Framing::Bosh { .. } => b"/>",
        });
    }

    pub(crate) fn write_end(&self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Tcp => out.extend_from_slice(b"</stream:stream>"),
            Framing::WebSocket { .. } | Framing::Bosh { .. } => {
                let mut w = XmlWriter::into(std::mem::take(out));
                w.leaf("close", &[("xmlns", ns::FRAMING)]);
                *out = w.finish();
            }
        }
    }

    /// Whether a client can be sent elsewhere.
    pub(crate) fn can_move(&self) -> bool {
        matches!(self.framing, Framing::WebSocket { .. })
    }

    /// RFC 7395 §3.6.1: the end of this stream, and where to open the next.
    pub(crate) fn write_move(&self, uri: &str, out: &mut Vec<u8>) {
        let mut w = XmlWriter::into(std::mem::take(out));
        w.leaf("close", &[("xmlns", ns::FRAMING), ("see-other-uri", uri)]);
        *out = w.finish();
    }

    /// RFC 6120 §4.6.1: white space keeps a connection alive without meaning anything.
    pub(crate) fn write_keep_alive(&self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Tcp => out.push(b' '),
            // RFC 7395 §3.8: by the WebSocket's own pings, which are the driver's.
            Framing::WebSocket { .. } | Framing::Bosh { .. } => {}
        }
    }
}

/// XML white space only.
pub(crate) fn is_space(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

/// One WebSocket message.
fn message(bytes: &[u8], limits: &Limits) -> Result<Frame, XmlError> {
    match bytes {
        // RFC 7395 §3.3.3: the first character of a message is "<".
        [b'<', b'?' | b'!', ..] => return Err(XmlError::Restricted),
        [b'<', ..] => {}
        _ => return Err(XmlError::BadFormat),
    }
    let frame = parse_document(bytes, ns::CLIENT, limits)?;
    // RFC 7395 §3.3.3: each message can be understood by itself, its namespace included.
    if !has_namespace(bytes) {
        return Err(XmlError::BadFormat);
    }
    Ok(match frame {
        Frame::Element(element) if element.root().is("open", ns::FRAMING) => {
            Frame::Header(Box::new(header(element.root())))
        }
        Frame::Element(element) if element.root().is("close", ns::FRAMING) => Frame::End,
        frame => frame,
    })
}

/// RFC 7395 §3.4: `<open/>` is the stream header; its content is that of client streams always.
fn header(open: Element<'_>) -> StreamHeader {
    let text = |value: Option<Cow<'_, str>>| value.map(Cow::into_owned);
    StreamHeader {
        content_ns: ns::CLIENT.to_owned(),
        stream_ns_ok: true,
        prefix: String::new(),
        to: text(open.attr("to")),
        from: text(open.attr("from")),
        id: text(open.attr("id")),
        version: text(open.attr("version")),
        lang: text(open.attr_ns(ns::XML, "lang")),
        declarations: Vec::new(),
    }
}
