//! Whom a user knows.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tercet_core::{BareJid, Jid};
use tercet_server::Account;
use tercet_server::module::{Slot, SlotFuture};
use tercet_store::{Batch, Kind, Owner, Store};

/// People to whom a user has written that are remembered.
const WRITTEN_TO: usize = 200;

/// To whom the user has written: a record each, keyed by the bare JID, with the time.
pub static KNOWN: Kind = Kind {
    name: "written-to",
    owner: Owner::Account,
    what: "people of other servers, no contacts, to whom the user has written or whose messages the user has accepted: the last 200",
};

/// To whom the user has written, or whose messages the user has accepted, the last first.
#[derive(Default)]
pub(crate) struct Known(Mutex<VecDeque<Box<str>>>);

impl Slot for Known {
    fn load(store: &Store, account: &BareJid) -> SlotFuture<Self> {
        let kept = store.list(&KNOWN, account.as_str());
        Box::pin(async move {
            let mut kept = kept.await?;
            // Times of the same length compare as their bytes do.
            kept.sort_by(|a, b| b.1.cmp(&a.1));
            let known = kept.into_iter().map(|(bare, _)| bare.into());
            Ok(Known(Mutex::new(known.take(WRITTEN_TO).collect())))
        })
    }
}

impl Known {
    /// Remembers one more, and has the batch of `account` do so; who has been written to longest ago is forgotten.
    pub(super) fn add(&self, account: &BareJid, bare: &str, now_ms: u64, batch: &mut Batch) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter().position(|known| &**known == bare) {
            Some(0) => {}
            Some(place) => {
                if let Some(found) = known.remove(place) {
                    known.push_front(found);
                }
            }
            None => {
                let stays = known.len().min(WRITTEN_TO - 1);
                let forgotten = known.split_off(stays);
                for gone in forgotten {
                    batch.delete(&KNOWN, account.as_str(), &gone);
                }
                let time = now_ms.to_be_bytes().to_vec();
                batch.put(&KNOWN, account.as_str(), bare, time);
                known.push_front(bare.into());
            }
        }
    }

    fn has(&self, bare: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|known| &**known == bare)
    }
}

/// Whether the user of `account` knows `peer`.
pub(crate) fn knows(account: &Account, peer: &Jid) -> bool {
    let bare = peer.bare_str();
    if account.slot::<Known>().is_some_and(|known| known.has(bare)) {
        return true;
    }
    if is_contact(account, bare) {
        return true;
    }
    let state = account.lock();
    let mut resources = state.resources.iter();
    resources.any(|resource| resource.session.shows_itself_to(bare))
}

/// Whether somebody is on the user's contact list.
pub(super) fn is_contact(account: &Account, bare: &str) -> bool {
    let state = account.lock();
    state.roster.get(bare).is_some_and(|item| item.in_roster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered() {
        let account = BareJid::parse("juliet@x").unwrap();
        let known = Known::default();
        let mut batch = Batch::new();
        let mut add = |bare: &str| known.add(&account, bare, 1, &mut batch);
        for number in 0..WRITTEN_TO {
            add(&format!("u{number}@a"));
        }
        add("u0@a");
        add("new@a");
        assert!(known.has("u0@a") && known.has("new@a") && known.has("u2@a"));
        assert!(!known.has("u1@a"));
    }
}
