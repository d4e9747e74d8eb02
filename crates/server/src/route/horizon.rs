//! Which other servers are out of reach, and what our users see of their contacts there meanwhile.
//!
//! Nobody says goodbye for a server that has vanished (RFC 6121 §4.5 knows only of servers that do). So once no stream to a domain
//! comes about, its contacts are shown as unavailable; from then on somebody's probe knocks there from time to time. When the
//! domain is back, or a stream to it has broken and there is another, presence is asked for and shown anew in both directions,
//! since either side may have missed some.
//!
//! Users are gone through in slices, for all domains that have changed lately at once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::BareJid;

use super::contact::plain_presence;
use super::presence::{hand_over, presences};
use super::{Passage, Routed};
use crate::account::Account;
use crate::module::{OnReturn, Side};
use crate::server::Server;

/// Domains that are known to be out of reach at a time; of more nothing is said.
const DOMAINS: usize = 4096;
/// How long changes gather before users are gone through.
const GATHER_MS: u64 = 5_000;
/// Users in a slice, and the pause between two slices.
const SLICE: usize = 64;
const PAUSE_MS: u64 = 50;
/// How long a domain from which something came counts as there, although nothing gets there.
const HEARD_MS: u64 = 600_000;
/// How long after a stream broke another one that breaks has no consequences.
const ASKED_MS: u64 = 300_000;
/// How long the first knock waits; twice as long after each, up to [`KNOCK_MAX_MS`].
const KNOCK_MS: u64 = 60_000;
const KNOCK_MAX_MS: u64 = 1_800_000;

/// What is known of other servers.
#[derive(Default)]
pub(crate) struct Horizon {
    state: Mutex<State>,
    /// Some domain is out of reach: spares the lock to every stanza while none is.
    dark: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Out of reach, of which users have been told.
    dark: HashMap<Box<str>, Dark>,
    /// Out of reach lately.
    lost: HashSet<Box<str>>,
    /// Where presence is to be asked for anew.
    found: HashSet<Box<str>>,
    /// When something came from a domain that had been out of reach.
    heard: HashMap<Box<str>, u64>,
    /// When users were last gone through for a broken stream.
    asked: HashMap<Box<str>, u64>,
    /// Users are being gone through, or soon will be.
    under_way: bool,
}

/// A domain that is out of reach.
#[derive(Default)]
struct Dark {
    /// Somebody here, and a contact there.
    watcher: Option<(BareJid, BareJid)>,
    knocks: u32,
}

/// What users are gone through for.
struct Round {
    lost: HashSet<Box<str>>,
    found: HashSet<Box<str>>,
    accounts: Vec<Arc<Account>>,
}

impl Horizon {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, state: &State) {
        let dark = !state.lost.is_empty() || !state.dark.is_empty();
        self.dark.store(dark, Ordering::Release);
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.lost.len() + self.dark.len() >= DOMAINS || self.found.len() >= DOMAINS
    }

    /// The domain is out of reach no more. Whether it was.
    fn light(&mut self, domain: &str) -> bool {
        let told = self.dark.remove(domain).is_some();
        if told {
            self.found.insert(domain.into());
        }
        self.lost.remove(domain) || told
    }
}

impl Server {
    /// No stream to the server of a domain came about.
    pub fn out_of_reach(self: &Arc<Self>, domain: &str) {
        let horizon = self.horizon();
        let mut state = horizon.lock();
        let now = self.now_ms();
        let heard = state.heard.get(domain);
        let heard = heard.is_some_and(|at| now.saturating_sub(*at) < HEARD_MS);
        if heard || state.dark.contains_key(domain) || state.is_full() {
            return;
        }
        state.found.remove(domain);
        state.lost.insert(domain.into());
        horizon.note(&state);
        self.gather(state);
    }

    /// A stream takes stanzas to a domain.
    pub fn within_reach(self: &Arc<Self>, domain: &str) {
        let horizon = self.horizon();
        if !horizon.dark.load(Ordering::Acquire) {
            return;
        }
        let mut state = horizon.lock();
        if state.light(domain) {
            horizon.note(&state);
            self.gather(state);
        }
    }

    /// Something has come from a domain.
    pub(super) fn heard_from(self: &Arc<Self>, domain: &str) {
        let horizon = self.horizon();
        if !horizon.dark.load(Ordering::Acquire) {
            return;
        }
        let mut state = horizon.lock();
        if state.light(domain) {
            state.heard.insert(domain.into(), self.now_ms());
            horizon.note(&state);
            self.gather(state);
        }
    }

    /// A stream to a domain has broken: what was on its way may not have arrived, nor what was on its way here.
    pub fn disturbed(self: &Arc<Self>, domain: &str) {
        let mut state = self.horizon().lock();
        let now = self.now_ms();
        let asked = state.asked.get(domain);
        let asked = asked.is_some_and(|at| now.saturating_sub(*at) < ASKED_MS);
        if asked || state.is_full() || state.dark.contains_key(domain) {
            return;
        }
        state.asked.insert(domain.into(), now);
        state.found.insert(domain.into());
        self.gather(state);
    }

    /// Users are gone through soon, if that is not so already.
    fn gather(&self, mut state: MutexGuard<'_, State>) {
        if !state.under_way {
            state.under_way = true;
            drop(state);
            self.soon(GATHER_MS, |server| server.begin_round());
        }
    }

