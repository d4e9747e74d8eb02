//! Contacts: the roster's changes and the subscriptions they come from (RFC 6121 §2, §3).

use std::sync::Arc;

use tercet_core::{BareJid, Head, Jid, Stanza, StanzaError, XmlWriter, ns};
use tercet_store::{Batch, StoreError};

use super::{Passage, Routed, presence::presences};
use crate::account::{Account, AccountState};
use crate::module::{AdmittedCx, Effects, Flow, Side};
use crate::roster::{Event, Item};
use crate::server::{Server, store_failure};
use crate::session::Session;

/// Why a contact was not changed.
pub(crate) enum ChangeError {
    /// It may not be.
    Refused(StanzaError),
    /// The store failed.
    Store(StoreError),
}

impl From<ChangeError> for StanzaError {
    fn from(error: ChangeError) -> StanzaError {
        match error {
            ChangeError::Refused(error) => error,
            ChangeError::Store(error) => store_failure(&error),
        }
    }
}

impl Server {
    /// Changes the entry for `contact` in the roster of `account`: in memory at once, then in the store, then in the clients that
    /// have asked for the roster. Fails with the error for the client, and then nothing has changed.
    pub async fn change_contact<R>(
        &self,
        account: &Arc<Account>,
        contact: &BareJid,
        change: impl FnOnce(&mut Item) -> R,
    ) -> Result<R, StanzaError> {
        let also = Batch::new();
        let changed = self.change_with(account, contact, also, change, |_, _| ());
        Ok(changed.await?)
    }

    /// As [`Server::change_contact`], durable together with `also`; `deliver` is called in between, while the account is still
    /// locked.
    pub(crate) async fn change_with<R>(
        &self,
        account: &Arc<Account>,
        contact: &BareJid,
        also: Batch,
        change: impl FnOnce(&mut Item) -> R,
        deliver: impl FnOnce(&AccountState, &R),
    ) -> Result<R, ChangeError> {
        let owner = account.jid();
        let (old, new, result, commit) = {
            let mut state = account.lock();
            if state.removed {
                return Err(ChangeError::Refused(StanzaError::item_not_found()));
            }
            let old = state.roster.get(contact.as_str()).cloned();
            let mut new = old.clone().unwrap_or_default();
            let result = change(&mut new);
            if old.is_none() && !new.is_void() && state.roster.len() >= self.limits().roster_items {
                let full = StanzaError::resource_constraint().text("the contact list is full");
                return Err(ChangeError::Refused(full));
            }
            deliver(&state, &result);
            let same = old.as_ref() == Some(&new) || (old.is_none() && new.is_void());
            if same && also.is_empty() {
                return Ok(result);
            }
            let mut batch = also;
            state.roster.set(owner, contact, new.clone(), &mut batch);
            // Queued while the account is locked, so that the store sees changes in their order.
            (old, new, result, self.store().commit(batch))
        };
        if let Err(error) = commit.await {
            let mut state = account.lock();
            if state.roster.subscription(contact.as_str()) == new.subscription {
                state
                    .roster
                    .set(owner, contact, old.unwrap_or_default(), &mut Batch::new());
            }
            return Err(ChangeError::Store(error));
        }
        let shown = |item: Option<&Item>| {
            item.filter(|i| i.in_roster).map(|i| Item {
                request: None,
                ..i.clone()
            })
        };
        if shown(old.as_ref()) != shown(Some(&new)) {
            self.push_contact(account, contact);
        }
        Ok(result)
    }

    /// RFC 6121 §2.1.6: pushes the entry as it is now to the interested resources.
    fn push_contact(&self, account: &Account, contact: &BareJid) {
        let state = account.lock();
        let mut w = XmlWriter::new();
        w.start("query")
            .attr("xmlns", ns::ROSTER)
            .attr("ver", &state.roster.version());
        match state.roster.get(contact.as_str()).filter(|i| i.in_roster) {
            Some(item) => item.write(contact, &mut w),
            None => {
                w.leaf(
                    "item",
                    &[("jid", contact.as_str()), ("subscription", "remove")],
                );
            }
        }
        w.end();
        let query = w.finish();
        if let Some(host) = self.host(account.jid().domain()) {
            for insider in host.insiders() {
                insider.contact_changed(self, account.jid(), &query);
            }
        }
        for resource in state.resources.iter().filter(|r| r.interested) {
            let id = format!("push-{}", state.roster.version());
            resource.session.outbox().push(|out| {
                let mut w = XmlWriter::into(std::mem::take(out));
                w.start("iq")
                    .attr("type", "set")
                    .attr("id", &id)
                    .attr("to", resource.session.jid().as_str());
                w.raw(&query);
                w.end();
                *out = w.finish();
            });
        }
    }

