//! XEP-0470 PubSub Attachments 0.2.0: whoever may publish at a node attaches something to its items, and the service counts it.
//!
//! Beside a node there may be an attachment node for each of its items, with an item of each publisher, and one summary node, with
//! an item for each of those: it says which attachment nodes there are. All of them come with the first attachment, are
//! configured as the node is, and go with what they are about. Who owns, reads and publishes is a matter of the node beside which
//! they are (`Node::basis`); they have subscriptions of their own.

mod name;
mod summary;

pub use name::{Derived, is_attachments, is_derived};

use std::sync::Arc;

use tercet_core::forms::Form;
use tercet_core::{Jid, OwnedElement, StanzaError};
use tercet_server::store_failure;
use tercet_store::Batch;

use super::access::may_publish;
use super::config::{NodeConfig, SendLast};
use super::node::{Node, State};
use super::place::Place;
use super::xml::{NewItem, OwnerRequest};
use super::{create, errors, items, publish, records, retract};
use summary::Summary;

/// The namespace of attachments, and the feature.
pub const NS: &str = "urn:xmpp:pubsub-attachments:1";
/// The namespace of what they come to.
pub const NS_SUMMARY: &str = "urn:xmpp:pubsub-attachments:summary:1";

/// Bytes that one publisher may attach to an item.
const ATTACHED: usize = 4096;

/// Refuses to make a node that the service makes by itself.
pub fn check_name(name: Option<&str>) -> Result<(), StanzaError> {
    match name {
        // XEP-0470 §4.4: nobody makes these by hand.
        Some(name) if is_derived(name) => Err(StanzaError::not_allowed()),
        _ => Ok(()),
    }
}

/// Refuses to take items of summaries back, which are the service's.
pub fn check_retracted(place: &Place, name: &str) -> Result<(), StanzaError> {
    match Derived::read(place.jid.as_str(), name) {
        Some(Derived::Summary { .. }) => Err(StanzaError::forbidden()),
        _ => Ok(()),
    }
}

/// Refuses what owners do not decide about nodes that follow others.
pub fn check_owner(place: &Place, request: &OwnerRequest) -> Result<(), StanzaError> {
    let (name, whole) = match request {
        OwnerRequest::Configure(name, Some(_)) | OwnerRequest::Affiliations(name, _) => {
            (name, false)
        }
        OwnerRequest::Delete(name, _) | OwnerRequest::Purge(name) => (name, true),
        _ => return Ok(()),
    };
    match Derived::read(place.jid.as_str(), name) {
        None => Ok(()),
        // Attachments may be taken away, all at once too.
        Some(Derived::Attachments { .. }) if whole => Ok(()),
        Some(_) => Err(StanzaError::not_allowed().text("this node follows another one")),
    }
}

/// Sees to it that the attachment node is there when an item is published at one, and that it may be. Returns the options of the
/// publication.
pub async fn prepare(
    place: &Place,
    from: &Jid,
    name: &str,
    item: Option<&NewItem>,
    options: Option<Form>,
) -> Result<Option<Form>, StanzaError> {
    let (target, id) = match Derived::read(place.jid.as_str(), name) {
        None => return Ok(options),
        Some(Derived::Attachments { target, item }) => (target, item),
        // XEP-0470 §4.6: nobody publishes there.
        Some(Derived::Summary { .. }) => return Err(StanzaError::forbidden()),
        Some(Derived::Nothing) => {
            let text = "the name is not made of the item's URI, or not as RFC 5122 writes it";
            return Err(StanzaError::bad_request().text(text));
        }
    };
    check_item(from, item)?;
    // XEP-0470 §4.1.1: where there is nothing to attach to.
    let node = place.node(&target).await?;
    let asker = place.asker(&node, from).await?;
    let config = node.lock().config.clone();
    if !may_publish(&config, asker) {
        return Err(StanzaError::forbidden());
    }
    if node.lock().item(&id).is_none() {
        return Err(StanzaError::item_not_found());
    }
    if place.look(name).await?.is_none() {
        if let Some(names) = place.names().await? {
            // Of one account, as many as one node has items.
            let present = names.iter().filter(|name| is_attachments(name));
            if present.count() >= place.core.settings.items as usize {
                return Err(errors::max_nodes_exceeded());
            }
        }
        // XEP-0470 §4.3: with the models of the node that it belongs to.
        make(place, name, following(&config)).await?;
    }
    // XEP-0470 §4.3: options are ignored.
    Ok(None)
}

/// XEP-0470 §4.5: whether that is an attachment of `from`.
fn check_item(from: &Jid, item: Option<&NewItem>) -> Result<(), StanzaError> {
    let refuse = |text: &'static str| Err(StanzaError::bad_request().text(text));
    let Some(item) = item else {
        return Err(errors::item_required());
    };
    // XEP-0470 §4.5: the item is called as its publisher is.
    if item.id.as_deref() != Some(from.bare_str()) {
        return refuse("the item has to have your bare JID for its id");
    }
    let payload = item.payload.as_deref().unwrap_or_default();
    if payload.len() > ATTACHED {
        return Err(errors::payload_too_big());
    }
    // XEP-0470 §4.5: the payload is of the right kind.
    match OwnedElement::parse(payload, "") {
        Ok(payload) if payload.root().is("attachments", NS) => Ok(()),
        _ => refuse("these are no attachments"),
    }
}

