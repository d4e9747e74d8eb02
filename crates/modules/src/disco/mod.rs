//! XEP-0030 Service Discovery 2.5.0, with the forms of XEP-0128. Gaps: none known for a server.
//!
//! Nothing here knows what the server can do: features come from what modules registered, and identities, items, nodes and
//! forms from what they provide as the types below.

mod answer;

#[cfg(test)]
pub(crate) use answer::tests::examples;
use answer::write_info_instead;
pub use answer::{info_string, string_of, write_info};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tercet_core::rsm::RsmRequest;
use tercet_core::{Element, Jid, StanzaError, XmlWriter};
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Payload, Registrar, Reply, Target, Xep, xep,
};
use tercet_server::{HostInfo, Role, Server};

/// The namespace of questions about features.
pub const INFO: &str = "http://jabber.org/protocol/disco#info";
/// The namespace of questions about items.
pub const ITEMS: &str = "http://jabber.org/protocol/disco#items";

/// What an entity is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Of what: the host, or each account.
    pub target: Target,
    /// Its category, from the registry of categories.
    pub category: &'static str,
    /// Its type in that category.
    pub kind: &'static str,
    /// A name for people.
    pub name: &'static str,
}

/// A form that extends the host's answer (XEP-0128): one `<x type='result'/>`.
pub struct Form(pub Vec<u8>);

/// What somebody else says of a namespace in the host's place, or in that of its accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The namespace: the host's own features of it are left out.
    pub ns: String,
    /// Features.
    pub features: Vec<String>,
    /// Categories and types of its identities: the host's own of the same are left out.
    pub identities: Vec<(String, String)>,
    /// Identities and forms, as XML.
    pub rest: Vec<u8>,
}

/// What is said in the place of a host, or of its accounts.
pub struct Instead(pub Box<InsteadFn>);

/// See [`Instead`].
pub type InsteadFn = dyn Fn(&Server, Target) -> Vec<Arc<Said>> + Send + Sync;

/// Something that belongs to the host and answers for itself.
pub struct HostItem {
    /// Its address.
    pub jid: String,
    /// A name for people.
    pub name: String,
}

/// A node of the host or of accounts, with its own answers.
pub struct Node {
    /// Of what.
    pub target: Target,
    /// Answers a question about the node with this name, or `None` if it is none of this node's.
    pub answer: Box<NodeFn>,
}

/// Answers for nodes.
pub type NodeFn = dyn for<'a> Fn(IqCx<'a>, &'a str, Question) -> NodeFuture<'a> + Send + Sync;

/// An answer for a node; the error is for the client.
pub type NodeFuture<'a> = Pin<Box<dyn Future<Output = Option<IqResult>> + Send + 'a>>;

/// What is asked about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Its identity and features.
    Info,
    /// What it contains.
    Items,
}

/// `<query xmlns='…#info'/>`
pub struct InfoQuery {
    node: Option<String>,
}

/// `<query xmlns='…#items'/>`
pub struct ItemsQuery {
    node: Option<String>,
    page: Option<RsmRequest>,
}

impl Payload for InfoQuery {
    const NAME: &'static str = "query";
    const NS: &'static str = INFO;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        Ok(InfoQuery { node: node(el) })
    }
}

impl Payload for ItemsQuery {
    const NAME: &'static str = "query";
    const NS: &'static str = ITEMS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        Ok(ItemsQuery {
            node: node(el),
            page: RsmRequest::parse_child(el)?,
        })
    }
}

/// An empty node is as good as none.
fn node(el: Element<'_>) -> Option<String> {
    el.attr("node")
        .map(|n| n.into_owned())
        .filter(|n| !n.is_empty())
}

/// The items of a host that are too many, or too short-lived, to be provided one by one: answers in place of those, with the
/// whole `<query/>`.
pub struct Items(pub Box<ItemsFn>);

/// Answers a question about a host's items, a page of them if a page is asked for.
pub type ItemsFn = dyn for<'a> Fn(IqCx<'a>, Option<RsmRequest>) -> Pin<Box<dyn Future<Output = IqResult> + Send + 'a>>
    + Send
    + Sync;

/// Nodes of accounts, listed behind their resources: by name, with a title for people.
pub struct AccountItems(pub Box<AccountItemsFn>);

/// Answers which nodes of an account the sender may know.
pub type AccountItemsFn = dyn for<'a> Fn(
        IqCx<'a>,
    ) -> Pin<
        Box<dyn Future<Output = Result<Vec<(String, String)>, StanzaError>> + Send + 'a>,
    > + Send
    + Sync;

/// Answers for the host and for accounts.
pub struct Disco {
    role: Role,
    /// The domains of the host's services for rooms.
    rooms: Option<String>,
    /// The components that are listed, with their names.
    components: Vec<(String, String)>,
    /// The domain of the host's service for nodes.
    nodes: Option<String>,
    /// That of its service for streams of bytes.
    relay: Option<String>,
}

