//! What a client has been sent and has not acknowledged (XEP-0198 §4).
//!
//! Each stanza has a number, from 1, and a length; the bytes of those that were taken are kept one behind the other. Elements of
//! stream management itself go out with the bytes, but are neither counted nor kept.
//!
//! **Clients that count wrongly.** Some count what came between their `<enable/>` and our `<enabled/>`, so that what they
//! acknowledge is ahead by so much. As many as were sent before `<enabled/>` are forgiven, once: the count is moved by what it was
//! ahead. Anything more ends the stream.

use std::collections::VecDeque;
use std::sync::Arc;

use tercet_core::BareJid;

use super::stamp::stamped;
use crate::server::Clock;

/// Stanzas sent after which the client is asked what it has handled.
const ASK_AFTER: usize = 10;
/// Bytes sent after which it is asked.
const ASK_AFTER_BYTES: usize = 32 << 10;
/// Capacity that is kept while there is nothing to keep.
const KEPT: usize = 1024;

/// How much is kept before more is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Bytes.
    pub(crate) bytes: usize,
    /// Stanzas.
    pub(crate) stanzas: usize,
}

/// What the client is to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acked {
    /// Ask for an acknowledgement now, behind what is sent.
    pub ask: bool,
    /// Something was sent for which no acknowledgement has been asked: do so when nothing more comes for a while.
    pub unasked: bool,
}

/// The client says that it has handled more than it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHigh {
    /// How much it was sent, modulo 2^32.
    pub sent: u32,
}

/// A stanza whose session has ended before it was acknowledged.
#[derive(Debug)]
pub(crate) struct Remaining {
    pub(crate) bytes: Vec<u8>,
    /// When it was for the session first, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

#[derive(Debug)]
pub(super) struct Unacked {
    retention: Retention,
    clock: Arc<Clock>,
    /// What of the queue's beginning does not count.
    preface: usize,
    /// What of the queue behind that has been sent on an earlier connection, with the stamps of what has not.
    again: usize,
    /// The bytes of the first `held` stanzas.
    bytes: VecDeque<u8>,
    held: usize,
    /// All that have not been acknowledged, those in the queue last.
    stanzas: VecDeque<Entry>,
    /// The client can have handled so many of them.
    sent: usize,
    /// The client's last count.
    acked: u32,
    /// How many those are in truth; the client's count begins again at 2^32.
    acked_in_all: u64,
    /// How much the client's count may still turn out to be ahead.
    slack: u32,
    /// The client has been asked and has not answered.
    asked: bool,
    unasked: usize,
    unasked_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    len: u32,
    /// Seconds since 1970.
    at: u32,
}

impl Entry {
    fn at_ms(&self) -> u64 {
        u64::from(self.at) * 1000
    }
}

impl Unacked {
    /// `preface` bytes wait that do not count; `before` stanzas were sent before.
    pub(super) fn new(
        retention: Retention,
        clock: Arc<Clock>,
        preface: usize,
        before: u32,
    ) -> Unacked {
        Unacked {
            retention,
            clock,
            preface,
            again: 0,
            bytes: VecDeque::new(),
            held: 0,
            stanzas: VecDeque::new(),
            sent: 0,
            acked: 0,
            acked_in_all: 0,
            slack: before,
            asked: false,
            unasked: 0,
            unasked_bytes: 0,
        }
    }

    /// A stanza of `len` bytes was queued.
    pub(super) fn push(&mut self, len: usize) {
        self.stanzas.push_back(Entry {
            len: length(len),
            // No second is later than 2106.
            at: u32::try_from(self.clock.now_ms() / 1000).unwrap_or(u32::MAX),
        });
    }

    /// Bytes of the queue that do not count for its bound.
    pub(super) fn aside(&self) -> usize {
        self.preface + self.again
    }

    /// Whether no more is to be sent before something is acknowledged.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= self.retention.bytes || self.held >= self.retention.stanzas
    }

    /// All that was queued is sent.
    pub(super) fn take(&mut self, queue: &[u8]) -> Acked {
        let sent = &queue[self.preface..];
        self.bytes.extend(sent);
        self.preface = 0;
        self.again = 0;
        self.unasked += self.stanzas.len() - self.held;
        self.unasked_bytes += sent.len();
        self.held = self.stanzas.len();
        self.sent = self.held;
        self.next()
    }

