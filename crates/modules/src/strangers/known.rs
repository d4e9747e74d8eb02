//! Whom a user knows.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tercet_core::{BareJid, Jid};
use tercet_server::Account;
use tercet_server::module::{Slot, SlotFuture};
use tercet_store::Store;

/// People to whom a user has written that are remembered.
const WRITTEN_TO: usize = 64;

/// To whom the user has written, or whose messages the user has accepted, the last first; as long as the account is in memory.
#[derive(Default)]
pub(crate) struct Known(Mutex<VecDeque<Box<str>>>);

impl Slot for Known {
    fn load(_: &Store, _: &BareJid) -> SlotFuture<Self> {
        Box::pin(std::future::ready(Ok(Known::default())))
    }
}

impl Known {
    /// Remembers one more.
    pub(super) fn add(&self, bare: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter().position(|known| &**known == bare) {
            Some(0) => {}
            Some(place) => {
                if let Some(found) = known.remove(place) {
                    known.push_front(found);
                }
            }
            None => {
                known.truncate(WRITTEN_TO - 1);
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
    let state = account.lock();
    state.roster.get(bare).is_some_and(|item| item.in_roster)
        || state
            .resources
            .iter()
            .any(|resource| resource.session.shows_itself_to(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered() {
        let known = Known::default();
        for number in 0..WRITTEN_TO {
            known.add(&format!("u{number}@a"));
        }
        known.add("u0@a");
        known.add("new@a");
        assert!(known.has("u0@a") && known.has("new@a") && known.has("u2@a"));
        assert!(!known.has("u1@a"));
    }
}
