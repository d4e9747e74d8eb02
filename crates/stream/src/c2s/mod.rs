//! Client-to-server streams: RFC 6120 §4 to §8 as a state machine without IO.
//!
//! Offered: STARTTLS and TLS from the first byte (XEP-0368), SASL with channel bindings announced
//! by XEP-0440 and protected by XEP-0474, resource binding, the old session request as a no-op,
//! in-band registration before a login (XEP-0077), limits announced by XEP-0478, acknowledgements
//! and resumption (XEP-0198).
//!
//! The states are in `state.rs`; what is negotiated in them is a file each.

mod api;
mod bind;
mod bound;
mod config;
mod context;
mod features;
mod login;
mod opening;
mod sasl2;
pub mod sm;
mod state;
mod upgrade;

use std::sync::Arc;
use std::time::Instant;

use tercet_core::{Frame, Stanza, StreamCondition, StreamError};

pub use api::{Ending, Input, Output, StreamEvent};
pub use config::{C2sConfig, HostConfig, TlsPolicy};

/// XEP-0386 1.1.0.
pub(crate) const BIND2: &str = "urn:xmpp:bind:0";

use crate::framing::{Framing, is_space};
use crate::question::{Answer, Ticket};
use crate::tls::TlsInfo;
use context::Context;
use state::{State, Timers};

/// One client's stream, from its first byte to its end.
///
/// A driver feeds it ([`handle`](Self::handle)), then does what [`poll_output`](Self::poll_output)
/// says until that is `None`, then waits for the next input or for
/// [`deadline`](Self::deadline). Between outputs and further inputs the order matters: drain first.
///
/// Once a resource is bound, [`receive`](Self::receive) is the short way for bytes: stanzas come
/// out of it one by one, straight from the driver's own buffer.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Instant;
/// use tercet_stream::{C2sConfig, C2sStream, Framing, HostConfig, Input, Output};
///
/// let config = Arc::new(C2sConfig::new(HostConfig::new("example.org"), []));
/// let mut stream = C2sStream::new(config, Framing::Tcp, Instant::now(), [7; 32]);
/// stream.handle(Instant::now(), Input::Bytes(b"<stream:stream xmlns='jabber:client' \
///     xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"));
/// let Some(Output::Write(features)) = stream.poll_output() else { panic!() };
/// assert!(String::from_utf8_lossy(&features).contains("<starttls"));
/// ```
pub struct C2sStream {
    cx: Context,
    /// `None` only while a state is being used up.
    state: Option<State>,
    timers: Timers,
    /// What came from the client while a question was out.
    parked: Vec<u8>,
}

impl C2sStream {
    /// A stream on a connection that was accepted at `now`. `seed` must be random and never used
    /// twice. Where TLS comes first, make the stream when the handshake is done, with the time of
    /// acceptance, and feed it [`Input::TlsUp`] before any byte.
    pub fn new(config: Arc<C2sConfig>, framing: Framing, now: Instant, seed: [u8; 32]) -> Self {
        Self {
            cx: Context::new(config, framing, now, seed),
            state: Some(State::Opening { account: None }),
            timers: Timers {
                opened: now,
                last_received: now,
                last_keep_alive: now,
            },
            parked: Vec::new(),
        }
    }

