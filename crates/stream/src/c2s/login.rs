//! Before a login: STARTTLS (RFC 6120 §5), SASL (§6), in-band registration (XEP-0077 2.4).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_core::StanzaKind;
use tercet_core::{
    Element, OwnedElement, SaslFailure, Stanza, StanzaError, StreamCondition, StreamError, ns,
};
use zeroize::Zeroizing;

use super::api::{Ending, Output, StreamEvent};
use super::context::{Context, too_many_attempts};
use super::state::{Attempt, Pending, State};
use super::{features, sasl2, sm, upgrade};
use crate::question::{Answer, Question};
use crate::sasl::{Exchange, Mechanism, Offer, Scope, Step, Success};

/// XEP-0077 2.4.
const REGISTER: &str = "jabber:iq:register";
/// XEP-0445 0.2.0, in the namespace of XEP-0379.
const PREAUTH: &str = "urn:xmpp:pars:0";

/// An element where the features before a login stand.
pub(super) fn on_element(cx: &mut Context, owned: &OwnedElement) -> Result<State, StreamError> {
    let element = owned.root();
    match (element.ns(), element.name()) {
        (ns::TLS, "starttls") => starttls(cx),
        (ns::SASL, "auth") => auth(cx, element),
        // Nothing is under way that could be aborted or gone on with.
        (ns::SASL, "abort") => failed(cx, Try::default(), SaslFailure::Aborted),
        (ns::SASL, "response") => failed(cx, Try::default(), SaslFailure::MalformedRequest),
        (sasl2::NS, "authenticate") => sasl2::authenticate(cx, owned),
        (sm::NS, "enable" | "resume") => {
            sm::too_early(cx);
            Ok(State::Negotiating)
        }
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

fn starttls(cx: &mut Context) -> Result<State, StreamError> {
    if !cx.may_start_tls() {
        // RFC 6120 §5.4.2.2: failure, then the end of stream and connection.
        cx.write_xml(|w| {
            w.leaf("failure", &[("xmlns", ns::TLS)]);
        });
        return Ok(cx.end(Ending::TlsRefused));
    }
    // RFC 6120 §5.4.3.3: nothing from before TLS counts inside it. Whoever speaks between
    // <starttls/> and <proceed/> may be somebody else, who wants to be taken for the client.
    if cx.pipelined {
        return Err(spoke_too_early("data behind <starttls/>"));
    }
    cx.write_xml(|w| {
        w.leaf("proceed", &[("xmlns", ns::TLS)]);
    });
    cx.push(Output::StartTls);
    cx.restart(false);
    Ok(State::TlsHandshake)
}

/// What there is to say of an attempt besides its exchange.
#[derive(Default)]
pub(super) struct Try {
    pub(super) mechanism: Option<Mechanism>,
    /// The name the client claims.
    pub(super) claimed: Option<String>,
    /// What the client wants at once, if the attempt is one by XEP-0388.
    pub(super) inline: Option<Box<sasl2::Inline>>,
}

impl Try {
    /// What its exchange may look at.
    pub(super) fn scope<'a>(&'a mut self, cx: &'a mut Context, offer: &'a Offer) -> Scope<'a> {
        let host = cx.host.as_ref().unwrap_or_else(|| cx.config.default_host());
        Scope {
            host: &host.domain,
            offer,
            tls: cx.tls.as_deref(),
            random: &mut cx.random,
            token: self.inline.as_deref().and_then(sasl2::Inline::token),
            claimed: &mut self.claimed,
        }
    }

    /// The namespace of its elements.
    fn ns(&self) -> &'static str {
        match self.inline {
            Some(_) => sasl2::NS,
            None => ns::SASL,
        }
    }
}