    /// Whether the client can have handled `count`, and how many that are not acknowledged yet.
    pub(super) fn check(&self, count: u32) -> Result<usize, TooHigh> {
        let behind = self.acked.wrapping_sub(count);
        if behind > 0 && u64::from(behind) <= self.acked_in_all {
            // An old acknowledgement says nothing new.
            return Ok(0);
        }
        let more = count.wrapping_sub(self.acked) as usize;
        match more <= self.sent + self.slack as usize {
            true => Ok(more),
            false => Err(TooHigh {
                sent: self.acked.wrapping_add(truncated(self.sent)),
            }),
        }
    }

    /// The client has handled `count`; what is not needed any more goes from `queue` too.
    pub(super) fn acknowledge(
        &mut self,
        count: u32,
        queue: &mut Vec<u8>,
    ) -> Result<Acked, TooHigh> {
        let more = self.check(count)?;
        let ahead = more.saturating_sub(self.sent);
        let handled = more - ahead;
        self.slack -= truncated(ahead);
        self.acked = self.acked.wrapping_add(truncated(more));
        self.acked_in_all += more as u64;
        let len = |entries: &mut dyn Iterator<Item = Entry>| -> usize {
            entries.map(|entry| entry.len as usize).sum()
        };
        let held = handled.min(self.held);
        let of_held = len(&mut self.stanzas.drain(..held));
        self.bytes.drain(..of_held);
        self.held -= held;
        // Resumed, and acknowledged before it was sent again.
        let of_queue = len(&mut self.stanzas.drain(..handled - held));
        queue.drain(self.preface..self.preface + of_queue);
        self.again = self.again.saturating_sub(of_queue);
        self.sent -= handled;
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = VecDeque::new();
            self.stanzas.shrink_to(KEPT / size_of::<Entry>());
        }
        self.asked = false;
        self.unasked = self.unasked.min(self.held);
        self.unasked_bytes = self.unasked_bytes.min(self.bytes.len());
        Ok(self.next())
    }

    /// Whether to ask the client now; if so, it counts as asked.
    pub(super) fn ask(&mut self) -> bool {
        let ask = !self.asked && self.held > 0;
        if ask {
            self.asked = true;
            self.unasked = 0;
            self.unasked_bytes = 0;
        }
        ask
    }

    /// Puts `reply` and what was not acknowledged before what is queued. Messages for `account` tell when they came.
    pub(super) fn resume(&mut self, account: &BareJid, reply: &[u8], queue: &mut Vec<u8>) {
        self.again += self.bytes.len();
        let mut kept = std::mem::take(&mut self.bytes);
        kept.extend(&queue[self.preface..]);
        let mut rest: &[u8] = kept.make_contiguous();
        let mut bytes = Vec::with_capacity(reply.len() + rest.len());
        bytes.extend_from_slice(reply);
        for entry in &mut self.stanzas {
            let (stanza, behind) = rest.split_at(entry.len as usize);
            rest = behind;
            match stamped(stanza, account, entry.at_ms()) {
                Some(stamped) => {
                    self.again += stamped.len() - stanza.len();
                    entry.len = length(stamped.len());
                    bytes.extend_from_slice(&stamped);
                }
                None => bytes.extend_from_slice(stanza),
            }
        }
        *queue = bytes;
        self.preface = reply.len();
        self.held = 0;
        self.asked = false;
        self.unasked = 0;
        self.unasked_bytes = 0;
    }

    /// Every stanza that was not acknowledged, with those in `queue`; they stay.
    pub(super) fn stanzas(&self, queue: &[u8]) -> Vec<Vec<u8>> {
        let mut bytes = self.bytes.iter().chain(&queue[self.preface..]).copied();
        let lens = self.stanzas.iter().map(|entry| entry.len as usize);
        lens.map(|len| bytes.by_ref().take(len).collect()).collect()
    }

    /// Every stanza that was not acknowledged, with those in `queue`.
    pub(super) fn remaining(mut self, queue: &[u8]) -> Vec<Remaining> {
        self.bytes.extend(&queue[self.preface..]);
        let bytes = self.bytes.make_contiguous();
        let mut at = 0;
        self.stanzas
            .iter()
            .map(|entry| {
                let begin = at;
                at += entry.len as usize;
                Remaining {
                    bytes: bytes[begin..at].to_vec(),
                    at_ms: entry.at_ms(),
                }
            })
            .collect()
    }

    fn next(&mut self) -> Acked {
        let much = self.unasked >= ASK_AFTER || self.unasked_bytes >= ASK_AFTER_BYTES;
        let ask = (much || self.is_full()) && self.ask();
        Acked {
            ask,
            unasked: !self.asked && self.held > 0,
        }
    }
}

