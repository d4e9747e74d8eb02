//! The outbox: one bounded byte queue per session, and one wake-up.
//!
//! Whoever routes to a session appends serialised bytes under a short lock; the session's connection task takes all of them at
//! once and writes them with as few system calls as it can. A thousand stanzas cost one wake-up. A reader that stops reading
//! fills its own outbox and is then closed with `resource-constraint`; nobody else notices.
//!
//! An outbox that is idle holds no buffer.
//!
//! Once its client acknowledges stanzas (XEP-0198), they are kept here until it has, and go out again on the next connection if
//! the session is resumed. What is kept has a bound too: beyond it no more is taken until some of it is acknowledged, so that the
//! queue fills up as it does for a client that does not read.
//!
//! While nobody looks at the client, what may wait is held back (`held`), and goes out before the next stanza that may not. It is
//! counted, for acknowledgements too, when it goes into the queue.
//!
//! A list that others decide the length of (who is in a room) waits beside the queue (`lane`) and goes into it as the client reads,
//! with what comes later from the same sender behind it.

mod held;
mod lane;
mod stamp;
mod unacked;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tercet_core::{BareJid, Jid, StreamCondition, StreamError};

use crate::server::Clock;
use held::Held;
pub use held::{Hold, HoldRule};
use lane::Lanes;
pub use lane::{Announcement, Announcements};
pub(crate) use stamp::stamped;
use unacked::Unacked;
pub use unacked::{Acked, TooHigh};
pub(crate) use unacked::{Remaining, Retention};
pub use watch::{Receipt, Watch};

/// Bytes in the queue up to which more of what waits in lanes goes into it.
const SLICE: usize = 64 << 10;

/// The queue between everyone who sends to a session and the task that owns its connection.
#[derive(Debug)]
pub struct Outbox {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    receipts: Vec<Receipt>,
    end: End,
    waker: Option<Waker>,
    /// Stanzas before acknowledgements were enabled.
    uncounted: u32,
    /// What the client has not acknowledged, once it does so.
    unacked: Option<Box<Unacked>>,
    /// The session goes on with another connection.
    superseded: bool,
    /// There is no connection, and nobody waits for bytes to be written: the session keeps them.
    adrift: bool,
    /// What is held back, while the client is not active.
    held: Option<Box<Held>>,
    /// What goes into the queue as it is taken.
    lanes: Option<Box<Lanes>>,
}

#[derive(Debug, Default)]
enum End {
    #[default]
    Open,
    /// The stream shall end with this error once the bytes are out.
    Ending(StreamError),
    /// The connection's task has been told, or is gone: nothing more is taken.
    Closed,
}

/// What the connection's task gets from [`Outbox::poll_take`].
#[derive(Debug, Default)]
pub struct Taken {
    /// Everything queued since the last call, in order; may be empty when `end` is given.
    pub bytes: Vec<u8>,
    /// The stream shall end with this error after the bytes. Given once.
    pub end: Option<StreamError>,
    /// Who waits for these bytes to be written. Call [`Receipt::written`] on each once the system has taken all of them;
    /// dropping one says that they were not.
    pub receipts: Vec<Receipt>,
    /// The session goes on with another connection, which waits for this one to let go of it. Given once, alone.
    pub superseded: bool,
    /// What the client is to be asked now, or later.
    pub acked: Acked,
}

impl Outbox {
    /// An empty outbox that holds at most `limit` bytes (one stanza may exceed it when the queue is empty).
    pub fn new(limit: usize) -> Self {
        Outbox {
            limit,
            inner: Mutex::default(),
        }
    }

