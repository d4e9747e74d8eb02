//! The server: its hosts, its accounts and its store.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tercet_core::{BareJid, StanzaError};
use tercet_store::{Batch, Kind, Owner, Store, StoreError};
use tokio::sync::broadcast;

use crate::account::{ACCOUNT, ARRIVING, Account, AccountTable, CLIENT, GUEST, remove_left};
use crate::agenda::Agenda;
use crate::asked::Asked;
use crate::roster::{ROSTER, ROSTER_VERSION};
use crate::route::{Afar, Horizon, Ways};
use crate::session::Hibernating;
use crate::settings::{HostInfo, Limits};
use crate::vhost::{HostBuilder, VHost};

/// What this crate keeps in the store.
pub static KINDS: &[&Kind] = &[
    &ACCOUNT,
    &ARRIVING,
    &CLIENT,
    &GUEST,
    &ROSTER,
    &ROSTER_VERSION,
    &SECRET,
];

/// The server's own secret, from which it derives what must look the same after a restart.
static SECRET: Kind = Kind {
    name: "secret",
    owner: Owner::Host,
    what: "a random number from which the answers to unknown names are made",
};
/// The secret belongs to no host; a host's name is never empty.
const SECRET_OWNER: &str = "*";

/// Where the time comes from.
#[derive(Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A test's: milliseconds since 1970.
    Manual(AtomicU64),
}

impl Clock {
    pub(crate) fn now_ms(&self) -> u64 {
        match self {
            Clock::System => {
                // A clock before 1970 is as good as 1970.
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
            }
            Clock::Manual(ms) => ms.load(Ordering::Relaxed),
        }
    }
}

/// Removed accounts that may wait for who wants to know of them.
const REMOVALS: usize = 256;

/// The hosts by their domain.
type Hosts = HashMap<Box<str>, Arc<VHost>>;

/// What a module keeps for a host, of whatever type.
type Kept = Arc<dyn Any + Send + Sync>;

/// The server. One value, shared by everything.
pub struct Server {
    hosts: ArcSwap<Hosts>,
    accounts: AccountTable,
    store: Store,
    limits: Limits,
    clock: Arc<Clock>,
    hibernating: Hibernating,
    secret: [u8; 32],
    since_ms: u64,
    agenda: Agenda,
    asked: Asked,
    removals: broadcast::Sender<BareJid>,
    ways: Ways,
    afar: Afar,
    horizon: Horizon,
    kept: Mutex<HashMap<(TypeId, Box<str>), Kept>>,
}

impl Server {
    /// A server over `store`. Its secret is read from there, or made and kept. No other server may run over the store.
    pub async fn new(
        store: Store,
        limits: Limits,
        clock: Clock,
    ) -> Result<Arc<Server>, StoreError> {
        let secret = match store
            .get(&SECRET, SECRET_OWNER, "")
            .await?
            .and_then(|s| s.try_into().ok())
        {
            Some(secret) => secret,
            None => {
                let secret: [u8; 32] = random_bytes();
                let mut batch = Batch::new();
                batch.put(&SECRET, SECRET_OWNER, "", secret.to_vec());
                store.commit(batch).await?;
                secret
            }
        };
        for mark in [&GUEST, &ARRIVING] {
            remove_left(&store, mark).await?;
        }
        let accounts = AccountTable::new(limits.idle_accounts);
        let since_ms = clock.now_ms();
        Ok(Arc::new(Server {
            hosts: ArcSwap::default(),
            accounts,
            store,
            limits,
            clock: Arc::new(clock),
            hibernating: Hibernating::default(),
            secret,
            since_ms,
            agenda: Agenda::default(),
            asked: Asked::default(),
            removals: broadcast::channel(REMOVALS).0,
            ways: Ways::default(),
            afar: Afar::default(),
            horizon: Horizon::default(),
            kept: Mutex::default(),
        }))
    }

    /// Puts `hosts` in the place of the present ones. Sessions of hosts that are gone are not ended.
    fn set_hosts(&self, hosts: Vec<VHost>) {
        let hosts = hosts
            .into_iter()
            .map(|h| (Box::from(h.domain()), Arc::new(h)))
            .collect();
        self.hosts.store(Arc::new(hosts));
    }

