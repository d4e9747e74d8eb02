//! The devices of one account, in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tercet_core::{BareJid, Jid};
use tercet_server::module::{Slot, SlotFuture};
use tercet_server::{Account, AccountState, Session};
use tercet_store::{Batch, Store};

use super::device::Device;
use super::xml::{Enable, Summary};
use super::{DEVICES, PUSH};

/// Whom an account wants to be woken.
pub struct Devices(Mutex<Vec<Entry>>);

/// A device, and what is under way for it.
pub(super) struct Entry {
    pub(super) device: Device,
    pub(super) state: State,
    /// What the next notification says.
    pub(super) summary: Summary,
}

/// What is under way for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    /// A notification goes out soon.
    Due,
    /// A notification has gone out; nothing has come of it so far.
    Asked {
        /// Something has happened since.
        again: bool,
    },
}

/// More devices than an account may have.
pub(super) struct TooMany;

impl Slot for Devices {
    fn load(store: &Store, account: &BareJid) -> SlotFuture<Self> {
        let records = store.list(&PUSH, account.as_str());
        Box::pin(async move {
            let records = records.await?.into_iter();
            let devices = records.filter_map(|(id, value)| Device::from_bytes(id, &value));
            Ok(Devices(Mutex::new(devices.map(Entry::new).collect())))
        })
    }
}

impl Entry {
    fn new(device: Device) -> Self {
        Entry {
            device,
            state: State::Idle,
            summary: Summary::default(),
        }
    }

    /// Whether the device itself is connected, so that nobody needs to wake it: the session that asked for it, or one in its
    /// place.
    pub(super) fn is_live(&self, state: &AccountState) -> bool {
        state
            .resource(&self.device.resource)
            .is_some_and(|r| is_live(&r.session))
    }
}

/// Whether the session's client hears what is sent now.
fn is_live(session: &Session) -> bool {
    session.outbox().is_open() && !session.is_hibernating()
}

impl Devices {
    /// Takes a device in, or what is new of one that is known. Returns the write that keeps it.
    pub(super) fn enable(
        &self,
        account: &Account,
        resource: &str,
        enable: Enable,
        id: String,
        now_ms: u64,
    ) -> Result<Batch, TooMany> {
        let state = account.lock();
        let mut entries = self.lock();
        let mut batch = Batch::new();
        let owner = account.jid().as_str();
        let known = entries
            .iter()
            .position(|e| e.device.service == enable.service && e.device.node == enable.node);
        let mut entry = match known {
            Some(place) => entries.remove(place),
            None => {
                if entries.len() >= DEVICES {
                    // One that has been away for longest gives way: its app was removed, most likely.
                    let oldest = (0..entries.len())
                        .filter(|&i| !entries[i].is_live(&state))
                        .min_by_key(|&i| entries[i].device.since_ms)
                        .ok_or(TooMany)?;
                    let oldest = entries.remove(oldest);
                    batch.delete(&PUSH, owner, &oldest.device.id);
                }
                Entry::new(Device {
                    id,
                    service: enable.service,
                    node: enable.node,
                    options: None,
                    resource: String::new(),
                    since_ms: 0,
                    failures: 0,
                    not_before_ms: 0,
                    log: Default::default(),
                })
            }
        };
        // XEP-0357 §5: what the last request says counts.
        entry.device.options = enable.options;
        entry.device.resource = resource.into();
        entry.device.since_ms = now_ms;
        entry.device.failures = 0;
        entry.device.not_before_ms = 0;
        entry.summary = Summary::default();
        entry.device.note(now_ms, "enabled");
        batch.put(&PUSH, owner, &entry.device.id, entry.device.to_bytes());
        entries.push(entry);
        Ok(batch)
    }

    /// Forgets the device of `service` called `node`, or all of `service`. Returns the write that forgets it for good.
    pub(super) fn disable(&self, owner: &str, service: &Jid, node: Option<&str>) -> Batch {
        let mut batch = Batch::new();
        // XEP-0357 §6: with a node that one, without all of the service.
        self.lock().retain(|entry| {
            let meant = entry.device.service == *service
                && (node.is_none() || entry.device.node.as_deref() == node);
            if meant {
                batch.delete(&PUSH, owner, &entry.device.id);
            }
            !meant
        });
        batch
    }

    /// Looks at the devices or changes them. Not to be called with the lock of another account held; the own account's may be.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        work(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
