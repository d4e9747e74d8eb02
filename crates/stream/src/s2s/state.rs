//! The states of a stream between servers. Each is used up by what happens in it and gives the next.
//!
//! ```text
//!  receiving                                          initiating
//!
//!  Opening <──────────────────────────────┐           Opening <─────────────────────────────────┐
//!   │ header      (new header, §4.3.3)    │            │ header                                 │
//!   v                                     │            v                                        │
//!  Judging (the certificate, if TLS)      │           Features ── starttls ──> TlsWanted        │
//!   v                                     │            │                        │ proceed       │
//!  Open ── starttls ──> TlsHandshake ─────┤            │       TlsHandshake <───┘               │
//!   ├───── auth ──> (Challenged) ── success ┘          │        └─> Judging (the certificate) ──┤
//!   └───── dialback, stanzas                           ├── auth ──> Authenticating ── success ──┘
//!                                                      └──> Open: dialback, stanzas
//!
//!  any ── error, end of stream, end of connection ──> Closing ──> Closed
//!  Open ── our end, while the peer may still send ──> Leaving ─────^
//! ```
//!
//! Dialback and stanzas go on side by side in `Open`: which of the latter may come and go stands in the context, pair by pair.

use std::time::Instant;

use tercet_core::{Frame, StreamCondition, StreamError, ns};

use super::api::{Answer, Output, S2sEnding, S2sEvent};
use super::context::Context;
use super::management::Counting;
use super::{dialback, initiating, management, receiving, stanza};
use crate::question::Ticket;

/// Where a stream stands.
pub(super) enum State {
    /// A stream header is expected.
    Opening,
    /// Whether the peer's certificate is its own is being found out; what comes meanwhile is parked.
    Judging(Ticket),
    /// The peer's features are expected.
    Features,
    /// Its answer to `<starttls/>` is.
    TlsWanted,
    /// The TLS handshake may begin; nothing is read here until it is done.
    TlsHandshake,
    /// The peer's answer to our `<auth/>` is expected.
    Authenticating,
    /// Its answer to our empty challenge is.
    Challenged,
    /// Everything that may be agreed on beforehand is.
    Open,
    /// We have ended our side: what the peer sends before it ends its own is taken, until then.
    Leaving { until: Instant },
    /// Over; the peer has until then to close the connection.
    Closing { until: Instant },
    /// Nothing left to do.
    Closed,
}

/// What the deadlines of a stream are counted from.
pub(super) struct Timers {
    pub(super) opened: Instant,
    pub(super) last_received: Instant,
    pub(super) last_sent: Instant,
    pub(super) last_keep_alive: Instant,
}

impl Timers {
    /// When a stream that nobody uses ends.
    fn idle(&self, cx: &Context) -> Option<Instant> {
        Some(self.last_received.max(self.last_sent) + cx.idle_timeout()?)
    }
}

/// Ends a stream that has been opened, in good order.
pub(super) fn leave(cx: &mut Context, counting: &Counting) -> State {
    counting.conclude(cx);
    if matches!(counting, Counting::On(_)) || cx.inbound.is_empty() {
        // What the peer sends behind our last count it knows to be lost.
        return cx.end(S2sEnding::ByUs);
    }
    // RFC 6120 §4.4: the peer may go on until it ends its side; nobody else would tell it what came to nothing.
    cx.write_end();
    State::Leaving {
        until: cx.now + cx.config.close_timeout,
    }
}

