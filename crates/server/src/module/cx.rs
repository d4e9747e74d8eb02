//! What handlers are given, and what they give back to be done.

use std::sync::Arc;

use smallvec::SmallVec;
use tercet_core::{BareJid, Edit, Head, Jid, OwnedElement, Stanza, StanzaError, ns};
use tercet_store::{Batch, Store};

use super::{Payload, Side, Stage};
use crate::account::{Account, AccountState};
use crate::route::Routed;
use crate::server::Server;
use crate::session::Session;
use crate::settlement::Kept;
use crate::vhost::VHost;

/// A request to the server, to the sender's account or to another account of the host.
#[derive(Clone, Copy)]
pub struct IqCx<'a> {
    /// The server.
    pub server: &'a Arc<Server>,
    /// The host that is asked.
    pub host: &'a Arc<VHost>,
    /// The request.
    pub stanza: &'a Stanza,
    /// Who asks; a full JID for clients.
    pub from: &'a Jid,
    /// The account that is asked; `None` when the host is.
    pub account: Option<&'a Arc<Account>>,
    /// The local session that asks.
    pub session: Option<&'a Arc<Session>>,
}

impl<'a> IqCx<'a> {
    /// The store.
    pub fn store(&self) -> &'a Store {
        self.server.store()
    }

    /// The request's payload as an element tree.
    pub fn payload(&self) -> Option<OwnedElement> {
        self.stanza.payload().map(|p| p.parse())
    }

    /// The account that is asked; an internal error if the handler was registered for a host.
    pub fn require_account(&self) -> Result<&'a Arc<Account>, StanzaError> {
        self.account.ok_or_else(StanzaError::internal_server_error)
    }

    /// The local session that asks; `forbidden` if it is somebody else.
    pub fn require_session(&self) -> Result<&'a Arc<Session>, StanzaError> {
        self.session.ok_or_else(StanzaError::forbidden)
    }

    /// Whether the sender is the account that is asked.
    pub fn is_own(&self) -> bool {
        self.account
            .is_some_and(|a| a.jid().as_str() == self.from.bare_str())
    }

    /// Whether the sender may know about the account's presence: its own, or a subscriber (RFC 6121 §4.3.2).
    pub fn sees_presence(&self) -> bool {
        self.is_own()
            || self
                .account
                .is_some_and(|a| a.lock().roster.subscription(self.from.bare_str()).from)
    }

    /// Makes `batch` durable; a store's failure becomes the error that clients see. Nothing is written for an account that is
    /// being removed.
    pub async fn commit(&self, batch: Batch) -> Result<(), StanzaError> {
        let account = self.account.or(self.session.map(|s| s.account()));
        let commit = {
            // Queued while the account is locked: before its removal, or not at all.
            let state = account.map(|a| a.lock());
            if state.is_some_and(|s| s.removed) {
                return Err(StanzaError::item_not_found());
            }
            self.store().commit(batch)
        };
        commit.await.map_err(|e| crate::server::store_failure(&e))
    }

    /// Parses the payload as `P` and answers with what `handle` makes of it.
    pub(crate) fn parse<P: Payload>(&self) -> Result<P, StanzaError> {
        let payload = self.payload().ok_or_else(StanzaError::bad_request)?;
        P::parse(payload.root())
    }
}

/// A stanza on its way, seen for one of its two ends.
pub struct StanzaCx<'a> {
    /// The server.
    pub server: &'a Arc<Server>,
    /// The host of the account for which the stage runs.
    pub host: &'a Arc<VHost>,
    /// The account for which the stage runs.
    pub account: &'a Arc<Account>,
    /// Which end of the way that is.
    pub side: Side,
    /// The stage that runs, for those who stand in several.
    pub stage: Stage,
    /// The stanza. Its own `from` and `to` attributes are what the client wrote; use the fields below.
    pub stanza: &'a Stanza,
    /// The sender, as the server knows it.
    pub from: &'a Jid,
    /// The addressee.
    pub to: &'a Jid,
    /// The language of the stream that it came on, for a stanza that names none.
    pub lang: Option<&'a str>,
    /// The account's state and who has got the message, in [`Stage::Archive`](super::Stage::Archive) (nobody yet) and in the
    /// recipient's [`Stage::Copy`](super::Stage::Copy), which run with the account locked.
    pub delivered: Option<&'a Delivered<'a>>,
    /// What is to be done once all stages agree, and how the stanza's bytes change.
    pub effects: &'a mut Effects,
}

