//! Bookmarks of rooms in two formats at three places: items of a node (XEP-0402), and one list (XEP-0048) that is both in private XML
//! storage (XEP-0049) and the item of another node. The list is made from the items and read into them (XEP-0402 §5.1, `#compat` and
//! `#compat-pep`; XEP-0411).

use std::collections::BTreeMap;

use tercet_core::{BareJid, Element, Jid, OwnedElement, StanzaError, XmlWriter};
use tercet_server::store_failure;
use tercet_store::Batch;

use super::config::{Access, NodeConfig, SendLast};
use super::place::Place;
use super::xml::NewItem;
use super::{create, items, publish, records, retract};
use crate::private::PRIVATE;

/// The node of bookmarks, and the namespace of each.
pub const NS: &str = "urn:xmpp:bookmarks:1";
/// The namespace of the list, and the node where it is the only item.
pub const NS_LIST: &str = "storage:bookmarks";
/// The id of that item (XEP-0048 §4).
const CURRENT: &str = "current";
/// The key of the list in private storage.
pub const LIST: &str = "storage:bookmarks storage";
/// The most bookmarks of a list that become items.
const MOST: usize = 1000;

/// One bookmark.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Bookmark {
    name: Option<String>,
    autojoin: bool,
    nick: Option<String>,
    password: Option<String>,
    /// What else clients keep with it: `<extensions/>`, as it came.
    extensions: Vec<u8>,
}

impl Bookmark {
    /// Reads `<conference/>`, whose children are in the namespace `ns`.
    fn parse(el: Element<'_>, ns: &str) -> Bookmark {
        let text = |name| el.child(name, ns).map(|c| c.text().into_owned());
        let mut extensions = Vec::new();
        if let Some(more) = el.child("extensions", NS) {
            more.to_xml(&mut extensions);
        }
        Bookmark {
            name: el.attr("name").map(|n| n.into_owned()),
            autojoin: matches!(el.attr("autojoin").as_deref(), Some("1" | "true")),
            nick: text("nick"),
            password: text("password"),
            extensions,
        }
    }

    /// Writes it as an item's payload, or as a part of the list, which has its address.
    fn write(&self, jid: Option<&str>, w: &mut XmlWriter) {
        w.start("conference");
        match jid {
            Some(jid) => w.attr("jid", jid),
            None => w.attr("xmlns", NS),
        };
        w.opt_attr("name", self.name.as_deref());
        if self.autojoin {
            w.attr("autojoin", "true");
        }
        for (name, text) in [("nick", &self.nick), ("password", &self.password)] {
            if let Some(text) = text {
                w.text_element(name, text);
            }
        }
        if jid.is_none() {
            w.raw(&self.extensions);
        }
        w.end();
    }

    fn payload(&self) -> Vec<u8> {
        let mut w = XmlWriter::new();
        self.write(None, &mut w);
        w.finish()
    }
}

/// The bookmarks of a list, by room.
fn of_list(list: Element<'_>) -> BTreeMap<BareJid, Bookmark> {
    let rooms = list.children().filter(|c| c.is("conference", NS_LIST));
    let read = |el: Element<'_>| {
        let jid = Jid::parse(&el.attr("jid")?).ok()?.to_bare();
        Some((jid, Bookmark::parse(el, NS_LIST)))
    };
    rooms.filter_map(read).take(MOST).collect()
}

/// The bookmarks at the node; `None` if there is no node, or one that others may read, which is left alone.
async fn of_node(place: &Place) -> Result<Option<BTreeMap<String, Bookmark>>, StanzaError> {
    let Some(node) = place.look(NS).await? else {
        return Ok(None);
    };
    if node.lock().config.access != Access::Whitelist {
        return Ok(None);
    }
    let (store, owner) = (place.server.store(), place.jid.as_str());
    let payloads = records::list(store, &place.kinds.payload, owner, NS).await;
    let payloads = payloads.map_err(|e| store_failure(&e))?;
    let read = |(id, xml): (String, Vec<u8>)| {
        let xml = OwnedElement::parse(&xml, "").ok()?;
        Some((id, Bookmark::parse(xml.root(), NS)))
    };
    Ok(Some(payloads.into_iter().filter_map(read).collect()))
}

