//! What a connection carries: pairs of domains, and sessions that were on others or go on over others.

use std::io;
use std::time::Instant;

use tercet_stream::s2s::{Answer, DomainPair, Input, Manage, S2sEnding};
use tercet_stream::sm::{self, Enable};
use tercet_stream::{NotResumed, Ticket};
use tokio::sync::oneshot;

use super::super::desk::Order;
use super::super::outbox::{End, Left, Outbox};
use super::super::sessions::{KEPT, Sessions};
use super::Link;
use crate::reach::queue::TooHigh;

/// What was found out for a stream's question.
pub(super) enum Found {
    /// Whether a key or a certificate is right.
    Answer(Ticket, Answer),
    /// A session of this name, whose peer has handled so many stanzas, if there is one.
    Session(Ticket, Box<str>, u32, Option<Left>),
}

impl Link {
    /// Brings the stanzas of this pair. `counted`: the peer counts them, under this name if the session can go on. False if
    /// another stream does that.
    pub(in crate::listen::s2s) fn carry(
        &mut self,
        pair: &DomainPair,
        counted: Option<Option<Box<str>>>,
    ) -> bool {
        let (s2s, desk) = (&self.s2s, &self.desk);
        let new = || Outbox::new(s2s.clone(), desk.clone(), counted);
        let may = self.outbox.get_or_insert_with(new).carry(pair);
        if may {
            self.enter(pair);
        }
        may
    }

    /// Goes on with what another stream has left.
    pub(in crate::listen::s2s) fn resume(&mut self, left: Left) {
        let pairs = left.pairs.clone();
        let (s2s, desk) = (self.s2s.clone(), self.desk.clone());
        self.outbox = Some(Outbox::resumed(s2s, desk, left, &mut self.out));
        for pair in pairs {
            self.enter(&pair);
        }
    }

    /// Others may have this pair, or further ones, carried here.
    fn enter(&mut self, pair: &DomainPair) {
        // Certificates prove each pair on a stream of its own, at once. Some servers take no keys beside them.
        if self.outward.is_some() && self.stream.is_logged_in() {
            return;
        }
        // XEP-0220 §2.5: other domains of the same machine only where a refusal does not end the stream.
        let shared = self.outward.is_some() && self.stream.takes_targets();
        let address = shared.then_some(self.peer);
        self.s2s.carriers.enter(&pair.remote, address, &self.desk);
        if !self.entered.contains(&pair.remote) {
            self.entered.push(pair.remote.clone());
        }
    }

    /// The stream goes both ways (XEP-0288), and may bring the stanzas of this pair to the peer that has opened it.
    pub(super) fn both_ways(&mut self, pair: &DomainPair) {
        if !self.carry(pair, None) {
            self.enter(pair);
        }
    }

    /// The stream has ended like this. What is returned can go on over another one, if this server has opened it; what the
    /// peer may go on with is kept for it.
    pub(in crate::listen::s2s) fn leave(mut self, ending: &S2sEnding) -> Option<Left> {
        let end = match ending {
            S2sEnding::Lost if !self.stopped => End::Broken,
            S2sEnding::Lost | S2sEnding::ByUs => End::Ours,
            S2sEnding::Error(_) if self.stopped => End::Ours,
            _ => End::Theirs,
        };
        for remote in &self.entered {
            self.s2s.carriers.leave(remote, self.peer, &self.desk);
        }
        let received = self.stream.received().unwrap_or(0);
        let two_way = self.stream.is_two_way();
        if self.outward.is_some() {
            return self.outbox.take()?.end(end, received, two_way);
        }
        let left = match self.outbox.take() {
            Some(outbox) => outbox.end(end, received, false),
            None => None,
        };
        let id = self.session.take()?;
        if end == End::Broken {
            let left = left.unwrap_or_else(|| Left::nothing(self.desk.clone(), received));
            Sessions::wait(&self.s2s, id, left);
        } else {
            self.s2s.sessions.end(&id);
        }
        None
    }

    /// Asks the peer to count our stanzas: those that `left` has, or from now on. False if it does not count.
    pub(in crate::listen::s2s) fn manage(&mut self, left: Option<&Left>) -> bool {
        if !self.stream.can_manage() {
            return false;
        }
        let session = left.map(|left| &left.session);
        let manage = match session.and_then(|s| s.id.clone().zip(Some(s.received))) {
            Some((previd, handled)) => Manage::Resume { previd, handled },
            None => Manage::Enable,
        };
        self.stream.handle(Instant::now(), Input::Manage(manage));
        true
    }

