//! Contacts on other servers: what they want to hear of from one account, by the presence that they show it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::Jid;

use super::caps::{Caps, Interests};
use super::clients::Met;

/// Resources of contacts that are remembered for one account.
const MOST: usize = 10_000;

/// The resources of contacts on other servers.
#[derive(Default)]
pub struct Remotes(Mutex<BTreeMap<Box<str>, Remote>>);

struct Remote {
    jid: Jid,
    caps: Caps,
    interests: Option<Arc<Interests>>,
}

impl Remotes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Remote>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A contact has shown presence with these capabilities, which mean `known`.
    pub fn meet(&self, jid: &Jid, caps: Caps, known: Option<Arc<Interests>>) -> Met {
        let mut all = self.lock();
        let before = match all.get(jid.as_str()) {
            Some(remote) if remote.caps == caps => return Met::Nothing,
            Some(remote) => remote.interests.clone(),
            None if all.len() >= MOST => return Met::Nothing,
            None => None,
        };
        let remote = Remote {
            jid: jid.clone(),
            caps,
            interests: known.clone().or_else(|| before.clone()),
        };
        all.insert(jid.as_str().into(), remote);
        match known {
            Some(known) => Met::Known(known, before),
            None => Met::Unknown,
        }
    }

    /// What its capabilities mean has been learned; as for sessions.
    pub fn learn(
        &self,
        jid: &Jid,
        caps: &Caps,
        interests: &Arc<Interests>,
    ) -> Option<Option<Arc<Interests>>> {
        let mut all = self.lock();
        let remote = all.get_mut(jid.as_str())?;
        if remote.caps != *caps {
            return None;
        }
        Some(remote.interests.replace(interests.clone()))
    }

    /// It has gone.
    pub fn forget(&self, jid: &Jid) {
        self.lock().remove(jid.as_str());
    }

    /// The resources of a contact, with what they want to hear of.
    pub fn of(&self, bare: &str) -> Vec<(Jid, Arc<Interests>)> {
        let all = self.lock();
        let prefix = format!("{bare}/");
        let from = (Bound::Included(&*prefix), Bound::Unbounded);
        let own = all.range::<str, _>(from);
        let own = own.take_while(|(jid, _)| jid.starts_with(&prefix));
        own.filter_map(|(_, remote)| Some((remote.jid.clone(), remote.interests.clone()?)))
            .collect()
    }

    /// The resources of a contact that want to hear of a node.
    pub fn interested(&self, bare: &str, node: &str) -> Vec<Jid> {
        let all = self.of(bare).into_iter();
        all.filter(|(_, interests)| interests.has(node))
            .map(|(jid, _)| jid)
            .collect()
    }
}
