//! Block lists as privacy lists (XEP-0016): the form in which the format has them.

use std::collections::BTreeSet;

use tercet_core::{Element, Jid, XmlWriter};

use super::NS_PRIVACY;

/// The name of the list that is written.
const NAME: &str = "blocked";
/// The most addresses.
const MOST: usize = 10_000;

/// Writes a block list; nothing if it is empty.
pub(super) fn write<'a>(blocked: impl Iterator<Item = &'a str>, w: &mut XmlWriter) {
    let mut blocked = blocked.peekable();
    if blocked.peek().is_none() {
        return;
    }
    w.start("query").attr("xmlns", NS_PRIVACY);
    w.leaf("default", &[("name", NAME)]);
    w.start("list").attr("name", NAME);
    let mut last = 0;
    for (jid, order) in blocked.zip(1..) {
        let order_text = order.to_string();
        w.leaf(
            "item",
            &[
                ("type", "jid"),
                ("value", jid),
                ("action", "deny"),
                ("order", &order_text),
            ],
        );
        last = order;
    }
    let order = (last + 1).to_string();
    w.leaf("item", &[("action", "allow"), ("order", &order)]);
    w.end().end();
}

/// Whom the default list keeps away altogether. The error says what else the lists want.
pub(super) fn read(query: Element<'_>, blocked: &mut BTreeSet<String>) -> Result<(), String> {
    let lists = || query.children().filter(|c| c.is("list", NS_PRIVACY));
    let default = query.child("default", NS_PRIVACY);
    let default = default.and_then(|default| default.attr("name"));
    let mut left = 0;
    for list in lists() {
        let applies = default.is_some() && list.attr("name") == default;
        let mut items: Vec<_> = list.children().collect();
        items.sort_by_key(|item| order(*item));
        let last = items.len().saturating_sub(1);
        for (place, item) in items.into_iter().enumerate() {
            let denied = item.attr("action").as_deref() == Some("deny");
            let of_all = item.children().next().is_none();
            let jid = (item.attr("type").as_deref() == Some("jid"))
                .then(|| item.attr("value").and_then(|jid| Jid::parse(&jid).ok()))
                .flatten();
            match jid.filter(|_| applies && denied && of_all) {
                Some(jid) if blocked.len() < MOST => drop(blocked.insert(jid.as_str().to_owned())),
                // All others pass, as they do anyway.
                None if applies && !denied && item.attr("type").is_none() && place == last => {}
                _ => left += 1,
            }
        }
    }
    match left {
        0 => Ok(()),
        left => Err(format!(
            "{left} rules do more than to block an address by the default list"
        )),
    }
}

fn order(item: Element<'_>) -> u64 {
    let order = item.attr("order").and_then(|order| order.parse().ok());
    order.unwrap_or(u64::MAX)
}
