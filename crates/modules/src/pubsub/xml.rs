//! The requests of XEP-0060, read.

use tercet_core::forms::Form;
use tercet_core::rsm::RsmRequest;
use tercet_core::{Element, Jid, StanzaError};
use tercet_server::module::Payload;

use super::errors;
use super::node::{Affiliation, Subscribed};

/// The namespace of what everybody may ask.
pub const NS: &str = "http://jabber.org/protocol/pubsub";
/// The namespace of what owners ask.
pub const NS_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// The namespace of what is told.
pub const NS_EVENT: &str = "http://jabber.org/protocol/pubsub#event";

/// The most bytes of a node's name and of an item's id.
pub const MAX_ID: usize = 1024;

/// An item that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Its id; none: the service makes one.
    pub id: Option<String>,
    /// Its payload, with namespaces declared.
    pub payload: Option<Vec<u8>>,
    /// The payload's namespace.
    pub ns: String,
}

/// Which items are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// These.
    pub ids: Vec<String>,
    /// So many of the latest.
    pub max_items: Option<u32>,
    /// A page.
    pub page: Option<RsmRequest>,
}

/// `<pubsub xmlns='http://jabber.org/protocol/pubsub'/>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A node is made; none: the service names it.
    Create(Option<String>, Option<Form>),
    /// An item is published, or told of.
    Publish(String, Option<NewItem>, Option<Form>),
    /// An item is taken back; the flag: subscribers are told.
    Retract(String, String, bool),
    /// Items are asked for.
    Items(String, Wanted),
    /// A subscription begins.
    Subscribe(String, Jid, Option<Form>),
    /// It ends.
    Unsubscribe(String, Jid, Option<String>),
    /// The options of a subscription (its node, address and id), or new ones.
    Options(String, Jid, Option<String>, Option<Form>),
    /// The options of new subscriptions, at a node or at all.
    Default(Option<String>),
    /// Which subscriptions the sender has, at a node or at all.
    Subscriptions(Option<String>),
    /// What the sender is to a node, or to all.
    Affiliations(Option<String>),
}

/// `<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'/>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerRequest {
    /// A node's configuration, or a new one.
    Configure(String, Option<Form>),
    /// The configuration of new nodes.
    Default,
    /// A node ends; where its subscribers may go.
    Delete(String, Option<String>),
    /// All its items are taken back.
    Purge(String),
    /// Who is subscribed, or to be.
    Subscriptions(String, Vec<(Jid, Option<Subscribed>)>),
    /// Who is on its lists, or to be.
    Affiliations(String, Vec<(Jid, Affiliation)>),
}

impl Request {
    /// The node that it changes.
    pub fn changed(&self) -> Option<&str> {
        match self {
            Request::Publish(node, ..) | Request::Retract(node, ..) => Some(node),
            _ => None,
        }
    }
}

impl OwnerRequest {
    /// The node that it changes, if it is no question.
    pub fn changed(&self) -> Option<&str> {
        match self {
            OwnerRequest::Configure(node, _)
            | OwnerRequest::Delete(node, _)
            | OwnerRequest::Purge(node) => Some(node),
            _ => None,
        }
    }
}

/// The name of the node of `el`; none if it is empty.
fn node(el: Element<'_>) -> Result<Option<String>, StanzaError> {
    let node = el.attr("node").map(|n| n.into_owned());
    let node = node.filter(|n| !n.is_empty());
    match node {
        Some(node) if node.len() > MAX_ID => {
            Err(StanzaError::not_acceptable().text("the node's name is too long"))
        }
        node => Ok(node),
    }
}

fn required(el: Element<'_>) -> Result<String, StanzaError> {
    node(el)?.ok_or_else(errors::node_required)
}

fn jid(el: Element<'_>) -> Result<Jid, StanzaError> {
    // XEP-0060 §6.1.3, §6.2.3: the address is required.
    let jid = el.attr("jid").ok_or_else(errors::jid_required)?;
    Jid::parse(&jid).map_err(|_| errors::invalid_jid())
}

