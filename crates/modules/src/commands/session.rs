//! The forms that are being filled in: bounded in number and in time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tercet_core::Jid;

/// How long a form may be filled in, in milliseconds.
const LIFETIME_MS: u64 = 30 * 60 * 1000;
/// How many forms one full JID may have open; a further one takes the oldest one's place.
const PER_ASKER: usize = 8;
/// How many forms may be open in all.
const IN_ALL: usize = 1000;

/// The open forms of one host, by session id.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Open>>);

struct Open {
    asker: Jid,
    node: &'static str,
    until_ms: u64,
}

impl Sessions {
    /// Opens a session called `id`. False if there is no room.
    pub(super) fn open(&self, id: &str, asker: &Jid, node: &'static str, now_ms: u64) -> bool {
        let mut all = self.lock();
        all.retain(|_, open| open.until_ms > now_ms);
        let own = all.iter().filter(|(_, open)| open.asker == *asker);
        if own.clone().count() >= PER_ASKER {
            let oldest = own.min_by_key(|(_, open)| open.until_ms);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                all.remove(&oldest);
            }
        }
        if all.len() >= IN_ALL {
            return false;
        }
        let open = Open {
            asker: asker.clone(),
            node,
            until_ms: now_ms + LIFETIME_MS,
        };
        all.insert(id.to_owned(), open);
        true
    }

    /// Whether the session is this asker's, about this command, and not expired.
    pub(super) fn is_open(&self, id: &str, asker: &Jid, node: &str, now_ms: u64) -> bool {
        self.lock()
            .get(id)
            .is_some_and(|open| open.asker == *asker && open.node == node && open.until_ms > now_ms)
    }

    /// Ends a session. False if it has ended already.
    pub(super) fn end(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    #[test]
    fn a_session_is_its_askers_and_expires() {
        let sessions = Sessions::default();
        let romeo = jid("romeo@a/1");
        assert!(sessions.open("s", &romeo, "node", 0));
        assert!(sessions.is_open("s", &romeo, "node", LIFETIME_MS - 1));
        assert!(!sessions.is_open("s", &jid("romeo@a/2"), "node", 0));
        assert!(!sessions.is_open("s", &romeo, "other", 0));
        assert!(!sessions.is_open("s", &romeo, "node", LIFETIME_MS));
        assert!(sessions.end("s"));
        assert!(!sessions.end("s"));
    }

    #[test]
    fn sessions_are_bounded_for_each_asker_and_in_all() {
        let sessions = Sessions::default();
        let romeo = jid("romeo@a/1");
        for number in 0..=PER_ASKER {
            assert!(sessions.open(&number.to_string(), &romeo, "node", number as u64));
        }
        assert!(!sessions.is_open("0", &romeo, "node", 10));
        assert!(sessions.is_open("1", &romeo, "node", 10));
        for number in PER_ASKER..IN_ALL {
            assert!(sessions.open(
                &format!("{number}!"),
                &jid(&format!("u{number}@a/1")),
                "node",
                10
            ));
        }
        assert!(!sessions.open("more", &jid("more@a/1"), "node", 10));
        assert!(sessions.open("later", &jid("more@a/1"), "node", 2 * LIFETIME_MS));
    }
}
