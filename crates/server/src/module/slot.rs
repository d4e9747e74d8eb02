//! Account data that stages need, loaded with the account.

use std::any::{Any, TypeId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tercet_core::BareJid;
use tercet_store::{Store, StoreError};

/// A future that loads a slot.
pub type SlotFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// A module's view of one account, in memory as long as the account is: loaded before any stage sees a stanza of the account,
/// also while its user is away. It keeps itself in step with the store: its module changes both.
pub trait Slot: Send + Sync + Sized + 'static {
    /// Reads it for `account`. The store should be asked by the call, not by the future's first poll, so that all slots are read
    /// at once.
    fn load(store: &Store, account: &BareJid) -> SlotFuture<Self>;
}

type Loaded = Arc<dyn Any + Send + Sync>;

/// How to load one type of slot.
#[derive(Clone, Copy)]
pub(crate) struct SlotDef {
    id: TypeId,
    load: fn(&Store, &BareJid) -> SlotFuture<Loaded>,
}

impl SlotDef {
    pub(crate) fn of<S: Slot>() -> SlotDef {
        SlotDef {
            id: TypeId::of::<S>(),
            load: |store, account| {
                let slot = S::load(store, account);
                Box::pin(async move { Ok(Arc::new(slot.await?) as Loaded) })
            },
        }
    }

    pub(crate) fn id(&self) -> TypeId {
        self.id
    }
}

/// The slots of one account.
#[derive(Default)]
pub(crate) struct Slots(Box<[(TypeId, Loaded)]>);

impl Slots {
    pub(crate) async fn load(
        defs: &[SlotDef],
        store: &Store,
        account: &BareJid,
    ) -> Result<Slots, StoreError> {
        // All are under way before the first is awaited.
        let loading: Vec<_> = defs
            .iter()
            .map(|def| (def.id, (def.load)(store, account)))
            .collect();
        let mut slots = Vec::with_capacity(loading.len());
        for (id, slot) in loading {
            slots.push((id, slot.await?));
        }
        Ok(Slots(slots.into()))
    }

    /// The slot of type `S`, if its module is on for the account's host.
    pub(crate) fn get<S: Slot>(&self) -> Option<&S> {
        let id = TypeId::of::<S>();
        self.0
            .iter()
            .find(|(slot, _)| *slot == id)
            .and_then(|(_, slot)| slot.downcast_ref())
    }
}
