//! A stream with a bound resource: judging the client's stanzas (RFC 6120 §8.1.2.1).

use tercet_core::{
    Element, FullJid, IqType, Stanza, StanzaError, StanzaKind, StreamCondition, StreamError,
};
use tercet_core::{error_reply, iq_result, ns};

use super::bind::is_request;
use super::context::Context;

/// XEP-0352 1.0.0.
const CSI: &str = "urn:xmpp:csi:0";

/// Whether the client says that somebody looks at it, or that nobody does; `None` if it says something else.
pub(super) fn is_active(element: Element<'_>) -> Option<bool> {
    match (element.ns(), element.name()) {
        (CSI, "active") => Some(true),
        (CSI, "inactive") => Some(false),
        _ => None,
    }
}

/// The stanza, if it is for others than the stream itself.
///
/// # Errors
/// `invalid-from` if it says it is from somebody else.
#[inline]
pub(super) fn on_stanza(
    cx: &mut Context,
    jid: &FullJid,
    stanza: Stanza,
) -> Result<Option<Stanza>, StreamError> {
    // RFC 6120 §8.1.2.1: from is the client's full JID, its bare JID, or absent.
    let own = match stanza.from() {
        Ok(None) => true,
        Ok(Some(from)) => from.as_str() == jid.as_str() || from.as_str() == jid.bare_str(),
        Err(_) => false,
    };
    if !own {
        return Err(StreamCondition::InvalidFrom.into());
    }
    if stanza.kind() == StanzaKind::Iq {
        return Ok(on_iq(cx, jid, stanza));
    }
    Ok(Some(stanza))
}

fn on_iq(cx: &mut Context, jid: &FullJid, stanza: Stanza) -> Option<Stanza> {
    // RFC 6120 §8.1.2.1: an answer comes from whom the request was addressed to.
    let from = stanza.to().ok().flatten().map(|to| to.as_str());
    match stanza.payload().map(|payload| payload.ns()) {
        // RFC 6120 §7.6.2.2: one resource a stream.
        Some(ns::BIND) if is_request(&stanza, "bind", ns::BIND, &jid.bare()) => {
            cx.reply(|out| {
                error_reply(&stanza, &StanzaError::not_allowed(), from, None, out);
            });
            None
        }
        // RFC 3921 §3: nothing is left to be done.
        Some(ns::SESSION) if is_request(&stanza, "session", ns::SESSION, &jid.bare()) => {
            cx.reply(|out| {
                if stanza.iq_type() == Some(IqType::Set) {
                    iq_result(&stanza, from, None, b"", out);
                } else {
                    error_reply(&stanza, &StanzaError::bad_request(), from, None, out);
                }
            });
            None
        }
        _ => Some(stanza),
    }
}
