//! What a server says when something fails: stanza errors (RFC 6120 §8.3), stream errors (§4.9) and SASL failures (§6.5).
//!
//! They are values that code returns; how they look on the wire is written here and nowhere else.

mod sasl;
mod stanza;
mod stream;

pub use sasl::SaslFailure;
pub use stanza::{Condition, ErrorType, StanzaError};
pub use stream::{StreamCondition, StreamError};
