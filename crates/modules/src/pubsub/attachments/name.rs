//! The names of attachment nodes and of summary nodes.

use super::{NS, NS_SUMMARY};

/// A node that the service keeps beside another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Derived {
    /// The attachments of an item.
    Attachments {
        /// The node of the item.
        target: String,
        /// The item.
        item: String,
    },
    /// What all attachments to the items of a node come to.
    Summary {
        /// That node.
        target: String,
    },
    /// It begins like one of these, and is none: so is no other node called.
    Nothing,
}

impl Derived {
    /// What a node of that name at `jid` is; `None`: one like any other.
    pub fn read(jid: &str, name: &str) -> Option<Derived> {
        if let Some(target) = name.strip_prefix(NS_SUMMARY).and_then(slash) {
            return Some(match target.is_empty() || is_derived(target) {
                true => Derived::Nothing,
                false => Derived::Summary {
                    target: target.to_owned(),
                },
            });
        }
        let uri = name.strip_prefix(NS).and_then(slash)?;
        let parts = uri.split_once("?;node=").and_then(|(_, rest)| {
            let (target, item) = rest.split_once(";item=")?;
            Some((decoded(target)?, decoded(item)?))
        });
        // One item has one name: what RFC 5122 lets stand as it is does, all else is escaped.
        let right = |(target, item): &(String, String)| {
            !target.is_empty() && !item.is_empty() && !is_derived(target)
        };
        match parts.filter(right) {
            Some((target, item)) if attachments(jid, &target, &item) == name => {
                Some(Derived::Attachments { target, item })
            }
            _ => Some(Derived::Nothing),
        }
    }

    /// The node beside which it is.
    pub fn target(&self) -> Option<&str> {
        match self {
            Derived::Attachments { target, .. } | Derived::Summary { target } => Some(target),
            Derived::Nothing => None,
        }
    }
}

/// Whether the service alone makes nodes of that name.
pub fn is_derived(name: &str) -> bool {
    let prefixes = [NS, NS_SUMMARY];
    let mut rests = prefixes.iter().filter_map(|ns| name.strip_prefix(ns));
    rests.any(|rest| slash(rest).is_some())
}

/// Whether it is called like an attachment node.
pub fn is_attachments(name: &str) -> bool {
    name.strip_prefix(NS).and_then(slash).is_some()
}

/// XEP-0470 §4.1.1: the name of the attachment node of an item is made of its URI.
pub(super) fn attachments(jid: &str, target: &str, item: &str) -> String {
    let mut name = format!("{NS}/xmpp:");
    // RFC 5122 §2.2: what may stand in a path.
    encode(&mut name, jid, b"!$()*+,;=@");
    name.push_str("?;node=");
    encode(&mut name, target, b"");
    name.push_str(";item=");
    encode(&mut name, item, b"");
    name
}

/// XEP-0470 §4.6: the name of the summary node of another one.
pub(super) fn summary(target: &str) -> String {
    format!("{NS_SUMMARY}/{target}")
}

fn slash(rest: &str) -> Option<&str> {
    rest.strip_prefix('/')
}

fn encode(into: &mut String, text: &str, more: &[u8]) {
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || more.contains(&byte) {
            true => into.push(byte.into()),
            false => into.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "urn:xmpp:pubsub-attachments:1/xmpp:juliet@capulet.lit?;node=urn%3Axmpp%3Amicroblog%3A0;item=balcony-restoration-afd1";

    #[test]
    fn the_name_of_the_specification_s_example_is_read_and_written() {
        let derived = Derived::read("juliet@capulet.lit", EXAMPLE).unwrap();
        assert_eq!(
            derived,
            Derived::Attachments {
                target: "urn:xmpp:microblog:0".into(),
                item: "balcony-restoration-afd1".into()
            }
        );
        let name = summary("urn:xmpp:microblog:0");
        assert_eq!(
            name,
            "urn:xmpp:pubsub-attachments:summary:1/urn:xmpp:microblog:0"
        );
        let derived = Derived::read("juliet@capulet.lit", &name).unwrap();
        assert_eq!(derived.target(), Some("urn:xmpp:microblog:0"));
    }

    #[test]
    fn an_item_has_one_name_whatever_is_in_it() {
        for (jid, target, item) in [
            ("pubsub.example.org", "a/b;item=c", "100 %"),
            ("jülïet@example.org", "ü&<>'\"", "?;node=;item="),
        ] {
            let name = attachments(jid, target, item);
            let derived = Derived::read(jid, &name).unwrap();
            assert_eq!(
                derived,
                Derived::Attachments {
                    target: target.into(),
                    item: item.into()
                },
                "{name}"
            );
        }
        for other in [
            EXAMPLE.replace("%3A", "%3a"),
            EXAMPLE.replace("%3A", ":"),
            EXAMPLE.replace("micro", "%6Dicro"),
            EXAMPLE.replace("juliet", "romeo"),
            EXAMPLE.replace(";item=balcony-restoration-afd1", ""),
            EXAMPLE.replace("balcony-restoration-afd1", ""),
            EXAMPLE.replace("-afd1", "%"),
            EXAMPLE.replace("-afd1", "%F"),
            EXAMPLE.replace("-afd1", "%FF"),
            attachments("juliet@capulet.lit", EXAMPLE, "a"),
            summary(EXAMPLE),
            summary(&summary("a")),
            summary(""),
            format!("{NS}/"),
        ] {
            let read = Derived::read("juliet@capulet.lit", &other);
            assert_eq!(read, Some(Derived::Nothing), "{other}");
            assert!(is_derived(&other));
        }
        for plain in ["urn:xmpp:microblog:0", NS, NS_SUMMARY, ""] {
            assert_eq!(Derived::read("juliet@capulet.lit", plain), None);
            assert!(!is_derived(plain));
        }
    }
}
