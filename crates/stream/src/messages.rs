//! Elements of a stream as messages that stand alone (RFC 7395 §3.3.3).
//!
//! What a server sends to a client is written without the namespaces that a stream header would have
//! declared, by all its parts alike. Where there is no header, they are added here, on the way out:
//! a search for the elements' ends and a few bytes in each start tag.

use memchr::{memchr, memchr2};
use tercet_core::ns;

/// Behind the element's name, where it has no namespace of its own.
const CLIENT: &[u8] = b" xmlns='jabber:client'";
/// Behind the element's name, where it has the stream's prefix.
const STREAMS: &[u8] = b" xmlns:stream='http://etherx.jabber.org/streams'";

/// One message in three parts, to be sent in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The start tag up to the element's name.
    pub name: &'a [u8],
    /// The declaration that is missing behind it; may be empty.
    pub declaration: &'static [u8],
    /// Everything else.
    pub rest: &'a [u8],
}

impl Message<'_> {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.name.len() + self.declaration.len() + self.rest.len()
    }

    /// Whether there is nothing in it; never so for one of [`messages`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name);
        out.extend_from_slice(self.declaration);
        out.extend_from_slice(self.rest);
    }
}

/// The elements in `bytes`, each as a message of its own. `bytes` must be what a server of ours has
/// written to a client: whole elements, well-formed, without comments and processing instructions,
/// with nothing between them but white space, which is left out.
///
/// ```
/// let mut out = Vec::new();
/// for message in tercet_stream::messages(b"<presence/><iq xmlns='jabber:client' id='1'/>") {
///     message.write(&mut out);
///     out.push(b'\n');
/// }
/// assert_eq!(out, b"<presence xmlns='jabber:client'/>\n<iq xmlns='jabber:client' id='1'/>\n");
/// ```
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut bytes = bytes.trim_ascii_start();
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let (element, rest) = bytes.split_at(element_len(bytes));
        bytes = rest.trim_ascii_start();
        let at = name_len(element);
        Some(Message {
            name: &element[..at],
            declaration: match element.strip_prefix(b"<stream:") {
                Some(_) if attributes(element).any(|name| name == b"xmlns:stream") => b"",
                Some(_) => STREAMS,
                None if has_namespace(element) => b"",
                None => CLIENT,
            },
            rest: &element[at..],
        })
    })
}

/// Whether the namespace of the first element in `bytes` is declared on it, or could not be anywhere
/// but there: it has a prefix. `bytes` must be well-formed.
pub(crate) fn has_namespace(bytes: &[u8]) -> bool {
    bytes[..name_len(bytes)].contains(&b':') || attributes(bytes).any(|name| name == b"xmlns")
}

/// The length of "<" and the name behind it.
fn name_len(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>'))
        .unwrap_or(bytes.len())
}

/// The names of the first start tag's attributes.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = &bytes[name_len(bytes)..];
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        if matches!(rest.first(), None | Some(b'/' | b'>')) {
            return None;
        }
        let (name, value) = rest.split_at(memchr(b'=', rest)?);
        let value = value[1..].trim_ascii_start();
        let (quote, value) = value.split_first()?;
        rest = &value[memchr(*quote, value)? + 1..];
        Some(name.trim_ascii_end())
    })
}

/// The length of the element that `bytes` begins with; all of `bytes` if it has no end.
fn element_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    let mut depth = 0_usize;
    while let Some(next) = memchr(b'<', &bytes[at..]) {
        at += next;
        let tag = &bytes[at..];
        if tag.starts_with(b"<![CDATA[") {
            match memchr::memmem::find(tag, b"]]>") {
                Some(end) => at += end + 3,
                None => break,
            }
            continue;
        }
        let Some(end) = tag_len(tag) else { break };
        at += end;
        if tag.starts_with(b"</") {
            depth = depth.saturating_sub(1);
        } else if tag[end - 2] != b'/' {
            depth += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// The length of a tag, which may have ">" in its attributes' values.
pub(crate) fn tag_len(tag: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let end = memchr(b'>', &tag[at..])? + at;
        // The first quote before it, if it opens a value that goes on behind.
        match memchr2(b'\'', b'"', &tag[at..end]) {
            None => return Some(end + 1),
            Some(open) => {
                let open = open + at;
                at = memchr(tag[open], &tag[open + 1..])? + open + 2;
            }
        }
    }
}

const _: () = {
    // What is spelled out above.
    assert!(CLIENT.len() == " xmlns=''".len() + ns::CLIENT.len());
    assert!(STREAMS.len() == " xmlns:stream=''".len() + ns::STREAMS.len());
};

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &str) -> Vec<String> {
        messages(bytes.as_bytes())
            .map(|message| {
                let mut out = Vec::new();
                message.write(&mut out);
                assert_eq!(out.len(), message.len());
                assert!(!message.is_empty());
                String::from_utf8(out).unwrap()
            })
            .collect()
    }

    #[test]
    fn every_element_becomes_a_message_with_a_namespace() {
        for (bytes, expected) in [
            ("", &[][..]),
            (" \n", &[]),
            ("<presence/>", &["<presence xmlns='jabber:client'/>"]),
            (
                "<iq id='1'><a xmlns='b'/></iq> <iq/>",
                &[
                    "<iq xmlns='jabber:client' id='1'><a xmlns='b'/></iq>",
                    "<iq xmlns='jabber:client'/>",
                ],
            ),
            (
                "<message><body>a&lt;b > c</body></message><presence\nto='a'/>",
                &[
                    "<message xmlns='jabber:client'><body>a&lt;b > c</body></message>",
                    "<presence xmlns='jabber:client'\nto='a'/>",
                ],
            ),
            (
                "<message a='/>' b=\"'<>'\"><x y='</message>'/></message><iq/>",
                &[],
            ),
            (
                "<message><body><![CDATA[</message><x>]]></body></message><r xmlns='urn:xmpp:sm:3'/>",
                &[
                    "<message xmlns='jabber:client'><body><![CDATA[</message><x>]]></body></message>",
                    "<r xmlns='urn:xmpp:sm:3'/>",
                ],
            ),
            (
                "<iq xmlns:x='y' xmlns = 'jabber:client'/><iq a='xmlns=' xmlns:x='y'/>",
                &[
                    "<iq xmlns:x='y' xmlns = 'jabber:client'/>",
                    "<iq xmlns='jabber:client' a='xmlns=' xmlns:x='y'/>",
                ],
            ),
            (
                "<stream:features><bind xmlns='b'/></stream:features><stream:error/>",
                &[
                    "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>\
                     <bind xmlns='b'/></stream:features>",
                    "<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>",
                ],
            ),
            (
                "<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>",
                &["<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>"],
            ),
        ] {
            // As they are, but for the declaration that is missing.
            let found = texts(bytes);
            if bytes.contains("a='/>'") {
                assert_eq!(found.len(), 2, "{found:?}");
                assert!(found[0].ends_with("'/></message>"), "{found:?}");
                continue;
            }
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_is_cut_off_ends_with_the_bytes() {
        for bytes in ["<", "<a", "<a b='", "<a><![CDATA[", "<a><b/>", "<a></a"] {
            assert_eq!(texts(bytes).len(), 1, "{bytes}");
        }
    }
}
