//! Items are taken back, one or all (XEP-0060 §7.2, §8.5).

use tercet_core::{Jid, StanzaError, XmlWriter};
use tercet_server::module::{IqResult, Reply};
use tercet_store::Batch;

use super::access::may_publish;
use super::create::note_bytes;
use super::node::{Affiliation, Node};
use super::place::Place;
use super::{errors, notify, records};

/// §7.2: one item.
pub async fn retract(place: &Place, from: &Jid, name: &str, id: &str, notify: bool) -> IqResult {
    let node = place.node(name).await?;
    let asker = place.asker(&node, from).await?;
    let _alone = node.changing.lock().await;
    let next = node.lock().clone();
    if next.gone {
        return Err(StanzaError::item_not_found());
    }
    // XEP-0060 §7.2.3.5
    if !next.config.persist {
        return Err(errors::unsupported("persistent-items"));
    }
    // XEP-0060 §7.2.3.1: owners take back every item, publishers their own.
    let is_owner = asker.affiliation == Affiliation::Owner;
    if !is_owner && !may_publish(&next.config, asker) {
        return Err(StanzaError::forbidden());
    }
    let item = next.item(id).ok_or_else(StanzaError::item_not_found)?;
    let publisher = item.publisher.split('/').next();
    if !is_owner && publisher != Some(from.bare_str()) {
        return Err(StanzaError::forbidden());
    }
    take(place, &node, id, notify).await?;
    Ok(Reply::Empty)
}

/// Takes an item out, and tells of it if it is wanted or the node does. The caller holds the node's `changing`.
pub async fn take(place: &Place, node: &Node, id: &str, notify: bool) -> Result<(), StanzaError> {
    let name = &*node.name;
    let mut next = node.lock().clone();
    next.items.retain(|item| &*item.id != id);
    let (owner, bytes) = (place.jid.as_str(), next.bytes());
    let mut batch = Batch::new();
    records::delete_item(&mut batch, place.kinds, owner, name, id);
    records::put_node(&mut batch, place.kinds, owner, name, &next, bytes);
    place.commit(batch).await?;
    node.lock().items = next.items;
    note_bytes(place, name, Some(bytes)).await;
    // XEP-0060 §7.2.2.1: subscribers are told if the publisher or the node wants it.
    if notify || next.config.notify_retract {
        let mut w = XmlWriter::new();
        w.start("items").attr("node", name);
        w.leaf("retract", &[("id", id)]).end();
        notify::tell(place, node, &w.finish()).await?;
    }
    Ok(())
}

/// §8.5: all items.
pub async fn purge(place: &Place, from: &Jid, name: &str) -> IqResult {
    let node = place.owned(name, from).await?;
    let _alone = node.changing.lock().await;
    let mut next = node.lock().clone();
    if next.gone {
        return Err(StanzaError::item_not_found());
    }
    // XEP-0060 §8.5.3.3
    if !next.config.persist {
        return Err(errors::unsupported("persistent-items"));
    }
    let owner = place.jid.as_str();
    let mut batch = Batch::new();
    for item in std::mem::take(&mut next.items) {
        records::delete_item(&mut batch, place.kinds, owner, name, &item.id);
    }
    records::put_node(&mut batch, place.kinds, owner, name, &next, 0);
    place.commit(batch).await?;
    node.lock().items.clear();
    note_bytes(place, name, Some(0)).await;
    if next.config.notify_retract {
        // XEP-0060 §8.5.2: one notification for all items.
        let mut w = XmlWriter::new();
        w.leaf("purge", &[("node", name)]);
        notify::tell(place, &node, &w.finish()).await?;
    }
    Ok(Reply::Empty)
}
