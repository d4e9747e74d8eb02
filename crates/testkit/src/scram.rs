//! SCRAM-SHA-1 as a client speaks it (RFC 5802), as far as tests need it.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A login under way. The nonce is fixed: nothing secret passes here.
pub(crate) struct Scram {
    bare: String,
}

const NONCE: &str = "transcripts-need-no-secret";

impl Scram {
    /// The login of `username`, and the first message for `<auth/>`.
    pub(crate) fn begin(username: &str) -> (Self, String) {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={username},r={NONCE}");
        let first = STANDARD.encode(format!("n,,{bare}"));
        (Scram { bare }, first)
    }

    /// The response to the server's challenge (in base64, as both stand in their elements); `None` if it is not one of SCRAM.
    pub(crate) fn answer(self, challenge: &str, password: &str) -> Option<String> {
        let challenge = String::from_utf8(STANDARD.decode(challenge.trim()).ok()?).ok()?;
        let attribute = |name: &str| {
            challenge
                .split(',')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let salt = STANDARD.decode(attribute("s")?).ok()?;
        let iterations: NonZeroU32 = attribute("i")?.parse().ok()?;
        let without_proof = format!("c=biws,r={}", attribute("r")?);
        let signed = format!("{},{challenge},{without_proof}", self.bare);

        let mut salted = [0; digest::SHA1_OUTPUT_LEN];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA1,
            iterations,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let client_key = mac(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &client_key);
        let signature = mac(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(key, signature)| key ^ signature)
            .collect();
        let last = format!("{without_proof},p={}", STANDARD.encode(proof));
        Some(STANDARD.encode(last))
    }
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    hmac::sign(&key, data).as_ref().to_vec()
}
