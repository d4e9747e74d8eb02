//! What the server keeps of a password: SCRAM's salted keys (RFC 5802 §3), never the password.
//!
//! A key pair belongs to one hash function, so an account keeps one for SHA-1 and one for SHA-256
//! ([`Credentials`]). A PLAIN login is checked against the same keys ([`verify_plain`]).
//! For names without an account [`ScramKeys::fake`] makes keys that look and cost the same.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// PBKDF2 rounds of newly made keys, for both hash functions. RFC 7677 §4 asks for at least 4096.
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).expect("is not zero");

/// Bytes of salt in newly made and in fake keys.
pub const SALT_LEN: usize = 16;

/// Most salt bytes that stored keys may have; imported accounts may differ from [`SALT_LEN`].
pub const MAX_SALT_LEN: usize = 255;

/// A hash function that SCRAM is used with here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// SHA-1 (RFC 5802), 20 bytes.
    Sha1,
    /// SHA-256 (RFC 7677), 32 bytes.
    Sha256,
}

impl ScramHash {
    /// Length of a digest in bytes.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => digest::SHA1_OUTPUT_LEN,
            Self::Sha256 => digest::SHA256_OUTPUT_LEN,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Sha1 => 1,
            Self::Sha256 => 2,
        }
    }

    /// H(data) of RFC 5802 §2.2.
    pub(crate) fn digest(self, data: &[u8]) -> Digest {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        Digest::new(digest::digest(algorithm, data).as_ref())
    }

    /// HMAC(key, data) of RFC 5802 §2.2.
    pub(crate) fn hmac(self, key: &[u8], data: &[u8]) -> Digest {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        Digest::new(hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref())
    }

    /// Hi(password, salt, iterations) of RFC 5802 §2.2: the expensive part.
    fn salted_password(self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Digest {
        let algorithm = match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut out = Digest::zeroed(self.digest_len());
        pbkdf2::derive(
            algorithm,
            iterations,
            salt,
            password.as_bytes(),
            out.as_mut(),
        );
        out
    }
}

/// A digest of either hash function, compared in constant time and wiped when dropped.
#[derive(Clone)]
pub(crate) struct Digest {
    bytes: [u8; 32],
    len: u8,
}

impl Digest {
    fn new(bytes: &[u8]) -> Self {
        let mut digest = Self::zeroed(bytes.len());
        digest.as_mut().copy_from_slice(bytes);
        digest
    }

