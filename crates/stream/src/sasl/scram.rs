//! SCRAM, the server's side (RFC 5802, RFC 7677): reading the client's two messages, writing ours.
//!
//! ```text
//! client-first  ->  ClientFirst::parse      (name, nonce, what channel binding)
//!                   [look up the keys of that name, real or fake]
//! server-first  <-  ClientFirst::challenge  -> Proof
//! client-final  ->  Proof::check            (binding, nonce, proof)
//! server-final  <-  its result
//! ```
//! Left out: mandatory extensions (`m=`; none exist, so they are refused as RFC 5802 §5.1 asks),
//! and `e=` error values (RFC 6120 sends a `<failure/>` instead).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_core::SaslFailure;

use super::keys::ScramKeys;

/// What the client says about channel binding (the gs2-cbind-flag).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CbindFlag {
    /// `n`: the client cannot bind.
    Unsupported,
    /// `y`: the client can, but believes that the server cannot.
    NotOffered,
    /// `p=NAME`: the client binds to the channel by this kind.
    Used(String),
}

/// A client-first-message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFirst {
    /// Channel binding flag.
    pub cbind: CbindFlag,
    /// The identity to act as; `None` means that of `username`.
    pub authzid: Option<String>,
    /// The name to authenticate as, unescaped but not normalised.
    pub username: String,
    nonce: String,
    /// The gs2-header as it came: the client repeats it, encoded, in its final message.
    gs2_header: String,
    /// The client-first-message-bare as it came: part of what is signed.
    bare: String,
}

impl ClientFirst {
    /// Reads a client-first-message.
    ///
    /// # Errors
    /// [`SaslFailure::MalformedRequest`] if it breaks the grammar of RFC 5802 §7 or has a
    /// mandatory extension.
    pub fn parse(message: &[u8]) -> Result<Self, SaslFailure> {
        let text = text_of(message)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(SaslFailure::MalformedRequest);
        };
        let cbind = match flag {
            "n" => CbindFlag::Unsupported,
            "y" => CbindFlag::NotOffered,
            _ => CbindFlag::Used(value(flag, "p=")?.to_owned()),
        };
        let authzid = match authzid {
            "" => None,
            _ => Some(unescape(value(authzid, "a=")?)?),
        };
        // RFC 5802 §5.1: "m=" here is a mandatory extension, and there is none that we know.
        let mut attributes = bare.split(',');
        let username = unescape(value(attributes.next().unwrap_or_default(), "n=")?)?;
        let nonce = value(attributes.next().unwrap_or_default(), "r=")?;
        if !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(SaslFailure::MalformedRequest);
        }
        extensions(attributes)?;
        Ok(Self {
            cbind,
            authzid,
            username,
            nonce: nonce.to_owned(),
            gs2_header: text[..text.len() - bare.len()].to_owned(),
            bare: bare.to_owned(),
        })
    }

    /// Makes the server-first-message and what is needed to check the answer to it.
    ///
    /// `server_nonce`: fresh for each call, unpredictable, printable without commas.
    /// `binding`: the channel binding data for [`CbindFlag::Used`], else `None`.
    /// `attributes`: further ones, `a=value` with commas between, which the proofs of both sides cover: see XEP-0474 and
    /// XEP-0515.
    pub fn challenge(
        self,
        keys: ScramKeys,
        server_nonce: &str,
        binding: Option<&[u8]>,
        attributes: Option<&str>,
    ) -> (String, Proof) {
        let nonce = self.nonce + server_nonce;
        let salt = BASE64_STANDARD.encode(keys.salt());
        let iterations = keys.iterations();
        let mut server_first = format!("r={nonce},s={salt},i={iterations}");
        if let Some(attributes) = attributes {
            server_first.push(',');
            server_first.push_str(attributes);
        }
        let mut cbind_input = self.gs2_header.into_bytes();
        cbind_input.extend_from_slice(binding.unwrap_or_default());
        let proof = Proof {
            signed: format!("{},{server_first},", self.bare),
            cbind_input,
            nonce,
            keys,
        };
        (server_first, proof)
    }
}

