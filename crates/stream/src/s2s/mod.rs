//! Streams between servers: RFC 6120 §4 to §6 as a state machine without IO, for both ends.
//!
//! STARTTLS and TLS from the first byte (XEP-0368); SASL EXTERNAL for peers whose certificate proves their domain
//! (XEP-0178 1.2); dialback for the others (XEP-0220 1.1.1) with keys by XEP-0185 1.0, with errors, and for several pairs of
//! domains on one stream; streams that carry stanzas in both directions (XEP-0288 1.0.1); limits (XEP-0478 0.2.0);
//! acknowledgements and sessions that outlive a connection (XEP-0198).
//!
//! A stanza comes out only if its two domains are a pair that the peer has been authenticated for on this very stream.
//!
//! Left out: streams of servers that know no version 1.0; keys that nobody verified but a certificate of another domain.
//!
//! The states are in `state.rs`; what is negotiated in them is a file each.

mod api;
mod config;
mod context;
mod dialback;
mod initiating;
mod keys;
mod management;
mod receiving;
mod stanza;
mod state;

use std::sync::Arc;
use std::time::Instant;

use tercet_core::{Frame, Stanza, StreamCondition, StreamError};

pub use api::{
    Answer, DomainPair, Goal, Input, KeyClaim, Manage, Output, Proof, Question, Refusal, S2sEnding,
    S2sEvent, Verdict,
};
pub use config::{S2sConfig, S2sHost};
pub use keys::DialbackSecret;

use context::{Context, Role, Wish};
use management::Counting;
use state::{State, Timers, leave};

/// XEP-0220 1.1.1 §2.4.1.
const DIALBACK_FEATURE: &str = "urn:xmpp:features:dialback";
/// XEP-0288 1.0.1.
const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";
/// XEP-0288 1.0.1.
const BIDI: &str = "urn:xmpp:bidi";

/// One stream with another server, from its first byte to its end.
///
/// A driver feeds it ([`handle`](Self::handle)), then does what [`poll_output`](Self::poll_output) says until that is
/// `None`, then waits for the next input or for [`deadline`](Self::deadline). Between outputs and further inputs the order
/// matters: drain first.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Instant;
/// use tercet_stream::s2s::{DialbackSecret, DomainPair, Goal, Output, S2sConfig, S2sHost, S2sStream};
///
/// let secret = DialbackSecret::new(b"not to be guessed");
/// let config = Arc::new(S2sConfig::new([S2sHost::new("a.example")], secret));
/// let pair = DomainPair::new("a.example", "b.example");
/// let mut stream = S2sStream::initiating(config, pair, Goal::Stanzas, false, Instant::now(), [7; 32]);
/// let Some(Output::Write(header)) = stream.poll_output() else { panic!() };
/// assert!(String::from_utf8_lossy(&header).contains(" from='a.example' to='b.example'"));
/// ```
pub struct S2sStream {
    cx: Context,
    /// `None` only while a state is being used up.
    state: Option<State>,
    timers: Timers,
    counting: Counting,
    /// What came from the peer while a question was out that everything waits for.
    parked: Vec<u8>,
}

impl S2sStream {
    /// A stream on a connection that a peer made at `now`. `seed` must be random and never used twice. Where TLS comes
    /// first, make the stream when the handshake is done, with the time of acceptance, and feed it [`Input::TlsUp`] before
    /// any byte.
    pub fn receiving(config: Arc<S2sConfig>, now: Instant, seed: [u8; 32]) -> Self {
        Self::new(
            Context::new(config, Role::Receiving, now, seed),
            State::Opening,
        )
    }

    /// A stream on a connection that was made to the server of `pair.remote` at `now`. `direct`: its TLS handshake is under
    /// way, nothing happens before [`Input::TlsUp`]. With [`Goal::Stanzas`], the pair is authenticated without being asked.
    pub fn initiating(
        config: Arc<S2sConfig>,
        pair: DomainPair,
        goal: Goal,
        direct: bool,
        now: Instant,
        seed: [u8; 32],
    ) -> Self {
        let mut cx = Context::new(config, Role::Initiating(goal), now, seed);
        cx.pair = Some(pair);
        let state = match direct {
            true => State::TlsHandshake,
            false => initiating::open(&mut cx),
        };
        Self::new(cx, state)
    }

    fn new(cx: Context, state: State) -> Self {
        let opened = cx.now;
        Self {
            cx,
            state: Some(state),
            timers: Timers {
                opened,
                last_received: opened,
                last_sent: opened,
                last_keep_alive: opened,
            },
            counting: Counting::Off,
            parked: Vec::new(),
        }
    }