/// The list, made from the items: with what `kept`, the list as it was kept last, has besides rooms. `None` if it is to be shown as it
/// was kept.
pub async fn list(place: &Place, kept: Option<&[u8]>) -> Result<Option<Vec<u8>>, StanzaError> {
    let Some(items) = of_node(place).await? else {
        return Ok(None);
    };
    let mut w = XmlWriter::new();
    w.start("storage").attr("xmlns", NS_LIST);
    for (jid, bookmark) in &items {
        bookmark.write(Some(jid), &mut w);
    }
    let kept = kept.and_then(|kept| OwnedElement::parse(kept, "").ok());
    if let Some(kept) = &kept {
        let others = kept.root().children();
        for other in others.filter(|c| !c.is("conference", NS_LIST)) {
            let mut xml = Vec::new();
            other.to_xml(&mut xml);
            w.raw(&xml);
        }
    }
    w.end();
    Ok(Some(w.finish()))
}

/// A client has changed what is at one of the two nodes: the other one follows, and private storage.
pub async fn follow(place: &Place, from: &Jid, node: &str) -> Result<(), StanzaError> {
    let Some(whole) = place.whole() else {
        return Ok(());
    };
    let _alone = whole.bookmarks.lock().await;
    if node == NS {
        return show_list(place, from).await;
    }
    let Some(list) = list_at_node(place).await?.flatten() else {
        return Ok(());
    };
    take_items(place, from, &list).await?;
    let mut batch = Batch::new();
    batch.put(&PRIVATE, place.jid.as_str(), LIST, list);
    place.commit(batch).await
}

/// A list has been written to private storage: both nodes follow.
pub async fn take(place: &Place, from: &Jid, list: &[u8]) -> Result<(), StanzaError> {
    let Some(whole) = place.whole() else {
        return Ok(());
    };
    let _alone = whole.bookmarks.lock().await;
    take_items(place, from, list).await?;
    show_list(place, from).await
}

/// What is there becomes the list's node, for the user who asks for it and does not find it.
pub async fn offer_list(place: &Place, from: &Jid) -> Result<(), StanzaError> {
    adopt(place, from).await?;
    if let Some(list) = whole_list(place).await? {
        publish_list(place, from, list).await?;
    }
    Ok(())
}

/// The list as it is now; `None` if there never was a bookmark.
async fn whole_list(place: &Place) -> Result<Option<Vec<u8>>, StanzaError> {
    let kept = place.server.store().get(&PRIVATE, place.jid.as_str(), LIST);
    let kept = kept.await.map_err(|e| store_failure(&e))?;
    Ok(list(place, kept.as_deref()).await?.or(kept))
}

/// The list at its node, if one is there; `None` if there is no node, or others may read it.
async fn list_at_node(place: &Place) -> Result<Option<Option<Vec<u8>>>, StanzaError> {
    let Some(node) = place.look(NS_LIST).await? else {
        return Ok(None);
    };
    if node.lock().config.access != Access::Whitelist {
        return Ok(None);
    }
    let latest = items::latest(place, &node).await?;
    Ok(Some(latest.map(|(_, list)| list)))
}

/// Publishes the list where there is the node for it. XEP-0411 §5: not where others may read it.
async fn show_list(place: &Place, from: &Jid) -> Result<(), StanzaError> {
    let Some(before) = list_at_node(place).await? else {
        return Ok(());
    };
    match whole_list(place).await? {
        Some(list) if Some(&list) != before.as_ref() => publish_list(place, from, list).await,
        _ => Ok(()),
    }
}

async fn publish_list(place: &Place, from: &Jid, list: Vec<u8>) -> Result<(), StanzaError> {
    let config = NodeConfig {
        access: Access::Whitelist,
        ..place.defaults()
    };
    let item = NewItem {
        id: Some(CURRENT.into()),
        payload: Some(list),
        ns: NS_LIST.into(),
    };
    publish::publish_for_user(place, from, NS_LIST, config, item).await
}

