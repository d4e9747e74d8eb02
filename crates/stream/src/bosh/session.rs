//! One session: the order of its requests, their answers, and its end.
//!
//! ```text
//!  request ──> window ──> (early, until those before it have come) ──> processed ──> held ──> answered ──> sent
//!                │                                                        │           ^          (kept for
//!          a number again                                              messages       │           repeats)
//!                └──> its answer once more                                v       elements
//!                                                                      the stream ────┘
//! ```

mod answers;
mod behind;
mod rules;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tercet_core::{OwnedElement, ns};

use super::answer::{self, Answer, Writer};
use super::keys::Keys;
use super::{Condition, Config, Head, Payloads};
use crate::messages::messages;
use answers::{Opening, condition};
use behind::Said;
use rules::Rules;

/// Bytes of elements in one answer, unless the first alone has more.
const ANSWER_BYTES: usize = 128 * 1024;
/// How often one request may be repeated.
const REPEATS: u32 = 16;

/// A request that can be answered.
pub trait Exchange {
    /// Whether nobody waits for the answer any more.
    fn is_gone(&self) -> bool;

    /// How its answer gets to the client.
    fn way(&self) -> Way;
}

/// The way of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On a connection with this number, where a request comes behind the answer to the one before (HTTP/1.1).
    InTurn(u64),
    /// On one that carries several at a time (HTTP/2).
    Together(u64),
    /// By others, as from a proxy.
    Unknown,
}

/// One request as it is given to its session.
#[derive(Clone, Debug)]
pub struct Request {
    /// What its wrapper says.
    pub head: Head,
    /// What is in it, or what is wrong with that.
    pub payloads: Result<Payloads, Condition>,
}

/// A session, from its first request to its end.
///
/// A driver gives it requests ([`request`](Self::request)), the stream's elements ([`send`](Self::send)) and the time
/// ([`tick`](Self::tick), when [`deadline`](Self::deadline) has come); gives the stream what
/// [`next_message`](Self::next_message) has; and then, in each turn, lets it [`settle`](Self::settle) and hands out what
/// [`next_answer`](Self::next_answer) gives. It says when one of those with elements [has left](Self::left).
#[derive(Debug)]
pub struct Session<X> {
    rules: Rules,
    keys: Keys,
    /// The number of the request that was processed last.
    last: u64,
    /// When that came, and whether it asked for nothing.
    arrived: Instant,
    empty: bool,
    /// It was one too many for its time.
    hasty: bool,
    /// Whether the last answer had nothing in it.
    answered_empty: bool,
    early: BTreeMap<u64, (Request, X)>,
    held: VecDeque<Held<X>>,
    sent: VecDeque<Sent>,
    answers: VecDeque<(X, Answer)>,
    /// The last answer that had elements, while another one could overtake it.
    said: Option<Said>,
    /// For the stream.
    inbox: VecDeque<Vec<u8>>,
    inbox_bytes: usize,
    /// From the stream.
    pending: VecDeque<Vec<u8>>,
    pending_bytes: usize,
    /// All bytes that ever were pending, and those of them that the client surely has.
    accepted: u64,
    acknowledged: u64,
    /// Somebody waits for the client to have so many.
    awaited: u64,
    /// What the first answer says, until it is given.
    opening: Option<Opening>,
    /// The end of the last time when a request was held.
    quiet_since: Instant,
    pause: Option<Duration>,
    end: End,
}

#[derive(Debug)]
struct Held<X> {
    rid: u64,
    exchange: X,
    since: Instant,
    key: Option<String>,
    pauses: bool,
    repeats: u32,
}

#[derive(Debug)]
struct Sent {
    rid: u64,
    key: Option<String>,
    answer: Answer,
    /// How much the client has with it.
    upto: u64,
    repeats: u32,
}

#[derive(Debug)]
enum End {
    Open,
    /// The stream is over; the client has to be told.
    Closing(Option<(Condition, Vec<u8>)>),
    Over,
}