    /// RFC 6121 §2.5: removes a contact, and ends the subscriptions in both directions.
    pub async fn remove_contact(
        self: &Arc<Self>,
        account: &Arc<Account>,
        contact: &BareJid,
    ) -> Result<(), StanzaError> {
        let known = account
            .lock()
            .roster
            .get(contact.as_str())
            .is_some_and(|i| i.in_roster);
        if !known {
            // RFC 6121 §2.5.3
            return Err(StanzaError::item_not_found());
        }
        let old = self
            .change_contact(account, contact, std::mem::take)
            .await?
            .subscription;
        if old.to || old.ask {
            self.send_event(account, Event::Unsubscribe, contact).await;
        }
        if old.from || old.pending {
            self.send_event(account, Event::Unsubscribed, contact).await;
        }
        if old.from {
            self.hide(account, contact);
        }
        Ok(())
    }

    /// Tells all contacts of an account that is being removed.
    pub(crate) async fn leave_contacts(self: &Arc<Self>, account: &Arc<Account>) {
        let contacts: Vec<_> = account
            .lock()
            .roster
            .visible()
            .map(|(jid, item)| (jid.clone(), item.subscription))
            .collect();
        for (contact, old) in contacts {
            if old.to || old.ask {
                self.send_event(account, Event::Unsubscribe, &contact).await;
            }
            if old.from {
                self.send_event(account, Event::Unsubscribed, &contact)
                    .await;
                self.hide(account, &contact);
            }
        }
    }

    /// A client sends a subscription stanza (RFC 6121 §3, from the user's side).
    pub(super) fn manage_subscription(
        self: &Arc<Self>,
        session: &Arc<Session>,
        event: Event,
        stanza: &Stanza,
        to: &Jid,
    ) -> Routed {
        let account = session.account().clone();
        let contact = to.to_bare();
        let passage = Passage::of(session, stanza, to);
        if contact == *account.jid() {
            self.bounce(
                passage,
                &StanzaError::not_allowed().text("nobody subscribes to themselves"),
            );
            return Routed::Done;
        }
        let mut effects = Effects::new();
        match self.stages(&account, Side::Sender, passage, &mut effects) {
            Flow::Continue => {}
            Flow::Handled | Flow::Drop => return Routed::Done,
            Flow::Bounce(error) => {
                self.bounce(passage, &error);
                return Routed::Done;
            }
        }
        let server = self.clone();
        let parcel = passage.keep();
        Routed::later(async move {
            let changed = server.change_contact(&account, &contact, |item| {
                let before = item.subscription;
                let out = before.outbound(event);
                item.subscription = out.state;
                // RFC 6121 §3.1.2, §3.1.5, §3.4.2: asking, consenting and pre-approving make a roster item.
                item.in_roster |= out.state.ask || out.state.from || out.state.approved;
                if !out.state.pending {
                    item.request = None;
                }
                (before, out)
            });
            let (before, out) = match changed.await {
                Ok(done) => done,
                Err(error) => return server.bounce(parcel.passage(), &error),
            };
            // RFC 6121 §3.1.2: from and to are bare JIDs.
            let from: &Jid = account.jid();
            if out.route {
                let passage = Passage {
                    from,
                    to: &contact,
                    ..parcel.passage()
                };
                server.deliver(passage, effects).wait().await;
            }
            match (before.from, out.state.from) {
                (false, true) => server.admit(&account, &contact),
                (true, false) => server.hide(&account, &contact),
                _ => {}
            }
        })
    }

    /// A subscription stanza comes from a contact (RFC 6121 §3, from the contact's side).
    pub(super) async fn subscription_from(
        self: &Arc<Self>,
        account: &Arc<Account>,
        event: Event,
        passage: Passage<'_>,
    ) {
        let contact = passage.from.to_bare();
        if event == Event::Subscribe
            && let Some(also) = self.consent(account, &contact, passage).await
            && self.befriend(account, &contact, also).await
        {
            return;
        }
        let changed = self.change_with(
            account,
            &contact,
            Batch::new(),
            |item| {
                let before = item.subscription;
                let inbound = before.inbound(event);
                item.subscription = inbound.state;
                item.in_roster |= inbound.state.from;
                item.request = inbound.state.pending.then(|| {
                    item.request
                        .take()
                        .unwrap_or_else(|| keep_request(passage, account.jid()))
                });
                (before, inbound)
            },
            |state, (_, inbound)| {
                if !inbound.deliver {
                    return;
                }
                // RFC 6121 §3.1.3: requests go to the available resources; §3.1.6: answers go to the interested ones, before
                // the push.
                for resource in &state.resources {
                    if if event == Event::Subscribe {
                        resource.is_available()
                    } else {
                        resource.interested
                    } {
                        resource
                            .session
                            .outbox()
                            .push(|out| passage.write(account.jid().as_str(), out));
                    }
                }
            },
        );
        let (before, inbound) = match changed.await {
            Ok(done) => done,
            Err(error) => return self.bounce(passage, &error.into()),
        };
        if let Some(reply) = inbound.reply {
            self.send_event(account, reply, &contact).await;
        }
        match (before.from, inbound.state.from) {
            (false, true) => self.admit(account, &contact),
            // RFC 6121 §3.3.3: the contact does not want to see any more, and does not.
            (true, false) => self.hide(account, &contact),
            _ => {}
        }
    }

