//! A session: one connected resource of an account (RFC 6120 §7).

mod management;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tercet_core::{FullJid, Jid};

use crate::account::Account;
use crate::outbox::Outbox;
use crate::settlement::Settlement;
pub(crate) use management::{Hibernating, Id, Management};

/// A connected resource. What depends on its presence stands in its account's state, since the rules look at all resources of
/// an account at once.
#[derive(Debug)]
pub struct Session {
    jid: FullJid,
    account: Arc<Account>,
    outbox: Arc<Outbox>,
    lang: Option<Box<str>>,
    since_ms: u64,
    /// To whom presence was sent that they do not get by subscription (RFC 6121 §4.6).
    directed: Mutex<HashSet<Jid>>,
    /// Held while its presence changes and is told of.
    order: Mutex<()>,
    ended: AtomicBool,
    settlement: Settlement,
    /// Under which name its client is kept, if it has said who it is.
    client: OnceLock<Box<str>>,
    /// Its client reads the archive by itself.
    syncs: AtomicBool,
    /// What its client acknowledges and whether it may come back, once it has asked for that (XEP-0198).
    management: OnceLock<Box<Management>>,
}

impl Session {
    pub(crate) fn new(
        jid: FullJid,
        account: Arc<Account>,
        outbox: Arc<Outbox>,
        lang: Option<&str>,
        since_ms: u64,
    ) -> Self {
        let lang = lang.map(Box::from);
        Session {
            jid,
            account,
            outbox,
            lang,
            since_ms,
            directed: Mutex::default(),
            order: Mutex::default(),
            ended: AtomicBool::new(false),
            settlement: Settlement::default(),
            client: OnceLock::new(),
            syncs: AtomicBool::new(false),
            management: OnceLock::new(),
        }
    }

    /// Its full JID.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// Its account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Where bytes for its client go.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// The language of its stream, which its stanzas have where they name none (RFC 6120 §4.7.4).
    pub fn lang(&self) -> Option<&str> {
        self.lang.as_deref()
    }

    /// When it was bound, in milliseconds since 1970.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// Under which name its client is kept among those of the account, if it has said who it is (XEP-0388 §2.3).
    pub fn client(&self) -> Option<&str> {
        self.client.get().map(|name| &**name)
    }

    /// Notes the name of its client; nothing happens if that was done before.
    pub(crate) fn identify(&self, name: &str) {
        let _ = self.client.set(name.into());
    }

    /// Whether its client gets what it has missed from the archive, so that it is not handed to it a second time (XEP-0386 §3.2).
    pub fn syncs(&self) -> bool {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Notes that it does.
    pub(crate) fn set_syncs(&self) {
        self.syncs.store(true, Ordering::Relaxed);
    }

    /// Which of its stanzas are settled.
    pub(crate) fn settlement(&self) -> &Settlement {
        &self.settlement
    }

    /// The entities that have received directed presence and not yet its end.
    pub(crate) fn directed(&self) -> MutexGuard<'_, HashSet<Jid>> {
        self.directed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has shown its presence to `bare`, or to a resource there, which has not seen its end (RFC 6121 §4.6): an occupant
    /// of a room is such.
    pub fn shows_itself_to(&self, bare: &str) -> bool {
        self.directed().iter().any(|to| to.bare_str() == bare)
    }

    /// Held from a change of its presence until all have been told, so that two changes, of which another session may cause the
    /// later one, reach everybody in their order (RFC 6120 §10.1). Taken before any account's lock, never two at once.
    pub(crate) fn presence_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its acknowledgements, if its client has asked for them.
    pub(crate) fn management(&self) -> Option<&Management> {
        self.management.get().map(|management| &**management)
    }

    /// Begins with acknowledgements; nothing happens if that was done before.
    pub(crate) fn manage(&self, management: Management) {
        let _ = self.management.set(Box::new(management));
    }

    /// Marks the session as ended; true for the first call.
    pub(crate) fn end(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }
}
