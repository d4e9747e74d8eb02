//! Settings of the streams of components.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use subtle::ConstantTimeEq as _;
use tercet_core::Limits;
use zeroize::Zeroizing;

/// What a component and the server both know.
#[derive(Clone, PartialEq, Eq)]
pub struct ComponentSecret(Zeroizing<String>);

impl ComponentSecret {
    /// This text.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The proof of knowing it on the stream with this id: 40 hexadecimal digits in small letters.
    pub fn handshake(&self, id: &str) -> String {
        // XEP-0114 §3: SHA-1 of the stream's id and the secret.
        let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        context.update(id.as_bytes());
        context.update(self.0.as_bytes());
        let digits = |byte: &u8| format!("{byte:02x}");
        context.finish().as_ref().iter().map(digits).collect()
    }

    /// Whether this is that proof; found out in a time that does not depend on how much of it is right.
    pub(super) fn proves(&self, id: &str, handshake: &str) -> bool {
        let right = self.handshake(id);
        right.as_bytes().ct_eq(handshake.as_bytes()).into()
    }
}

impl fmt::Debug for ComponentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ComponentSecret(..)")
    }
}

/// One component that may connect.
#[derive(Clone, Debug)]
pub struct ComponentHost {
    /// Its domain, normalised (RFC 7622).
    pub domain: String,
    /// By what it is known.
    pub secret: ComponentSecret,
    /// Whether it speaks for all domains below its own, too.
    pub subdomains: bool,
}

impl ComponentHost {
    /// Whether an address of this domain is the component's.
    pub fn has(&self, domain: &str) -> bool {
        let below = |rest: &str| self.subdomains && rest.len() > 1 && rest.ends_with('.');
        domain
            .strip_suffix(&self.domain)
            .is_some_and(|rest| rest.is_empty() || below(rest))
    }
}

/// Settings of all streams of components. Shared by the streams that were opened with it; later ones may get another.
#[derive(Clone, Debug)]
pub struct ComponentConfig {
    components: HashMap<String, ComponentHost>,
    /// Bounds on what is read before the handshake.
    pub before_login: Limits,
    /// Bounds on what is read afterwards.
    pub after_login: Limits,
    /// Time from the connection's beginning to the end of the handshake.
    pub negotiation_timeout: Duration,
    /// Silence of the component after which white space is sent to it, and again after as long.
    pub keep_alive_after: Option<Duration>,
    /// Time for the component to close the connection after the stream's end.
    pub close_timeout: Duration,
}

impl ComponentConfig {
    /// The default settings for these components.
    pub fn new(components: impl IntoIterator<Item = ComponentHost>) -> Self {
        let components = components.into_iter();
        Self {
            components: components.map(|c| (c.domain.clone(), c)).collect(),
            before_login: Limits::BEFORE_LOGIN,
            after_login: Limits::AFTER_LOGIN,
            negotiation_timeout: Duration::from_secs(30),
            keep_alive_after: Some(Duration::from_secs(180)),
            close_timeout: Duration::from_secs(5),
        }
    }

    /// The component with this very domain.
    pub fn component(&self, domain: &str) -> Option<&ComponentHost> {
        self.components.get(domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_the_hash_of_id_and_secret() {
        // By `printf 3BF96D32secret | sha1sum`.
        let secret = ComponentSecret::new("secret");
        let right = secret.handshake("3BF96D32");
        assert_eq!(right, "b09ea9b3b7f586be8a08d0a3dd7466f110aeb136");
        assert!(secret.proves("3BF96D32", &right));
        for wrong in [
            "",
            &right[..39],
            &right.to_uppercase(),
            &secret.handshake("3BF96D33"),
        ] {
            assert!(!secret.proves("3BF96D32", wrong), "{wrong}");
        }
        assert!(!ComponentSecret::new("secrets").proves("3BF96D32", &right));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", ComponentSecret::new("hidden")).contains("hidden"));
    }

    #[test]
    fn domains_below_are_the_components_only_where_that_is_set() {
        let mut component = ComponentHost {
            domain: "irc.example".into(),
            secret: ComponentSecret::new("secret"),
            subdomains: false,
        };
        assert!(component.has("irc.example"));
        assert!(!component.has("libera.irc.example"));
        component.subdomains = true;
        assert!(component.has("irc.example") && component.has("libera.irc.example"));
        for other in [
            "xirc.example",
            ".irc.example",
            "example",
            "irc.example.org",
            "",
        ] {
            assert!(!component.has(other), "{other}");
        }
    }
}
