//! XEP-0398 User Avatar to vCard-Based Avatars Conversion 1.0.0, with XEP-0084 User Avatar 1.1.4 and XEP-0153 vCard-Based Avatars 1.1.1.
//! Gaps: a picture that has only an address (`url`) is in no vCard, nor one of more than 144 KiB.
//!
//! The avatar is at the nodes of the account, whoever has set it. A picture in a vCard that is written is published there, and taken
//! out of what is kept; who reads the vCard sees it in it if it may read the nodes. So there is nothing that could disagree, and the
//! nodes' access models hold for both. What presence tells of it is kept with the account (`shown`).

pub mod photo;
pub mod shown;
pub mod update;

pub use shown::AVATAR;

use std::sync::Arc;

use tercet_core::{Jid, OwnedElement, Stanza, StanzaError, XmlWriter};
use tercet_server::module::{
    AnnounceCx, Coverage, IqCx, Module, OnAnnounce, Registrar, Target, Xep, xep,
};
use tercet_server::{Account, HostInfo, Routed, Server, store_failure};
use tercet_store::Batch;

use crate::pubsub::access::may_read;
use crate::pubsub::config::{Access, NodeConfig};
use crate::pubsub::follow::{Follower, Nodes};
use crate::pubsub::items;
use crate::pubsub::place::Place;
use crate::pubsub::publish::publish_for_user;
use crate::pubsub::retract::retract;
use crate::pubsub::xml::NewItem;
use crate::vcard::{Part, VCARD, Writing};
use photo::Photo;
use shown::{Audience, Avatar, DATA, METADATA, Picture, Shown, find_out};
use update::{Known, Said};

/// Has one avatar for old and new clients.
pub struct Avatars {
    /// Both formats are there.
    on: bool,
}

impl Module for Avatars {
    const NAME: &'static str = "avatars";
    const XEPS: &'static [Xep] = &[
        xep(84, "1.1.4", Coverage::Complete),
        xep(153, "1.1.1", Coverage::Complete),
        xep(398, "1.0.0", Coverage::Complete),
    ];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        Avatars {
            on: crate::is_on(host, "pubsub") && crate::is_on(host, "vcard"),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        if !r.module().on {
            return;
        }
        r.needs::<Avatar>();
        r.announcements().feature("urn:xmpp:pep-vcard-conversion:0");
        let follower = Follower {
            nodes: &[DATA, METADATA],
            changed: Box::new(|place, _, _| Box::pin(changed(place))),
        };
        r.provide(Target::Account, follower)
            .silent("shown by what accounts do");
        let part = Part {
            read: Box::new(|cx, card| Box::pin(read(cx, card))),
            write: Box::new(|cx, card| Box::pin(write(cx, card))),
        };
        r.provide(Target::Account, part)
            .silent("shown by what accounts do");
    }
}

impl OnAnnounce for Avatars {
    fn announce(&self, cx: AnnounceCx<'_>) -> Option<Stanza> {
        let avatar = cx.session.account().slot::<Avatar>()?;
        let said = update::said(cx.presence);
        let resource = cx.session.jid().resource();
        // Said now, to all.
        let said_now = !cx.again && cx.to.is_none();
        let bound: Vec<Box<str>> = match said_now && said == Said::None {
            true => {
                let state = cx.session.account().lock();
                let bound = state.resources.iter();
                bound.map(|r| r.session.jid().resource().into()).collect()
            }
            false => Vec::new(),
        };
        let (shown, wills, known) = {
            let mut now = avatar.lock();
            if said_now && said == Said::None {
                // Who has gone denies nothing.
                now.deny.retain(|resource| bound.contains(resource));
                now.deny.insert(resource.into());
            } else if said_now {
                now.deny.remove(resource);
            }
            let wills = cx.again && !now.deny.contains(resource);
            (now.shown.clone(), wills, now.known)
        };
        if !known {
            look_later(cx.server, cx.session.account());
        }
        let known = match &shown {
            Shown::Never => Known::Never,
            Shown::Nothing => Known::None,
            Shown::Picture(picture) if is_for(picture, cx) => Known::Hash(&picture.id),
            Shown::Picture(_) => Known::Hidden,
        };
        let hash = update::instead(&said, known, wills)?;
        update::with(cx.presence, hash)
    }
}

/// Whether those who get the presence may see the picture.
fn is_for(picture: &Picture, cx: AnnounceCx<'_>) -> bool {
    match (picture.audience, cx.to) {
        (Audience::Few, _) => false,
        (Audience::All, _) | (Audience::Subscribers, None) => true,
        (Audience::Subscribers, Some(to)) => {
            let account = cx.session.account();
            let own = account.jid().as_str() == to.bare_str();
            own || account.lock().roster.subscription(to.bare_str()).from
        }
    }
}

/// Finds out what an account has of which that is not known: one that has come from elsewhere, or has no avatar.
fn look_later(server: &Arc<Server>, account: &Arc<Account>) {
    let account = account.clone();
    server.at(server.now_ms(), move |server| {
        let server = server.clone();
        Routed::later(async move {
            let host = server.host(account.jid().domain());
            let place = host.and_then(|host| Nodes::of(&host, &server, &account));
            let (Some(place), Some(avatar)) = (place, account.slot::<Avatar>()) else {
                return;
            };
            // In this order, as where a vCard is written.
            let writing = account.slot::<Writing>();
            let _writing = match writing {
                Some(writing) => Some(writing.0.lock().await),
                None => None,
            };
            let alone = avatar.changing.lock().await;
            if avatar.lock().known {
                return;
            }
            let looked = async {
                adopt(&place).await?;
                find_out(&place, avatar).await
            };
            // What cannot be read now is looked for with the next presence; the store has said why.
            let changed = looked.await;
            drop(alone);
            if changed == Ok(true) {
                server.announce_again(&account);
            }
        })
    });
}