/// No stanza is longer than 4 GiB.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Counts of stanzas are modulo 2^32 (XEP-0198 §4), and the queues are far shorter.
fn truncated(count: usize) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::outbox::{Outbox, Taken};
    use std::task::{Context, Poll, Waker};

    fn account() -> BareJid {
        BareJid::parse("a@b").unwrap()
    }

    const REPLY: &[u8] = b"<enabled/>";

    fn outbox(before: usize, retention: Retention) -> Outbox {
        let outbox = Outbox::new(1000);
        for _ in 0..before {
            assert!(outbox.push(|out| out.extend_from_slice(b"<before/>")));
        }
        let clock = Arc::new(Clock::Manual(AtomicU64::new(5_000)));
        outbox.enable(retention, clock, REPLY);
        outbox
    }

    fn managed(before: usize) -> Outbox {
        let outbox = outbox(
            before,
            Retention {
                bytes: 1000,
                stanzas: 1000,
            },
        );
        take(&outbox);
        outbox
    }

    fn take(outbox: &Outbox) -> (String, Acked) {
        let Poll::Ready(Taken { bytes, acked, .. }) =
            outbox.poll_take(&mut Context::from_waker(Waker::noop()))
        else {
            return (String::new(), Acked::default());
        };
        (String::from_utf8(bytes).unwrap(), acked)
    }

    fn push(outbox: &Outbox, numbers: std::ops::Range<u32>) {
        for number in numbers {
            assert!(outbox.push(|out| out.extend_from_slice(format!("<{number}/>").as_bytes())));
        }
    }

    fn text(numbers: std::ops::Range<u32>) -> String {
        numbers.map(|number| format!("<{number}/>")).collect()
    }

    #[test]
    fn what_was_not_acknowledged_goes_out_again_in_order_before_the_rest() {
        let outbox = managed(0);
        push(&outbox, 0..5);
        assert_eq!(take(&outbox).0, text(0..5));
        outbox.acknowledge(2).unwrap();
        push(&outbox, 5..7);
        outbox.resume(3, &account(), b"<resumed/>").unwrap();
        push(&outbox, 7..8);
        assert_eq!(take(&outbox).0, format!("<resumed/>{}", text(3..8)));
        outbox.acknowledge(8).unwrap();
        // Once more, with nothing to be said again.
        outbox.resume(8, &account(), b"<resumed/>").unwrap();
        assert_eq!(take(&outbox).0, "<resumed/>");
    }

    #[test]
    fn what_is_acknowledged_before_it_was_sent_again_is_not() {
        let outbox = managed(0);
        push(&outbox, 0..5);
        take(&outbox);
        outbox.resume(1, &account(), b"<resumed/>").unwrap();
        outbox.acknowledge(4).unwrap();
        push(&outbox, 5..6);
        assert_eq!(take(&outbox).0, "<resumed/><4/><5/>");
        assert_eq!(outbox.acknowledge(7), Err(TooHigh { sent: 6 }));
    }

    #[test]
    fn nobody_has_handled_what_was_not_sent() {
        let outbox = managed(0);
        push(&outbox, 0..2);
        assert_eq!(outbox.acknowledge(1), Err(TooHigh { sent: 0 }));
        take(&outbox);
        assert!(outbox.acknowledge(2).is_ok());
        // Said again, or late: nothing new.
        assert!(outbox.acknowledge(2).is_ok());
        assert!(outbox.acknowledge(1).is_ok());
        assert_eq!(outbox.acknowledge(3), Err(TooHigh { sent: 2 }));
        assert_eq!(outbox.acknowledge(u32::MAX), Err(TooHigh { sent: 2 }));
        assert_eq!(outbox.resume(3, &account(), b""), Err(TooHigh { sent: 2 }));
    }

    #[test]
    fn a_client_that_counts_what_came_before_enabled_is_not_thrown_out() {
        let outbox = managed(3);
        push(&outbox, 0..2);
        take(&outbox);
        // Two stanzas, and two of those before: all that it was sent is handled, and it is ahead by two.
        assert!(outbox.acknowledge(4).is_ok());
        push(&outbox, 2..4);
        take(&outbox);
        assert!(outbox.acknowledge(5).is_ok());
        outbox.resume(5, &account(), b"").unwrap();
        assert_eq!(take(&outbox).0, text(3..4));
        // No more than were sent before is forgiven.
        assert!(outbox.acknowledge(7).is_ok());
        assert_eq!(outbox.acknowledge(8), Err(TooHigh { sent: 7 }));
    }

    #[test]
    fn the_client_is_asked_behind_every_tenth_and_once_at_a_time() {
        let outbox = managed(0);
        push(&outbox, 0..9);
        let (ask, unasked) = (true, true);
        let quiet = Acked {
            ask: false,
            unasked,
        };
        assert_eq!(take(&outbox).1, quiet);
        push(&outbox, 9..10);
        let asked = Acked {
            ask,
            unasked: false,
        };
        assert_eq!(take(&outbox).1, asked);
        push(&outbox, 10..30);
        assert_eq!(take(&outbox).1, Acked::default(), "it was asked");
        assert!(!outbox.ask());
        assert_eq!(
            outbox.acknowledge(10),
            Ok(asked),
            "there is enough for another"
        );
        assert_eq!(outbox.acknowledge(30), Ok(Acked::default()));
        assert!(!outbox.ask(), "all is acknowledged");
    }

    #[test]
    fn no_more_is_sent_than_may_be_kept() {
        let outbox = outbox(
            0,
            Retention {
                bytes: 1000,
                stanzas: 3,
            },
        );
        push(&outbox, 0..4);
        let (bytes, acked) = take(&outbox);
        assert_eq!(bytes, format!("<enabled/>{}", text(0..4)));
        assert!(acked.ask, "it has to be asked, or nothing goes on");
        push(&outbox, 4..6);
        assert_eq!(take(&outbox).0, "");
        assert!(outbox.is_blocked());
        assert!(!outbox.acknowledge(1).unwrap().unasked);
        assert!(outbox.is_blocked());
        outbox.acknowledge(2).unwrap();
        assert_eq!(take(&outbox).0, text(4..6));
    }

    #[test]
    fn the_end_of_a_session_gives_what_was_not_acknowledged_with_its_time() {
        let outbox = managed(1);
        push(&outbox, 0..3);
        take(&outbox);
        push(&outbox, 3..4);
        outbox.acknowledge(1).unwrap();
        let remaining = outbox.finish();
        let texts: Vec<_> = remaining
            .iter()
            .map(|r| (std::str::from_utf8(&r.bytes).unwrap(), r.at_ms))
            .collect();
        assert_eq!(texts, [("<1/>", 5_000), ("<2/>", 5_000), ("<3/>", 5_000)]);
        assert!(!outbox.push(|out| out.push(b'x')));
    }

    #[test]
    fn messages_that_go_out_late_tell_when_they_came_and_are_counted_as_they_are_then() {
        let message = |body: &str| format!("<message from='c@d'><body>{body}</body></message>");
        let stamped = |body: &str| {
            let stamp = "<delay xmlns='urn:xmpp:delay' from='b' stamp='1970-01-01T00:00:05Z'/>";
            format!("<message from='c@d'><body>{body}</body>{stamp}</message>")
        };
        let outbox = managed(0);
        let push_text = |text: String| outbox.push(|out| out.extend_from_slice(text.as_bytes()));
        assert!(push_text(message("sent")));
        assert!(push_text("<presence/>".into()));
        let sent = format!("{}<presence/>", message("sent"));
        assert_eq!(take(&outbox).0, sent);
        outbox.detach();
        assert!(push_text(message("gathered")));
        outbox.resume(0, &account(), b"<resumed/>").unwrap();
        assert!(push_text(message("live")));
        let (late, live) = (
            [&stamped("sent"), "<presence/>", &stamped("gathered")].concat(),
            message("live"),
        );
        assert_eq!(take(&outbox).0, format!("<resumed/>{late}{live}"));
        // Lost again: what has its time keeps it, and acknowledgements find the beginnings.
        outbox.detach();
        outbox.resume(2, &account(), b"<resumed/>").unwrap();
        let again = format!("{}{}", stamped("gathered"), stamped("live"));
        assert_eq!(take(&outbox).0, format!("<resumed/>{again}"));
        outbox.acknowledge(3).unwrap();
        assert_eq!(outbox.unacknowledged(), [stamped("live").into_bytes()]);
    }

    #[test]
    fn stamps_take_no_room_from_what_follows() {
        let outbox = managed(0);
        let message = |len: usize| format!("<message><body>{}</body></message>", "x".repeat(len));
        let push_message = |len| outbox.push(|out| out.extend(message(len).bytes()));
        outbox.detach();
        // The bound is 1000 bytes.
        for _ in 0..9 {
            assert!(push_message(65));
        }
        outbox.resume(0, &account(), b"").unwrap();
        assert!(push_message(65));
        assert!(!push_message(65));
    }

    #[test]
    fn more_than_fits_ends_the_session_and_loses_nothing_of_what_did() {
        let outbox = managed(0);
        let long = |out: &mut Vec<u8>| out.extend([b'x'; 600]);
        assert!(outbox.push(long));
        assert!(!outbox.push(long));
        assert!(!outbox.is_open());
        assert_eq!(outbox.finish().len(), 1);
    }
}
