//! Stream management (XEP-0198 1.6.3): counting stanzas, acknowledging them, going on with a session.
//!
//! The stream counts what comes from the client, from `<enable/>` on. What goes to the client is
//! counted where it waits, in the session's outbox, from `<enabled/>` on; acknowledgements are due
//! when what was counted is safe. Both are the driver's, to whom requests are given out in their
//! order.
//!
//! Real clients: whoever sends acknowledgements or requests without having enabled them is not
//! heard, and loses nothing by it.

use tercet_core::{BareJid, Element, StanzaError, StreamCondition, StreamError, XmlWriter};

use super::api::Output;
use super::context::Context;
use super::state::{Pending, State};
use crate::question::{Answer, NotResumed, Question, Resumed};

pub use crate::sm::{Enable, NS, ack, enabled, request, too_high};
pub(super) use crate::sm::{count, handled, is_true};

/// An element from a client that has bound a resource.
pub(super) fn on_element(
    cx: &mut Context,
    received: &mut Option<u32>,
    element: Element<'_>,
) -> Result<(), StreamError> {
    if element.ns() != NS {
        // RFC 6120 §4.9.3.24: neither a stanza nor part of a negotiation.
        return Err(StreamCondition::UnsupportedStanzaType.into());
    }
    match element.name() {
        "enable" if received.is_some() => {
            // XEP-0198 §3: a client asks at most once.
            Err(StreamError::new(StreamCondition::PolicyViolation)
                .text("stream management is enabled already"))
        }
        "enable" => {
            *received = Some(0);
            cx.push(Output::Enable(wish(element)));
            Ok(())
        }
        "r" => {
            if let Some(received) = *received {
                cx.push(Output::AckRequested(received));
            }
            Ok(())
        }
        "a" => {
            if received.is_some() {
                cx.push(Output::Acked(handled(element)?));
            }
            Ok(())
        }
        // XEP-0198 §5: in the place of binding a resource.
        "resume" => {
            failed(cx, &StanzaError::unexpected_request(), None);
            Ok(())
        }
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

/// An element from a client that has logged in and not bound.
pub(super) fn on_element_unbound(
    cx: &mut Context,
    account: BareJid,
    element: Element<'_>,
) -> Result<State, StreamError> {
    match (element.ns(), element.name()) {
        (NS, "resume") => {
            let (Some(previd), Ok(handled)) = (element.attr("previd"), handled(element)) else {
                failed(cx, &StanzaError::bad_request(), None);
                return Ok(State::Unbound { account });
            };
            let previd = previd.into_owned();
            let ticket = cx.ask(Question::Resume {
                account: account.clone(),
                previd: previd.clone(),
                handled,
            });
            let pending = Pending::Resume { account, previd };
            Ok(State::Waiting(ticket, Box::new(pending)))
        }
        // XEP-0198 §3: not before a resource is bound.
        (NS, "enable") => {
            too_early(cx);
            Ok(State::Unbound { account })
        }
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

/// XEP-0198 §3: nothing of this before a login, and no session without a resource.
pub(super) fn too_early(cx: &mut Context) {
    failed(cx, &StanzaError::unexpected_request(), None);
}

/// The client ends its stream. XEP-0198 §4: it is told what has been handled.
pub(super) fn before_end(cx: &mut Context, received: Option<u32>) {
    if let Some(received) = received {
        cx.push(Output::AckRequested(received));
    }
}

/// The session has been found, or not.
pub(super) fn on_answer(
    cx: &mut Context,
    account: BareJid,
    previd: &str,
    answer: Answer,
) -> Result<State, StreamError> {
    match answer {
        Answer::Resumed(Ok(Resumed { jid, handled })) => {
            cx.push(Output::Resumed(jid.clone(), resumed(previd, handled)));
            // Of use to negotiations only.
            cx.tls = None;
            Ok(State::Bound {
                jid,
                received: Some(handled),
            })
        }
        // XEP-0198 §5: the client may bind a resource now; it has not done anything wrong.
        Answer::Resumed(Err(NotResumed::NotFound { handled })) => {
            cx.bindings += 1;
            failed(cx, &StanzaError::item_not_found(), handled);
            if cx.bindings >= cx.config.max_attempts {
                return Err(super::context::too_many_attempts());
            }
            Ok(State::Unbound { account })
        }
        Answer::Resumed(Err(NotResumed::TooHigh { handled, sent })) => Err(too_high(handled, sent)),
        _ => Err(StreamCondition::InternalServerError.into()),
    }
}

/// What a client asks for with `<enable/>`.
pub(super) fn wish(element: Element<'_>) -> Enable {
    Enable {
        resume: element.attr("resume").is_some_and(|v| is_true(&v)),
        max: element.attr("max").and_then(|max| max.trim().parse().ok()),
    }
}

/// XEP-0198 §5: which session goes on, and how many of the client's stanzas it has handled.
pub(super) fn resumed(previd: &str, handled: u32) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.leaf(
        "resumed",
        &[
            ("xmlns", NS),
            ("h", &handled.to_string()),
            ("previd", previd),
        ],
    );
    w.finish()
}

/// Why a session does not go on.
pub(super) fn not_resumed(error: &StanzaError, handled: Option<u32>) -> Vec<u8> {
    let mut w = XmlWriter::new();
    crate::sm::failed(error, handled, &mut w);
    w.finish()
}

fn failed(cx: &mut Context, error: &StanzaError, handled: Option<u32>) {
    cx.write_xml(|w| crate::sm::failed(error, handled, w));
}
