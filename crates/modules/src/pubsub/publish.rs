//! Items are published (XEP-0060 §7.1).

use std::sync::Arc;

use tercet_core::forms::Form;
use tercet_core::{Jid, StanzaError, XmlWriter};
use tercet_server::module::{IqResult, Reply};
use tercet_server::store_failure;
use tercet_store::Batch;

use super::access::may_publish;
use super::config::NodeConfig;
use super::create::{fresh_id, make, note_bytes};
use super::node::{Entry, Node, State};
use super::place::Place;
use super::xml::{NS, NewItem};
use super::{errors, notify, records};

/// Publishes an item, or tells that something happened where the node takes no items.
pub async fn publish(
    place: &Place,
    from: &Jid,
    name: &str,
    item: Option<NewItem>,
    options: Option<Form>,
) -> IqResult {
    let node = match place.look(name).await? {
        Some(node) => node,
        None => auto_create(place, from, name, item.as_ref(), options.as_ref()).await?,
    };
    let asker = place.asker(&node, from).await?;
    let _alone = node.changing.lock().await;
    let config = {
        let state = node.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        state.config.clone()
    };
    // XEP-0060 §7.1.3.1: who may not publish is told so.
    if !may_publish(&config, asker) {
        return Err(StanzaError::forbidden());
    }
    if let Some(form) = &options {
        // XEP-0060 §7.1.5: a precondition that is not met fails the publication.
        let wanted = config.preconditions(form, place.core.settings.items);
        if wanted? != config {
            return Err(errors::precondition_not_met());
        }
    }
    check(place, &config, item.as_ref())?;
    let id = match item {
        Some(item) => {
            // XEP-0060 §7.1.3.6: the service makes an id where there is none.
            let id = item.id.unwrap_or_else(|| fresh_id(place));
            put(place, from, &node, &id, item.payload.unwrap_or_default()).await?;
            Some(id)
        }
        None => {
            let mut w = XmlWriter::new();
            w.leaf("items", &[("node", name)]);
            notify::tell(place, &node, &w.finish()).await?;
            None
        }
    };
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    w.start("publish").attr("node", name);
    if let Some(id) = &id {
        w.leaf("item", &[("id", id)]);
    }
    w.end().end();
    Ok(Reply::Payload(w.finish()))
}

/// Publishes an item in the name of the account's user, at a node that is made as `config` says if there is none.
///
/// # Errors
/// Those of [`publish`].
pub async fn publish_for_user(
    place: &Place,
    from: &Jid,
    name: &str,
    config: NodeConfig,
    item: NewItem,
) -> Result<(), StanzaError> {
    let node = match place.look(name).await? {
        Some(node) => node,
        None => {
            check(place, &config, Some(&item))?;
            match make(place, from, name, config).await {
                // Another device was faster.
                Err(error) if error == StanzaError::conflict() => place.node(name).await?,
                made => made?,
            }
        }
    };
    let _alone = node.changing.lock().await;
    let config = {
        let state = node.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        state.config.clone()
    };
    check(place, &config, Some(&item))?;
    let id = item.id.unwrap_or_else(|| fresh_id(place));
    put(place, from, &node, &id, item.payload.unwrap_or_default()).await
}

/// XEP-0060 §7.1.4: a node that is not there is made, as the publication wants it.
async fn auto_create(
    place: &Place,
    from: &Jid,
    name: &str,
    item: Option<&NewItem>,
    options: Option<&Form>,
) -> Result<Arc<Node>, StanzaError> {
    if !place.may_create(from) {
        return Err(StanzaError::item_not_found());
    }
    let mut config = place.defaults();
    if let Some(form) = options {
        config = config.preconditions(form, place.core.settings.items)?;
    }
    // Nothing is made for an item that cannot be published.
    check(place, &config, item)?;
    match make(place, from, name, config).await {
        // Somebody else was faster.
        Err(error) if error == StanzaError::conflict() => place.node(name).await,
        made => made,
    }
}

