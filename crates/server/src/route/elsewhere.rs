//! Domains of other servers (RFC 6120 §10.4): what goes there, and what comes from there.

use std::sync::{Arc, OnceLock};

use tercet_core::{Jid, Stanza, StanzaError, StanzaKind, error_reply, ns};

use super::component::Components;
use super::iq::shape;
use super::{Passage, Routed, UnderWay};
use crate::module::Effects;
use crate::server::Server;

/// Takes what is for domains of other servers.
pub trait Elsewhere: Send + Sync {
    /// Takes a stanza on its way, and does not wait. What cannot be brought there comes back by [`Server::undelivered`].
    /// Stanzas between the same two addresses go out in the order of the calls.
    fn send(&self, letter: Letter);

    /// Whether what waits for the domain `remote` of what comes from `local` is so little that somebody who has very much to say
    /// may go on: others find place behind it.
    fn has_room(&self, local: &str, remote: &str) -> bool {
        let _ = (local, remote);
        true
    }
}

/// The ways out of this server.
#[derive(Default)]
pub(crate) struct Ways {
    /// To other servers.
    servers: OnceLock<Arc<dyn Elsewhere>>,
    /// To components.
    pub(super) components: OnceLock<Arc<dyn Components>>,
}

/// A stanza for another server, or for a component.
pub struct Letter {
    /// Whose it is: an address of a domain of this server.
    pub from: Jid,
    /// Whom it is for.
    pub to: Jid,
    /// The stanza as it is written on a stream between servers.
    pub bytes: Vec<u8>,
    stanza: Stanza,
    /// Nobody waits to hear that it could not be brought there: its sender did not address it.
    quiet: bool,
}

impl Letter {
    /// A serialised stanza with both addresses; `None` if it is none.
    pub fn parse(bytes: Vec<u8>) -> Option<Letter> {
        let stanza = Stanza::parse(&bytes).ok()?;
        let from = stanza.from().ok()??.clone();
        let to = stanza.to().ok()??.clone();
        Some(Letter {
            from,
            to,
            bytes,
            stanza,
            quiet: false,
        })
    }

    /// Whether somebody hears of it if it cannot be brought there.
    pub fn may_bounce(&self) -> bool {
        !self.quiet && self.stanza.may_bounce()
    }
}

