//! The nodes of one owner, or of one service, that are in memory: read at need, let go when nobody has used them for a while.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_server::module::{Slot, SlotFuture};
use tercet_server::{Routed, Server};
use tercet_store::{Store, StoreError};

use super::node::{Node, State};
use super::pep::Remotes;
use super::records::{self, Kinds};

/// How long an unused node stays in memory, in milliseconds.
const IDLE_MS: u64 = 600_000;
/// Nodes that are read from the store at a time.
const LANES: usize = 8;
/// Nodes in memory beyond which those that nobody uses right now go at once.
const MOST: usize = 20_000;

/// Nodes in memory.
#[derive(Default)]
pub struct Shelf {
    nodes: Mutex<HashMap<Box<str>, Arc<Node>>>,
    /// Held while a node is read or made, so that there is only one of each name.
    loading: [tokio::sync::Mutex<()>; LANES],
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node of that name, read from the store if need be; `None` if there is none.
    pub async fn find(
        self: &Arc<Self>,
        server: &Arc<Server>,
        kinds: &'static Kinds,
        owner: &str,
        name: &str,
    ) -> Result<Option<Arc<Node>>, StoreError> {
        if let Some(node) = self.in_memory(server, name) {
            return Ok(Some(node));
        }
        let _alone = self.making(name).await;
        if let Some(node) = self.in_memory(server, name) {
            return Ok(Some(node));
        }
        let state = records::load(server.store(), kinds, owner, name).await?;
        Ok(state.map(|state| self.put(server, name, state)))
    }

    fn in_memory(&self, server: &Server, name: &str) -> Option<Arc<Node>> {
        let node = self.lock().get(name).cloned()?;
        node.touch(server.now_ms());
        Some(node)
    }

    /// To be held while a node is made.
    pub async fn making(&self, name: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        // The cast may cut the hash; only its low bits are used.
        self.loading[hasher.finish() as usize % LANES].lock().await
    }

    /// Has the node in memory from here on; the caller is [`Shelf::making`] it.
    pub fn put(self: &Arc<Self>, server: &Server, name: &str, state: State) -> Arc<Node> {
        let node = Arc::new(Node::new(name, state));
        node.touch(server.now_ms());
        let mut nodes = self.lock();
        if nodes.is_empty() {
            self.look_later(server);
        }
        if nodes.len() >= MOST {
            nodes.retain(|_, node| Arc::strong_count(node) > 1);
        }
        nodes.insert(name.into(), node.clone());
        node
    }

    /// Forgets a node that was deleted.
    pub fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    fn look_later(self: &Arc<Self>, server: &Server) {
        let shelf = Arc::downgrade(self);
        let at = server.now_ms().saturating_add(IDLE_MS);
        server.at(at, move |server| {
            if let Some(shelf) = shelf.upgrade() {
                let since = server.now_ms().saturating_sub(IDLE_MS);
                let mut nodes = shelf.lock();
                // Who holds a node uses it; nobody gets it but under this lock.
                nodes.retain(|_, node| Arc::strong_count(node) > 1 || node.used_ms() > since);
                if nodes.is_empty() {
                    nodes.shrink_to_fit();
                } else {
                    shelf.look_later(server);
                }
            }
            Routed::Done
        });
    }
}

/// The nodes of one account, as long as the account is in memory.
#[derive(Default)]
pub struct Personal {
    /// Those in memory.
    pub shelf: Arc<Shelf>,
    /// The names of all, with the bytes of their items, once somebody has asked.
    names: tokio::sync::OnceCell<Mutex<Names>>,
    /// What contacts on other servers want to hear of.
    pub remotes: Remotes,
    /// Held while bookmarks of one format are made into the other.
    pub bookmarks: tokio::sync::Mutex<()>,
}

/// Names of nodes, with the bytes of their items.
pub type Names = BTreeMap<Box<str>, u64>;

impl Slot for Personal {
    fn load(_: &Store, _: &tercet_core::BareJid) -> SlotFuture<Self> {
        // Most accounts are loaded for something else.
        Box::pin(std::future::ready(Ok(Personal::default())))
    }
}

impl Personal {
    /// The names of the account's nodes, which the caller keeps in step with the store.
    pub async fn names(
        &self,
        store: &Store,
        kinds: &'static Kinds,
        owner: &str,
    ) -> Result<MutexGuard<'_, Names>, StoreError> {
        let names = self.names.get_or_try_init(|| async {
            let nodes = store.list(&kinds.node, owner).await?;
            let bytes = |record: &[u8]| records::read_node(record).map_or(0, |(_, bytes)| bytes);
            let names = nodes
                .into_iter()
                .map(|(name, record)| (name.into(), bytes(&record)));
            Ok::<_, StoreError>(Mutex::new(names.collect()))
        });
        let names = names.await?;
        Ok(names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