fn auth(cx: &mut Context, element: Element<'_>) -> Result<State, StreamError> {
    let mechanism = element.attr("mechanism").unwrap_or_default();
    let mut about = Try {
        mechanism: Mechanism::from_name(&mechanism),
        ..Try::default()
    };
    if !cx.secure_enough() {
        return failed(cx, about, SaslFailure::EncryptionRequired);
    }
    let step = initial_response(element).and_then(|initial| {
        let offer = features::offer(cx);
        let initial = initial.as_ref().map(|initial| initial.as_slice());
        Exchange::start(&mechanism, initial, &mut about.scope(cx, &offer))
    });
    go_on(cx, about, step)
}

impl Attempt {
    /// An element where a response is expected.
    pub(super) fn on_element(
        self,
        cx: &mut Context,
        element: Element<'_>,
    ) -> Result<State, StreamError> {
        let Attempt {
            mut about,
            exchange,
        } = self;
        let step = match element.name() {
            _ if element.ns() != about.ns() => {
                return Err(StreamCondition::UnsupportedStanzaType.into());
            }
            "response" => response(element).and_then(|message| {
                let offer = features::offer(cx);
                exchange.response(&message, &mut about.scope(cx, &offer))
            }),
            "abort" => Err(SaslFailure::Aborted),
            _ => Err(SaslFailure::MalformedRequest),
        };
        go_on(cx, about, step)
    }

    /// The answer to the question that the attempt has asked.
    pub(super) fn on_answer(self, cx: &mut Context, answer: Answer) -> Result<State, StreamError> {
        let Attempt {
            mut about,
            exchange,
        } = self;
        let offer = features::offer(cx);
        let step = exchange.answer(answer, &mut about.scope(cx, &offer));
        go_on(cx, about, step)
    }
}

/// Does what the attempt wants next.
pub(super) fn go_on(
    cx: &mut Context,
    about: Try,
    step: Result<Step, SaslFailure>,
) -> Result<State, StreamError> {
    match step {
        Ok(Step::Challenge(message, exchange)) => {
            // RFC 6120 §6.4.3: an empty challenge has no text.
            let text = BASE64_STANDARD.encode(message);
            cx.write_xml(|w| {
                w.start("challenge").attr("xmlns", about.ns());
                w.text(&text).end();
            });
            let attempt = Attempt { about, exchange };
            Ok(State::Authenticating(Box::new(attempt)))
        }
        Ok(Step::Ask(question, exchange)) => {
            let ticket = cx.ask(question);
            let pending = Pending::Login(Attempt { about, exchange });
            Ok(State::Waiting(ticket, Box::new(pending)))
        }
        // RFC 6120 §6.4.6, XEP-0388 §2.4: nothing before the client knows of its success belongs to what comes after.
        Ok(Step::Success(_)) if cx.pipelined => Err(spoke_too_early("data before <success/>")),
        Ok(Step::Success(success)) => {
            cx.event(StreamEvent::Authenticated {
                account: success.account.clone(),
                mechanism: success.mechanism,
            });
            match about.inline {
                Some(inline) if inline.upgrades => upgrade::begin(cx, success, inline),
                Some(inline) => sasl2::succeeded(cx, success, *inline),
                None => succeeded(cx, success),
            }
        }
        Err(failure) => failed(cx, about, failure),
    }
}

/// RFC 6120 §6.4.6: the client opens a new stream.
fn succeeded(cx: &mut Context, success: Success) -> Result<State, StreamError> {
    let text = success.data.map(|data| BASE64_STANDARD.encode(data));
    cx.write_xml(|w| {
        w.start("success").attr("xmlns", ns::SASL);
        w.text(text.as_deref().unwrap_or_default()).end();
    });
    cx.restart(true);
    let account = Some(success.account);
    Ok(State::Opening { account })
}

