//! XEP-0441: what a user wants archived.

use std::sync::{Arc, PoisonError, RwLock};

use tercet_core::{BareJid, Element, Jid, OwnedElement, StanzaError, XmlWriter};
use tercet_server::module::{IqCx, IqResult, OnIq, Payload, Reply, Slot, SlotFuture};
use tercet_server::{empty_payload, store_failure};
use tercet_store::{Batch, Kind, Owner, Store};

use super::{Mam, NS};

/// What users want archived: one record, the element that they have sent.
pub static ARCHIVE_PREFS: Kind = Kind {
    name: "archive-prefs",
    owner: Owner::Account,
    what: "with whom the user wants messages archived",
};

/// JIDs in both lists together.
const JIDS: usize = 1_000;

/// What happens to messages with those in neither list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Usual {
    #[default]
    Always,
    Never,
    Roster,
}

/// The wishes of one user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wishes {
    usual: Usual,
    always: Vec<Jid>,
    never: Vec<Jid>,
}

/// Those of an account, in memory.
#[derive(Default)]
pub(super) struct Prefs(RwLock<Arc<Wishes>>);

impl Slot for Prefs {
    fn load(store: &Store, account: &BareJid) -> SlotFuture<Self> {
        let record = store.get(&ARCHIVE_PREFS, account.as_str(), "");
        Box::pin(async move {
            let record = record.await?;
            let wishes = record.and_then(|xml| {
                let element = OwnedElement::parse(&xml, "").ok()?;
                Wishes::read(element.root()).ok()
            });
            Ok(Prefs(RwLock::new(Arc::new(wishes.unwrap_or_default()))))
        })
    }
}

impl Prefs {
    fn get(&self) -> Arc<Wishes> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, wishes: Arc<Wishes>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = wishes;
    }

    /// Whether messages with `peer` are archived.
    pub(super) fn archives(&self, peer: &Jid, in_roster: impl FnOnce() -> bool) -> bool {
        self.get().archive(peer, in_roster)
    }
}

impl Wishes {
    fn archive(&self, peer: &Jid, in_roster: impl FnOnce() -> bool) -> bool {
        // XEP-0441 §2.3.1: a bare JID means all its resources.
        let named = |list: &[Jid]| {
            list.iter().any(|jid| match jid.resource() {
                Some(_) => jid == peer,
                None => jid.as_str() == peer.bare_str(),
            })
        };
        if named(&self.never) {
            return false;
        }
        named(&self.always)
            || match self.usual {
                Usual::Always => true,
                Usual::Never => false,
                Usual::Roster => in_roster(),
            }
    }

    fn read(el: Element<'_>) -> Result<Wishes, StanzaError> {
        let usual = match el.attr("default").as_deref() {
            Some("always") => Usual::Always,
            Some("never") => Usual::Never,
            Some("roster") => Usual::Roster,
            _ => {
                return Err(
                    StanzaError::bad_request().text("the default is always, never or roster")
                );
            }
        };
        let list = |name: &str| {
            let jids = el.child(name, NS);
            let jids = jids.into_iter().flat_map(|list| list.children());
            let jids = jids.filter(|jid| jid.is("jid", NS));
            jids.map(|jid| Jid::parse(jid.text().trim()).map_err(|_| StanzaError::jid_malformed()))
                .collect::<Result<Vec<Jid>, _>>()
        };
        let (always, never) = (list("always")?, list("never")?);
        if always.len() + never.len() > JIDS {
            return Err(
                StanzaError::resource_constraint().text(format!("at most {JIDS} addresses"))
            );
        }
        Ok(Wishes {
            usual,
            always,
            never,
        })
    }

    fn write(&self) -> Vec<u8> {
        let mut w = XmlWriter::new();
        w.start("prefs").attr("xmlns", NS).attr(
            "default",
            match self.usual {
                Usual::Always => "always",
                Usual::Never => "never",
                Usual::Roster => "roster",
            },
        );
        // XEP-0441 §2.1: both lists, also where they are empty.
        for (name, jids) in [("always", &self.always), ("never", &self.never)] {
            w.start(name);
            for jid in jids {
                w.text_element("jid", jid.as_str());
            }
            w.end();
        }
        w.end();
        w.finish()
    }
}

empty_payload!(
    /// `<prefs/>`, asked for.
    GetPrefs, "prefs", NS
);

/// `<prefs/>`, set.
pub struct SetPrefs(Wishes);

impl Payload for SetPrefs {
    const NAME: &'static str = "prefs";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        Wishes::read(el).map(SetPrefs)
    }
}

fn own<'a>(cx: &IqCx<'a>) -> Result<&'a Prefs, StanzaError> {
    let prefs = cx.require_account()?.slot::<Prefs>();
    prefs.ok_or_else(StanzaError::internal_server_error)
}

impl OnIq<GetPrefs> for Mam {
    async fn on_iq(&self, cx: IqCx<'_>, _: GetPrefs) -> IqResult {
        Ok(Reply::Payload(own(&cx)?.get().write()))
    }
}

impl OnIq<SetPrefs> for Mam {
    async fn on_iq(&self, cx: IqCx<'_>, SetPrefs(wishes): SetPrefs) -> IqResult {
        let (prefs, account) = (own(&cx)?, cx.require_account()?);
        let (wishes, answer) = (Arc::new(wishes.clone()), wishes.write());
        let (before, commit) = {
            // What the store has last is what is in memory last.
            let state = account.lock();
            if state.removed {
                return Err(StanzaError::item_not_found());
            }
            let mut batch = Batch::new();
            batch.put(&ARCHIVE_PREFS, account.jid().as_str(), "", answer.clone());
            let before = prefs.get();
            prefs.set(wishes.clone());
            (before, cx.store().commit(batch))
        };
        if let Err(error) = commit.await {
            let _state = account.lock();
            if Arc::ptr_eq(&prefs.get(), &wishes) {
                prefs.set(before);
            }
            return Err(store_failure(&error));
        }
        // XEP-0441 §2.1: what holds now.
        Ok(Reply::Payload(answer))
    }
}
