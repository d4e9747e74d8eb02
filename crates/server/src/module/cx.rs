//! What handlers are given, and what they give back to be done.

use std::sync::Arc;

use tercet_core::{Jid, OwnedElement, Stanza, StanzaError};
use tercet_store::{Batch, Store};

use super::{Payload, Side, Stage};
use crate::account::{Account, AccountState};
use crate::server::Server;
use crate::session::Session;
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
    /// Who has got the message, in the recipient's [`Stage::Copy`](super::Stage::Copy).
    pub delivered: Option<&'a Delivered<'a>>,
    /// What is to be done once all stages agree.
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

impl StanzaCx<'_> {
    /// The other end: whom the account sends to, or receives from.
    pub fn peer(&self) -> &Jid {
        match self.side {
            Side::Sender => self.to,
            Side::Recipient => self.from,
        }
    }
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
}

/// The effects of one stanza, in order.
pub type Effects = Vec<Effect>;
