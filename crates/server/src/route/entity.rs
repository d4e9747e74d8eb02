//! Services: stanzas for their addresses, and what these send to many.

use std::sync::Arc;

use tercet_store::Batch;

use tercet_core::{Jid, SharedStanza, Stanza, StanzaError, StanzaKind, error_reply};

use super::{Passage, Routed};
use crate::module::{Effects, EntityCx, Flow, HostMessages, Phase, Side, Stage, StanzaCx};
use crate::outbox::{Announcement, Announcements};
use crate::server::Server;
use crate::session::Session;
use crate::vhost::VHost;

impl Server {
    /// A stanza for an address of a service. `effects` are those of the sender's stages.
    pub(super) fn to_entity(
        self: &Arc<Self>,
        host: &Arc<VHost>,
        passage: Passage<'_>,
        effects: Effects,
    ) -> Routed {
        let Some(entity) = host.entity() else {
            self.bounce(passage, &StanzaError::service_unavailable());
            return self.finish(passage, effects);
        };
        let Passage {
            stanza,
            from,
            to,
            lang,
            session,
            ..
        } = passage;
        let found = session.is_none().then(|| self.session(from)).flatten();
        let taken = entity(EntityCx {
            server: self,
            host,
            stanza,
            from,
            to,
            lang,
            session: session.or(found.as_ref()),
            edit: effects.edits.of(Side::Recipient),
        });
        taken.and(self.finish(passage, effects))
    }

    /// A message for a host itself.
    pub(super) fn message_to_host(
        self: &Arc<Self>,
        host: &Arc<VHost>,
        passage: Passage<'_>,
        effects: Effects,
    ) -> Routed {
        match self.message_to_insiders(host, passage) {
            Some(Ok(taken)) => return taken.and(self.finish(passage, effects)),
            Some(Err(error)) => {
                self.bounce(passage, &error);
                return self.finish(passage, effects);
            }
            None => {}
        }
        let cx = EntityCx {
            server: self,
            host,
            stanza: passage.stanza,
            from: passage.from,
            to: passage.to,
            lang: passage.lang,
            session: passage.session,
            edit: effects.edits.of(Side::Recipient),
        };
        let mut takers = host.provided::<HostMessages>();
        if let Some(taken) = takers.find_map(|taker| (taker.0)(&cx)) {
            return taken.and(self.finish(passage, effects));
        }
        self.bounce(passage, &StanzaError::service_unavailable());
        self.finish(passage, effects)
    }

    /// See [`EntityCx::keep`].
    pub(crate) fn keep_for(self: &Arc<Self>, cx: &EntityCx<'_>, batch: Batch) -> Routed {
        let passage = Passage {
            session: cx.session,
            ..Passage::new(cx.stanza, cx.from, cx.to)
        };
        self.keep(passage, batch, &mut None)
    }

    /// Whether `jid` is an address of a service, behind which a module is.
    pub(super) fn is_entity(&self, jid: &Jid) -> bool {
        let hosts = self.present_hosts();
        jid.local().is_some()
            && hosts
                .get(jid.domain())
                .is_some_and(|host| host.entity().is_some())
    }

    /// Gives an entity of this server the error that one of its stanzas met: as a job of the agenda, since it may be sending.
    pub(super) fn bounce_to_entity(&self, passage: Passage<'_>, error: &StanzaError) {
        let (from, to) = (passage.to.clone(), passage.from.clone());
        let mut out = Vec::new();
        let stanza = passage.stanza;
        if !error_reply(
            stanza,
            error,
            Some(from.as_str()),
            Some(to.as_str()),
            &mut out,
        ) {
            return;
        }
        if let Ok(stanza) = Stanza::parse(&out) {
            self.at(self.now_ms(), move |server| {
                server.route(&from, &to, &stanza)
            });
        }
    }

    /// Sends a serialised stanza of an entity of this server to somebody who has no session here: to another server at once,
    /// else as a job of the agenda, since the entity may be locked. What cannot be brought there comes back to the entity as an
    /// error.
    pub fn post(&self, from: &Jid, to: &Jid, stanza: &[u8]) {
        if self.post_elsewhere(from, to, stanza) {
            return;
        }
        let Ok(stanza) = Stanza::parse(stanza) else {
            return;
        };
        // What an occupant of a room has said is from that occupant.
        let own = stanza.from().ok().flatten();
        let own = own.filter(|own| own.bare_str() == from.bare_str());
        let (from, to) = (own.unwrap_or(from).clone(), to.clone());
        self.at(self.now_ms(), move |server| {
            server.route(&from, &to, &stanza)
        });
    }

    /// Begins to hand a stanza of the entity `from` to many. `stanza` is what the recipients' stages are shown: the one that is
    /// handed on, or one of its kind.
    pub fn fan_out<'a>(self: &'a Arc<Self>, from: &'a Jid, stanza: &'a Stanza) -> Fanout<'a> {
        Fanout {
            server: self,
            from,
            stanza,
            host: None,
            effects: Effects::new(),
        }
    }
}

/// What became of a stanza for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// It is in the outbox, or on its way to another server.
    Taken,
    /// The recipient's account does not want to hear from the sender.
    Unwanted,
    /// The session takes nothing more: it has ended, or is ending. Or its server is one that the service does not speak with.
    Gone,
}

