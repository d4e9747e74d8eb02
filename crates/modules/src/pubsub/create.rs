//! Nodes are made, configured and deleted (XEP-0060 §8.1, §8.2, §8.4).

use std::sync::Arc;

use tercet_core::forms::{Form, FormKind};
use tercet_core::{Jid, StanzaError, XmlWriter};
use tercet_server::module::{IqResult, Reply};
use tercet_store::Batch;

use super::config::NodeConfig;
use super::node::{Affiliation, Member, Node, State};
use super::place::Place;
use super::xml::{NS, NS_OWNER};
use super::{attachments, notify, records};

/// §8.1: a node is made.
pub async fn create(
    place: &Place,
    from: &Jid,
    name: Option<String>,
    form: Option<Form>,
) -> IqResult {
    if !place.may_create(from) {
        return Err(StanzaError::forbidden());
    }
    let most = place.core.settings.items;
    let config = match form {
        Some(form) if form.kind == FormKind::Submit => place.defaults().submitted(&form, most)?,
        _ => place.defaults(),
    };
    // XEP-0060 §8.1.2: an instant node is named by the service.
    let chosen = name.clone().unwrap_or_else(|| fresh_id(place));
    attachments::check_name(name.as_deref())?;
    if place.look(&chosen).await?.is_some() {
        return Err(StanzaError::conflict());
    }
    make(place, from, &chosen, config).await?;
    if name.is_some() {
        return Ok(Reply::Empty);
    }
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    w.leaf("create", &[("node", &chosen)]).end();
    Ok(Reply::Payload(w.finish()))
}

/// A name that nobody can guess.
pub fn fresh_id(place: &Place) -> String {
    let random: [u8; 16] = place.server.random();
    random.iter().map(|b| format!("{b:02x}")).collect()
}

/// Makes a node whose owner is `from`, who may.
///
/// # Errors
/// `conflict` if there is one of that name, `policy-violation` if there are as many as there may be.
pub async fn make(
    place: &Place,
    from: &Jid,
    name: &str,
    config: NodeConfig,
) -> Result<Arc<Node>, StanzaError> {
    let _alone = place.shelf.making(name).await;
    place.check_room(from).await?;
    let mut state = State::new(config, place.server.now_ms());
    let owner = place.jid.as_str();
    let mut batch = Batch::new();
    records::put_new_node(&mut batch, place.kinds, owner, name, &state);
    if place.account.is_none() {
        let member = Member {
            affiliation: Affiliation::Owner,
            ..Member::default()
        };
        let jid = from.to_bare();
        records::put_member(&mut batch, place.kinds, owner, name, &jid, &member);
        state.members.insert(jid, member);
    }
    place.commit(batch).await?;
    note_bytes(place, name, Some(0)).await;
    Ok(place.shelf.put(&place.server, name, state))
}

/// Notes how many bytes a node of an account has; `None`: it is gone.
pub async fn note_bytes(place: &Place, name: &str, bytes: Option<u64>) {
    let Some(whole) = place.whole() else { return };
    let names = whole.names(place.server.store(), place.kinds, place.jid.as_str());
    // If they cannot be read, nobody has them in memory, and they come from the store next time.
    let Ok(mut names) = names.await else { return };
    match bytes {
        Some(bytes) => names.insert(name.into(), bytes),
        None => names.remove(name),
    };
}

/// §8.2: the form of a node, or what was filled in.
pub async fn configure(place: &Place, from: &Jid, name: &str, form: Option<Form>) -> IqResult {
    let node = place.owned(name, from).await?;
    let Some(form) = form else {
        return Err(StanzaError::bad_request().text("there is no form"));
    };
    // XEP-0060 §8.2.4: a form that is cancelled changes nothing.
    if form.kind == FormKind::Cancel {
        return Ok(Reply::Empty);
    }
    let _alone = node.changing.lock().await;
    let most = place.core.settings.items;
    let (old, new, dropped) = {
        let state = node.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        let new = state.config.submitted(&form, most)?;
        let surplus = state.items.len().saturating_sub(new.keeps(most));
        (state.config.clone(), new, state.items[..surplus].to_vec())
    };
    if old == new {
        return Ok(Reply::Empty);
    }
    let mut next = node.lock().clone();
    next.config = new;
    next.items.drain(..dropped.len());
    let owner = place.jid.as_str();
    let mut batch = Batch::new();
    for item in &dropped {
        records::delete_item(&mut batch, place.kinds, owner, name, &item.id);
    }
    let bytes = next.bytes();
    records::put_node(&mut batch, place.kinds, owner, name, &next, bytes);
    place.commit(batch).await?;
    let config = next.config.clone();
    *node.lock() = next;
    note_bytes(place, name, Some(bytes)).await;
    if config.notify_config {
        let mut w = XmlWriter::new();
        w.start("configuration").attr("node", name);
        if config.payloads {
            config.told().write(&mut w);
        }
        w.end();
        notify::tell(place, &node, &w.finish()).await?;
    }
    Ok(Reply::Empty)
}

/// §8.2.1: the form of a node.
pub async fn configuration(place: &Place, from: &Jid, name: &str) -> IqResult {
    let node = place.owned(name, from).await?;
    let form = node.lock().config.form();
    Ok(answer_form("configure", Some(name), &form))
}

/// §8.3: the form of a node that nobody has configured.
pub fn defaults(place: &Place) -> IqResult {
    Ok(answer_form("default", None, &place.defaults().form()))
}

fn answer_form(name: &str, node: Option<&str>, form: &Form) -> Reply {
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS_OWNER);
    w.start(name).opt_attr("node", node);
    form.write(&mut w);
    w.end().end();
    Reply::Payload(w.finish())
}

/// §8.4: a node ends.
pub async fn delete(place: &Place, from: &Jid, name: &str, redirect: Option<String>) -> IqResult {
    let node = place.owned(name, from).await?;
    let _alone = node.changing.lock().await;
    end(place, &node, redirect).await?;
    Ok(Reply::Empty)
}

/// Ends a node, whose `changing` the caller holds, and tells of it.
pub async fn end(place: &Place, node: &Node, redirect: Option<String>) -> Result<(), StanzaError> {
    let name = &*node.name;
    let state = node.lock().clone();
    if state.gone {
        return Err(StanzaError::item_not_found());
    }
    let mut batch = Batch::new();
    records::delete_node(&mut batch, place.kinds, place.jid.as_str(), name, &state);
    {
        // Nobody reads it from the store between its end there and its end in memory.
        let _made = place.shelf.making(name).await;
        place.commit(batch).await?;
        note_bytes(place, name, None).await;
        place.shelf.remove(name);
        node.lock().gone = true;
    }
    // XEP-0060 §8.4.2: subscribers are told, and where to go.
    if state.config.notify_delete {
        let mut w = XmlWriter::new();
        w.start("delete").attr("node", name);
        if let Some(uri) = &redirect {
            w.leaf("redirect", &[("uri", uri)]);
        }
        w.end();
        notify::tell(place, node, &w.finish()).await?;
    }
    Ok(())
}
