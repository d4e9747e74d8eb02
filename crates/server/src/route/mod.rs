//! The routing rule (RFC 6120 §10, RFC 6121 §8): who gets a stanza, and what happens where nobody can.
//!
//! The fast path is synchronous: a stanza whose ends are both in memory is delivered before [`Server::accept`] returns. What
//! needs the store, or an asynchronous handler, comes back as [`Routed::Later`], which the sender's connection awaits before
//! its next stanza, so that order holds.

mod afar;
mod announce;
mod component;
mod consent;
mod contact;
mod effects;
mod elsewhere;
mod entity;
mod horizon;
mod iq;
mod message;
mod paced;
mod presence;
mod remains;
mod resume;
mod rules;
mod session;
mod stages;
mod under_way;

pub(crate) use afar::Afar;
pub use component::{Access, Component, Components, Delegated};
pub(crate) use contact::ChangeError;
pub(crate) use elsewhere::Ways;
pub use elsewhere::{Elsewhere, Letter};
pub use entity::{Fanout, Handed};
pub(crate) use horizon::Horizon;
pub use resume::Resumed;
pub use under_way::UnderWay;

pub use paced::Paced;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tercet_core::{Edit, Head, Jid, PresenceType, Stanza, StanzaError, StanzaKind, error_reply};

use crate::account::Account;
use crate::module::{Effects, Flow, Phase, Side, UnknownCx};
use crate::server::{Server, store_failure};
use crate::session::Session;
use crate::vhost::VHost;

/// How far a call got.
#[must_use = "what comes later must be awaited before the sender's next stanza"]
pub enum Routed {
    /// All done.
    Done,
    /// The rest.
    Later(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Routed {
    /// The rest as a future of its own.
    pub fn later(rest: impl Future<Output = ()> + Send + 'static) -> Routed {
        Routed::Later(Box::pin(rest))
    }

    /// Both, this one first.
    fn and(self, other: Routed) -> Routed {
        match (self, other) {
            (Routed::Done, one) | (one, Routed::Done) => one,
            (Routed::Later(first), Routed::Later(second)) => Routed::later(async move {
                first.await;
                second.await;
            }),
        }
    }

    /// Waits for the rest, if there is any.
    pub async fn wait(self) {
        if let Routed::Later(rest) = self {
            rest.await;
        }
    }
}

/// A stanza on its way, with the addresses that the server vouches for.
#[derive(Clone, Copy)]
pub(crate) struct Passage<'a> {
    pub(crate) stanza: &'a Stanza,
    pub(crate) from: &'a Jid,
    pub(crate) to: &'a Jid,
    pub(crate) lang: Option<&'a str>,
    /// The session that sent it, if its client waits for the stanza to be settled.
    pub(crate) session: Option<&'a Arc<Session>>,
    /// The stream of another server or of a component that it came on.
    pub(crate) under_way: Option<&'a Arc<UnderWay>>,
    pub(crate) edit: Edit<'a>,
}

/// The same, owned, for what comes later. Edits are not in it: they stand in the effects.
struct Parcel {
    stanza: Stanza,
    from: Jid,
    to: Jid,
    lang: Option<Box<str>>,
    session: Option<Arc<Session>>,
    under_way: Option<Arc<UnderWay>>,
}

impl<'a> Passage<'a> {
    /// A stanza of an entity of this server.
    pub(crate) fn new(stanza: &'a Stanza, from: &'a Jid, to: &'a Jid) -> Self {
        Passage {
            stanza,
            from,
            to,
            lang: None,
            session: None,
            under_way: None,
            edit: Edit::default(),
        }
    }

    /// A stanza of the client of `session`, for `to`.
    fn of(session: &'a Arc<Session>, stanza: &'a Stanza, to: &'a Jid) -> Self {
        Passage {
            lang: session.lang(),
            session: Some(session),
            ..Passage::new(stanza, session.jid(), to)
        }
    }

    /// The same as its addressee gets it.
    fn edited<'b>(self, effects: &'b Effects) -> Passage<'b>
    where
        'a: 'b,
    {
        Passage {
            edit: effects.edits.of(Side::Recipient),
            ..self
        }
    }

    fn keep(&self) -> Parcel {
        Parcel {
            stanza: self.stanza.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            lang: self.lang.map(Box::from),
            session: self.session.cloned(),
            under_way: self.under_way.cloned(),
        }
    }

