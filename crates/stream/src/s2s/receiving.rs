//! The side that was connected to: its header and features, STARTTLS (RFC 6120 §5) and SASL EXTERNAL (§6, XEP-0178 §3).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_core::{
    Element, SaslFailure, StreamCondition, StreamError, StreamHeader, XmlWriter, ns,
};

use super::api::{DomainPair, Output, Proof, Question, S2sEnding, S2sEvent};
use super::context::{Context, domain, pair_of};
use super::state::State;
use super::{BIDI, BIDI_FEATURE, DIALBACK_FEATURE};
use crate::c2s::TlsPolicy;
use crate::header::Version;
use crate::{limits, sm};

/// The checks come in the order of the RFC; the response header is sent in any case, before an error and before the
/// features.
pub(super) fn on_header(cx: &mut Context, header: &StreamHeader) -> Result<State, StreamError> {
    let to = header.to.as_deref().and_then(domain);
    let from = header.from.as_deref().and_then(domain);
    let version = Version::parse(header.version.as_deref());
    // RFC 6120 §4.7.1: our header is from whom the peer's is to, even if that is not ours.
    let own = to.as_deref().unwrap_or_default();
    cx.write_header(own, from.as_deref(), version.response());

    // RFC 6120 §4.8.1, §4.8.2: the stream's namespace, and that of its content.
    if !header.stream_ns_ok || header.content_ns != ns::SERVER {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    // RFC 6120 §4.7.1, §4.7.2: between servers both are there.
    let pair = pair_of(header.to.as_deref(), header.from.as_deref())?;
    // RFC 6120 §4.9.3.6.
    if cx.config.host(&pair.local).is_none() {
        return Err(StreamCondition::HostUnknown.into());
    }
    // A stream from ourselves would be a loop, one from somebody else a lie.
    if cx.config.host(&pair.remote).is_some() {
        return Err(StreamCondition::InvalidFrom.into());
    }
    if !cx.config.admits(&pair.local, &pair.remote) {
        // RFC 6120 §4.9.3.14: who is not spoken with learns it before anything is negotiated.
        return Err(StreamError::new(StreamCondition::PolicyViolation)
            .text("this domain does not speak with yours"));
    }
    // RFC 6120 §4.3.3: the stream begins anew, between the same two.
    if cx.pair.as_ref().is_some_and(|before| *before != pair) {
        return Err(StreamError::new(StreamCondition::InvalidFrom)
            .text("another stream than the one before"));
    }
    // RFC 6120 §4.7.5: without a version it is 0.9; from 1.0 on there are features.
    if !version.has_features() {
        return Err(StreamCondition::UnsupportedVersion.into());
    }
    cx.speaks_dialback = header.declarations.iter().any(|d| d.1 == ns::DIALBACK);
    cx.pair = Some(pair.clone());
    if cx.logged_in {
        write_features(cx, &pair);
        cx.authenticated(&pair, Proof::Certificate);
        return Ok(State::Open);
    }
    if cx.tls {
        let ticket = cx.ask(Question::Certificate(pair));
        return Ok(State::Judging(ticket));
    }
    write_features(cx, &pair);
    Ok(State::Open)
}

/// The peer's certificate has been judged.
pub(super) fn on_judged(cx: &mut Context, trusted: bool) -> State {
    cx.trusted = trusted;
    if let Some(pair) = cx.pair.clone() {
        write_features(cx, &pair);
    }
    State::Open
}

/// RFC 6120 §4.3.2: what may be negotiated next.
fn write_features(cx: &mut Context, pair: &DomainPair) {
    let policy = cx.tls_policy(&pair.local);
    let secure = cx.secure_enough(&pair.local);
    let (bidi, dialback) = (cx.config.bidi, !cx.requires_certificate(&pair.local));
    let (external, logged_in) = (may_log_in(cx), cx.logged_in);
    let (starttls, management) = (may_start_tls(cx, pair), cx.config.management);
    // Behind dialback nothing more can be said.
    let last = logged_in || secure && dialback && !external;
    let now = match last {
        true => cx.config.after_login,
        false => cx.config.before_login,
    };
    let idle = cx.idle_timeout().map(|timeout| timeout.as_secs());
    cx.write_xml(|w| {
        w.start("stream:features");
        if starttls {
            // RFC 6120 §5.4.1: required where nothing else can be negotiated first.
            w.start("starttls").attr("xmlns", ns::TLS);
            if policy == TlsPolicy::Required {
                w.leaf("required", &[]);
            }
            w.end();
        }
        if external {
            w.start("mechanisms").attr("xmlns", ns::SASL);
            w.text_element("mechanism", "EXTERNAL").end();
        }
        if secure && (dialback || logged_in) {
            // XEP-0220 §2.4.1: errors of dialback do not end the stream.
            w.start("dialback").attr("xmlns", DIALBACK_FEATURE);
            w.leaf("errors", &[]).end();
        }
        if secure && bidi && !logged_in {
            w.leaf("bidi", &[("xmlns", BIDI_FEATURE)]);
        }
        if management && last {
            // XEP-0198 §3: behind the authentication. Dialback is not followed by other features: it is said before, though it
            // cannot be had before.
            w.leaf("sm", &[("xmlns", sm::NS)]);
        }
        limits::write(w, now.stanza_bytes, idle);
        w.end();
    });
}

/// XEP-0178 §3: only where the certificate proves the domain of the peer's header.
fn may_log_in(cx: &Context) -> bool {
    cx.tls && cx.trusted && !cx.logged_in
}

fn may_start_tls(cx: &Context, pair: &DomainPair) -> bool {
    !cx.tls && !cx.is_established() && cx.tls_policy(&pair.local) != TlsPolicy::Absent
}

/// An element that is neither of dialback nor of stream management.
pub(super) fn on_element(cx: &mut Context, element: Element<'_>) -> Result<State, StreamError> {
    match (element.ns(), element.name()) {
        (ns::TLS, "starttls") => starttls(cx),
        (ns::SASL, "auth") => auth(cx, element),
        (ns::SASL, "abort") => failed(cx, SaslFailure::Aborted),
        (ns::SASL, "response") => failed(cx, SaslFailure::MalformedRequest),
        (BIDI, "bidi") => bidi(cx, element),
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

fn starttls(cx: &mut Context) -> Result<State, StreamError> {
    let may = cx.pair.clone().is_some_and(|pair| may_start_tls(cx, &pair));
    if !may {
        // RFC 6120 §5.4.2.2: failure, then the end of stream and connection.
        cx.write_xml(|w| {
            w.leaf("failure", &[("xmlns", ns::TLS)]);
        });
        return Ok(cx.end(S2sEnding::TlsRefused));
    }
    // RFC 6120 §5.4.3.3: nothing from before TLS counts inside it.
    if cx.pipelined {
        return Err(super::spoke_too_early("data behind <starttls/>"));
    }
    cx.write_xml(|w| {
        w.leaf("proceed", &[("xmlns", ns::TLS)]);
    });
    cx.push(Output::StartTls);
    // Whatever was asked or agreed in the clear is forgotten.
    cx.requests.clear();
    cx.bidi = false;
    cx.restart();
    Ok(State::TlsHandshake)
}

fn auth(cx: &mut Context, element: Element<'_>) -> Result<State, StreamError> {
    if !may_log_in(cx) {
        let failure = match cx.tls {
            true => SaslFailure::NotAuthorized,
            false => SaslFailure::EncryptionRequired,
        };
        return failed(cx, failure);
    }
    if element.attr("mechanism").as_deref() != Some("EXTERNAL") {
        return failed(cx, SaslFailure::InvalidMechanism);
    }
    if element.text().is_empty() {
        // RFC 6120 §6.4.2: without an initial response there is a challenge, an empty one.
        cx.write_xml(|w| {
            w.leaf("challenge", &[("xmlns", ns::SASL)]);
        });
        return Ok(State::Challenged);
    }
    log_in(cx, &element.text())
}

/// An element where the answer to the empty challenge is expected.
pub(super) fn on_response(cx: &mut Context, element: Element<'_>) -> Result<State, StreamError> {
    match (element.ns(), element.name()) {
        (ns::SASL, "response") => log_in(cx, &element.text()),
        (ns::SASL, "abort") => failed(cx, SaslFailure::Aborted),
        (ns::SASL, _) => failed(cx, SaslFailure::MalformedRequest),
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

fn log_in(cx: &mut Context, message: &str) -> Result<State, StreamError> {
    let remote = cx.pair.as_ref().map(|pair| pair.remote.clone());
    let remote = remote.ok_or(StreamCondition::InternalServerError)?;
    match authorized_domain(message) {
        Err(failure) => failed(cx, failure),
        // XEP-0178 §3: the domain is that of the header, which the certificate was judged by.
        Ok(Some(other)) if other != remote => failed(cx, SaslFailure::InvalidAuthzid),
        Ok(_) if cx.pipelined => Err(super::spoke_too_early("data before <success/>")),
        Ok(_) => {
            cx.logged_in = true;
            cx.write_xml(|w| {
                w.leaf("success", &[("xmlns", ns::SASL)]);
            });
            cx.restart();
            Ok(State::Opening)
        }
    }
}

/// The domain that the peer wants to be taken for; `None` if it leaves that to its certificate.
fn authorized_domain(message: &str) -> Result<Option<Box<str>>, SaslFailure> {
    if message.is_empty() || message == "=" {
        return Ok(None);
    }
    let bytes = BASE64_STANDARD.decode(message);
    let bytes = bytes.map_err(|_| SaslFailure::IncorrectEncoding)?;
    let text = String::from_utf8(bytes).map_err(|_| SaslFailure::MalformedRequest)?;
    if text.is_empty() {
        return Ok(None);
    }
    domain(&text).map(Some).ok_or(SaslFailure::InvalidAuthzid)
}

/// RFC 6120 §6.4.5: the peer may try again, or go on with dialback, but not for ever.
fn failed(cx: &mut Context, failure: SaslFailure) -> Result<State, StreamError> {
    cx.failures += 1;
    cx.event(S2sEvent::SaslFailed(Some(failure)));
    cx.write_xml(|w: &mut XmlWriter| {
        w.start("failure").attr("xmlns", ns::SASL);
        w.leaf(failure.as_str(), &[]).end();
    });
    if cx.failures >= cx.config.max_attempts {
        return Err(StreamError::new(StreamCondition::PolicyViolation).text("too many attempts"));
    }
    Ok(State::Open)
}

/// XEP-0288 §2: behind TLS and before the authentication.
fn bidi(cx: &mut Context, element: Element<'_>) -> Result<State, StreamError> {
    let secure = cx.pair.as_ref().is_some_and(|p| cx.secure_enough(&p.local));
    if !cx.config.bidi || !secure || cx.logged_in || cx.is_established() {
        return Err(StreamCondition::UnsupportedStanzaType.into());
    }
    cx.bidi = true;
    // XEP-0478 §3.2: the peer has no features to say it in.
    cx.offer.max_bytes = element
        .child("limits", limits::NS)
        .and_then(super::initiating::max_bytes);
    Ok(State::Open)
}
