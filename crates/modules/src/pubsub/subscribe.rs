//! Subscriptions begin and end (XEP-0060 §6.1, §6.2), have options (§6.3, §6.4), and what somebody has (§5.6, §5.7).

use tercet_core::forms::{Form, FormKind};
use tercet_core::{Jid, StanzaError, XmlWriter, ns};
use tercet_server::module::{IqResult, Reply};
use tercet_store::Batch;

use super::access::{may_read, may_subscribe};
use super::config::{Access, SendLast};
use super::node::{Affiliation, Member, Node, Subscribed, Subscription};
use super::options::Options;
use super::place::Place;
use super::xml::{NS, NS_EVENT};
use super::{approve, errors, items, notify, records};

/// Addresses with which one user may be subscribed to one node.
const ADDRESSES: usize = 32;

/// §6.1: begins a subscription, or asks for it.
pub async fn subscribe(
    place: &Place,
    from: &Jid,
    name: &str,
    jid: Jid,
    options: Option<Form>,
) -> IqResult {
    // XEP-0060 §6.1.3.1: nobody subscribes somebody else.
    if jid.bare_str() != from.bare_str() {
        return Err(errors::invalid_jid());
    }
    let node = place.node(name).await?;
    let asker = place.asker(&node, from).await?;
    let _alone = node.changing.lock().await;
    let (config, mut member, present) = {
        let state = node.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        let present = state.subscriptions();
        (state.config.clone(), state.member(from.bare_str()), present)
    };
    may_subscribe(&config, asker)?;
    let present_options = member.subscription(&jid).map(|one| one.options);
    // XEP-0060 §6.3.7: one may subscribe and say how in one request.
    let submitted = match &options {
        Some(form) => {
            let now_ms = place.server.now_ms();
            let before = present_options.unwrap_or_default();
            Some(before.submitted(form, now_ms)?)
        }
        None => None,
    };
    let state = match member.subscribed(&jid) {
        // XEP-0060 §6.1.3.7
        Some(Subscribed::Pending) => return Err(errors::pending_subscription()),
        Some(Subscribed::Yes) => {
            if let Some(options) = submitted {
                member.set_options(&jid, options);
                keep(place, &node, from, member).await?;
            }
            Subscribed::Yes
        }
        None => {
            let settings = &place.core.settings;
            // XEP-0060 §6.1.3.9
            if present >= settings.node_subscriptions
                || member.subscriptions.len() >= ADDRESSES
                || (member.is_nobody() && !has_room(place, from).await?)
            {
                return Err(errors::too_many_subscriptions());
            }
            // XEP-0060 §6.1.4: an owner decides, unless one has or it is known already.
            let state =
                match config.access == Access::Authorize && may_read(&config, asker).is_err() {
                    true => Subscribed::Pending,
                    false => Subscribed::Yes,
                };
            member.set_subscription(&jid, Some(state));
            member.set_options(&jid, submitted.unwrap_or_default());
            keep(place, &node, from, member).await?;
            if state == Subscribed::Pending {
                approve::ask(place, &node, &jid);
            }
            state
        }
    };
    let kept = submitted.or(present_options).unwrap_or_default();
    if state == Subscribed::Yes
        && config.send_last != SendLast::Never
        && let Some(message) = items::last(place, &node).await?
    {
        notify::send(place, &message, &jid, kept);
    }
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    write_subscription(&mut w, Some(name), &jid, state);
    if submitted.is_some() {
        w.start("options");
        kept.told().write(&mut w);
        w.end();
    }
    w.end();
    Ok(Reply::Payload(w.finish()))
}

/// Whether the user may be at one more node of the service.
async fn has_room(place: &Place, from: &Jid) -> Result<bool, StanzaError> {
    if place.account.is_some() {
        return Ok(true);
    }
    let joined = place.joined(from.bare_str()).await?;
    Ok(joined.len() < place.core.settings.user_subscriptions)
}

/// Keeps what somebody is to a node. The caller holds the node's `changing`.
pub async fn keep(place: &Place, node: &Node, of: &Jid, member: Member) -> Result<(), StanzaError> {
    let (owner, bare) = (place.jid.as_str(), of.to_bare());
    let mut batch = Batch::new();
    records::put_member(&mut batch, place.kinds, owner, &node.name, &bare, &member);
    place.commit(batch).await?;
    {
        let mut state = node.lock();
        if member.is_nobody() {
            state.members.remove(&bare);
        } else {
            state.members.insert(bare, member);
        }
    }
    node.note_ends();
    Ok(())
}

/// The subscription of that address, which is the sender's.
///
/// # Errors
/// Those of §6.3.4.
fn own_subscription(
    node: &Node,
    from: &Jid,
    jid: &Jid,
    subid: Option<&str>,
) -> Result<(Member, Subscription), StanzaError> {
    // XEP-0060 §6.3.4.1: nobody has a say about somebody else's.
    if jid.bare_str() != from.bare_str() {
        return Err(StanzaError::forbidden());
    }
    let member = node.lock().member(from.bare_str());
    // XEP-0060 §6.3.4.2
    let one = member.subscription(jid).cloned();
    let one = one.ok_or_else(errors::no_subscription)?;
    // XEP-0060 §6.3.4.5: subscriptions have no ids here.
    match subid {
        Some(_) => Err(errors::invalid_subid()),
        None => Ok((member, one)),
    }
}

