//! Writing XML into a byte buffer.

use super::chars::{control, equal, first_marked};

/// Appends `text` as character data: `&`, `<`, `>` and carriage returns become references, so that a parser reads back
/// exactly `text`.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape(
        text,
        out,
        |_| 0,
        |byte| match byte {
            b'&' => Some(b"&amp;"),
            b'<' => Some(b"&lt;"),
            b'>' => Some(b"&gt;"),
            b'\r' => Some(b"&#13;"),
            _ => None,
        },
    );
}

/// Appends `text` as an attribute's value for either kind of quote: beyond what [`escape_text`] does, quotes, tabs and line
/// feeds become references.
pub fn escape_attr(text: &str, out: &mut Vec<u8>) {
    escape(
        text,
        out,
        |eight| equal(eight, b'\'') | equal(eight, b'"'),
        |byte| match byte {
            b'&' => Some(b"&amp;"),
            b'<' => Some(b"&lt;"),
            b'>' => Some(b"&gt;"),
            b'\'' => Some(b"&apos;"),
            b'"' => Some(b"&quot;"),
            b'\r' => Some(b"&#13;"),
            b'\n' => Some(b"&#10;"),
            b'\t' => Some(b"&#9;"),
            _ => None,
        },
    );
}

/// Copies `text`, with `reference` for the bytes it knows. Characters that XML can't carry at all (most controls, U+FFFE,
/// U+FFFF) become U+FFFD: a text of ours must never end a peer's stream. `more` marks, of eight bytes, those that `reference`
/// knows besides `&`, `<`, `>` and controls.
#[inline]
fn escape(
    text: &str,
    out: &mut Vec<u8>,
    more: impl Fn(u64) -> u64,
    reference: impl Fn(u8) -> Option<&'static [u8]>,
) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        if let Some(chunk) = bytes[at..].first_chunk() {
            let x = u64::from_le_bytes(*chunk);
            let marks = equal(x, b'&')
                | equal(x, b'<')
                | equal(x, b'>')
                | equal(x, 0xEF)
                | control(x)
                | more(x);
            match first_marked(marks) {
                Some(found) => at += found,
                None => {
                    at += 8;
                    continue;
                }
            }
        }
        let byte = bytes[at];
        let (insert, len): (&[u8], usize) = match reference(byte) {
            Some(reference) => (reference, 1),
            None if byte < 0x20 && byte != b'\t' && byte != b'\n' => (REPLACEMENT, 1),
            None if byte == 0xEF && matches!(bytes[at + 1..], [0xBF, 0xBE | 0xBF, ..]) => {
                (REPLACEMENT, 3)
            }
            None => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(insert);
        at += len;
        copied = at;
    }
    out.extend_from_slice(&bytes[copied..]);
}

const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

/// Builds XML in a buffer: elements are opened and closed in order, texts and values escaped.
///
/// ```
/// use tercet_core::XmlWriter;
/// let mut w = XmlWriter::new();
/// w.start("query").attr("xmlns", "jabber:iq:version");
/// w.text_element("name", "R&D");
/// w.leaf("os", &[]);
/// w.end();
/// assert_eq!(w.finish(), b"<query xmlns='jabber:iq:version'><name>R&amp;D</name><os/></query>");
/// ```
#[derive(Debug, Default)]
pub struct XmlWriter {
    out: Vec<u8>,
    /// Positions of the open elements' names in `out`, and their lengths.
    open: smallvec::SmallVec<[(u32, u32); 8]>,
    /// Whether the innermost start tag still takes attributes.
    in_tag: bool,
}

impl XmlWriter {
    /// A writer with an empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that appends to `out`; [`XmlWriter::finish`] gives it back.
    pub fn into(out: Vec<u8>) -> Self {
        XmlWriter {
            out,
            ..Self::default()
        }
    }

    /// Opens an element inside the innermost open one. `name` is a legal qualified name.
    pub fn start(&mut self, name: &str) -> &mut Self {
        self.close_tag();
        self.out.push(b'<');
        self.open.push((self.out.len() as u32, name.len() as u32));
        self.out.extend_from_slice(name.as_bytes());
        self.in_tag = true;
        self
    }

    /// Adds an attribute to the element opened last. Only directly after [`XmlWriter::start`] and other attributes;
    /// ignored (and a fault in debug builds) anywhere else.
    pub fn attr(&mut self, name: &str, value: &str) -> &mut Self {
        debug_assert!(self.in_tag, "attribute {name} outside a start tag");
        if self.in_tag {
            self.out.push(b' ');
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"='");
            escape_attr(value, &mut self.out);
            self.out.push(b'\'');
        }
        self
    }

    /// [`XmlWriter::attr`], if there is a value.
    pub fn opt_attr(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Writes character data, escaped.
    pub fn text(&mut self, text: &str) -> &mut Self {
        if !text.is_empty() {
            self.close_tag();
            escape_text(text, &mut self.out);
        }
        self
    }

    /// Writes bytes as they are: well-formed content, whose prefixes are declared in it or by the elements open here.
    pub fn raw(&mut self, xml: &[u8]) -> &mut Self {
        if !xml.is_empty() {
            self.close_tag();
            self.out.extend_from_slice(xml);
        }
        self
    }

    /// Closes the innermost open element, with `/>` if it is empty. Without an open element a fault in debug builds, else
    /// ignored.
    pub fn end(&mut self) -> &mut Self {
        debug_assert!(!self.open.is_empty(), "end without start");
        if let Some((start, len)) = self.open.pop() {
            if self.in_tag {
                self.out.extend_from_slice(b"/>");
                self.in_tag = false;
            } else {
                self.out.extend_from_slice(b"</");
                self.out
                    .extend_from_within(start as usize..(start + len) as usize);
                self.out.push(b'>');
            }
        }
        self
    }

    /// Writes an element without content.
    pub fn leaf(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Self {
        self.start(name);
        for (name, value) in attributes {
            self.attr(name, value);
        }
        self.end()
    }

    /// Writes an element that holds only text.
    pub fn text_element(&mut self, name: &str, text: &str) -> &mut Self {
        self.start(name).text(text).end()
    }

    /// The bytes written. Every element must have been closed: a fault in debug builds otherwise.
    pub fn finish(self) -> Vec<u8> {
        debug_assert!(
            self.open.is_empty(),
            "{} elements left open",
            self.open.len()
        );
        self.out
    }

    #[inline]
    fn close_tag(&mut self) {
        if self.in_tag {
            self.out.push(b'>');
            self.in_tag = false;
        }
    }
}
