//! Presence is completed by modules before it is told, and told again when what they add has changed.

use std::borrow::Cow;
use std::sync::Arc;

use tercet_core::{Jid, Stanza};

use crate::account::Account;
use crate::module::AnnounceCx;
use crate::server::Server;
use crate::session::Session;

impl Server {
    /// Available presence as it is told: what modules make of it, one after the other.
    pub(super) fn announced<'a>(
        self: &Arc<Self>,
        session: &Arc<Session>,
        presence: &'a Stanza,
        to: Option<&Jid>,
    ) -> Cow<'a, Stanza> {
        self.completed(session, presence, to, false)
    }

    fn completed<'a>(
        self: &Arc<Self>,
        session: &Arc<Session>,
        presence: &'a Stanza,
        to: Option<&Jid>,
        again: bool,
    ) -> Cow<'a, Stanza> {
        let mut told = Cow::Borrowed(presence);
        let Some(host) = self.host(session.jid().domain()) else {
            return told;
        };
        for announce in host.announcing() {
            let changed = announce(AnnounceCx {
                server: self,
                host: &host,
                session,
                to,
                presence: &told,
                again,
            });
            if let Some(changed) = changed {
                told = Cow::Owned(changed);
            }
        }
        told
    }

    /// Tells the presence of the account's available resources once more, where modules complete it otherwise than when it was told
    /// last. Directed presence is left alone.
    pub fn announce_again(self: &Arc<Self>, account: &Arc<Account>) {
        let sessions: Vec<_> = {
            let state = account.lock();
            let available = state.available();
            available.map(|r| r.session.clone()).collect()
        };
        for session in &sessions {
            // From here on its client changes nothing.
            let _order = session.presence_order();
            let presence = {
                let mut state = account.lock();
                state.entry(session).and_then(|e| e.presence.clone())
            };
            let Some(presence) = presence else { continue };
            let Cow::Owned(changed) = self.completed(session, &presence, None, true) else {
                continue;
            };
            let subscribers: Vec<_> = {
                let mut state = account.lock();
                let Some(entry) = state.entry(session) else {
                    continue;
                };
                entry.presence = Some(Arc::new(changed.clone()));
                state.roster.subscribers().cloned().collect()
            };
            self.broadcast(session, &changed, &subscribers);
        }
    }
}
