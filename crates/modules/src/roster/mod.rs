//! The requests of the roster (RFC 6121 §2). The roster itself, its pushes and the subscriptions belong to the server.

use std::sync::Arc;

use tercet_core::{BareJid, Element, StanzaError, XmlWriter, ns};
use tercet_server::module::{
    IqCx, IqKind, IqResult, Module, OnIq, Payload, Registrar, Reply, StreamFeature, Target, Xep,
};
use tercet_server::roster::{Item, Subscription};
use tercet_server::{Account, AccountState, HostInfo, Server};

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
        /// Whether the user and the contact see each other's presence from now on, where somebody speaks for the contact.
        agreed: Option<(bool, bool)>,
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
            _ => Change::Update {
                name,
                groups,
                agreed: None,
            },
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
            resource.interested |= Arc::ptr_eq(&resource.session, session);
        }
        get.answer(&state)
    }
}

impl Get {
    /// The roster, unless the asker has it already.
    pub(crate) fn answer(&self, state: &AccountState) -> IqResult {
        let version = state.roster.version();
        if self.version.as_ref() == Some(&version) {
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
        set.apply(cx.server, cx.require_account()?).await
    }
}

impl Set {
    /// Whom it is about.
    pub(crate) fn contact(&self) -> &BareJid {
        &self.contact
    }

    /// The same, with what the contact has agreed to: that the user sees its presence, and it the user's.
    pub(crate) fn agreed(mut self, to: bool, from: bool) -> Set {
        if let Change::Update { agreed, .. } = &mut self.change {
            *agreed = Some((to, from));
        }
        self
    }

    /// Changes the contact in the roster of `account`.
    pub(crate) async fn apply(self, server: &Arc<Server>, account: &Arc<Account>) -> IqResult {
        let set = self;
        match set.change {
            Change::Remove => server.remove_contact(account, &set.contact).await?,
            Change::Update {
                name,
                groups,
                agreed,
            } => {
                if set.contact == *account.jid() {
                    return Err(StanzaError::not_allowed().text("nobody is their own contact"));
                }
                server
                    .change_contact(account, &set.contact, |item| {
                        item.in_roster = true;
                        item.name = name;
                        item.groups = groups;
                        if let Some((to, from)) = agreed {
                            item.subscription = Subscription {
                                to,
                                from,
                                ..Subscription::default()
                            };
                            item.request = None;
                        }
                    })
                    .await?;
            }
        }
        Ok(Reply::Empty)
    }
}