impl Module for Disco {
    const NAME: &'static str = "disco";
    const XEPS: &'static [Xep] = &[
        xep(30, "2.5.0", Coverage::Complete),
        xep(128, "1.0.1", Coverage::Complete),
    ];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        let rooms = host.rooms.as_ref().map(|rooms| rooms.domain.clone());
        Disco {
            role: host.role,
            rooms: rooms.filter(|_| host.role == Role::Accounts),
            components: host
                .components
                .iter()
                .filter(|component| !component.name.is_empty())
                .map(|component| (component.domain.clone(), component.name.clone()))
                .collect(),
            nodes: host.pubsub.domain.clone(),
            relay: host.bytestreams.as_ref().map(|relay| relay.domain.clone()),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        let accounts = r.module().role == Role::Accounts;
        let targets: &[Target] = match accounts {
            true => &[Target::Host, Target::Account],
            false => &[Target::Host],
        };
        for &target in targets {
            r.iq::<InfoQuery>(IqKind::Get, target).feature(INFO);
            r.iq::<ItemsQuery>(IqKind::Get, target).feature(ITEMS);
        }
        if !accounts {
            return;
        }
        if let Some(domain) = r.module().rooms.clone() {
            let item = HostItem {
                jid: domain,
                name: "Rooms".into(),
            };
            r.provide(Target::Host, item).silent("an item");
        }
        for (jid, name) in r.module().components.clone() {
            let item = HostItem { jid, name };
            r.provide(Target::Host, item).silent("an item");
        }
        if let Some(domain) = r.module().nodes.clone() {
            let item = HostItem {
                jid: domain,
                name: "Nodes".into(),
            };
            r.provide(Target::Host, item).silent("an item");
        }
        if let Some(domain) = r.module().relay.clone() {
            let item = HostItem {
                jid: domain,
                name: "File transfer relay".into(),
            };
            r.provide(Target::Host, item).silent("an item");
        }
        let host = Identity {
            target: Target::Host,
            category: "server",
            kind: "im",
            name: "Tercet",
        };
        r.provide(Target::Host, host).silent("an identity");
        let account = Identity {
            target: Target::Account,
            category: "account",
            kind: "registered",
            name: "",
        };
        r.provide(Target::Account, account).silent("an identity");
    }
}

/// Whether the sender may ask about the account at all. RFC 6121 §8.5.1 and XEP-0030 §8: a stranger learns nothing, not even
/// that the account exists.
fn check_access(cx: &IqCx<'_>) -> Result<(), StanzaError> {
    if cx.account.is_none() || cx.sees_presence() {
        Ok(())
    } else {
        Err(StanzaError::service_unavailable())
    }
}

fn target(cx: &IqCx<'_>) -> Target {
    if cx.account.is_some() {
        Target::Account
    } else {
        Target::Host
    }
}

/// Lets the provided nodes answer; `item-not-found` if it is none of theirs.
async fn ask_node(cx: IqCx<'_>, node: &str, question: Question) -> IqResult {
    let target = target(&cx);
    for known in cx.host.provided::<Node>().filter(|n| n.target == target) {
        if let Some(answer) = (known.answer)(cx, node, question).await {
            return answer;
        }
    }
    Err(StanzaError::item_not_found())
}

impl OnIq<InfoQuery> for Disco {
    async fn on_iq(&self, cx: IqCx<'_>, query: InfoQuery) -> IqResult {
        check_access(&cx)?;
        if let Some(node) = &query.node {
            return ask_node(cx, node, Question::Info).await;
        }
        let mut w = XmlWriter::new();
        w.start("query").attr("xmlns", INFO);
        let instead = cx.host.provided::<Instead>();
        let instead: Vec<_> = instead
            .flat_map(|i| (i.0)(cx.server, target(&cx)))
            .collect();
        write_info_instead(cx.host, target(&cx), cx.is_own(), &instead, &mut w);
        w.end();
        Ok(Reply::Payload(w.finish()))
    }
}

impl OnIq<ItemsQuery> for Disco {
    async fn on_iq(&self, cx: IqCx<'_>, query: ItemsQuery) -> IqResult {
        check_access(&cx)?;
        if let Some(node) = &query.node {
            return ask_node(cx, node, Question::Items).await;
        }
        if let Some(items) = cx.host.provided::<Items>().next()
            && cx.account.is_none()
        {
            return (items.0)(cx, query.page).await;
        }
        let mut w = XmlWriter::new();
        w.start("query").attr("xmlns", ITEMS);
        match cx.account {
            // XEP-0030 §8: whoever may see the presence may see the available resources.
            Some(account) => {
                for resource in account.lock().available() {
                    w.leaf("item", &[("jid", Jid::as_str(resource.session.jid()))]);
                }
                let nodes = match cx.host.provided::<AccountItems>().next() {
                    Some(items) => (items.0)(cx).await?,
                    None => Vec::new(),
                };
                for (node, title) in &nodes {
                    w.start("item").attr("jid", account.jid().as_str());
                    w.attr("node", node);
                    w.opt_attr("name", Some(title.as_str()).filter(|t| !t.is_empty()));
                    w.end();
                }
            }
            None => {
                for item in cx.host.provided::<HostItem>() {
                    w.leaf("item", &[("jid", &item.jid), ("name", &item.name)]);
                }
            }
        }
        w.end();
        Ok(Reply::Payload(w.finish()))
    }
}
