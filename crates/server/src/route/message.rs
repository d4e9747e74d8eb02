//! Messages (RFC 6121 §5, §8.5).

use std::sync::Arc;

use smallvec::SmallVec;
use tercet_core::{Jid, Stanza, StanzaError, StanzaKind};

use super::rules::{self, Addressed, Delivery};
use super::{Passage, Routed};
use crate::account::{Account, AccountState};
use crate::module::{ArchivedRule, Delivered, Effect, Effects, Flow, Phase, Side};
use crate::server::Server;
use crate::session::Session;
use crate::vhost::VHost;

impl Server {
    /// A message from a client.
    pub(super) fn message_from(
        self: &Arc<Self>,
        session: &Arc<Session>,
        stanza: &Stanza,
        to: Option<&Jid>,
    ) -> Routed {
        // RFC 6120 §10.3.1: without an address it is for the sender's own account.
        let to = to.unwrap_or_else(|| session.account().jid());
        self.send(session.account(), Passage::of(session, stanza, to))
    }

    /// A message for an account of this server.
    pub(super) fn message_to(
        self: &Arc<Self>,
        host: &VHost,
        account: &Arc<Account>,
        passage: Passage<'_>,
        mut effects: Effects,
    ) -> Routed {
        // Appending happens under the account's lock, so that two senders' messages have one order for all resources; keeping
        // for later too, so that a resource that becomes available finds what was kept.
        let state = account.lock();
        if state.removed {
            // Nothing is kept for an account that has just been removed.
            drop(state);
            return self.message_to_nobody(host, passage, effects);
        }
        self.archive(account, &state, Side::Recipient, passage, &mut effects);
        let mut to = SmallVec::new();
        let outcome = self.deliver_or_keep(&state, account, passage, &mut effects, &mut to);
        if outcome.is_err() {
            // XEP-0313 §5.1: what is refused is not archived.
            effects.forget_kept();
        } else {
            let delivered = Delivered {
                state: &state,
                to: &to,
            };
            let side = Side::Recipient;
            self.copy(account, side, passage, Some(&delivered), &mut effects);
        }
        let rest = self.finish(passage, effects);
        drop(to);
        drop(state);
        if let Err(error) = outcome {
            self.bounce(passage, &error);
        }
        rest
    }

    /// A message that a session got and did not acknowledge before it ended: it has passed the stages, been archived and copied.
    /// The sender is to be told of an error once the account's lock is released.
    pub(super) fn message_again(
        self: &Arc<Self>,
        state: &AccountState,
        account: &Arc<Account>,
        passage: Passage<'_>,
    ) -> (Result<(), StanzaError>, Routed) {
        let mut effects = Effects::new();
        let mut to = SmallVec::new();
        let outcome = self.deliver_or_keep(state, account, passage, &mut effects, &mut to);
        let host = self.host(account.jid().domain());
        let archived = host
            .as_ref()
            .and_then(|h| h.provided::<ArchivedRule>().next());
        let outcome = match archived {
            // As when it came first: what is in the archive is not lost.
            Some(ArchivedRule(archived)) if archived(passage.stanza, account.jid()) => Ok(()),
            _ => outcome,
        };
        (outcome, self.finish(passage, effects))
    }

