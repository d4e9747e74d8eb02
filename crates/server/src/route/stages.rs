//! The stages of modules on the way of a stanza.

use std::sync::Arc;

use tercet_core::StanzaKind;

use super::{Passage, Routed};
use crate::account::{Account, AccountState};
use crate::module::{Delivered, Effects, Flow, Phase, Side, Stage, StanzaCx};
use crate::server::Server;

impl Server {
    /// Runs the stages of one side up to delivery.
    pub(super) fn stages(
        self: &Arc<Self>,
        account: &Arc<Account>,
        side: Side,
        passage: Passage<'_>,
        effects: &mut Effects,
    ) -> Flow {
        self.run(account, side, passage, effects, Phase::Before, None)
    }

    /// Runs the fallback stage of the addressee.
    pub(super) fn fallback(
        self: &Arc<Self>,
        account: &Arc<Account>,
        passage: Passage<'_>,
        effects: &mut Effects,
    ) -> Flow {
        let side = Side::Recipient;
        self.run(account, side, passage, effects, Phase::Fallback, None)
    }

    /// Runs the archiving stage of the sender, and queues what it keeps.
    pub(super) fn archive_sent(
        self: &Arc<Self>,
        account: &Arc<Account>,
        passage: Passage<'_>,
        effects: &mut Effects,
    ) -> Routed {
        if passage.stanza.kind() != StanzaKind::Message {
            return Routed::Done;
        }
        // Two devices of one user: what is kept stands in the order of its ids.
        let state = account.lock();
        self.archive(account, &state, Side::Sender, passage, effects);
        let kept = std::mem::take(&mut effects.kept);
        // Nothing is written for an account that has just been removed.
        if kept.is_empty() || state.removed {
            return Routed::Done;
        }
        self.keep(passage, kept, &mut effects.settles)
    }

    /// Runs the archiving stage of one side.
    pub(super) fn archive(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &AccountState,
        side: Side,
        passage: Passage<'_>,
        effects: &mut Effects,
    ) {
        // What it says decides nothing any more.
        let delivered = Delivered { state, to: &[] };
        let delivered = Some(&delivered);
        let _ = self.run(account, side, passage, effects, Phase::Archive, delivered);
    }

    /// Runs the copying stage of one side.
    pub(super) fn copy(
        self: &Arc<Self>,
        account: &Arc<Account>,
        side: Side,
        passage: Passage<'_>,
        delivered: Option<&Delivered<'_>>,
        effects: &mut Effects,
    ) {
        // What it says decides nothing any more.
        let _ = self.run(account, side, passage, effects, Phase::Copy, delivered);
    }

    fn run(
        self: &Arc<Self>,
        account: &Arc<Account>,
        side: Side,
        passage: Passage<'_>,
        effects: &mut Effects,
        phase: Phase,
        delivered: Option<&Delivered<'_>>,
    ) -> Flow {
        let hosts = self.present_hosts();
        let Some(host) = hosts.get(account.jid().domain()) else {
            return Flow::Continue;
        };
        let stages = host.stages(passage.stanza.kind(), side, phase);
        if stages.is_empty() {
            return Flow::Continue;
        }
        let Passage {
            stanza,
            from,
            to,
            lang,
            ..
        } = passage;
        let mut cx = StanzaCx {
            server: self,
            host,
            account,
            side,
            stage: Stage::Validate,
            stanza,
            from,
            to,
            lang,
            delivered,
            effects,
        };
        for entry in stages {
            cx.stage = entry.stage;
            match (entry.handle)(&mut cx) {
                Flow::Continue => {}
                decided => return decided,
            }
        }
        Flow::Continue
    }
}