/// XEP-0470 §4.3, §4.6: the configuration of what is beside a node with this one: the same models.
fn following(target: &NodeConfig) -> NodeConfig {
    NodeConfig {
        access: target.access,
        groups: target.groups.clone(),
        publish: target.publish,
        max_items: None,
        send_last: SendLast::Never,
        ..NodeConfig::default()
    }
}

/// Makes a node of the service's own, unless somebody was faster.
async fn make(place: &Place, name: &str, config: NodeConfig) -> Result<Arc<Node>, StanzaError> {
    {
        let _alone = place.shelf.making(name).await;
        let state = State::new(config, place.server.now_ms());
        let mut batch = Batch::new();
        records::put_new_node(&mut batch, place.kinds, place.jid.as_str(), name, &state);
        match place.commit(batch).await {
            Err(error) if error == StanzaError::conflict() => {}
            Err(error) => return Err(error),
            Ok(()) => {
                create::note_bytes(place, name, Some(0)).await;
                place.shelf.put(&place.server, name, state);
            }
        }
    }
    // With its basis.
    place.node(name).await
}

/// Has the nodes beside follow a change of the node called `name`, or of itself if it is one of them.
pub async fn follow(place: &Place, name: &str) -> Result<(), StanzaError> {
    match Derived::read(place.jid.as_str(), name) {
        None => follow_target(place, name).await,
        Some(Derived::Attachments { target, item }) => sum_up(place, name, &target, &item).await,
        Some(_) => Ok(()),
    }
}

/// Attachments of one item have changed: its summary does.
async fn sum_up(place: &Place, name: &str, target: &str, item: &str) -> Result<(), StanzaError> {
    let Some(node) = place.look(target).await? else {
        return Ok(());
    };
    let summary = name::summary(target);
    let summary = match place.look(&summary).await? {
        Some(summary) => summary,
        // XEP-0470 §4.6: it comes with the first attachment.
        None => {
            let config = following(&node.lock().config);
            make(place, &summary, config).await?
        }
    };
    let _alone = summary.changing.lock().await;
    if place.look(name).await?.is_none() {
        return take_back(place, &summary, item).await;
    }
    let (store, owner) = (place.server.store(), place.jid.as_str());
    let attached = records::list(store, &place.kinds.payload, owner, name).await;
    let mut sum = Summary::default();
    for (_, payload) in attached.map_err(|error| store_failure(&error))? {
        sum.add(&payload);
    }
    let payload = sum.payload();
    if items::payload(place, &summary.name, item).await? == Some(payload.clone()) {
        return Ok(());
    }
    // XEP-0470 §4.6: who is subscribed to the summary is told of it.
    publish::put(place, &place.jid, &summary, item, payload).await
}

/// Takes an item out of a summary, whose `changing` the caller holds.
async fn take_back(place: &Place, summary: &Node, item: &str) -> Result<(), StanzaError> {
    let there = summary.lock().item(item).is_some();
    match there {
        true => retract::take(place, summary, item, true).await,
        false => Ok(()),
    }
}

/// A node has changed: what is beside it goes with its items, and with it; and has its models.
async fn follow_target(place: &Place, target: &str) -> Result<(), StanzaError> {
    let name = name::summary(target);
    if let Some(whole) = place.whole() {
        let names = whole.names(place.server.store(), place.kinds, place.jid.as_str());
        let names = names.await.map_err(|error| store_failure(&error))?;
        if !names.contains_key(&*name) {
            return Ok(());
        }
    }
    let Some(summary) = place.find(&name).await? else {
        return Ok(());
    };
    let node = place.look(target).await?;
    let _alone = summary.changing.lock().await;
    let attached: Vec<Box<str>> = {
        let state = summary.lock();
        state.items.iter().map(|item| item.id.clone()).collect()
    };
    let Some(node) = node else {
        for item in &attached {
            end(place, target, item).await?;
        }
        return create::end(place, &summary, None).await;
    };
    let (config, gone): (NodeConfig, Vec<&Box<str>>) = {
        let state = node.lock();
        let gone = attached.iter().filter(|id| state.item(id).is_none());
        (state.config.clone(), gone.collect())
    };
    for item in &gone {
        end(place, target, item).await?;
        take_back(place, &summary, item).await?;
    }
    // XEP-0470 §4.3: the models of the node are those of all that is beside it.
    let config = following(&config);
    if summary.lock().config == config {
        return Ok(());
    }
    for item in attached.iter().filter(|item| !gone.contains(item)) {
        let name = name::attachments(place.jid.as_str(), target, item);
        if let Some(node) = place.look(&name).await? {
            let _alone = node.changing.lock().await;
            configure(place, &node, config.clone()).await?;
        }
    }
    // Last, so that what was left undone is done the next time.
    configure(place, &summary, config).await
}

/// Ends the attachment node of an item.
async fn end(place: &Place, target: &str, item: &str) -> Result<(), StanzaError> {
    let name = name::attachments(place.jid.as_str(), target, item);
    match place.find(&name).await? {
        None => Ok(()),
        Some(node) => {
            let _alone = node.changing.lock().await;
            create::end(place, &node, None).await
        }
    }
}

/// Configures a node, whose `changing` the caller holds.
async fn configure(place: &Place, node: &Node, config: NodeConfig) -> Result<(), StanzaError> {
    let mut next = node.lock().clone();
    if next.gone || next.config == config {
        return Ok(());
    }
    next.config = config.clone();
    let mut batch = Batch::new();
    let (owner, bytes) = (place.jid.as_str(), next.bytes());
    records::put_node(&mut batch, place.kinds, owner, &node.name, &next, bytes);
    place.commit(batch).await?;
    node.lock().config = config;
    Ok(())
}
