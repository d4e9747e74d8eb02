//! The lists of a node, for its owners (XEP-0060 §8.8, §8.9).

use tercet_core::{BareJid, Jid, StanzaError, XmlWriter};
use tercet_server::module::{IqResult, Reply};
use tercet_store::Batch;

use super::node::{Affiliation, Member, Node, Subscribed};
use super::place::Place;
use super::subscribe::tell_state;
use super::xml::NS_OWNER;
use super::{errors, records};

/// §8.8.1: who is subscribed.
pub async fn subscriptions(place: &Place, from: &Jid, name: &str) -> IqResult {
    let node = place.owned(name, from).await?;
    let state = node.lock();
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS_OWNER);
    w.start("subscriptions").attr("node", name);
    for member in state.members.values() {
        for one in &member.subscriptions {
            w.leaf(
                "subscription",
                &[
                    ("jid", one.jid.as_str()),
                    ("subscription", one.state.as_str()),
                ],
            );
        }
    }
    w.end().end();
    Ok(Reply::Payload(w.finish()))
}

/// §8.8.2: who is to be subscribed, and who no longer.
pub async fn set_subscriptions(
    place: &Place,
    from: &Jid,
    name: &str,
    wanted: Vec<(Jid, Option<Subscribed>)>,
) -> IqResult {
    let node = place.owned(name, from).await?;
    let _alone = node.changing.lock().await;
    let (mut changed, mut told) = (Vec::new(), Vec::new());
    {
        let state = node.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        let mut next = state.members.clone();
        for (jid, subscribed) in wanted {
            let member = next.entry(jid.to_bare()).or_default();
            if member.subscribed(&jid) == subscribed {
                continue;
            }
            // XEP-0060 §4.1: an outcast is not subscribed.
            if subscribed.is_some() && member.affiliation == Affiliation::Outcast {
                return Err(StanzaError::not_acceptable());
            }
            member.set_subscription(&jid, subscribed);
            changed.push((jid.to_bare(), member.clone()));
            told.push((jid, subscribed));
        }
        let total: usize = next.values().map(|m| m.subscriptions.len()).sum();
        if total > place.core.settings.node_subscriptions {
            return Err(errors::too_many_subscriptions());
        }
    }
    keep(place, &node, changed).await?;
    for (jid, state) in told {
        // XEP-0060 §8.8.4: who is concerned is told.
        tell_state(place, name, &jid, state);
    }
    Ok(Reply::Empty)
}

/// §8.9.1: who is on its lists.
pub async fn affiliations(place: &Place, from: &Jid, name: &str) -> IqResult {
    let node = place.owned(name, from).await?;
    let node = node.basis().unwrap_or(node);
    let state = node.lock();
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS_OWNER);
    w.start("affiliations").attr("node", name);
    let write = |w: &mut XmlWriter, jid: &str, affiliation: Affiliation| {
        w.leaf(
            "affiliation",
            &[("jid", jid), ("affiliation", affiliation.as_str())],
        );
    };
    if place.account.is_some() {
        write(&mut w, place.jid.as_str(), Affiliation::Owner);
    }
    for (jid, member) in &state.members {
        if member.affiliation != Affiliation::None {
            write(&mut w, jid.as_str(), member.affiliation);
        }
    }
    w.end().end();
    Ok(Reply::Payload(w.finish()))
}

/// §8.9.2: who is to be on its lists.
pub async fn set_affiliations(
    place: &Place,
    from: &Jid,
    name: &str,
    wanted: Vec<(Jid, Affiliation)>,
) -> IqResult {
    let node = place.owned(name, from).await?;
    let _alone = node.changing.lock().await;
    let (mut changed, mut told) = (Vec::new(), Vec::new());
    {
        let state = node.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        let mut next = state.members.clone();
        for (jid, affiliation) in wanted {
            let jid = jid.to_bare();
            if place.is_own(&jid) {
                // The user of an account always owns its nodes.
                match affiliation {
                    Affiliation::Owner => continue,
                    _ => return Err(StanzaError::not_acceptable()),
                }
            }
            let member = next.entry(jid.clone()).or_default();
            if member.affiliation == affiliation {
                continue;
            }
            member.affiliation = affiliation;
            if matches!(affiliation, Affiliation::Outcast | Affiliation::PublishOnly) {
                // XEP-0060 §4.1: neither of them is subscribed.
                let ended = std::mem::take(&mut member.subscriptions);
                told.extend(ended.into_iter().map(|one| (one.jid, None)));
            }
            if matches!(affiliation, Affiliation::Publisher | Affiliation::Owner) {
                // XEP-0060 §8.7.4: who may do more waits no longer.
                for one in &mut member.subscriptions {
                    if std::mem::replace(&mut one.state, Subscribed::Yes) == Subscribed::Pending {
                        told.push((one.jid.clone(), Some(Subscribed::Yes)));
                    }
                }
            }
            changed.push((jid, member.clone()));
        }
        let owners = next.values();
        let owners = owners.filter(|m| m.affiliation == Affiliation::Owner);
        // XEP-0060 §8.9.2.4: a node has an owner.
        if place.account.is_none() && owners.count() == 0 {
            return Err(StanzaError::not_acceptable());
        }
        let listed = next.values().filter(|m| m.affiliation != Affiliation::None);
        if listed.count() > place.core.settings.node_subscriptions {
            return Err(StanzaError::policy_violation().text("the list is full"));
        }
    }
    keep(place, &node, changed).await?;
    for (jid, state) in told {
        tell_state(place, name, &jid, state);
    }
    Ok(Reply::Empty)
}

/// Keeps what some are to a node. The caller holds the node's `changing`.
pub async fn keep(
    place: &Place,
    node: &Node,
    changed: Vec<(BareJid, Member)>,
) -> Result<(), StanzaError> {
    if changed.is_empty() {
        return Ok(());
    }
    let owner = place.jid.as_str();
    let mut batch = Batch::new();
    for (jid, member) in &changed {
        records::put_member(&mut batch, place.kinds, owner, &node.name, jid, member);
    }
    place.commit(batch).await?;
    let mut state = node.lock();
    for (jid, member) in changed {
        match member.is_nobody() {
            true => state.members.remove(&jid),
            false => state.members.insert(jid, member),
        };
    }
    Ok(())
}
