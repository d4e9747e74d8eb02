//! XEP-0292 vCard4 Over XMPP 0.12.0: what a user says of itself in the newer format, at a node, is what the older one (XEP-0054) says.
//! Gaps: fields that one format does not know stay in the other; pictures are avatars'.
//!
//! What is written in one format is made into the other at once. Who may not read the node sees nothing in the older format either;
//! a node that is made by writing the older one is open to all, as that was.

pub mod fields;

use tercet_core::{Jid, OwnedElement, StanzaError};
use tercet_server::module::{Coverage, IqCx, Module, Registrar, Target, Xep, xep};
use tercet_server::{HostInfo, store_failure};
use tercet_store::Batch;

use crate::pubsub::access::may_read;
use crate::pubsub::config::{Access, NodeConfig};
use crate::pubsub::follow::{Follower, Nodes};
use crate::pubsub::items;
use crate::pubsub::place::Place;
use crate::pubsub::publish::publish_for_user;
use crate::pubsub::xml::NewItem;
use crate::vcard::{Part, VCARD, Writing};

/// The node.
const NODE: &str = "urn:xmpp:vcard4";

/// Has one vCard in both formats.
pub struct VCard4 {
    /// Both formats are there.
    on: bool,
}

impl Module for VCard4 {
    const NAME: &'static str = "vcard4";
    const XEPS: &'static [Xep] = &[xep(292, "0.12.0", Coverage::Complete)];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        VCard4 {
            on: crate::is_on(host, "pubsub") && crate::is_on(host, "vcard"),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        if !r.module().on {
            return;
        }
        let follower = Follower {
            nodes: &[NODE],
            changed: Box::new(|place, _, _| Box::pin(changed(place))),
        };
        r.provide(Target::Account, follower).feature(fields::NS);
        let part = Part {
            read: Box::new(|cx, card| Box::pin(read(cx, card))),
            write: Box::new(|cx, card| {
                Box::pin(async move {
                    take(cx, &card).await?;
                    Ok(card)
                })
            }),
        };
        r.provide(Target::Account, part)
            .silent("shown by what accounts do");
    }
}

/// The older vCard, for those who may read the node; where there is none, what the node says.
async fn read(cx: IqCx<'_>, card: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, StanzaError> {
    let account = cx.require_account()?;
    if cx.is_own() && card.is_some() {
        return Ok(card);
    }
    let Some(place) = Nodes::of(cx.host, cx.server, account) else {
        return Ok(card);
    };
    let Some(node) = place.look(NODE).await? else {
        return Ok(card);
    };
    let asker = place.asker(&node, cx.from).await?;
    let may = may_read(&node.lock().config, asker);
    if may.is_err() {
        return Ok(None);
    }
    if card.is_some() {
        return Ok(card);
    }
    let said = latest(&place).await?.as_deref().and_then(read_new);
    Ok(said.map(|said| fields::old_with(&said, None)))
}

/// An older vCard has been written: its fields are published, if they say something new.
async fn take(cx: IqCx<'_>, card: &[u8]) -> Result<(), StanzaError> {
    let account = cx.require_account()?;
    let Some(place) = Nodes::of(cx.host, cx.server, account) else {
        return Ok(());
    };
    let Ok(card) = OwnedElement::parse(card, "") else {
        return Ok(());
    };
    let said = fields::of_old(card.root());
    let before = latest(&place).await?;
    let known = before.as_deref().and_then(read_new).unwrap_or_default();
    if said == known {
        return Ok(());
    }
    let payload = fields::new_with(&said, before.as_deref());
    publish(&place, cx.from, payload).await
}

async fn publish(place: &Place, from: &Jid, payload: Vec<u8>) -> Result<(), StanzaError> {
    let config = NodeConfig {
        access: Access::Open,
        ..place.defaults()
    };
    let item = NewItem {
        id: Some("current".into()),
        payload: Some(payload),
        ns: fields::NS.into(),
    };
    publish_for_user(place, from, NODE, config, item).await
}

/// A client has changed what is at the node: the older vCard follows. Where the node has nothing any more, neither has that.
async fn changed(place: &Place) -> Result<(), StanzaError> {
    let account = place.account.as_ref();
    let Some(writing) = account.and_then(|account| account.slot::<Writing>()) else {
        return Ok(());
    };
    let _alone = writing.0.lock().await;
    let owner = place.jid.as_str();
    let kept = place.server.store().get(&VCARD, owner, "").await;
    let kept = kept.map_err(|e| store_failure(&e))?;
    let said = latest(place).await?.as_deref().and_then(read_new);
    let said = said.unwrap_or_default();
    let before = kept.as_deref().and_then(|kept| {
        let kept = OwnedElement::parse(kept, "").ok()?;
        Some(fields::of_old(kept.root()))
    });
    if before.unwrap_or_default() == said {
        return Ok(());
    }
    let mut batch = Batch::new();
    let card = fields::old_with(&said, kept.as_deref());
    batch.put(&VCARD, owner, "", card);
    place.commit(batch).await
}

async fn latest(place: &Place) -> Result<Option<Vec<u8>>, StanzaError> {
    let Some(node) = place.look(NODE).await? else {
        return Ok(None);
    };
    let latest = items::latest(place, &node).await?;
    Ok(latest.map(|(_, card)| card))
}

fn read_new(card: &[u8]) -> Option<Vec<fields::Field>> {
    let card = OwnedElement::parse(card, "").ok()?;
    let is_card = card.root().is("vcard", fields::NS);
    is_card.then(|| fields::of_new(card.root()))
}
