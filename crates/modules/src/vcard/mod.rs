//! XEP-0054 vcard-temp 1.3. Gaps: none known.
//!
//! A vCard is kept as it came. Everybody may read it; a name without an account answers as an account without a vCard. What other
//! modules of the host have in another format is taken from it, and shown in it to those who may see it there ([`Part`]).

use std::pin::Pin;

use tercet_core::{BareJid, Element, StanzaError};
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Payload, Registrar, Reply, Slot, SlotFuture,
    Target, Xep, xep,
};
use tercet_server::{HostInfo, store_failure};
use tercet_store::{Batch, Kind, Owner, Store};

/// The namespace.
pub const NS: &str = "vcard-temp";

/// The users' vCards.
pub static VCARD: Kind = Kind {
    name: "vcard",
    owner: Owner::Account,
    what: "the user's vCard, which everybody may read",
};

/// Somebody who has a part of vCards in another format: what is provided as this type is asked, in the order of the module list.
pub struct Part {
    /// The vCard as the one who asks sees it, made of the one that is kept (or was made so far); `None`: there is nothing to see.
    pub read: Box<ReadFn>,
    /// Takes its part of a vCard that is written, and gives back what is to be kept of it.
    pub write: Box<WriteFn>,
}

/// Held while an account's vCard is written, by whomever.
#[derive(Default)]
pub struct Writing(pub tokio::sync::Mutex<()>);

impl Slot for Writing {
    fn load(_: &Store, _: &BareJid) -> SlotFuture<Self> {
        Box::pin(std::future::ready(Ok(Writing::default())))
    }
}

/// See [`Part::read`].
pub type ReadFn =
    dyn for<'a> Fn(IqCx<'a>, Option<Vec<u8>>) -> PartFuture<'a, Option<Vec<u8>>> + Send + Sync;
/// See [`Part::write`].
pub type WriteFn = dyn for<'a> Fn(IqCx<'a>, Vec<u8>) -> PartFuture<'a, Vec<u8>> + Send + Sync;
/// The error is for the client.
pub type PartFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StanzaError>> + Send + 'a>>;

/// `<vCard/>`
pub struct Card(Vec<u8>);

impl Payload for Card {
    const NAME: &'static str = "vCard";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let mut xml = Vec::new();
        el.to_xml(&mut xml);
        Ok(Card(xml))
    }
}

/// Asking for a vCard.
pub struct Get;

impl Payload for Get {
    const NAME: &'static str = "vCard";
    const NS: &'static str = NS;

    fn parse(_: Element<'_>) -> Result<Self, StanzaError> {
        Ok(Get)
    }
}

/// Keeps vCards and shows them.
pub struct VCard;

impl Module for VCard {
    const NAME: &'static str = "vcard";
    const XEPS: &'static [Xep] = &[xep(54, "1.3", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        VCard
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.needs::<Writing>();
        r.iq::<Get>(IqKind::Get, Target::Account)
            .feature(NS)
            .host_feature(NS);
        r.iq::<Card>(IqKind::Set, Target::Own).feature(NS);
    }
}

impl OnIq<Get> for VCard {
    async fn on_iq(&self, cx: IqCx<'_>, _: Get) -> IqResult {
        let owner = cx.require_account()?.jid().as_str();
        let mut card = cx
            .store()
            .get(&VCARD, owner, "")
            .await
            .map_err(|e| store_failure(&e))?;
        for part in cx.host.provided::<Part>() {
            card = (part.read)(cx, card).await?;
        }
        match card {
            Some(xml) => Ok(Reply::Payload(xml)),
            // XEP-0054 §3.1: the own one that does not exist yet is empty.
            None if cx.is_own() => Ok(Reply::Payload(b"<vCard xmlns='vcard-temp'/>".to_vec())),
            None => Err(OnIq::<Get>::absent(self)),
        }
    }

    fn absent(&self) -> StanzaError {
        StanzaError::item_not_found()
    }

    fn reads(&self) -> Option<&'static Kind> {
        Some(&VCARD)
    }
}

impl OnIq<Card> for VCard {
    async fn on_iq(&self, cx: IqCx<'_>, card: Card) -> IqResult {
        let account = cx.require_account()?;
        let owner = account.jid().as_str();
        let writing = account.slot::<Writing>();
        let _alone = match writing {
            Some(writing) => Some(writing.0.lock().await),
            None => None,
        };
        let mut kept = card.0;
        for part in cx.host.provided::<Part>() {
            kept = (part.write)(cx, kept).await?;
        }
        let mut batch = Batch::new();
        batch.put(&VCARD, owner, "", kept);
        cx.commit(batch).await?;
        Ok(Reply::Empty)
    }
}
