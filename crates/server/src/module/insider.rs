//! Modules that let somebody reach deeper into a host than others may: components with privileges, or with namespaces of their own.

use std::sync::Arc;

use tercet_core::{BareJid, Jid, Stanza, StanzaError};

use super::registrar::BoxFuture;
use super::{IqCx, IqResult};
use crate::route::Routed;
use crate::server::Server;
use crate::vhost::VHost;

/// What has become of a request.
pub enum Taken<'a> {
    /// This is the answer.
    Answer(BoxFuture<'a, IqResult>),
    /// It will be answered, by [`Server::answer_later`].
    Later,
}

/// Sees what goes on in a host before, or beside, everything else. Registered by [`Registrar::insider`](super::Registrar::insider).
pub trait Insider: Send + Sync {
    /// A component has connected.
    fn connected(&self, _server: &Arc<Server>, _host: &Arc<VHost>, _component: &str) {}

    /// Whether `from` may make a request to an account that only its own user may make.
    fn admits(&self, _from: &Jid, _request: &Stanza) -> bool {
        false
    }

    /// A request to the host or to one of its accounts, before its handler is looked for; `None` leaves it to that.
    fn request<'a>(&'a self, _cx: IqCx<'a>) -> Option<Taken<'a>> {
        None
    }

    /// A message to the host itself; `None` leaves it to others. An error goes to the sender.
    fn message(
        &self,
        _server: &Arc<Server>,
        _from: &Jid,
        _message: &Stanza,
    ) -> Option<Result<Routed, StanzaError>> {
        None
    }

    /// A session of the host has become available, or unavailable after that. Not to wait, nor to come back to the account.
    fn presence(&self, _server: &Arc<Server>, _session: &Jid, _presence: &Stanza) {}

    /// Whether it wants to hear of [`Insider::contact_presence`]: accounts are read from the store for that.
    fn hears_contacts(&self) -> bool {
        false
    }

    /// Somebody whose presence some account of the host may see is available or unavailable now, whether the account's user is there or not.
    /// The same may be said several times. Not to wait.
    fn contact_presence(&self, _server: &Arc<Server>, _contact: &Jid, _presence: &Stanza) {}

    /// The server of this domain is out of reach, with all contacts there.
    fn out_of_reach(&self, _server: &Arc<Server>, _domain: &str) {}

    /// An entry in an account's roster has changed; `push` is the payload of the push. The account is locked.
    fn contact_changed(&self, _server: &Server, _account: &BareJid, _push: &[u8]) {}
}
