//! Items are read (XEP-0060 §6.5).

use std::collections::HashMap;

use tercet_core::rsm::RsmResult;
use tercet_core::{Jid, StanzaError, XmlWriter, delay};
use tercet_server::module::{IqResult, Reply};
use tercet_server::store_failure;

use super::access::may_read;
use super::node::{Entry, Node};
use super::place::Place;
use super::xml::{NS, Wanted};
use super::{bookmarks, notify, records};

/// Payload bytes in one answer, unless one item has more: far below what a session's outbox holds.
const ANSWER_BYTES: u64 = 1 << 20;
/// Items in one answer.
const ANSWER_ITEMS: u32 = 1000;
/// Items that are read one by one; more are read together.
const FEW: usize = 8;

/// Answers with items: those that are named, the latest, a page, or all. Where there are too many for one answer it is a page, too.
pub async fn items(place: &Place, from: &Jid, name: &str, wanted: Wanted) -> IqResult {
    let node = match place.look(name).await? {
        None if name == bookmarks::NS && place.is_own(from) => {
            bookmarks::adopt(place, from).await?;
            place.node(name).await?
        }
        None if name == bookmarks::NS_LIST && place.is_own(from) => {
            bookmarks::offer_list(place, from).await?;
            place.node(name).await?
        }
        found => found.ok_or_else(StanzaError::item_not_found)?,
    };
    let asker = place.asker(&node, from).await?;
    let entries = {
        let state = node.lock();
        may_read(&state.config, asker)?;
        state.live(place.server.now_ms()).to_vec()
    };
    let (chosen, page) = choose(entries, &wanted)?;
    let payloads = payloads(place, name, &chosen).await?;
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    w.start("items").attr("node", name);
    for entry in &chosen {
        // Taken back since.
        let Some(payload) = payloads.get(&*entry.id) else {
            continue;
        };
        w.start("item").attr("id", &entry.id);
        w.raw(payload).end();
    }
    w.end();
    if let Some(page) = page {
        page.write(&mut w);
    }
    w.end();
    Ok(Reply::Payload(w.finish()))
}

/// The items that are wanted, oldest first, and what page that is.
fn choose(
    entries: Vec<Entry>,
    wanted: &Wanted,
) -> Result<(Vec<Entry>, Option<RsmResult>), StanzaError> {
    if !wanted.ids.is_empty() {
        // XEP-0060 §6.5.9.11: what is not there is left out.
        let ids = wanted.ids.iter();
        let found = ids.filter_map(|id| entries.iter().find(|e| *e.id == **id));
        let mut found: Vec<Entry> = found.cloned().collect();
        found.truncate(fitting(&found));
        return Ok((found, None));
    }
    if let Some(request) = &wanted.page {
        let (range, mut page) = request.choose(&entries, ANSWER_ITEMS, |entry| &entry.id)?;
        let mut found = entries[range].to_vec();
        found.truncate(fitting(&found));
        page.last = found.last().map(|entry| entry.id.to_string());
        return Ok((found, Some(page)));
    }
    // XEP-0060 §6.5.7: the latest.
    let count = wanted.max_items.map_or(usize::MAX, |n| n as usize);
    let all = entries.len();
    let latest = entries[all.saturating_sub(count)..].to_vec();
    let fits = {
        let reversed: Vec<Entry> = latest.iter().rev().cloned().collect();
        fitting(&reversed)
    };
    if fits == latest.len() {
        return Ok((latest, None));
    }
    // XEP-0060 §6.5.4: some of the items, and how to get the others.
    let found = latest[latest.len() - fits..].to_vec();
    let id = |entry: Option<&Entry>| entry.map(|entry| entry.id.to_string());
    let index = u32::try_from(all - fits).ok();
    let page = RsmResult {
        first: id(found.first()).map(|id| (id, index)),
        last: id(found.last()),
        count: u32::try_from(all).ok(),
    };
    Ok((found, Some(page)))
}

/// How many of these, from the first on, go into one answer.
fn fitting(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take_while(|entry| {
        bytes += u64::from(entry.bytes);
        bytes <= ANSWER_BYTES
    });
    fits.take(ANSWER_ITEMS as usize)
        .count()
        .max(1)
        .min(entries.len())
}