/// Waits for the client-final-message. Used up by checking one, so no nonce serves twice.
#[derive(Debug)]
pub struct Proof {
    /// The AuthMessage up to and with the comma before the client-final-message-without-proof.
    signed: String,
    cbind_input: Vec<u8>,
    nonce: String,
    keys: ScramKeys,
}

impl Proof {
    /// Checks a client-final-message; gives the server-final-message.
    ///
    /// # Errors
    /// [`SaslFailure::MalformedRequest`] if the message breaks the grammar;
    /// [`SaslFailure::NotAuthorized`] if the nonce, the channel binding or the proof is not right.
    pub fn check(self, message: &[u8]) -> Result<String, SaslFailure> {
        let text = text_of(message)?;
        let (without_proof, proof) = text
            .rsplit_once(",p=")
            .ok_or(SaslFailure::MalformedRequest)?;
        let mut attributes = without_proof.split(',');
        let cbind_input = decode(value(attributes.next().unwrap_or_default(), "c=")?)?;
        let nonce = value(attributes.next().unwrap_or_default(), "r=")?;
        extensions(attributes)?;
        let proof = decode(proof)?;

        let hash = self.keys.hash();
        if proof.len() != hash.digest_len() {
            return Err(SaslFailure::MalformedRequest);
        }
        let auth_message = self.signed + without_proof;
        let signature = hash.hmac(self.keys.stored_key(), auth_message.as_bytes());
        let client_key = signature.xor(&proof);
        let proven = hash
            .digest(client_key.as_slice())
            .ct_eq(self.keys.stored_key());
        // The same work and the same answer whichever of the three is wrong.
        // RFC 5802 §5.1: the nonce must be the one of this exchange, the binding that of this channel.
        if !(proven & (nonce == self.nonce) & (cbind_input == self.cbind_input)) {
            return Err(SaslFailure::NotAuthorized);
        }
        let verifier = hash.hmac(self.keys.server_key(), auth_message.as_bytes());
        Ok(format!("v={}", BASE64_STANDARD.encode(verifier.as_slice())))
    }
}

/// SCRAM messages are UTF-8 without NUL.
fn text_of(message: &[u8]) -> Result<&str, SaslFailure> {
    std::str::from_utf8(message)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or(SaslFailure::MalformedRequest)
}

/// The value, which may not be empty, of an attribute that must be the one named by `prefix`.
fn value<'a>(attribute: &'a str, prefix: &str) -> Result<&'a str, SaslFailure> {
    attribute
        .strip_prefix(prefix)
        .filter(|value| !value.is_empty())
        .ok_or(SaslFailure::MalformedRequest)
}

/// Optional extensions: ignored, but they must have the form `a=value`.
fn extensions<'a>(mut attributes: impl Iterator<Item = &'a str>) -> Result<(), SaslFailure> {
    let is_extension = |text: &str| {
        let bytes = text.as_bytes();
        bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[0] != b'm' && bytes[1] == b'='
    };
    attributes
        .all(is_extension)
        .then_some(())
        .ok_or(SaslFailure::MalformedRequest)
}

/// RFC 5802 §5.1: in names "," is written "=2C", "=" is "=3D", and no other "=" may stand.
fn unescape(name: &str) -> Result<String, SaslFailure> {
    let mut parts = name.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match part.split_at_checked(2) {
            Some(("2C", rest)) => (',', rest),
            Some(("3D", rest)) => ('=', rest),
            _ => return Err(SaslFailure::MalformedRequest),
        };
        out.push(sign);
        out.push_str(rest);
    }
    Ok(out)
}

fn decode(base64: &str) -> Result<Vec<u8>, SaslFailure> {
    BASE64_STANDARD
        .decode(base64)
        .map_err(|_| SaslFailure::MalformedRequest)
}

#[cfg(test)]
mod tests;