impl<X: Exchange> Session<X> {
    /// Begins a session with its first request. `sid`: see [`session_name`](super::session_name).
    ///
    /// # Errors
    /// The exchange, and the answer that says why there is no session.
    pub fn open(
        config: &Config,
        sid: String,
        request: Request,
        exchange: X,
        now: Instant,
    ) -> Result<Session<X>, (X, Answer)> {
        let Request { head, payloads } = request;
        let agreed = payloads.and_then(|_| Rules::agree(config, &head));
        let mut keys = Keys::default();
        let first = keys.check(None, head.newkey.as_deref());
        let rules = match agreed.and_then(|rules| first.map(|()| rules)) {
            Ok(rules) => rules,
            Err(condition) => {
                let mut writer = Writer::new().terminate(Some(condition));
                if head.ver.is_none() {
                    writer = writer.legacy(Some(condition));
                }
                return Err((exchange, writer.finish()));
            }
        };
        let mut session = Session {
            rules,
            keys,
            last: head.rid,
            arrived: now,
            empty: false,
            hasty: false,
            answered_empty: false,
            early: BTreeMap::new(),
            held: VecDeque::new(),
            sent: VecDeque::new(),
            answers: VecDeque::new(),
            said: None,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            pending: VecDeque::new(),
            pending_bytes: 0,
            accepted: 0,
            acknowledged: 0,
            awaited: 0,
            opening: Some(Opening {
                sid,
                ver: head.ver,
                header: None,
            }),
            quiet_since: now,
            pause: None,
            end: End::Open,
        };
        session.open_stream(&head);
        session.hold(&head, exchange, now);
        Ok(session)
    }

    /// Takes a further request.
    pub fn request(&mut self, request: Request, exchange: X, now: Instant) {
        let rid = request.head.rid;
        if matches!(self.end, End::Over) {
            return self.refuse(exchange, Condition::ItemNotFound);
        }
        if rid <= self.last {
            return self.repeat(request, exchange, now);
        }
        let more = u64::from(request.head.is_one_more());
        // XEP-0124 §14.2: no number beyond the window.
        if rid > self.last + self.rules.requests + more {
            self.refuse(exchange, Condition::ItemNotFound);
            return self.fail(Condition::ItemNotFound);
        }
        if let Some((_, former)) = self.early.insert(rid, (request, exchange)) {
            self.answer_instead(former);
        }
        // XEP-0124 §14.2: what comes out of order is taken in order.
        for others in 0.. {
            let Some((request, exchange)) = self.early.remove(&(self.last + 1)) else {
                return;
            };
            if others > 0 {
                // Those before it would have been answered, had it come later.
                self.settle(now);
            }
            if let Err((exchange, condition)) = self.process(request, exchange, now) {
                self.refuse(exchange, condition);
                return self.fail(condition);
            }
        }
    }

    /// Takes elements of the stream for the client; see [`messages`](crate::messages()).
    pub fn send(&mut self, elements: &[u8]) {
        for message in messages(elements) {
            let mut element = Vec::with_capacity(message.len());
            message.write(&mut element);
            match message.name {
                b"<open" => self.opened(&element),
                b"<close" => {}
                b"<stream:error" => {
                    let condition = condition(&element, self.opening.is_some());
                    self.end = End::Closing(Some((condition, element)));
                }
                _ => {
                    self.pending_bytes += element.len();
                    self.accepted += element.len() as u64;
                    self.pending.push_back(element);
                }
            }
        }
    }

    /// The stream is over, with all that it had to say.
    pub fn close(&mut self) {
        if matches!(self.end, End::Open) {
            self.end = End::Closing(None);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        if matches!(self.end, End::Open) && self.idle_until().is_some_and(|until| until <= now) {
            // XEP-0124 §10: the client has gone; what it still asks finds no session.
            self.fail(Condition::ItemNotFound);
        }
        self.forget_said(now);
    }

    /// Answers what is to be answered now. To be called at the end of each turn.
    pub fn settle(&mut self, now: Instant) {
        while let Some(first) = self.held.front() {
            let alone = self.held.len() == 1;
            let gone = first.exchange.is_gone();
            // XEP-0124 §9: requests are answered in their order.
            let due = match &self.end {
                End::Over => return,
                // What there is to say goes to somebody who is there.
                _ if gone && !alone => true,
                End::Closing(_) => !gone,
                End::Open if !self.pending.is_empty() && !first.pauses && !gone => true,
                End::Open if self.is_behind() => false,
                End::Open => {
                    // XEP-0124 §10: all are answered before a pause. §9: no more are held, and none longer, than agreed.
                    // What the client has is known from its next requests, which come when those that are held are answered.
                    self.is_awaited() && !gone
                        || self.held.back().is_some_and(|last| last.pauses)
                        || self.held.len() > self.rules.hold
                        || first.since + self.rules.wait <= now
                }
            };
            if !due || !gone && self.overtakes_until(first).is_some_and(|until| now < until) {
                return;
            }
            self.answer(now, !gone);
        }
    }

    /// The next message for the stream, one element.
    pub fn next_message(&mut self) -> Option<Vec<u8>> {
        let message = self.inbox.pop_front()?;
        self.inbox_bytes -= message.len();
        Some(message)
    }

    /// The next exchange to be answered.
    pub fn next_answer(&mut self) -> Option<(X, Answer)> {
        self.answers.pop_front()
    }

    /// When to [`tick`](Self::tick) and [`settle`](Self::settle) if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.held.front();
        let due = match (&self.end, first) {
            (End::Open, None) => self.idle_until(),
            (End::Open, Some(first)) if !self.is_behind() => Some(first.since + self.rules.wait),
            _ => None,
        };
        let behind = first.and_then(|first| self.overtakes_until(first));
        due.into_iter().chain(behind).min()
    }

