//! XEP-0060 Publish-Subscribe 1.31.1 and XEP-0163 Personal Eventing Protocol 1.2.2, by one engine. Left out of what is
//! optional: digests and bodies of notifications, more than one subscription of one address, collections (XEP-0248).
//!
//! A [`place::Place`] is an account or a service with nodes; whatever is done to them is the same for both, a file for each deed
//! (`create`, `publish`, `retract`, `items`, `subscribe`, `approve`, `lists`), by the rules in `access`; `attachments` are what
//! is beside a node for something attached to its items (XEP-0470). A `node` is read from the store
//! (`records`) at its first use, and leaves the memory when it is not used for a while (`shelf`). What changes is durable first; then
//! it is told (`notify`), then the one who asked gets an answer. `pep` knows what clients want to hear of.

pub mod access;
pub mod approve;
pub mod attachments;
pub mod bookmarks;
pub mod config;
pub mod create;
pub mod disco;
pub mod errors;
pub mod follow;
pub mod items;
pub mod leases;
pub mod lists;
pub mod node;
pub mod notify;
pub mod options;
pub mod pending;
pub mod pep;
pub mod place;
pub mod publish;
pub mod records;
pub mod retract;
pub mod shelf;
pub mod subscribe;
pub mod upkeep;
pub mod xml;

pub use records::{ACCOUNTS, JOINED, Kinds, SERVICE};
pub use upkeep::keep_up;
pub use xml::{OwnerRequest, Request};

use std::sync::Arc;

use tercet_core::{BareJid, Stanza, StanzaError, StanzaKind};
use tercet_server::module::{
    AdmittedCx, Coverage, Flow, HostMessages, IqCx, IqKind, IqResult, Kinds as StanzaKinds, Module,
    OnIq, OnPresence, OnRemoval, OnSession, OnStanza, Registrar, SessionCx, Side, Stage, StanzaCx,
    Target, Xep, xep,
};
use tercet_server::{HostInfo, Role};

use crate::commands;
use crate::disco::{AccountItems, Identity, Items, Node as DiscoNode};
use crate::private::Mirror;
use place::Place;

/// Nodes of the host's accounts, or of a service.
pub struct PubSub {
    core: Arc<Core>,
}

/// The service of a host, for its upkeep.
pub struct Service(Arc<Core>);

/// What all places of a host share.
pub struct Core {
    domain: String,
    role: Role,
    settings: tercet_server::PubSub,
    admins: Vec<BareJid>,
}

macro_rules! features {
    ($($name:literal)*) => {
        &[$(concat!("http://jabber.org/protocol/pubsub#", $name)),*]
    };
}

/// What accounts and services do with nodes.
const FEATURES: &[&str] = features! {
    "access-authorize" "access-open" "access-presence" "access-roster" "access-whitelist" "auto-create" "config-node"
    "config-node-max" "create-and-configure" "create-nodes" "delete-items" "delete-nodes" "instant-nodes" "item-ids"
    "last-published" "leased-subscription" "manage-subscriptions" "member-affiliation" "meta-data" "modify-affiliations" "multi-items"
    "outcast-affiliation" "persistent-items" "publish" "publish-only-affiliation" "publish-options" "publisher-affiliation"
    "purge-nodes" "retract-items" "retrieve-affiliations" "retrieve-default"
    "retrieve-default-sub" "retrieve-items" "retrieve-subscriptions" "subscribe"
    "subscription-notifications" "subscription-options"
};

/// What services do besides.
const GET_PENDING: &str = "http://jabber.org/protocol/pubsub#get-pending";
/// What accounts do besides (XEP-0163 §5).
const PERSONAL: &[&str] = features! { "auto-subscribe" "filtered-notifications" };

