//! The server: its hosts, its accounts and its store.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tercet_core::{BareJid, Peers, StanzaError};
use tercet_store::{Batch, Kind, Owner, Store, StoreError};
use tokio::sync::broadcast;

use crate::account::{
    ACCOUNT, ARRIVING, Account, AccountTable, CLIENT, GUEST, remove_left_arrivals,
    remove_left_guests,
};
use crate::agenda::Agenda;
use crate::asked::Asked;
use crate::roster::{ROSTER, ROSTER_VERSION};
use crate::route::{Component, Horizon, Ways};
use crate::session::Hibernating;
use crate::settings::{Archiving, Bytestreams, External, PubSub, Uploads};
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

/// Who may make accounts in-band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Only the server's administrators make accounts.
    #[default]
    Closed,
    /// Who has an invitation.
    Invite,
    /// Everybody.
    Open,
}

/// Who invites people to a host, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Invitations {
    /// Whether every user may invite people to make an account; administrators may in any case.
    pub by_users: bool,
    /// How long an invitation holds, in seconds.
    pub lifetime_s: u64,
}

impl Default for Invitations {
    fn default() -> Self {
        Invitations {
            by_users: false,
            lifetime_s: 7 * 24 * 3600,
        }
    }
}

/// What a host is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It has accounts.
    #[default]
    Accounts,
    /// A service: its addresses are rooms.
    Rooms,
    /// A service: it has the nodes that people publish to and subscribe to.
    PubSub,
    /// A service: it relays streams of bytes.
    Bytestreams,
}

/// The settings of one host that modules and routing need.
#[derive(Debug, Clone, Default)]
pub struct HostInfo {
    /// Its domain, normalised.
    pub domain: String,
    /// What it is there for. Services are made by [`Server::configure`], from the settings of the host that they belong to.
    pub role: Role,
    /// Of a service: the domain of the host that it belongs to.
    pub parent: Option<String>,
    /// Its rooms, if it has any. A service for them has the settings of its host.
    pub rooms: Option<Rooms>,
    /// Nodes to publish to: of its accounts, and of a service if it has one, which has the settings of its host.
    pub pubsub: PubSub,
    /// The service that relays streams of bytes, if it has one, which has the settings of its host.
    pub bytestreams: Option<Bytestreams>,
    /// Who may make accounts in-band.
    pub registration: Registration,
    /// Invitations to it.
    pub invitations: Invitations,
    /// Accounts that administer the server by its configuration, of whatever host; more have the right in their record.
    pub admins: Vec<BareJid>,
    /// Contact addresses by their kind (`admin`, `abuse`, …), each a list of URIs (XEP-0157).
    pub contacts: Vec<(String, Vec<String>)>,
    /// Where browsers reach the host's pages (`https://example.org:5281`), without a slash at the end; `None` if nowhere.
    pub public_url: Option<String>,
    /// Whether and how long messages are archived.
    pub archive: Archiving,
    /// What counts by account or domain is not limited: a laboratory's setting.
    pub unpaced: bool,
    /// With which domains of other servers it speaks.
    pub peers: Peers,
    /// Bounds on the files that its users share.
    pub uploads: Uploads,
    /// Services outside XMPP that its users are told of.
    pub external: Vec<External>,
    /// The components that belong to it.
    pub components: Vec<Component>,
    /// The table `[modules]`: one table a module.
    pub modules: toml::Table,
    /// The limits.
    pub limits: Limits,
}

impl HostInfo {
    /// The services of the host, each a host of its own with the settings that matter to it.
    fn services(&self) -> impl Iterator<Item = HostInfo> + use<> {
        let rooms = self.rooms.clone().filter(|_| self.role == Role::Accounts);
        let service = |domain: &str, role| HostInfo {
            domain: domain.to_owned(),
            role,
            parent: Some(self.domain.clone()),
            pubsub: self.pubsub.clone(),
            admins: self.admins.clone(),
            contacts: self.contacts.clone(),
            public_url: self.public_url.clone(),
            archive: self.archive,
            unpaced: self.unpaced,
            peers: self.peers.clone(),
            modules: self.modules.clone(),
            limits: self.limits,
            ..HostInfo::default()
        };
        let rooms = rooms.map(|rooms| HostInfo {
            rooms: Some(rooms.clone()),
            ..service(&rooms.domain, Role::Rooms)
        });
        let nodes = self.pubsub.domain.as_deref();
        let nodes = nodes.filter(|_| self.role == Role::Accounts);
        let nodes = nodes.map(|domain| service(domain, Role::PubSub));
        let relay = self.bytestreams.clone();
        let relay = relay.filter(|_| self.role == Role::Accounts);
        let relay = relay.map(|relay| HostInfo {
            bytestreams: Some(relay.clone()),
            ..service(&relay.domain, Role::Bytestreams)
        });
        rooms.into_iter().chain(nodes).chain(relay)
    }
}

