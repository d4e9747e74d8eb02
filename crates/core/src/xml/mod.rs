//! XML as XMPP uses it: one parser for every stanza, an element view for consumers, a writer.
//!
//! Everything that a peer sends goes through one scanner in one pass, which holds every rule (UTF-8, XML 1.0, Namespaces
//! in XML, the restrictions of RFC 6120 §11) and every bound of [`Limits`]; what it lets through is forwarded as bytes.

mod chars;
mod document;
mod element;
mod error;
mod header;
mod limits;
pub mod ns;
mod parser;
mod rewrite;
mod scan;
mod scope;
mod splice;
mod start_tag;
mod tag;
#[cfg(test)]
mod tests;
mod writer;

pub use document::{DocumentError, DocumentParser, Piece};
pub use element::{Attribute, Element, OwnedElement};
pub use error::XmlError;
pub use header::StreamHeader;
pub use limits::Limits;
pub use parser::{Frame, StreamParser, parse_document};
pub use writer::{XmlWriter, escape_attr, escape_text};

pub(crate) use chars::attribute_value;
pub(crate) use scan::{Sink, Tag};
pub(crate) use scope::{Ns, Scope, Scopes, Span};
