//! Unpredictable names (stream ids, nonces, resources) from the seed the driver hands in.

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use zeroize::Zeroize;

/// What a name is for; names of one kind tell nothing about those of another.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    StreamId,
    Nonce,
    Resource,
    Session,
    Salt,
}

/// A counter under a keyed hash: never the same name twice, and none can be told from the others.
pub(crate) struct Random {
    seed: [u8; 32],
    counter: u64,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// 24 characters of `A-Z a-z 0-9 - _`, 144 bits.
    pub(crate) fn name(&mut self, purpose: Purpose) -> String {
        self.counter += 1;
        let mut message = [0; 9];
        message[0] = purpose as u8;
        message[1..].copy_from_slice(&self.counter.to_be_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.seed);
        BASE64_URL_SAFE_NO_PAD.encode(&hmac::sign(&key, &message).as_ref()[..18])
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_seed_purpose_and_turn() {
        let mut names = std::collections::HashSet::new();
        for seed in [[1; 32], [2; 32]] {
            let mut random = Random::new(seed);
            for purpose in [
                Purpose::StreamId,
                Purpose::Nonce,
                Purpose::Resource,
                Purpose::Session,
                Purpose::Salt,
            ] {
                let name = random.name(purpose);
                assert_eq!(name.len(), 24);
                assert!(names.insert(name));
            }
            random.counter = 0;
            assert!(!names.insert(random.name(Purpose::StreamId)));
        }
    }
}
