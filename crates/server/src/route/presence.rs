//! Presence (RFC 6121 §4): broadcast, probes, directed presence.

use std::sync::Arc;

use tercet_core::{BareJid, Jid, PresenceType, Stanza, StanzaError};

use super::{Passage, Routed, paced::Paced};
use crate::account::Account;
use crate::module::{Effects, Flow, SessionCx, Side};
use crate::roster::Event;
use crate::server::Server;
use crate::session::Session;

impl Server {
    /// A presence stanza from a client.
    pub(super) fn presence_from(
        self: &Arc<Self>,
        session: &Arc<Session>,
        stanza: &Stanza,
        to: Option<&Jid>,
    ) -> Routed {
        let Some(kind) = stanza.presence_type() else {
            self.bounce_to(
                session,
                stanza,
                StanzaError::bad_request().text("no such type of presence"),
            );
            return Routed::Done;
        };
        let event = match kind {
            PresenceType::Subscribe => Some(Event::Subscribe),
            PresenceType::Subscribed => Some(Event::Subscribed),
            PresenceType::Unsubscribe => Some(Event::Unsubscribe),
            PresenceType::Unsubscribed => Some(Event::Unsubscribed),
            _ => None,
        };
        match (event, to, kind) {
            (Some(event), Some(to), _) => self.manage_subscription(session, event, stanza, to),
            (None, None, PresenceType::Available) => self.available(session, stanza),
            (None, None, PresenceType::Unavailable) => self.unavailable(session, stanza),
            (None, Some(to), PresenceType::Available) => {
                let stanza = self.announced(session, stanza, Some(to));
                self.direct_presence(session, kind, &stanza, to)
            }
            (None, Some(to), PresenceType::Unavailable) => {
                self.direct_presence(session, kind, stanza, to)
            }
            (None, Some(to), _) => self.send(session.account(), Passage::of(session, stanza, to)),
            (_, None, _) => {
                self.bounce_to(
                    session,
                    stanza,
                    StanzaError::bad_request().text("whom is this presence for?"),
                );
                Routed::Done
            }
        }
    }

    /// RFC 6121 §4.2.2, §4.4.2: initial and subsequent presence.
    fn available(self: &Arc<Self>, session: &Arc<Session>, stanza: &Stanza) -> Routed {
        let priority = match priority(stanza) {
            Ok(priority) => priority,
            Err(error) => {
                self.bounce_to(session, stanza, error);
                return Routed::Done;
            }
        };
        let account = session.account();
        let order = session.presence_order();
        let stanza = &*self.announced(session, stanza, None);
        let (initial, takes_messages, subscribers) = {
            let mut state = account.lock();
            let Some(entry) = state.entry(session) else {
                return Routed::Done;
            };
            let initial = entry.presence.is_none();
            let took_messages = entry.takes_messages();
            entry.presence = Some(Arc::new(stanza.clone()));
            entry.priority = priority;
            let takes_messages = entry.takes_messages() && !took_messages;
            (
                initial,
                takes_messages,
                state.roster.subscribers().cloned().collect::<Vec<_>>(),
            )
        };
        self.broadcast(session, stanza, &subscribers);
        if initial {
            self.session_presence(session, stanza);
        }
        drop(order);
        let host = self.host(session.jid().domain());
        if let Some(host) = &host {
            for handler in host.presence_handlers() {
                let cx = SessionCx {
                    server: self,
                    host,
                    session,
                };
                (handler.presented)(cx, stanza);
            }
        }
        let host = host.filter(|host| takes_messages && !host.session_handlers().is_empty());
        if !initial && host.is_none() {
            return Routed::Done;
        }
        let (server, session) = (self.clone(), session.clone());
        Routed::later(async move {
            if initial {
                server.ask_again(&session);
                if !server.show_contacts(&session).await {
                    return;
                }
            }
            let Some(host) = host else { return };
            for handler in host.session_handlers() {
                (handler.available)(SessionCx {
                    server: &server,
                    host: &host,
                    session: &session,
                })
                .await;
            }
        })
    }

    /// RFC 6121 §4.5: the client goes away, or the server says so in its place.
    pub(super) fn unavailable(self: &Arc<Self>, session: &Arc<Session>, stanza: &Stanza) -> Routed {
        let _order = session.presence_order();
        let subscribers = {
            let mut state = session.account().lock();
            let presence = state.entry(session).and_then(|e| e.presence.take());
            presence.map(|_| state.roster.subscribers().cloned().collect::<Vec<_>>())
        };
        self.withdraw(session, stanza, subscribers.as_deref())
    }

