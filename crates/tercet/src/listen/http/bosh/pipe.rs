//! The carrier of a session's stream: requests come in by a mailbox, answers go out by what came with them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::http::StatusCode;
use tercet_core::Stanza;
use tercet_server::Receipt;
use tercet_stream::C2sStream;
use tercet_stream::bosh::{Answer, Exchange, Request, Session, Way};
use tokio::sync::{mpsc, oneshot};

use super::table::Place;
use crate::listen::wire::{Data, Incoming, Scratch};

/// How a request is answered: in the language of BOSH, or by a status of HTTP.
pub(in crate::listen) struct Reply {
    answer: oneshot::Sender<Result<Given, StatusCode>>,
    way: Way,
}

/// An answer on its way: the bytes of its body. They are dropped once the system has them, or nobody wants them.
pub(super) struct Given {
    pub(super) answer: Answer,
    /// For who waits for that; never sent.
    left: Option<oneshot::Sender<()>>,
}

impl Reply {
    /// `way`: that of the answer.
    pub(super) fn new(way: Way) -> (Reply, oneshot::Receiver<Result<Given, StatusCode>>) {
        let (answer, given) = oneshot::channel();
        (Reply { answer, way }, given)
    }

    /// Answers, if somebody still waits for it.
    pub(super) fn give(self, answer: Result<Given, StatusCode>) {
        let _ = self.answer.send(answer);
    }

    /// Answers a request that belongs to no session.
    pub(super) fn end(self, answer: Answer) {
        self.give(Ok(answer.into()));
    }
}

impl Exchange for Reply {
    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }

    fn way(&self) -> Way {
        self.way
    }
}

impl From<Answer> for Given {
    fn from(answer: Answer) -> Given {
        Given { answer, left: None }
    }
}

impl AsRef<[u8]> for Given {
    fn as_ref(&self) -> &[u8] {
        &self.answer.body
    }
}

/// One session, as its task sees it.
pub(in crate::listen) struct Pipe {
    session: Session<Reply>,
    mailbox: mpsc::Receiver<(Request, Reply)>,
    /// Who waits for the client to have so many bytes.
    receipts: VecDeque<(u64, Receipt)>,
    /// Ends when the last answer that others must not overtake has left.
    leaving: Option<oneshot::Receiver<()>>,
    place: Place,
}

impl Pipe {
    pub(super) fn new(
        session: Session<Reply>,
        mailbox: mpsc::Receiver<(Request, Reply)>,
        place: Place,
    ) -> Pipe {
        Pipe {
            session,
            mailbox,
            receipts: VecDeque::new(),
            leaving: None,
            place,
        }
    }

    /// Takes the requests that have come, and does what is due.
    pub(in crate::listen) fn turn(&mut self, cx: &mut Context<'_>, now: Instant) {
        while let Poll::Ready(Some((request, reply))) = self.mailbox.poll_recv(cx) {
            self.session.request(request, reply, now);
        }
        self.poll_leaving(cx, now);
        self.session.tick(now);
    }

    fn poll_leaving(&mut self, cx: &mut Context<'_>, now: Instant) {
        if let Some(leaving) = &mut self.leaving
            && Pin::new(leaving).poll(cx).is_ready()
        {
            self.leaving = None;
            self.session.left(now);
        }
    }

    pub(in crate::listen) fn deadline(&self) -> Option<Instant> {
        self.session.deadline()
    }

    pub(in crate::listen) fn unsent(&self) -> usize {
        self.session.unsent()
    }

    /// The next message, or the end. [`turn`](Self::turn) has seen to it that the task is woken for more.
    pub(in crate::listen) fn poll_read(&mut self) -> Poll<Incoming> {
        let mut incoming = Incoming::default();
        match self.session.next_message() {
            Some(message) => incoming.data = Data::Decrypted(message),
            None if self.session.is_over() => incoming.end = true,
            None => return Poll::Pending,
        }
        Poll::Ready(incoming)
    }

    /// Feeds `stream` one message.
    pub(in crate::listen) fn receive(
        &mut self,
        bytes: &mut &[u8],
        stream: &mut C2sStream,
        now: Instant,
    ) -> Option<Stanza> {
        let stanza = stream.receive(now, bytes);
        let facts = &self.place.facts;
        facts.limit.store(stream.message_limit(), Ordering::Relaxed);
        facts.bound.store(stream.is_bound(), Ordering::Relaxed);
        stanza
    }

    /// Takes what is in `scratch.out`, and answers what is to be answered now. `end`: it is the last.
    pub(in crate::listen) fn send(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        end: bool,
        now: Instant,
    ) {
        self.session.send(&scratch.out);
        scratch.out.clear();
        scratch.out.shrink_to(Scratch::KEPT);
        if end {
            self.session.close();
        }
        let before = self.session.unsent();
        self.answer(cx, now);
        if before > 0 && self.session.unsent() == 0 {
            // What had to wait for this can go on.
            cx.waker().wake_by_ref();
        }
    }

    fn answer(&mut self, cx: &mut Context<'_>, now: Instant) {
        self.session.settle(now);
        while let Some((reply, answer)) = self.session.next_answer() {
            let mut given = Given::from(answer);
            if given.answer.is_followed {
                let (left, leaving) = oneshot::channel();
                given.left = Some(left);
                self.leaving = Some(leaving);
            }
            // Where nobody waits any more the client asks again.
            reply.give(Ok(given));
        }
        self.poll_leaving(cx, now);
    }

    /// Takes those who wait for what was sent so far; tells those whose bytes the client has.
    pub(in crate::listen) fn settle(
        &mut self,
        cx: &mut Context<'_>,
        receipts: &mut Vec<Receipt>,
        now: Instant,
    ) {
        let more = !receipts.is_empty();
        let accepted = self.session.accepted();
        let new = receipts.drain(..).map(|receipt| (accepted, receipt));
        self.receipts.extend(new);
        while let Some((upto, _)) = self.receipts.front()
            && *upto <= self.session.acknowledged()
        {
            if let Some((_, receipt)) = self.receipts.pop_front() {
                receipt.written();
            }
        }
        if more && !self.receipts.is_empty() {
            self.session.await_acknowledgement();
            self.answer(cx, now);
        }
    }

    /// What was sent is kept elsewhere.
    pub(in crate::listen) fn vouch(&mut self) {
        for (_, receipt) in self.receipts.drain(..) {
            receipt.written();
        }
    }

    /// Whether the client has been told of the end.
    pub(in crate::listen) fn is_over(&self) -> bool {
        self.session.is_over()
    }
}
