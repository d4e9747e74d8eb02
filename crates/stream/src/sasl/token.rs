//! Hashed tokens (draft-schmaus-kitten-sasl-ht-09), the server's side: who was given a token shows that it has it (XEP-0484).
//!
//! ```text
//! client: name NUL HMAC(token, "Initiator" channel)    server: HMAC(token, "Responder" channel)
//! ```

use tercet_core::SaslFailure;

use super::keys::ScramHash;
use super::{BindingKind, Mechanism};
use crate::question::UserAgent;
use crate::tls::TlsInfo;

/// What a client shows of its token: it cannot be made without the token, nor the token from it.
#[derive(Clone)]
pub struct TokenProof {
    mechanism: Mechanism,
    channel: Vec<u8>,
    hash: Vec<u8>,
}

impl TokenProof {
    /// What a client shows: `hash` is `HMAC-SHA-256(token, "Initiator" channel)`, `channel` the data of the binding that the
    /// mechanism names, nothing for [`Mechanism::TokenUnbound`].
    pub fn new(mechanism: Mechanism, channel: Vec<u8>, hash: Vec<u8>) -> Self {
        Self {
            mechanism,
            channel,
            hash,
        }
    }

    /// The mechanism; a token is for one only.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The server's own proof that it knows `token`, if the client does. Takes as long whether it does or not.
    pub fn answer(&self, token: &[u8]) -> Option<Vec<u8>> {
        let hash = |role: &[u8]| ScramHash::Sha256.hmac(token, &[role, &self.channel].concat());
        let answer = hash(b"Responder").as_slice().to_vec();
        hash(b"Initiator").ct_eq(&self.hash).then_some(answer)
    }
}

impl std::fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenProof({})", self.mechanism.name())
    }
}

/// How a client uses its token: `<fast/>` of XEP-0484 §3.4, and who the client says it is.
#[derive(Clone, Debug)]
pub(crate) struct TokenUse {
    /// `None` if it does not say.
    pub(crate) client: Option<UserAgent>,
    /// How many times it has used the token, as it says.
    pub(crate) count: Option<u32>,
    /// The token is not to be valid any more.
    pub(crate) invalidate: bool,
    /// It wants another one, for this mechanism.
    pub(crate) wants: Option<Mechanism>,
}

/// The name and the proof in a client's message.
///
/// # Errors
/// [`SaslFailure::MalformedRequest`] if it has another form; [`SaslFailure::InvalidMechanism`] if the channel has no such
/// binding.
pub(crate) fn parse(
    mechanism: Mechanism,
    message: &[u8],
    tls: Option<&TlsInfo>,
) -> Result<(String, TokenProof), SaslFailure> {
    let malformed = SaslFailure::MalformedRequest;
    let end = message.iter().position(|&b| b == 0).ok_or(malformed)?;
    let (name, hash) = (&message[..end], &message[end + 1..]);
    let name = std::str::from_utf8(name).map_err(|_| malformed)?;
    if name.is_empty() || hash.len() != ScramHash::Sha256.digest_len() {
        return Err(malformed);
    }
    let kind = match mechanism {
        Mechanism::TokenExporter => Some(BindingKind::TlsExporter),
        Mechanism::TokenEndPoint => Some(BindingKind::TlsServerEndPoint),
        _ => None,
    };
    let channel = match kind {
        Some(kind) => tls
            .and_then(|tls| tls.binding(kind))
            .ok_or(SaslFailure::InvalidMechanism)?
            .to_vec(),
        None => Vec::new(),
    };
    let proof = TokenProof::new(mechanism, channel, hash.to_vec());
    Ok((name.to_owned(), proof))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(token: &str, channel: &[u8]) -> Vec<u8> {
        let text = [b"Initiator", channel].concat();
        let hash = ScramHash::Sha256.hmac(token.as_bytes(), &text);
        [b"juliet\0", hash.as_slice()].concat()
    }

    #[test]
    fn who_has_the_token_of_this_channel_is_answered_and_nobody_else() {
        let tls = TlsInfo {
            exporter: Some(vec![1; 32]),
            end_point: Some(vec![2; 32]),
            ..TlsInfo::default()
        };
        let channels = [
            (Mechanism::TokenExporter, vec![1; 32]),
            (Mechanism::TokenEndPoint, vec![2; 32]),
            (Mechanism::TokenUnbound, vec![]),
        ];
        for (mechanism, channel) in &channels {
            let (name, good) = parse(*mechanism, &proof("secret", channel), Some(&tls)).unwrap();
            assert_eq!(name, "juliet");
            let text = [b"Responder", channel.as_slice()].concat();
            let answer = ScramHash::Sha256.hmac(b"secret", &text);
            assert_eq!(good.answer(b"secret").unwrap(), answer.as_slice());
            assert_eq!(good.answer(b"other"), None);
            let (_, bad) = parse(*mechanism, &proof("secret", &[9; 32]), Some(&tls)).unwrap();
            assert_eq!(bad.answer(b"secret"), None);
        }
    }

    #[test]
    fn messages_of_another_form_are_refused() {
        let check = |message: &[u8], tls: Option<&TlsInfo>, mechanism| {
            parse(mechanism, message, tls).map(drop).unwrap_err()
        };
        let none = Mechanism::TokenUnbound;
        for message in [&b""[..], b"juliet", b"juliet\0short", &[0; 33], &[0xff, 0]] {
            assert_eq!(check(message, None, none), SaslFailure::MalformedRequest);
        }
        let message = proof("secret", b"");
        let failure = check(&message, None, Mechanism::TokenExporter);
        assert_eq!(failure, SaslFailure::InvalidMechanism);
    }
}
