//! XEP-0012 Last Activity 2.0. Gaps: none known.
//!
//! Only who may see an account's presence learns when its user was last here; everybody else gets the same `forbidden`,
//! whether there is such an account or not.

use std::sync::{Mutex, PoisonError};

use tercet_core::{BareJid, Stanza, StanzaError, XmlWriter, ns};
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, OnSession, Registrar, Reply, SessionCx, Slot,
    SlotFuture, Target, Xep, xep,
};
use tercet_server::{Account, HostInfo, Server, empty_payload, store_failure};
use tercet_store::{Batch, Kind, Owner, Store};

const NS: &str = "jabber:iq:last";

/// When a user was last here, and what the status was.
pub static LAST: Kind = Kind {
    name: "last",
    owner: Owner::Account,
    what: "when the user was last connected, and the last status text",
};

empty_payload!(
    /// `<query/>`
    Query, "query", NS
);

/// When a user has left since the account is in memory: known before the first who is told so can ask, unlike the record.
#[derive(Default)]
struct Left(Mutex<Option<Seen>>);

impl Slot for Left {
    fn load(_: &Store, _: &BareJid) -> SlotFuture<Self> {
        Box::pin(std::future::ready(Ok(Left::default())))
    }
}

impl Left {
    /// The last time; `None` if there was none so far.
    fn get(account: &Account) -> Option<Seen> {
        let left = account.slot::<Left>()?.0.lock();
        left.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A user was here.
#[derive(Clone)]
struct Seen {
    /// Until when, in milliseconds since 1970.
    at_ms: u64,
    /// The last status text.
    status: String,
}

impl Seen {
    fn read(record: &[u8]) -> Option<Seen> {
        let (at, status) = record.split_first_chunk()?;
        Some(Seen {
            at_ms: u64::from_be_bytes(*at),
            status: String::from_utf8_lossy(status).into_owned(),
        })
    }

    fn write(&self) -> Vec<u8> {
        [&self.at_ms.to_be_bytes(), self.status.as_bytes()].concat()
    }
}

/// Answers when the server started and when users were last here.
pub struct Last;

impl Module for Last {
    const NAME: &'static str = "last";
    const XEPS: &'static [Xep] = &[xep(12, "2.0", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Last
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<Query>(IqKind::Get, Target::Host).feature(NS);
        r.iq::<Query>(IqKind::Get, Target::Account).feature(NS);
        r.needs::<Left>();
        r.sessions().silent("it is the other half of the answer");
    }
}

impl OnIq<Query> for Last {
    async fn on_iq(&self, cx: IqCx<'_>, _: Query) -> IqResult {
        let Some(account) = cx.account else {
            // XEP-0012 §5: how long the server has been up.
            return Ok(answer(cx.server.uptime_ms(), ""));
        };
        if !cx.sees_presence() {
            return Err(OnIq::<Query>::absent(self));
        }
        if account.lock().available().next().is_some() {
            // XEP-0012 §3: the user is here.
            return Ok(answer(0, ""));
        }
        let seen = match Left::get(account) {
            Some(left) => left,
            None => last_seen(cx.server, account.jid()).await?,
        };
        let since = cx.server.now_ms().saturating_sub(seen.at_ms);
        Ok(answer(since, &seen.status))
    }

    fn absent(&self) -> StanzaError {
        StanzaError::forbidden()
    }
}

impl OnSession for Last {
    async fn available(&self, _: SessionCx<'_>) {}

    fn leaving(&self, cx: SessionCx<'_>, presence: &Stanza) {
        let status = presence.child("status", ns::CLIENT);
        let status = status.map(|s| s.parse().root().text().into_owned());
        let seen = Seen {
            at_ms: cx.server.now_ms(),
            status: status.unwrap_or_default(),
        };
        if let Some(left) = cx.session.account().slot::<Left>() {
            *left.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        }
    }

    async fn gone(&self, cx: SessionCx<'_>, _: &Stanza) {
        let account = cx.session.account();
        let Some(left) = Left::get(account) else {
            return;
        };
        if account.lock().removed {
            return;
        }
        let mut batch = Batch::new();
        batch.put(&LAST, account.jid().as_str(), "", left.write());
        if let Err(error) = cx.server.store().commit(batch).await {
            tracing::warn!(%error, "the time of a logout was not kept");
        }
    }
}

/// When the user was last here by the record of it; for who never was, when the account was made.
async fn last_seen(server: &Server, account: &BareJid) -> Result<Seen, StanzaError> {
    let kept = server
        .store()
        .get(&LAST, account.as_str(), "")
        .await
        .map_err(|e| store_failure(&e))?;
    if let Some(seen) = kept.as_deref().and_then(Seen::read) {
        return Ok(seen);
    }
    let record = server.account_record(account).await?;
    Ok(Seen {
        at_ms: record.map_or(0, |r| r.created_ms),
        status: String::new(),
    })
}

fn answer(ms: u64, status: &str) -> Reply {
    let mut w = XmlWriter::new();
    w.start("query")
        .attr("xmlns", NS)
        .attr("seconds", &(ms / 1000).to_string());
    w.text(status).end();
    Reply::Payload(w.finish())
}
