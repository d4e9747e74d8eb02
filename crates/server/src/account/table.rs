//! The table of accounts in memory: sharded, loaded at first need, with a bounded number of accounts nobody is connected to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::BareJid;
use tercet_store::{Store, StoreError};

use super::{ACCOUNT, Account};
use crate::module::{SlotDef, Slots};
use crate::roster::Roster;

const SHARDS: usize = 64;
/// Names without an account that a shard remembers.
const ABSENT: usize = 32;

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
    /// Held while what is kept of an account's clients is read and changed.
    clients: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Live {
    accounts: HashMap<BareJid, Arc<Account>>,
    /// Accounts that had no session when they were put here, each once, oldest first.
    idle: VecDeque<BareJid>,
    absent: Absent,
}

/// Names that were asked for of late and have no account, so that asking again takes no longer than for one that has: promise 6
/// of the bad-input list.
#[derive(Default)]
struct Absent {
    names: HashSet<BareJid>,
    /// Oldest first; may have names that are not in the set any more.
    order: VecDeque<BareJid>,
}

impl Absent {
    fn note(&mut self, bare: &BareJid) {
        if !self.names.insert(bare.clone()) {
            return;
        }
        self.order.push_back(bare.clone());
        if self.order.len() > ABSENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(oldest.as_str());
        }
    }
}

/// Where an account stands in its shard's queue of idle ones.
#[derive(Debug, Default)]
pub(crate) struct Queued(AtomicU8);

impl Queued {
    const NOT: u8 = 0;
    const ONCE: u8 = 1;
    /// It was used since it was queued, and is passed over once.
    const AGAIN: u8 = 2;

    /// Notes its use; true if it has to be put into the queue.
    fn enter(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            Self::NOT => {
                self.0.store(Self::ONCE, Ordering::Relaxed);
                true
            }
            _ => {
                self.0.store(Self::AGAIN, Ordering::Relaxed);
                false
            }
        }
    }

    /// At the queue's front: true if it goes to the end once more.
    fn passes(&self) -> bool {
        self.0
            .compare_exchange(
                Self::AGAIN,
                Self::ONCE,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    fn leave(&self) {
        self.0.store(Self::NOT, Ordering::Relaxed);
    }
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
        if shard.lock().absent.names.contains(bare.as_str()) {
            return Ok(None);
        }
        if store.get(&ACCOUNT, bare.as_str(), "").await?.is_none() {
            shard.lock().absent.note(bare);
            return Ok(None);
        }
        // Both are under way at once.
        let roster = Roster::load(store, bare);
        let slots = Slots::load(slots, store, bare).await?;
        let roster = roster.await?;
        let account = Arc::new(Account::new(bare.clone(), roster, slots));
        let mut live = shard.lock();
        live.accounts.insert(bare.clone(), account.clone());
        live.retire(bare, self.idle_per_shard);
        Ok(Some(account))
    }

    /// To be held while the account is made: until then nobody finds out that there is none.
    pub(crate) async fn making(&self, bare: &BareJid) -> tokio::sync::MutexGuard<'_, ()> {
        let shard = self.shard(bare.as_str());
        let alone = shard.loading.lock().await;
        shard.lock().absent.names.remove(bare.as_str());
        alone
    }

    /// To be held while what is kept of the clients of the account `bare` is read and changed.
    pub(crate) async fn alone(&self, bare: &str) -> tokio::sync::MutexGuard<'_, ()> {
        self.shard(bare).clients.lock().await
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
    /// Queues an account for eviction, and evicts those at the front that nobody uses or has used of late while there are
    /// more than `keep`.
    fn retire(&mut self, bare: &BareJid, keep: usize) {
        if let Some(account) = self.accounts.get(bare.as_str())
            && account.queued().enter()
        {
            self.idle.push_back(bare.clone());
        }
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
                account.queued().leave();
            } else if account.queued().passes() || Arc::strong_count(account) > 1 {
                self.idle.push_back(oldest);
            } else {
                self.accounts.remove(oldest.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_store::Batch;

    fn account(name: &str) -> (BareJid, Arc<Account>) {
        let jid = BareJid::parse(&format!("{name}@example.org")).unwrap();
        let account = Account::new(jid.clone(), Roster::default(), Slots::default());
        (jid, Arc::new(account))
    }

    fn names(live: &Live) -> Vec<&str> {
        let mut names: Vec<_> = live.accounts.keys().filter_map(|jid| jid.local()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn an_account_that_comes_and_goes_is_queued_once_and_stays() {
        let mut live = Live::default();
        for name in ["a", "b", "c"] {
            let (jid, account) = account(name);
            live.accounts.insert(jid, account);
        }
        let [a, b, c] = ["a", "b", "c"].map(|name| account(name).0);
        for _ in 0..100 {
            live.retire(&a, 2);
        }
        assert_eq!(live.idle.len(), 1);
        live.retire(&b, 2);
        live.retire(&c, 2);
        // `a` was there first, but was used since.
        assert_eq!(names(&live), ["a", "c"]);
        assert_eq!(live.idle.len(), 2);
    }

    #[test]
    fn accounts_in_use_are_not_evicted() {
        let mut live = Live::default();
        let (jid, used) = account("used");
        live.accounts.insert(jid.clone(), used.clone());
        live.retire(&jid, 0);
        assert_eq!(names(&live), ["used"]);
        drop(used);
        live.retire(&jid, 0);
        live.retire(&jid, 0);
        // Each call counts as a use; another account's turn finds it unused.
        let (other, _) = account("other");
        live.retire(&other, 0);
        assert_eq!(names(&live), [""; 0]);
    }

    #[tokio::test]
    async fn an_unknown_name_is_looked_up_once_and_found_when_it_is_made() {
        let store = Store::memory(crate::KINDS);
        let table = AccountTable::new(64);
        let name = BareJid::parse("juliet@example.org").unwrap();
        assert!(table.load(&name, &store, &[]).await.unwrap().is_none());
        let noted = |table: &AccountTable| {
            let live = table.shard(name.as_str()).lock();
            live.absent.names.contains(&name)
        };
        assert!(noted(&table));

        let making = table.making(&name).await;
        let mut batch = Batch::new();
        batch.put(&ACCOUNT, name.as_str(), "", *b"record");
        store.commit(batch).await.unwrap();
        drop(making);
        assert!(!noted(&table));
        assert!(table.load(&name, &store, &[]).await.unwrap().is_some());
    }

    #[test]
    fn unknown_names_are_remembered_within_a_bound() {
        let mut absent = Absent::default();
        for n in 0..1000 {
            absent.note(&account(&format!("n{n}")).0);
            absent.note(&account("again").0);
            absent.names.remove(account(&format!("n{n}")).0.as_str());
        }
        assert!(absent.names.len() <= ABSENT && absent.order.len() <= ABSENT);
    }
}