    fn zeroed(len: usize) -> Self {
        debug_assert!(len <= 32);
        Self {
            bytes: [0; 32],
            len: len as u8,
        }
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(crate) fn ct_eq(&self, other: &[u8]) -> bool {
        self.as_slice().ct_eq(other).into()
    }

    /// XOR with `other`, which must be as long.
    pub(crate) fn xor(mut self, other: &[u8]) -> Self {
        debug_assert_eq!(self.as_slice().len(), other.len());
        self.as_mut()
            .iter_mut()
            .zip(other)
            .for_each(|(a, b)| *a ^= b);
        self
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// The server's half of one SCRAM credential: salt, rounds, StoredKey and ServerKey (RFC 5802 §3).
///
/// Who has these can check passwords and impersonate the server, but not log in as the user.
/// `Debug` shows neither key.
#[derive(Clone)]
pub struct ScramKeys {
    hash: ScramHash,
    salt: Box<[u8]>,
    iterations: NonZeroU32,
    stored_key: Digest,
    server_key: Digest,
}

impl ScramKeys {
    /// Derives keys from a password. Costs `iterations` rounds of PBKDF2: not for a thread that
    /// serves connections.
    ///
    /// # Errors
    /// [`KeyError::Password`] if SASLprep (RFC 4013) forbids the password or leaves nothing of it;
    /// [`KeyError::Salt`] if `salt` is empty or longer than [`MAX_SALT_LEN`].
    pub fn derive(
        hash: ScramHash,
        password: &str,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Result<Self, KeyError> {
        let password = prepare_password(password)?;
        let salted = hash.salted_password(&password, salt, iterations);
        Self::of_salted(hash, salted.as_slice(), salt, iterations)
    }

    /// Makes keys of a salted password, which a client has derived (XEP-0480 §3).
    ///
    /// # Errors
    /// [`KeyError::Salt`] as for [`derive`](Self::derive), [`KeyError::Encoding`] if `salted` is not as long as a digest of `hash`.
    pub fn of_salted(
        hash: ScramHash,
        salted: &[u8],
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Result<Self, KeyError> {
        if salted.len() != hash.digest_len() {
            return Err(KeyError::Encoding);
        }
        let salted = Digest::new(salted);
        let stored_key = stored_key(hash, &salted);
        let server_key = hash.hmac(salted.as_slice(), b"Server Key");
        Self::new(
            hash,
            salt,
            iterations,
            stored_key.as_slice(),
            server_key.as_slice(),
        )
    }

    /// Takes keys that another server derived (imports).
    ///
    /// # Errors
    /// [`KeyError::Salt`] as for [`derive`](Self::derive), [`KeyError::Encoding`] if a key is not
    /// as long as a digest of `hash`.
    pub fn new(
        hash: ScramHash,
        salt: &[u8],
        iterations: NonZeroU32,
        stored_key: &[u8],
        server_key: &[u8],
    ) -> Result<Self, KeyError> {
        if salt.is_empty() || salt.len() > MAX_SALT_LEN {
            return Err(KeyError::Salt);
        }
        if stored_key.len() != hash.digest_len() || server_key.len() != hash.digest_len() {
            return Err(KeyError::Encoding);
        }
        Ok(Self {
            hash,
            salt: salt.into(),
            iterations,
            stored_key: Digest::new(stored_key),
            server_key: Digest::new(server_key),
        })
    }

    /// Keys for a name that has no account: always the same for one `secret`, `hash` and
    /// `username`, so that asking twice shows no difference from an account, and fitting no
    /// password. `secret` must be the server's own, random, and kept over restarts; `username`
    /// must be in its normalised form.
    pub fn fake(secret: &[u8], hash: ScramHash, username: &str) -> Self {
        let part = |label: &[u8], len: usize| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let mut context = hmac::Context::with_key(&key);
            context.update(label);
            context.update(&[0, hash.code(), 0]);
            context.update(username.as_bytes());
            Digest::new(&context.sign().as_ref()[..len])
        };
        Self {
            hash,
            salt: part(b"salt", SALT_LEN).as_slice().into(),
            iterations: DEFAULT_ITERATIONS,
            stored_key: part(b"stored key", hash.digest_len()),
            server_key: part(b"server key", hash.digest_len()),
        }
    }

    /// The hash function these keys belong to.
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// The salt, 1 to [`MAX_SALT_LEN`] bytes.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// PBKDF2 rounds.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// H(ClientKey), which the client's proof is checked against.
    pub fn stored_key(&self) -> &[u8] {
        self.stored_key.as_slice()
    }

    /// The key of the server's own signature.
    pub fn server_key(&self) -> &[u8] {
        self.server_key.as_slice()
    }

    /// Appends the binary form: hash, rounds (big endian), salt length, salt, both keys.
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.hash.code());
        out.extend_from_slice(&self.iterations.get().to_be_bytes());
        // `new` bounds the salt to MAX_SALT_LEN = 255 bytes.
        out.push(self.salt.len() as u8);
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(self.stored_key());
        out.extend_from_slice(self.server_key());
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        let hash = match take(input, 1)?[0] {
            1 => ScramHash::Sha1,
            2 => ScramHash::Sha256,
            _ => return None,
        };
        let iterations = take(input, 4)?.try_into().map(u32::from_be_bytes).ok()?;
        let salt_len = take(input, 1)?[0];
        let salt = take(input, usize::from(salt_len))?;
        let stored_key = take(input, hash.digest_len())?;
        let server_key = take(input, hash.digest_len())?;
        Self::new(
            hash,
            salt,
            NonZeroU32::new(iterations)?,
            stored_key,
            server_key,
        )
        .ok()
    }

    /// The stable binary form, at most 326 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        self.write(&mut out);
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`KeyError::Encoding`] if `bytes` are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut input = bytes.strip_prefix(&[FORMAT]).ok_or(KeyError::Encoding)?;
        let keys = Self::read(&mut input).ok_or(KeyError::Encoding)?;
        input.is_empty().then_some(keys).ok_or(KeyError::Encoding)
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// First byte of the binary form; another one means another layout.
const FORMAT: u8 = 1;

/// All an account keeps to authenticate by password. An account that comes from another server may have the keys of one hash
/// function alone, until its password is known; those of neither is no credentials.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Keys for SCRAM-SHA-1 and SCRAM-SHA-1-PLUS.
    sha1: Option<ScramKeys>,
    /// Keys for SCRAM-SHA-256, SCRAM-SHA-256-PLUS.
    sha256: Option<ScramKeys>,
}

impl Credentials {
    /// Derives both key pairs with [`DEFAULT_ITERATIONS`]. `random` becomes the two salts and must
    /// be fresh for every call. Costs two runs of PBKDF2.
    ///
    /// # Errors
    /// [`KeyError::Password`] as for [`ScramKeys::derive`].
    pub fn derive(password: &str, random: [u8; 2 * SALT_LEN]) -> Result<Self, KeyError> {
        let (salt1, salt256) = random.split_at(SALT_LEN);
        Ok(Self {
            sha1: Some(ScramKeys::derive(
                ScramHash::Sha1,
                password,
                salt1,
                DEFAULT_ITERATIONS,
            )?),
            sha256: Some(ScramKeys::derive(
                ScramHash::Sha256,
                password,
                salt256,
                DEFAULT_ITERATIONS,
            )?),
        })
    }

