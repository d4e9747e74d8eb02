//! RFC 8291 with the content coding of RFC 8188: what is said to a browser, so that its push service cannot read it.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;

/// Bytes of a record: all is one record (RFC 8291 §4).
const RECORD: u32 = 4096;
/// Bytes of a public key, not compressed.
const POINT: usize = 65;
/// Bytes that stand before the record: salt, its size, and our public key.
const HEADER: usize = 16 + 4 + 1 + POINT;
/// Bytes behind the plaintext: the mark of its end, and the tag of the cipher.
const BEHIND: usize = 1 + 16;
/// Bytes that can be said at once: RFC 8030 §7.2 lets push services refuse a body of more than 4096.
pub(super) const CONTENT: usize = RECORD as usize - HEADER - BEHIND;
/// Lengths are multiples of this, so that they tell nothing.
const STEP: usize = 1024;

/// Whom something is encrypted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// The browser's public key (`p256dh`).
    public: [u8; POINT],
    /// The secret it shares with us (`auth`).
    auth: [u8; 16],
}

impl Keys {
    /// From what the browser says. `None` if the first is no point of P-256, or one has another length.
    pub(super) fn new(public: &[u8], auth: &[u8]) -> Option<Keys> {
        let keys = Keys {
            public: public.try_into().ok()?,
            auth: auth.try_into().ok()?,
        };
        ParsedPublicKey::try_from(keys.unparsed()).ok()?;
        Some(keys)
    }

    fn unparsed(&self) -> UnparsedPublicKey<&[u8]> {
        UnparsedPublicKey::new(&ECDH_P256, &self.public)
    }

    /// Encrypts up to [`CONTENT`] bytes, padded so that nobody learns how many they are.
    ///
    /// # Errors
    /// If it is longer, or there is no randomness.
    pub(super) fn encrypt(&self, content: &[u8]) -> Result<Vec<u8>, Unspecified> {
        if content.len() > CONTENT {
            return Err(Unspecified);
        }
        // RFC 8291 §3.1: a key pair and a salt for each message.
        let own = PrivateKey::generate(&ECDH_P256)?;
        let mut salt = [0; 16];
        rand::fill(&mut salt)?;
        let padded = content.len().next_multiple_of(STEP).min(CONTENT);
        self.encrypt_with(&own, salt, content, padded)
    }

    fn encrypt_with(
        &self,
        own: &PrivateKey,
        salt: [u8; 16],
        content: &[u8],
        padded: usize,
    ) -> Result<Vec<u8>, Unspecified> {
        let public = own.compute_public_key()?;
        let mut input = [0; 32];
        agree(own, self.unparsed(), Unspecified, |shared| {
            // RFC 8291 §3.3: the secret of the key agreement, mixed with the one that browser and server share.
            let info: [&[u8]; 3] = [b"WebPush: info\0", &self.public, public.as_ref()];
            Salt::new(HKDF_SHA256, &self.auth)
                .extract(shared)
                .expand(&info, Length(32))?
                .fill(&mut input)
        })?;
        seal(&input, salt, public.as_ref(), content, padded)
    }
}

/// RFC 8188 §2: one record with its header. `padded`: how long the content is made.
fn seal(
    input: &[u8],
    salt: [u8; 16],
    key_id: &[u8],
    content: &[u8],
    padded: usize,
) -> Result<Vec<u8>, Unspecified> {
    let secret = Salt::new(HKDF_SHA256, &salt).extract(input);
    let mut key = [0; 16];
    let info: [&[u8]; 1] = [b"Content-Encoding: aes128gcm\0"];
    secret.expand(&info, Length(16))?.fill(&mut key)?;
    let mut nonce = [0; 12];
    let info: [&[u8]; 1] = [b"Content-Encoding: nonce\0"];
    secret.expand(&info, Length(12))?.fill(&mut nonce)?;

    let key_length = u8::try_from(key_id.len()).map_err(|_| Unspecified)?;
    let mut body = Vec::with_capacity(HEADER + padded + BEHIND);
    body.extend_from_slice(&salt);
    body.extend_from_slice(&RECORD.to_be_bytes());
    body.push(key_length);
    body.extend_from_slice(key_id);
    let mut record = Vec::with_capacity(padded + BEHIND);
    record.extend_from_slice(content);
    // RFC 8188 §2: the last record ends its content so; what follows is padding.
    record.push(2);
    record.resize(padded.max(content.len()) + 1, 0);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record)?;
    body.append(&mut record);
    Ok(body)
}

/// A number of bytes to be derived.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn rfc_8188_s_first_example_comes_out() {
        let input = bytes("yqdlZ-tYemfogSmv7Ws5PQ");
        let salt = bytes("I1BsxtFttlv3u_Oo94xnmw").try_into().unwrap();
        let body = seal(&input, salt, b"", b"I am the walrus", 0).unwrap();
        let expected = "I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg";
        assert_eq!(body, bytes(expected));
    }

    #[test]
    fn rfc_8291_s_example_comes_out() {
        let keys = Keys::new(
            &bytes(
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            ),
            &bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        )
        .unwrap();
        let own = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own = PrivateKey::from_private_key(&ECDH_P256, &own).unwrap();
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let content = b"When I grow up, I want to be a watermelon";
        let body = keys.encrypt_with(&own, salt, content, 0).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(body, bytes(expected));
    }

    #[test]
    fn lengths_tell_nothing_and_the_longest_fits() {
        let browser = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = browser.compute_public_key().unwrap();
        let keys = Keys::new(public.as_ref(), &[7; 16]).unwrap();
        let length = |content: usize| keys.encrypt(&vec![b'a'; content]).unwrap().len();
        assert_eq!(length(1), length(STEP));
        assert_eq!(length(CONTENT), RECORD as usize);
        assert_eq!(length(CONTENT - 1), RECORD as usize);
        assert!(keys.encrypt(&vec![b'a'; CONTENT + 1]).is_err());
        // Each has a key pair and a salt of its own.
        assert_ne!(keys.encrypt(b"a").unwrap(), keys.encrypt(b"a").unwrap());
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_refused() {
        let mut point = [1; POINT];
        point[0] = 4;
        assert_eq!(Keys::new(&point, &[0; 16]), None);
        assert_eq!(Keys::new(b"", &[0; 16]), None);
        let good = PrivateKey::generate(&ECDH_P256).unwrap();
        let good = good.compute_public_key().unwrap();
        assert!(Keys::new(good.as_ref(), &[0; 16]).is_some());
        assert_eq!(Keys::new(good.as_ref(), &[0; 15]), None);
    }
}
