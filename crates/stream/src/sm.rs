//! Stream management (XEP-0198 1.6.3), what streams of clients and of servers have in common: its elements, and how
//! stanzas are counted.

use tercet_core::{Element, StanzaError, StreamCondition, StreamError, XmlWriter};

/// The namespace of stream management.
pub const NS: &str = "urn:xmpp:sm:3";

/// What a peer asks for with `<enable/>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enable {
    /// That the session can go on after its connection is lost.
    pub resume: bool,
    /// For so many seconds, if it says.
    pub max: Option<u32>,
}

/// The answer to `<enable/>`: with the session's id and for how many seconds it can be resumed, if
/// it can.
pub fn enabled(resumable: Option<(&str, u64)>) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("enabled").attr("xmlns", NS);
    if let Some((id, max)) = resumable {
        // XEP-0198 §5: the id stands for a session of this account alone; there is no location.
        w.attr("id", id)
            .attr("resume", "true")
            .attr("max", &max.to_string());
    }
    w.end();
    w.finish()
}

/// Appends an acknowledgement: so many stanzas of the client have been handled.
pub fn ack(handled: u32, out: &mut Vec<u8>) {
    append(out, |w| {
        // XEP-0198 §4: an acknowledgement has a count.
        w.leaf("a", &[("xmlns", NS), ("h", &handled.to_string())]);
    });
}

/// Appends a request for an acknowledgement.
pub fn request(out: &mut Vec<u8>) {
    append(out, |w| {
        w.leaf("r", &[("xmlns", NS)]);
    });
}

/// The end of a stream whose client says that it has handled more stanzas than it was sent.
pub fn too_high(handled: u32, sent: u32) -> StreamError {
    let mut w = XmlWriter::new();
    // XEP-0198 §6: with both numbers, so that people can see what went wrong.
    w.leaf(
        "handled-count-too-high",
        &[
            ("xmlns", NS),
            ("h", &handled.to_string()),
            ("send-count", &sent.to_string()),
        ],
    );
    StreamError::new(StreamCondition::UndefinedCondition)
        .text("more stanzas acknowledged than were sent")
        .app(w.finish())
}

/// Another stanza of the peer. XEP-0198 §4: the count goes on at zero behind 2^32-1.
#[inline]
pub(crate) fn count(received: &mut Option<u32>) {
    if let Some(count) = received {
        *count = count.wrapping_add(1);
    }
}

/// XEP-0198 §6: why something could not be had, as a stanza error's condition, and how many stanzas had been handled, if
/// that is known.
pub(crate) fn failed(error: &StanzaError, handled: Option<u32>, w: &mut XmlWriter) {
    w.start("failed").attr("xmlns", NS);
    if let Some(handled) = handled {
        w.attr("h", &handled.to_string());
    }
    w.leaf(
        error.condition.as_str(),
        &[("xmlns", tercet_core::ns::STANZAS)],
    );
    w.end();
}

/// The count that an acknowledgement must have (XEP-0198 §4).
pub(crate) fn handled(element: Element<'_>) -> Result<u32, StreamError> {
    let count = element.attr("h").and_then(|h| h.trim().parse().ok());
    count.ok_or_else(|| {
        StreamError::new(StreamCondition::InvalidXml).text("an acknowledgement without its count")
    })
}

/// A boolean of XML Schema.
pub(crate) fn is_true(value: &str) -> bool {
    matches!(value.trim(), "true" | "1")
}

fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut XmlWriter)) {
    let mut w = XmlWriter::into(std::mem::take(out));
    write(&mut w);
    *out = w.finish();
}
