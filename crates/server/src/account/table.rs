//! The table of accounts in memory: sharded, loaded at first need, with a bounded number of accounts nobody is connected to.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::BareJid;
use tercet_store::{Store, StoreError};

use super::{ACCOUNT, Account};
use crate::module::{SlotDef, Slots};
use crate::roster::Roster;

const SHARDS: usize = 64;

/// Accounts by bare JID.
pub(crate) struct AccountTable {
    hasher: RandomState,
    shards: Box<[Shard]>,
    idle_per_shard: usize,
}

#[derive(Default)]
struct Shard {
    live: Mutex<Live>,
    /// Held while an account of the shard is loaded, so that nobody loads it twice.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Live {
    accounts: HashMap<BareJid, Arc<Account>>,
    /// Accounts that had no session when they were put here, oldest first.
    idle: VecDeque<BareJid>,
}

impl AccountTable {
    /// A table that keeps about `idle` accounts without sessions.
    pub(crate) fn new(idle: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        AccountTable {
            hasher: RandomState::new(),
            shards,
            idle_per_shard: idle.div_ceil(SHARDS),
        }
    }

    /// The account if it is in memory.
    pub(crate) fn get(&self, bare: &str) -> Option<Arc<Account>> {
        self.shard(bare).lock().accounts.get(bare).cloned()
    }

    /// The account, loaded if need be; `None` if there is none of that name.
    pub(crate) async fn load(
        &self,
        bare: &BareJid,
        store: &Store,
        slots: &[SlotDef],
    ) -> Result<Option<Arc<Account>>, StoreError> {
        let shard = self.shard(bare.as_str());
        let _alone = shard.loading.lock().await;
        if let Some(account) = shard.lock().accounts.get(bare.as_str()) {
            return Ok(Some(account.clone()));
        }
        if store.get(&ACCOUNT, bare.as_str(), "").await?.is_none() {
            return Ok(None);
        }
        let roster = Roster::load(store, bare).await?;
        let slots = Slots::load(slots, store, bare).await?;
        let account = Arc::new(Account::new(bare.clone(), roster, slots));
        let mut live = shard.lock();
        live.accounts.insert(bare.clone(), account.clone());
        live.retire(bare, self.idle_per_shard);
        Ok(Some(account))
    }

    /// Notes that the account has no session any more.
    pub(crate) fn idle(&self, bare: &BareJid) {
        self.shard(bare.as_str())
            .lock()
            .retire(bare, self.idle_per_shard);
    }

    /// Forgets the account.
    pub(crate) fn remove(&self, bare: &str) {
        self.shard(bare).lock().accounts.remove(bare);
    }

    /// All accounts that are in memory, shard by shard.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Account>> {
        self.shards
            .iter()
            .flat_map(|s| s.lock().accounts.values().cloned().collect::<Vec<_>>())
    }

    fn shard(&self, bare: &str) -> &Shard {
        // The cast may cut the hash; only its low bits are used.
        &self.shards[self.hasher.hash_one(bare) as usize % SHARDS]
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Queues an account for eviction, and evicts the oldest that nobody uses while there are more than `keep`.
    fn retire(&mut self, bare: &BareJid, keep: usize) {
        self.idle.push_back(bare.clone());
        let mut looks = self.idle.len().min(8);
        while self.idle.len() > keep && looks > 0 {
            looks -= 1;
            let Some(oldest) = self.idle.pop_front() else {
                return;
            };
            let Some(account) = self.accounts.get(oldest.as_str()) else {
                continue;
            };
            if !account.lock().resources.is_empty() {
                // It will be queued again when its last session ends.
                continue;
            }
            if Arc::strong_count(account) == 1 {
                self.accounts.remove(oldest.as_str());
            } else {
                self.idle.push_back(oldest);
            }
        }
    }
}