/// Hands a stanza of an entity to one session after the other, synchronously: a service's messages are neither archived nor copied
/// by their recipients' servers (XEP-0280 §6.1, XEP-0313 §5.1.1), so that of all stages only [`Stage::Policy`] is asked. No account's
/// table is looked into, and nothing is allocated for a recipient.
pub struct Fanout<'a> {
    server: &'a Arc<Server>,
    from: &'a Jid,
    stanza: &'a Stanza,
    /// The host of the last recipient: mostly that of the next, too.
    host: Option<Arc<VHost>>,
    effects: Effects,
}

impl<'a> Fanout<'a> {
    /// What follows is from another entity of the same service.
    pub fn from(&mut self, from: &'a Jid) {
        self.from = from;
    }

    /// Hands over what `write` appends, to the session `to` of this server, or to `jid` where there is none.
    pub fn hand(
        &mut self,
        jid: &Jid,
        to: Option<&Arc<Session>>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Handed {
        let Some(session) = to else {
            // Somebody of another server: the one way there, and back as an error, is that of all stanzas.
            if !self.is_spoken_with(jid) {
                return Handed::Gone;
            }
            let mut out = Vec::new();
            write(&mut out);
            self.server.post(self.from, jid, &out);
            return Handed::Taken;
        };
        let from = self.from;
        if !self.is_wanted(session, from) {
            return Handed::Unwanted;
        }
        match session.outbox().push_from(from.bare_str(), write) {
            true => Handed::Taken,
            false => Handed::Gone,
        }
    }

    /// Hands over a stanza that is serialised.
    pub fn share(&mut self, jid: &Jid, to: Option<&Arc<Session>>, stanza: &SharedStanza) -> Handed {
        self.hand(jid, to, |out| stanza.write(out, Some(jid.as_str())))
    }

    /// Hands over several stanzas from addresses of the same bare JID, with one wake-up; those that the recipient's account does
    /// not want are left out.
    pub fn share_all<'s>(
        &mut self,
        jid: &Jid,
        to: Option<&Arc<Session>>,
        all: impl Iterator<Item = &'s Announcement> + Clone,
    ) -> Handed {
        let Some(session) = to else {
            return self.post_all(jid, all);
        };
        let unwanted = self.unwanted(session, all.clone());
        let wanted = all
            .enumerate()
            .filter(|(place, _)| unwanted.binary_search(place).is_err());
        let writing = wanted.map(|(_, one)| {
            |out: &mut Vec<u8>| {
                one.stanza.write(out, Some(jid.as_str()));
            }
        });
        match session.outbox().push_all(self.from.bare_str(), writing) {
            true => Handed::Taken,
            false => Handed::Gone,
        }
    }

    /// Hands over a list of any length, no faster than the client reads it: what else comes from the same bare JID stays behind it.
    pub fn list(&mut self, jid: &Jid, to: Option<&Arc<Session>>, all: &Announcements) -> Handed {
        let Some(session) = to else {
            if !self.is_spoken_with(jid) {
                return Handed::Gone;
            }
            if !self.server.is_elsewhere(jid.domain()) {
                return self.post_all(jid, all.iter().map(|one| &**one));
            }
            return match self.server.list_afar(self.from, jid, all) {
                true => Handed::Taken,
                false => Handed::Gone,
            };
        };
        let unwanted = self.unwanted(session, all.iter().map(|one| &**one));
        let (from, outbox) = (self.from.bare_str(), session.outbox());
        match outbox.push_list(from, jid, all.clone(), unwanted) {
            true => Handed::Taken,
            false => Handed::Gone,
        }
    }

    fn post_all<'s>(&self, jid: &Jid, all: impl Iterator<Item = &'s Announcement>) -> Handed {
        if !self.is_spoken_with(jid) {
            return Handed::Gone;
        }
        for one in all {
            let mut out = Vec::new();
            one.stanza.write(&mut out, Some(jid.as_str()));
            self.server.post(&one.from, jid, &out);
        }
        Handed::Taken
    }

    /// Whether somebody without a session here is not of a server that is spoken with no more.
    fn is_spoken_with(&self, jid: &Jid) -> bool {
        self.server.speaks_with(self.from.domain(), jid.domain())
    }

    /// The places of what the recipient's account does not want. Not asked while its outbox is locked.
    fn unwanted<'s>(
        &mut self,
        session: &Session,
        all: impl Iterator<Item = &'s Announcement>,
    ) -> Vec<usize> {
        all.enumerate()
            .filter(|(_, one)| !self.is_wanted(session, &one.from))
            .map(|(place, _)| place)
            .collect()
    }

    /// Asks the policies of the recipient's account.
    pub fn is_wanted(&mut self, session: &Session, from: &Jid) -> bool {
        let account = session.account();
        let domain = account.jid().domain();
        if self.host.as_ref().is_none_or(|h| h.domain() != domain) {
            self.host = self.server.host(domain);
        }
        let Some(host) = &self.host else {
            return true;
        };
        let kind: StanzaKind = self.stanza.kind();
        let stages = host.stages(kind, Side::Recipient, Phase::Policy);
        if stages.is_empty() {
            return true;
        }
        let mut cx = StanzaCx {
            server: self.server,
            host,
            account,
            side: Side::Recipient,
            stage: Stage::Policy,
            stanza: self.stanza,
            from,
            to: session.jid(),
            lang: None,
            delivered: None,
            effects: &mut self.effects,
        };
        stages
            .iter()
            .all(|entry| (entry.handle)(&mut cx) == Flow::Continue)
    }
}
