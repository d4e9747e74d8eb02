//! What is told of nodes and of who has them (XEP-0060 §5.1 to §5.5).

use tercet_core::rsm::{Page, RsmRequest};
use tercet_core::{StanzaError, XmlWriter};
use tercet_server::module::{IqCx, IqResult, Reply};
use tercet_server::store_failure;

use super::access::{may_read, may_subscribe};
use super::attachments::is_attachments;
use super::config::Access;
use super::place::Place;
use super::records;
use super::xml::NS;
use crate::disco::{INFO, ITEMS, Question};

/// Nodes on a page, unless fewer are asked for.
const PAGE: u32 = 200;

/// An answer about a node; `None`: there is none of that name.
pub async fn node(
    place: &Place,
    cx: &IqCx<'_>,
    name: &str,
    question: Question,
) -> Option<IqResult> {
    let node = match place.look(name).await {
        Ok(node) => node?,
        Err(error) => return Some(Err(error)),
    };
    let asker = match place.asker(&node, cx.from).await {
        Ok(asker) => asker,
        Err(error) => return Some(Err(error)),
    };
    let owners = node.owners();
    let state = node.lock();
    // Who may not subscribe learns nothing, not even that the node is there.
    if let Err(error) = may_subscribe(&state.config, asker) {
        return Some(Err(match place.account {
            Some(_) => StanzaError::item_not_found(),
            None => error,
        }));
    }
    let mut w = XmlWriter::new();
    match question {
        Question::Info => {
            w.start("query").attr("xmlns", INFO).attr("node", name);
            w.leaf("identity", &[("category", "pubsub"), ("type", "leaf")]);
            w.leaf("feature", &[("var", NS)]);
            w.leaf("feature", &[("var", INFO)]);
            let owners: Vec<String> = match place.account {
                Some(_) => vec![place.jid.to_string()],
                None => owners.iter().map(|owner| owner.to_string()).collect(),
            };
            let subscribers = state.subscriptions();
            let meta = state.config.meta(state.created_ms, &owners, subscribers);
            meta.write(&mut w);
        }
        Question::Items => {
            w.start("query").attr("xmlns", ITEMS).attr("node", name);
            if may_read(&state.config, asker).is_ok() {
                for item in state.live(place.server.now_ms()) {
                    // XEP-0060 §5.5: the name of the item is its id.
                    w.leaf("item", &[("jid", place.jid.as_str()), ("name", &item.id)]);
                }
            }
        }
    }
    w.end();
    Some(Ok(Reply::Payload(w.finish())))
}

/// The nodes of an account that the sender may subscribe to: their names and titles.
pub async fn personal(place: &Place, cx: &IqCx<'_>) -> Result<Vec<(String, String)>, StanzaError> {
    let mut shown = Vec::new();
    let names = place.names().await?.unwrap_or_default();
    // Attachments are found by their items.
    for name in names.into_iter().filter(|name| !is_attachments(name)) {
        let Some(node) = place.look(&name).await? else {
            continue;
        };
        let asker = place.asker(&node, cx.from).await?;
        let state = node.lock();
        // XEP-0163 §6.2: only nodes that the sender may subscribe to.
        if may_subscribe(&state.config, asker).is_ok() {
            shown.push((name.into_string(), state.config.title.clone()));
        }
    }
    Ok(shown)
}

/// The nodes of a service (§5.2), a page of them: those that are open to all, and those on whose lists the sender is.
pub async fn nodes(place: &Place, cx: &IqCx<'_>, page: Option<RsmRequest>) -> IqResult {
    let (store, owner) = (place.server.store(), place.jid.as_str());
    let joined = place.joined(cx.from.bare_str()).await?;
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let size = PAGE as usize;
        let slice = store.list_after(&place.kinds.node, owner, after.as_deref(), size);
        let slice = slice.await.map_err(|e| store_failure(&e))?;
        let full = slice.len() == size;
        for (name, record) in slice {
            after = Some(name.clone());
            let Some((state, _)) = records::read_node(&record) else {
                continue;
            };
            if is_attachments(&name) {
                continue;
            }
            let open = matches!(state.config.access, Access::Open | Access::Authorize);
            if open || joined.iter().any(|(of, _)| *of == name) {
                all.push((name, state.config.title));
            }
        }
        if !full {
            break;
        }
    }
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", ITEMS);
    let write = |w: &mut XmlWriter, (name, title): &(String, String)| {
        w.start("item")
            .attr("jid", owner)
            .attr("node", name)
            .opt_attr("name", Some(title.as_str()).filter(|t| !t.is_empty()))
            .end();
    };
    match page {
        None if all.len() <= PAGE as usize => all.iter().for_each(|node| write(&mut w, node)),
        page => {
            let request = page.unwrap_or(RsmRequest {
                max: None,
                page: Page::First,
            });
            let (range, result) = request.choose(&all, PAGE, |(name, _)| name)?;
            all[range].iter().for_each(|node| write(&mut w, node));
            result.write(&mut w);
        }
    }
    w.end();
    Ok(Reply::Payload(w.finish()))
}