    /// Compiles `infos` and puts them in place; on faults nothing changes, and all of them are returned.
    pub fn configure(
        &self,
        infos: Vec<HostInfo>,
        modules: fn(&mut HostBuilder<'_>),
    ) -> Result<(), Vec<String>> {
        let mut hosts = Vec::new();
        let mut faults = Vec::new();
        let mut domains = HashSet::new();
        let services: Vec<_> = infos.iter().flat_map(HostInfo::services).collect();
        for info in infos.into_iter().chain(services) {
            if !domains.insert(info.domain.clone()) {
                faults.push(format!("two hosts or services are named {}", info.domain));
            }
            match VHost::build(info, modules) {
                Ok(host) => hosts.push(host),
                Err(more) => faults.extend(more),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.set_hosts(hosts);
        Ok(())
    }

    /// The host of that domain.
    pub fn host(&self, domain: &str) -> Option<Arc<VHost>> {
        self.hosts.load().get(domain).cloned()
    }

    /// The present hosts, borrowed: cheaper than [`Server::host`] where each stanza asks.
    pub(crate) fn present_hosts(&self) -> impl Deref<Target = Arc<Hosts>> {
        self.hosts.load()
    }

    /// All hosts, in no order.
    pub fn hosts(&self) -> Vec<Arc<VHost>> {
        self.hosts.load().values().cloned().collect()
    }

    /// What a module keeps in memory for a host, beyond reloads of the configuration, which make modules anew: the value of type
    /// `T` for `domain`, made at the first call. For a call at a module's first need, not for each stanza.
    pub fn kept<T: Any + Send + Sync>(&self, domain: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let value = kept
            .entry((TypeId::of::<T>(), domain.into()))
            .or_insert_with(|| Arc::new(make()));
        let value = value.clone().downcast();
        value.expect("what stands under a type is of that type")
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The time in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// How long the server has been up, in milliseconds.
    pub fn uptime_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.since_ms)
    }

    /// Moves a manual clock; nothing happens to the machine's.
    pub fn advance(&self, by_ms: u64) {
        if let Clock::Manual(ms) = &*self.clock {
            ms.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    /// The account, loaded if need be; `None` if there is none of that name on this server.
    pub async fn account(&self, bare: &BareJid) -> Result<Option<Arc<Account>>, StoreError> {
        if let Some(account) = self.accounts.get(bare.as_str()) {
            return Ok(Some(account));
        }
        let Some(host) = self.host(bare.domain()) else {
            return Ok(None);
        };
        if bare.local().is_none() || !host.has_accounts() {
            return Ok(None);
        }
        self.accounts.load(bare, &self.store, host.slots()).await
    }

    /// The account if it is in memory: always the case while it has sessions.
    pub fn loaded_account(&self, bare: &str) -> Option<Arc<Account>> {
        self.accounts.get(bare)
    }

    /// All accounts that are in memory.
    pub fn loaded_accounts(&self) -> impl Iterator<Item = Arc<Account>> {
        self.accounts.all()
    }

    pub(crate) fn accounts(&self) -> &AccountTable {
        &self.accounts
    }

    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    pub(crate) fn hibernating(&self) -> &Hibernating {
        &self.hibernating
    }

    pub(crate) fn forget(&self, account: &BareJid) {
        self.accounts.remove(account.as_str());
    }

    pub(crate) fn agenda(&self) -> &Agenda {
        &self.agenda
    }

    pub(crate) fn afar(&self) -> &Afar {
        &self.afar
    }

    pub(crate) fn ways(&self) -> &Ways {
        &self.ways
    }

    pub(crate) fn horizon(&self) -> &Horizon {
        &self.horizon
    }

    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Accounts that are removed from now on, each once nothing of it is in the store any more: for what is kept elsewhere.
    pub fn removals(&self) -> broadcast::Receiver<BareJid> {
        self.removals.subscribe()
    }

    pub(crate) fn tell_removal(&self, account: &BareJid) {
        // Whether anybody listens is their own affair.
        let _ = self.removals.send(account.clone());
    }

    /// A secret of this server for one purpose: the same after a restart, and of no help to find another's.
    pub fn derive_secret(&self, purpose: &[u8]) -> [u8; 32] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &self.secret);
        let mut derived = [0; 32];
        derived.copy_from_slice(aws_lc_rs::hmac::sign(&key, purpose).as_ref());
        derived
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Random bytes for salts, names and ids.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        random_bytes()
    }
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The system's generator fails only where there is none; a server can't run there.
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random numbers");
    bytes
}

/// The error that clients see when the store failed: they may try again. The reason goes to the log.
pub fn store_failure(error: &StoreError) -> StanzaError {
    tracing::error!(%error, "the store failed");
    StanzaError::internal_server_error().kind(tercet_core::ErrorType::Wait)
}
