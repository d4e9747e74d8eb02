//! The side that connects: reading the peer's header and features, and choosing among what it offers.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_core::{Element, SaslFailure, StreamCondition, StreamError, StreamHeader, ns};

use super::api::{DomainPair, Goal, Output, Question, Refusal, S2sEnding, S2sEvent};
use super::context::{Context, PeerOffer, Role, domain};
use super::state::State;
use super::{BIDI, BIDI_FEATURE, DIALBACK_FEATURE, dialback};
use crate::c2s::TlsPolicy;
use crate::header::Version;
use crate::{limits, sm};

/// Begins a stream, or begins it anew.
pub(super) fn open(cx: &mut Context) -> State {
    if let Some(pair) = cx.pair.clone() {
        // RFC 6120 §4.7.1, §4.7.2: between servers both are there.
        cx.write_header(&pair.local, Some(&pair.remote), Some("1.0"));
    }
    State::Opening
}

/// TLS is up: who is at its other end?
pub(super) fn on_tls_up(cx: &mut Context) -> Result<State, StreamError> {
    cx.tls = true;
    cx.restart();
    let pair = named(cx)?;
    let ticket = cx.ask(Question::Certificate(pair));
    Ok(State::Judging(ticket))
}

/// The certificate has been judged.
pub(super) fn on_judged(cx: &mut Context, trusted: bool) -> Result<State, StreamError> {
    cx.trusted = trusted;
    let pair = named(cx)?;
    if !trusted && cx.requires_certificate(&pair.local) {
        // There is no stream inside this TLS yet to end.
        return Ok(cx.hang_up(S2sEnding::Untrusted));
    }
    Ok(open(cx))
}

