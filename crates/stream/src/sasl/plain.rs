//! SASL PLAIN (RFC 4616), the server's side: reading the one message.

use tercet_core::SaslFailure;
use zeroize::Zeroizing;

/// The message of PLAIN, nothing of it normalised.
pub(crate) struct PlainMessage {
    pub(crate) authzid: Option<String>,
    pub(crate) username: String,
    pub(crate) password: Zeroizing<String>,
}

impl PlainMessage {
    /// Reads `[authzid] NUL authcid NUL passwd`.
    ///
    /// # Errors
    /// [`SaslFailure::MalformedRequest`] for anything else, as more NULs or no name.
    pub(crate) fn parse(message: &[u8]) -> Result<Self, SaslFailure> {
        let text = std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)?;
        let mut parts = text.split('\0');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(authzid), Some(username), Some(password), None)
                if !username.is_empty() && !password.is_empty() =>
            {
                Ok(Self {
                    authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
                    username: username.to_owned(),
                    password: Zeroizing::new(password.to_owned()),
                })
            }
            _ => Err(SaslFailure::MalformedRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_parts_are_told_apart() {
        let message = PlainMessage::parse("\0tim\0tanst\u{e4}aftaanstaaf".as_bytes());
        let message = message.ok().unwrap();
        assert_eq!(message.authzid, None);
        assert_eq!(message.username, "tim");
        assert_eq!(*message.password, "tanst\u{e4}aftaanstaaf");
        let message = PlainMessage::parse(b"Ursel\0Kurt\0xipj3plmq").ok().unwrap();
        assert_eq!(message.authzid.as_deref(), Some("Ursel"));
    }

    #[test]
    fn other_counts_of_nul_and_empty_parts_are_malformed() {
        for message in [
            &b""[..],
            b"\0",
            b"\0user",
            b"user\0password",
            b"\0\0password",
            b"\0user\0",
            b"\0user\0pass\0word",
            b"\0\0user\0password",
            b"\0user\0password\0",
            b"\0us\xffer\0password",
        ] {
            let failure = PlainMessage::parse(message).err();
            assert_eq!(failure, Some(SaslFailure::MalformedRequest), "{message:?}");
        }
    }
}