/// What became of a message at its recipient's account.
pub struct Delivered<'a> {
    /// The account, locked since before the delivery.
    pub state: &'a AccountState,
    /// The sessions that it was handed to. None where it is kept for later, or came to nothing without an error.
    pub to: &'a [&'a Arc<Session>],
}

impl Delivered<'_> {
    /// Whether `session` has got it.
    pub fn reached(&self, session: &Session) -> bool {
        self.to
            .iter()
            .any(|s| std::ptr::eq(Arc::as_ptr(s), session))
    }
}

impl<'a> StanzaCx<'a> {
    /// Appends the stanza as the account of `side` gets it, with the addresses that the server vouches for and all edits so far.
    /// `xmlns` is as in [`Head`]. What is archived, kept for later or copied is written by this.
    pub fn write(&self, side: Side, xmlns: Option<&str>, out: &mut Vec<u8>) {
        let head = Head {
            from: Some(self.from.as_str()),
            to: Some(self.to.as_str()),
            lang: self.lang,
            xmlns,
        };
        self.stanza
            .write_edited(out, head, self.effects.edits.of(side));
    }

    /// What [`write`](Self::write) writes for `side`, in `jabber:client`. Both ends of a message have the same bytes, written once, unless the message
    /// was changed for one of them.
    pub fn written(&mut self, side: Side) -> Arc<[u8]> {
        let edits = &self.effects.edits;
        if let Some(written) = &self.effects.written
            && written.left_out == edits.leave_out.len()
            && edits.of(written.side).append.get(..written.appended) == Some(edits.of(side).append)
        {
            return written.bytes.clone();
        }
        let (left_out, appended) = (edits.leave_out.len(), edits.of(side).append.len());
        let mut bytes = Vec::new();
        self.write(side, Some(ns::CLIENT), &mut bytes);
        let bytes: Arc<[u8]> = bytes.into();
        self.effects.written = Some(Written {
            bytes: bytes.clone(),
            side,
            left_out,
            appended,
        });
        bytes
    }

    /// The other end: whom the account sends to, or receives from.
    pub fn peer(&self) -> &'a Jid {
        match self.side {
            Side::Sender => self.to,
            Side::Recipient => self.from,
        }
    }
}

/// A request to see an account's presence (RFC 6121 §3.1.3).
#[derive(Clone, Copy)]
pub struct SubscriptionCx<'a> {
    /// The server.
    pub server: &'a Arc<Server>,
    /// The account's host.
    pub host: &'a Arc<VHost>,
    /// The account whose presence is asked for.
    pub account: &'a Arc<Account>,
    /// Who asks.
    pub from: &'a BareJid,
    /// The request.
    pub stanza: &'a Stanza,
}

/// A stanza for a name without an account.
#[derive(Clone, Copy)]
pub struct UnknownCx<'a> {
    /// The server.
    pub server: &'a Arc<Server>,
    /// The host of the name.
    pub host: &'a Arc<VHost>,
    /// The stanza.
    pub stanza: &'a Stanza,
    /// The sender, as the server knows it.
    pub from: &'a Jid,
    /// The addressee.
    pub to: &'a Jid,
}

/// A session that something happened to.
#[derive(Clone, Copy)]
pub struct SessionCx<'a> {
    /// The server.
    pub server: &'a Arc<Server>,
    /// The session's host.
    pub host: &'a Arc<VHost>,
    /// The session.
    pub session: &'a Arc<Session>,
}

/// Available presence that is about to be told.
#[derive(Clone, Copy)]
pub struct AnnounceCx<'a> {
    /// The server.
    pub server: &'a Arc<Server>,
    /// The session's host.
    pub host: &'a Arc<VHost>,
    /// Whose presence it is.
    pub session: &'a Arc<Session>,
    /// To whom it goes; `None`: to all who are subscribed to it.
    pub to: Option<&'a Jid>,
    /// The presence.
    pub presence: &'a Stanza,
    /// It has been told before, and is told again ([`Server::announce_again`]): its client did not send it now.
    pub again: bool,
}