    /// Takes an input. `now` must not go back.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.cx.now = now;
        match input {
            Input::Bytes([]) if self.cx.framer.has_messages() => self.empty_message(now),
            Input::Bytes(mut bytes) => self.receive_all(now, &mut bytes),
            Input::TlsUp(tls) => self.tls_up(tls),
            Input::Answer(ticket, answer) => self.answer(ticket, answer),
            Input::PeerClosed => self.advance(|state, cx| {
                Ok(match state {
                    State::Closing { .. } | State::Closed => State::Closed,
                    _ => {
                        cx.hang_up(Ending::Lost);
                        State::Closed
                    }
                })
            }),
            Input::Tick => {
                if self.deadline().is_some_and(|deadline| deadline <= now) {
                    let Self {
                        cx, state, timers, ..
                    } = self;
                    advance(cx, state, |state, cx| state.on_tick(cx, timers));
                }
            }
            Input::Close(error) => self.advance(|state, cx| match state {
                State::Closing { .. } | State::Closed => Ok(state),
                // Nothing may be written in the clear any more.
                State::TlsHandshake => Ok(cx.hang_up(Ending::Error(error.condition))),
                _ => Err(error),
            }),
        }
    }

    /// Takes bytes from the front of `input` until a stanza is complete, and gives it: call again.
    /// `None`: all of `input` was taken, or what is left has to wait until a resource is bound or a
    /// session resumed. Drain [`poll_output`](Self::poll_output) then, at the
    /// latest, and in any case before the next call if there was output before this one.
    ///
    /// Gives the same stanzas as [`handle`](Self::handle) with [`Input::Bytes`] would put out. No
    /// byte of a stanza is copied but into the stanza itself.
    #[inline]
    pub fn receive(&mut self, now: Instant, input: &mut &[u8]) -> Option<Stanza> {
        if input.is_empty() {
            return None;
        }
        self.cx.now = now;
        self.timers.last_received = now;
        loop {
            let Some(State::Bound { jid, received }) = &mut self.state else {
                if self.step(input) {
                    continue;
                }
                return None;
            };
            let error = match self.cx.framer.next(input) {
                Ok(Some(Frame::Stanza(stanza))) => {
                    sm::count(received);
                    match bound::on_stanza(&mut self.cx, jid, stanza) {
                        Ok(Some(stanza)) => return Some(stanza),
                        Ok(None) => continue,
                        Err(error) => error,
                    }
                }
                Ok(None) => return None,
                Ok(Some(frame)) => {
                    self.advance(|state, cx| state.on_frame(cx, frame));
                    continue;
                }
                Err(error) => error.into(),
            };
            self.advance(|_, _| Err(error));
        }
    }

    /// The next thing to do, in order; `None`: nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.cx.poll_output()
    }

    /// When to feed [`Input::Tick`] if nothing else happens. It may move on with every input; a
    /// driver may also look again only when the last one it saw has come.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.as_ref()?.deadline(&self.cx, &self.timers)
    }

    /// Whether a question is out. Bytes fed meanwhile are kept, up to the limit for one stanza; a
    /// driver does better to leave them with the socket.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, Some(State::Waiting(..)))
    }

    /// Whether a resource is bound.
    pub fn is_bound(&self) -> bool {
        matches!(self.state, Some(State::Bound { .. }))
    }

    /// The bytes that one element from the client may have now; a WebSocket message too.
    pub fn message_limit(&self) -> usize {
        self.cx.framer.limits().stanza_bytes as usize
    }

    /// How many stanzas of the client have come since it has had them counted (XEP-0198), modulo
    /// 2^32; `None` if it has not. Counts what was given out, and what needed no more than a
    /// [`Output::Reply`].
    pub fn received(&self) -> Option<u32> {
        match self.state {
            Some(State::Bound { received, .. }) => received,
            _ => None,
        }
    }

    /// Whether everything is over: the client has closed the connection after the end of the
    /// stream, or had its time to.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, Some(State::Closed))
    }

    /// The host that the client's stream header named; `None` before one did.
    pub fn host(&self) -> Option<&str> {
        self.cx.host.as_ref().map(|host| host.domain.as_str())
    }

    /// The `xml:lang` of the client's stream, which holds for stanzas that have none of their own
    /// (RFC 6120 §8.1.5).
    pub fn lang(&self) -> Option<&str> {
        self.cx.lang.as_deref()
    }

    fn receive_all(&mut self, now: Instant, input: &mut &[u8]) {
        while let Some(stanza) = self.receive(now, input) {
            self.cx.push(Output::Stanza(stanza));
        }
        if !input.is_empty() {
            self.park(input);
        }
    }

    /// One frame in a state other than bound. Whether there is more to do.
    fn step(&mut self, input: &mut &[u8]) -> bool {
        match &self.state {
            // What comes behind can wait where it is.
            Some(State::Waiting(_, pending)) if pending.is_login_done() => return false,
            Some(State::Waiting(..)) => {
                self.park(input);
                return false;
            }
            // Between <proceed/> and the end of the handshake nothing in the clear means anything;
            // and after its end, nothing on a stream does.
            Some(State::TlsHandshake | State::Closing { .. } | State::Closed) | None => {
                *input = &[];
                return false;
            }
            _ => {}
        }
        match self.cx.framer.next(input) {
            Ok(None) => return false,
            Ok(Some(frame)) => {
                self.cx.pipelined = !is_space(input);
                self.advance(|state, cx| state.on_frame(cx, frame));
            }
            Err(error) => self.advance(|_, _| Err(error.into())),
        }
        true
    }

    fn park(&mut self, input: &mut &[u8]) {
        if input.is_empty() {
            return;
        }
        let limit = self.message_limit();
        if self.parked.len() + input.len() > limit {
            self.parked = Vec::new();
            self.advance(|_, _| {
                Err(StreamError::new(StreamCondition::PolicyViolation)
                    .text("too much sent before the answer"))
            });
        } else {
            if self.cx.framer.has_messages() {
                // The limit, a 32-bit number, is above.
                let length = u32::try_from(input.len()).unwrap_or(u32::MAX);
                self.parked.extend_from_slice(&length.to_ne_bytes());
            }
            self.parked.extend_from_slice(input);
        }
        *input = &[];
    }

    /// What came while the question was out, as it came.
    fn receive_parked(&mut self, parked: &[u8]) {
        let now = self.cx.now;
        if !self.cx.framer.has_messages() {
            return self.receive_all(now, &mut &*parked);
        }
        let mut rest = parked;
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = u32::from_ne_bytes(*length) as usize;
            let (mut message, behind) = behind.split_at(length.min(behind.len()));
            rest = behind;
            self.receive_all(now, &mut message);
        }
    }

    /// A message with nothing in it is not an element.
    fn empty_message(&mut self, now: Instant) {
        self.timers.last_received = now;
        self.advance(|state, _| match state {
            State::Closing { .. } | State::Closed => Ok(state),
            _ => Err(StreamCondition::BadFormat.into()),
        });
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let pending = match self.state.take() {
            Some(State::Waiting(waiting, pending)) if waiting == ticket => pending,
            state => {
                self.state = state;
                return;
            }
        };
        let parked = std::mem::take(&mut self.parked);
        self.cx.pipelined = !is_space(&parked);
        // Placeholder for `advance`, which hands it over at once.
        self.state = Some(State::Closed);
        self.advance(|_, cx| State::on_answer(*pending, cx, answer));
        // RFC 6120 §4.3.3: white space before a new header belongs to the stream before.
        if !matches!(self.state, Some(State::Opening { .. })) {
            self.receive_parked(&parked);
        }
    }

    fn tls_up(&mut self, tls: TlsInfo) {
        self.advance(|state, cx| match state {
            State::TlsHandshake | State::Opening { account: None } if cx.tls.is_none() => {
                cx.tls = Some(Box::new(tls));
                cx.restart(false);
                Ok(State::Opening { account: None })
            }
            _ => Ok(state),
        });
    }

    /// Replaces the state by what `next` makes of it; an error ends the stream.
    fn advance(&mut self, next: impl FnOnce(State, &mut Context) -> Result<State, StreamError>) {
        advance(&mut self.cx, &mut self.state, next);
    }
}

fn advance(
    cx: &mut Context,
    state: &mut Option<State>,
    next: impl FnOnce(State, &mut Context) -> Result<State, StreamError>,
) {
    let Some(current) = state.take() else {
        return;
    };
    *state = Some(match next(current, cx) {
        Ok(next) => next,
        Err(error) => cx.fail(&error),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_stream_is_small_and_moves_between_threads() {
        fn is_send<T: Send>() {}
        is_send::<C2sStream>();
        let size = size_of::<C2sStream>();
        assert!(size <= 384, "{size} bytes");
    }
}
