//! With which domains of others a host speaks: lists of domains, and the rule by which they are read.

use std::fmt;

use crate::prepare_domain;

/// A domain, or all domains below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// `*`: every domain.
    All,
    /// `example.org`: that one alone. Normalised (RFC 7622 §3.2).
    One(String),
    /// `*.example.org`: those below it, at any depth, without itself.
    Below(String),
}

impl DomainPattern {
    /// Reads what `Display` writes; `None` if it is no domain.
    pub fn parse(text: &str) -> Option<DomainPattern> {
        let text = text.trim();
        let domain = |text: &str| prepare_domain(text).ok().map(|domain| domain.into_owned());
        match text.strip_prefix("*.") {
            _ if text == "*" => Some(DomainPattern::All),
            Some(parent) => domain(parent).map(DomainPattern::Below),
            None => domain(text).map(DomainPattern::One),
        }
    }

    /// Whether a normalised domain is meant.
    pub fn covers(&self, domain: &str) -> bool {
        match self {
            DomainPattern::All => true,
            DomainPattern::One(one) => one == domain,
            DomainPattern::Below(parent) => domain
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DomainPattern::All => f.write_str("*"),
            DomainPattern::One(domain) => f.write_str(domain),
            DomainPattern::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// With which other domains a host speaks, in either direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    /// With these alone, unless the list is empty.
    pub allow: Vec<DomainPattern>,
    /// Never with these, whatever the other list says.
    pub deny: Vec<DomainPattern>,
}

impl Peers {
    /// Whether a normalised domain is spoken with.
    pub fn admit(&self, domain: &str) -> bool {
        let covered = |list: &[DomainPattern]| list.iter().any(|p| p.covers(domain));
        !covered(&self.deny) && (self.allow.is_empty() || covered(&self.allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(allow: &[&str], deny: &[&str]) -> Peers {
        let list = |texts: &[&str]| {
            let all = texts.iter().map(|text| DomainPattern::parse(text).unwrap());
            all.collect()
        };
        Peers {
            allow: list(allow),
            deny: list(deny),
        }
    }

    #[test]
    fn patterns_are_read_as_they_are_written() {
        for (text, written) in [
            ("Example.ORG", "example.org"),
            (" *.example.org ", "*.example.org"),
            ("*", "*"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
        ] {
            let pattern = DomainPattern::parse(text).unwrap();
            assert_eq!(pattern.to_string(), written);
            assert_eq!(DomainPattern::parse(written), Some(pattern));
        }
        for bad in ["", "*.", "a@b", "a/b"] {
            assert_eq!(DomainPattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_is_spoken_with() {
        for (allow, deny, domain, expected) in [
            (&[][..], &[][..], "a.example", true),
            (&[], &["a.example"], "a.example", false),
            (&[], &["a.example"], "b.a.example", true),
            (&[], &["*.a.example"], "b.a.example", false),
            (&[], &["*.a.example"], "c.b.a.example", false),
            (&[], &["*.a.example"], "a.example", true),
            (&[], &["*.a.example"], "ba.example", true),
            (&["a.example"], &[], "a.example", true),
            (&["a.example"], &[], "b.example", false),
            (&["*.example"], &["b.example"], "b.example", false),
            (&["b.example"], &["*"], "b.example", false),
        ] {
            let peers = peers(allow, deny);
            assert_eq!(peers.admit(domain), expected, "{peers:?} {domain}");
        }
    }
}
