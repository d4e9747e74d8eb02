//! RFC 8292: how push services know the server that speaks to them.

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// How long a token is good: RFC 8292 §2 allows 24 hours at most.
const LIFETIME_S: u64 = 12 * 60 * 60;

/// The server's key, for which browsers make their subscriptions.
pub(super) struct VapidKey {
    pair: EcdsaKeyPair,
    /// The public half, as browsers want it: base64url.
    pub(super) public: String,
}

/// RFC 8292 §2, in the order of its example.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    sub: &'a str,
}

impl VapidKey {
    /// A new key, as it is kept (PKCS #8).
    ///
    /// # Errors
    /// If there is no randomness.
    pub(super) fn generate() -> Result<Vec<u8>, KeyRejected> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| KeyRejected::from(aws_lc_rs::error::Unspecified))?;
        Ok(made.as_ref().to_vec())
    }

    /// Reads a key that was kept.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn read(kept: &[u8]) -> Result<VapidKey, KeyRejected> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, kept)?;
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Ok(VapidKey { pair, public })
    }

    /// The field `Authorization` for a request to the push service at `origin`. `contact`: an address of who runs this server,
    /// a `mailto:` or `https:` URI.
    pub(super) fn authorization(&self, origin: &str, contact: &str, now_s: u64) -> Option<String> {
        let signed = signed_part(origin, contact, now_s + LIFETIME_S);
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.ok()?.as_ref());
        // RFC 8292 §3: the token, and the key to check it with.
        Some(format!("vapid t={signed}.{signature}, k={}", self.public))
    }
}

/// RFC 8292 §2: header and claims of the token.
fn signed_part(origin: &str, contact: &str, expires_s: u64) -> String {
    let claims = Claims {
        aud: origin,
        exp: expires_s,
        sub: contact,
    };
    let claims = serde_json::to_vec(&claims).unwrap_or_default();
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ES256"}"#);
    format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    /// The example of RFC 8292 §2.4.
    const SIGNED: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0";
    const SIGNATURE: &str =
        "i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA";
    const KEY: &str =
        "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs";

    fn is_signed(signed: &str, signature: &str, key: &str) -> bool {
        let [signature, key] = [signature, key].map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
        key.verify(signed.as_bytes(), &signature).is_ok()
    }

    #[test]
    fn a_token_says_what_rfc_8292_s_example_says() {
        let signed = signed_part(
            "https://push.example.net",
            "mailto:push@example.com",
            1453523768,
        );
        assert_eq!(signed, SIGNED);
        assert!(is_signed(SIGNED, SIGNATURE, KEY));
    }

    #[test]
    fn a_token_is_signed_by_the_key_that_was_kept() {
        let kept = VapidKey::generate().unwrap();
        let key = VapidKey::read(&kept).unwrap();
        assert_eq!(VapidKey::read(&kept).unwrap().public, key.public);
        let field = key.authorization("https://a.example", "https://b.example", 1);
        let field = field.unwrap();
        let rest = field.strip_prefix("vapid t=").unwrap();
        let (token, public) = rest.split_once(", k=").unwrap();
        assert_eq!(public, key.public);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert!(is_signed(signed, signature, public));
        assert!(!is_signed(signed, SIGNATURE, public));
        assert!(VapidKey::read(b"").is_err());
    }
}