    /// Appends the stanza, addressed to `to`.
    fn write(&self, to: &str, out: &mut Vec<u8>) {
        let head = Head {
            from: Some(self.from.as_str()),
            to: Some(to),
            lang: self.lang,
            xmlns: None,
        };
        self.stanza.write_edited(out, head, self.edit);
    }
}

impl Parcel {
    fn passage(&self) -> Passage<'_> {
        Passage {
            lang: self.lang.as_deref(),
            session: self.session.as_ref(),
            under_way: self.under_way.as_ref(),
            ..Passage::new(&self.stanza, &self.from, &self.to)
        }
    }
}

impl Server {
    /// Takes a stanza from the client of `session`. Its `from` has been checked by the stream; it is replaced by the session's
    /// full JID (RFC 6120 §8.1.2.1).
    pub fn accept(self: &Arc<Self>, session: &Arc<Session>, stanza: Stanza) -> Routed {
        let number = session.settlement().begin();
        let to = match stanza.to() {
            Ok(to) => to,
            Err(error) => {
                self.bounce_to(session, &stanza, error);
                return Routed::Done;
            }
        };
        let routed = match stanza.kind() {
            StanzaKind::Message => self.message_from(session, &stanza, to),
            StanzaKind::Presence => self.presence_from(session, &stanza, to),
            StanzaKind::Iq => self.iq_from(session, &stanza, to),
        };
        let Routed::Later(rest) = routed else {
            return Routed::Done;
        };
        session.settlement().open(number);
        let session = session.clone();
        Routed::later(async move {
            rest.await;
            session.settlement().close(number);
        })
    }

    /// Routes a stanza of an entity of this server, such as a service or an account in whose name the server speaks.
    pub fn route(self: &Arc<Self>, from: &Jid, to: &Jid, stanza: &Stanza) -> Routed {
        self.deliver(Passage::new(stanza, from, to), Effects::new())
    }

    /// Runs the sender's stages, then delivers.
    fn send(self: &Arc<Self>, account: &Arc<Account>, passage: Passage<'_>) -> Routed {
        let mut effects = Effects::new();
        match self.stages(account, Side::Sender, passage, &mut effects) {
            Flow::Continue => {
                let kept = self.archive_sent(account, passage, &mut effects);
                self.copy(account, Side::Sender, passage, None, &mut effects);
                kept.and(self.deliver(passage, effects))
            }
            Flow::Handled | Flow::Drop => self.finish(passage, effects),
            Flow::Bounce(error) => {
                self.bounce(passage, &error);
                Routed::Done
            }
        }
    }

    /// Brings a stanza to its addressee. `effects` are those of the sender's stages.
    fn deliver(self: &Arc<Self>, passage: Passage<'_>, effects: Effects) -> Routed {
        let Some(host) = self.host(passage.to.domain()) else {
            // RFC 6120 §10.4: it is for another server, if those are reached.
            if self.to_elsewhere(passage.edited(&effects)) {
                return self.finish(passage, effects);
            }
            self.bounce(passage, &StanzaError::remote_server_not_found());
            return Routed::Done;
        };
        if passage.to.local().is_none() {
            return self.to_host(&host, passage, effects);
        }
        if !host.has_accounts() {
            return self.to_entity(&host, passage, effects);
        }
        if let Some(account) = self.accounts().get(passage.to.bare_str()) {
            return self.to_account(&host, &account, passage, effects);
        }
        if !host.hears_contacts() && self.needs_nobody(passage) {
            return self.finish(passage, effects);
        }
        let server = self.clone();
        let parcel = passage.keep();
        Routed::later(async move {
            let passage = parcel.passage();
            match server.account(&passage.to.to_bare()).await {
                Ok(Some(account)) => {
                    server
                        .to_account(&host, &account, passage, effects)
                        .wait()
                        .await
                }
                Ok(None) => server.to_nobody(&host, passage, effects).wait().await,
                Err(error) => server.bounce(passage, &store_failure(&error)),
            }
        })
    }

    /// Whether an account that is not in memory, and so has no resources, makes no difference to the stanza.
    fn needs_nobody(&self, passage: Passage<'_>) -> bool {
        let presence = matches!(
            passage.stanza.presence_type(),
            Some(PresenceType::Available | PresenceType::Unavailable | PresenceType::Error)
        );
        passage.stanza.kind() == StanzaKind::Presence && presence
    }

