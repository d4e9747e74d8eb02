//! Requests of components in the name of accounts: to their rosters, and to whomever they might ask.

use std::sync::Arc;

use tercet_core::{Element, Head, Jid, Stanza, StanzaError, XmlWriter, ns};
use tercet_server::module::{IqCx, IqKind, IqResult, Payload, Reply, Taken};
use tercet_server::{Access, Account, Answered, Routed, Server};

use super::{FORWARD, NS, Privilege};
use crate::roster;

/// How long whom a component asks in a user's name may take.
const PATIENCE_MS: u64 = 60_000;

/// The element as a stanza of its own, if it is one of clients.
pub(super) fn stanza(element: Element<'_>) -> Option<Stanza> {
    let mut out = Vec::new();
    element.to_xml(&mut out);
    Stanza::parse(&out).ok()
}

fn allows(access: Access, kind: IqKind) -> bool {
    match kind {
        IqKind::Get => access.get,
        IqKind::Set => access.set,
    }
}

/// XEP-0356 §4.3: a request to an account's roster, as if from its user. Of the contacts at its own domain the component says
/// besides who sees whom: it speaks for them anyway, and gateways bring contacts along who have agreed elsewhere.
pub(super) async fn roster(cx: IqCx<'_>, access: Access) -> IqResult {
    let kind = kind(cx.stanza)?;
    let account = cx.require_account()?;
    // XEP-0356 §4.3: what is not permitted is forbidden.
    if !allows(access, kind) {
        return Err(StanzaError::forbidden());
    }
    let payload = cx.payload().ok_or_else(StanzaError::bad_request)?;
    match kind {
        IqKind::Get => roster::Get::parse(payload.root())?.answer(&account.lock()),
        IqKind::Set => {
            let mut set = roster::Set::parse(payload.root())?;
            let item = payload.root().first_child();
            let subscription = item.and_then(|item| item.attr("subscription"));
            let agreed = match subscription.as_deref() {
                Some("both") => Some((true, true)),
                Some("to") => Some((true, false)),
                Some("from") => Some((false, true)),
                Some("none") => Some((false, false)),
                _ => None,
            };
            let contact = set.contact().clone();
            let agreed = agreed.filter(|_| contact.domain() == cx.from.domain());
            if let Some((to, from)) = agreed {
                set = set.agreed(to, from);
            }
            let result = set.apply(cx.server, account).await?;
            if let Some((_, true)) = agreed {
                show(cx.server, account, &contact);
            }
            Ok(result)
        }
    }
}

/// Shows a contact who is there of the account (RFC 6121 §3.1.5).
fn show(server: &Server, account: &Account, contact: &Jid) {
    for (session, presence) in super::available(account) {
        let mut out = Vec::new();
        let head = Head {
            from: Some(session.as_str()),
            to: Some(contact.as_str()),
            ..Head::default()
        };
        presence.write(&mut out, head);
        server.post(&session, contact, &out);
    }
}

fn kind(request: &Stanza) -> Result<IqKind, StanzaError> {
    let kind = request.iq_type().and_then(IqKind::of);
    kind.ok_or_else(StanzaError::bad_request)
}

