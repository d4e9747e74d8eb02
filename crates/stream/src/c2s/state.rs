//! The states of a client stream. Each is used up by what happens in it and gives the next.
//!
//! ```text
//!  ┌─ Opening <──────────────────────────────┬──────────────────────┐ (new header, RFC 6120 §4.3.3)
//!  │  header                                 │                      │
//!  ├─────> Negotiating ── starttls ──> TlsHandshake                 │
//!  │         │   ^  ^                                               │
//!  │        auth │  └─ failure ─┐                                    │
//!  │         │ register         │                                    │
//!  │         v   v              │                                    │
//!  │        Authenticating <─> Waiting ────── success ───────────────┘
//!  │
//!  └─────> Unbound <─ bind, resume ─> Waiting ──> Bound
//!             ^                         ^
//!             └─ success of XEP-0388 ───┘ (from the Waiting above, without a new header)
//!
//!  any ── error, end of stream, end of connection ──> Closing ──> Closed
//! ```

use std::time::Instant;

use tercet_core::{BareJid, Frame, FullJid, Stanza, StreamCondition, StreamError, ns};

use super::api::{Ending, StreamEvent};
use super::context::Context;
use super::{bind, bound, login, opening, sasl2, sm, upgrade};
use crate::question::{Answer, Ticket};
use crate::sasl::Exchange;

/// Where a stream stands.
pub(super) enum State {
    /// A stream header is expected: the first, or the one after TLS or a login.
    Opening { account: Option<BareJid> },
    /// The features before a login were sent.
    Negotiating,
    /// The client may begin its TLS handshake; nothing is read here until it is done.
    TlsHandshake,
    /// A challenge was sent.
    Authenticating(Box<Attempt>),
    /// The client has proved its password, and is asked for more keys.
    Upgrading(Box<upgrade::Upgrade>),
    /// A question is out; what comes from the client meanwhile is parked.
    Waiting(Ticket, Box<Pending>),
    /// The client has logged in, but has no resource yet.
    Unbound { account: BareJid },
    /// The stream carries stanzas.
    Bound {
        jid: FullJid,
        /// Stanzas of the client, since it has them counted.
        received: Option<u32>,
    },
    /// Over; the client has until then to close the connection.
    Closing { until: Instant },
    /// Nothing left to do.
    Closed,
}

/// A running attempt to log in.
pub(super) struct Attempt {
    pub(super) about: login::Try,
    pub(super) exchange: Exchange,
}

/// What goes on with the answer to a question.
pub(super) enum Pending {
    Login(Attempt),
    /// What is done with a login by XEP-0388 before the client hears of it.
    Finishing(sasl2::Finishing),
    Upgrading(upgrade::Upgrade),
    Register,
    Bind {
        account: BareJid,
        request: Stanza,
    },
    Resume {
        account: BareJid,
        previd: String,
    },
}

impl Pending {
    /// Whether what the client sends behind is that of a client that has logged in, whatever the
    /// answer.
    pub(super) fn is_login_done(&self) -> bool {
        matches!(self, Pending::Bind { .. } | Pending::Resume { .. })
    }
}

