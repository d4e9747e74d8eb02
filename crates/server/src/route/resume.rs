//! Sessions whose client acknowledges what it gets, and comes back when its connection is lost (XEP-0198).

use std::future::poll_fn;
use std::sync::Arc;

use tercet_core::{BareJid, StreamCondition};
use tercet_stream::NotResumed;
use tercet_stream::c2s::sm::{self, Enable};

use super::Routed;
use crate::account::AccountState;
use crate::module::SessionCx;
use crate::outbox::Retention;
use crate::server::Server;
use crate::session::{Id, Management, Session};

/// A session that a new connection goes on with.
pub struct Resumed {
    /// The session. Its outbox gives nothing before [`Outbox::resume`](crate::Outbox::resume).
    pub session: Arc<Session>,
    /// Stanzas of the client that it has handled, modulo 2^32.
    pub handled: u32,
}

impl Server {
    /// Has the stanzas for the client of `session` acknowledged, and keeps them until then. It is told through its outbox. The
    /// session can be resumed if the client wants that and `resumable` is true.
    pub fn enable_management(
        self: &Arc<Self>,
        session: &Arc<Session>,
        enable: &Enable,
        resumable: bool,
    ) {
        let (id, resume_ms) = self.manage(session, enable, resumable);
        let reply = sm::enabled((resume_ms > 0).then_some((&id, resume_ms / 1000)));
        self.count(session, &reply);
    }

    /// The same for a session that begins, in [`Server::bind_with`], whose client is told by what is returned.
    pub fn begin_managed(
        self: &Arc<Self>,
        session: &Arc<Session>,
        enable: &Enable,
        resumable: bool,
    ) -> Vec<u8> {
        let (id, resume_ms) = self.manage(session, enable, resumable);
        self.count(session, b"");
        sm::enabled((resume_ms > 0).then_some((&id, resume_ms / 1000)))
    }

    /// Gives the session its id, and says how long it can be resumed.
    fn manage(&self, session: &Session, enable: &Enable, resumable: bool) -> (String, u64) {
        let limits = self.limits();
        let longest = match enable.resume && resumable {
            true => limits.resume_ms,
            false => 0,
        };
        // XEP-0198 §5: the client's wish counts up to the server's limit.
        let wish = enable.max.map_or(u64::MAX, |max| u64::from(max) * 1000);
        let resume_ms = longest.min(wish);
        let id = Id::new(self.random());
        session.manage(Management::new(id, resume_ms, session.begun()));
        (id.to_string(), resume_ms)
    }

    /// What goes to the client behind `reply` is counted.
    fn count(&self, session: &Session, reply: &[u8]) {
        let limits = self.limits();
        let retention = Retention {
            bytes: limits.unacked_bytes,
            stanzas: limits.unacked_stanzas,
        };
        session
            .outbox()
            .enable(retention, self.clock().clone(), reply);
    }

    /// The connection of `session` is lost: it hibernates, or ends if it cannot be resumed. No stanza of its client is on its way
    /// any more.
    pub fn disconnect(self: &Arc<Self>, session: &Arc<Session>) -> Routed {
        let management = session.management().filter(|m| m.resume_ms() > 0);
        let Some(management) = management.filter(|_| session.outbox().is_open()) else {
            return self.unbind(session);
        };
        let until_ms = self.now_ms() + management.resume_ms();
        session.outbox().detach();
        self.hibernating()
            .enter(management.id(), until_ms, session.clone());
        if !management.hibernate(until_ms) {
            self.hibernating().leave(management.id());
            return self.unbind(session);
        }
        if let Some(host) = self.host(session.jid().domain()) {
            for handler in host.session_handlers() {
                (handler.lost)(SessionCx {
                    server: self,
                    host: &host,
                    session,
                });
            }
        }
        let oldest = {
            let state = session.account().lock();
            oldest_hibernating(&state)
                .filter(|(count, _)| *count > self.limits().hibernating)
                .map(|(_, oldest)| oldest)
        };
        match oldest {
            Some(oldest) => self.unbind(&oldest),
            None => Routed::Done,
        }
    }

    /// Finds the session `previd` of `account`, whose client has handled `handled` stanzas, for a new connection. A connection
    /// that it still has lets go of it first, so that nothing is handled twice.
    pub async fn resume(
        self: &Arc<Self>,
        account: &BareJid,
        previd: &str,
        handled: u32,
    ) -> Result<Resumed, NotResumed> {
        const UNKNOWN: NotResumed = NotResumed::NotFound { handled: None };
        let id = Id::parse(previd).ok_or(UNKNOWN)?;
        // XEP-0198 §5: only sessions of who has logged in; of others not even that they exist can be seen.
        let account = self.loaded_account(account.as_str()).ok_or(UNKNOWN)?;
        let gone = || {
            let state = account.lock();
            let ended = state.ended.iter().find(|(ended, _)| *ended == id);
            NotResumed::NotFound {
                handled: ended.map(|(_, handled)| *handled),
            }
        };
        let found = {
            let state = account.lock();
            let mut sessions = state.resources.iter().map(|r| &r.session);
            sessions
                .find(|s| {
                    s.management()
                        .is_some_and(|m| m.id() == id && m.resume_ms() > 0)
                })
                .cloned()
        };
        let session = found.ok_or_else(gone)?;
        let Some(management) = session.management() else {
            return Err(UNKNOWN);
        };
        if let Err(too_high) = session.outbox().check(handled) {
            let sent = too_high.sent;
            return Err(NotResumed::TooHigh { handled, sent });
        }
        let mut turn = None;
        // XEP-0198 §5: a stream that is still open is closed.
        let attached =
            poll_fn(|cx| management.poll_attach(cx, &mut turn, || session.outbox().supersede()));
        if !attached.await {
            return Err(gone());
        }
        self.hibernating().leave(id);
        if session.settled() < session.begun() {
            // A client waits for what is gathered for a commit. What fails is told to who sent it.
            drop(self.store().flush());
        }
        let handled = session.all_settled().await;
        Ok(Resumed { session, handled })
    }

    /// Ends all sessions whose clients acknowledge what they get, those that hibernate above all. For the end of the server: what
    /// was not acknowledged is kept for later.
    pub async fn end_managed(self: &Arc<Self>) {
        for account in self.loaded_accounts() {
            let sessions: Vec<_> = {
                let state = account.lock();
                let sessions = state.resources.iter().map(|r| r.session.clone());
                sessions.filter(|s| s.management().is_some()).collect()
            };
            for session in &sessions {
                // None of them gets what another has left.
                session.outbox().end(StreamCondition::SystemShutdown.into());
            }
            for session in sessions {
                self.unbind(&session).wait().await;
            }
        }
    }

    /// Ends the sessions whose clients have not come back until then.
    pub(crate) fn end_hibernating_until(self: &Arc<Self>, now_ms: u64) -> Vec<Routed> {
        let over = self.hibernating().over(now_ms).into_iter();
        // One may have been resumed since.
        over.filter(|session| session.is_hibernating())
            .map(|session| self.unbind(&session))
            .collect()
    }
}

/// How many sessions of an account hibernate, and the one that will end first.
pub(super) fn oldest_hibernating(state: &AccountState) -> Option<(usize, Arc<Session>)> {
    let hibernating = || {
        state.resources.iter().filter_map(|r| {
            let until = r.session.management()?.hibernates_until()?;
            Some((until, &r.session))
        })
    };
    let oldest = hibernating().min_by_key(|(until, _)| *until)?.1.clone();
    Some((hibernating().count(), oldest))
}