    /// Tells everybody who has seen the session's presence that it is gone. `subscribers` are given if it was available.
    /// The caller holds the session's presence order.
    pub(super) fn withdraw(
        self: &Arc<Self>,
        session: &Arc<Session>,
        stanza: &Stanza,
        subscribers: Option<&[BareJid]>,
    ) -> Routed {
        let host = self.host(session.jid().domain());
        if let Some(subscribers) = subscribers {
            if let Some(host) = &host {
                for handler in host.session_handlers() {
                    let cx = SessionCx {
                        server: self,
                        host,
                        session,
                    };
                    (handler.leaving)(cx, stanza);
                }
            }
            self.broadcast(session, stanza, subscribers);
            self.session_presence(session, stanza);
        }
        // RFC 6121 §4.6.3: who got directed presence learns of its end, once.
        let directed = std::mem::take(&mut *session.directed());
        let mut routed = Routed::Done;
        for to in directed {
            let told = subscribers.is_some_and(|s| s.iter().any(|s| s.as_str() == to.bare_str()));
            if !told {
                let passage = Passage::of(session, stanza, &to);
                routed = routed.and(self.present(session.account(), passage));
            }
        }
        let Some(host) = host else {
            return routed;
        };
        if subscribers.is_none() || host.session_handlers().is_empty() {
            return routed;
        }
        let (server, session, stanza) = (self.clone(), session.clone(), stanza.clone());
        Routed::later(async move {
            routed.wait().await;
            for handler in host.session_handlers() {
                let cx = SessionCx {
                    server: &server,
                    host: &host,
                    session: &session,
                };
                (handler.gone)(cx, &stanza).await;
            }
        })
    }

    /// Sends presence to the account's own resources and to `subscribers`.
    pub(super) fn broadcast(
        self: &Arc<Self>,
        session: &Arc<Session>,
        stanza: &Stanza,
        subscribers: &[BareJid],
    ) {
        self.contact_changed_presence(session, stanza, subscribers);
        let account = session.account();
        let shared = stanza.share(Some(session.jid().as_str()), session.lang());
        for own in account.lock().available() {
            own.session
                .outbox()
                .push(|out| shared.write(out, Some(account.jid().as_str())));
        }
        for contact in subscribers {
            let passage = Passage::of(session, stanza, contact);
            let Some(live) = self.accounts().get(contact.as_str()) else {
                // A contact of ours who is not connected has nobody to show the presence to.
                if self.is_elsewhere(contact.domain())
                    && self.passes(account, Side::Sender, passage)
                {
                    self.notify_elsewhere(passage);
                }
                continue;
            };
            if !self.passes(account, Side::Sender, passage)
                || !self.passes(&live, Side::Recipient, passage)
            {
                continue;
            }
            for resource in live.lock().available() {
                resource
                    .session
                    .outbox()
                    .push(|out| shared.write(out, Some(contact.as_str())));
            }
        }
    }

    /// RFC 6121 §4.3.2: what probes would have answered a session that has just become available, and the requests that wait.
    /// However much others have put there, it never fills the session's outbox. False if the session ended meanwhile.
    async fn show_contacts(self: &Arc<Self>, session: &Arc<Session>) -> bool {
        let account = session.account();
        let to = account.jid();
        let (contacts, requests, own) = {
            let state = account.lock();
            let contacts: Vec<_> = state.roster.subscriptions().cloned().collect();
            let requests: Vec<_> = state
                .roster
                .pending_requests()
                .map(<[u8]>::to_vec)
                .collect();
            let own: Vec<_> = presences(&state)
                .filter(|(jid, _)| jid != &**session.jid())
                .collect();
            (contacts, requests, own)
        };
        let mut paced = Paced::new(session.outbox());
        for (jid, stanza) in &own {
            let passage = Passage {
                to,
                ..shown(session, jid, stanza)
            };
            if !self.show_one(account, passage, stanza, &mut paced).await {
                return false;
            }
        }
        for contact in contacts {
            let Some(live) = self.accounts().get(contact.as_str()) else {
                if self.is_elsewhere(contact.domain()) {
                    self.probe(account, &contact);
                }
                continue;
            };
            let seen: Vec<_> = {
                let state = live.lock();
                if !state.roster.subscription(to.as_str()).from {
                    continue;
                }
                presences(&state).collect()
            };
            for (jid, stanza) in &seen {
                let passage = Passage {
                    to,
                    ..shown(session, jid, stanza)
                };
                if self.passes(&live, Side::Sender, passage)
                    && self.passes(account, Side::Recipient, passage)
                    && !self.show_one(&live, passage, stanza, &mut paced).await
                {
                    return false;
                }
            }
        }
        // RFC 6121 §3.1.3: requests come again until they are answered.
        for request in requests {
            let stanza = Stanza::parse(&request);
            let wanted = stanza.is_ok_and(|stanza| {
                let from = stanza.from().ok().flatten();
                from.is_some_and(|from| {
                    let passage = Passage {
                        to,
                        ..shown(session, from, &stanza)
                    };
                    self.passes(account, Side::Recipient, passage)
                })
            });
            if !wanted {
                continue;
            }
            if !paced.ready().await || !paced.push(|out| out.extend_from_slice(&request)) {
                return false;
            }
        }
        true
    }