    /// Lets `write` append one whole stanza, or nothing. Returns false when nothing more can be delivered here: the session is
    /// ending, or this stanza would exceed the bound, in which case the session is ended with `resource-constraint`.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.fill(|inner, limit| inner.put(limit, write))
    }

    /// The same for a stanza from an address with the bare JID `from`, which stays behind a list from there.
    pub(crate) fn push_from(&self, from: &str, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.fill(|inner, limit| inner.put_behind(limit, from, write))
    }

    /// The same for several stanzas, with one wake-up.
    pub(crate) fn push_all<W: FnOnce(&mut Vec<u8>)>(
        &self,
        from: &str,
        mut stanzas: impl Iterator<Item = W>,
    ) -> bool {
        self.fill(|inner, limit| stanzas.all(|write| inner.put_behind(limit, from, write)))
    }

    /// A list of stanzas for `to` from addresses with the bare JID `from`, but for those at the places `leave_out`, ascending:
    /// however many they are, no more of them are in the queue than the client takes. What is pushed later in the name of `from`
    /// comes behind it. Returns false as [`push`](Self::push) does, or when too many lists wait.
    pub(crate) fn push_list(
        &self,
        from: &str,
        to: &Jid,
        all: Announcements,
        leave_out: Vec<usize>,
    ) -> bool {
        self.fill(|inner, limit| {
            // What waits for the client to become active may be from there, too.
            if !inner.release(limit) {
                return false;
            }
            let lanes = inner.lanes.get_or_insert_default();
            let opened = lanes.open(from, to, all, leave_out);
            if !opened {
                inner.give_up();
            }
            opened
        })
    }

    fn fill(&self, fill: impl FnOnce(&mut Inner, usize) -> bool) -> bool {
        let mut inner = self.lock();
        if !matches!(inner.end, End::Open) {
            return false;
        }
        let idle = inner.is_idle();
        let taken = fill(&mut inner, self.limit);
        if !taken || (idle && !inner.is_idle()) {
            Self::wake(inner);
        }
        taken
    }

    /// Nobody looks at the client: `rule` says what may wait, until [`release`](Self::release).
    pub(crate) fn hold(&self, rule: HoldRule) {
        let mut inner = self.lock();
        if inner.held.is_none() && matches!(inner.end, End::Open) {
            inner.held = Some(Box::new(Held::new(rule)));
        }
    }

    /// What was held back goes out, in order, and nothing is held back any more.
    pub(crate) fn release(&self) {
        let mut inner = self.lock();
        inner.release(self.limit);
        inner.held = None;
        Self::wake(inner);
    }

    /// From now on the client acknowledges stanzas. `reply` goes out between those that count and those that do not.
    pub(crate) fn enable(&self, retention: Retention, clock: Arc<Clock>, reply: &[u8]) {
        let mut inner = self.lock();
        inner.bytes.extend_from_slice(reply);
        let (aside, before) = (inner.bytes.len(), inner.uncounted);
        inner.unacked = Some(Box::new(Unacked::new(retention, clock, aside, before)));
        Self::wake(inner);
    }

    /// The client has handled `count` stanzas in all, modulo 2^32.
    ///
    /// # Errors
    /// It was not sent so many.
    pub fn acknowledge(&self, count: u32) -> Result<Acked, TooHigh> {
        let mut inner = self.lock();
        let Inner { bytes, unacked, .. } = &mut *inner;
        match unacked {
            Some(unacked) => unacked.acknowledge(count, bytes),
            None => Ok(Acked::default()),
        }
    }

    /// The stanzas that the client has not acknowledged, serialised, oldest first; none if it acknowledges nothing.
    pub fn unacknowledged(&self) -> Vec<Vec<u8>> {
        let inner = self.lock();
        let unacked = inner.unacked.as_ref();
        unacked.map_or_else(Vec::new, |unacked| unacked.stanzas(&inner.bytes))
    }

    /// Whether the client can have handled so many, without changing anything.
    pub(crate) fn check(&self, count: u32) -> Result<(), TooHigh> {
        match &self.lock().unacked {
            Some(unacked) => unacked.check(count).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The client is to be asked for an acknowledgement now: false if there is nothing to be asked for, or it has been asked.
    pub fn ask(&self) -> bool {
        let mut inner = self.lock();
        inner.unacked.as_mut().is_some_and(|kept| kept.ask())
    }

    /// Whether nothing more is taken until the client has acknowledged some of what it was sent.
    pub fn is_blocked(&self) -> bool {
        self.lock().unacked.as_ref().is_some_and(|u| u.is_full())
    }

    /// The session goes on with another connection: the present one's task is told to let go.
    pub(crate) fn supersede(&self) {
        let mut inner = self.lock();
        inner.superseded = true;
        Self::wake(inner);
    }

    /// The connection lets go of the session; stanzas gather until another takes it. Who waits for their being written, now or
    /// later, need not: they are kept. (The connection may itself be waiting for who does, before it has let go for good.)
    pub fn detach(&self) {
        let receipts = {
            let mut inner = self.lock();
            // XEP-0352 §5.2: a resumed session is active.
            inner.release(self.limit);
            inner.held = None;
            inner.superseded = false;
            inner.adrift = true;
            inner.waker = None;
            std::mem::take(&mut inner.receipts)
        };
        receipts.into_iter().for_each(Receipt::written);
    }

    /// A new connection of `account` takes `reply`, then again what the client has not acknowledged, then what follows. The client
    /// has handled `count`. Messages that were sent before, or came while there was no connection, tell when they came.
    ///
    /// # Errors
    /// It was not sent so many.
    pub fn resume(&self, count: u32, account: &BareJid, reply: &[u8]) -> Result<(), TooHigh> {
        let mut inner = self.lock();
        inner.adrift = false;
        let Inner { bytes, unacked, .. } = &mut *inner;
        if let Some(unacked) = unacked {
            unacked.acknowledge(count, bytes)?;
            unacked.resume(account, reply, bytes);
        }
        Self::wake(inner);
        Ok(())
    }

    /// Ends the session with `error` after what is queued. Later calls change nothing.
    pub fn end(&self, error: StreamError) {
        let mut inner = self.lock();
        if matches!(inner.end, End::Open) {
            inner.end = End::Ending(error);
            Self::wake(inner);
        }
    }

    /// Watches what is queued now on its way to the client. For what is kept elsewhere until then.
    pub fn watch(&self) -> Watch {
        let (receipt, watch) = watch::pair();
        let mut inner = self.lock();
        // Who watches must not wait for a client to become active.
        inner.release(self.limit);
        if inner.adrift && inner.unacked.is_some() {
            receipt.written();
        } else if !matches!(inner.end, End::Closed) {
            inner.receipts.push(receipt);
            // Bytes that have been taken are not yet written; the task says so when it comes for the receipt.
            Self::wake(inner);
        }
        watch
    }

    /// Whether stanzas are still accepted.
    pub fn is_open(&self) -> bool {
        matches!(self.lock().end, End::Open)
    }

    /// Takes all that is queued. Pending until something is; only one task may wait.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Taken> {
        let mut inner = self.lock();
        if std::mem::take(&mut inner.superseded) {
            return Poll::Ready(Taken {
                superseded: true,
                ..Taken::default()
            });
        }
        let end = match std::mem::take(&mut inner.end) {
            End::Open => None,
            End::Ending(error) => {
                inner.end = End::Closed;
                Some(error)
            }
            End::Closed => {
                inner.end = End::Closed;
                None
            }
        };
        let blocked = inner.unacked.as_ref().is_some_and(|u| u.is_full());
        if end.is_none() && !blocked {
            inner.refill(self.limit);
        }
        let nothing = inner.bytes.is_empty() && inner.receipts.is_empty();
        if end.is_none() && (nothing || blocked) {
            inner.wait(cx);
            return Poll::Pending;
        }
        if blocked {
            // What the client has not been sent goes on with the rest, to others.
            return Poll::Ready(Taken {
                end,
                ..Taken::default()
            });
        }
        let bytes = std::mem::take(&mut inner.bytes);
        Poll::Ready(Taken {
            acked: match &mut inner.unacked {
                Some(unacked) => unacked.take(&bytes),
                None => Acked::default(),
            },
            bytes,
            end,
            receipts: std::mem::take(&mut inner.receipts),
            superseded: false,
        })
    }

    /// Waits for the end alone and leaves the bytes where they are, within their bound: for a connection that can take no more
    /// at present. Ready when [`poll_take`](Self::poll_take) would give an end, or after it has. Only one task may wait.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        match inner.end {
            End::Open if inner.superseded => Poll::Ready(()),
            End::Open => {
                inner.wait(cx);
                Poll::Pending
            }
            End::Ending(_) | End::Closed => Poll::Ready(()),
        }
    }

    /// Accepts nothing more; what is queued is dropped. For the end of a connection.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.end = End::Closed;
        inner.waker = None;
        inner.receipts = Vec::new();
        inner.held = None;
        inner.lanes = None;
        inner.bytes = Vec::new();
    }

    /// Accepts nothing more, and gives what the client has not acknowledged, if it acknowledges. For the end of a session whose
    /// connection, if it has one, may still have to be told.
    pub(crate) fn finish(&self) -> Vec<Remaining> {
        let mut inner = self.lock();
        inner.release(self.limit);
        inner.held = None;
        inner.lanes = None;
        let Some(unacked) = inner.unacked.take() else {
            return Vec::new();
        };
        if matches!(inner.end, End::Open) {
            inner.end = End::Closed;
        }
        let receipts = std::mem::take(&mut inner.receipts);
        let bytes = std::mem::take(&mut inner.bytes);
        drop(inner);
        // Whoever gets it now has it.
        receipts.into_iter().for_each(Receipt::written);
        unacked.remaining(&bytes)
    }

    fn wake(mut inner: MutexGuard<'_, Inner>) {
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while appending leaves bytes that may be cut short; ending the process's other sessions would be worse.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Appends one whole stanza, or nothing, to the queue, within its bound; false if nothing more is taken.
    fn append(&mut self, limit: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.bytes.len();
        write(&mut self.bytes);
        let added = self.bytes.len() - before;
        if added == 0 {
            return true;
        }
        // What goes out a second time was within the bound the first time.
        let aside = self.unacked.as_ref().map_or(0, |kept| kept.aside());
        if before > aside && self.bytes.len() - aside > limit {
            // Design, "The outbox": a peer that does not read gets the RFC's error, never a bigger server process.
            if self.unacked.is_some() {
                // Who ends the session hands it on.
                self.bytes.truncate(before);
            }
            self.give_up();
            return false;
        }
        match &mut self.unacked {
            Some(unacked) => unacked.push(added),
            None => self.uncounted = self.uncounted.saturating_add(1),
        }
        true
    }

    /// The client does not take what is for it. What it may still acknowledge stays.
    fn give_up(&mut self) {
        if self.unacked.is_none() {
            self.bytes = Vec::new();
            self.receipts = Vec::new();
        }
        self.held = None;
        self.lanes = None;
        self.end = End::Ending(
            StreamError::new(StreamCondition::ResourceConstraint)
                .text("the client does not read what is sent to it"),
        );
    }

    /// Whether there is nothing for the connection to take.
    fn is_idle(&self) -> bool {
        self.bytes.is_empty() && self.lanes.is_none()
    }

    /// Takes one stanza, or nothing, for the queue or to be held back; false if nothing more is taken.
    fn put(&mut self, limit: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        match self.held {
            Some(_) => self.hold_back(limit, write),
            None => self.append(limit, write),
        }
    }

    /// The same behind a list from `from`, if one waits.
    fn put_behind(&mut self, limit: usize, from: &str, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(lanes) = self.lanes.as_mut().filter(|lanes| lanes.has(from)) else {
            return self.put(limit, write);
        };
        let mut stanza = Vec::new();
        write(&mut stanza);
        let taken = lanes.push(from, stanza) <= limit;
        if !taken {
            self.give_up();
        }
        taken
    }

    /// Puts more of what waits in lanes into the queue, if it is nearly empty.
    fn refill(&mut self, limit: usize) {
        let Some(mut lanes) = self.lanes.take() else {
            return;
        };
        while self.bytes.len() < SLICE && !lanes.is_empty() {
            if !self.append(limit, |out| lanes.write(out)) {
                return;
            }
        }
        if !lanes.is_empty() {
            self.lanes = Some(lanes);
        }
    }

    /// Holds back what may wait; all that waits goes into the queue behind which something must go out, or has no room.
    fn hold_back(&mut self, limit: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(held) = &mut self.held else {
            return self.append(limit, write);
        };
        let mut stanza = Vec::new();
        write(&mut stanza);
        if stanza.is_empty() {
            return true;
        }
        let full = held.admit(stanza) || self.bytes.len() + held.bytes() > limit;
        !full || self.release(limit)
    }

    /// Puts what waits into the queue; false if nothing more is taken.
    fn release(&mut self, limit: usize) -> bool {
        let waiting = match &mut self.held {
            Some(held) => held.drain(),
            None => return true,
        };
        waiting
            .into_iter()
            .all(|stanza| self.append(limit, |out| out.extend_from_slice(&stanza)))
    }

    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::Pin;

    fn take(outbox: &Outbox) -> Poll<Taken> {
        outbox.poll_take(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn bytes_come_out_in_order_and_at_once() {
        let outbox = Outbox::new(100);
        assert!(take(&outbox).is_pending());
        assert!(outbox.push(|b| b.extend_from_slice(b"<a/>")));
        assert!(outbox.push(|b| b.extend_from_slice(b"<b/>")));
        let Poll::Ready(taken) = take(&outbox) else {
            panic!("something was queued")
        };
        assert_eq!(taken.bytes, b"<a/><b/>");
        assert!(taken.end.is_none());
        assert!(take(&outbox).is_pending());
    }

    #[test]
    fn a_reader_that_does_not_read_is_ended_and_its_queue_freed() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(|b| b.extend_from_slice(&[b'x'; 8])));
        assert!(!outbox.push(|b| b.extend_from_slice(&[b'x'; 8])));
        assert!(!outbox.push(|b| b.push(b'x')));
        let Poll::Ready(taken) = take(&outbox) else {
            panic!("the end was queued")
        };
        assert!(taken.bytes.is_empty());
        assert_eq!(
            taken.end.map(|e| e.condition),
            Some(StreamCondition::ResourceConstraint)
        );
    }

    #[test]
    fn the_end_can_be_waited_for_while_bytes_stay_queued() {
        let outbox = Outbox::new(10);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.push(|b| b.push(b'x')));
        assert!(outbox.poll_end(&mut cx).is_pending());
        outbox.end(StreamError::new(StreamCondition::Conflict));
        assert!(outbox.poll_end(&mut cx).is_ready());
        let Poll::Ready(taken) = take(&outbox) else {
            panic!("something was queued")
        };
        assert_eq!(taken.bytes, b"x");
        assert!(taken.end.is_some());
    }

    #[test]
    fn one_stanza_may_exceed_the_bound_of_an_empty_queue() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(|b| b.extend_from_slice(&[b'x'; 50])));
    }

    /// Stanzas that begin with a capital letter go out at once.
    fn asleep(limit: usize) -> Outbox {
        let outbox = Outbox::new(limit);
        outbox.hold(HoldRule(|stanza| match stanza[0].is_ascii_uppercase() {
            true => Hold::Now,
            false => Hold::Later,
        }));
        outbox
    }

    fn taken(outbox: &Outbox) -> String {
        match take(outbox) {
            Poll::Ready(taken) => String::from_utf8(taken.bytes).unwrap(),
            Poll::Pending => String::new(),
        }
    }

    #[test]
    fn what_may_wait_wakes_nobody_and_goes_out_before_what_may_not() {
        let outbox = asleep(100);
        assert!(outbox.push(|b| b.extend_from_slice(b"a")));
        assert!(outbox.push(|b| b.extend_from_slice(b"b")));
        assert_eq!(taken(&outbox), "");
        assert!(outbox.push(|b| b.push(b'C')));
        assert!(outbox.push(|b| b.push(b'd')));
        assert_eq!(taken(&outbox), "abC");
        outbox.release();
        assert_eq!(taken(&outbox), "d");
        assert!(outbox.push(|b| b.push(b'e')));
        assert_eq!(taken(&outbox), "e");
    }

    #[test]
    fn who_watches_gets_what_waits_on_its_way() {
        let outbox = asleep(100);
        assert!(outbox.push(|b| b.push(b'a')));
        let mut watch = outbox.watch();
        assert!(poll(&mut watch).is_pending());
        let Poll::Ready(taken) = take(&outbox) else {
            panic!("something was queued")
        };
        assert_eq!(taken.bytes, b"a");
        taken.receipts.into_iter().for_each(Receipt::written);
        assert_eq!(poll(&mut watch), Poll::Ready(true));
    }

    #[test]
    fn what_waits_counts_in_the_bound() {
        let outbox = asleep(10);
        for _ in 0..10 {
            assert!(outbox.push(|b| b.push(b'a')));
        }
        assert_eq!(taken(&outbox), "");
        // One more, and all of it goes into the queue, which has room for no more.
        assert!(!outbox.push(|b| b.push(b'a')));
        let Poll::Ready(taken) = take(&outbox) else {
            panic!("the end was queued")
        };
        assert!(taken.bytes.is_empty() && taken.end.is_some());
    }

    fn account() -> BareJid {
        BareJid::parse("a@b").unwrap()
    }

    fn acknowledged(limit: usize) -> Outbox {
        let outbox = asleep(limit);
        let retention = Retention {
            bytes: 100,
            stanzas: 100,
        };
        let clock = Clock::Manual(0.into());
        outbox.enable(retention, Arc::new(clock), b"");
        outbox
    }

    #[test]
    fn what_waits_is_not_counted_before_it_goes_out() {
        let outbox = acknowledged(100);
        assert!(outbox.push(|b| b.push(b'a')));
        assert!(outbox.push(|b| b.push(b'b')));
        assert_eq!(taken(&outbox), "");
        assert!(outbox.check(1).is_err());
        outbox.release();
        assert_eq!(taken(&outbox), "ab");
        assert!(outbox.check(2).is_ok());
        assert!(outbox.check(3).is_err());
    }

    #[test]
    fn what_waits_when_the_connection_is_lost_is_there_when_the_session_goes_on() {
        let outbox = acknowledged(100);
        assert!(outbox.push(|b| b.push(b'A')));
        assert_eq!(taken(&outbox), "A");
        assert!(outbox.push(|b| b.push(b'b')));
        outbox.detach();
        // Active again: nothing waits any more.
        assert!(outbox.push(|b| b.push(b'c')));
        assert_eq!(outbox.unacknowledged(), [b"A", b"b", b"c"]);
        outbox.resume(1, &account(), b"").unwrap();
        assert_eq!(taken(&outbox), "bc");
    }

    #[test]
    fn who_watches_a_session_without_a_connection_does_not_wait_for_one() {
        let outbox = acknowledged(100);
        assert!(outbox.push(|b| b.push(b'A')));
        let mut before = outbox.watch();
        assert!(poll(&mut before).is_pending());
        outbox.detach();
        assert_eq!(poll(&mut before), Poll::Ready(true));
        assert!(outbox.push(|b| b.push(b'B')));
        assert_eq!(poll(&mut outbox.watch()), Poll::Ready(true));
        outbox.resume(0, &account(), b"").unwrap();
        assert!(poll(&mut outbox.watch()).is_pending());
    }

    #[test]
    fn what_waits_when_the_session_ends_goes_on_to_others() {
        let outbox = acknowledged(100);
        assert!(outbox.push(|b| b.push(b'A')));
        assert!(outbox.push(|b| b.push(b'b')));
        let left: Vec<_> = outbox.finish().into_iter().map(|r| r.bytes).collect();
        assert_eq!(left, [b"A".to_vec(), b"b".to_vec()]);
    }

    fn poll(watch: &mut Watch) -> Poll<bool> {
        Pin::new(watch).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_watch_resolves_when_its_bytes_have_been_written() {
        let outbox = Outbox::new(100);
        assert!(outbox.push(|b| b.push(b'x')));
        let mut watch = outbox.watch();
        assert!(poll(&mut watch).is_pending());
        let Poll::Ready(taken) = take(&outbox) else {
            panic!("something was queued")
        };
        assert!(poll(&mut watch).is_pending());
        taken.receipts.into_iter().for_each(Receipt::written);
        assert_eq!(poll(&mut watch), Poll::Ready(true));
    }

    #[test]
    fn a_watch_learns_that_its_bytes_are_lost() {
        let outbox = Outbox::new(100);
        let mut taken_and_lost = outbox.watch();
        drop(take(&outbox));
        assert_eq!(poll(&mut taken_and_lost), Poll::Ready(false));
        let mut never_taken = outbox.watch();
        outbox.close();
        assert_eq!(poll(&mut never_taken), Poll::Ready(false));
        assert_eq!(poll(&mut outbox.watch()), Poll::Ready(false));
    }

    #[test]
    fn an_end_comes_after_what_was_queued_and_only_once() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(|b| b.push(b'x')));
        outbox.end(StreamError::new(StreamCondition::Conflict));
        outbox.end(StreamError::new(StreamCondition::Reset));
        assert!(!outbox.push(|b| b.push(b'y')));
        let Poll::Ready(taken) = take(&outbox) else {
            panic!("something was queued")
        };
        assert_eq!(taken.bytes, b"x");
        assert_eq!(
            taken.end.map(|e| e.condition),
            Some(StreamCondition::Conflict)
        );
        assert!(take(&outbox).is_pending());
    }
}
