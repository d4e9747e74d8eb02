//! Services: hosts without accounts, at which one module is behind every address with a localpart, such as a room.

use std::sync::Arc;

use tercet_store::Batch;

use tercet_core::{Edit, Jid, Stanza, StanzaError, error_reply, iq_result};

use super::Module;
use crate::route::Routed;
use crate::server::Server;
use crate::session::Session;
use crate::vhost::VHost;

/// What is behind every address with a localpart at a host. Requests to the domain itself are answered by the host's table.
pub trait OnEntity: Module {
    /// Takes a stanza for one of these addresses, bare or full, errors and answers included. Synchronous where nothing has to be
    /// waited for: messages to a room do not.
    fn on_entity(&self, cx: EntityCx<'_>) -> Routed;
}

/// Takes messages to a host itself, as a value that modules provide: says `None` to what is not for it. What nobody takes goes back.
pub struct HostMessages(pub fn(&EntityCx<'_>) -> Option<Routed>);

/// A stanza for an address of a service.
#[derive(Clone, Copy)]
pub struct EntityCx<'a> {
    /// The server.
    pub server: &'a Arc<Server>,
    /// The service's host.
    pub host: &'a Arc<VHost>,
    /// The stanza. Its own `from` and `to` attributes are what the client wrote; use the fields below.
    pub stanza: &'a Stanza,
    /// The sender, as the server knows it.
    pub from: &'a Jid,
    /// The addressee; it has a localpart.
    pub to: &'a Jid,
    /// The language of the stream that it came on, for a stanza that names none.
    pub lang: Option<&'a str>,
    /// The local session that sent it; it may have ended since.
    pub session: Option<&'a Arc<Session>>,
    /// How its content changes on the way: what the sender's stages found to be forged, for example.
    pub edit: Edit<'a>,
}

impl EntityCx<'_> {
    /// Answers with an error, unless the stanza may not be answered so.
    pub fn refuse(&self, error: &StanzaError) {
        self.reply(|out| {
            let (from, to) = (Some(self.to.as_str()), Some(self.from.as_str()));
            error_reply(self.stanza, error, from, to, out);
        });
    }

    /// Answers a request with a result; `payload` is one element that declares its namespace, or nothing.
    pub fn answer(&self, payload: &[u8]) {
        self.reply(|out| {
            let (from, to) = (Some(self.to.as_str()), Some(self.from.as_str()));
            iq_result(self.stanza, from, to, payload, out);
        });
    }

    /// Lets `write` append one stanza, addressed to the sender, or nothing.
    pub fn reply(&self, write: impl FnOnce(&mut Vec<u8>)) {
        match self.session {
            Some(session) => {
                session.outbox().push(write);
            }
            None => {
                let mut out = Vec::new();
                write(&mut out);
                self.server.post(self.to, self.from, &out);
            }
        }
    }

    /// Queues writes that belong to the stanza and that nobody waits for: it counts as settled, and may be acknowledged to its
    /// sender, once they are durable. If they fail, the sender gets the error.
    pub fn keep(&self, batch: Batch) -> Routed {
        self.server.keep_for(self, batch)
    }

    /// The same, owned, for what comes later.
    pub fn park(&self) -> Parked {
        Parked {
            server: self.server.clone(),
            host: self.host.clone(),
            stanza: self.stanza.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            lang: self.lang.map(Box::from),
            session: self.session.cloned(),
            leave_out: self.edit.leave_out.into(),
            append: self.edit.append.into(),
        }
    }
}

/// An [`EntityCx`] that can be kept.
pub struct Parked {
    server: Arc<Server>,
    host: Arc<VHost>,
    stanza: Stanza,
    from: Jid,
    to: Jid,
    lang: Option<Box<str>>,
    session: Option<Arc<Session>>,
    leave_out: Box<[u32]>,
    append: Box<[u8]>,
}

impl Parked {
    /// What was kept.
    pub fn cx(&self) -> EntityCx<'_> {
        EntityCx {
            server: &self.server,
            host: &self.host,
            stanza: &self.stanza,
            from: &self.from,
            to: &self.to,
            lang: self.lang.as_deref(),
            session: self.session.as_ref(),
            edit: Edit {
                leave_out: &self.leave_out,
                append: &self.append,
            },
        }
    }
}
