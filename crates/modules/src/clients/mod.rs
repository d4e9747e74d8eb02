//! XEP-0494 Client Access Management 0.1.0: a user sees which programs the account is used with, and takes the access of one away.
//! Known are those that say who they are when they log in (XEP-0388 §2.3). Gaps: no permissions below all, and no grants.

use tercet_core::{ErrorType, StanzaError, XmlWriter, time};
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Payload, Registrar, Reply, Target, Xep, xep,
};
use tercet_server::{ClientRecord, HostInfo, Revocation, empty_payload};

const NS: &str = "urn:xmpp:cam:0";

empty_payload!(
    /// `<list/>`
    List, "list", NS
);

/// `<revoke/>`: the access of which client.
pub struct Revoke {
    id: String,
}

impl Payload for Revoke {
    const NS: &'static str = NS;
    const NAME: &'static str = "revoke";

    fn parse(element: tercet_core::Element<'_>) -> Result<Self, StanzaError> {
        let id = element.attr("id").ok_or_else(StanzaError::bad_request)?;
        Ok(Revoke {
            id: id.into_owned(),
        })
    }
}

/// Shows users their clients.
pub struct Clients;

impl Module for Clients {
    const NAME: &'static str = "clients";
    const XEPS: &'static [Xep] = &[xep(
        494,
        "0.1.0",
        Coverage::Partial("clients that log in by XEP-0388 with an id"),
    )];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Clients
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<List>(IqKind::Get, Target::Own).feature(NS);
        r.iq::<Revoke>(IqKind::Set, Target::Own).feature(NS);
    }
}

impl OnIq<List> for Clients {
    async fn on_iq(&self, cx: IqCx<'_>, _: List) -> IqResult {
        let account = cx.require_account()?;
        let clients = cx.server.clients(account.jid()).await;
        let clients = clients.map_err(StanzaError::from)?;
        let connected: Vec<_> = {
            let state = account.lock();
            let sessions = state.resources.iter().map(|r| &r.session);
            sessions
                .filter_map(|session| session.client().map(str::to_owned))
                .collect()
        };
        let now = cx.server.now_ms();
        let mut w = XmlWriter::new();
        w.start("clients").attr("xmlns", NS);
        for (id, client) in &clients {
            write(id, client, connected.contains(id), now, &mut w);
        }
        w.end();
        Ok(Reply::Payload(w.finish()))
    }
}

fn write(id: &str, client: &ClientRecord, connected: bool, now_ms: u64, w: &mut XmlWriter) {
    // The clock's range is far beyond.
    let stamp = |ms| time::format(i64::try_from(ms).unwrap_or(i64::MAX));
    w.start("client")
        .attr("connected", if connected { "true" } else { "false" })
        .attr("id", id)
        .attr("type", "session");
    w.text_element("first-seen", &stamp(client.first_ms));
    let last = if connected { now_ms } else { client.last_ms };
    w.text_element("last-seen", &stamp(last));
    w.start("auth");
    if client.password {
        w.leaf("password", &[]);
    }
    if client.has_token(now_ms) {
        w.leaf("fast", &[]);
    }
    w.end();
    w.leaf("permission", &[("status", "unrestricted")]);
    w.start("user-agent");
    for (name, text) in [("software", &client.software), ("device", &client.device)] {
        if let Some(text) = text {
            w.text_element(name, text);
        }
    }
    w.end().end();
}

impl OnIq<Revoke> for Clients {
    async fn on_iq(&self, cx: IqCx<'_>, revoke: Revoke) -> IqResult {
        let account = cx.require_account()?.jid();
        let revoked = cx.server.revoke_client(account, &revoke.id).await;
        match revoked.map_err(StanzaError::from)? {
            Revocation::Done => Ok(Reply::Empty),
            Revocation::Unknown => Err(StanzaError::item_not_found()),
            // XEP-0494 §3.2: only another password keeps it out.
            Revocation::KnowsPassword => {
                let mut w = XmlWriter::new();
                w.leaf("password-reset-required", &[("xmlns", NS)]);
                Err(StanzaError::service_unavailable()
                    .kind(ErrorType::Cancel)
                    .app(w.finish()))
            }
        }
    }
}
