//! Owners decide about requests to subscribe by a form in a message (XEP-0060 §8.6).

use std::sync::Arc;

use tercet_core::forms::{self, Field, Form, FormKind};
use tercet_core::{BareJid, Element, Jid, MessageType, Stanza, StanzaError, XmlWriter, ns};
use tercet_server::module::{Effect, EntityCx, Flow, StanzaCx};
use tercet_server::{Account, Routed, Server};

use super::config::SendLast;
use super::node::{Node, Subscribed};
use super::place::Place;
use super::subscribe::{keep, tell_state};
use super::{Core, Service, items, notify};

/// The form type of the question and of its answer.
pub const NS_AUTHORIZATION: &str = "http://jabber.org/protocol/pubsub#subscribe_authorization";

const NODE: &str = "pubsub#node";
const SUBSCRIBER: &str = "pubsub#subscriber_jid";
const ALLOW: &str = "pubsub#allow";

/// An owner's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decision {
    node: String,
    subscriber: Jid,
    allow: bool,
}

/// Asks all owners of a node about somebody who wants to subscribe.
pub fn ask(place: &Place, node: &Node, subscriber: &Jid) {
    let owners: Vec<BareJid> = match &place.account {
        Some(account) => vec![account.jid().clone()],
        None => node.owners(),
    };
    for owner in owners {
        ask_one(place, &node.name, subscriber, &owner);
    }
}

/// Asks one owner.
pub fn ask_one(place: &Place, node: &str, subscriber: &Jid, owner: &Jid) {
    let form = Form::new(NS_AUTHORIZATION)
        .title("Request to subscribe")
        .instructions("Somebody wants to subscribe to a node of yours.")
        .field(Field::text_single(NODE, "Node").value(node))
        .field(Field::jid_single(SUBSCRIBER, "Who").value(subscriber.as_str()))
        .field(Field::boolean(ALLOW, "May subscribe", false));
    let id = super::create::fresh_id(place);
    let mut w = XmlWriter::new();
    w.start("message")
        .attr("xmlns", ns::CLIENT)
        .attr("from", place.jid.as_str())
        .attr("to", owner.as_str())
        .attr("id", &id);
    let text = format!("{subscriber} wants to subscribe to the node {node}.");
    w.text_element("body", &text);
    form.write(&mut w);
    w.end();
    place.server.post(&place.jid, owner, &w.finish());
}

/// The answer in a message; `None`: it is none.
fn decision(stanza: &Stanza) -> Option<Result<Option<Decision>, StanzaError>> {
    if stanza.message_type() == MessageType::Error {
        return None;
    }
    let x = stanza.child("x", forms::NS)?.parse();
    let of_type = |field: Element<'_>| {
        let value = field.children().next();
        field.attr("var").as_deref() == Some(forms::FORM_TYPE)
            && value.is_some_and(|value| value.text() == NS_AUTHORIZATION)
    };
    x.root().children().any(of_type).then(|| {
        let form = Form::parse(x.root())?;
        match form.kind {
            // XEP-0060 §8.6: a form that is cancelled leaves the request as it is.
            FormKind::Cancel => Ok(None),
            FormKind::Submit => read(&form).map(Some),
            _ => Err(StanzaError::bad_request()),
        }
    })
}

fn read(form: &Form) -> Result<Decision, StanzaError> {
    let missing = || StanzaError::bad_request().text("the form is not whole");
    let subscriber = form.value(SUBSCRIBER).ok_or_else(missing)?;
    Ok(Decision {
        node: form.value(NODE).ok_or_else(missing)?.to_owned(),
        subscriber: Jid::parse(subscriber).map_err(|_| StanzaError::bad_request())?,
        // XEP-0060 §8.6: this field says whether.
        allow: form.boolean(ALLOW)?.ok_or_else(missing)?,
    })
}

/// A message to a service: an owner's answer is taken.
pub fn take(cx: &EntityCx<'_>) -> Option<Routed> {
    let decision = match decision(cx.stanza)? {
        Ok(Some(decision)) => decision,
        Ok(None) => return Some(Routed::Done),
        Err(error) => {
            cx.refuse(&error);
            return Some(Routed::Done);
        }
    };
    let core = cx.host.provided::<Service>().next()?.0.clone();
    let parked = cx.park();
    Some(Routed::later(async move {
        let cx = parked.cx();
        let Some(place) = Place::service(cx.server, &core) else {
            return;
        };
        if let Err(error) = decide(&place, cx.from, decision).await {
            cx.refuse(&error);
        }
    }))
}

/// A message to the own account: the user's answer about one of its nodes is taken.
pub fn take_own(core: &Arc<Core>, cx: &mut StanzaCx<'_>) -> Flow {
    // Others have no say, and most messages are theirs.
    if cx.from.bare_str() != cx.account.jid().as_str() || cx.from.resource().is_none() {
        return Flow::Continue;
    }
    let decision = match decision(cx.stanza) {
        None => return Flow::Continue,
        Some(Ok(None)) => return Flow::Handled,
        Some(Err(error)) => return Flow::Bounce(error),
        Some(Ok(Some(decision))) => decision,
    };
    let (core, account, from) = (core.clone(), cx.account.clone(), cx.from.clone());
    cx.effects.push(Effect::Later(Box::new(move |server| {
        let server = server.clone();
        Routed::later(async move { decide_own(&server, &core, &account, &from, decision).await })
    })));
    Flow::Handled
}

async fn decide_own(
    server: &Arc<Server>,
    core: &Arc<Core>,
    account: &Arc<Account>,
    from: &Jid,
    decision: Decision,
) {
    if let Some(place) = Place::personal(server, core, account)
        && let Err(error) = decide(&place, from, decision).await
    {
        tracing::debug!(%from, ?error, "an answer about a subscription came to nothing");
    }
}

/// Does as an owner has said.
async fn decide(place: &Place, from: &Jid, decision: Decision) -> Result<(), StanzaError> {
    let node = place.owned(&decision.node, from).await?;
    let subscriber = &decision.subscriber;
    let _alone = node.changing.lock().await;
    let (mut member, config) = {
        let state = node.lock();
        (state.member(subscriber.bare_str()), state.config.clone())
    };
    // Another owner was faster, or nobody asks any more.
    if member.subscribed(subscriber) != Some(Subscribed::Pending) {
        return Ok(());
    }
    let state = decision.allow.then_some(Subscribed::Yes);
    member.set_subscription(subscriber, state);
    let options = member.subscription(subscriber).map(|one| one.options);
    keep(place, &node, subscriber, member).await?;
    // XEP-0060 §8.6: who asked is told.
    tell_state(place, &decision.node, subscriber, state);
    if let Some(options) = options
        && config.send_last != SendLast::Never
        && let Some(message) = items::last(place, &node).await?
    {
        // Behind the word that the request was granted.
        let (place, subscriber) = (place.clone(), subscriber.clone());
        let now_ms = place.server.now_ms();
        place.server.clone().at(now_ms, move |_| {
            notify::send(&place, &message, &subscriber, options);
            Routed::Done
        });
    }
    Ok(())
}

/// Everybody who waits for the owners of a node.
pub fn pending(node: &Node) -> Vec<Jid> {
    let state = node.lock();
    let all = state.members.values().flat_map(|m| &m.subscriptions);
    let all = all.filter(|one| one.state == Subscribed::Pending);
    all.map(|one| one.jid.clone()).collect()
}
