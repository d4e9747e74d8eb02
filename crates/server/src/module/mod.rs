//! The interface between the server and its extensions.
//!
//! A [`Module`] registers typed handlers at the start of each virtual host; what it registers is compiled into the host's
//! tables, and service discovery is read from those tables, so that what is advertised is what works. Handlers are of six
//! sorts:
//!
//! - [`OnIq`]: answers one payload of an IQ; asynchronous, since most answers come from the store.
//! - [`OnStanza`]: one step of the pipeline that a passing stanza walks through; synchronous, since no await between steps means
//!   no half-applied stanza. What it needs of an account is declared as a [`Slot`] and loaded before; what it wants done is
//!   pushed as an [`Effect`].
//! - [`OnSubscription`]: knows of requests for presence to which the user has agreed beforehand.
//! - [`OnEntity`]: is behind all addresses of a service, a host without accounts.
//! - [`OnPresence`]: told whose presence is seen from now on, and by whom.
//! - [`OnAnnounce`]: completes the presence that clients send.
//! - [`OnSession`]: told when a session becomes available for the first time, and when it ends.
//! - [`OnBind`]: does what a client wants of its session at its very beginning.
//!
//! Modules that work together share typed values through [`Registrar::provide`] and [`VHost::provided`](crate::VHost::provided).

mod cx;
mod entity;
mod insider;
mod registrar;
mod slot;
mod stage;

pub use cx::{
    AdmittedCx, AnnounceCx, Delivered, Edits, Effect, Effects, IqCx, LaterFn, SessionCx, StanzaCx,
    SubscriptionCx, UnknownCx,
};
pub use entity::{EntityCx, HostMessages, OnEntity, Parked};
pub use insider::{Insider, Taken};
pub(crate) use registrar::{
    AnnounceFn, BoundFn, ConsentFn, EntityFn, Extension, IqEntry, PresenceEntry, SessionEntry,
    StageEntry,
};
pub use registrar::{BoxFuture, Feature, Registrar};
pub use slot::{Slot, SlotFuture};
pub(crate) use slot::{SlotDef, Slots};
pub(crate) use stage::Phase;
pub use stage::{ArchivedRule, Flow, Kinds, Side, Stage};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tercet_core::{BareJid, Element, IqType, Stanza, StanzaError, StreamError};
use tercet_store::Batch;

use crate::server::Server;
use crate::settings::HostInfo;
use crate::vhost::VHost;

/// An extension: one folder, one concern, usually one XEP.
pub trait Module: Send + Sync + Sized + 'static {
    /// The folder's name, which is also the name of its configuration table.
    const NAME: &'static str;
    /// The specifications it implements.
    const XEPS: &'static [Xep];
    /// Its settings; `()` where there are none.
    type Config: DeserializeOwned + Default + Clone + Send + Sync + 'static;

    /// Makes the module for one virtual host.
    fn new(config: Self::Config, host: &HostInfo) -> Self;

    /// Declares what the module handles, advertises and needs.
    fn register(r: &mut Registrar<'_, Self>);
}

/// A specification and how much of it a module covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xep {
    /// Its number.
    pub number: u16,
    /// The version that was read.
    pub version: &'static str,
    /// How much of the server's part is there.
    pub coverage: Coverage,
}

/// How much of a specification's server part is implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// All of it.
    Complete,
    /// A part; the text says what is missing.
    Partial(&'static str),
}

/// A row of [`Module::XEPS`].
pub const fn xep(number: u16, version: &'static str, coverage: Coverage) -> Xep {
    Xep {
        number,
        version,
        coverage,
    }
}

/// A payload that a handler takes: the first child of an IQ, read from its element.
pub trait Payload: Sized + Send {
    /// Its element name.
    const NAME: &'static str;
    /// Its namespace.
    const NS: &'static str;
    /// Whether there may be secrets in it, so that it is not sent back with an error.
    const SECRET: bool = false;

    /// Reads it. The error goes back to the sender.
    fn parse(el: Element<'_>) -> Result<Self, StanzaError>;
}

/// Declares a payload without content that matters: `empty_payload!(Ping, "ping", "urn:xmpp:ping")`.
#[macro_export]
macro_rules! empty_payload {
    ($(#[$doc:meta])* $type:ident, $name:expr, $ns:expr) => {
        $(#[$doc])*
        pub struct $type;
        impl $crate::module::Payload for $type {
            const NAME: &'static str = $name;
            const NS: &'static str = $ns;
            fn parse(_: tercet_core::Element<'_>) -> Result<Self, tercet_core::StanzaError> {
                Ok($type)
            }
        }
    };
}

/// The two kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IqKind {
    /// `type='get'`
    Get,
    /// `type='set'`
    Set,
}

impl IqKind {
    /// The kind of an IQ's type; `None` for results and errors.
    pub fn of(iq_type: IqType) -> Option<IqKind> {
        match iq_type {
            IqType::Get => Some(IqKind::Get),
            IqType::Set => Some(IqKind::Set),
            IqType::Result | IqType::Error => None,
        }
    }
}

/// To whom a request is addressed when the server itself answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The sender's own account: no `to`, or the own bare JID. The same request to another account is `forbidden`.
    Own,
    /// Any account of the host, by its bare JID; the sender's own too.
    Account,
    /// The host itself, by its domain.
    Host,
}

/// What a successful request gets back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An empty result.
    Empty,
    /// A result with this element, namespace declared.
    Payload(Vec<u8>),
    /// An empty result, after which the sender's stream ends with this error.
    Last(Box<StreamError>),
}

