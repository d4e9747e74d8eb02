//! Accounts in memory: who is connected, their roster, and what modules keep beside it.

mod arrival;
mod client;
mod credentials;
mod guest;
mod left;
mod table;

pub use arrival::{ARRIVING, Arrival};
pub use client::{CLIENT, ClientRecord, Revocation, TokenLogin};
pub use credentials::{ACCOUNT, AccountError, AccountRecord};
pub use guest::GUEST;
pub(crate) use left::remove_left;
pub(crate) use table::AccountTable;
use table::Queued;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;
use tercet_core::{BareJid, Stanza};

use crate::module::{Slot, Slots};
use crate::roster::Roster;
use crate::session::{Id, Session};

/// An account's live state: loaded at first need, kept while it has sessions and for a while after.
pub struct Account {
    jid: BareJid,
    state: Mutex<AccountState>,
    slots: Slots,
    queued: Queued,
}

/// What routing looks at. Behind one lock, under which stanzas are appended to outboxes, so that their order holds; no other
/// account's lock is ever taken while one is held.
pub struct AccountState {
    /// The connected resources.
    pub resources: SmallVec<[Resource; 2]>,
    /// The contacts.
    pub roster: Roster,
    /// Sessions that could have been resumed and have ended, with what they had handled; the last few.
    pub(crate) ended: VecDeque<(Id, u32)>,
    /// The account has been removed; nothing may be written for it any more.
    pub removed: bool,
}

/// One connected resource and what its client has told of itself.
pub struct Resource {
    /// The session.
    pub session: Arc<Session>,
    /// Its last presence, while it is available (RFC 6121 §4.2).
    pub presence: Option<Arc<Stanza>>,
    /// The priority of that presence.
    pub priority: i8,
    /// Whether it has asked for the roster and so gets pushes (RFC 6121 §2.2).
    pub interested: bool,
}

impl Resource {
    /// Whether it has sent presence and not withdrawn it.
    pub fn is_available(&self) -> bool {
        self.presence.is_some()
    }

    /// Whether messages to the bare JID may go to it (RFC 6121 §8.5.2.1).
    pub fn takes_messages(&self) -> bool {
        self.is_available() && self.priority >= 0
    }
}

impl AccountState {
    /// The resource named `resource`.
    pub fn resource(&self, resource: &str) -> Option<&Resource> {
        self.resources
            .iter()
            .find(|r| r.session.jid().resource() == resource)
    }

    pub(crate) fn entry(&mut self, session: &Session) -> Option<&mut Resource> {
        self.resources
            .iter_mut()
            .find(|r| std::ptr::eq(Arc::as_ptr(&r.session), session))
    }

    /// The available resources.
    pub fn available(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(|r| r.is_available())
    }
}

impl Account {
    pub(crate) fn new(jid: BareJid, roster: Roster, slots: Slots) -> Self {
        let state = AccountState {
            resources: SmallVec::new(),
            roster,
            ended: VecDeque::new(),
            removed: false,
        };
        Account {
            jid,
            state: Mutex::new(state),
            slots,
            queued: Queued::default(),
        }
    }

    /// Its bare JID.
    pub fn jid(&self) -> &BareJid {
        &self.jid
    }

    fn queued(&self) -> &Queued {
        &self.queued
    }

    /// Its state, locked. Hold it shortly, never across an await, and never two at once.
    pub fn lock(&self) -> MutexGuard<'_, AccountState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A module's data; `None` where its module is off.
    pub fn slot<S: Slot>(&self) -> Option<&S> {
        self.slots.get()
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Account").field(&self.jid).finish()
    }
}
