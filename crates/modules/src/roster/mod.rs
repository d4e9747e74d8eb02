//! The requests of the roster (RFC 6121 §2). The roster itself, its pushes and the subscriptions belong to the server.

use tercet_core::{BareJid, Element, StanzaError, XmlWriter, ns};
use tercet_server::HostInfo;
use tercet_server::module::{
    IqCx, IqKind, IqResult, Module, OnIq, Payload, Registrar, Reply, StreamFeature, Target, Xep,
};
use tercet_server::roster::Item;

const NS: &str = "jabber:iq:roster";

/// A roster get, with the version that the client has (RFC 6121 §2.6.2).
pub struct Get {
    version: Option<String>,
}

impl Payload for Get {
    const NAME: &'static str = "query";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        Ok(Get {
            version: el.attr("ver").map(|v| v.into_owned()),
        })
    }
}

/// A roster set: one contact added, changed or removed.
pub struct Set {
    contact: BareJid,
    change: Change,
}

enum Change {
    Remove,
    Update {
        name: Option<String>,
        groups: Vec<String>,
    },
}

impl Payload for Set {
    const NAME: &'static str = "query";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let mut items = el.children();
        // RFC 6121 §2.3.3: exactly one item.
        let (Some(item), None) = (items.next(), items.next()) else {
            return Err(StanzaError::bad_request().text("a roster set has exactly one item"));
        };
        if !item.is("item", NS) {
            return Err(StanzaError::bad_request().text("a roster set has exactly one item"));
        }
        let (contact, name, groups) = Item::parse(item)?;
        let change = match item.attr("subscription").as_deref() {
            Some("remove") => Change::Remove,
            // RFC 6121 §2.1.2.5: any other value in a set is ignored.
            _ => Change::Update { name, groups },
        };
        Ok(Set { contact, change })
    }
}

/// Answers roster requests.
pub struct RosterModule;

impl Module for RosterModule {
    const NAME: &'static str = "roster";
    const XEPS: &'static [Xep] = &[];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        RosterModule
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<Get>(IqKind::Get, Target::Own)
            .feature(NS)
            .host_feature(NS);
        r.iq::<Set>(IqKind::Set, Target::Own).feature(NS);
        for ns in [ns::ROSTER_VER, ns::PRE_APPROVAL] {
            let name = if ns == ns::ROSTER_VER { "ver" } else { "sub" };
            let feature = StreamFeature(Box::new(move |_| {
                let mut w = XmlWriter::new();
                w.leaf(name, &[("xmlns", ns)]);
                w.finish()
            }));
            r.provide(Target::Host, feature)
                .silent("RFC 6121 §2.6.1, §3.4: a stream feature");
        }
    }
}

impl OnIq<Get> for RosterModule {
    async fn on_iq(&self, cx: IqCx<'_>, get: Get) -> IqResult {
        let session = cx.require_session()?;
        let mut state = cx.require_account()?.lock();
        // RFC 6121 §2.2: from here on the resource gets pushes.
        for resource in &mut state.resources {
            resource.interested |= std::sync::Arc::ptr_eq(&resource.session, session);
        }
        let version = state.roster.version();
        if get.version.as_ref() == Some(&version) {
            // RFC 6121 §2.6.3: nothing has changed.
            return Ok(Reply::Empty);
        }
        let mut w = XmlWriter::new();
        w.start("query").attr("xmlns", NS).attr("ver", &version);
        for (jid, item) in state.roster.visible() {
            item.write(jid, &mut w);
        }
        w.end();
        Ok(Reply::Payload(w.finish()))
    }
}

impl OnIq<Set> for RosterModule {
    async fn on_iq(&self, cx: IqCx<'_>, set: Set) -> IqResult {
        let account = cx.require_account()?;
        match set.change {
            Change::Remove => cx.server.remove_contact(account, &set.contact).await?,
            Change::Update { name, groups } => {
                if set.contact == *account.jid() {
                    return Err(StanzaError::not_allowed().text("nobody is their own contact"));
                }
                cx.server
                    .change_contact(account, &set.contact, |item| {
                        item.in_roster = true;
                        item.name = name;
                        item.groups = groups;
                    })
                    .await?;
            }
        }
        Ok(Reply::Empty)
    }
}
