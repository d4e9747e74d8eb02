//! Acknowledgements on a connection (XEP-0198): when they are given, and when they are asked for.
//!
//! - The client's request is answered once all it sent before is routed, and what is kept of it is durable.
//! - The client is asked behind every tenth stanza (or 32 KiB), one question at a time, and [`QUIET`] after the last that it was
//!   not asked about.
//! - A client that says nothing at all for [`SILENT`] after a question is gone; one that talks on and does not acknowledge gets no
//!   more than may be kept for it, and then the end of its session.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tercet_core::{StreamCondition, StreamError};
use tercet_server::Acked;
use tercet_stream::Input;
use tercet_stream::c2s::sm::{self, Enable};

use super::{Connection, Phase};
use crate::listen::wire::Scratch;

/// Time after which the client is asked about what was sent, if there was not enough for a question of its own.
const QUIET: Duration = Duration::from_secs(1);
/// Time for an answer, or any other sign of life.
const SILENT: Duration = Duration::from_secs(90);

/// What is due in both directions.
#[derive(Default)]
pub(super) struct Acks {
    /// The client has asked: how many stanzas it had sent at the first and at the last question that are not answered.
    asked_us: Option<(u32, u32)>,
    /// What its client had handled of a session that was resumed.
    resumed_at: u32,
    /// Ask the client behind what is sent now.
    ask: bool,
    /// Ask it then, if not before.
    quiet: Option<Instant>,
    /// It was asked, and has until then.
    answer: Option<Instant>,
    /// It has said something since.
    heard: bool,
}

impl Acks {
    /// Those of a session whose client had handled so many stanzas.
    pub(super) fn resumed(handled: u32) -> Box<Self> {
        Box::new(Acks {
            resumed_at: handled,
            ..Acks::default()
        })
    }

    /// Something was sent, or acknowledged.
    pub(super) fn sent(&mut self, acked: Acked, now: Instant) {
        self.ask |= acked.ask;
        if !acked.unasked {
            self.quiet = None;
        } else if self.quiet.is_none() {
            self.quiet = Some(now + QUIET);
        }
    }

    /// The client has sent something.
    pub(super) fn heard(&mut self) {
        self.heard = true;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.quiet.into_iter().chain(self.answer).min()
    }
}

/// Whether a count has come as far as another, modulo 2^32.
fn reaches(count: u32, other: u32) -> bool {
    count.wrapping_sub(other) < 1 << 31
}

impl Connection {
    /// The client wants acknowledgements.
    pub(super) fn enable(&mut self, enable: &Enable) {
        let Some(session) = &self.session else {
            return;
        };
        // The account of an anonymous client ends with its connection.
        let resumable = self.guest.is_none();
        self.shared
            .server
            .enable_management(session, enable, resumable);
        self.acks = Some(Box::default());
    }

    /// The session of another connection goes on here.
    pub(super) fn resumed(&mut self, reply: &[u8], now: Instant) {
        let (Some(session), Some(acks)) = (&self.session, &self.acks) else {
            return;
        };
        let handled = acks.resumed_at;
        let outbox = session.outbox().clone();
        self.registered.replace(outbox.clone());
        self.outbox = outbox;
        let account = session.account().jid();
        if let Err(too_high) = self.outbox.resume(handled, account, reply) {
            let error = sm::too_high(handled, too_high.sent);
            self.stream.handle(now, Input::Close(error));
        }
    }

    /// The client asks what was handled of the `count` stanzas that it has sent.
    pub(super) fn on_ack_requested(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        count: u32,
    ) {
        if let Some(acks) = &mut self.acks {
            let first = acks.asked_us.map_or(count, |(first, _)| first);
            acks.asked_us = Some((first, count));
            self.answer(cx, scratch);
        }
    }

    /// The client has handled `count` stanzas.
    pub(super) fn on_acked(&mut self, count: u32, now: Instant) {
        let Some(acks) = &mut self.acks else {
            return;
        };
        acks.answer = None;
        match self.outbox.acknowledge(count) {
            Ok(acked) => acks.sent(acked, now),
            Err(too_high) => {
                let error = sm::too_high(count, too_high.sent);
                self.stream.handle(now, Input::Close(error));
            }
        }
    }

    /// Answers and asks what is due, behind all else that is sent now.
    pub(super) fn poll_acks(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, now: Instant) {
        if self.phase != Phase::Open || self.acks.is_none() {
            return;
        }
        self.answer(cx, scratch);
        if let Some(acks) = &mut self.acks
            && std::mem::take(&mut acks.ask)
        {
            sm::request(&mut scratch.out);
            acks.heard = false;
            acks.answer = Some(now + SILENT);
        }
    }

    /// Tells the client what can be acknowledged, if it waits for that.
    fn answer(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) {
        let (Some(session), Some(acks)) = (&self.session, &mut self.acks) else {
            return;
        };
        while let Some((first, last)) = acks.asked_us {
            let seen = session.settled();
            let count = session.count_settled();
            if reaches(count, first) {
                // Design, promise 2: only what is durable is acknowledged.
                sm::ack(count, &mut scratch.out);
                acks.asked_us = (!reaches(count, last)).then_some((last, last));
            } else if matches!(session.poll_settled(cx, seen), Poll::Pending) {
                return;
            }
        }
    }

    /// Something may be due.
    pub(super) fn acks_due(&mut self, now: Instant) {
        let Some(acks) = self.acks.as_mut().filter(|_| self.phase == Phase::Open) else {
            return;
        };
        let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if due(acks.quiet) {
            acks.quiet = None;
            acks.ask |= self.outbox.ask();
        }
        if !due(acks.answer) {
            return;
        }
        acks.answer = None;
        if !acks.heard && self.carrier.tells_silence() {
            // Its phone has lost the network, say.
            let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return self.lose(&error.into(), now);
        }
        if self.outbox.is_blocked() {
            // Promise 11 of the bad-input list: what is kept for one client has a bound.
            self.outbox.end(
                StreamError::new(StreamCondition::ResourceConstraint)
                    .text("the client does not acknowledge what is sent to it"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_asked_a_while_after_the_first_that_it_was_not_asked_about() {
        let (mut acks, now) = (Acks::default(), Instant::now());
        let unasked = Acked {
            unasked: true,
            ..Acked::default()
        };
        acks.sent(unasked, now);
        acks.sent(unasked, now + QUIET / 2);
        assert_eq!(acks.deadline(), Some(now + QUIET));
        acks.sent(Acked::default(), now);
        assert_eq!(acks.deadline(), None);
    }

    #[test]
    fn counts_go_on_behind_the_highest() {
        assert!(reaches(5, 5) && reaches(6, 5) && !reaches(4, 5));
        assert!(reaches(2, u32::MAX) && !reaches(u32::MAX, 2));
    }
}
