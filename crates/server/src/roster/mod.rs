//! The roster (RFC 6121 §2): a user's contacts, kept in the account's live state and in the store.

mod item;
mod subscription;

pub use item::{Item, ItemError, ROSTER, ROSTER_VERSION};
pub use subscription::{Event, Inbound, Outbound, Subscription};

use std::collections::HashMap;
use std::future::Future;

use tercet_core::BareJid;
use tercet_store::{Batch, Store, StoreError};

/// The record key under which the roster's version stands.
const VERSION_KEY: &str = "version";

/// One account's contacts. Entries that are only a pending request are kept here but are not part of what clients see.
#[derive(Debug, Default)]
pub struct Roster {
    items: HashMap<BareJid, Item>,
    version: u64,
}

impl Roster {
    /// Reads the roster of `owner`; the store is asked by the call. Items that can't be read any more are logged and left out.
    pub fn load(
        store: &Store,
        owner: &BareJid,
    ) -> impl Future<Output = Result<Roster, StoreError>> + Send + use<> {
        let version = store.get(&ROSTER_VERSION, owner.as_str(), VERSION_KEY);
        let items = store.list(&ROSTER, owner.as_str());
        let owner = owner.clone();
        async move {
            let version = version
                .await?
                .and_then(|v| v.try_into().ok())
                .map_or(0, u64::from_be_bytes);
            let mut contacts = HashMap::new();
            for (key, value) in items.await? {
                match (BareJid::parse(&key), Item::from_bytes(&value)) {
                    (Ok(jid), Some(item)) => drop(contacts.insert(jid, item)),
                    _ => {
                        tracing::error!(%owner, item = ?key, "a roster item cannot be read and is left out")
                    }
                }
            }
            Ok(Roster {
                items: contacts,
                version,
            })
        }
    }

    /// The version that RFC 6121 §2.6 hands to clients. It grows with each change and is never used twice.
    pub fn version(&self) -> String {
        self.version.to_string()
    }

    /// The entry for `jid`, also if it is only a pending request.
    pub fn get(&self, jid: &str) -> Option<&Item> {
        self.items.get(jid)
    }

    /// The state towards `jid`; the default state for strangers.
    pub fn subscription(&self, jid: &str) -> Subscription {
        self.items
            .get(jid)
            .map(|i| i.subscription)
            .unwrap_or_default()
    }

    /// What clients see: every entry that is more than a pending request.
    pub fn visible(&self) -> impl Iterator<Item = (&BareJid, &Item)> {
        self.items.iter().filter(|(_, item)| item.in_roster)
    }

    /// How many entries are no more than requests that wait.
    pub fn strangers(&self) -> usize {
        let items = self.items.values();
        items.filter(|i| i.subscription.is_only_pending()).count()
    }

    /// How many entries there are, pending requests included.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The contacts who receive this user's presence.
    pub fn subscribers(&self) -> impl Iterator<Item = &BareJid> {
        self.items
            .iter()
            .filter(|(_, i)| i.subscription.from)
            .map(|(jid, _)| jid)
    }

    /// The contacts whose presence this user receives.
    pub fn subscriptions(&self) -> impl Iterator<Item = &BareJid> {
        self.items
            .iter()
            .filter(|(_, i)| i.subscription.to)
            .map(|(jid, _)| jid)
    }

    /// The contacts whose presence this user has asked for, without an answer so far.
    pub fn asked(&self) -> impl Iterator<Item = &BareJid> {
        self.items
            .iter()
            .filter(|(_, i)| i.subscription.ask)
            .map(|(jid, _)| jid)
    }

    /// The requests that wait for the user's answer: the presence stanzas as they came.
    pub fn pending_requests(&self) -> impl Iterator<Item = &[u8]> {
        self.items
            .values()
            .filter(|i| i.subscription.pending)
            .filter_map(|i| i.request.as_deref())
    }

    /// Replaces the entry for `jid` and adds the durable form of the change to `batch`. An entry that says nothing is removed.
    pub fn set(&mut self, owner: &BareJid, jid: &BareJid, item: Item, batch: &mut Batch) {
        if item.is_void() {
            return self.remove(owner, jid, batch);
        }
        batch.put(&ROSTER, owner.as_str(), jid.as_str(), item.to_bytes());
        self.items.insert(jid.clone(), item);
        self.advance(owner, batch);
    }

    /// Removes the entry for `jid`, here and in `batch`.
    pub fn remove(&mut self, owner: &BareJid, jid: &BareJid, batch: &mut Batch) {
        batch.delete(&ROSTER, owner.as_str(), jid.as_str());
        self.items.remove(jid);
        self.advance(owner, batch);
    }

    fn advance(&mut self, owner: &BareJid, batch: &mut Batch) {
        self.version += 1;
        batch.put(
            &ROSTER_VERSION,
            owner.as_str(),
            VERSION_KEY,
            self.version.to_be_bytes().to_vec(),
        );
    }
}
