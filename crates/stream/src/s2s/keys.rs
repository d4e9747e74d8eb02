//! Dialback keys (XEP-0185 1.0): made from a secret of this server, so that none has to be kept.

use aws_lc_rs::{digest, hmac};
use subtle::ConstantTimeEq as _;

/// The secret behind this server's dialback keys. Every machine that answers for its domains has the same.
#[derive(Clone, Debug)]
pub struct DialbackSecret(hmac::Key);

impl DialbackSecret {
    /// From a secret of any length that nobody can guess.
    pub fn new(secret: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, secret);
        // XEP-0185 §3: the hash of the secret is the HMAC's key in its hexadecimal form.
        let key = hmac::Key::new(hmac::HMAC_SHA256, hex(hash.as_ref()).as_bytes());
        DialbackSecret(key)
    }

    /// The key by which `originating` (a domain of this server) proves itself to `receiving` on the stream that
    /// `receiving` has given this id.
    pub fn key(&self, receiving: &str, originating: &str, id: &str) -> String {
        // XEP-0185 §3: with spaces between, so that no two triples read the same.
        let message = format!("{receiving} {originating} {id}");
        hex(hmac::sign(&self.0, message.as_bytes()).as_ref())
    }

    /// Whether `key` is that [`key`](Self::key). How long it takes tells nothing about the right one.
    pub fn verify(&self, receiving: &str, originating: &str, id: &str, key: &str) -> bool {
        let expected = self.key(receiving, originating, id);
        key.trim().as_bytes().ct_eq(expected.as_bytes()).into()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"s3cr3tf0rd14lb4ck";

    #[test]
    fn the_examples_of_xep_0185_and_xep_0220() {
        let secret = DialbackSecret::new(SECRET);
        assert_eq!(
            secret.key("xmpp.example.com", "example.org", "D60000229F"),
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"
        );
        assert_eq!(
            secret.key("montague.example", "capulet.example", "D60000229F"),
            "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3"
        );
    }

    #[test]
    fn a_key_holds_for_one_stream_and_one_pair_of_domains_only() {
        let secret = DialbackSecret::new(SECRET);
        let key = secret.key("b.example", "a.example", "id1");
        assert!(secret.verify("b.example", "a.example", "id1", &format!("\n {key} ")));
        for (receiving, originating, id) in [
            ("b.example", "a.example", "id2"),
            ("a.example", "b.example", "id1"),
            ("c.example", "a.example", "id1"),
            ("b.example", "c.example", "id1"),
        ] {
            assert!(!secret.verify(receiving, originating, id, &key));
        }
        assert!(!secret.verify("b.example", "a.example", "id1", ""));
        assert!(!secret.verify("b.example", "a.example", "id1", &key[..63]));
        assert!(!secret.verify("b.example", "a.example", "id1", &key.to_uppercase()));
        let other = DialbackSecret::new(b"another");
        assert!(!other.verify("b.example", "a.example", "id1", &key));
    }
}