/// A picture in a vCard that came from elsewhere is published, if nothing ever was.
async fn adopt(place: &Place) -> Result<(), StanzaError> {
    if place.look(METADATA).await?.is_some() {
        return Ok(());
    }
    let owner = place.jid.as_str();
    let card = place.server.store().get(&VCARD, owner, "").await;
    let Some(card) = card.map_err(|e| store_failure(&e))? else {
        return Ok(());
    };
    let tree = OwnedElement::parse(&card, "").ok();
    let Some(photo) = tree.and_then(|tree| Photo::of(tree.root())) else {
        return Ok(());
    };
    let from: Jid = place.jid.clone().into();
    publish(place, &from, &photo).await?;
    let mut batch = Batch::new();
    batch.put(&VCARD, owner, "", photo::without(&card));
    place.commit(batch).await
}

/// A client has changed something at one of the nodes.
async fn changed(place: &Place) -> Result<(), StanzaError> {
    let account = place.account.as_ref();
    let Some((account, avatar)) = account.and_then(|a| Some((a, a.slot::<Avatar>()?))) else {
        return Ok(());
    };
    let alone = avatar.changing.lock().await;
    let changed = find_out(place, avatar).await?;
    drop(alone);
    if changed {
        place.server.announce_again(account);
    }
    Ok(())
}

/// The vCard with the picture, if the one who asks may see it.
async fn read(cx: IqCx<'_>, card: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, StanzaError> {
    let account = cx.require_account()?;
    let Some(Shown::Picture(picture)) = account.slot::<Avatar>().map(Avatar::shown) else {
        return Ok(card);
    };
    let Some(place) = Nodes::of(cx.host, cx.server, account) else {
        return Ok(card);
    };
    // XEP-0398 §6: who may not read the nodes does not see the picture.
    for node in [METADATA, DATA] {
        let Some(node) = place.look(node).await? else {
            return Ok(card);
        };
        let asker = place.asker(&node, cx.from).await?;
        let may = may_read(&node.lock().config, asker);
        if may.is_err() {
            return Ok(card);
        }
    }
    let payload = items::payload(&place, DATA, &picture.id).await?;
    let bytes = payload.and_then(|payload| shown::picture(&payload));
    Ok(match bytes {
        Some(bytes) => {
            let photo = Photo {
                kind: picture.kind.clone(),
                bytes,
            };
            Some(photo::with(card.as_deref(), &photo))
        }
        None => card,
    })
}

/// Publishes the picture of a vCard that is written; what is kept has none.
async fn write(cx: IqCx<'_>, card: Vec<u8>) -> Result<Vec<u8>, StanzaError> {
    let account = cx.require_account()?;
    let (Some(place), Some(avatar)) = (
        Nodes::of(cx.host, cx.server, account),
        account.slot::<Avatar>(),
    ) else {
        return Ok(card);
    };
    let tree = OwnedElement::parse(&card, "").map_err(|_| StanzaError::bad_request())?;
    let photo = Photo::of(tree.root());
    let alone = avatar.changing.lock().await;
    let before = avatar.shown();
    match (&photo, &before) {
        // What is there already is not told again.
        (Some(photo), Shown::Picture(now)) if now.id.eq_ignore_ascii_case(&photo.hash()) => {}
        (Some(photo), _) => publish(&place, cx.from, photo).await?,
        // The vCard had it, and has it no more.
        (None, Shown::Picture(now)) => disable(&place, cx.from, now).await?,
        (None, _) => {}
    }
    let changed = find_out(&place, avatar).await?;
    drop(alone);
    if changed {
        cx.server.announce_again(account);
    }
    Ok(match photo {
        Some(_) => photo::without(&card),
        None => card,
    })
}

/// XEP-0398 §3.2: the picture, then what is known of it.
async fn publish(place: &Place, from: &Jid, photo: &Photo) -> Result<(), StanzaError> {
    let hash = photo.hash();
    let mut w = XmlWriter::new();
    w.start("data").attr("xmlns", DATA);
    w.text(&photo::base64(&photo.bytes)).end();
    put(place, from, DATA, Some(hash.clone()), w).await?;
    let mut w = XmlWriter::new();
    w.start("metadata").attr("xmlns", METADATA);
    w.start("info")
        .attr("bytes", &photo.bytes.len().to_string())
        .attr("id", &hash)
        .attr("type", &photo.kind);
    if let Some((width, height)) = photo::size(&photo.bytes) {
        w.attr("width", &width.to_string());
        w.attr("height", &height.to_string());
    }
    w.end().end();
    put(place, from, METADATA, Some(hash), w).await
}

/// XEP-0084 §4.4: there is no avatar any more. The picture goes, too.
async fn disable(place: &Place, from: &Jid, picture: &Picture) -> Result<(), StanzaError> {
    let mut w = XmlWriter::new();
    w.start("metadata").attr("xmlns", METADATA).end();
    put(place, from, METADATA, None, w).await?;
    let gone = retract(place, from, DATA, &picture.id, false).await;
    match gone {
        // Another device was faster.
        Err(error) if error == StanzaError::item_not_found() => Ok(()),
        gone => gone.map(drop),
    }
}

async fn put(
    place: &Place,
    from: &Jid,
    node: &'static str,
    id: Option<String>,
    payload: XmlWriter,
) -> Result<(), StanzaError> {
    // Everybody reads vCards. Who has configured the node has decided otherwise.
    let config = NodeConfig {
        access: Access::Open,
        ..place.defaults()
    };
    let item = NewItem {
        id,
        payload: Some(payload.finish()),
        ns: node.into(),
    };
    publish_for_user(place, from, node, config, item).await
}
