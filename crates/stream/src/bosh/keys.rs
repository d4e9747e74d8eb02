//! Key sequences (XEP-0124 §15): each request proves that it comes from who sent the one before.

use aws_lc_rs::digest;
use subtle::ConstantTimeEq as _;

use super::Condition;

/// What the next request has to show.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The SHA-1 of the next key, in lower-case hexadecimal digits; `None`: no keys are used.
    next: Option<String>,
}

impl Keys {
    /// Whether a request may be processed, which shows `key` and begins another sequence with `newkey`.
    ///
    /// # Errors
    /// The session's end.
    pub(super) fn check(
        &mut self,
        key: Option<&str>,
        newkey: Option<&str>,
    ) -> Result<(), Condition> {
        if let Some(next) = &self.next {
            // XEP-0124 §15.4: the hash of the key is what the request before has shown; case means nothing.
            let fits = key.is_some_and(|key| hash(key).as_bytes().ct_eq(next.as_bytes()).into());
            if !fits {
                return Err(Condition::ItemNotFound);
            }
            self.next = key.map(str::to_ascii_lowercase);
        }
        if let Some(newkey) = newkey {
            // XEP-0124 §15.5: a new sequence, authorised by the last key of the old one.
            self.next = Some(digits(newkey).ok_or(Condition::BadRequest)?);
        }
        Ok(())
    }
}

fn hash(key: &str) -> String {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn digits(key: &str) -> Option<String> {
    let good = key.len() == 40 && key.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| key.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_backwards_and_sequences_can_change() {
        let sequence = |seed: &str, n: usize| -> Vec<String> {
            let mut keys = vec![hash(seed)];
            for _ in 1..n {
                keys.push(hash(&keys[keys.len() - 1]));
            }
            keys.reverse();
            keys
        };
        let old = sequence("a", 3);
        let new = sequence("b", 2);
        let mut keys = Keys::default();
        assert_eq!(keys.check(None, Some(&old[0].to_uppercase())), Ok(()));
        assert_eq!(keys.check(Some(&old[1]), None), Ok(()));
        assert_eq!(keys.check(Some(&old[2]), Some(&new[0])), Ok(()));
        assert_eq!(keys.check(Some(&new[1]), None), Ok(()));
        for wrong in [None, Some(new[1].as_str()), Some(""), Some("x")] {
            assert_eq!(keys.check(wrong, None), Err(Condition::ItemNotFound));
        }
        for wrong in ["", "x", "g000000000000000000000000000000000000000"] {
            assert_eq!(
                Keys::default().check(None, Some(wrong)),
                Err(Condition::BadRequest)
            );
        }
    }
}
