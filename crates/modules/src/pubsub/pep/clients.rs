//! What the clients of this server's sessions want to hear of, and the capabilities that are known by their hash.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::{BareJid, Jid};

use super::caps::{Caps, Interests};

/// Parts of the table of sessions, each behind a lock of its own.
const SHARDS: usize = 16;
/// Clients that are asked at a time what one hash means: one may go without an answer.
const ASKED: usize = 3;
/// Capabilities that are remembered by their hash.
const KNOWN: usize = 4096;

/// What is known of clients.
#[derive(Default)]
pub struct Clients {
    sessions: [Mutex<HashMap<Box<str>, Client>>; SHARDS],
    hashes: Mutex<Hashes>,
}

/// What one session's client has said.
struct Client {
    caps: Caps,
    /// `None` until it is known.
    interests: Option<Arc<Interests>>,
}

#[derive(Default)]
struct Hashes {
    known: HashMap<Caps, Arc<Interests>>,
    /// Those that somebody is asked about, with all who have them.
    asked: HashMap<Caps, Vec<Asked>>,
}

/// A client whose capabilities are not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The client.
    pub jid: Jid,
    /// The account to whose user it shows its presence, if it is on another server.
    pub by: Option<BareJid>,
}

/// What presence says about its sender's interests.
pub enum Met {
    /// Nothing new.
    Nothing,
    /// These, and before those.
    Known(Arc<Interests>, Option<Arc<Interests>>),
    /// Somebody has to be asked.
    Unknown,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clients {
    fn shard(&self, jid: &str) -> MutexGuard<'_, HashMap<Box<str>, Client>> {
        let mut hasher = DefaultHasher::new();
        jid.hash(&mut hasher);
        // The cast may cut the hash; only its low bits are used.
        locked(&self.sessions[hasher.finish() as usize % SHARDS])
    }

    /// The interests behind capabilities, if they are known.
    pub fn known(&self, caps: &Caps) -> Option<Arc<Interests>> {
        locked(&self.hashes).known.get(caps).cloned()
    }

    /// A session has sent presence with these capabilities, or with none.
    pub fn meet(&self, jid: &Jid, caps: Option<Caps>) -> Met {
        let Some(caps) = caps else {
            let mut shard = self.shard(jid.as_str());
            // XEP-0390 §7.2: who has them need not say so each time.
            if !shard.get(jid.as_str()).is_some_and(|c| c.caps.is_second()) {
                shard.remove(jid.as_str());
            }
            return Met::Nothing;
        };
        let known = self.known(&caps);
        let mut shard = self.shard(jid.as_str());
        let before = match shard.get(jid.as_str()) {
            Some(client) if client.caps == caps => return Met::Nothing,
            Some(client) => client.interests.clone(),
            None => None,
        };
        let client = Client {
            caps,
            // Until more is known, what it said before holds.
            interests: known.clone().or_else(|| before.clone()),
        };
        shard.insert(jid.as_str().into(), client);
        match known {
            Some(known) => Met::Known(known, before),
            None => Met::Unknown,
        }
    }

    /// What the session's capabilities mean has been learned: its interests before. `None` if it has others by now, or has gone.
    pub fn learn(
        &self,
        jid: &Jid,
        caps: &Caps,
        interests: &Arc<Interests>,
    ) -> Option<Option<Arc<Interests>>> {
        let mut shard = self.shard(jid.as_str());
        let client = shard.get_mut(jid.as_str())?;
        if client.caps != *caps {
            return None;
        }
        Some(client.interests.replace(interests.clone()))
    }

    /// The session shows no presence any more.
    pub fn forget(&self, jid: &Jid) {
        self.shard(jid.as_str()).remove(jid.as_str());
    }

    /// What the session's client wants to hear of.
    pub fn interests(&self, jid: &Jid) -> Option<Arc<Interests>> {
        let shard = self.shard(jid.as_str());
        shard.get(jid.as_str())?.interests.clone()
    }

