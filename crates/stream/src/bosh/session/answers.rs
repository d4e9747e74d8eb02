//! The answers of a session: their order, what is in them, and those that were lost.

use std::time::Instant;

use super::rules::Rules;
use super::{ANSWER_BYTES, End, Exchange, REPEATS, Request, Sent, Session};
use crate::bosh::answer::{self, Writer};
use crate::bosh::{Condition, Head};

#[derive(Debug, Default)]
pub(super) struct Opening {
    pub(super) sid: String,
    pub(super) ver: Option<(u32, u32)>,
    /// The stream's id and host.
    pub(super) header: Option<(String, String)>,
}

impl<X: Exchange> Session<X> {
    /// Notes which answers the client has.
    pub(super) fn acknowledge(&mut self, head: &Head) {
        // XEP-0124 §9.1: without a number it has all of them.
        let acked = match self.rules.acks {
            true => head.ack.unwrap_or(head.rid - 1),
            // It may have so many requests open at a time, and one more to pause or to end.
            false => head.rid.saturating_sub(self.rules.requests + 1),
        };
        // No more at a time than agreed: this one was sent when the others had been answered.
        self.heard(acked.max(head.rid.saturating_sub(match head.is_one_more() {
            true => self.rules.requests + 1,
            false => self.rules.requests,
        })));
        for sent in self.sent.iter().filter(|sent| sent.rid <= acked) {
            self.acknowledged = self.acknowledged.max(sent.upto);
        }
        if self.rules.acks {
            self.sent.retain(|sent| sent.rid > acked);
        }
    }

    /// A number that was there before.
    pub(super) fn repeat(&mut self, request: Request, exchange: X, now: Instant) {
        let rid = request.head.rid;
        if let Some(held) = self.held.iter_mut().find(|held| held.rid == rid) {
            held.repeats += 1;
            if held.repeats <= REPEATS && held.key == request.head.key {
                // XEP-0124 §14.3: the former is told so, this one waits for the answer.
                held.since = now;
                let former = std::mem::replace(&mut held.exchange, exchange);
                return self.answer_instead(former);
            }
        }
        if let Some(sent) = self.sent.iter_mut().find(|sent| sent.rid == rid) {
            sent.repeats += 1;
            if sent.repeats <= REPEATS && sent.key == request.head.key {
                // XEP-0124 §14.3: the answer that was lost.
                let mut answer = sent.answer.clone();
                answer.is_followed = self.is_said(rid);
                if answer.is_followed {
                    self.say(rid, exchange.way(), answer.body.len(), now);
                }
                self.answers.push_back((exchange, answer));
                return;
            }
        }
        // XEP-0124 §14.3: what is not there any more; and an end to repeating.
        let condition = match self.sent.iter().any(|sent| sent.repeats > REPEATS)
            || self.held.iter().any(|held| held.repeats > REPEATS)
        {
            true => Condition::PolicyViolation,
            false => Condition::ItemNotFound,
        };
        self.refuse(exchange, condition);
        self.fail(condition);
    }

    /// XEP-0124 §17.3: a recoverable condition, as another exchange waits for the same answer now.
    pub(super) fn answer_instead(&mut self, former: X) {
        let mut writer = Writer::new().content_type(self.rules.content_type);
        writer.attr("type", "error");
        self.answers.push_back((former, writer.finish()));
    }

