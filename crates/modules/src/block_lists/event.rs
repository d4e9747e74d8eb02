//! News of a list (XEP-0060 §7.1.2.1, §7.2.2.1, §8.4, §8.5).

use tercet_core::Element;
use tercet_server::Routed;
use tercet_server::module::EntityCx;
use tercet_store::Batch;

use super::entry::{Entries, Hash, item, named};
use super::lists::{List, Phase};
use super::{Guard, fetch};
use crate::pubsub::xml::NS_EVENT;

/// Takes a notification of a service whose node is one of the host's lists; `None` if the message is something else.
pub(super) fn take(cx: &EntityCx<'_>) -> Option<Routed> {
    let event = cx.stanza.child("event", NS_EVENT)?.parse();
    let guard = cx.host.provided::<Guard>().next()?;
    let (host, most) = (cx.host.domain(), guard.config().entries);
    let mut added: Vec<Hash> = Vec::new();
    let mut is_ours = false;
    let mut batch = Batch::new();
    {
        let mut state = guard.lists(cx.server).write();
        for news in event.root().children().filter(|c| c.ns() == NS_EVENT) {
            let node = news.attr("node").unwrap_or_default();
            // Only the service itself is believed, not who else writes from its domain.
            let mut lists = state.lists.iter_mut();
            let Some(list) = lists.find(|l| l.name.service == *cx.from && l.name.node == node)
            else {
                continue;
            };
            is_ours = true;
            list.updated_ms = Some(cx.server.now_ms());
            apply(list, host, news, most, &mut batch, &mut added);
        }
    }
    if !is_ours {
        return None;
    }
    if !added.is_empty() {
        fetch::expel(cx.server, guard, added);
    }
    Some(match batch.is_empty() {
        true => Routed::Done,
        false => cx.keep(batch),
    })
}

fn apply(
    list: &mut List,
    host: &str,
    news: Element<'_>,
    most: usize,
    batch: &mut Batch,
    added: &mut Vec<Hash>,
) {
    match news.name() {
        "items" => {
            for child in news.children().filter(|c| c.ns() == NS_EVENT) {
                let change = match child.name() {
                    "item" => item(child).map(|(hash, reason)| (hash, Some(reason))),
                    "retract" => {
                        let id = child.attr("id");
                        id.and_then(|id| named(&id)).map(|hash| (hash, None))
                    }
                    _ => None,
                };
                if let Some((hash, to)) = change
                    && list.change(host, hash, to, most, batch)
                {
                    added.push(hash);
                }
            }
        }
        "purge" | "delete" => {
            list.replace(host, Entries::new(), batch);
            if let Phase::Reading {
                entries, changes, ..
            } = &mut list.phase
            {
                // What was read before is not there any more.
                entries.clear();
                changes.clear();
            }
            if news.name() == "delete" {
                list.error = Some("its node was deleted".into());
                tracing::warn!(list = %list.name, "a block list was deleted by its service");
            }
        }
        _ => {}
    }
}
