//! A node in memory: its configuration, who has to do with it, and which items there are, without their payloads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::{BareJid, Jid};

use super::config::NodeConfig;
use super::options::Options;

/// What somebody is to a node (§4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Affiliation {
    /// Nothing.
    #[default]
    None = 0,
    /// Has no access.
    Outcast = 1,
    /// Has access.
    Member = 2,
    /// Publishes, and does not read.
    PublishOnly = 3,
    /// Publishes.
    Publisher = 4,
    /// Decides.
    Owner = 5,
}

impl Affiliation {
    /// All of them.
    pub const ALL: [Affiliation; 6] = [
        Affiliation::None,
        Affiliation::Outcast,
        Affiliation::Member,
        Affiliation::PublishOnly,
        Affiliation::Publisher,
        Affiliation::Owner,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Affiliation::None => "none",
            Affiliation::Outcast => "outcast",
            Affiliation::Member => "member",
            Affiliation::PublishOnly => "publish-only",
            Affiliation::Publisher => "publisher",
            Affiliation::Owner => "owner",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Affiliation> {
        Affiliation::ALL.into_iter().find(|a| a.as_str() == name)
    }
}

/// How far a subscription has come (§4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Subscribed {
    /// An owner has to agree.
    Pending = 1,
    /// Notifications are sent.
    Yes = 2,
}

impl Subscribed {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Subscribed::Pending => "pending",
            Subscribed::Yes => "subscribed",
        }
    }
}

/// A subscription of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Where notifications go.
    pub jid: Jid,
    /// How far it has come.
    pub state: Subscribed,
    /// What the subscriber wants of it.
    pub options: Options,
}

/// Somebody who has to do with a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// What it is to the node.
    pub affiliation: Affiliation,
    /// The addresses to which it is subscribed, each once.
    pub subscriptions: Vec<Subscription>,
}

impl Member {
    /// Nothing has to be kept.
    pub fn is_nobody(&self) -> bool {
        self.affiliation == Affiliation::None && self.subscriptions.is_empty()
    }

    /// Whether one of its addresses is subscribed.
    pub fn is_subscribed(&self) -> bool {
        let mut all = self.subscriptions.iter();
        all.any(|one| one.state == Subscribed::Yes)
    }

    /// The subscription of that address.
    pub fn subscription(&self, jid: &Jid) -> Option<&Subscription> {
        self.subscriptions.iter().find(|one| one.jid == *jid)
    }

    /// How the subscription of that address stands.
    pub fn subscribed(&self, jid: &Jid) -> Option<Subscribed> {
        self.subscription(jid).map(|one| one.state)
    }

    /// Sets how it stands, with its options as they are; `None` ends it.
    pub fn set_subscription(&mut self, jid: &Jid, state: Option<Subscribed>) {
        let options = self.subscription(jid).map(|one| one.options);
        self.subscriptions.retain(|one| one.jid != *jid);
        if let Some(state) = state {
            self.subscriptions.push(Subscription {
                jid: jid.clone(),
                state,
                options: options.unwrap_or_default(),
            });
        }
    }

    /// Sets the options of the subscription of that address, if there is one.
    pub fn set_options(&mut self, jid: &Jid, options: Options) {
        let mut all = self.subscriptions.iter_mut();
        if let Some(one) = all.find(|one| one.jid == *jid) {
            one.options = options;
        }
    }

    /// Takes out what has ended by now.
    pub fn take_ended(&mut self, now_ms: u64) -> Vec<Subscription> {
        let ended = |one: &mut Subscription| one.options.until_ms.is_some_and(|at| at <= now_ms);
        self.subscriptions.extract_if(.., ended).collect()
    }
}

/// An item, without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: Box<str>,
    /// Its place among the node's items: later ones have higher numbers.
    pub number: u64,
    /// When it was published, in milliseconds since 1970.
    pub at_ms: u64,
    /// By whom: a full JID, mostly.
    pub publisher: Box<str>,
    /// The size of its payload.
    pub bytes: u32,
}

/// What is behind a node's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Its configuration.
    pub config: NodeConfig,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Who has to do with it, by bare JID. The user of an account is not in the lists of its nodes.
    pub members: BTreeMap<BareJid, Member>,
    /// The items, oldest first.
    pub items: Vec<Entry>,
    /// It was deleted.
    pub gone: bool,
}