/// §6.3.2: the form of a subscription.
pub async fn options(
    place: &Place,
    from: &Jid,
    name: &str,
    jid: &Jid,
    subid: Option<&str>,
) -> IqResult {
    let node = place.node(name).await?;
    let (_, one) = own_subscription(&node, from, jid, subid)?;
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    w.start("options")
        .attr("node", name)
        .attr("jid", jid.as_str());
    one.options.form().write(&mut w);
    w.end().end();
    Ok(Reply::Payload(w.finish()))
}

/// §6.3.5: the options of a subscription change.
pub async fn set_options(
    place: &Place,
    from: &Jid,
    name: &str,
    jid: &Jid,
    subid: Option<&str>,
    form: Option<Form>,
) -> IqResult {
    let node = place.node(name).await?;
    let _alone = node.changing.lock().await;
    let (mut member, one) = own_subscription(&node, from, jid, subid)?;
    let form = form.ok_or_else(errors::invalid_options)?;
    // XEP-0004 §3.2: a form that is cancelled changes nothing.
    if form.kind == FormKind::Cancel {
        return Ok(Reply::Empty);
    }
    let options = one.options.submitted(&form, place.server.now_ms())?;
    if options != one.options {
        member.set_options(jid, options);
        keep(place, &node, from, member).await?;
    }
    Ok(Reply::Empty)
}

/// §6.4: the options of new subscriptions, which are the same at all nodes.
pub async fn default_options(place: &Place, from: &Jid, name: Option<&str>) -> IqResult {
    if let Some(name) = name {
        let node = place.node(name).await?;
        let asker = place.asker(&node, from).await?;
        may_subscribe(&node.lock().config, asker)?;
    }
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    w.start("default").opt_attr("node", name);
    Options::default().told().write(&mut w);
    w.end().end();
    Ok(Reply::Payload(w.finish()))
}

/// §6.2: ends a subscription.
pub async fn unsubscribe(
    place: &Place,
    from: &Jid,
    name: &str,
    jid: Jid,
    subid: Option<String>,
) -> IqResult {
    let node = place.node(name).await?;
    // XEP-0060 §6.2.3.3: nobody ends somebody else's.
    if jid.bare_str() != from.bare_str() {
        return Err(StanzaError::forbidden());
    }
    let _alone = node.changing.lock().await;
    let mut member = node.lock().member(from.bare_str());
    if member.subscription(&jid).is_none() {
        return Err(errors::nothing_to_unsubscribe());
    }
    // XEP-0060 §6.2.3.5: subscriptions have no ids here.
    if subid.is_some() {
        return Err(errors::invalid_subid());
    }
    member.set_subscription(&jid, None);
    keep(place, &node, from, member).await?;
    Ok(Reply::Empty)
}

/// Tells somebody how its subscription stands (§12.14); `None`: it has ended.
pub fn tell_state(place: &Place, node: &str, jid: &Jid, state: Option<Subscribed>) {
    let mut w = XmlWriter::new();
    w.start("message")
        .attr("xmlns", ns::CLIENT)
        .attr("from", place.jid.as_str())
        .attr("to", jid.as_str());
    w.start("event").attr("xmlns", NS_EVENT);
    let state = state.map_or("none", Subscribed::as_str);
    w.leaf(
        "subscription",
        &[
            ("node", node),
            ("jid", jid.as_str()),
            ("subscription", state),
        ],
    );
    w.end().end();
    place.server.post(&place.jid, jid, &w.finish());
}

fn write_subscription(w: &mut XmlWriter, node: Option<&str>, jid: &Jid, state: Subscribed) {
    w.start("subscription").opt_attr("node", node);
    w.attr("jid", jid.as_str())
        .attr("subscription", state.as_str())
        .end();
}

/// What the sender is to the nodes here that it has to do with, or to one.
async fn memberships(
    place: &Place,
    from: &Jid,
    name: Option<&str>,
) -> Result<Vec<(String, Member)>, StanzaError> {
    let names = match (name, place.names().await?) {
        (Some(name), _) => vec![name.into()],
        (None, Some(names)) => names,
        (None, None) => return place.joined(from.bare_str()).await,
    };
    let mut all = Vec::new();
    for of in names {
        let node = match place.look(&of).await? {
            Some(node) => node,
            None if name.is_some() => return Err(StanzaError::item_not_found()),
            None => continue,
        };
        let mut member = node.lock().member(from.bare_str());
        member.affiliation = place.affiliation(&node, from);
        all.push((of.into_string(), member));
    }
    Ok(all)
}

/// §5.6: which subscriptions the sender has.
pub async fn subscriptions(place: &Place, from: &Jid, name: Option<&str>) -> IqResult {
    let all = memberships(place, from, name).await?;
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    w.start("subscriptions").opt_attr("node", name);
    for (node, member) in &all {
        for one in &member.subscriptions {
            let node = name.is_none().then_some(node.as_str());
            write_subscription(&mut w, node, &one.jid, one.state);
        }
    }
    w.end().end();
    Ok(Reply::Payload(w.finish()))
}

/// §5.7: what the sender is to nodes.
pub async fn affiliations(place: &Place, from: &Jid, name: Option<&str>) -> IqResult {
    let all = memberships(place, from, name).await?;
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    w.start("affiliations").opt_attr("node", name);
    for (node, member) in &all {
        if member.affiliation != Affiliation::None {
            w.start("affiliation");
            w.opt_attr("node", name.is_none().then_some(node.as_str()));
            w.attr("affiliation", member.affiliation.as_str()).end();
        }
    }
    w.end().end();
    Ok(Reply::Payload(w.finish()))
}
