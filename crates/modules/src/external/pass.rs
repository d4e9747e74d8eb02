//! Names and passwords that hold for a while.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, Key, sign};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};

/// Bytes of a pseudonym.
const PSEUDONYM: usize = 12;

/// What a user shows to a service.
#[derive(Clone, PartialEq, Eq)]
pub struct Pass {
    /// The user's name there.
    pub username: String,
    /// The password.
    pub password: String,
    /// Until when it holds, in seconds since 1970; `None`: for ever.
    pub expires_s: Option<u64>,
}

impl Pass {
    /// One that holds until `expires_s`, as the TURN REST API has it: the name is `time:user`, the password its HMAC-SHA-1 by the
    /// secret that the service knows, too.
    pub fn made(secret: &str, expires_s: u64, user: &str) -> Pass {
        let username = format!("{expires_s}:{user}");
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        let password = BASE64_STANDARD.encode(sign(&key, username.as_bytes()));
        Pass {
            username,
            password,
            expires_s: Some(expires_s),
        }
    }
}

/// What stands for an account at services: the same each time, and nobody knows whose it is.
pub(super) fn pseudonym(key: &[u8], account: &str) -> String {
    let digest = sign(&Key::new(HMAC_SHA256, key), account.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(&digest.as_ref()[..PSEUDONYM])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_hmac_of_its_name() {
        let pass = Pass::made("north", 1_700_000_000, "romeo");
        assert_eq!(pass.username, "1700000000:romeo");
        // printf 1700000000:romeo | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(pass.password, "4KwdPuiw7rP0eTOUtzAaK6ZMiSs=");
        assert_eq!(pass.expires_s, Some(1_700_000_000));
    }

    #[test]
    fn a_pseudonym_is_one_accounts_and_has_no_separator() {
        let one = pseudonym(b"key", "romeo@example.org");
        assert_eq!(one, pseudonym(b"key", "romeo@example.org"));
        assert_ne!(one, pseudonym(b"key", "juliet@example.org"));
        assert_ne!(one, pseudonym(b"yek", "romeo@example.org"));
        assert!(one.len() == 16 && !one.contains(':'), "{one}");
    }
}