impl State {
    /// A node without items.
    pub fn new(config: NodeConfig, created_ms: u64) -> State {
        State {
            config,
            created_ms,
            members: BTreeMap::new(),
            items: Vec::new(),
            gone: false,
        }
    }

    /// What somebody is to it.
    pub fn member(&self, bare: &str) -> Member {
        self.members.get(bare).cloned().unwrap_or_default()
    }

    /// The bytes of all items.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| u64::from(item.bytes)).sum()
    }

    /// The item of that id.
    pub fn item(&self, id: &str) -> Option<&Entry> {
        // What is asked for is mostly new.
        self.items.iter().rev().find(|item| &*item.id == id)
    }

    /// The number of the next item.
    pub fn next_number(&self) -> u64 {
        self.items.last().map_or(1, |last| last.number + 1)
    }

    /// The items that have not expired by now, oldest first.
    pub fn live(&self, now_ms: u64) -> &[Entry] {
        let Some(expire_s) = self.config.expire_s else {
            return &self.items;
        };
        let since = now_ms.saturating_sub(u64::from(expire_s) * 1000);
        let first = self.items.partition_point(|item| item.at_ms <= since);
        &self.items[first..]
    }

    /// Its owners on its list.
    pub fn owners(&self) -> impl Iterator<Item = &BareJid> {
        let owners = self.members.iter();
        let owners = owners.filter(|(_, member)| member.affiliation == Affiliation::Owner);
        owners.map(|(jid, _)| jid)
    }

    /// When the first of its subscriptions ends by itself.
    pub fn next_end_ms(&self) -> Option<u64> {
        let all = self.members.values().flat_map(|m| &m.subscriptions);
        all.filter_map(|one| one.options.until_ms).min()
    }

    /// How many subscriptions it has, pending ones too.
    pub fn subscriptions(&self) -> usize {
        self.members
            .values()
            .map(|member| member.subscriptions.len())
            .sum()
    }
}

/// A node in memory.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: Box<str>,
    /// Held from the check of a change until it is durable and told of, so that all hear of changes in their order.
    pub changing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// The node whose lists count for this one (XEP-0470).
    basis: Mutex<Option<Arc<Node>>>,
    used_ms: AtomicU64,
    /// Before this time no subscription ends by itself.
    calm_until_ms: AtomicU64,
}

impl Node {
    /// A node of that name.
    pub fn new(name: &str, state: State) -> Node {
        let calm_until_ms = state.next_end_ms().unwrap_or(u64::MAX);
        Node {
            name: name.into(),
            changing: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
            basis: Mutex::default(),
            used_ms: AtomicU64::new(0),
            calm_until_ms: AtomicU64::new(calm_until_ms),
        }
    }

    /// Its state, locked. Hold it shortly, never across an await, and lock nothing else meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lists of `basis` count for this one from here on.
    pub fn rest_on(&self, basis: Arc<Node>) {
        *self.basis.lock().unwrap_or_else(PoisonError::into_inner) = Some(basis);
    }

    /// The node whose lists count for this one, if it is not this one.
    pub fn basis(&self) -> Option<Arc<Node>> {
        let basis = self.basis.lock();
        basis.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What somebody is to it, and whether it is subscribed.
    pub fn standing(&self, bare: &str) -> (Affiliation, bool) {
        let own = self.lock().member(bare);
        let listed = self.basis().map(|basis| basis.lock().member(bare));
        match listed {
            None => (own.affiliation, own.is_subscribed()),
            Some(one) => (one.affiliation, own.is_subscribed() || one.is_subscribed()),
        }
    }

    /// Who owns it, by its lists.
    pub fn owners(&self) -> Vec<BareJid> {
        match self.basis() {
            Some(basis) => basis.lock().owners().cloned().collect(),
            None => self.lock().owners().cloned().collect(),
        }
    }

    /// Notes that it is used now.
    pub fn touch(&self, now_ms: u64) {
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether a subscription may have ended by now.
    pub fn may_have_ends(&self, now_ms: u64) -> bool {
        self.calm_until_ms.load(Ordering::Relaxed) <= now_ms
    }

    /// Notes when the next subscription ends, after options have changed.
    pub fn note_ends(&self) {
        let next = self.lock().next_end_ms().unwrap_or(u64::MAX);
        self.calm_until_ms.store(next, Ordering::Relaxed);
    }

    /// When it was used last.
    pub fn used_ms(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }
}