impl Module for PubSub {
    const NAME: &'static str = "pubsub";
    const XEPS: &'static [Xep] = &[
        xep(60, "1.31.1", Coverage::Complete),
        xep(163, "1.2.2", Coverage::Complete),
        xep(172, "1.1", Coverage::Complete),
        xep(222, "1.0.1", Coverage::Complete),
        xep(223, "1.1.1", Coverage::Complete),
        xep(48, "1.2", Coverage::Complete),
        xep(402, "1.2.0", Coverage::Complete),
        xep(411, "1.1.0", Coverage::Complete),
        xep(492, "0.2.0", Coverage::Complete),
        xep(470, "0.2.0", Coverage::Complete),
    ];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        PubSub {
            core: Arc::new(Core {
                domain: host.domain.clone(),
                role: host.role,
                settings: host.pubsub.clone(),
                admins: host.admins.clone(),
            }),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        let core = r.module().core.clone();
        let personal = core.role == Role::Accounts;
        let target = match personal {
            true => Target::Account,
            false => Target::Host,
        };
        let mut handle = r.iq::<Request>(IqKind::Get, target).feature(xml::NS);
        for feature in FEATURES {
            handle = handle.feature(feature);
        }
        handle = handle.feature(attachments::NS);
        for feature in PERSONAL.iter().filter(|_| personal) {
            handle = handle.feature(feature);
        }
        if personal {
            // Clients look on their server whether it has what device keys need.
            handle.host_feature(xml::NS);
        }
        r.iq::<Request>(IqKind::Set, target).feature(xml::NS);
        r.iq::<OwnerRequest>(IqKind::Get, target).feature(xml::NS);
        r.iq::<OwnerRequest>(IqKind::Set, target).feature(xml::NS);
        let identity = Identity {
            target,
            category: "pubsub",
            kind: if personal { "pep" } else { "service" },
            name: if personal { "" } else { "Nodes" },
        };
        r.provide(target, identity).silent("an identity");
        if !personal {
            r.provide(target, OnRemoval(upkeep::on_removal))
                .silent("nobody asks for it");
        }
        let of = core.clone();
        let node = DiscoNode {
            target,
            answer: Box::new(move |cx, name, question| {
                let core = of.clone();
                Box::pin(async move {
                    let place = Place::of(&cx, &core).ok()?;
                    disco::node(&place, &cx, name, question).await
                })
            }),
        };
        r.provide(target, node).silent("nodes");
        if personal {
            let of = core.clone();
            let items = AccountItems(Box::new(move |cx| {
                let core = of.clone();
                Box::pin(async move { disco::personal(&Place::of(&cx, &core)?, &cx).await })
            }));
            r.provide(target, items).silent("items");
            offer_bookmarks(r);
            r.provide(target, follow::Nodes(core.clone()))
                .silent("for other modules");
            r.needs::<shelf::Personal>();
            r.presence().silent("shown by what accounts do");
            r.sessions().silent("shown by what accounts do");
            r.on(StanzaKinds::PRESENCE, Side::Recipient, Stage::Annotate)
                .silent("shown by what accounts do");
            r.on(StanzaKinds::MESSAGE, Side::Recipient, Stage::Annotate)
                .silent("part of subscribing");
        } else {
            r.provide(target, Service(core.clone()))
                .silent("for the upkeep");
            r.provide(target, HostMessages(approve::take))
                .silent("part of subscribing");
            r.iq::<commands::Request>(IqKind::Set, target)
                .feature(commands::NS)
                .feature(GET_PENDING);
            let commands = DiscoNode {
                target,
                answer: Box::new(|cx, name, question| {
                    Box::pin(async move { pending::answer(&cx, name, question) })
                }),
            };
            r.provide(target, commands).feature(commands::NS);
            let items = Items(Box::new(move |cx, page| {
                let core = core.clone();
                Box::pin(async move { disco::nodes(&Place::of(&cx, &core)?, &cx, page).await })
            }));
            r.provide(target, items).silent("items");
        }
    }
}

/// Bookmarks are the same at both nodes and in private storage.
fn offer_bookmarks(r: &mut Registrar<'_, PubSub>) {
    let (reading, writing) = (r.module().core.clone(), r.module().core.clone());
    let mirror = Mirror {
        key: bookmarks::LIST,
        read: Box::new(move |cx, kept| {
            let core = reading.clone();
            Box::pin(async move { bookmarks::list(&Place::of(&cx, &core)?, kept).await })
        }),
        write: Box::new(move |cx, list| {
            let core = writing.clone();
            Box::pin(async move { bookmarks::take(&Place::of(&cx, &core)?, cx.from, list).await })
        }),
    };
    r.provide(Target::Account, mirror)
        .feature("urn:xmpp:bookmarks:1#compat")
        .feature("urn:xmpp:bookmarks-conversion:0");
    let follower = follow::Follower {
        nodes: &[bookmarks::NS, bookmarks::NS_LIST],
        changed: Box::new(|place, from, node| Box::pin(bookmarks::follow(place, from, node))),
    };
    r.provide(Target::Account, follower)
        .feature("urn:xmpp:bookmarks:1#compat-pep");
}