    fn to_account(
        self: &Arc<Self>,
        host: &Arc<VHost>,
        account: &Arc<Account>,
        passage: Passage<'_>,
        mut effects: Effects,
    ) -> Routed {
        match self.stages(account, Side::Recipient, passage, &mut effects) {
            Flow::Continue => {}
            Flow::Handled | Flow::Drop => return self.finish(passage, effects),
            Flow::Bounce(error) => {
                self.bounce(passage, &error);
                return Routed::Done;
            }
        }
        match passage.stanza.kind() {
            StanzaKind::Message => self.message_to(host, account, passage, effects),
            StanzaKind::Presence => self.presence_to(account, passage, effects),
            StanzaKind::Iq => self.iq_to(host, account, passage, effects),
        }
    }

    /// RFC 6121 §8.5.1: there is no such account. What the sender sees is what an account that knows nothing of the sender, and
    /// is away, would have shown.
    fn to_nobody(
        self: &Arc<Self>,
        host: &Arc<VHost>,
        passage: Passage<'_>,
        effects: Effects,
    ) -> Routed {
        let cx = UnknownCx {
            server: self,
            host,
            stanza: passage.stanza,
            from: passage.from,
            to: passage.to,
        };
        let kind = passage.stanza.kind();
        for policy in host.stages(kind, Side::Recipient, Phase::Policy) {
            match (policy.unknown)(&cx) {
                Flow::Continue => {}
                Flow::Handled | Flow::Drop => return self.finish(passage, effects),
                Flow::Bounce(error) => {
                    self.bounce(passage, &error);
                    return Routed::Done;
                }
            }
        }
        match passage.stanza.kind() {
            StanzaKind::Message => return self.message_to_nobody(host, passage, effects),
            StanzaKind::Presence => self.presence_to_nobody(passage),
            StanzaKind::Iq => return self.iq_to_nobody(host, passage, effects),
        }
        self.finish(passage, effects)
    }

    fn to_host(
        self: &Arc<Self>,
        host: &Arc<VHost>,
        passage: Passage<'_>,
        effects: Effects,
    ) -> Routed {
        match passage.stanza.kind() {
            StanzaKind::Iq => self.iq_to_host(host, passage),
            StanzaKind::Message => self.message_to_host(host, passage, effects),
            // RFC 6121 §4.3.2: a host has no presence to show; nobody waits for an answer.
            StanzaKind::Presence => self.finish(passage, effects),
        }
    }

    /// Answers a stanza with an error in the name of its addressee, unless it is itself an answer (RFC 6120 §8.3.1).
    fn bounce(&self, passage: Passage<'_>, error: &StanzaError) {
        let asked = passage.from.resource().is_none() && passage.stanza.kind() == StanzaKind::Iq;
        if !asked && self.is_entity(passage.from) {
            return self.bounce_to_entity(passage, error);
        }
        if passage.from.resource().is_none() && !self.is_elsewhere(passage.from.domain()) {
            // What the server asked in the name of a host or an account.
            self.failed(passage.to, passage.from, passage.stanza, error);
        } else if passage.stanza.may_bounce() {
            self.write_to(passage.from, |out| {
                error_reply(
                    passage.stanza,
                    error,
                    Some(passage.to.as_str()),
                    Some(passage.from.as_str()),
                    out,
                );
            });
        }
    }

    /// Answers a stanza that could not even be addressed.
    fn bounce_to(&self, session: &Session, stanza: &Stanza, error: StanzaError) {
        if stanza.may_bounce() {
            let domain = session.jid().domain();
            session.outbox().push(|out| {
                error_reply(
                    stanza,
                    &error,
                    Some(domain),
                    Some(session.jid().as_str()),
                    out,
                );
            });
        }
    }

    /// Appends bytes to the outbox of the session that `to` names in full, or sends them to the server of `to`; false if
    /// there is neither.
    fn write_to(&self, to: &Jid, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(account) = self.accounts().get(to.bare_str()) else {
            return self.post_written(to, write);
        };
        let Some(resource) = to.resource() else {
            return false;
        };
        let state = account.lock();
        state
            .resource(resource)
            .is_some_and(|r| r.session.outbox().push(write))
    }
}
