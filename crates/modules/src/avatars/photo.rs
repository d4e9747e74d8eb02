//! The picture in a vCard (XEP-0054 §3.2, XEP-0153 §3.1), and what a picture is by its bytes.

use std::fmt::Write;

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use tercet_core::{Element, OwnedElement, XmlWriter};

use crate::vcard;

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// Its type, as `image/png`.
    pub kind: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Photo {
    /// The one in a vCard; `None` if there is none, or what is there is no picture.
    pub fn of(card: Element<'_>) -> Option<Photo> {
        let photos = card.children().filter(|c| c.is("PHOTO", vcard::NS));
        photos.filter_map(Photo::parse).next()
    }

    /// Reads `<PHOTO/>`.
    fn parse(photo: Element<'_>) -> Option<Photo> {
        let bytes = decode(&photo.child("BINVAL", vcard::NS)?.text())?;
        let said = photo.child("TYPE", vcard::NS);
        let said = said.map(|t| t.text().trim().to_ascii_lowercase());
        // XEP-0398 §3.2: the type is the vCard's. Some clients leave it out.
        let said = said.filter(|t| t.starts_with("image/") && t.len() <= 64);
        let kind = said.or_else(|| kind(&bytes).map(str::to_owned))?;
        Some(Photo { kind, bytes })
    }

    /// The lowercase SHA-1 of its bytes, which is its id (XEP-0084 §4.1, XEP-0153 §3.1).
    pub fn hash(&self) -> String {
        hash(&self.bytes)
    }

    /// Writes `<PHOTO/>`, its namespace declared.
    pub fn write(&self, w: &mut XmlWriter) {
        w.start("PHOTO").attr("xmlns", vcard::NS);
        w.text_element("TYPE", &self.kind);
        w.text_element("BINVAL", &base64(&self.bytes));
        w.end();
    }
}

/// The lowercase SHA-1 of a picture.
pub fn hash(bytes: &[u8]) -> String {
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let mut hash = String::with_capacity(40);
    for byte in sha1.as_ref() {
        write!(hash, "{byte:02x}").expect("a string takes what is written");
    }
    hash
}

/// A picture as text (RFC 4648 §4).
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The bytes behind base64 with white space in it (XEP-0153 §4); `None` if there are none, or it is something else.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = BASE64_STANDARD.decode(&text).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

/// What sort of picture these bytes are.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

/// Width and height in pixels, of pictures whose beginning says so (PNG, GIF).
pub fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes {
        [
            0x89,
            b'P',
            b'N',
            b'G',
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            b'I',
            b'H',
            b'D',
            b'R',
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            ..,
        ] => Some((
            u32::from_be_bytes([*a, *b, *c, *d]),
            u32::from_be_bytes([*e, *f, *g, *h]),
        )),
        [b'G', b'I', b'F', b'8', _, _, a, b, c, d, ..] => Some((
            u32::from(u16::from_le_bytes([*a, *b])),
            u32::from(u16::from_le_bytes([*c, *d])),
        )),
        _ => None,
    }
}

/// The vCard without any picture.
pub fn without(card: &[u8]) -> Vec<u8> {
    rewritten(card, None)
}

/// The vCard (an empty one if there is none) with this picture instead of what it has.
pub fn with(card: Option<&[u8]>, photo: &Photo) -> Vec<u8> {
    rewritten(card.unwrap_or_default(), Some(photo))
}

fn rewritten(card: &[u8], photo: Option<&Photo>) -> Vec<u8> {
    let card = OwnedElement::parse(card, "").ok();
    let mut w = XmlWriter::new();
    w.start("vCard").attr("xmlns", vcard::NS);
    if let Some(card) = &card {
        for attribute in card.root().attrs().filter(|a| a.ns.is_empty()) {
            w.attr(attribute.name, &attribute.value);
        }
        for child in card.root().children() {
            if child.is("PHOTO", vcard::NS) {
                continue;
            }
            let mut xml = Vec::new();
            child.to_xml(&mut xml);
            w.raw(&xml);
        }
    }
    if let Some(photo) = photo {
        photo.write(&mut w);
    }
    w.end();
    w.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content: &str) -> Option<Photo> {
        let xml = format!("<vCard xmlns='vcard-temp'>{content}</vCard>");
        Photo::of(OwnedElement::parse(xml.as_bytes(), "").unwrap().root())
    }

    #[test]
    fn a_picture_is_read_with_its_type_or_known_by_its_bytes() {
        let photo =
            of("<PHOTO><TYPE>image/png</TYPE><BINVAL>aGVs\n bG8=</BINVAL></PHOTO>").unwrap();
        assert_eq!(
            (photo.kind.as_str(), photo.bytes.as_slice(), photo.hash()),
            (
                "image/png",
                b"hello".as_slice(),
                "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d".to_owned()
            )
        );
        let jpeg = of("<PHOTO><BINVAL>/9j/4A==</BINVAL></PHOTO>").unwrap();
        assert_eq!(jpeg.kind, "image/jpeg");
        for nothing in [
            "",
            "<PHOTO/>",
            "<PHOTO><TYPE>image/png</TYPE><BINVAL/></PHOTO>",
            "<PHOTO><TYPE>image/png</TYPE><BINVAL>no base64!</BINVAL></PHOTO>",
            "<PHOTO><TYPE>text/html</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO>",
            "<PHOTO><EXTVAL>https://example.org/a.png</EXTVAL></PHOTO>",
        ] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_picture_is_put_into_a_vcard_and_taken_out_of_it() {
        let card = b"<vCard xmlns='vcard-temp' version='3.0'><FN>R&amp;J</FN><PHOTO><EXTVAL>x</EXTVAL></PHOTO></vCard>";
        let photo = Photo {
            kind: "image/png".into(),
            bytes: b"hello".to_vec(),
        };
        let full = with(Some(card), &photo);
        let tree = OwnedElement::parse(&full, "").unwrap();
        assert_eq!(Photo::of(tree.root()).as_ref(), Some(&photo));
        assert_eq!(tree.root().attr("version").as_deref(), Some("3.0"));
        assert_eq!(tree.root().children().count(), 2);
        let name = |xml: &[u8]| {
            let tree = OwnedElement::parse(xml, "").unwrap();
            tree.root()
                .child("FN", vcard::NS)
                .unwrap()
                .text()
                .into_owned()
        };
        assert_eq!(name(&full), "R&J");
        assert_eq!(name(&without(&full)), "R&J");
        let bare = OwnedElement::parse(&without(&full), "").unwrap();
        assert_eq!(bare.root().children().count(), 1);
        let alone = OwnedElement::parse(&with(None, &photo), "").unwrap();
        assert_eq!(Photo::of(alone.root()), Some(photo));
    }

    #[test]
    fn the_size_of_a_picture_stands_at_its_beginning() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x20\x08";
        assert_eq!(size(png), Some((64, 32)));
        assert_eq!(size(b"GIF89a\x10\0\x08\0"), Some((16, 8)));
        assert_eq!(size(b"\xff\xd8\xff\xe0"), None);
        assert_eq!(size(b""), None);
    }
}