/// Who may make rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoomCreation {
    /// Who has an account on a host of this server.
    #[default]
    Users,
    /// Everybody, users of other servers too.
    Everybody,
    /// Administrators only.
    Admins,
}

/// The rooms of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rooms {
    /// The domain of their addresses, normalised.
    pub domain: String,
    /// Who may make one.
    pub creation: RoomCreation,
    /// Rooms that one user may own.
    pub per_user: usize,
    /// Occupants of one room at the most, whatever it allows itself.
    pub occupants: usize,
    /// Occupants beyond which a room is large: changes of presence are gathered, lists of occupants paced.
    pub large: usize,
    /// How often a user may enter rooms in a minute; 0: as often as it likes.
    pub joins_per_minute: u32,
    /// How many messages an occupant may send in a minute; 0: as many as it likes.
    pub messages_per_minute: u32,
    /// How long those without an affiliation wait before they may write, in milliseconds.
    pub newcomers_wait_ms: u64,
    /// How long nobody has to have used a kept room until it is destroyed, in milliseconds; `None`: for ever.
    pub idle_ms: Option<u64>,
    /// How rooms are that nobody has configured.
    pub defaults: RoomDefaults,
}

/// How rooms are that nobody has configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomDefaults {
    /// They stay when nobody is in them.
    pub persistent: bool,
    /// They are listed.
    pub public: bool,
    /// Only members enter.
    pub members_only: bool,
    /// Those without an affiliation have no voice.
    pub moderated: bool,
    /// Only moderators see who is who.
    pub anonymous: bool,
    /// Messages of history for who enters.
    pub history: u32,
    /// They have an archive.
    pub archived: bool,
}

impl Default for RoomDefaults {
    fn default() -> Self {
        RoomDefaults {
            persistent: false,
            public: true,
            members_only: false,
            moderated: false,
            anonymous: true,
            history: 50,
            archived: true,
        }
    }
}

impl Rooms {
    /// The usual settings, with addresses in `domain`.
    pub fn new(domain: impl Into<String>) -> Rooms {
        Rooms {
            domain: domain.into(),
            creation: RoomCreation::default(),
            per_user: 100,
            occupants: 20_000,
            large: 500,
            joins_per_minute: 120,
            messages_per_minute: 300,
            newcomers_wait_ms: 0,
            idle_ms: None,
            defaults: RoomDefaults::default(),
        }
    }
}

/// Bounds that hold for every account.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that may wait in a session's outbox.
    pub outbox_bytes: usize,
    /// Connected resources of one account.
    pub sessions: usize,
    /// Entries in one roster, pending requests included.
    pub roster_items: usize,
    /// Entities that one session may have sent directed presence to.
    pub directed_presence: usize,
    /// Messages kept for one account while its user is away.
    pub offline_messages: u64,
    /// Bytes of those messages.
    pub offline_bytes: u64,
    /// Accounts kept in memory while nobody is connected to them.
    pub idle_accounts: usize,
    /// The largest stanza after login, in bytes.
    pub stanza_bytes: usize,
    /// How long a session waits for its client to come back, in milliseconds; 0 for not at all.
    pub resume_ms: u64,
    /// Sessions of one account that wait so at a time.
    pub hibernating: usize,
    /// Bytes sent to a client and not acknowledged, beyond which no more are sent.
    pub unacked_bytes: usize,
    /// Stanzas likewise.
    pub unacked_stanzas: usize,
    /// How long a client's token for its next login holds, in milliseconds; 0: there are none.
    pub token_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            outbox_bytes: 4 << 20,
            sessions: 32,
            roster_items: 2000,
            directed_presence: 2000,
            offline_messages: 1000,
            offline_bytes: 4 << 20,
            idle_accounts: 4096,
            stanza_bytes: 256 << 10,
            resume_ms: 600_000,
            hibernating: 8,
            unacked_bytes: 2 << 20,
            unacked_stanzas: 10_000,
            token_ms: 21 * 86_400_000,
        }
    }
}

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
        remove_left_guests(&store).await?;
        remove_left_arrivals(&store).await?;
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
