//! What can be wrong with a peer's bytes. Every variant ends the stream.

use crate::error::{StreamCondition, StreamError};

/// Why a peer's XML is refused. Each variant stands for one stream error condition of RFC 6120 §4.9.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Breaks XML 1.0 or Namespaces in XML: `not-well-formed`.
    #[error("not well-formed XML")]
    NotWellFormed,
    /// Comment, processing instruction, DTD or entity beyond the five (RFC 6120 §11.1): `restricted-xml`.
    #[error("restricted XML: comment, processing instruction, DTD or entity reference")]
    Restricted,
    /// Something other than elements and white space at stream level (RFC 6120 §11.7), or a first element that is no
    /// stream header: `bad-format`.
    #[error("neither a stanza nor white space")]
    BadFormat,
    /// The XML declaration names another encoding than UTF-8 (RFC 6120 §11.6): `unsupported-encoding`.
    #[error("encoding other than UTF-8")]
    UnsupportedEncoding,
    /// A bound of [`Limits`](super::Limits) was exceeded; the text names it: `policy-violation`.
    #[error("limit exceeded: {0}")]
    Policy(&'static str),
}

impl From<XmlError> for StreamError {
    fn from(error: XmlError) -> StreamError {
        let condition = match error {
            XmlError::NotWellFormed => StreamCondition::NotWellFormed,
            XmlError::Restricted => StreamCondition::RestrictedXml,
            XmlError::BadFormat => StreamCondition::BadFormat,
            XmlError::UnsupportedEncoding => StreamCondition::UnsupportedEncoding,
            XmlError::Policy(limit) => {
                return StreamError::new(StreamCondition::PolicyViolation)
                    .text(format!("limit exceeded: {limit}"));
            }
        };
        StreamError::new(condition)
    }
}

/// The same in one byte, for the scanner's inner functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NotWellFormed,
    Restricted,
    StanzaBytes,
    Depth,
    Attributes,
    Children,
    NameBytes,
    Namespaces,
}

impl From<Fault> for XmlError {
    fn from(fault: Fault) -> XmlError {
        XmlError::Policy(match fault {
            Fault::NotWellFormed => return XmlError::NotWellFormed,
            Fault::Restricted => return XmlError::Restricted,
            Fault::StanzaBytes => "stanza bytes",
            Fault::Depth => "depth",
            Fault::Attributes => "attributes",
            Fault::Children => "child elements",
            Fault::NameBytes => "name length",
            Fault::Namespaces => "namespace declarations",
        })
    }
}