/// The peer's header.
pub(super) fn on_header(cx: &mut Context, header: &StreamHeader) -> Result<State, StreamError> {
    // RFC 6120 §4.8.1, §4.8.2.
    if !header.stream_ns_ok || header.content_ns != ns::SERVER {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    let pair = named(cx)?;
    // RFC 6120 §4.7.1: from whom we wanted; some errors come from nobody.
    let from = header.from.as_deref().filter(|from| !from.is_empty());
    if from.is_some_and(|from| domain(from).as_ref() != Some(&pair.remote)) {
        return Err(StreamCondition::InvalidFrom.into());
    }
    cx.id = header.id.as_deref().unwrap_or_default().into();
    cx.speaks_dialback = header.declarations.iter().any(|d| d.1 == ns::DIALBACK);
    if !Version::parse(header.version.as_deref()).has_features() {
        return Err(StreamCondition::UnsupportedVersion.into());
    }
    Ok(State::Features)
}

/// An element where features are expected.
pub(super) fn on_features(cx: &mut Context, element: Element<'_>) -> Result<State, StreamError> {
    if !element.is("features", ns::STREAMS) {
        return Err(StreamCondition::UnsupportedStanzaType.into());
    }
    let pair = named(cx)?;
    if cx.id.is_empty() {
        // RFC 6120 §4.7.3: every answer has an id; without one no key could be made.
        return Err(StreamError::new(StreamCondition::BadFormat).text("a header without its id"));
    }
    let policy = cx.tls_policy(&pair.local);
    if !cx.tls && policy != TlsPolicy::Absent {
        if element.child("starttls", ns::TLS).is_some() {
            cx.write_xml(|w| {
                w.leaf("starttls", &[("xmlns", ns::TLS)]);
            });
            return Ok(State::TlsWanted);
        }
        if policy == TlsPolicy::Required {
            return Ok(cx.end(S2sEnding::TlsMissing));
        }
    }
    let feature = |name, ns| element.child(name, ns);
    let dialback = feature("dialback", DIALBACK_FEATURE);
    cx.offer = PeerOffer {
        errors: dialback.is_some_and(|d| d.children().any(|child| child.name() == "errors")),
        management: feature("sm", sm::NS).is_some(),
        max_bytes: feature("limits", limits::NS).and_then(max_bytes),
    };
    cx.speaks_dialback |= dialback.is_some();
    if cx.logged_in {
        return Ok(ready(cx, Some(&pair)));
    }
    if cx.role == Role::Initiating(Goal::Verification) {
        return Ok(ready(cx, None));
    }
    if cx.config.bidi && feature("bidi", BIDI_FEATURE).is_some() {
        cx.bidi = true;
        let max_bytes = cx.config.after_login.stanza_bytes;
        let idle = cx.idle_timeout().map(|timeout| timeout.as_secs());
        // XEP-0288 §2: behind TLS and before the authentication.
        cx.write_xml(|w| {
            w.start("bidi").attr("xmlns", BIDI);
            // XEP-0478 §3.2: we have no features to say it in.
            limits::write(w, max_bytes, idle);
            w.end();
        });
    }
    let external = feature("mechanisms", ns::SASL)
        .into_iter()
        .flat_map(|mechanisms| mechanisms.children())
        .any(|m| m.is("mechanism", ns::SASL) && m.text() == "EXTERNAL");
    if external && cx.tls {
        // XEP-0178 §3: with the domain, for those who want to be told.
        let identity = BASE64_STANDARD.encode(pair.local.as_bytes());
        cx.write_xml(|w| {
            w.start("auth")
                .attr("xmlns", ns::SASL)
                .attr("mechanism", "EXTERNAL");
            w.text(&identity).end();
        });
        return Ok(State::Authenticating);
    }
    fall_back(cx, pair, Refusal::NoWay)
}

/// The peer's answer to `<starttls/>`.
pub(super) fn on_tls_answer(cx: &mut Context, element: Element<'_>) -> Result<State, StreamError> {
    match (element.ns(), element.name()) {
        // RFC 6120 §5.4.3.3: nothing from before TLS counts inside it.
        (ns::TLS, "proceed") if cx.pipelined => {
            Err(super::spoke_too_early("data behind <proceed/>"))
        }
        (ns::TLS, "proceed") => {
            cx.push(Output::StartTls);
            cx.restart();
            Ok(State::TlsHandshake)
        }
        (ns::TLS, "failure") => Ok(cx.end(S2sEnding::TlsRefused)),
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

/// The peer's answer to `<auth/>`.
pub(super) fn on_sasl_answer(cx: &mut Context, element: Element<'_>) -> Result<State, StreamError> {
    match (element.ns(), element.name()) {
        (ns::SASL, "success") if cx.pipelined => {
            Err(super::spoke_too_early("data behind <success/>"))
        }
        (ns::SASL, "success") => {
            cx.logged_in = true;
            cx.restart();
            Ok(open(cx))
        }
        (ns::SASL, "failure") => {
            let failure = element
                .children()
                .find_map(|child| SaslFailure::from_name(child.name()));
            cx.event(S2sEvent::SaslFailed(failure));
            let pair = named(cx)?;
            // XEP-0178 §3: dialback may still do.
            fall_back(cx, pair, Refusal::Sasl(failure))
        }
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

/// Bytes of one stanza that the peer takes (XEP-0478 §3.1).
pub(super) fn max_bytes(limits: Element<'_>) -> Option<u32> {
    let max_bytes = limits.child("max-bytes", limits::NS)?;
    max_bytes.text().trim().parse().ok()
}

/// Dialback, if the peer knows it; without it, the end.
fn fall_back(cx: &mut Context, pair: DomainPair, refusal: Refusal) -> Result<State, StreamError> {
    if !cx.speaks_dialback {
        cx.push(Output::Refused(pair, refusal.clone()));
        return Ok(cx.end(S2sEnding::Refused(refusal)));
    }
    dialback::authenticate(cx, pair);
    Ok(ready(cx, None))
}

/// The stream is there for whatever was wished for.
fn ready(cx: &mut Context, authorized: Option<&DomainPair>) -> State {
    if let Some(pair) = authorized {
        cx.authorized(pair);
    }
    dialback::carry_out(cx);
    State::Open
}

/// The pair that the stream was made for.
fn named(cx: &Context) -> Result<DomainPair, StreamError> {
    let pair = cx.pair.clone();
    pair.ok_or_else(|| StreamCondition::InternalServerError.into())
}
