//! The outbox: one bounded byte queue per session, and one wake-up.
//!
//! Whoever routes to a session appends serialised bytes under a short lock; the session's connection task takes all of them at
//! once and writes them with as few system calls as it can. A thousand stanzas cost one wake-up. A reader that stops reading
//! fills its own outbox and is then closed with `resource-constraint`; nobody else notices.
//!
//! An outbox that is idle holds no buffer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tercet_core::{StreamCondition, StreamError};

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
#[derive(Debug)]
pub struct Taken {
    /// Everything queued since the last call, in order; may be empty when `end` is given.
    pub bytes: Vec<u8>,
    /// The stream shall end with this error after the bytes. Given once.
    pub end: Option<StreamError>,
    /// Who waits for these bytes to be written. Call [`Receipt::written`] on each once the system has taken all of them;
    /// dropping one says that they were not.
    pub receipts: Vec<Receipt>,
}

/// Tells a [`Watch`] what became of the bytes that were queued when it began.
#[derive(Debug)]
pub struct Receipt(Arc<Mutex<Fate>>);

/// Resolves once what was queued when it began has been written, or will never be: true if it has.
#[derive(Debug)]
pub struct Watch(Arc<Mutex<Fate>>);

#[derive(Debug, Default)]
enum Fate {
    #[default]
    Open,
    Awaited(Waker),
    Settled(bool),
}

impl Receipt {
    /// The bytes have been given to the operating system.
    pub fn written(self) {
        self.settle(true);
    }

    fn settle(&self, written: bool) {
        let mut fate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*fate, Fate::Settled(_)) {
            return;
        }
        if let Fate::Awaited(waker) = std::mem::replace(&mut *fate, Fate::Settled(written)) {
            drop(fate);
            waker.wake();
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl Future for Watch {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut fate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Fate::Settled(written) = *fate {
            return Poll::Ready(written);
        }
        *fate = Fate::Awaited(cx.waker().clone());
        Poll::Pending
    }
}

impl Outbox {
    /// An empty outbox that holds at most `limit` bytes (one stanza may exceed it when the queue is empty).
    pub fn new(limit: usize) -> Self {
        Outbox {
            limit,
            inner: Mutex::default(),
        }
    }

    /// Lets `write` append one or more whole stanzas. Returns false when nothing more can be delivered here: the session is
    /// ending, or this stanza would exceed the bound, in which case the session is ended with `resource-constraint`.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut inner = self.lock();
        if !matches!(inner.end, End::Open) {
            return false;
        }
        let before = inner.bytes.len();
        write(&mut inner.bytes);
        if before > 0 && inner.bytes.len() > self.limit {
            // Design, "The outbox": a peer that does not read gets the RFC's error, never a bigger server process.
            inner.bytes = Vec::new();
            inner.receipts = Vec::new();
            inner.end = End::Ending(
                StreamError::new(StreamCondition::ResourceConstraint)
                    .text("the client does not read what is sent to it"),
            );
            Self::wake(inner);
            return false;
        }
        if before == 0 {
            Self::wake(inner);
        }
        true
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
        let fate = Arc::default();
        let receipt = Receipt(Arc::clone(&fate));
        let mut inner = self.lock();
        if !matches!(inner.end, End::Closed) {
            inner.receipts.push(receipt);
            // Bytes that have been taken are not yet written; the task says so when it comes for the receipt.
            Self::wake(inner);
        }
        Watch(fate)
    }

    /// Whether stanzas are still accepted.
    pub fn is_open(&self) -> bool {
        matches!(self.lock().end, End::Open)
    }

    /// Takes all that is queued. Pending until something is; only one task may wait.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Taken> {
        let mut inner = self.lock();
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
        if inner.bytes.is_empty() && end.is_none() && inner.receipts.is_empty() {
            inner.wait(cx);
            return Poll::Pending;
        }
        Poll::Ready(Taken {
            bytes: std::mem::take(&mut inner.bytes),
            end,
            receipts: std::mem::take(&mut inner.receipts),
        })
    }

    /// Waits for the end alone and leaves the bytes where they are, within their bound: for a connection that can take no more
    /// at present. Ready when [`poll_take`](Self::poll_take) would give an end, or after it has. Only one task may wait.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        match inner.end {
            End::Open => {
                inner.wait(cx);
                Poll::Pending
            }
            End::Ending(_) | End::Closed => Poll::Ready(()),
        }
    }

    /// Takes what is queued now without waiting, and accepts nothing more. For the end of a connection.
    pub fn close(&self) -> Vec<u8> {
        let mut inner = self.lock();
        inner.end = End::Closed;
        inner.waker = None;
        inner.receipts = Vec::new();
        std::mem::take(&mut inner.bytes)
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