    /// Keys that were derived elsewhere: the first of each hash function counts. `None` if there are none.
    pub fn of(keys: impl IntoIterator<Item = ScramKeys>) -> Option<Self> {
        let (mut sha1, mut sha256) = (None, None);
        for keys in keys {
            match keys.hash {
                ScramHash::Sha1 => sha1.get_or_insert(keys),
                ScramHash::Sha256 => sha256.get_or_insert(keys),
            };
        }
        let any = sha1.is_some() || sha256.is_some();
        any.then_some(Self { sha1, sha256 })
    }

    /// The same, with the keys of `other` where these have none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            sha1: self.sha1.or(other.sha1),
            sha256: self.sha256.or(other.sha256),
        }
    }

    /// Whether there are keys for each hash function.
    pub fn are_complete(&self) -> bool {
        self.sha1.is_some() && self.sha256.is_some()
    }

    /// [`ScramKeys::fake`] for both hash functions.
    pub fn fake(secret: &[u8], username: &str) -> Self {
        Self {
            sha1: Some(ScramKeys::fake(secret, ScramHash::Sha1, username)),
            sha256: Some(ScramKeys::fake(secret, ScramHash::Sha256, username)),
        }
    }

    /// The keys for `hash`, if there are any.
    pub fn keys(&self, hash: ScramHash) -> Option<&ScramKeys> {
        match hash {
            ScramHash::Sha1 => self.sha1.as_ref(),
            ScramHash::Sha256 => self.sha256.as_ref(),
        }
    }

    /// All keys.
    pub fn all(&self) -> impl Iterator<Item = &ScramKeys> {
        self.sha1.iter().chain(&self.sha256)
    }

    /// Whether `password` is the account's; see [`verify_plain`].
    pub fn verify(&self, password: &str) -> bool {
        let keys = self.sha256.as_ref().or(self.sha1.as_ref());
        keys.is_some_and(|keys| verify_plain(keys, password))
    }

    /// The stable binary form, at most 627 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        self.all().for_each(|keys| keys.write(&mut out));
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`KeyError::Encoding`] if `bytes` are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut input = bytes.strip_prefix(&[FORMAT]).ok_or(KeyError::Encoding)?;
        let mut all = Vec::new();
        while !input.is_empty() {
            let keys = ScramKeys::read(&mut input).ok_or(KeyError::Encoding)?;
            if all.iter().any(|known: &ScramKeys| known.hash == keys.hash) {
                return Err(KeyError::Encoding);
            }
            all.push(keys);
        }
        Self::of(all).ok_or(KeyError::Encoding)
    }
}

/// Whether `password` (as a client sent it) is the one that `keys` were derived from.
///
/// Costs the same PBKDF2 run for every password, for [fake](ScramKeys::fake) keys too, and compares
/// in constant time. With fake keys the result is false; a caller that knows that there is no
/// account refuses in any case.
pub fn verify_plain(keys: &ScramKeys, password: &str) -> bool {
    // A password that SASLprep refuses is no account's, but must cost as much as any other.
    let (prepared, allowed) = match prepare_password(password) {
        Ok(prepared) => (prepared, true),
        Err(_) => (Zeroizing::new(String::new()), false),
    };
    let salted = keys
        .hash
        .salted_password(&prepared, &keys.salt, keys.iterations);
    stored_key(keys.hash, &salted).ct_eq(keys.stored_key()) && allowed
}

/// StoredKey := H(HMAC(SaltedPassword, "Client Key")).
fn stored_key(hash: ScramHash, salted: &Digest) -> Digest {
    let client_key = hash.hmac(salted.as_slice(), b"Client Key");
    hash.digest(client_key.as_slice())
}

// RFC 5802 §2.2: Normalize(password) is SASLprep.
fn prepare_password(password: &str) -> Result<Zeroizing<String>, KeyError> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => Ok(Zeroizing::new(prepared.into_owned())),
        _ => Err(KeyError::Password),
    }
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(head)
}

/// Why keys could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// SASLprep (RFC 4013) forbids a character of the password, or nothing is left of it.
    #[error("the password is empty or has characters that passwords may not have")]
    Password,
    /// The salt is empty or longer than [`MAX_SALT_LEN`].
    #[error("the salt must have 1 to 255 bytes")]
    Salt,
    /// Bytes that are no stored keys.
    #[error("these bytes are no SCRAM keys")]
    Encoding,
}

#[cfg(test)]
mod tests;
