//! The request for a slot, the slot, and the path of a file.

use tercet_core::{Element, StanzaError, XmlWriter, time};
use tercet_server::module::Payload;

use super::NS;
use super::record::{Id, Purpose};

/// The namespace of purposes.
const PURPOSES: &str = "urn:xmpp:http:upload:purpose:0";
/// The longest name of a file, in bytes.
const NAME_BYTES: usize = 1024;
/// The longest media type, in bytes.
const TYPE_BYTES: usize = 255;

/// `<request/>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file's name, without what could be a path.
    pub name: String,
    /// Its size in bytes; at least 1.
    pub size: u64,
    /// Its media type; empty if it is not known.
    pub content_type: String,
    /// What it is for.
    pub purpose: Purpose,
}

impl Payload for Request {
    const NAME: &'static str = "request";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let bad = |text| StanzaError::bad_request().text(text);
        let name = el.attr("filename").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| bad("the file has no name"))?;
        if name.len() > NAME_BYTES {
            return Err(bad("the name is longer than 1024 bytes"));
        }
        let size = el.attr("size").and_then(|size| decimal(&size));
        let size = size.ok_or_else(|| bad("the size is no positive number of bytes"))?;
        let content_type = el.attr("content-type").unwrap_or_default();
        if !content_type.is_empty() && !is_media_type(&content_type) {
            return Err(bad("the content type is none"));
        }
        Ok(Request {
            name: plain_name(&name),
            size,
            content_type: content_type.into_owned(),
            purpose: purpose(el)?,
        })
    }
}

/// XEP-0363 §5: one purpose; without one, or with one that is not known, the file is for a message.
fn purpose(el: Element<'_>) -> Result<Purpose, StanzaError> {
    let bad = |text| Err(StanzaError::bad_request().text(text));
    let mut purposes = el.children().filter(|child| child.ns() == PURPOSES);
    let (Some(child), None) = (purposes.next(), purposes.next()) else {
        return match el.children().any(|child| child.ns() == PURPOSES) {
            true => bad("a file has one purpose"),
            false => Ok(Purpose::Message),
        };
    };
    Ok(match child.name() {
        "profile" => Purpose::Profile,
        "permanent" => Purpose::Permanent,
        "ephemeral" => {
            let until = child.attr("expire-before");
            let Some(until) = until.and_then(|until| time::parse(&until)) else {
                return bad("expire-before is no time");
            };
            Purpose::Ephemeral {
                until_ms: u64::try_from(until).unwrap_or(0),
            }
        }
        _ => Purpose::Message,
    })
}

/// A number of digits alone; not 0.
fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.filter(|number| *number > 0)
}

/// Whether `text` is `type/subtype`, perhaps with parameters, and can stand in a header (RFC 9110 §8.3.1).
fn is_media_type(text: &str) -> bool {
    let token = |text: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !text.is_empty() && text.bytes().all(good)
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let parts = essence.split_once('/');
    text.len() <= TYPE_BYTES
        && text.bytes().all(|b| matches!(b, b' '..=b'~'))
        && parts.is_some_and(|(first, second)| token(first) && token(second))
}

/// The name with what separates folders, what controls terminals and what turns the direction of writing replaced.
fn plain_name(name: &str) -> String {
    let odd = |c: char| {
        c.is_control()
            || matches!(
                c,
                '/' | '\\' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            )
    };
    let plain: String = name.chars().map(|c| if odd(c) { '_' } else { c }).collect();
    match plain.as_str() {
        "." | ".." => "_".to_owned(),
        _ => plain,
    }
}

/// The path of a file's URL: `/upload/ID/NAME`.
pub fn file_path(id: Id, name: &str) -> String {
    let mut path = format!("/upload/{id}/");
    // XEP-0363 §4: by RFC 3986, what is not ASCII percent-encoded.
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte));
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

/// `<slot/>` below the URL `base`.
pub(super) fn slot(base: &str, id: Id, token: &[u8; 16], name: &str) -> Vec<u8> {
    let get = format!("{base}{}", file_path(id, name));
    let put = format!("{get}?token={}", Id(*token));
    let mut w = XmlWriter::new();
    w.start("slot").attr("xmlns", NS);
    w.leaf("put", &[("url", &put)]);
    w.leaf("get", &[("url", &get)]).end();
    w.finish()
}