impl Privilege {
    /// XEP-0356 §6.3: checks a request in the name of an account, and makes it.
    pub(super) fn privileged<'a>(&self, cx: IqCx<'a>) -> Result<Taken<'a>, StanzaError> {
        let forbidden = StanzaError::forbidden;
        let component = self.component(cx.from).ok_or_else(forbidden)?;
        let account = cx.account.ok_or_else(forbidden)?;
        let payload = cx.payload().ok_or_else(StanzaError::bad_request)?;
        // XEP-0356 §6.3: the inner request is in the namespace of clients.
        let inner = payload.root().child("iq", ns::CLIENT).and_then(stanza);
        let inner = inner.ok_or_else(forbidden)?;
        let kind = kind(&inner).map_err(|_| forbidden())?;
        // XEP-0356 §6.3: both are of the same type.
        if inner.iq_type() != cx.stanza.iq_type() {
            return Err(forbidden());
        }
        // XEP-0356 §6.3: from nobody else than the account.
        if inner
            .from()?
            .is_some_and(|from| from.as_str() != account.jid().as_str())
        {
            return Err(forbidden());
        }
        let asked = inner.payload().filter(|_| inner.children().count() == 1);
        let Some(asked) = asked else {
            return Err(StanzaError::bad_request().text("a request has exactly one payload"));
        };
        // XEP-0356 §6.3: of a namespace and a type that are permitted.
        let permitted = |(ns, access): &(String, Access)| ns == asked.ns() && allows(*access, kind);
        if !component.requests.iter().any(permitted) {
            return Err(forbidden());
        }
        if inner.id().is_none() {
            return Err(StanzaError::bad_request().text("an iq has an id"));
        }
        let mut bytes = Vec::new();
        asked.parse().root().to_xml(&mut bytes);
        let to = inner.to()?.cloned();
        let own = to
            .as_ref()
            .is_none_or(|to| to.as_str() == account.jid().as_str());
        if own {
            let account = account.clone();
            return Ok(Taken::Answer(Box::pin(async move {
                let result = cx.server.ask_own(&account, &inner).await;
                Ok(Reply::Payload(answer(&inner, &account, result)))
            })));
        }
        let to = to.ok_or_else(forbidden)?;
        let made = Made {
            request: cx.stanza.clone(),
            asker: cx.from.clone(),
            inner,
            account: account.clone(),
        };
        cx.server.at(cx.server.now_ms(), move |server| {
            let from = Jid::clone(made.account.jid());
            server.ask(
                kind,
                &from,
                &to,
                &bytes,
                PATIENCE_MS,
                move |server, answered| made.answered(server, answered),
            )
        });
        Ok(Taken::Later)
    }
}

/// A request that was made in the name of an account.
struct Made {
    /// The component's own.
    request: Stanza,
    asker: Jid,
    inner: Stanza,
    account: Arc<Account>,
}

impl Made {
    fn answered(self, server: &Arc<Server>, answered: Answered) -> Routed {
        let result = match answered {
            Answered::Result(stanza) => Ok(match stanza.payload() {
                Some(payload) => {
                    let mut out = Vec::new();
                    payload.parse().root().to_xml(&mut out);
                    Reply::Payload(out)
                }
                None => Reply::Empty,
            }),
            Answered::Error(error) => Err(error),
            Answered::Silence => Err(StanzaError::remote_server_timeout()),
            Answered::Busy => Err(StanzaError::resource_constraint()),
        };
        let payload = answer(&self.inner, &self.account, result);
        let account: &Jid = self.account.jid();
        let reply = Ok(Reply::Payload(payload));
        server.answer_later(&self.request, &self.asker, Some(account), reply);
        Routed::Done
    }
}

/// XEP-0356 §6.3: the answer, result or error, as what is forwarded.
fn answer(inner: &Stanza, account: &Account, result: IqResult) -> Vec<u8> {
    let account = account.jid().as_str();
    let from = inner.to().ok().flatten().map_or(account, |to| to.as_str());
    let kind = if result.is_ok() { "result" } else { "error" };
    let mut w = XmlWriter::new();
    w.start("privilege").attr("xmlns", NS);
    w.start("forwarded").attr("xmlns", FORWARD);
    w.start("iq")
        .attr("xmlns", ns::CLIENT)
        .attr("type", kind)
        .attr("from", from)
        .attr("to", account)
        .opt_attr("id", inner.id().as_deref());
    match &result {
        Ok(Reply::Payload(payload)) => {
            w.raw(payload);
        }
        Ok(Reply::Empty | Reply::Last(_)) => {}
        Err(error) => error.write(&mut w),
    }
    w.end().end().end();
    w.finish()
}