impl State {
    /// Handles a frame.
    ///
    /// # Errors
    /// The stream's end.
    pub(super) fn on_frame(
        self,
        cx: &mut Context,
        counting: &mut Counting,
        frame: Frame,
    ) -> Result<State, StreamError> {
        let frame = match frame {
            // RFC 6120 §4.6.1: white space between elements means nothing.
            Frame::Whitespace => return Ok(self),
            // RFC 6120 §4.4: both sides are closed now.
            Frame::End if cx.has_ended() => return Ok(cx.hang_up(S2sEnding::ByUs)),
            // RFC 6120 §4.4: the other side closes its stream, so we close ours.
            Frame::End => {
                counting.conclude(cx);
                return Ok(cx.end(S2sEnding::ByPeer));
            }
            Frame::Element(element) if element.root().is("error", ns::STREAMS) => {
                let children = || element.root().children();
                let condition = children()
                    .find(|child| child.ns() == ns::STREAM_ERRORS && child.name() != "text")
                    .and_then(|child| StreamCondition::from_name(child.name()));
                let text = children()
                    .find(|child| child.is("text", ns::STREAM_ERRORS))
                    .map(|child| child.text().into());
                return Ok(cx.end(S2sEnding::PeerError(condition, text)));
            }
            frame => frame,
        };
        match (self, frame) {
            (State::Opening, Frame::Header(header)) if cx.is_receiving() => {
                receiving::on_header(cx, &header)
            }
            (State::Opening, Frame::Header(header)) => initiating::on_header(cx, &header),
            (state @ (State::Open | State::Leaving { .. }), Frame::Stanza(stanza)) => {
                counting.count();
                stanza::judge(cx, &stanza)?;
                cx.push(Output::Stanza(stanza));
                Ok(state)
            }
            // What it asks for can not be answered any more.
            (state @ State::Leaving { .. }, Frame::Element(_)) => Ok(state),
            // RFC 6120 §4.9.3.12: stanzas before the authentication.
            (_, Frame::Stanza(_)) => Err(StreamCondition::NotAuthorized.into()),
            // RFC 6120 §4.8.3, §4.9.3.10: the content of client streams is not that of these.
            (_, Frame::Element(element))
                if element.root().ns() == ns::CLIENT
                    && matches!(element.root().name(), "message" | "presence" | "iq") =>
            {
                Err(StreamCondition::InvalidNamespace.into())
            }
            (State::Features, Frame::Element(element)) => {
                initiating::on_features(cx, element.root())
            }
            (State::TlsWanted, Frame::Element(element)) => {
                initiating::on_tls_answer(cx, element.root())
            }
            (State::Authenticating, Frame::Element(element)) => {
                initiating::on_sasl_answer(cx, element.root())
            }
            (State::Challenged, Frame::Element(element)) => {
                receiving::on_response(cx, element.root())
            }
            (State::Open, Frame::Element(element)) => {
                let element = element.root();
                match element.ns() {
                    ns::DIALBACK => dialback::on_element(cx, element)?,
                    crate::sm::NS => management::on_element(cx, counting, element)?,
                    _ if cx.is_receiving() => return receiving::on_element(cx, element),
                    // RFC 6120 §4.9.3.24: an element that is neither a stanza nor negotiates anything.
                    _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
                }
                Ok(State::Open)
            }
            // RFC 6120 §4.9.3.24: the same in the other states.
            (_, Frame::Element(_)) => Err(StreamCondition::UnsupportedStanzaType.into()),
            // No other state reads frames, and headers come once.
            (_, _) => Err(StreamCondition::BadFormat.into()),
        }
    }

    /// Handles the answer to a question.
    ///
    /// # Errors
    /// The stream's end.
    pub(super) fn on_answer(
        self,
        cx: &mut Context,
        counting: &mut Counting,
        ticket: Ticket,
        answer: Answer,
    ) -> Result<State, StreamError> {
        match (self, &*counting) {
            (State::Judging(waiting), _) if waiting == ticket => match answer {
                Answer::Certificate(trusted) if cx.is_receiving() => {
                    Ok(receiving::on_judged(cx, trusted))
                }
                Answer::Certificate(trusted) => initiating::on_judged(cx, trusted),
                other => Err(super::context::wrong_answer(other)),
            },
            (State::Open, Counting::Resuming(waiting, previd)) if *waiting == ticket => {
                let previd = previd.clone();
                let ended = management::on_answer(cx, counting, &previd, answer)?;
                Ok(ended.unwrap_or(State::Open))
            }
            (State::Open, _) => {
                let ended = dialback::on_answer(cx, ticket, answer)?;
                Ok(ended.unwrap_or(State::Open))
            }
            (state, _) => Ok(state),
        }
    }

    /// When something is due in this state if nothing else happens.
    pub(super) fn deadline(&self, cx: &Context, timers: &Timers) -> Option<Instant> {
        match self {
            State::Open if cx.is_established() => {
                let keep_alive = cx
                    .config
                    .keep_alive_after
                    .map(|after| timers.last_received.max(timers.last_keep_alive) + after);
                let idle = timers.idle(cx);
                keep_alive.into_iter().chain(idle).min()
            }
            State::Leaving { until } | State::Closing { until } => Some(*until),
            State::Closed => None,
            _ => Some(timers.opened + cx.config.negotiation_timeout),
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The stream's end.
    pub(super) fn on_tick(
        self,
        cx: &mut Context,
        counting: &Counting,
        timers: &mut Timers,
    ) -> Result<State, StreamError> {
        let timeout = |text: &'static str| {
            Err(StreamError::new(StreamCondition::ConnectionTimeout).text(text))
        };
        match self {
            State::Open if cx.is_established() => {
                if timers.idle(cx).is_some_and(|idle| idle <= cx.now) {
                    return Ok(leave(cx, counting));
                }
                timers.last_keep_alive = cx.now;
                cx.event(S2sEvent::Silent);
                cx.write(|framer, out| framer.write_keep_alive(out));
                Ok(self)
            }
            State::Leaving { .. } => Ok(cx.hang_up(S2sEnding::ByUs)),
            State::Closing { .. } | State::Closed => Ok(State::Closed),
            // There is no stream inside TLS yet, and nothing may be written in the clear any more.
            State::TlsHandshake => Ok(cx.hang_up(S2sEnding::Lost)),
            State::Judging(_) if !cx.is_receiving() => Ok(cx.hang_up(S2sEnding::Lost)),
            _ => timeout("not authenticated in time"),
        }
    }
}
