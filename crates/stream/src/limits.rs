//! XEP-0478 0.2.0: what a stream takes, told to the peer among the features.

use tercet_core::XmlWriter;

/// The namespace of stream limits.
pub(crate) const NS: &str = "urn:xmpp:stream-limits:0";

/// XEP-0478 §3.1: bytes of one first-level element, and seconds of silence after which the stream may be ended.
pub(crate) fn write(w: &mut XmlWriter, max_bytes: u32, idle_seconds: Option<u64>) {
    w.start("limits").attr("xmlns", NS);
    w.text_element("max-bytes", &max_bytes.to_string());
    if let Some(seconds) = idle_seconds {
        w.text_element("idle-seconds", &seconds.to_string());
    }
    w.end();
}
