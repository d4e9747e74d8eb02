//! What a request is answered with.

use std::sync::Arc;

use tercet_core::{XmlWriter, ns};

use super::{Condition, HTTPBIND, VERSION, XBOSH};

/// The media types that a client may ask for. Others, such as `text/html`, would have a browser make a page of what
/// strangers write.
const CONTENT_TYPES: [&str; 4] = [
    "text/xml; charset=utf-8",
    "application/xml; charset=utf-8",
    "text/plain; charset=utf-8",
    "text/xml",
];

/// One HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The `<body/>`.
    pub body: Arc<[u8]>,
    /// It has elements that others must not overtake: the session is told when it [has left](super::Session::left).
    pub is_followed: bool,
}

impl Answer {
    /// The end of a session, or of what never was one.
    pub fn end(condition: Condition) -> Answer {
        Writer::new().terminate(Some(condition)).finish()
    }
}

/// XEP-0124 §7.1: the content type that the client asked for.
pub(super) fn content_type(asked: Option<&str>) -> Result<&'static str, Condition> {
    let Some(asked) = asked else {
        return Ok(CONTENT_TYPES[0]);
    };
    let plain = |text: &str| -> String {
        let text = text.chars().filter(|c| !c.is_ascii_whitespace());
        text.collect::<String>().to_ascii_lowercase()
    };
    let same = |known: &&&str| plain(known) == plain(asked);
    let known = CONTENT_TYPES.iter().find(same);
    known.copied().ok_or(Condition::BadRequest)
}

/// XEP-0124 §7.2: the lower version of both sides.
pub(super) fn version(client: (u32, u32)) -> String {
    let (major, minor) = client.min(VERSION);
    format!("{major}.{minor}")
}

/// Writes an answer: attributes, then elements.
pub(super) struct Writer {
    xml: XmlWriter,
    status: u16,
    content_type: &'static str,
}

impl Writer {
    pub(super) fn new() -> Writer {
        let mut xml = XmlWriter::new();
        xml.start("body").attr("xmlns", HTTPBIND);
        Writer {
            xml,
            status: 200,
            content_type: CONTENT_TYPES[0],
        }
    }

    pub(super) fn content_type(mut self, content_type: &'static str) -> Writer {
        self.content_type = content_type;
        self
    }

    pub(super) fn attr(&mut self, name: &str, value: &str) {
        self.xml.attr(name, value);
    }

    /// The attributes that XMPP has in the first answer, with their namespaces.
    pub(super) fn xmpp(&mut self) {
        self.attr("xmlns:xmpp", XBOSH);
        self.attr("xmlns:stream", ns::STREAMS);
        // XEP-0206 §4: restarts are understood.
        self.attr("xmpp:restartlogic", "true");
        self.attr("xmpp:version", "1.0");
    }

    pub(super) fn terminate(mut self, condition: Option<Condition>) -> Writer {
        self.attr("type", "terminate");
        if let Some(condition) = condition {
            self.attr("condition", condition.as_str());
        }
        self
    }

    /// The same for a client that knows HTTP's codes only.
    pub(super) fn legacy(mut self, condition: Option<Condition>) -> Writer {
        self.status = condition.map_or(200, Condition::legacy_status);
        self
    }

    pub(super) fn payload(&mut self, element: &[u8]) {
        self.xml.raw(element);
    }

    pub(super) fn finish(mut self) -> Answer {
        self.xml.end();
        Answer {
            status: self.status,
            content_type: self.content_type,
            body: self.xml.finish().into(),
            is_followed: false,
        }
    }
}

/// The stream's beginning or end as one message to it.
pub(super) fn framing(name: &str, attributes: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start(name).attr("xmlns", ns::FRAMING);
    for (name, value) in attributes {
        w.opt_attr(name, *value);
    }
    w.end();
    w.finish()
}