/// A list has been written: items are published where it says something new, and taken back where it has nothing any more.
async fn take_items(place: &Place, from: &Jid, list: &[u8]) -> Result<(), StanzaError> {
    let Ok(list) = OwnedElement::parse(list, "") else {
        return Ok(());
    };
    let wanted = of_list(list.root());
    let node = match place.look(NS).await? {
        Some(node) => node,
        None if wanted.is_empty() => return Ok(()),
        None => create::make(place, from, NS, config(place)).await?,
    };
    let Some(present) = of_node(place).await? else {
        return Ok(());
    };
    for (jid, mut bookmark) in wanted.clone() {
        let before = present.get(jid.as_str());
        // Who knows the list alone knows nothing of these.
        bookmark.extensions = before.map(|b| b.extensions.clone()).unwrap_or_default();
        // XEP-0402 §5.1: what is unchanged is not told.
        if before != Some(&bookmark) {
            let _alone = node.changing.lock().await;
            publish::put(place, from, &node, jid.as_str(), bookmark.payload()).await?;
        }
    }
    for id in present
        .keys()
        .filter(|id| !wanted.contains_key(id.as_str()))
    {
        let gone = retract::retract(place, from, NS, id, true).await;
        // Somebody else was faster.
        gone.map(drop).or_else(|error| match error {
            error if error == StanzaError::item_not_found() => Ok(()),
            error => Err(error),
        })?;
    }
    Ok(())
}

/// A list that was kept before there was the node becomes its items, for the user who asks for these.
pub async fn adopt(place: &Place, from: &Jid) -> Result<(), StanzaError> {
    if place.look(NS).await?.is_some() {
        return Ok(());
    }
    let kept = place.server.store().get(&PRIVATE, place.jid.as_str(), LIST);
    let kept = kept.await.map_err(|e| store_failure(&e))?;
    match kept {
        Some(kept) => take(place, from, &kept).await,
        None => match list_at_node(place).await? {
            Some(Some(_)) => follow(place, from, NS_LIST).await,
            _ => Ok(()),
        },
    }
}

/// XEP-0402 §3: how the node is to be.
fn config(place: &Place) -> NodeConfig {
    NodeConfig {
        access: Access::Whitelist,
        max_items: None,
        send_last: SendLast::Never,
        ..place.defaults()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_is_the_same_in_both_formats() {
        let list = b"<storage xmlns='storage:bookmarks'>\
            <conference jid='Garden@rooms.example.org' name='R&amp;J' autojoin='1'><nick>Romeo</nick></conference>\
            <conference name='without address'/><url url='https://example.org'/></storage>";
        let list = OwnedElement::parse(list, "").unwrap();
        let bookmarks = of_list(list.root());
        let (jid, bookmark) = bookmarks.first_key_value().unwrap();
        assert_eq!(
            (bookmarks.len(), jid.as_str()),
            (1, "garden@rooms.example.org")
        );
        let payload = bookmark.payload();
        assert_eq!(
            String::from_utf8_lossy(&payload),
            "<conference xmlns='urn:xmpp:bookmarks:1' name='R&amp;J' autojoin='true'><nick>Romeo</nick></conference>"
        );
        let payload = OwnedElement::parse(&payload, "").unwrap();
        assert_eq!(Bookmark::parse(payload.root(), NS), *bookmark);
    }

    #[test]
    fn what_clients_keep_with_a_bookmark_stays_with_it() {
        let xml = b"<conference xmlns='urn:xmpp:bookmarks:1'><extensions><a xmlns='urn:a'/></extensions></conference>";
        let bookmark = Bookmark::parse(OwnedElement::parse(xml, "").unwrap().root(), NS);
        let again = OwnedElement::parse(&bookmark.payload(), "").unwrap();
        assert_eq!(Bookmark::parse(again.root(), NS), bookmark);
        let extensions = again.root().child("extensions", NS).unwrap();
        assert!(extensions.child("a", "urn:a").is_some());
    }
}
