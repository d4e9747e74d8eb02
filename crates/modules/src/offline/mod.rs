//! XEP-0160 Offline Messages 1.0.1, and the hints of XEP-0334 1.0.0 that concern it. Gaps: XEP-0013 is not offered.
//!
//! A message that nobody could receive is kept with the time at which it came, and handed to the first resource that takes
//! messages. It leaves the store only after the bytes have been written to the client's connection: when the server is killed in
//! between it comes again, but it is never lost.

mod deliver;
mod rules;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tercet_core::{BareJid, Stanza, StanzaError};
use tercet_server::HostInfo;
use tercet_server::module::{
    Coverage, Effect, Flow, Kinds, Module, OnSession, OnStanza, Registrar, SessionCx, Side, Slot,
    SlotFuture, Stage, StanzaCx, Xep, xep,
};
use tercet_store::{Batch, Kind, LogSize, Owner, Store};

use crate::delay;

/// What waits for its recipient.
pub static OFFLINE: Kind = Kind {
    name: "offline",
    owner: Owner::Account,
    what: "messages that came while the user was away",
};

/// A record of no meaning, of each host: see [`OnStanza::absent`] below.
pub static ABSENT: Kind = Kind {
    name: "offline-absent",
    owner: Owner::Host,
    what: "nothing: it is written for each message to a name without an account, so that such names take as long as others",
};

/// How much waits for one account.
pub struct Waiting {
    size: Mutex<LogSize>,
    /// A resource is being handed what waits; one is enough.
    delivering: AtomicBool,
}

impl Slot for Waiting {
    fn load(store: &Store, account: &BareJid) -> SlotFuture<Self> {
        let size = store.log_size(&OFFLINE, account.as_str());
        Box::pin(async move {
            Ok(Waiting {
                size: Mutex::new(size.await?),
                delivering: AtomicBool::new(false),
            })
        })
    }
}

impl Waiting {
    fn size(&self) -> MutexGuard<'_, LogSize> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets `what`, which waits no more.
    fn subtract(&self, what: LogSize) {
        let mut size = self.size();
        size.entries = size.entries.saturating_sub(what.entries);
        size.bytes = size.bytes.saturating_sub(what.bytes);
    }
}

/// Keeps messages for those who are away.
pub struct Offline {
    domain: String,
    limit: LogSize,
    /// Counts what is written for names without an account, so that it differs: a store may skip writes that change nothing.
    absent: AtomicU64,
}

impl Module for Offline {
    const NAME: &'static str = "offline";
    const XEPS: &'static [Xep] = &[
        xep(160, "1.0.1", Coverage::Complete),
        xep(
            334,
            "1.0.0",
            Coverage::Partial("no-store and store; no other hint concerns what is implemented"),
        ),
    ];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        Offline {
            domain: host.domain.clone(),
            limit: LogSize {
                entries: host.limits.offline_messages,
                bytes: host.limits.offline_bytes,
            },
            absent: AtomicU64::new(0),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.needs::<Waiting>();
        r.on(Kinds::MESSAGE, Side::Recipient, Stage::Fallback)
            .feature("msgoffline");
        r.sessions().silent("it is the other half of msgoffline");
    }
}

impl OnStanza for Offline {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        let Some(waiting) = cx.account.slot::<Waiting>() else {
            return Flow::Continue;
        };
        if !rules::is_kept(cx.stanza) {
            // To a name without an account it would have come to nothing as well.
            return Flow::Drop;
        }
        let mut value = Vec::new();
        cx.write(Side::Recipient, None, &mut value);
        let now = cx.server.now_ms();
        // XEP-0160 §2: the time at which it was kept.
        // Of what a session did not acknowledge, the time at which it was for that session.
        if !delay::is_stamped(cx.stanza, &self.domain) {
            delay::stamp(&mut value, &self.domain, now, "Offline storage");
        }
        let mut size = waiting.size();
        let bytes = size.bytes + value.len() as u64;
        if size.entries >= self.limit.entries || bytes > self.limit.bytes {
            // XEP-0160 §2: the queue is full.
            return Flow::Bounce(StanzaError::service_unavailable());
        }
        size.entries += 1;
        size.bytes = bytes;
        let one = LogSize {
            entries: 1,
            bytes: value.len() as u64,
        };
        let mut batch = Batch::new();
        batch.append(&OFFLINE, cx.account.jid().as_str(), now, value);
        let account = cx.account.clone();
        // Promise 15 of the bad-input list: a full disk leaves nothing behind, not even in the count.
        let undo = Box::new(move || {
            if let Some(waiting) = account.slot::<Waiting>() {
                waiting.subtract(one);
            }
        });
        cx.effects.push(Effect::Commit { batch, undo });
        Flow::Handled
    }

    fn absent(&self, stanza: &Stanza) -> Option<Batch> {
        // Promise 6 of the bad-input list: unknown names take the same as known ones.
        rules::is_kept(stanza).then(|| {
            let mut batch = Batch::new();
            let mut value = vec![0; stanza.byte_len()];
            let count = self.absent.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            value.iter_mut().zip(count).for_each(|(v, c)| *v = c);
            batch.put(&ABSENT, &self.domain, "", value);
            batch
        })
    }
}

impl OnSession for Offline {
    async fn available(&self, cx: SessionCx<'_>) {
        let Some(waiting) = cx.session.account().slot::<Waiting>() else {
            return;
        };
        if waiting.size().entries == 0 || waiting.delivering.swap(true, Ordering::AcqRel) {
            return;
        }
        let _turn = Turn(waiting);
        if let Err(error) = deliver::deliver(cx.server, cx.session, waiting).await {
            tracing::error!(%error, "messages that wait for their recipient could not be handed over");
        }
    }
}

/// Somebody else may deliver once this is gone.
struct Turn<'a>(&'a Waiting);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.delivering.store(false, Ordering::Release);
    }
}