    /// Sends a subscription stanza in the name of `account`.
    pub(super) async fn send_event(
        self: &Arc<Self>,
        account: &Arc<Account>,
        event: Event,
        contact: &BareJid,
    ) {
        self.route(account.jid(), contact, &plain_presence(event.as_str()))
            .wait()
            .await;
    }

    /// Shows the presence of `account` to a new subscriber.
    pub(super) fn admit(self: &Arc<Self>, account: &Arc<Account>, contact: &BareJid) {
        self.show(account, contact);
        let hosts = self.present_hosts();
        let Some(host) = hosts.get(account.jid().domain()) else {
            return;
        };
        for handler in host.presence_handlers() {
            (handler.admitted)(AdmittedCx {
                server: self,
                account,
                contact,
            });
        }
    }

    /// Sends the present presence of `account` to `to`, which must be allowed to see it (RFC 6121 §3.1.5: a new subscriber does).
    pub fn show(self: &Arc<Self>, account: &Arc<Account>, to: &Jid) {
        let seen: Vec<_> = presences(&account.lock()).collect();
        for (from, stanza) in &seen {
            self.aside(self.present(account, Passage::new(stanza, from, to)));
        }
    }

    /// Lets others see the resources of `account` go away: `subscribers`, who are allowed to see its presence, and those with
    /// directed presence whom `is_meant` names. The stages of the account are not asked, for it is they that may want this.
    pub fn conceal(
        self: &Arc<Self>,
        account: &Arc<Account>,
        subscribers: &[Jid],
        is_meant: impl Fn(&Jid) -> bool,
    ) {
        let gone = plain_presence("unavailable");
        let sessions: Vec<_> = account
            .lock()
            .resources
            .iter()
            .map(|r| (r.session.clone(), r.is_available()))
            .collect();
        for (session, available) in sessions {
            let mut targets: Vec<_> = subscribers.iter().filter(|_| available).cloned().collect();
            session.directed().retain(|to| {
                let meant = is_meant(to);
                let told = |t: &Jid| t == to || t.as_str() == to.bare_str();
                if meant && !targets.iter().any(told) {
                    targets.push(to.clone());
                }
                !meant
            });
            for to in &targets {
                self.aside(self.present_unasked(Passage::new(&gone, session.jid(), to)));
            }
        }
    }

    /// What nobody waits for is done as a job of the agenda.
    fn aside(&self, routed: Routed) {
        if let Routed::Later(rest) = routed {
            self.at(self.now_ms(), |_| Routed::Later(rest));
        }
    }

    /// RFC 6121 §3.2.1: who is no longer a subscriber sees all resources go away.
    fn hide(self: &Arc<Self>, account: &Arc<Account>, contact: &BareJid) {
        let gone = plain_presence("unavailable");
        let seen: Vec<_> = presences(&account.lock()).map(|(jid, _)| jid).collect();
        for from in &seen {
            self.aside(self.present(account, Passage::new(&gone, from, contact)));
        }
    }
}

/// The longest request that is kept with all it says, in bytes.
const REQUEST_BYTES: usize = 2048;

/// The request as it is shown until it is answered. A long one is kept without its content: strangers decide what it is, and
/// everybody may send one.
fn keep_request(passage: Passage<'_>, to: &BareJid) -> Vec<u8> {
    let from = passage.from.bare_str();
    let mut bytes = Vec::new();
    passage.stanza.write(
        &mut bytes,
        Head {
            from: Some(from),
            to: Some(to.as_str()),
            lang: passage.lang,
            xmlns: None,
        },
    );
    if bytes.len() > REQUEST_BYTES {
        bytes = Vec::new();
        bare_presence(from, to.as_str(), Event::Subscribe.as_str(), &mut bytes);
    }
    bytes
}

/// A presence stanza with nothing but a type.
pub(super) fn plain_presence(kind: &str) -> Stanza {
    let mut w = XmlWriter::new();
    w.start("presence")
        .attr("xmlns", ns::CLIENT)
        .attr("type", kind)
        .end();
    // What was just written is well-formed.
    Stanza::parse(&w.finish()).expect("a presence stanza of our own parses")
}

/// Appends a presence stanza with nothing but addresses and a type.
pub(super) fn bare_presence(from: &str, to: &str, kind: &str, out: &mut Vec<u8>) {
    let mut w = XmlWriter::into(std::mem::take(out));
    w.start("presence")
        .attr("from", from)
        .attr("to", to)
        .attr("type", kind)
        .end();
    *out = w.finish();
}
