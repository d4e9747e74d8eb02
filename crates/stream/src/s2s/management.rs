//! Stream management (XEP-0198 1.6.3) between servers: either side counts what it sends and what comes. Sessions and their
//! stanzas are the driver's; the stream counts what has come.

use tercet_core::{Element, StanzaError, StreamCondition, StreamError};

use super::api::{Answer, Manage, Output, Question};
use super::context::Context;
use super::state::State;
use crate::question::{NotResumed, Ticket};
use crate::sm::{self, Enable, NS, is_true};

/// Where counting stands.
#[derive(Default)]
pub(super) enum Counting {
    #[default]
    Off,
    /// We have asked for it; so many stanzas of the peer have come in the session that is to go on.
    Wanted(u32),
    /// The peer has asked for a session to go on.
    Resuming(Ticket, Box<str>),
    /// Stanzas of the peer since then, modulo 2^32.
    On(u32),
}

impl Counting {
    /// Another stanza has come.
    pub(super) fn count(&mut self) {
        if let Counting::On(received) = self {
            *received = received.wrapping_add(1);
        }
    }

    /// The stream ends in good order.
    pub(super) fn conclude(&self, cx: &mut Context) {
        if let Counting::On(received) = self {
            // XEP-0198 §4: the peer is told what has been handled.
            cx.push(Output::AckRequested(*received));
        }
    }
}

/// Has our stanzas acknowledged. False if that is not possible now.
pub(super) fn manage(cx: &mut Context, counting: &mut Counting, manage: Manage) -> bool {
    if !matches!(counting, Counting::Off) || !can_manage(cx) {
        return false;
    }
    *counting = Counting::Wanted(match &manage {
        Manage::Enable => 0,
        Manage::Resume { handled, .. } => *handled,
    });
    cx.write_xml(|w| match manage {
        Manage::Enable => {
            w.leaf("enable", &[("xmlns", NS), ("resume", "true")]);
        }
        Manage::Resume { previd, handled } => {
            // XEP-0198 §5: which session, and how many of its stanzas have come here.
            w.leaf(
                "resume",
                &[
                    ("xmlns", NS),
                    ("previd", &previd),
                    ("h", &handled.to_string()),
                ],
            );
        }
    });
    true
}

/// Whether the peer counts stanzas.
pub(super) fn can_manage(cx: &Context) -> bool {
    cx.config.management && !cx.is_receiving() && cx.offer.management && !cx.outbound.is_empty()
}

/// An element of stream management.
///
/// # Errors
/// The stream's end.
pub(super) fn on_element(
    cx: &mut Context,
    counting: &mut Counting,
    element: Element<'_>,
) -> Result<(), StreamError> {
    match (element.name(), &*counting) {
        ("enable" | "resume", _) if !cx.is_receiving() || !cx.config.management => {
            Err(StreamCondition::UnsupportedStanzaType.into())
        }
        // XEP-0198 §3: not before the authentication.
        ("enable" | "resume", _) if !cx.is_established() => {
            failed(cx, &StanzaError::unexpected_request(), None);
            Ok(())
        }
        ("enable", Counting::Off) => {
            *counting = Counting::On(0);
            cx.push(Output::Enable(Enable {
                resume: element.attr("resume").is_some_and(|v| is_true(&v)),
                max: element.attr("max").and_then(|max| max.trim().parse().ok()),
            }));
            Ok(())
        }
        // XEP-0198 §3: at most once.
        ("enable", _) => Err(StreamError::new(StreamCondition::PolicyViolation)
            .text("stream management is enabled already")),
        ("resume", Counting::Off) => resume(cx, counting, element),
        ("resume", _) => {
            failed(cx, &StanzaError::unexpected_request(), None);
            Ok(())
        }
        ("enabled", Counting::Wanted(_)) => {
            *counting = Counting::On(0);
            let resumable = element.attr("resume").is_some_and(|v| is_true(&v));
            let id = element.attr("id").filter(|_| resumable).map(Into::into);
            let max = element.attr("max").and_then(|max| max.trim().parse().ok());
            cx.push(Output::Enabled { id, max });
            Ok(())
        }
        ("resumed", Counting::Wanted(received)) => {
            *counting = Counting::On(*received);
            cx.push(Output::Resumed(sm::handled(element)?));
            Ok(())
        }
        ("failed", Counting::Wanted(_)) => {
            *counting = Counting::Off;
            cx.push(Output::NotManaged(sm::handled(element).ok()));
            Ok(())
        }
        ("r", Counting::On(received)) => {
            let received = *received;
            cx.push(Output::AckRequested(received));
            Ok(())
        }
        ("a", Counting::On(_)) => {
            cx.push(Output::Acked(sm::handled(element)?));
            Ok(())
        }
        // As on client streams: whoever counts without an agreement is not heard.
        ("r" | "a", _) => Ok(()),
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

fn resume(
    cx: &mut Context,
    counting: &mut Counting,
    element: Element<'_>,
) -> Result<(), StreamError> {
    let pair = cx.inbound.first().cloned();
    let (Some(pair), Some(previd), Ok(handled)) =
        (pair, element.attr("previd"), sm::handled(element))
    else {
        failed(cx, &StanzaError::bad_request(), None);
        return Ok(());
    };
    let previd: Box<str> = previd.into();
    let ticket = cx.ask(Question::Resume {
        pair,
        previd: previd.clone(),
        handled,
    });
    *counting = Counting::Resuming(ticket, previd);
    Ok(())
}

/// The session has been found, or not.
///
/// # Errors
/// The stream's end.
pub(super) fn on_answer(
    cx: &mut Context,
    counting: &mut Counting,
    previd: &str,
    answer: Answer,
) -> Result<Option<State>, StreamError> {
    *counting = match answer {
        Answer::Resumed(Ok(handled)) => {
            cx.write_xml(|w| {
                // XEP-0198 §5: which session, and how many of the peer's stanzas it has handled.
                w.leaf(
                    "resumed",
                    &[
                        ("xmlns", NS),
                        ("h", &handled.to_string()),
                        ("previd", previd),
                    ],
                );
            });
            Counting::On(handled)
        }
        Answer::Resumed(Err(NotResumed::NotFound { handled })) => {
            failed(cx, &StanzaError::item_not_found(), handled);
            Counting::Off
        }
        Answer::Resumed(Err(NotResumed::TooHigh { handled, sent })) => {
            return Err(sm::too_high(handled, sent));
        }
        other => return Err(super::context::wrong_answer(other)),
    };
    Ok(None)
}

fn failed(cx: &mut Context, error: &StanzaError, handled: Option<u32>) {
    cx.write_xml(|w| sm::failed(error, handled, w));
}