    /// Ends the stream: the peer has acknowledged what it was not sent.
    pub(in crate::listen::s2s) fn refuse(&mut self, error: &TooHigh) {
        tracing::warn!(peer = %self.peer, %error, "a server acknowledges what it was not sent");
        // XEP-0198 §4: not more than was sent.
        let error = sm::too_high(error.acknowledged, error.sent);
        self.stream.handle(Instant::now(), Input::Close(error));
    }

    /// Does what it is asked for.
    pub(super) fn obey(&mut self) {
        for order in self.desk.orders() {
            match order {
                // Nothing is written any more.
                Order::Carry(..) | Order::Answered(_) if self.stream.has_ended() => {}
                Order::Carry(pair, tell) => self.consider(pair, tell),
                Order::LetGo(tell) => {
                    self.letting_go = Some(tell);
                    let error = io::Error::from(io::ErrorKind::ConnectionAborted);
                    self.lose(&error.into());
                }
                Order::Answered(id) => {
                    if let Some(outbox) = &mut self.outbox {
                        outbox.answered(&id, &mut self.out);
                    }
                }
            }
        }
    }

    /// Another pair is to be carried.
    fn consider(&mut self, pair: DomainPair, tell: oneshot::Sender<bool>) {
        if self.stopped {
            return;
        }
        if self.stream.may_send(&pair) {
            // Who asked may have gone.
            let _ = tell.send(self.carry(&pair, None));
        } else if self.outward.is_some() && !self.stream.is_logged_in() && self.proves_enough(&pair)
        {
            self.wanted.push((pair.clone(), tell));
            self.stream
                .handle(Instant::now(), Input::Authenticate(pair));
        }
    }

    /// Whether the certificate of the peer is enough for stanzas of this pair.
    fn proves_enough(&self, pair: &DomainPair) -> bool {
        let config = self.s2s.streams.load();
        let host = config.host(&pair.local);
        let certificate = self.certificate.as_ref();
        !host.is_none_or(|host| host.require_certificate)
            || certificate.is_some_and(|certificate| certificate.proves(&pair.remote).is_ok())
    }

    /// The peer has said whether it takes the stanzas of a pair that others want carried.
    pub(super) fn answer_wanted(&mut self, pair: &DomainPair, authorized: bool) -> bool {
        let Some(at) = self.wanted.iter().position(|(other, _)| other == pair) else {
            return false;
        };
        let (_, tell) = self.wanted.swap_remove(at);
        let carried = authorized && self.carry(pair, None);
        // Who asked may have gone.
        let _ = tell.send(carried);
        true
    }

    /// A question has its answer.
    pub(super) fn on_found(&mut self, found: Found) {
        let (ticket, answer) = match found {
            Found::Answer(ticket, answer) => (ticket, answer),
            Found::Session(ticket, _, _, None) => {
                let none = NotResumed::NotFound { handled: None };
                (ticket, Answer::Resumed(Err(none)))
            }
            Found::Session(ticket, id, handled, Some(mut left)) => {
                let received = left.session.received;
                let may = left.session.sent.ack(handled);
                let answer = match may {
                    Ok(()) => Ok(received),
                    Err(TooHigh { acknowledged, sent }) => Err(NotResumed::TooHigh {
                        handled: acknowledged,
                        sent,
                    }),
                };
                match (&answer, &self.first) {
                    (Ok(_), Some(pair)) => {
                        self.s2s.sessions.open(&id, pair, &self.desk);
                        left.session.id = Some(id.clone());
                        self.session = Some(id);
                        self.taken_over = Some(left);
                    }
                    _ => left.settle(&self.s2s, None, None),
                }
                (ticket, Answer::Resumed(answer))
            }
        };
        self.stream
            .handle(Instant::now(), Input::Answer(ticket, answer));
    }

    /// The peer, which has opened the stream, wants its stanzas counted.
    pub(super) fn enable(&mut self, enable: Enable) {
        let id: Box<str> = format!("{:032x}", u128::from_le_bytes(self.s2s.server.random())).into();
        let resumable = enable.resume
            && self
                .first
                .as_ref()
                .is_some_and(|pair| self.s2s.sessions.open(&id, pair, &self.desk));
        let named = resumable.then_some((&*id, KEPT.as_secs()));
        self.out.extend_from_slice(&sm::enabled(named));
        self.session = resumable.then_some(id);
        if let Some(outbox) = &mut self.outbox {
            outbox.counted(self.session.clone());
        }
    }
}
