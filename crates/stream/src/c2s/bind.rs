//! Resource binding (RFC 6120 §7): between the login and the first stanza.

use tercet_core::{
    BareJid, FullJid, IqType, Stanza, StanzaError, StanzaKind, StreamCondition, StreamError,
    XmlWriter, iq_result, ns, prepare_resource,
};

use super::api::Output;
use super::context::{Context, too_many_attempts};
use super::state::{Pending, State};
use crate::question::{Answer, Bound, Question};
use crate::random::Purpose;

/// A stanza of a client that has logged in and not bound.
pub(super) fn on_stanza(
    cx: &mut Context,
    account: BareJid,
    stanza: Stanza,
) -> Result<State, StreamError> {
    // RFC 6120 §7.1: no other stanza before the resource is bound.
    if !is_request(&stanza, "bind", ns::BIND, &account) {
        return Err(StreamCondition::NotAuthorized.into());
    }
    match requested(&stanza) {
        Ok(resource) => {
            let fallback = cx.random.name(Purpose::Resource);
            let ticket = cx.ask(Question::Bind {
                account: account.clone(),
                resource,
                fallback,
                inline: None,
            });
            let request = stanza;
            let pending = Pending::Bind { account, request };
            Ok(State::Waiting(ticket, Box::new(pending)))
        }
        Err(error) => refused(cx, account, &stanza, &error),
    }
}

/// Whether `stanza` is a request with this payload to the server itself: one it must not route.
pub(super) fn is_request(stanza: &Stanza, name: &str, ns: &str, account: &BareJid) -> bool {
    stanza.kind() == StanzaKind::Iq
        && stanza.payload().is_some_and(|p| p.is(name, ns))
        && stanza.may_bounce()
        && match stanza.to() {
            Ok(None) => true,
            Ok(Some(to)) => to.as_str() == account.domain() || to.as_str() == account.as_str(),
            Err(_) => false,
        }
}

/// The resource the client asks for; `None` leaves it to the server (RFC 6120 §7.6).
fn requested(stanza: &Stanza) -> Result<Option<String>, StanzaError> {
    let Some(payload) = stanza.payload() else {
        return Err(StanzaError::bad_request());
    };
    if stanza.iq_type() != Some(IqType::Set) {
        return Err(StanzaError::bad_request());
    }
    let payload = payload.parse();
    let Some(resource) = payload.root().child("resource", ns::BIND) else {
        return Ok(None);
    };
    let text = resource.text();
    if text.is_empty() {
        return Ok(None);
    }
    // RFC 6120 §7.7.2.1: a resourcepart that is none is a bad request.
    match prepare_resource(&text) {
        Ok(resource) => Ok(Some(resource.into_owned())),
        Err(_) => Err(StanzaError::bad_request()),
    }
}

/// The owner has bound a resource, or refuses to.
pub(super) fn on_answer(
    cx: &mut Context,
    account: BareJid,
    request: &Stanza,
    answer: Answer,
) -> Result<State, StreamError> {
    match answer {
        Answer::Bound(Ok(Bound { jid, .. })) => {
            let payload = bound_payload(&jid);
            cx.write(|_, out| iq_result(request, None, None, &payload, out));
            cx.push(Output::Bound(jid.clone()));
            // Of use to negotiations only.
            cx.tls = None;
            Ok(State::Bound {
                jid,
                received: None,
            })
        }
        Answer::Bound(Err(error)) => refused(cx, account, request, &error),
        _ => Err(StreamCondition::InternalServerError.into()),
    }
}

fn bound_payload(jid: &FullJid) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("bind").attr("xmlns", ns::BIND);
    w.text_element("jid", jid.as_str()).end();
    w.finish()
}

/// RFC 6120 §7.7.3: the client may try again, but not for ever.
fn refused(
    cx: &mut Context,
    account: BareJid,
    request: &Stanza,
    error: &StanzaError,
) -> Result<State, StreamError> {
    cx.bindings += 1;
    cx.reply_error(request, error, None);
    if cx.bindings >= cx.config.max_attempts {
        return Err(too_many_attempts());
    }
    Ok(State::Unbound { account })
}
