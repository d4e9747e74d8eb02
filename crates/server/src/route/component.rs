//! Components (XEP-0114): domains for which another process speaks, and which are this server's all the same.

use std::sync::Arc;

use tercet_core::{BareJid, Jid, PresenceType, Stanza, StanzaError};

use super::{Letter, Passage, Routed};
use crate::account::Account;
use crate::server::Server;
use crate::session::Session;
use crate::vhost::VHost;

/// A component of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Component {
    /// Its domain, normalised.
    pub domain: String,
    /// A name for people, which the host's users find it by; empty where it is not listed.
    pub name: String,
    /// What it may do with the rosters of the host's accounts (XEP-0356).
    pub roster: Access,
    /// Whether it hears of changes in them.
    pub roster_push: bool,
    /// Whether it may send messages in the name of the host and of its accounts (XEP-0356).
    pub messages: bool,
    /// Whether it hears of the presence of the host's users (XEP-0356).
    pub presence: bool,
    /// Whether it hears of that of their contacts, too (XEP-0356).
    pub contact_presence: bool,
    /// Namespaces of requests that it may make in the name of the host's accounts (XEP-0356).
    pub requests: Vec<(String, Access)>,
    /// Namespaces of requests to the host and its accounts that it answers (XEP-0355).
    pub delegated: Vec<Delegated>,
}

/// Which requests are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Those of type `get`.
    pub get: bool,
    /// Those of type `set`.
    pub set: bool,
}

/// A namespace whose requests a component answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegated {
    /// The namespace.
    pub ns: String,
    /// Attributes that a request's payload must have, or else it is the server's as usual.
    pub attributes: Vec<String>,
}

/// Takes what is for components.
pub trait Components: Send + Sync {
    /// Whether an address of this domain is a component's, connected or not.
    fn has(&self, domain: &str) -> bool;

    /// Whether it is connected now.
    fn is_connected(&self, domain: &str) -> bool;

    /// Takes a stanza on its way, and does not wait. What cannot be brought there comes back by [`Server::undelivered`].
    /// Stanzas between the same two addresses go out in the order of the calls.
    fn send(&self, letter: Letter);

    /// As [`Elsewhere::has_room`](super::Elsewhere::has_room).
    fn has_room(&self, domain: &str) -> bool {
        let _ = domain;
        true
    }
}

impl Server {
    /// Has `components` take what is for domains of components. A host goes before a component of the same name. Once only:
    /// false if there are some already.
    pub fn set_components(&self, components: Arc<dyn Components>) -> bool {
        self.ways().components.set(components).is_ok()
    }

    /// A component has connected.
    pub fn component_connected(self: &Arc<Self>, domain: &str) {
        for host in self.hosts() {
            let components = &host.info().components;
            if components
                .iter()
                .any(|component| component.domain == domain)
            {
                for insider in host.insiders() {
                    insider.connected(self, &host, domain);
                }
            }
        }
    }

    /// Whether the component of this domain is connected now.
    pub fn is_connected(&self, domain: &str) -> bool {
        let components = self.ways().components.get();
        components.is_some_and(|components| components.is_connected(domain))
    }

    /// Sends a stanza in the name of an account, as if one of its clients had sent it: its archive has it, and its clients see
    /// a copy. The stanza's own `from` counts for nothing.
    pub fn send_for(self: &Arc<Self>, account: &Arc<Account>, to: &Jid, stanza: &Stanza) -> Routed {
        self.send(account, Passage::new(stanza, account.jid(), to))
    }

    /// A message to a host, if a module has something to say about everything there.
    pub(super) fn message_to_insiders(
        self: &Arc<Self>,
        host: &VHost,
        passage: Passage<'_>,
    ) -> Option<Result<Routed, StanzaError>> {
        let mut insiders = host.insiders().iter();
        insiders.find_map(|insider| insider.message(self, passage.from, passage.stanza))
    }

    /// A session has become available, or unavailable after that.
    pub(super) fn session_presence(self: &Arc<Self>, session: &Session, presence: &Stanza) {
        let hosts = self.present_hosts();
        if let Some(host) = hosts.get(session.jid().domain()) {
            for insider in host.insiders() {
                insider.presence(self, session.jid(), presence);
            }
        }
    }

    /// A session of an account has changed its presence, which `subscribers` see: tells the insiders of their hosts.
    pub(super) fn contact_changed_presence(
        self: &Arc<Self>,
        session: &Session,
        presence: &Stanza,
        subscribers: &[BareJid],
    ) {
        for host in self.present_hosts().values() {
            if host.hears_contacts() && subscribers.iter().any(|s| s.domain() == host.domain()) {
                for insider in host.insiders() {
                    insider.contact_presence(self, session.jid(), presence);
                }
            }
        }
    }

    /// Presence has come to an account, by a way on which that of others of this server does not: tells the insiders of its host, if
    /// the account may see it.
    pub(super) fn presence_of_contact(
        self: &Arc<Self>,
        account: &Account,
        from: &Jid,
        presence: &Stanza,
    ) {
        let hosts = self.present_hosts();
        let host = hosts.get(account.jid().domain());
        let Some(host) = host.filter(|host| host.hears_contacts()) else {
            return;
        };
        let sees = match presence.presence_type() {
            Some(PresenceType::Available) => account.lock().roster.subscription(from.bare_str()).to,
            // Who may not be seen any more says goodbye, too.
            Some(PresenceType::Unavailable) => true,
            _ => false,
        };
        if sees {
            for insider in host.insiders() {
                insider.contact_presence(self, from, presence);
            }
        }
    }

    /// Whether a domain is a component's.
    pub fn is_component(&self, domain: &str) -> bool {
        let components = self.ways().components.get();
        components.is_some_and(|components| components.has(domain))
    }
}