    fn soon(&self, in_ms: u64, job: impl FnOnce(&Arc<Server>) -> Routed + Send + 'static) {
        if !self.at(self.now_ms().saturating_add(in_ms), job) {
            self.horizon().lock().under_way = false;
        }
    }

    fn begin_round(self: &Arc<Self>) -> Routed {
        let (lost, found) = {
            let mut state = self.horizon().lock();
            let now = self.now_ms();
            state
                .heard
                .retain(|_, at| now.saturating_sub(*at) < HEARD_MS);
            state
                .asked
                .retain(|_, at| now.saturating_sub(*at) < ASKED_MS);
            let (lost, found) = (
                std::mem::take(&mut state.lost),
                std::mem::take(&mut state.found),
            );
            for domain in &lost {
                state.dark.insert(domain.clone(), Dark::default());
            }
            (lost, found)
        };
        for host in self.hosts() {
            for entry in host.provided::<OnReturn>() {
                for domain in &found {
                    (entry.0)(self, &host, domain);
                }
            }
            for insider in host.insiders() {
                for domain in &lost {
                    insider.out_of_reach(self, domain);
                }
            }
        }
        self.go_through(Round {
            lost,
            found,
            accounts: self.loaded_accounts().collect(),
        })
    }

    /// The next slice of users.
    fn go_through(self: &Arc<Self>, mut round: Round) -> Routed {
        for _ in 0..SLICE {
            let Some(account) = round.accounts.pop() else {
                self.end_round(&round);
                return Routed::Done;
            };
            self.tell_of(&account, &round);
        }
        self.soon(PAUSE_MS, move |server| server.go_through(round));
        Routed::Done
    }

    /// Of domains where nobody has a contact nothing is remembered.
    fn end_round(self: &Arc<Self>, round: &Round) {
        let horizon = self.horizon();
        let mut state = horizon.lock();
        for domain in &round.lost {
            let watched = state.dark.get(domain).map(|dark| dark.watcher.is_some());
            match watched {
                Some(true) => {
                    let domain = domain.clone();
                    let first = self.now_ms().saturating_add(KNOCK_MS);
                    self.at(first, move |server| server.knock(domain));
                }
                Some(false) => drop(state.dark.remove(domain)),
                None => {}
            }
        }
        horizon.note(&state);
        state.under_way = false;
        if !state.lost.is_empty() || !state.found.is_empty() {
            self.gather(state);
        }
    }

    /// Shows one user what has changed, and asks in the user's name.
    fn tell_of(self: &Arc<Self>, account: &Arc<Account>, round: &Round) {
        let (lost, asked, shown, seen) = {
            let state = account.lock();
            if state.available().next().is_none() {
                return;
            }
            let of = |domains: &HashSet<Box<str>>, contacts: &mut dyn Iterator<Item = &BareJid>| {
                contacts
                    .filter(|contact| domains.contains(contact.domain()))
                    .cloned()
                    .collect::<Vec<_>>()
            };
            let roster = &state.roster;
            (
                of(&round.lost, &mut roster.subscriptions()),
                of(&round.found, &mut roster.subscriptions()),
                of(&round.found, &mut roster.subscribers()),
                presences(&state).collect::<Vec<_>>(),
            )
        };
        let gone = plain_presence("unavailable");
        for contact in &lost {
            let passage = Passage::new(&gone, contact, account.jid());
            if self.passes(account, Side::Recipient, passage) {
                hand_over(account, passage);
            }
        }
        if let Some(contact) = lost.first() {
            let mut state = self.horizon().lock();
            for contact in std::iter::once(contact).chain(&lost) {
                if let Some(dark) = state.dark.get_mut(contact.domain()) {
                    let pair = || (account.jid().clone(), contact.clone());
                    dark.watcher.get_or_insert_with(pair);
                }
            }
        }
        for contact in &asked {
            self.probe(account, contact);
        }
        for contact in &shown {
            for (from, stanza) in &seen {
                let passage = Passage::new(stanza, from, contact);
                if self.passes(account, Side::Sender, passage) {
                    self.notify_elsewhere(passage);
                }
            }
        }
    }

    /// RFC 6121 §4.3.1: asks another server how a contact is, if that is what the account may do.
    pub(super) fn probe(self: &Arc<Self>, account: &Arc<Account>, contact: &BareJid) {
        let probe = plain_presence("probe");
        // RFC 6121 §4.3.1: in the name of the account, not of one of its resources.
        let passage = Passage::new(&probe, account.jid(), contact);
        if self.passes(account, Side::Sender, passage) {
            self.notify_elsewhere(passage);
        }
    }

    /// Looks whether a domain is back.
    fn knock(self: &Arc<Self>, domain: Box<str>) -> Routed {
        let (watcher, wait) = {
            let mut state = self.horizon().lock();
            let Some(dark) = state.dark.get_mut(&domain) else {
                return Routed::Done;
            };
            let wait = KNOCK_MS << dark.knocks.min(8);
            dark.knocks += 1;
            (dark.watcher.clone(), (wait * 2).min(KNOCK_MAX_MS))
        };
        if let Some((account, contact)) = watcher
            && let Some(account) = self.loaded_account(account.as_str())
        {
            self.probe(&account, &contact);
        }
        let next = self.now_ms().saturating_add(wait);
        self.at(next, move |server| server.knock(domain));
        Routed::Done
    }
}