    /// Takes an input. `now` must not go back.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.cx.now = now;
        match input {
            Input::Bytes(mut bytes) => self.receive_all(now, &mut bytes),
            Input::TlsUp => self.tls_up(),
            Input::Answer(ticket, answer) => self.answer(ticket, answer),
            Input::Authenticate(pair) => self.wish(Wish::Authenticate(pair)),
            Input::Verify(claim) => self.wish(Wish::Verify(claim)),
            Input::Manage(manage) => {
                let open = matches!(self.state, Some(State::Open));
                if !open || !management::manage(&mut self.cx, &mut self.counting, manage) {
                    self.cx.push(Output::NotManaged(None));
                }
            }
            Input::PeerClosed => self.advance(|state, cx, _| {
                Ok(match state {
                    State::Closing { .. } | State::Closed => State::Closed,
                    State::Leaving { .. } => {
                        cx.hang_up(S2sEnding::ByUs);
                        State::Closed
                    }
                    _ => {
                        cx.hang_up(S2sEnding::Lost);
                        State::Closed
                    }
                })
            }),
            Input::Tick => {
                if self.deadline().is_some_and(|deadline| deadline <= now) {
                    let Self {
                        cx,
                        state,
                        timers,
                        counting,
                        ..
                    } = self;
                    advance(cx, state, counting, |state, cx, counting| {
                        state.on_tick(cx, counting, timers)
                    });
                }
            }
            Input::Close(error) => self.advance(|state, cx, counting| match state {
                State::Closing { .. } | State::Closed => Ok(state),
                State::Leaving { .. } => Ok(cx.hang_up(S2sEnding::ByUs)),
                // Nothing may be written in the clear any more.
                State::TlsHandshake => Ok(cx.hang_up(S2sEnding::Error(error.condition))),
                _ => {
                    counting.conclude(cx);
                    Err(error)
                }
            }),
            Input::End => self.advance(|state, cx, counting| {
                Ok(match state {
                    State::Leaving { .. } | State::Closing { .. } | State::Closed => state,
                    State::Open => leave(cx, counting),
                    _ if cx.has_begun() => cx.end(S2sEnding::ByUs),
                    _ => cx.hang_up(S2sEnding::ByUs),
                })
            }),
        }
    }

    /// Takes bytes from the front of `input` until a stanza is complete, and gives it: call again. `None`: all of `input`
    /// was taken, or what is left has to wait for an answer. Drain [`poll_output`](Self::poll_output) then, at the latest,
    /// and in any case before the next call if there was output before this one.
    ///
    /// Gives the same stanzas as [`handle`](Self::handle) with [`Input::Bytes`] would put out.
    pub fn receive(&mut self, now: Instant, input: &mut &[u8]) -> Option<Stanza> {
        if input.is_empty() {
            return None;
        }
        self.cx.now = now;
        self.timers.last_received = now;
        loop {
            match &self.state {
                _ if self.is_waiting() => return None,
                // Between <proceed/> and the end of the handshake nothing in the clear means anything; and after its end,
                // nothing on a stream does.
                Some(State::TlsHandshake | State::Closing { .. } | State::Closed) | None => {
                    *input = &[];
                    return None;
                }
                _ => {}
            }
            let error = match self.cx.framer.next(input) {
                Ok(None) => return None,
                Ok(Some(Frame::Stanza(stanza)))
                    if matches!(self.state, Some(State::Open | State::Leaving { .. })) =>
                {
                    self.counting.count();
                    match stanza::judge(&self.cx, &stanza) {
                        Ok(()) => return Some(stanza),
                        Err(condition) => condition.into(),
                    }
                }
                Ok(Some(frame)) => {
                    self.cx.pipelined = !crate::framing::is_space(input);
                    self.advance(|state, cx, counting| state.on_frame(cx, counting, frame));
                    continue;
                }
                Err(error) => error.into(),
            };
            self.advance(|_, _, _| Err(error));
        }
    }

    /// The next thing to do, in order; `None`: nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.cx.poll_output()
    }

    /// When to feed [`Input::Tick`] if nothing else happens. It may move on with every input; a driver may also look again
    /// only when the last one it saw has come.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.as_ref()?.deadline(&self.cx, &self.timers)
    }

    /// Whether a question is out that everything waits for. Bytes fed meanwhile are kept, up to the limit for one stanza; a
    /// driver does better to leave them with the socket.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, Some(State::Judging(_)))
            || matches!(self.counting, Counting::Resuming(..))
    }

    /// Whether everything is over: the peer has closed the connection after the end of the stream, or had its time to.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, Some(State::Closed))
    }

    /// Whether our side of the stream has ended: nothing more may be written, though stanzas of the peer may still come.
    pub fn has_ended(&self) -> bool {
        self.cx.has_ended() || matches!(self.state, Some(State::Closing { .. } | State::Closed))
    }

    /// Whether our stanzas can be acknowledged ([`Input::Manage`]).
    pub fn can_manage(&self) -> bool {
        matches!(self.state, Some(State::Open))
            && matches!(self.counting, Counting::Off)
            && management::can_manage(&self.cx)
    }

    /// Stanzas were written at `now`: the stream is in use.
    pub fn wrote(&mut self, now: Instant) {
        self.timers.last_sent = now;
    }

    /// Whether stanzas go both ways (XEP-0288).
    pub fn is_two_way(&self) -> bool {
        self.cx.bidi
    }

    /// Whether SASL has proved one side to the other.
    pub fn is_logged_in(&self) -> bool {
        self.cx.logged_in
    }

    /// Whether the peer may be asked to take stanzas for other domains of its machine, too ([`Input::Authenticate`]).
    pub fn takes_targets(&self) -> bool {
        self.cx.offer.errors
    }

    /// How many stanzas of the peer have come since they are counted (XEP-0198), modulo 2^32; `None` if they are not.
    pub fn received(&self) -> Option<u32> {
        match self.counting {
            Counting::On(received) => Some(received),
            _ => None,
        }
    }

    /// The domains of the stream's header; on a receiving stream `None` before there was one.
    pub fn pair(&self) -> Option<&DomainPair> {
        self.cx.pair.as_ref()
    }

    /// The bytes that one stanza for the peer may have, if it has said so (XEP-0478).
    pub fn peer_limit(&self) -> Option<u32> {
        self.cx.offer.max_bytes
    }

    /// Whether stanzas of this pair may be written.
    pub fn may_send(&self, pair: &DomainPair) -> bool {
        matches!(self.state, Some(State::Open)) && self.cx.outbound.contains(pair)
    }

    fn receive_all(&mut self, now: Instant, input: &mut &[u8]) {
        while let Some(stanza) = self.receive(now, input) {
            self.cx.push(Output::Stanza(stanza));
        }
        if !input.is_empty() {
            self.park(input);
        }
    }

    fn park(&mut self, input: &mut &[u8]) {
        let limit = self.cx.framer.limits().stanza_bytes as usize;
        if self.parked.len() + input.len() > limit {
            self.parked = Vec::new();
            self.advance(|_, _, _| {
                Err(StreamError::new(StreamCondition::PolicyViolation)
                    .text("too much sent before the answer"))
            });
        } else {
            self.parked.extend_from_slice(input);
        }
        *input = &[];
    }

    fn answer(&mut self, ticket: crate::question::Ticket, answer: Answer) {
        self.advance(|state, cx, counting| state.on_answer(cx, counting, ticket, answer));
        if !self.is_waiting() && !self.parked.is_empty() {
            let parked = std::mem::take(&mut self.parked);
            let now = self.cx.now;
            self.receive_all(now, &mut &*parked);
        }
    }

    fn tls_up(&mut self) {
        self.advance(|state, cx, _| match state {
            State::TlsHandshake if !cx.is_receiving() => initiating::on_tls_up(cx),
            State::TlsHandshake | State::Opening if cx.is_receiving() && !cx.tls => {
                cx.tls = true;
                cx.restart();
                Ok(State::Opening)
            }
            _ => Ok(state),
        });
    }

    fn wish(&mut self, wish: Wish) {
        match &self.state {
            Some(State::Open) => {
                self.cx.wishes.push(wish);
                dialback::carry_out(&mut self.cx);
            }
            Some(State::Leaving { .. } | State::Closing { .. } | State::Closed) | None => {}
            _ => self.cx.wishes.push(wish),
        }
    }

    /// Replaces the state by what `next` makes of it; an error ends the stream.
    fn advance(
        &mut self,
        next: impl FnOnce(State, &mut Context, &mut Counting) -> Result<State, StreamError>,
    ) {
        advance(&mut self.cx, &mut self.state, &mut self.counting, next);
    }
}

fn advance(
    cx: &mut Context,
    state: &mut Option<State>,
    counting: &mut Counting,
    next: impl FnOnce(State, &mut Context, &mut Counting) -> Result<State, StreamError>,
) {
    let Some(current) = state.take() else {
        return;
    };
    *state = Some(match next(current, cx, counting) {
        Ok(next) => next,
        Err(error) => cx.fail(&error),
    });
}

fn spoke_too_early(text: &'static str) -> StreamError {
    StreamError::new(StreamCondition::PolicyViolation).text(text)
}
