//! What a session leaves that its client has not acknowledged (XEP-0198 §4), as if it had come for a resource that is gone
//! (RFC 6121 §8.5.3.2):
//! - messages go to the account's other resources, are kept for later, or come back, with the time of the first attempt. To the
//!   bare JID they have gone to the other resources already.
//! - requests are answered with an error.
//! - presence, answers, and what the account itself has sent its client (copies, pushes) are of no use to others.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tercet_core::{Jid, Stanza, StanzaError, StanzaKind};

use super::{Passage, Routed};
use crate::account::{AccountState, Resource};
use crate::outbox::{Remaining, stamped};
use crate::server::Server;

/// Sessions that have ended of which an account remembers what they had handled.
const REMEMBERED: usize = 8;

/// Something that could not be handed on within the account's lock.
pub(super) struct Left {
    stanza: Stanza,
    from: Jid,
    to: Jid,
    error: Option<StanzaError>,
    rest: Routed,
}

impl Server {
    /// Takes what was left by a session that has just been taken out of `state`, whose account's lock is held: what comes for
    /// the account later stands behind it.
    pub(super) fn hand_on(
        self: &Arc<Self>,
        state: &mut AccountState,
        gone: &Resource,
    ) -> Vec<Left> {
        let session = &gone.session;
        let Some(management) = session.management() else {
            return Vec::new();
        };
        management.end();
        self.hibernating().leave(management.id());
        if management.resume_ms() > 0 {
            let handled = session.count_begun();
            state.ended.push_back((management.id(), handled));
            if state.ended.len() > REMEMBERED {
                state.ended.pop_front();
            }
        }
        let remaining = session.outbox().finish();
        let left = remaining.into_iter();
        left.filter_map(|remaining| self.hand_on_one(state, gone, remaining))
            .collect()
    }

    fn hand_on_one(
        self: &Arc<Self>,
        state: &AccountState,
        gone: &Resource,
        remaining: Remaining,
    ) -> Option<Left> {
        let account = gone.session.account();
        let Remaining { bytes, at_ms } = remaining;
        if bytes.starts_with(b"<presence") || state.removed {
            return None;
        }
        let mut stanza = Stanza::parse(&bytes).ok()?;
        if stanza.kind() == StanzaKind::Message {
            let stamped = stamped(&bytes, account.jid(), at_ms);
            stanza = stamped
                .and_then(|b| Stanza::parse(&b).ok())
                .unwrap_or(stanza);
        }
        let from = stanza.from().ok().flatten()?.clone();
        let to = stanza.to().ok().flatten()?.clone();
        if from.as_str() == account.jid().as_str() {
            return None;
        }
        let passage = Passage::new(&stanza, &from, &to);
        let (error, rest) = match stanza.kind() {
            StanzaKind::Presence => return None,
            StanzaKind::Iq if !stanza.may_bounce() => return None,
            // RFC 6121 §8.5.3.2.3: the resource is gone.
            StanzaKind::Iq => (Some(StanzaError::service_unavailable()), Routed::Done),
            StanzaKind::Message if to.is_bare() && others_have_it(state, gone, at_ms) => {
                return None;
            }
            // XEP-0198 §4: as for a resource that is not available.
            StanzaKind::Message => {
                let (outcome, rest) = self.message_again(state, account, passage);
                (outcome.err(), rest)
            }
        };
        Some(Left {
            stanza,
            from,
            to,
            error,
            rest,
        })
    }

    /// Once the lock is released: tells the senders of what came to nothing. What of the rest takes time is returned.
    pub(super) fn tell_senders(
        self: &Arc<Self>,
        left: Vec<Left>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let mut later = Vec::new();
        for left in left {
            if let Some(error) = &left.error {
                self.bounce(Passage::new(&left.stanza, &left.from, &left.to), error);
            }
            if let Routed::Later(rest) = left.rest {
                later.push(rest);
            }
        }
        (!later.is_empty()).then(|| {
            Box::pin(async move {
                for rest in later {
                    rest.await;
                }
            }) as Pin<Box<dyn Future<Output = ()> + Send>>
        })
    }
}

/// Whether a message to the bare JID has gone to another resource of the account when it came (RFC 6121 §8.5.2.1.1).
fn others_have_it(state: &AccountState, gone: &Resource, at_ms: u64) -> bool {
    state.resources.iter().any(|other| {
        other.takes_messages()
            && other.priority >= gone.priority
            && other.session.since_ms() <= at_ms
    })
}