    /// Answers the request that is held longest; with something in it only if it is `heard`.
    pub(super) fn answer(&mut self, now: Instant, heard: bool) {
        let Some(held) = self.held.pop_front() else {
            return;
        };
        let mut writer = Writer::new().content_type(self.rules.content_type);
        // Without the first answer there is no further request.
        let first = self.opening.is_some();
        if let Some(opening) = self.opening.take() {
            opening.write(&self.rules, held.rid, &mut writer);
        } else if held.rid != self.last {
            // XEP-0124 §9.1: the highest number up to which all have come.
            writer.attr("ack", &self.last.to_string());
        }
        let mut bytes = 0;
        let mut elements = Vec::new();
        // XEP-0124 §10: the answer to a pause has nothing in it.
        while let Some(element) = self.pending.front()
            && !held.pauses
            && heard
            && (bytes == 0 || bytes + element.len() <= ANSWER_BYTES)
        {
            bytes += element.len();
            elements.extend(self.pending.pop_front());
        }
        self.pending_bytes -= bytes;
        if let End::Closing(error) = &mut self.end
            && self.pending.is_empty()
            && heard
        {
            // XEP-0124 §13: the oldest is told of the end, the others get nothing.
            let error = error.take();
            self.end = End::Over;
            let condition = error.as_ref().map(|(condition, _)| *condition);
            writer = writer.terminate(condition);
            if self.rules.legacy {
                writer = writer.legacy(condition);
            }
            elements.extend(error.map(|(_, element)| element));
        }
        for element in &elements {
            writer.payload(element);
        }
        self.answered_empty = elements.is_empty();
        self.quiet_since = now;
        let mut answer = writer.finish();
        if !elements.is_empty() && !first {
            answer.is_followed = true;
            self.say(held.rid, held.exchange.way(), answer.body.len(), now);
        }
        self.sent.push_back(Sent {
            rid: held.rid,
            key: held.key,
            answer: answer.clone(),
            upto: self.accepted - self.pending_bytes as u64,
            repeats: 0,
        });
        // XEP-0124 §14.3: so many answers are kept; one more tells what the client has.
        if self.sent.len() as u64 > self.rules.requests + 1 {
            self.sent.pop_front();
        }
        self.answers.push_back((held.exchange, answer));
        if matches!(self.end, End::Over) {
            let early = std::mem::take(&mut self.early).into_values();
            let rest = std::mem::take(&mut self.held).into_iter();
            let rest = rest.map(|held| held.exchange);
            for exchange in rest.chain(early.map(|(_, exchange)| exchange)) {
                let writer = Writer::new().content_type(self.rules.content_type);
                self.answers.push_back((exchange, writer.finish()));
            }
        }
    }

    /// Ends the session; all that is under way is told. What came in order before still goes to the stream.
    pub(super) fn fail(&mut self, condition: Condition) {
        self.end = End::Over;
        self.pending.clear();
        self.pending_bytes = 0;
        let held = std::mem::take(&mut self.held).into_iter();
        let early = std::mem::take(&mut self.early).into_values();
        let held = held.map(|held| held.exchange);
        for exchange in held.chain(early.map(|(_, exchange)| exchange)) {
            self.refuse(exchange, condition);
        }
    }

    pub(super) fn refuse(&mut self, exchange: X, condition: Condition) {
        let mut writer = Writer::new()
            .content_type(self.rules.content_type)
            .terminate(Some(condition));
        if self.rules.legacy {
            writer = writer.legacy(Some(condition));
        }
        self.answers.push_back((exchange, writer.finish()));
    }
}

impl Opening {
    /// XEP-0124 §7.2: the attributes of the first answer.
    fn write(self, rules: &Rules, rid: u64, writer: &mut Writer) {
        writer.xmpp();
        writer.attr("sid", &self.sid);
        for (name, value) in [
            ("wait", rules.wait.as_secs()),
            ("requests", rules.requests),
            ("hold", rules.hold as u64),
            ("inactivity", rules.inactivity.as_secs()),
            ("polling", rules.polling.as_secs()),
            ("maxpause", rules.max_pause.as_secs()),
            ("ack", rid),
        ] {
            writer.attr(name, &value.to_string());
        }
        if let Some(ver) = self.ver {
            writer.attr("ver", &answer::version(ver));
        }
        if let Some((id, from)) = &self.header {
            writer.attr("authid", id);
            writer.attr("from", from);
        }
    }
}

/// XEP-0124 §17.2: what a stream error is to the session.
pub(super) fn condition(error: &[u8], opening: bool) -> Condition {
    let named = |name: &[u8]| {
        let at = memchr::memmem::find(error, name);
        at.is_some_and(|at| error[at + name.len()] == b' ')
    };
    if opening && named(b"><host-unknown") {
        Condition::HostUnknown
    } else if opening && named(b"><improper-addressing") {
        Condition::ImproperAddressing
    } else if named(b"><system-shutdown") {
        Condition::SystemShutdown
    } else {
        Condition::RemoteStreamError
    }
}