/// The outcome of a request. An error is sent as it is.
pub type IqResult = Result<Reply, StanzaError>;

/// Answers the payload `P`.
pub trait OnIq<P: Payload>: Module {
    /// Handles one request. While it runs, the sender's later stanzas wait; nobody else does.
    fn on_iq(&self, cx: IqCx<'_>, payload: P) -> impl Future<Output = IqResult> + Send;

    /// The answer in the name of an account that does not exist ([`Target::Account`]). It must be the one that an existing
    /// account gives to a stranger, so that names can't be guessed.
    fn absent(&self) -> StanzaError {
        StanzaError::service_unavailable()
    }

    /// The kind of record that is read to answer for an account, if any. For an account that does not exist it is read in vain,
    /// so that the answer takes as long.
    fn reads(&self) -> Option<&'static tercet_store::Kind> {
        None
    }
}

/// A step that stanzas of the registered kinds pass through.
pub trait OnStanza: Module {
    /// Looks at one stanza, and decides.
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow;

    /// For [`Stage::Policy`], where it is not for what the account has said: what an account that knows nothing of the sender decides
    /// about a stanza. It holds for names without an account, which then cannot be told apart.
    fn on_unknown(&self, cx: &UnknownCx<'_>) -> Flow {
        let _ = cx;
        Flow::Continue
    }

    /// For [`Stage::Archive`] and [`Stage::Fallback`]: what is to be written for a message to a name without an account, so that it takes as long as
    /// one that is kept for an account whose user is away. Names can then not be told apart by the clock.
    fn absent(&self, stanza: &Stanza) -> Option<Batch> {
        let _ = stanza;
        None
    }
}

/// Asked about requests for an account's presence, before its user is.
pub trait OnSubscription: Module {
    /// Whether the user has agreed to this request beforehand, and wishes to see the other's presence too. The batch is made
    /// durable together with the subscription; if that fails ([`Batch::insert_new`]), the user is asked after all.
    fn consents(&self, cx: SubscriptionCx<'_>) -> impl Future<Output = Option<Batch>> + Send;
}

/// Told about presence. Called where presence is handled: what takes long goes to the agenda ([`Server::at`](crate::Server::at)).
pub trait OnPresence: Module {
    /// The session has sent available presence, its first or another one, and who may see it has.
    fn presented(&self, cx: SessionCx<'_>, presence: &Stanza);

    /// Somebody may see the account's presence from now on, and has been shown it.
    fn admitted(&self, cx: AdmittedCx<'_>);
}

/// Completes the available presence of sessions, before anybody sees it.
pub trait OnAnnounce: Module {
    /// What is announced instead; `None`: the presence is as it should be. Called with no lock held but that which keeps the
    /// session's presence in order.
    fn announce(&self, cx: AnnounceCx<'_>) -> Option<Stanza>;
}

/// Told about sessions.
pub trait OnSession: Module {
    /// The session has sent its first available presence with a priority that lets it receive messages, or has raised its
    /// priority to such (RFC 6121 §4.2, XEP-0160). Called after the presence has been handled.
    fn available(&self, cx: SessionCx<'_>) -> impl Future<Output = ()> + Send;

    /// The session is available no longer, and nobody has been told so yet; [`gone`](Self::gone) follows when all have.
    fn leaving(&self, cx: SessionCx<'_>, presence: &Stanza) {
        let _ = (cx, presence);
    }

    /// The session was available and is no longer: its client said so, with `presence`, or its stream has ended.
    fn gone(&self, cx: SessionCx<'_>, presence: &Stanza) -> impl Future<Output = ()> + Send {
        let _ = (cx, presence);
        std::future::ready(())
    }

    /// The session's connection is lost, and its client may come back. What it has not acknowledged is in its outbox.
    fn lost(&self, cx: SessionCx<'_>) {
        let _ = cx;
    }
}

/// Does what a client wants of its session at its very beginning (XEP-0386).
pub trait OnBind: Module {
    /// The session was just bound, and its client has been told nothing yet; `request` is its `<bind/>`, with the wishes of which
    /// the module's own may be one. What is returned, elements or nothing, is told to the client.
    fn bound(
        &self,
        cx: SessionCx<'_>,
        request: Element<'_>,
    ) -> impl Future<Output = Vec<u8>> + Send;
}

/// Told that the server of a domain is back after it was out of reach, or after a stream to it has broken, as a value that a module
/// provides: what was said meanwhile may not have arrived.
pub struct OnReturn(pub fn(&Arc<Server>, &VHost, &str));

/// What a module takes back when an account is removed, as a value that it provides: done before the removal is over, so that who
/// gets the name next has nothing of it. What is the account's in the store goes without.
pub struct OnRemoval(pub OnRemovalFn);

/// Takes back what `user`, whose account is gone, was to others.
pub type OnRemovalFn = fn(Arc<Server>, BareJid) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A child of the stream features that clients see after login, as a value that modules provide: the XML, for this host.
pub struct StreamFeature(pub Box<StreamFeatureFn>);

/// Writes a stream feature.
pub type StreamFeatureFn = dyn Fn(&VHost) -> Vec<u8> + Send + Sync;
