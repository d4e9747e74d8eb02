//! What the stages asked for, carried out.

use std::sync::Arc;

use tercet_core::{Jid, Stanza};
use tercet_store::{Batch, Pending};

use super::{Passage, Routed, under_way};
use crate::module::{Effect, Effects, LaterFn};
use crate::server::{Server, store_failure};
use crate::settlement::Kept;

/// An effect that is being carried out.
enum Begun {
    Commit(Pending<()>, Box<dyn FnOnce() + Send>),
    Send { from: Jid, to: Jid, stanza: Stanza },
    Later(Box<LaterFn>),
}

impl Server {
    /// Does what the stages asked for. The first failure becomes an error reply and ends the rest.
    pub(super) fn finish(self: &Arc<Self>, passage: Passage<'_>, mut effects: Effects) -> Routed {
        // The writes are queued now, in the order of the stanzas.
        let kept = if effects.kept.is_empty() {
            Routed::Done
        } else {
            self.keep(passage, effects.kept, &mut effects.settles)
        };
        if effects.list.is_empty() {
            return kept;
        }
        let effects: Vec<_> = effects
            .list
            .into_iter()
            .map(|effect| match effect {
                Effect::Commit { batch, undo } => Begun::Commit(self.store().commit(batch), undo),
                Effect::Send { from, to, stanza } => Begun::Send { from, to, stanza },
                Effect::Later(job) => Begun::Later(job),
            })
            .collect();
        let (server, parcel) = (self.clone(), passage.keep());
        Routed::later(async move {
            kept.wait().await;
            for effect in effects {
                match effect {
                    Begun::Commit(commit, undo) => {
                        if let Err(error) = commit.await {
                            undo();
                            return server.bounce(parcel.passage(), &store_failure(&error));
                        }
                    }
                    Begun::Send { from, to, stanza } => {
                        server.route(&from, &to, &stanza).wait().await;
                    }
                    Begun::Later(job) => job(&server).wait().await,
                }
            }
        })
    }

    /// Queues writes that delivery does not wait for. What comes later is only waiting: where too much of one session is under
    /// way, or where there is no session that could learn of a failure.
    pub(super) fn keep(
        self: &Arc<Self>,
        passage: Passage<'_>,
        mut batch: Batch,
        settles: &mut Option<Arc<Kept>>,
    ) -> Routed {
        batch.patiently();
        if let Some(session) = passage.session {
            // One for what both ends keep.
            let first = settles.is_none();
            let kept = settles.get_or_insert_with(|| session.settle_later(passage.stanza));
            self.store().commit_for(batch, kept.clone());
            return if first {
                session.not_too_much(self.store().is_busy())
            } else {
                Routed::Done
            };
        }
        if let Some(under_way) = passage.under_way {
            // As for clients: the next stanza does not wait for this one's writes.
            let entry = under_way::Entry::new(self, passage.keep(), under_way);
            self.store().commit_for(batch, entry);
            return under_way.not_too_much(self.store().is_busy());
        }
        let commit = self.store().commit(batch);
        let (server, parcel) = (self.clone(), passage.keep());
        Routed::later(async move {
            if let Err(error) = commit.await {
                server.bounce(parcel.passage(), &store_failure(&error));
            }
        })
    }
}
