//! XEP-0012 Last Activity 2.0. Gaps: none known.
//!
//! Only who may see an account's presence learns when its user was last here; everybody else gets the same `forbidden`,
//! whether there is such an account or not.

use tercet_core::{BareJid, Stanza, StanzaError, XmlWriter, ns};
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, OnSession, Registrar, Reply, SessionCx, Target,
    Xep, xep,
};
use tercet_server::{HostInfo, Server, empty_payload, store_failure};
use tercet_store::{Batch, Kind, Owner};

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
        let (at, status) = last_seen(cx.server, account.jid()).await?;
        Ok(answer(cx.server.now_ms().saturating_sub(at), &status))
    }

    fn absent(&self) -> StanzaError {
        StanzaError::forbidden()
    }
}

impl OnSession for Last {
    async fn available(&self, _: SessionCx<'_>) {}

    async fn gone(&self, cx: SessionCx<'_>, presence: &Stanza) {
        let status = presence
            .child("status", ns::CLIENT)
            .map(|s| s.parse().root().text().into_owned());
        let mut value = cx.server.now_ms().to_be_bytes().to_vec();
        value.extend_from_slice(status.unwrap_or_default().as_bytes());
        let account = cx.session.account();
        if account.lock().removed {
            return;
        }
        let mut batch = Batch::new();
        batch.put(&LAST, account.jid().as_str(), "", value);
        if let Err(error) = cx.server.store().commit(batch).await {
            tracing::warn!(%error, "the time of a logout was not kept");
        }
    }
}

/// When the user was last here, in milliseconds since 1970, with the last status; for who never was, when the account was made.
async fn last_seen(server: &Server, account: &BareJid) -> Result<(u64, String), StanzaError> {
    let kept = server
        .store()
        .get(&LAST, account.as_str(), "")
        .await
        .map_err(|e| store_failure(&e))?;
    if let Some((at, status)) = kept.as_deref().and_then(|v| v.split_first_chunk()) {
        return Ok((
            u64::from_be_bytes(*at),
            String::from_utf8_lossy(status).into_owned(),
        ));
    }
    let record = server.account_record(account).await?;
    Ok((record.map_or(0, |r| r.created_ms), String::new()))
}

fn answer(ms: u64, status: &str) -> Reply {
    let mut w = XmlWriter::new();
    w.start("query")
        .attr("xmlns", NS)
        .attr("seconds", &(ms / 1000).to_string());
    w.text(status).end();
    Reply::Payload(w.finish())
}