fn subid(el: Element<'_>) -> Option<String> {
    el.attr("subid").map(|s| s.into_owned())
}

fn id(el: Element<'_>) -> Result<Option<String>, StanzaError> {
    let id = el.attr("id").map(|id| id.into_owned());
    match id.filter(|id| !id.is_empty()) {
        Some(id) if id.len() > MAX_ID => {
            Err(StanzaError::not_acceptable().text("the item's id is too long"))
        }
        id => Ok(id),
    }
}

/// The form of the sibling or child `name`; `None` if it is not there or has no form.
fn form(parent: Element<'_>, name: &str, ns: &str) -> Result<Option<Form>, StanzaError> {
    match parent.child(name, ns) {
        Some(el) => Form::parse_child(el),
        None => Ok(None),
    }
}

fn number(el: Element<'_>, name: &str) -> Result<Option<u32>, StanzaError> {
    let number = el.attr(name).map(|n| n.trim().parse());
    let number = number.transpose();
    number.map_err(|_| StanzaError::bad_request().text(format!("{name} is not a number")))
}

impl Payload for Request {
    const NAME: &'static str = "pubsub";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let deed = el.children().find(|c| c.ns() == NS);
        let deed = deed.ok_or_else(StanzaError::bad_request)?;
        Ok(match deed.name() {
            "create" => Request::Create(node(deed)?, form(el, "configure", NS)?),
            "publish" => Request::Publish(
                required(deed)?,
                new_item(deed)?,
                form(el, "publish-options", NS)?,
            ),
            "retract" => {
                let node = required(deed)?;
                let mut items = deed.children().filter(|c| c.is("item", NS));
                // XEP-0060 §7.2.3: one item with an id.
                let item = items.next().map(id).transpose()?.flatten();
                let notify = deed.attr("notify");
                let notify = matches!(notify.as_deref(), Some("1" | "true"));
                Request::Retract(node, item.ok_or_else(errors::item_required)?, notify)
            }
            "items" => {
                let node = required(deed)?;
                let ids = deed.children().filter(|c| c.is("item", NS));
                let ids = ids.map(|item| id(item).map(Option::unwrap_or_default));
                Request::Items(
                    node,
                    Wanted {
                        ids: ids.collect::<Result<_, _>>()?,
                        max_items: number(deed, "max_items")?,
                        page: RsmRequest::parse_child(el)?,
                    },
                )
            }
            "subscribe" => {
                let options = el.child("options", NS);
                // XEP-0060 §6.3.7: they are those of the subscription beside them.
                if options.is_some_and(|o| o.attr("node").is_some() || o.attr("jid").is_some()) {
                    return Err(StanzaError::bad_request());
                }
                Request::Subscribe(required(deed)?, jid(deed)?, form(el, "options", NS)?)
            }
            "unsubscribe" => Request::Unsubscribe(required(deed)?, jid(deed)?, subid(deed)),
            "subscriptions" => Request::Subscriptions(node(deed)?),
            "affiliations" => Request::Affiliations(node(deed)?),
            "options" => {
                let form = Form::parse_child(deed)?;
                Request::Options(required(deed)?, jid(deed)?, subid(deed), form)
            }
            "default" => Request::Default(node(deed)?),
            _ => return Err(StanzaError::bad_request()),
        })
    }
}

fn new_item(publish: Element<'_>) -> Result<Option<NewItem>, StanzaError> {
    let mut items = publish.children().filter(|c| c.is("item", NS));
    let Some(item) = items.next() else {
        return Ok(None);
    };
    if items.next().is_some() {
        return Err(errors::max_items_exceeded());
    }
    let mut payloads = item.children();
    let payload = payloads.next();
    // XEP-0060 §7.1.3.5: one payload.
    if payloads.next().is_some() {
        return Err(errors::invalid_payload());
    }
    Ok(Some(NewItem {
        id: id(item)?,
        ns: payload.map(|p| p.ns().to_owned()).unwrap_or_default(),
        payload: payload.map(|payload| {
            let mut xml = Vec::new();
            payload.to_xml(&mut xml);
            xml
        }),
    }))
}

