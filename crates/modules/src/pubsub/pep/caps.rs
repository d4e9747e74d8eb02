//! Capabilities in presence, and what an answer to the question about them says.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use tercet_core::{Element, Stanza};

use crate::caps::second;
use crate::disco;

const NS: &str = "http://jabber.org/protocol/caps";
/// The most bytes of a hash or of a node that are read.
const MAX: usize = 512;
/// Nodes that one client may be interested in.
const NODES: usize = 200;

/// `<c/>` in presence.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caps {
    /// The hash's function; empty in a legacy format, which nobody can verify.
    pub hash: String,
    /// The client; the namespace of XEP-0390 for a hash of that.
    pub node: String,
    /// The hash.
    pub ver: String,
}

impl Caps {
    /// Reads those of a presence stanza; `None` if it has none.
    pub fn of(presence: &Stanza) -> Option<Caps> {
        if let Some(c) = presence.child("c", second::NS)
            && let Some((algo, ver)) = second::chosen(c.parse().root())
            && ver.len() <= MAX
        {
            // XEP-0390 §7.2: where there are both, what XEP-0115 says is not looked up.
            return Some(Caps {
                hash: algo.into(),
                node: second::NS.into(),
                ver,
            });
        }
        let c = presence.child("c", NS)?.parse();
        let attr = |name: &str| c.root().attr(name).map(|v| v.into_owned());
        let caps = Caps {
            hash: attr("hash").unwrap_or_default(),
            node: attr("node").unwrap_or_default(),
            ver: attr("ver")?,
        };
        let all = [&caps.hash, &caps.node, &caps.ver];
        let fits = all.iter().all(|v| v.len() <= MAX);
        // Nobody mistakes one for a hash of XEP-0390.
        (fits && !caps.is_second()).then_some(caps)
    }

    /// Whether the hash is one of XEP-0390.
    pub fn is_second(&self) -> bool {
        self.node == second::NS
    }

    /// Whether the hash can be verified, so that whoever sends it has these capabilities.
    pub fn is_verifiable(&self) -> bool {
        self.is_second() || function(&self.hash).is_some()
    }

    /// The node under which the client is asked.
    pub fn question(&self) -> String {
        match self.is_second() {
            true => second::node(&self.hash, &self.ver),
            false => format!("{}#{}", self.node, self.ver),
        }
    }

    /// XEP-0115 §5.4, XEP-0390 §4.4: whether the answer, in a stanza of the language `lang`, is what the hash was made of.
    pub fn verify(&self, query: Element<'_>, lang: Option<&str>) -> bool {
        if self.is_second() {
            return second::verify(query, &self.hash, &self.ver, lang);
        }
        let Some(function) = function(&self.hash) else {
            return false;
        };
        let string = disco::string_of(query);
        let hash = digest::digest(function, string.as_bytes());
        BASE64_STANDARD.encode(hash) == self.ver
    }
}

fn function(name: &str) -> Option<&'static digest::Algorithm> {
    match name {
        "sha-1" => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        "sha-256" => Some(&digest::SHA256),
        "sha-512" => Some(&digest::SHA512),
        _ => None,
    }
}

/// The nodes that a client wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interests(BTreeSet<Box<str>>);

impl Interests {
    /// Those in an answer: XEP-0060 §9.2, features that end with `+notify`.
    pub fn of(query: Element<'_>) -> Interests {
        let features = query.children().filter(|c| c.is("feature", disco::INFO));
        let vars = features.filter_map(|f| f.attr("var"));
        let nodes = vars.filter_map(|var| var.strip_suffix("+notify").map(Box::from));
        Interests(nodes.take(NODES).collect())
    }

    /// Whether the node is among them.
    pub fn has(&self, node: &str) -> bool {
        self.0.contains(node)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|node| &**node)
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::OwnedElement;

    #[test]
    fn a_hash_holds_for_what_it_was_made_of_alone() {
        // XEP-0115 §5.2
        let answer = |more: &str| {
            let xml = format!(
                "<query xmlns='http://jabber.org/protocol/disco#info' node='n'>\
                 <identity category='client' name='Exodus 0.9.1' type='pc'/>\
                 <feature var='http://jabber.org/protocol/caps'/>\
                 <feature var='http://jabber.org/protocol/disco#info'/>\
                 <feature var='http://jabber.org/protocol/disco#items'/>\
                 <feature var='http://jabber.org/protocol/muc'/>{more}</query>"
            );
            OwnedElement::parse(xml.as_bytes(), "jabber:client").unwrap()
        };
        let caps = Caps {
            hash: "sha-1".into(),
            node: "http://code.google.com/p/exodus".into(),
            ver: "QgayPKawpkPSDYmwT/WM94uAlu0=".into(),
        };
        assert!(caps.verify(answer("").root(), None));
        let more = answer("<feature var='tune+notify'/>");
        assert!(!caps.verify(more.root(), None));
        assert!(Interests::of(more.root()).has("tune"));
    }
}
