//! What a session agrees on, and whether its client keeps to it.

use std::time::{Duration, Instant};

use super::{ANSWER_BYTES, Exchange, Session};
use crate::bosh::{Condition, Config, Head, Payloads, answer};

/// What was agreed on.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) wait: Duration,
    pub(super) hold: usize,
    /// Requests at a time.
    pub(super) requests: u64,
    pub(super) inactivity: Duration,
    pub(super) polling: Duration,
    pub(super) max_pause: Duration,
    pub(super) content_type: &'static str,
    /// The client knows HTTP's codes only.
    pub(super) legacy: bool,
    /// The client acknowledges answers.
    pub(super) acks: bool,
}

impl Rules {
    pub(super) fn agree(config: &Config, head: &Head) -> Result<Rules, Condition> {
        let wait = head.wait.unwrap_or(config.wait).min(config.wait);
        let hold = head.hold.unwrap_or(1).min(config.hold);
        let polls = hold == 0 || wait.is_zero();
        Ok(Rules {
            wait,
            hold: hold as usize,
            // XEP-0124 §7.2: one more than are held.
            requests: u64::from(hold) + 1,
            // XEP-0124 §12: whoever polls is silent for longer.
            inactivity: match polls {
                true => config.inactivity + config.polling * 2,
                false => config.inactivity,
            },
            polling: config.polling,
            max_pause: config.max_pause,
            content_type: answer::content_type(head.content.as_deref())?,
            // XEP-0124 §17.1: who names no version.
            legacy: head.ver.is_none(),
            acks: head.ack.is_some(),
        })
    }
}

impl<X: Exchange> Session<X> {
    /// Whether a request may be processed.
    pub(super) fn judge(
        &mut self,
        head: &Head,
        payloads: Result<Payloads, Condition>,
        now: Instant,
    ) -> Result<Payloads, Condition> {
        self.keys
            .check(head.key.as_deref(), head.newkey.as_deref())?;
        let payloads = payloads?;
        if self.is_behind()
            && self.inbox_bytes + payloads.len() > 4 * ANSWER_BYTES.max(payloads.len())
        {
            return Err(Condition::PolicyViolation);
        }
        if head.pause.is_some_and(|pause| pause > self.rules.max_pause) {
            return Err(Condition::PolicyViolation);
        }
        if head.is_one_more() {
            return Ok(payloads);
        }
        let waiting = self.held.iter().filter(|held| !held.exchange.is_gone());
        let open = waiting.count() as u64 + 1;
        // XEP-0124 §11: no more requests at a time than agreed.
        if open > self.rules.requests {
            return Err(Condition::PolicyViolation);
        }
        let empty = payloads.elements.is_empty() && !head.restart;
        let soon = empty && now.saturating_duration_since(self.arrived) < self.rules.polling;
        if self.is_polling() {
            // XEP-0124 §12: empty requests, answered by nothing, one after the other.
            self.hasty = soon && self.empty && self.answered_empty;
            return match self.hasty {
                true => Err(Condition::PolicyViolation),
                false => Ok(payloads),
            };
        }
        // XEP-0124 §11: as many requests as are allowed, the last for nothing. Once may be a page that was loaded again.
        let again = self.hasty;
        self.hasty = soon && open == self.rules.requests;
        match again && self.hasty {
            true => Err(Condition::PolicyViolation),
            false => Ok(payloads),
        }
    }

    pub(super) fn is_polling(&self) -> bool {
        self.rules.hold == 0 || self.rules.wait.is_zero()
    }
}
