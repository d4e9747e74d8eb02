//! What a request's `<body/>` wraps.

use tercet_core::{Frame, Limits, XmlError, parse_document};

use super::{Condition, HTTPBIND};

/// The elements of a request, each to be understood by itself, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payloads {
    pub(super) elements: Vec<Vec<u8>>,
}

impl Payloads {
    /// Each of them.
    pub fn elements(&self) -> &[Vec<u8>] {
        &self.elements
    }

    /// Bytes of all of them.
    pub(super) fn len(&self) -> usize {
        self.elements.iter().map(Vec::len).sum()
    }
}

/// Takes a whole `<body/>` apart, from where [`Head::read`](super::Head::read) says that it begins. `limits` are those of
/// the wrapper with all that is in it.
///
/// # Errors
/// What ends the session.
pub fn payloads(bytes: &[u8], limits: &Limits) -> Result<Payloads, Condition> {
    let body = match parse_document(bytes, "", limits) {
        Ok(Frame::Element(body)) if body.root().is("body", HTTPBIND) => body,
        Err(XmlError::Policy(_)) => return Err(Condition::PolicyViolation),
        // XEP-0124 §4: well-formed, restricted XML in one wrapper.
        _ => return Err(Condition::BadRequest),
    };
    let root = body.root();
    // XEP-0124 §4: no character data but in its children.
    if !root.text().trim_ascii().is_empty() {
        return Err(Condition::BadRequest);
    }
    let elements = root.children().map(|child| {
        let mut element = Vec::new();
        child.to_xml(&mut element);
        element
    });
    Ok(Payloads {
        elements: elements.collect(),
    })
}