/// RFC 6120 §6.4.5: the client may try again, but not for ever.
pub(super) fn failed(
    cx: &mut Context,
    about: Try,
    failure: SaslFailure,
) -> Result<State, StreamError> {
    cx.logins += 1;
    cx.event(StreamEvent::AuthFailed {
        mechanism: about.mechanism,
        username: about.claimed,
        failure,
        attempts: cx.logins,
    });
    match about.inline {
        Some(_) => sasl2::write_failure(cx, failure, |_| {}),
        None => cx.write_xml(|w| {
            w.start("failure").attr("xmlns", ns::SASL);
            w.leaf(failure.as_str(), &[]).end();
        }),
    }
    if cx.logins >= cx.config.max_attempts {
        return Err(too_many_attempts());
    }
    Ok(State::Negotiating)
}

/// The initial response of `<auth/>`, if there is one. RFC 6120 §6.4.2: "=" is one of no length.
fn initial_response(element: Element<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, SaslFailure> {
    let message = text(element)?;
    if message.is_empty() {
        return Ok(None);
    }
    decode(&message).map(Some)
}

/// The message in an element.
pub(super) fn response(element: Element<'_>) -> Result<Zeroizing<Vec<u8>>, SaslFailure> {
    decode(&text(element)?)
}

fn text(element: Element<'_>) -> Result<Zeroizing<String>, SaslFailure> {
    if element.children().next().is_some() {
        return Err(SaslFailure::MalformedRequest);
    }
    Ok(Zeroizing::new(element.text().into_owned()))
}

/// RFC 6120 §6.5.5, §13.9.1: base64 of RFC 4648 §4 with padding, and no character outside it.
fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, SaslFailure> {
    if text == "=" {
        return Ok(Zeroizing::default());
    }
    BASE64_STANDARD
        .decode(text)
        .map(Zeroizing::new)
        .map_err(|_| SaslFailure::IncorrectEncoding)
}

/// A stanza where the features before a login stand: only a request to register is heard.
pub(super) fn on_stanza(cx: &mut Context, stanza: Stanza) -> Result<State, StreamError> {
    let shows = stanza.payload().is_some_and(|p| p.is("preauth", PREAUTH));
    let registers = stanza.kind() == StanzaKind::Iq
        && stanza.may_bounce()
        && (shows || stanza.payload().is_some_and(|p| p.is("query", REGISTER)))
        && match stanza.to() {
            Ok(None) => true,
            Ok(Some(to)) => to.as_str() == cx.host().domain,
            Err(_) => false,
        };
    // RFC 6120 §4.9.3.12.
    if !registers || !cx.secure_enough() {
        return Err(StreamCondition::NotAuthorized.into());
    }
    cx.registrations += 1;
    if cx.registrations > cx.config.max_registrations {
        return Err(too_many_attempts());
    }
    let host = cx.host().clone();
    if !host.registration || (shows && !host.invitations) {
        // XEP-0077 §3.1: a host that does not support registration says so.
        let error = StanzaError::service_unavailable();
        cx.reply_error(&stanza, &error, Some(&host.domain));
        return Ok(State::Negotiating);
    }
    let domain = host.domain.clone();
    let ticket = cx.ask(match shows {
        true => Question::Invitation {
            host: domain,
            stanza,
        },
        false => Question::Register {
            host: domain,
            stanza,
            invitation: cx.invitation.as_deref().map(str::to_owned),
        },
    });
    Ok(State::Waiting(ticket, Box::new(Pending::Register)))
}

/// The reply to a request to register.
pub(super) fn on_registered(cx: &mut Context, answer: Answer) -> Result<State, StreamError> {
    let reply = match answer {
        Answer::Xml(reply) => reply,
        Answer::Invitation { reply, token } => {
            cx.invitation = token.map(String::into_boxed_str);
            reply
        }
        _ => return Err(StreamCondition::InternalServerError.into()),
    };
    cx.write(|_, out| out.extend_from_slice(&reply));
    Ok(State::Negotiating)
}

pub(super) fn spoke_too_early(text: &'static str) -> StreamError {
    StreamError::new(StreamCondition::PolicyViolation).text(text)
}