    /// RFC 6121 §3.1.2: requests to people of other servers that have no answer may have been lost there, and are sent again when
    /// their user comes, after nobody was there.
    fn ask_again(self: &Arc<Self>, session: &Session) {
        let account = session.account();
        let asked: Vec<_> = {
            let state = account.lock();
            if state.available().nth(1).is_some() {
                return;
            }
            let asked = state.roster.asked();
            asked
                .filter(|contact| self.is_elsewhere(contact.domain()))
                .cloned()
                .collect()
        };
        let stanza = super::contact::plain_presence(Event::Subscribe.as_str());
        for contact in &asked {
            let passage = Passage::new(&stanza, account.jid(), contact);
            if self.passes(account, Side::Sender, passage) {
                self.notify_elsewhere(passage);
            }
        }
    }

    /// Shows the presence of a resource of `of`, unless it is not that any more: then who changed it has told of it. False when
    /// the session that is shown it is ending.
    async fn show_one(
        &self,
        of: &Account,
        passage: Passage<'_>,
        presence: &Arc<Stanza>,
        paced: &mut Paced<'_>,
    ) -> bool {
        if !paced.ready().await {
            return false;
        }
        // RFC 6120 §10.1: under the lock under which presence changes, so that what comes after is told after.
        let state = of.lock();
        let resource = passage.from.resource().and_then(|r| state.resource(r));
        let is_now = resource
            .and_then(|r| r.presence.as_ref())
            .is_some_and(|now| Arc::ptr_eq(now, presence));
        !is_now || paced.push(|out| passage.write(passage.to.as_str(), out))
    }

    /// RFC 6121 §4.6: presence for one entity.
    fn direct_presence(
        self: &Arc<Self>,
        session: &Arc<Session>,
        kind: PresenceType,
        stanza: &Stanza,
        to: &Jid,
    ) -> Routed {
        let passage = Passage::of(session, stanza, to);
        let mut effects = Effects::new();
        match self.stages(session.account(), Side::Sender, passage, &mut effects) {
            Flow::Continue => {}
            Flow::Handled | Flow::Drop => return self.finish(passage, effects),
            Flow::Bounce(error) => {
                self.bounce(passage, &error);
                return Routed::Done;
            }
        }
        let noted = {
            let mut directed = session.directed();
            if kind == PresenceType::Unavailable {
                directed.remove(to);
                true
            } else if directed.contains(to) {
                true
            } else if directed.len() < self.limits().directed_presence {
                directed.insert(to.clone())
            } else {
                false
            }
        };
        if !noted {
            self.bounce(passage, &StanzaError::resource_constraint());
            return Routed::Done;
        }
        self.deliver(passage, effects)
    }

    /// Sends presence in the name of `account`, unless one of the ends does not want it.
    pub(super) fn present(
        self: &Arc<Self>,
        account: &Arc<Account>,
        passage: Passage<'_>,
    ) -> Routed {
        if !self.passes(account, Side::Sender, passage) {
            return Routed::Done;
        }
        self.present_unasked(passage)
    }

    /// Sends presence unless its addressee does not want it.
    pub(super) fn present_unasked(self: &Arc<Self>, passage: Passage<'_>) -> Routed {
        let Some(live) = self.accounts().get(passage.to.bare_str()) else {
            return match self.host(passage.to.domain()) {
                Some(host) if passage.to.local().is_some() && !host.has_accounts() => {
                    self.to_entity(&host, passage, Effects::new())
                }
                None => {
                    self.notify_elsewhere(passage);
                    Routed::Done
                }
                Some(_) => Routed::Done,
            };
        };
        if self.passes(&live, Side::Recipient, passage) {
            hand_over(&live, passage);
        }
        Routed::Done
    }