/// Somebody who may see an account's presence from now on.
#[derive(Clone, Copy)]
pub struct AdmittedCx<'a> {
    /// The server.
    pub server: &'a Arc<Server>,
    /// The account.
    pub account: &'a Arc<Account>,
    /// Who may see its presence.
    pub contact: &'a BareJid,
}

/// Something to be done for a stanza after its stages: in order, and the first failure stops the rest and becomes an error reply.
pub enum Effect {
    /// Make these writes durable. If that fails, `undo` takes back what was noted in memory when they were asked for.
    Commit {
        /// The writes.
        batch: Batch,
        /// Called once, or never.
        undo: Box<dyn FnOnce() + Send>,
    },
    /// Route this stanza, addresses and all, as the server's own.
    Send {
        /// The sender; an entity of this server.
        from: Jid,
        /// The addressee.
        to: Jid,
        /// The stanza.
        stanza: Stanza,
    },
    /// Do this, too; the sender's next stanza waits for it.
    Later(Box<LaterFn>),
}

/// What an [`Effect::Later`] does.
pub type LaterFn = dyn FnOnce(&Arc<Server>) -> Routed + Send;

/// What the stages of one stanza ask for.
#[derive(Default)]
pub struct Effects {
    /// In order.
    pub(crate) list: Vec<Effect>,
    /// See [`Effects::keep`].
    pub(crate) kept: Batch,
    /// See [`Effects::edits`].
    pub(crate) edits: Edits,
    /// What was kept before the stanza reached its addressee settles with this.
    pub(crate) settles: Option<Arc<Kept>>,
    written: Option<Written>,
}

/// See [`StanzaCx::written`].
struct Written {
    bytes: Arc<[u8]>,
    side: Side,
    /// How much was left out and appended when it was written; both only grow.
    left_out: usize,
    appended: usize,
}

impl Effects {
    pub(crate) fn new() -> Effects {
        Effects::default()
    }

    /// Does this, too, after what was asked for before.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Writes for which delivery does not wait, but acknowledgement does: they are queued together, in the order of the stanzas,
    /// and the stanza counts as settled ([`Session::settled`]) once they are durable. If they fail, its sender gets the error.
    pub fn keep(&mut self) -> &mut Batch {
        &mut self.kept
    }

    /// Whether anything is kept for the stanza so far.
    pub fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    pub(crate) fn forget_kept(&mut self) {
        self.kept = Batch::new();
    }

    /// How the stanza's bytes change on their way.
    pub fn edits(&mut self) -> &mut Edits {
        &mut self.edits
    }
}

/// Changes to a stanza's content, for all who get it from here on: its addressee, the archive, what is kept for later, copies.
/// Handlers that follow still see the stanza as it came, and write it with [`StanzaCx::write`].
#[derive(Debug, Default)]
pub struct Edits {
    leave_out: SmallVec<[u32; 4]>,
    sender: Vec<u8>,
    recipient: Vec<u8>,
}

impl Edits {
    /// Leaves out the child at this place among [`Stanza::children`].
    pub fn leave_out(&mut self, place: usize) {
        let Ok(place) = u32::try_from(place) else {
            return;
        };
        if let Err(at) = self.leave_out.binary_search(&place) {
            self.leave_out.insert(at, place);
        }
    }

    /// Bytes to which a handler appends whole elements, with their namespaces declared: they become the last children for the
    /// account of `side`. The account that sent it sees its side in its archive and in copies.
    pub fn append(&mut self, side: Side) -> &mut Vec<u8> {
        match side {
            Side::Sender => &mut self.sender,
            Side::Recipient => &mut self.recipient,
        }
    }

    /// The changes for the account of `side`.
    pub fn of(&self, side: Side) -> Edit<'_> {
        Edit {
            leave_out: &self.leave_out,
            append: match side {
                Side::Sender => &self.sender,
                Side::Recipient => &self.recipient,
            },
        }
    }
}