    /// Whether the session is over and the client, if it asked, has been told.
    pub fn is_over(&self) -> bool {
        matches!(self.end, End::Over)
    }

    /// Bytes of elements that wait for a request to answer.
    pub fn unsent(&self) -> usize {
        self.pending_bytes
    }

    /// Bytes of all elements that were ever taken by [`send`](Self::send).
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many of them the client surely has.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Somebody waits for the client to have all that was taken so far: it is not left waiting itself until that is known.
    pub fn await_acknowledgement(&mut self) {
        self.awaited = self.accepted;
    }

    fn is_awaited(&self) -> bool {
        self.awaited > self.acknowledged
    }

    /// The client's requests have more in them than the stream has taken yet.
    fn is_behind(&self) -> bool {
        self.inbox_bytes > ANSWER_BYTES
    }

    fn idle_until(&self) -> Option<Instant> {
        let time = self.pause.unwrap_or(self.rules.inactivity);
        self.held.is_empty().then(|| self.quiet_since + time)
    }

    /// The next request in order.
    fn process(
        &mut self,
        request: Request,
        exchange: X,
        now: Instant,
    ) -> Result<(), (X, Condition)> {
        let Request { head, payloads } = request;
        let judged = self.judge(&head, payloads, now);
        let payloads = match judged {
            Ok(payloads) => payloads,
            Err(condition) => return Err((exchange, condition)),
        };
        let empty = payloads.elements.is_empty()
            && head.pause.is_none()
            && !head.restart
            && !head.terminate;
        self.last = head.rid;
        self.arrived = now;
        self.empty = empty;
        self.pause = head.pause;
        self.acknowledge(&head);
        if matches!(self.end, End::Open) {
            if head.restart {
                // XEP-0206 §5: a new stream; whatever else is in the request is ignored.
                self.open_stream(&head);
            } else {
                self.inbox_bytes += payloads.len();
                self.inbox.extend(payloads.elements);
            }
            if head.terminate {
                // XEP-0124 §13: behind what the request has for the stream.
                self.push(answer::framing("close", &[]));
            }
        }
        self.hold(&head, exchange, now);
        Ok(())
    }

    fn hold(&mut self, head: &Head, exchange: X, now: Instant) {
        self.held.push_back(Held {
            rid: head.rid,
            exchange,
            since: now,
            key: head.key.clone(),
            pauses: head.pause.is_some(),
            repeats: 0,
        });
    }

    /// A message that opens the stream, for the first time or anew.
    fn open_stream(&mut self, head: &Head) {
        let version = head.version.as_deref().unwrap_or("1.0");
        let open = answer::framing(
            "open",
            &[
                ("to", head.to.as_deref()),
                ("from", head.from.as_deref()),
                ("version", Some(version)),
                ("xml:lang", head.lang.as_deref()),
            ],
        );
        self.push(open);
    }

    fn push(&mut self, message: Vec<u8>) {
        self.inbox_bytes += message.len();
        self.inbox.push_back(message);
    }

    /// The stream's own header.
    fn opened(&mut self, open: &[u8]) {
        if let Some(opening) = &mut self.opening
            && let Ok(open) = OwnedElement::parse(open, ns::FRAMING)
        {
            let text = |name| open.root().attr(name).unwrap_or_default().into_owned();
            opening.header = Some((text("id"), text("from")));
        }
    }
}