impl Server {
    /// Has `elsewhere` take what is for domains of other servers; without it, they are not found. Once only: false if
    /// there is one already.
    pub fn set_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) -> bool {
        self.ways().servers.set(elsewhere).is_ok()
    }

    /// Takes a stanza from another server or from a component, which has proved to be that of the domain in `from`. Both
    /// addresses are there and valid. From another server, `to` is one of this server's domains or of its components'.
    pub fn accept_from_elsewhere(
        self: &Arc<Self>,
        stanza: Stanza,
        under_way: &Arc<UnderWay>,
    ) -> Routed {
        // What stands in the content namespace on one stream does so on the other.
        let stanza = stanza.with_content_ns(ns::CLIENT);
        let (Ok(Some(from)), Ok(Some(to))) = (stanza.from(), stanza.to()) else {
            return Routed::Done;
        };
        if !self.speaks_with(to.domain(), from.domain()) {
            // The lists have changed since its stream began.
            tracing::debug!(%from, %to, "a stanza of a domain that is not spoken with");
            return Routed::Done;
        }
        self.heard_from(from.domain());
        let passage = Passage {
            under_way: Some(under_way),
            ..Passage::new(&stanza, from, to)
        };
        if stanza.kind() == StanzaKind::Iq
            && let Err(error) = shape(&stanza)
        {
            self.bounce(passage, &error);
            return Routed::Done;
        }
        self.deliver(passage, Effects::new())
    }

    /// Tells the sender of a stanza that it could not be brought to its domain, and why.
    pub fn undelivered(self: &Arc<Self>, letter: &Letter, error: &StanzaError) -> Routed {
        let Letter { from, to, .. } = letter;
        let mut out = Vec::new();
        let (as_from, as_to) = (Some(to.as_str()), Some(from.as_str()));
        // RFC 6120 §8.3.1: nothing answers an error.
        if letter.quiet || !error_reply(&letter.stanza, error, as_from, as_to, &mut out) {
            return Routed::Done;
        }
        match Stanza::parse(&out) {
            Ok(reply) => self.route(to, from, &reply),
            // What was just written is well-formed.
            Err(_) => Routed::Done,
        }
    }

    /// Whether the host `local` speaks with the domain `remote` of another server, in either direction. Components are no other servers.
    pub fn speaks_with(&self, local: &str, remote: &str) -> bool {
        let hosts = self.present_hosts();
        hosts
            .get(local)
            .is_none_or(|host| host.info().peers.admit(remote) || self.is_component(remote))
    }

    /// Whether a domain is a component's, or another server's where other servers are reached.
    pub(super) fn is_elsewhere(&self, domain: &str) -> bool {
        !self.present_hosts().contains_key(domain)
            && (self.ways().servers.get().is_some() || self.is_component(domain))
    }

    /// Sends a stanza to a component or to another server, if it is for one.
    pub(super) fn to_elsewhere(&self, passage: Passage<'_>) -> bool {
        self.write_elsewhere(passage, false)
    }

    /// The same for what was not addressed there by its sender, who then does not learn that it could not be brought there.
    pub(super) fn notify_elsewhere(&self, passage: Passage<'_>) -> bool {
        self.write_elsewhere(passage, true)
    }

    fn write_elsewhere(&self, passage: Passage<'_>, quiet: bool) -> bool {
        let (from, to) = (passage.from, passage.to);
        if !self.is_elsewhere(to.domain()) {
            return false;
        }
        if !self.speaks_with(from.domain(), to.domain()) {
            if !quiet {
                let text = format!("{} does not speak with {}", from.domain(), to.domain());
                self.bounce(passage, &StanzaError::not_allowed().text(text));
            }
            return true;
        }
        let mut bytes = Vec::with_capacity(passage.stanza.byte_len() + 128);
        passage.write(passage.to.as_str(), &mut bytes);
        self.hand_in(Letter {
            from: passage.from.clone(),
            to: passage.to.clone(),
            bytes,
            stanza: passage.stanza.clone(),
            quiet,
        });
        true
    }

    /// The same for one that is written here, with both addresses.
    pub(super) fn post_written(&self, to: &Jid, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if !self.is_elsewhere(to.domain()) {
            return false;
        }
        let mut bytes = Vec::new();
        write(&mut bytes);
        match Letter::parse(bytes) {
            // What answers somebody who is not spoken with came to nothing before.
            Some(letter) if !self.speaks_with(letter.from.domain(), to.domain()) => {}
            Some(letter) => self.hand_in(letter),
            None => return false,
        }
        true
    }

    /// The same for one that an entity of this server has written. No lock is taken but those of the way there.
    pub(super) fn post_elsewhere(&self, from: &Jid, to: &Jid, stanza: &[u8]) -> bool {
        let (here, there) = (from.domain(), to.domain());
        if !self.is_elsewhere(there) || !self.speaks_with(here, there) {
            return false;
        }
        match Letter::parse(stanza.to_vec()) {
            Some(letter) if letter.from.bare_str() == from.bare_str() && letter.to == *to => {
                self.hand_in_order(letter);
            }
            _ => return false,
        }
        true
    }

    /// Whether more of an entity may go to a domain now.
    pub(super) fn has_room(&self, from: &Jid, domain: &str) -> bool {
        let ways = self.ways();
        match ways.components.get() {
            Some(components) if components.has(domain) => components.has_room(domain),
            _ => {
                let servers = ways.servers.get();
                servers.is_none_or(|servers| servers.has_room(from.domain(), domain))
            }
        }
    }

    pub(super) fn hand_in(&self, letter: Letter) {
        let ways = self.ways();
        match ways.components.get() {
            Some(components) if components.has(letter.to.domain()) => components.send(letter),
            _ => {
                if let Some(servers) = ways.servers.get() {
                    servers.send(letter);
                }
            }
        }
    }
}