impl Payload for OwnerRequest {
    const NAME: &'static str = "pubsub";
    const NS: &'static str = NS_OWNER;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let deed = el.children().find(|c| c.ns() == NS_OWNER);
        let deed = deed.ok_or_else(StanzaError::bad_request)?;
        Ok(match deed.name() {
            "configure" => OwnerRequest::Configure(required(deed)?, Form::parse_child(deed)?),
            "default" => OwnerRequest::Default,
            "delete" => {
                let redirect = deed.child("redirect", NS_OWNER);
                let uri = redirect.and_then(|r| r.attr("uri")).map(|u| u.into_owned());
                OwnerRequest::Delete(required(deed)?, uri.filter(|uri| uri.len() <= MAX_ID))
            }
            "purge" => OwnerRequest::Purge(required(deed)?),
            "subscriptions" => {
                let mut all = Vec::new();
                for el in deed.children().filter(|c| c.is("subscription", NS_OWNER)) {
                    let state = match el.attr("subscription").as_deref() {
                        Some("none") => None,
                        Some("pending") => Some(Subscribed::Pending),
                        Some("subscribed") => Some(Subscribed::Yes),
                        // XEP-0060 §8.8.2: what is not said does not change.
                        None => continue,
                        Some(_) => return Err(StanzaError::not_acceptable()),
                    };
                    all.push((jid(el)?, state));
                }
                OwnerRequest::Subscriptions(required(deed)?, all)
            }
            "affiliations" => {
                let mut all = Vec::new();
                for el in deed.children().filter(|c| c.is("affiliation", NS_OWNER)) {
                    // XEP-0060 §8.9.2: what is not said does not change.
                    let Some(name) = el.attr("affiliation") else {
                        continue;
                    };
                    let affiliation = Affiliation::from_name(&name);
                    let affiliation = affiliation.ok_or_else(StanzaError::not_acceptable)?;
                    all.push((jid(el)?, affiliation));
                }
                OwnerRequest::Affiliations(required(deed)?, all)
            }
            _ => return Err(StanzaError::bad_request()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::OwnedElement;

    fn read(content: &str) -> Result<Request, StanzaError> {
        let xml = format!("<pubsub xmlns='{NS}'>{content}</pubsub>");
        Request::parse(
            OwnedElement::parse(xml.as_bytes(), "jabber:client")
                .unwrap()
                .root(),
        )
    }

    #[test]
    fn an_item_keeps_its_payload_and_its_namespace() {
        let request = read("<publish node='n'><item id='i'><a xmlns='b'>c</a></item></publish>");
        let item = NewItem {
            id: Some("i".into()),
            payload: Some(b"<a xmlns='b'>c</a>".to_vec()),
            ns: "b".into(),
        };
        assert_eq!(request, Ok(Request::Publish("n".into(), Some(item), None)));
    }

    #[test]
    fn what_is_missing_or_too_much_is_refused_by_its_name() {
        for (content, error) in [
            ("", StanzaError::bad_request()),
            ("<publish/>", errors::node_required()),
            (
                "<publish node='n'><item><a/><b/></item></publish>",
                errors::invalid_payload(),
            ),
            (
                "<publish node='n'><item/><item/></publish>",
                errors::max_items_exceeded(),
            ),
            ("<retract node='n'/>", errors::item_required()),
            (
                "<retract node='n'><item/></retract>",
                errors::item_required(),
            ),
            ("<subscribe node='n'/>", errors::jid_required()),
            ("<subscribe node='n' jid='@'/>", errors::invalid_jid()),
            (
                "<subscribe node='n' jid='a@b'/><options node='n'/>",
                StanzaError::bad_request(),
            ),
            ("<options node='n'/>", errors::jid_required()),
            ("<options jid='a@b'/>", errors::node_required()),
        ] {
            assert_eq!(read(content), Err(error), "{content}");
        }
        let long = "n".repeat(MAX_ID + 1);
        assert!(read(&format!("<items node='{long}'/>")).is_err());
    }
}