/// Whether the item is one for such a node (§7.1.3).
fn check(place: &Place, config: &NodeConfig, item: Option<&NewItem>) -> Result<(), StanzaError> {
    let Some(item) = item else {
        // XEP-0060 §7.1.3.6
        return match config.persist || config.payloads {
            true => Err(errors::item_required()),
            false => Ok(()),
        };
    };
    // XEP-0060 §7.1.3.6: a node that keeps nothing and delivers nothing takes no items.
    if !config.persist && !config.payloads {
        return Err(errors::item_forbidden());
    }
    let Some(payload) = &item.payload else {
        return match config.payloads {
            true => Err(errors::payload_required()),
            false => Ok(()),
        };
    };
    if !config.payload_ns.is_empty() && item.ns != config.payload_ns {
        return Err(errors::invalid_payload());
    }
    let most = config.max_payload.map_or(usize::MAX, |most| most as usize);
    // XEP-0060 §7.1.3.4
    if payload.len() > most.min(place.core.settings.item_bytes) {
        return Err(errors::payload_too_big());
    }
    Ok(())
}

/// Keeps an item if the node does, and tells of it. The caller holds the node's `changing`.
pub async fn put(
    place: &Place,
    from: &Jid,
    node: &Node,
    id: &str,
    payload: Vec<u8>,
) -> Result<(), StanzaError> {
    let now_ms = place.server.now_ms();
    let config = node.lock().config.clone();
    let event = event(&config, &node.name, id, &payload);
    if config.persist {
        let (next, dropped) = next(place, from, node, id, payload.len(), now_ms);
        let bytes = next.bytes();
        check_space(place, &node.name, bytes).await?;
        let owner = place.jid.as_str();
        let mut batch = Batch::new();
        for old in &dropped {
            records::delete_item(&mut batch, place.kinds, owner, &node.name, old);
        }
        if let Some(entry) = next.items.last() {
            records::put_item(&mut batch, place.kinds, owner, &node.name, entry, payload);
        }
        records::put_node(&mut batch, place.kinds, owner, &node.name, &next, bytes);
        place.commit(batch).await?;
        node.lock().items = next.items;
        note_bytes(place, &node.name, Some(bytes)).await;
    }
    notify::tell(place, node, &event).await
}

/// The node with the item, and the ids of those that make room for it.
fn next(
    place: &Place,
    from: &Jid,
    node: &Node,
    id: &str,
    bytes: usize,
    now_ms: u64,
) -> (State, Vec<Box<str>>) {
    let mut state = node.lock().clone();
    let number = state.next_number();
    // XEP-0060 §7.1.2: an item of the same id is overwritten.
    state.items.retain(|item| &*item.id != id);
    state.items.push(Entry {
        id: id.into(),
        number,
        at_ms: now_ms,
        publisher: from.as_str().into(),
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
    });
    let keeps = state.config.keeps(place.core.settings.items);
    let live = state.live(now_ms).len().min(keeps);
    let surplus = state.items.len() - live;
    let dropped = state.items.drain(..surplus).map(|item| item.id);
    let dropped = dropped.collect();
    (state, dropped)
}

/// Whether a node may have so many bytes.
async fn check_space(place: &Place, name: &str, bytes: u64) -> Result<(), StanzaError> {
    let others: u64 = match place.whole() {
        Some(whole) => {
            let names = whole.names(place.server.store(), place.kinds, place.jid.as_str());
            let names = names.await.map_err(|e| store_failure(&e))?;
            let others = names.iter().filter(|(of, _)| &***of != name);
            others.map(|(_, bytes)| bytes).sum()
        }
        None => 0,
    };
    match others.saturating_add(bytes) <= place.core.settings.owner_bytes {
        true => Ok(()),
        false => Err(StanzaError::resource_constraint().text("there is no space for more items")),
    }
}

/// What is told of an item.
pub fn event(config: &NodeConfig, node: &str, id: &str, payload: &[u8]) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("items").attr("node", node);
    w.start("item").attr("id", id);
    if config.payloads {
        w.raw(payload);
    }
    w.end().end();
    w.finish()
}