#[cfg(test)]
mod tests {
    use tercet_core::OwnedElement;

    use super::*;

    fn parse(attributes: &str, content: &str) -> Result<Request, StanzaError> {
        let xml = format!("<request xmlns='{NS}' {attributes}>{content}</request>");
        Request::parse(OwnedElement::parse(xml.as_bytes(), "").unwrap().root())
    }

    fn purpose_of(content: &str) -> Option<Purpose> {
        let request = parse("filename='a' size='1'", content).ok()?;
        Some(request.purpose)
    }

    #[test]
    fn a_request_has_a_name_and_a_size_in_decimal() {
        let request = parse(
            "filename='très cool.jpg' size='23456' content-type='image/jpeg'",
            "",
        );
        let expected = Request {
            name: "très cool.jpg".into(),
            size: 23456,
            content_type: "image/jpeg".into(),
            purpose: Purpose::Message,
        };
        assert_eq!(request, Ok(expected));
        for size in [
            "",
            "0",
            "-1",
            "+1",
            "1.0",
            "1e3",
            "0x10",
            " 1",
            "١",
            "99999999999999999999",
        ] {
            let bad = parse(&format!("filename='a' size='{size}'"), "");
            assert!(bad.is_err(), "{size}");
        }
        assert!(parse("size='1'", "").is_err());
        assert!(parse("filename='' size='1'", "").is_err());
        assert!(parse("filename='a'", "").is_err());
        let long = format!("filename='{}' size='1'", "a".repeat(NAME_BYTES + 1));
        assert!(parse(&long, "").is_err());
    }

    #[test]
    fn a_content_type_is_one_or_left_out() {
        for (text, good) in [
            ("image/jpeg", true),
            ("text/plain; charset=utf-8", true),
            ("application/vnd.x+json", true),
            ("", true),
            ("image", false),
            ("image/", false),
            ("/jpeg", false),
            ("im age/jpeg", false),
            ("image/jpeg&#13;&#10;Set-Cookie: a", false),
            ("image/jpég", false),
        ] {
            let parsed = parse(&format!("filename='a' size='1' content-type='{text}'"), "");
            assert_eq!(parsed.is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_name_is_no_path() {
        for (name, expected) in [
            ("a.jpg", "a.jpg"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("..\\..\\a", ".._.._a"),
            (".", "_"),
            ("..", "_"),
            ("...", "..."),
            ("a\u{0}b\r\nc", "a_b__c"),
            ("\u{202e}gpj.exe", "_gpj.exe"),
        ] {
            assert_eq!(plain_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn the_purpose_is_one_of_four_and_a_message_without_one() {
        let ns = PURPOSES;
        assert_eq!(purpose_of(""), Some(Purpose::Message));
        let named = |name: &str| purpose_of(&format!("<{name} xmlns='{ns}'/>"));
        assert_eq!(named("message"), Some(Purpose::Message));
        assert_eq!(named("profile"), Some(Purpose::Profile));
        assert_eq!(named("permanent"), Some(Purpose::Permanent));
        assert_eq!(named("unheard-of"), Some(Purpose::Message));
        assert_eq!(named("ephemeral"), None);
        let until =
            |time: &str| purpose_of(&format!("<ephemeral xmlns='{ns}' expire-before='{time}'/>"));
        let second = Purpose::Ephemeral { until_ms: 1000 };
        assert_eq!(until("1970-01-01T00:00:01Z"), Some(second));
        assert_eq!(until("tomorrow"), None);
        assert_eq!(
            purpose_of(&format!("<message xmlns='{ns}'/><profile xmlns='{ns}'/>")),
            None
        );
    }

    #[test]
    fn a_url_keeps_the_name_in_ascii() {
        let path = file_path(Id([1; 16]), "très cool#?.jpg");
        assert_eq!(
            path,
            "/upload/01010101010101010101010101010101/tr%C3%A8s%20cool%23%3F.jpg"
        );
    }
}