/// The payloads of items, by id.
async fn payloads(
    place: &Place,
    node: &str,
    entries: &[Entry],
) -> Result<HashMap<String, Vec<u8>>, StanzaError> {
    let (store, owner) = (place.server.store(), place.jid.as_str());
    if entries.len() > FEW {
        let all = records::list(store, &place.kinds.payload, owner, node).await;
        return Ok(all.map_err(|e| store_failure(&e))?.into_iter().collect());
    }
    let mut found = HashMap::new();
    for entry in entries {
        if let Some(payload) = payload(place, node, &entry.id).await? {
            found.insert(entry.id.to_string(), payload);
        }
    }
    Ok(found)
}

/// The id and payload of the latest item of a node; `None` if it has none.
pub async fn latest(
    place: &Place,
    node: &Node,
) -> Result<Option<(Box<str>, Vec<u8>)>, StanzaError> {
    let id = {
        let state = node.lock();
        let live = state.live(place.server.now_ms());
        live.last().map(|entry| entry.id.clone())
    };
    let Some(id) = id else { return Ok(None) };
    let payload = payload(place, &node.name, &id).await?;
    Ok(payload.map(|payload| (id, payload)))
}

/// The payload of an item.
pub async fn payload(place: &Place, node: &str, id: &str) -> Result<Option<Vec<u8>>, StanzaError> {
    let key = records::key(node, id);
    let (store, owner) = (place.server.store(), place.jid.as_str());
    let payload = store.get(&place.kinds.payload, owner, &key).await;
    payload.map_err(|e| store_failure(&e))
}

/// The message with the last item of a node, for somebody who did not get it (§6.1.7, XEP-0163 §4.3.4). The caller has found that
/// it may.
pub async fn last(place: &Place, node: &Node) -> Result<Option<tercet_core::Stanza>, StanzaError> {
    let (config, entry) = {
        let state = node.lock();
        let live = state.live(place.server.now_ms());
        (state.config.clone(), live.last().cloned())
    };
    let Some(entry) = entry else {
        return Ok(None);
    };
    let Some(payload) = payload(place, &node.name, &entry.id).await? else {
        return Ok(None);
    };
    let event = super::publish::event(&config, &node.name, &entry.id, &payload);
    let mut w = XmlWriter::new();
    let at_ms = i64::try_from(entry.at_ms).unwrap_or(i64::MAX);
    delay::write(&mut w, Some(place.jid.as_str()), at_ms, None);
    Ok(Some(notify::message(place, &config, &event, &w.finish())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::rsm::{Page, RsmRequest};

    fn entries(sizes: &[u32]) -> Vec<Entry> {
        let entry = |(n, bytes): (usize, &u32)| Entry {
            id: format!("{n}").into(),
            number: n as u64,
            at_ms: 0,
            publisher: "".into(),
            bytes: *bytes,
        };
        sizes.iter().enumerate().map(entry).collect()
    }

    fn ids(found: &[Entry]) -> String {
        found.iter().map(|entry| &*entry.id).collect()
    }

    #[test]
    fn the_latest_are_chosen_and_the_order_stays() {
        let wanted = Wanted {
            max_items: Some(2),
            ..Wanted::default()
        };
        let (found, page) = choose(entries(&[1, 1, 1]), &wanted).unwrap();
        assert_eq!((ids(&found).as_str(), page), ("12", None));
    }

    #[test]
    fn what_does_not_fit_into_an_answer_is_left_for_another_page() {
        let big = u32::try_from(ANSWER_BYTES / 2).unwrap();
        let sizes = [big, big, big, 1];
        let (found, page) = choose(entries(&sizes), &Wanted::default()).unwrap();
        assert_eq!(ids(&found), "23");
        let page = page.unwrap();
        assert_eq!(
            (page.first, page.count),
            (Some(("2".into(), Some(2))), Some(4))
        );
        let request = RsmRequest {
            max: None,
            page: Page::First,
        };
        let wanted = Wanted {
            page: Some(request),
            ..Wanted::default()
        };
        let (found, page) = choose(entries(&sizes), &wanted).unwrap();
        assert_eq!(
            (ids(&found), page.unwrap().last),
            ("01".into(), Some("1".into()))
        );
        let huge = [u32::MAX];
        let (found, _) = choose(entries(&huge), &Wanted::default()).unwrap();
        assert_eq!(ids(&found), "0");
    }

    #[test]
    fn items_that_are_not_there_are_left_out() {
        let wanted = Wanted {
            ids: vec!["2".into(), "9".into()],
            ..Wanted::default()
        };
        let (found, _) = choose(entries(&[1, 1, 1]), &wanted).unwrap();
        assert_eq!(ids(&found), "2");
    }
}