    /// Presence for an account of this server.
    pub(super) fn presence_to(
        self: &Arc<Self>,
        account: &Arc<Account>,
        passage: Passage<'_>,
        effects: Effects,
    ) -> Routed {
        let event = match passage.stanza.presence_type() {
            Some(PresenceType::Available | PresenceType::Unavailable | PresenceType::Error) => {
                self.refused_presence(account, passage);
                self.presence_of_contact(account, passage.from, passage.stanza);
                hand_over(account, passage.edited(&effects));
                return self.finish(passage, effects);
            }
            Some(PresenceType::Probe) => {
                self.answer_probe(account, passage);
                return self.finish(passage, effects);
            }
            Some(PresenceType::Subscribe) => Event::Subscribe,
            Some(PresenceType::Subscribed) => Event::Subscribed,
            Some(PresenceType::Unsubscribe) => Event::Unsubscribe,
            Some(PresenceType::Unsubscribed) => Event::Unsubscribed,
            None => {
                self.bounce(passage, &StanzaError::bad_request());
                return self.finish(passage, effects);
            }
        };
        let rest = self.finish(passage, effects);
        let (server, account, parcel) = (self.clone(), account.clone(), passage.keep());
        Routed::later(async move {
            rest.wait().await;
            server
                .subscription_from(&account, event, parcel.passage())
                .await;
        })
    }

    /// RFC 6121 §4.3.2.
    fn answer_probe(self: &Arc<Self>, account: &Arc<Account>, passage: Passage<'_>) {
        let Passage { from, to, .. } = passage;
        let (allowed, seen) = {
            let state = account.lock();
            let own = from.bare_str() == account.jid().as_str();
            (
                own || state.roster.subscription(from.bare_str()).from,
                // RFC 6121 §4.3.2: who asks about one resource hears of that one.
                presences(&state)
                    .filter(|(jid, _)| to.is_bare() || jid == to)
                    .collect::<Vec<_>>(),
            )
        };
        if !allowed {
            return self.refuse_probe(account.jid(), from);
        }
        for (jid, stanza) in &seen {
            let passage = Passage::new(stanza, jid, from);
            if self.passes(account, Side::Sender, passage) {
                self.write_to(from, |out| passage.write(from.as_str(), out));
            }
        }
        if seen.is_empty() {
            self.say(to, from, "unavailable");
        }
    }

    /// Who refuses directed presence has none to be withdrawn.
    fn refused_presence(&self, account: &Account, passage: Passage<'_>) {
        if passage.stanza.presence_type() == Some(PresenceType::Error)
            && let Some(resource) = passage.to.resource()
        {
            let session = account.lock().resource(resource).map(|r| r.session.clone());
            if let Some(session) = session {
                session.directed().remove(passage.from);
            }
        }
    }

    fn refuse_probe(&self, account: &Jid, from: &Jid) {
        self.say(account, from, "unsubscribed");
    }

    /// Writes a bare presence stanza to a connected client.
    fn say(&self, from: &Jid, to: &Jid, kind: &str) {
        self.write_to(to, |out| {
            super::contact::bare_presence(from.as_str(), to.as_str(), kind, out)
        });
    }

    /// RFC 6121 §8.5.1: all but probes is ignored, and probes are answered as a stranger's are.
    pub(super) fn presence_to_nobody(&self, passage: Passage<'_>) {
        if passage.stanza.presence_type() == Some(PresenceType::Probe) {
            let Passage { from, to, .. } = passage;
            self.refuse_probe(&to.to_bare(), from);
        }
    }
}

/// Appends presence to the resource that is named, or to all that are available (RFC 6121 §8.5.2.1.2, §8.5.3.1).
pub(super) fn hand_over(account: &Account, passage: Passage<'_>) {
    let to = passage.to.as_str();
    let state = account.lock();
    match passage.to.resource() {
        Some(resource) => {
            if let Some(resource) = state.resource(resource) {
                resource.session.outbox().push(|out| passage.write(to, out));
            }
        }
        None => {
            for resource in state.available() {
                resource.session.outbox().push(|out| passage.write(to, out));
            }
        }
    }
}

/// A presence that is shown to a session that has just become available.
fn shown<'a>(session: &'a Session, from: &'a Jid, stanza: &'a Stanza) -> Passage<'a> {
    Passage::new(stanza, from, session.jid())
}

/// The presence of the available resources.
pub(super) fn presences(
    state: &crate::account::AccountState,
) -> impl Iterator<Item = (Jid, Arc<Stanza>)> {
    state
        .resources
        .iter()
        .filter_map(|r| Some((Jid::clone(r.session.jid()), r.presence.clone()?)))
}

/// RFC 6121 §4.7.2.3: an integer from -128 to 127, 0 if there is none.
fn priority(stanza: &Stanza) -> Result<i8, StanzaError> {
    let Some(child) = stanza.child("priority", tercet_core::ns::CLIENT) else {
        return Ok(0);
    };
    let tree = child.parse();
    let text = tree.root().text();
    text.trim()
        .parse()
        .map_err(|_| StanzaError::bad_request().text("a priority is a number from -128 to 127"))
}
