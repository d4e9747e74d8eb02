//! Sessions begin and end (RFC 6120 §7, RFC 6121 §4.5).

use std::sync::Arc;

use tercet_core::{BareJid, Element, StanzaError, StreamCondition, StreamError, mint_resource};

use super::{Routed, contact::plain_presence, resume::oldest_hibernating};
use crate::account::Resource;
use crate::module::SessionCx;
use crate::outbox::{HoldRule, Outbox};
use crate::server::{Server, store_failure};
use crate::session::Session;

impl Server {
    /// Binds a resource of `account` to a stream whose bytes come from `outbox`. Without `resource`, or where it may not be
    /// used, the server makes one (RFC 6120 §7.6). A session that has the same resource is ended with `conflict`: the newer
    /// one is where the user is (§7.7.2.2, the second policy).
    pub async fn bind(
        self: &Arc<Self>,
        account: &BareJid,
        resource: Option<&str>,
        outbox: Arc<Outbox>,
        lang: Option<&str>,
    ) -> Result<Arc<Session>, StanzaError> {
        self.bind_with(account, resource, outbox, lang, |_| ())
            .await
    }

    /// The same, with `begin` done before anybody else can find the session: nothing is in its outbox yet.
    pub async fn bind_with(
        self: &Arc<Self>,
        account: &BareJid,
        resource: Option<&str>,
        outbox: Arc<Outbox>,
        lang: Option<&str>,
        begin: impl FnOnce(&Arc<Session>),
    ) -> Result<Arc<Session>, StanzaError> {
        let live = self.account(account).await.map_err(|e| store_failure(&e))?;
        // The account was removed between login and binding.
        let live = live.ok_or_else(StanzaError::not_allowed)?;
        let jid = match resource {
            Some(resource) => mint_resource(resource)
                .and_then(|resource| account.with_resource(&resource))
                .map_err(|_| StanzaError::bad_request().text("this resource cannot be used"))?,
            None => {
                let random: [u8; 8] = self.random();
                let resource: String = random.iter().map(|b| format!("{b:02x}")).collect();
                account
                    .with_resource(&resource)
                    .map_err(|_| StanzaError::internal_server_error())?
            }
        };
        let session = Arc::new(Session::new(jid, live.clone(), outbox, lang, self.now_ms()));
        loop {
            let rival = {
                let mut state = live.lock();
                if state.removed {
                    return Err(StanzaError::not_allowed());
                }
                match state.resource(session.jid().resource()) {
                    Some(rival) => rival.session.clone(),
                    None if state.resources.len() >= self.limits().sessions => {
                        match oldest_hibernating(&state) {
                            // Who is there comes before who may come back.
                            Some((_, oldest)) => oldest,
                            // RFC 6120 §7.6.2.1
                            None => {
                                return Err(StanzaError::resource_constraint()
                                    .text("too many devices are connected"));
                            }
                        }
                    }
                    None => {
                        begin(&session);
                        state.resources.push(Resource {
                            session: session.clone(),
                            presence: None,
                            priority: 0,
                            interested: false,
                        });
                        return Ok(session.clone());
                    }
                }
            };
            rival.outbox().end(
                StreamError::new(StreamCondition::Conflict)
                    .text("another device took this resource"),
            );
            self.unbind(&rival).wait().await;
        }
    }

    /// Does what a client wants of the session that was just bound for it, by the modules of its host (XEP-0386). `request` is its
    /// `<bind/>`; what is returned is for the client.
    pub async fn begin(self: &Arc<Self>, session: &Arc<Session>, request: Element<'_>) -> Vec<u8> {
        session.set_syncs();
        let mut told = Vec::new();
        let Some(host) = self.host(session.jid().domain()) else {
            return told;
        };
        for handler in host.bound_handlers() {
            let cx = SessionCx {
                server: self,
                host: &host,
                session,
            };
            told.extend(handler(cx, request).await);
        }
        told
    }

    /// The client of `session` says whether somebody looks at it (client state indication). While nobody does, what may wait
    /// does so, by the rule that a module of the host provides; without one nothing changes.
    pub fn set_active(&self, session: &Session, active: bool) {
        if active {
            return session.outbox().release();
        }
        let hosts = self.present_hosts();
        let host = hosts.get(session.jid().domain());
        if let Some(rule) = host.and_then(|host| host.provided::<HoldRule>().next()) {
            session.outbox().hold(*rule);
        }
    }

    /// Ends a session: its resource is gone, and who saw its presence sees that. What its client has not acknowledged, if it
    /// acknowledges, goes on to others. Later calls do nothing.
    pub fn unbind(self: &Arc<Self>, session: &Arc<Session>) -> Routed {
        if !session.end() {
            return Routed::Done;
        }
        let account = session.account();
        let _order = session.presence_order();
        let (subscribers, last, left) = {
            let mut state = account.lock();
            let place = state
                .resources
                .iter()
                .position(|r| Arc::ptr_eq(&r.session, session));
            let gone = place.map(|i| state.resources.remove(i));
            let was_available = gone.as_ref().is_some_and(Resource::is_available);
            let subscribers =
                was_available.then(|| state.roster.subscribers().cloned().collect::<Vec<_>>());
            let left = match gone {
                Some(gone) => self.hand_on(&mut state, &gone),
                None => Vec::new(),
            };
            (subscribers, state.resources.is_empty(), left)
        };
        let left = self.tell_senders(left);
        // RFC 6121 §4.5.1: the server says goodbye where the client did not.
        let gone = plain_presence("unavailable");
        let routed = self.withdraw(session, &gone, subscribers.as_deref());
        if last {
            self.accounts().idle(account.jid());
        }
        match left {
            Some(left) => Routed::later(async move {
                routed.wait().await;
                left.await;
            }),
            None => routed,
        }
    }
}