    /// Whether the session's client wants to hear of a node.
    pub fn wants(&self, jid: &Jid, node: &str) -> bool {
        let shard = self.shard(jid.as_str());
        let client = shard.get(jid.as_str());
        client
            .and_then(|c| c.interests.as_ref())
            .is_some_and(|interests| interests.has(node))
    }

    /// Notes that somebody waits for what `caps` mean; true if it is to be asked: few others are.
    pub fn wait(&self, caps: &Caps, asked: Asked) -> bool {
        let mut hashes = locked(&self.hashes);
        // What cannot be verified is asked of each.
        if !caps.is_verifiable() {
            return true;
        }
        let waiting = hashes.asked.entry(caps.clone()).or_default();
        waiting.push(asked);
        waiting.len() <= ASKED
    }

    /// What `caps` mean has been verified: all who have waited for it.
    pub fn verified(&self, caps: &Caps, interests: &Arc<Interests>) -> Vec<Asked> {
        let mut hashes = locked(&self.hashes);
        if hashes.known.len() >= KNOWN {
            // Those that nobody has now are asked for when somebody has them again.
            hashes.known.retain(|_, known| Arc::strong_count(known) > 1);
        }
        if hashes.known.len() < KNOWN {
            hashes.known.insert(caps.clone(), interests.clone());
        }
        hashes.asked.remove(caps).unwrap_or_default()
    }

    /// `asked` has not said what `caps` mean: who is asked next.
    pub fn in_vain(&self, caps: &Caps, asked: &Asked) -> Option<Asked> {
        let mut hashes = locked(&self.hashes);
        let waiting = hashes.asked.get_mut(caps)?;
        waiting.retain(|other| other != asked);
        let next = waiting.first().cloned();
        if next.is_none() {
            hashes.asked.remove(caps);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(ver: &str) -> Caps {
        Caps {
            hash: "sha-1".into(),
            node: "client".into(),
            ver: ver.into(),
        }
    }

    fn jid(name: &str) -> Jid {
        Jid::parse(&format!("{name}@example.org/a")).unwrap()
    }

    #[test]
    fn few_of_many_with_the_same_hash_are_asked_and_the_next_if_it_is_silent() {
        let clients = Clients::default();
        let asked = |name: &str| Asked {
            jid: jid(name),
            by: None,
        };
        for name in ["romeo", "nurse", "tybalt"] {
            assert!(clients.wait(&caps("1"), asked(name)));
        }
        assert!(!clients.wait(&caps("1"), asked("juliet")));
        for (name, next) in [
            ("romeo", "nurse"),
            ("nurse", "tybalt"),
            ("tybalt", "juliet"),
        ] {
            let asked_next = clients.in_vain(&caps("1"), &asked(name));
            assert_eq!(asked_next, Some(asked(next)));
        }
        let interests = Arc::new(Interests::default());
        let waiting = clients.verified(&caps("1"), &interests);
        assert_eq!(waiting, [asked("juliet")]);
        assert!(clients.known(&caps("1")).is_some());
    }

    #[test]
    fn presence_with_the_same_capabilities_says_nothing_new() {
        let clients = Clients::default();
        let met = clients.meet(&jid("romeo"), Some(caps("1")));
        assert!(matches!(met, Met::Unknown));
        let met = clients.meet(&jid("romeo"), Some(caps("1")));
        assert!(matches!(met, Met::Nothing));
        let interests = Arc::new(Interests::default());
        assert!(
            clients
                .learn(&jid("romeo"), &caps("2"), &interests)
                .is_none()
        );
        assert!(
            clients
                .learn(&jid("romeo"), &caps("1"), &interests)
                .is_some()
        );
        clients.forget(&jid("romeo"));
        assert!(
            clients
                .learn(&jid("romeo"), &caps("1"), &interests)
                .is_none()
        );
    }

    #[test]
    fn hashes_are_remembered_within_a_bound() {
        let clients = Clients::default();
        for n in 0..KNOWN + 100 {
            let interests = Arc::new(Interests::default());
            clients.verified(&caps(&n.to_string()), &interests);
        }
        assert!(locked(&clients.hashes).known.len() <= KNOWN);
    }
}