impl State {
    /// Handles a frame.
    ///
    /// # Errors
    /// The stream's end.
    pub(super) fn on_frame(self, cx: &mut Context, frame: Frame) -> Result<State, StreamError> {
        let frame = match frame {
            // RFC 6120 §4.6.1: white space between elements means nothing.
            Frame::Whitespace => return Ok(self),
            // RFC 6120 §4.4: the other side closes its stream, so we close ours.
            Frame::End => {
                if let State::Bound { received, .. } = self {
                    sm::before_end(cx, received);
                }
                return Ok(cx.end(Ending::ByPeer));
            }
            Frame::Element(element) if element.root().is("error", ns::STREAMS) => {
                let condition = element
                    .root()
                    .children()
                    .find(|child| child.ns() == ns::STREAM_ERRORS && child.name() != "text")
                    .and_then(|child| StreamCondition::from_name(child.name()));
                return Ok(cx.end(Ending::PeerError(condition)));
            }
            frame => frame,
        };
        match (self, frame) {
            (State::Opening { account }, Frame::Header(header)) => {
                opening::on_header(cx, account, &header)
            }
            (State::Negotiating, Frame::Element(element)) => login::on_element(cx, &element),
            (State::Negotiating, Frame::Stanza(stanza)) => login::on_stanza(cx, stanza),
            (State::Authenticating(attempt), Frame::Element(element)) => {
                attempt.on_element(cx, element.root())
            }
            (State::Upgrading(upgrade), Frame::Element(element)) => {
                upgrade.on_element(cx, element.root())
            }
            // RFC 6120 §4.9.3.12: stanzas before the login.
            (State::Authenticating(_) | State::Upgrading(_), Frame::Stanza(_)) => {
                Err(StreamCondition::NotAuthorized.into())
            }
            (State::Unbound { account }, Frame::Stanza(stanza)) => {
                bind::on_stanza(cx, account, stanza)
            }
            (State::Bound { jid, mut received }, Frame::Stanza(stanza)) => {
                sm::count(&mut received);
                if let Some(stanza) = bound::on_stanza(cx, &jid, stanza)? {
                    cx.push(super::Output::Stanza(stanza));
                }
                Ok(State::Bound { jid, received })
            }
            (State::Bound { jid, mut received }, Frame::Element(element)) => {
                match bound::is_active(element.root()) {
                    Some(active) => cx.push(super::Output::Active(active)),
                    None => sm::on_element(cx, &mut received, element.root())?,
                }
                Ok(State::Bound { jid, received })
            }
            (State::Unbound { account }, Frame::Element(element)) => {
                sm::on_element_unbound(cx, account, element.root())
            }
            // A WebSocket's first message; on TCP the parser sees to it.
            (State::Opening { .. }, Frame::Element(_)) => Err(StreamCondition::BadFormat.into()),
            // RFC 6120 §4.9.3.24: an element that is neither a stanza nor negotiates anything.
            (_, Frame::Element(_)) => Err(StreamCondition::UnsupportedStanzaType.into()),
            // No other state reads frames, and headers come once.
            (_, _) => Err(StreamCondition::BadFormat.into()),
        }
    }

    /// Handles the answer to the question that is out.
    ///
    /// # Errors
    /// The stream's end.
    pub(super) fn on_answer(
        pending: Pending,
        cx: &mut Context,
        answer: Answer,
    ) -> Result<State, StreamError> {
        match pending {
            Pending::Login(attempt) => attempt.on_answer(cx, answer),
            Pending::Finishing(finishing) => finishing.on_answer(cx, answer),
            Pending::Upgrading(upgrade) => upgrade.on_answer(cx, answer),
            Pending::Register => login::on_registered(cx, answer),
            Pending::Bind { account, request } => bind::on_answer(cx, account, &request, answer),
            Pending::Resume { account, previd } => sm::on_answer(cx, account, &previd, answer),
        }
    }

    /// When something is due in this state if nothing else happens.
    pub(super) fn deadline(&self, cx: &Context, timers: &Timers) -> Option<Instant> {
        match self {
            State::Bound { .. } if cx.framer.is_watched() => None,
            State::Bound { .. } => {
                let keep_alive = cx
                    .config
                    .keep_alive_after
                    .map(|after| timers.last_received.max(timers.last_keep_alive) + after);
                let idle = cx.config.idle_timeout.map(|t| timers.last_received + t);
                keep_alive.into_iter().chain(idle).min()
            }
            State::Closing { until } => Some(*until),
            State::Closed => None,
            _ if cx.registrations > 0 => {
                let timeout = cx.config.login_timeout.max(cx.config.registering_timeout);
                Some(timers.opened + timeout)
            }
            _ => Some(timers.opened + cx.config.login_timeout),
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The stream's end.
    pub(super) fn on_tick(
        self,
        cx: &mut Context,
        timers: &mut Timers,
    ) -> Result<State, StreamError> {
        let timeout = |text: &'static str| {
            Err(StreamError::new(StreamCondition::ConnectionTimeout).text(text))
        };
        match self {
            State::Bound { .. } => {
                let idle = cx.config.idle_timeout.map(|t| timers.last_received + t);
                if idle.is_some_and(|idle| idle <= cx.now) {
                    return timeout("silent for too long");
                }
                timers.last_keep_alive = cx.now;
                cx.event(StreamEvent::Silent);
                cx.write(|framer, out| framer.write_keep_alive(out));
                Ok(self)
            }
            State::Closing { .. } | State::Closed => Ok(State::Closed),
            // There is no stream yet inside TLS, and nothing may be written in the clear any more.
            State::TlsHandshake => Ok(cx.hang_up(Ending::Lost)),
            _ => timeout("not logged in in time"),
        }
    }
}

/// What the deadlines of a stream are counted from.
pub(super) struct Timers {
    pub(super) opened: Instant,
    pub(super) last_received: Instant,
    pub(super) last_keep_alive: Instant,
}
