//! What a server says when something fails: stanza errors (RFC 6120 §8.3), stream errors (§4.9) and SASL failures (§6.5).
//!
//! They are values that code returns; how they look on the wire is written here and nowhere else.

mod reply;
mod sasl;
mod stanza;
mod stream;
#[cfg(test)]
mod tests;

pub use reply::{discreet_error_reply, error_reply, iq_result};
pub use sasl::SaslFailure;
pub use stanza::{Condition, ErrorType, StanzaError};
pub use stream::{StreamCondition, StreamError};

use crate::xml::XmlWriter;

/// Writes the optional `<text/>` of any error, in English: what this server says itself has no translation.
fn write_text(w: &mut XmlWriter, text: Option<&str>, xmlns: &str) {
    if let Some(text) = text {
        w.start("text").attr("xmlns", xmlns).attr("xml:lang", "en");
        w.text(text).end();
    }
}