impl OnIq<Request> for PubSub {
    async fn on_iq(&self, cx: IqCx<'_>, request: Request) -> IqResult {
        let place = Place::of(&cx, &self.core)?;
        let from = cx.from;
        let changed = request.changed().map(Box::<str>::from);
        let answer = match (is_set(&cx), request) {
            (true, Request::Create(node, form)) => create::create(&place, from, node, form).await,
            (true, Request::Publish(node, item, options)) => {
                let options =
                    attachments::prepare(&place, from, &node, item.as_ref(), options).await?;
                publish::publish(&place, from, &node, item, options).await
            }
            (true, Request::Retract(node, id, notify)) => {
                attachments::check_retracted(&place, &node)?;
                retract::retract(&place, from, &node, &id, notify).await
            }
            (true, Request::Subscribe(node, jid, options)) => {
                subscribe::subscribe(&place, from, &node, jid, options).await
            }
            (true, Request::Unsubscribe(node, jid, subid)) => {
                subscribe::unsubscribe(&place, from, &node, jid, subid).await
            }
            (false, Request::Options(node, jid, subid, _)) => {
                subscribe::options(&place, from, &node, &jid, subid.as_deref()).await
            }
            (true, Request::Options(node, jid, subid, form)) => {
                subscribe::set_options(&place, from, &node, &jid, subid.as_deref(), form).await
            }
            (false, Request::Default(node)) => {
                subscribe::default_options(&place, from, node.as_deref()).await
            }
            (false, Request::Items(node, wanted)) => {
                items::items(&place, from, &node, wanted).await
            }
            (false, Request::Subscriptions(node)) => {
                subscribe::subscriptions(&place, from, node.as_deref()).await
            }
            (false, Request::Affiliations(node)) => {
                subscribe::affiliations(&place, from, node.as_deref()).await
            }
            _ => Err(StanzaError::bad_request()),
        }?;
        if let Some(node) = changed {
            attachments::follow(&place, &node).await?;
            follow::tell(cx.host, &place, from, &node).await?;
        }
        Ok(answer)
    }

    /// As an account says that has no such node.
    fn absent(&self) -> StanzaError {
        StanzaError::item_not_found()
    }

    fn reads(&self) -> Option<&'static tercet_store::Kind> {
        Some(&ACCOUNTS.node)
    }
}

impl OnIq<OwnerRequest> for PubSub {
    async fn on_iq(&self, cx: IqCx<'_>, request: OwnerRequest) -> IqResult {
        let place = Place::of(&cx, &self.core)?;
        let from = cx.from;
        let changed = request.changed().map(Box::<str>::from);
        let changed = changed.filter(|_| is_set(&cx));
        if is_set(&cx) {
            attachments::check_owner(&place, &request)?;
        }
        let answer = match (is_set(&cx), request) {
            (false, OwnerRequest::Configure(node, _)) => {
                create::configuration(&place, from, &node).await
            }
            (true, OwnerRequest::Configure(node, form)) => {
                create::configure(&place, from, &node, form).await
            }
            (false, OwnerRequest::Default) => create::defaults(&place),
            (true, OwnerRequest::Delete(node, redirect)) => {
                create::delete(&place, from, &node, redirect).await
            }
            (true, OwnerRequest::Purge(node)) => retract::purge(&place, from, &node).await,
            (false, OwnerRequest::Subscriptions(node, _)) => {
                lists::subscriptions(&place, from, &node).await
            }
            (true, OwnerRequest::Subscriptions(node, wanted)) => {
                lists::set_subscriptions(&place, from, &node, wanted).await
            }
            (false, OwnerRequest::Affiliations(node, _)) => {
                lists::affiliations(&place, from, &node).await
            }
            (true, OwnerRequest::Affiliations(node, wanted)) => {
                lists::set_affiliations(&place, from, &node, wanted).await
            }
            _ => Err(StanzaError::bad_request()),
        }?;
        if let Some(node) = changed {
            attachments::follow(&place, &node).await?;
            follow::tell(cx.host, &place, from, &node).await?;
        }
        Ok(answer)
    }

    fn absent(&self) -> StanzaError {
        StanzaError::item_not_found()
    }

    fn reads(&self) -> Option<&'static tercet_store::Kind> {
        Some(&ACCOUNTS.node)
    }
}

fn is_set(cx: &IqCx<'_>) -> bool {
    cx.stanza.iq_type() == Some(tercet_core::IqType::Set)
}

impl OnIq<commands::Request> for PubSub {
    async fn on_iq(&self, cx: IqCx<'_>, request: commands::Request) -> IqResult {
        pending::run(&Place::of(&cx, &self.core)?, cx.from, request).await
    }
}

impl OnPresence for PubSub {
    fn presented(&self, cx: SessionCx<'_>, presence: &Stanza) {
        pep::presented(&self.core, cx, presence);
    }

    fn admitted(&self, cx: AdmittedCx<'_>) {
        pep::admitted(&self.core, cx);
    }
}

impl OnSession for PubSub {
    async fn available(&self, _: SessionCx<'_>) {}

    async fn gone(&self, cx: SessionCx<'_>, _: &Stanza) {
        pep::clients(cx.server).forget(cx.session.jid());
    }
}

impl OnStanza for PubSub {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        match cx.stanza.kind() {
            StanzaKind::Message => approve::take_own(&self.core, cx),
            _ => {
                pep::met(&self.core, cx);
                Flow::Continue
            }
        }
    }
}