    /// Appends the message to whom the rules name, and notes them in `reached`; or keeps it for later where nobody takes it. The
    /// error is for its sender.
    fn deliver_or_keep<'a>(
        self: &Arc<Self>,
        state: &'a AccountState,
        account: &Arc<Account>,
        passage: Passage<'_>,
        effects: &mut Effects,
        reached: &mut Reached<'a>,
    ) -> Result<(), StanzaError> {
        match deliver(state, passage.edited(effects), reached) {
            Delivery::Refuse => Err(StanzaError::service_unavailable()),
            Delivery::Fallback => self.message_for_later(account, passage, effects),
            Delivery::Resource
            | Delivery::MostAvailable
            | Delivery::AllAvailable
            | Delivery::Ignore => Ok(()),
        }
    }

    /// A message that nobody gets now.
    fn message_for_later(
        self: &Arc<Self>,
        account: &Arc<Account>,
        passage: Passage<'_>,
        effects: &mut Effects,
    ) -> Result<(), StanzaError> {
        match self.fallback(account, passage, effects) {
            // What is in the archive is not lost, and its sender need not know who reads it when.
            Flow::Continue | Flow::Bounce(_) if effects.has_kept() => Ok(()),
            // RFC 6121 §8.5.2.2.1: nobody keeps it.
            Flow::Continue => Err(StanzaError::service_unavailable()),
            Flow::Bounce(error) => {
                *effects = Effects::new();
                Err(error)
            }
            Flow::Handled | Flow::Drop => Ok(()),
        }
    }

    /// RFC 6121 §8.5.1: messages to unknown names meet what messages to an account whose user is away meet, so that nobody
    /// learns which names are known.
    pub(super) fn message_to_nobody(
        self: &Arc<Self>,
        host: &VHost,
        passage: Passage<'_>,
        mut effects: Effects,
    ) -> Routed {
        let addressed = if passage.to.is_full() {
            Addressed::NoSuchResource
        } else {
            Addressed::Account
        };
        let keepers = host.stages(StanzaKind::Message, Side::Recipient, Phase::Fallback);
        let delivery = rules::message(passage.stanza.message_type(), addressed);
        if delivery != Delivery::Refuse {
            let archives = host.stages(StanzaKind::Message, Side::Recipient, Phase::Archive);
            for batch in archives.iter().filter_map(|a| (a.absent)(passage.stanza)) {
                effects.kept.merge(batch);
            }
        }
        match delivery {
            Delivery::AllAvailable | Delivery::Ignore => {}
            Delivery::MostAvailable | Delivery::Fallback if !keepers.is_empty() => {
                let batches = keepers.iter().filter_map(|k| (k.absent)(passage.stanza));
                effects.list.extend(batches.map(|batch| Effect::Commit {
                    batch,
                    undo: Box::new(|| ()),
                }));
            }
            // What is in the archive of an account that is there is not bounced either.
            Delivery::MostAvailable | Delivery::Fallback if effects.has_kept() => {}
            _ => self.bounce(passage, &StanzaError::service_unavailable()),
        }
        self.finish(passage, effects)
    }
}

/// The sessions that a message was handed to.
type Reached<'a> = SmallVec<[&'a Arc<Session>; 2]>;

/// Appends the message to whom the rules name, and notes them. Returns what was done, or what is still to do.
fn deliver<'a>(
    state: &'a AccountState,
    passage: Passage<'_>,
    reached: &mut Reached<'a>,
) -> Delivery {
    let kind = passage.stanza.message_type();
    let to = passage.to.as_str();
    let mut hand = |session: &'a Arc<Session>| {
        let taken = session.outbox().push(|out| passage.write(to, out));
        if taken {
            reached.push(session);
        }
        taken
    };
    let named = passage.to.resource().map(|r| state.resource(r));
    let addressed = match named {
        None => Addressed::Account,
        Some(None) => Addressed::NoSuchResource,
        Some(Some(_)) => Addressed::Resource,
    };
    let mut delivery = rules::message(kind, addressed);
    match (delivery, named.flatten()) {
        (Delivery::Resource, Some(resource)) if hand(&resource.session) => {}
        // The session is ending: what could not be handed over goes where the account's other resources are.
        (Delivery::Resource, _) => delivery = rules::message(kind, Addressed::NoSuchResource),
        _ => {}
    }
    match delivery {
        Delivery::MostAvailable => {
            let best = state
                .resources
                .iter()
                .filter(|r| r.takes_messages())
                .map(|r| r.priority)
                .max();
            let best = state
                .resources
                .iter()
                .filter(|r| r.takes_messages() && Some(r.priority) == best);
            let mut taken = false;
            for resource in best {
                taken |= hand(&resource.session);
            }
            if taken { delivery } else { Delivery::Fallback }
        }
        Delivery::AllAvailable => {
            for resource in state.resources.iter().filter(|r| r.takes_messages()) {
                hand(&resource.session);
            }
            delivery
        }
        _ => delivery,
    }
}
