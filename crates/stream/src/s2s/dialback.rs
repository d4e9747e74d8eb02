//! Dialback (XEP-0220 1.1.1), all four parts of it: having a key judged and judging those of the peer, asking about keys and
//! answering for our own. Which of them a stream sees depends on its direction, or with XEP-0288 on neither.

use tercet_core::{Condition, Element, StanzaError, StreamCondition, StreamError, XmlWriter, ns};

use super::api::{
    Answer, DomainPair, KeyClaim, Output, Proof, Question, Refusal, S2sEnding, S2sEvent, Verdict,
};
use super::context::{Context, Request, Wish, pair_of};
use super::state::State;
use crate::question::Ticket;

/// An element of dialback, in a state that allows it.
///
/// # Errors
/// The stream's end.
pub(super) fn on_element(cx: &mut Context, element: Element<'_>) -> Result<(), StreamError> {
    let (to, from) = (element.attr("to"), element.attr("from"));
    let pair = pair_of(to.as_deref(), from.as_deref())?;
    let kind = element.attr("type");
    match (element.name(), kind.as_deref()) {
        ("result", None) => on_key(cx, pair, element),
        ("verify", None) => on_question(cx, &pair, element),
        ("result", Some(kind)) => {
            on_result(cx, &pair, verdict(kind, element)?);
            Ok(())
        }
        ("verify", Some(kind)) => {
            on_verified(cx, &pair, element, verdict(kind, element)?);
            Ok(())
        }
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

/// Does what was wished for, now that the stream is ready for it.
pub(super) fn carry_out(cx: &mut Context) {
    for wish in std::mem::take(&mut cx.wishes) {
        match wish {
            Wish::Authenticate(pair) => authenticate(cx, pair),
            Wish::Verify(claim) => verify(cx, claim),
        }
    }
}

/// Shows the peer our key for a pair of domains (XEP-0220 §2.1.1).
pub(super) fn authenticate(cx: &mut Context, pair: DomainPair) {
    if cx.outbound.contains(&pair) || cx.asked.contains(&pair) {
        return;
    }
    // XEP-0288 §2: whoever receives a stream asks for nothing before its peer is known, and only of domains that it has
    // proved to be.
    let may =
        !cx.is_receiving() || cx.bidi && cx.inbound.iter().any(|known| known.remote == pair.remote);
    // XEP-0220 §2.5: another target only of a peer that would not end the stream for it.
    let another = cx.pair.as_ref().is_some_and(|p| p.remote != pair.remote);
    let may = may && !(another && !cx.is_receiving() && !cx.offer.errors);
    if !may || cx.asked.len() >= cx.config.max_pending || !cx.secure_enough(&pair.local) {
        cx.push(Output::Refused(pair, Refusal::NotHere));
        return;
    }
    let key = cx.config.secret.key(&pair.remote, &pair.local, &cx.id);
    cx.write_xml(|w| {
        w.start("db:result")
            .attr("from", &pair.local)
            .attr("to", &pair.remote);
        w.text(&key).end();
    });
    cx.asked.push(pair);
}

/// Asks the peer about a key (XEP-0220 §2.1.2).
pub(super) fn verify(cx: &mut Context, claim: KeyClaim) {
    // XEP-0288 §2: not the peer that has shown it, on the same connection.
    let wrong_way = cx.is_receiving() || claim.id == cx.id;
    if wrong_way || cx.claims.len() >= cx.config.max_pending {
        let error = StanzaError::resource_constraint();
        cx.push(Output::Verified(claim, Verdict::Unknown(error)));
        return;
    }
    cx.write_xml(|w| {
        w.start("db:verify")
            .attr("from", &claim.pair.local)
            .attr("to", &claim.pair.remote)
            .attr("id", &claim.id);
        w.text(&claim.key).end();
    });
    cx.claims.push(claim);
}

/// The peer shows a key (XEP-0220 §2.2.1).
fn on_key(cx: &mut Context, pair: DomainPair, element: Element<'_>) -> Result<(), StreamError> {
    if !cx.is_receiving() && !cx.bidi {
        return Err(StreamCondition::UnsupportedStanzaType.into());
    }
    if cx.inbound.contains(&pair) {
        // XEP-0220 §2.2.1: nothing is verified twice on a stream.
        write_result(cx, &pair, "valid", None);
        return Ok(());
    }
    let error = if cx.config.host(&pair.local).is_none() {
        // XEP-0220 §2.4.2: not a domain of ours.
        Some(StanzaError::item_not_found())
    } else if !cx.secure_enough(&pair.local) {
        // XEP-0220 §2.4.2: TLS comes first.
        Some(StanzaError::policy_violation().text("TLS is required"))
    } else if cx.config.host(&pair.remote).is_some() {
        Some(StanzaError::forbidden().text("that is a domain of this server"))
    } else if !cx.config.admits(&pair.local, &pair.remote) {
        // XEP-0220 §2.4.2: the local policy, before the key is looked at.
        Some(StanzaError::policy_violation().text("this domain does not speak with yours"))
    } else if cx.requests.iter().any(|r| r.claim.pair == pair) {
        Some(StanzaError::unexpected_request())
    } else if cx.inbound.len() >= cx.config.max_pairs || cx.requests.len() >= cx.config.max_pending
    {
        Some(StanzaError::resource_constraint())
    } else if !cx.tls && cx.requires_certificate(&pair.local) {
        // XEP-0220 §2.4.2: no certificate, and none can come.
        Some(StanzaError::not_authorized().text("a valid certificate is required"))
    } else {
        None
    };
    if let Some(error) = error {
        refuse_key(cx, &pair, error);
        return Ok(());
    }
    let claim = KeyClaim {
        id: cx.id.clone(),
        key: element.text().trim().into(),
        pair,
    };
    // A certificate for that domain makes the key needless.
    let question = match cx.tls {
        true => Question::Certificate(claim.pair.clone()),
        false => Question::Key(claim.clone()),
    };
    let ticket = cx.ask(question);
    cx.requests.push(Request { ticket, claim });
    Ok(())
}

/// The answer about a key of the peer's, if the ticket is one of these.
///
/// # Errors
/// The stream's end.
pub(super) fn on_answer(
    cx: &mut Context,
    ticket: Ticket,
    answer: Answer,
) -> Result<Option<State>, StreamError> {
    let Some(at) = cx.requests.iter().position(|r| r.ticket == ticket) else {
        return Ok(None);
    };
    let Request { claim, .. } = cx.requests.swap_remove(at);
    let pair = claim.pair.clone();
    let proof = match answer {
        Answer::Certificate(true) => Proof::Certificate,
        Answer::Certificate(false) if cx.requires_certificate(&pair.local) => {
            // XEP-0220 §2.4.2: dialback is not enough here.
            let error = StanzaError::not_authorized().text("a valid certificate is required");
            refuse_key(cx, &pair, error);
            return Ok(None);
        }
        Answer::Certificate(false) => {
            let ticket = cx.ask(Question::Key(claim.clone()));
            cx.requests.push(Request { ticket, claim });
            return Ok(None);
        }
        Answer::Key(Verdict::Valid) => Proof::Dialback,
        Answer::Key(Verdict::Invalid) => return Ok(on_invalid(cx, &pair)),
        Answer::Key(Verdict::Unknown(error)) => {
            refuse_key(cx, &pair, error);
            return Ok(None);
        }
        other => return Err(super::context::wrong_answer(other)),
    };
    write_result(cx, &pair, "valid", None);
    cx.authenticated(&pair, proof);
    Ok(None)
}

/// XEP-0220 §2.2.1: the end, unless the stream serves others already.
fn on_invalid(cx: &mut Context, pair: &DomainPair) -> Option<State> {
    cx.event(S2sEvent::KeyInvalid(pair.clone()));
    if cx.may_show_keys() && cx.is_established() {
        write_result(cx, pair, "error", Some(&StanzaError::forbidden()));
        return None;
    }
    write_result(cx, pair, "invalid", None);
    Some(cx.end(S2sEnding::KeyInvalid))
}

fn refuse_key(cx: &mut Context, pair: &DomainPair, error: StanzaError) {
    write_result(cx, pair, "error", Some(&error));
    cx.event(S2sEvent::KeyRefused(pair.clone(), error));
}

/// The peer asks about a key that should be ours (XEP-0220 §2.2.2).
fn on_question(
    cx: &mut Context,
    pair: &DomainPair,
    element: Element<'_>,
) -> Result<(), StreamError> {
    if !cx.is_receiving() && !cx.bidi {
        return Err(StreamCondition::UnsupportedStanzaType.into());
    }
    if !cx.may_verify() {
        return Err(
            StreamError::new(StreamCondition::PolicyViolation).text("too many keys to be verified")
        );
    }
    let id = element.attr("id").ok_or(StreamCondition::InvalidXml)?;
    let error = if cx.config.host(&pair.local).is_none() {
        // XEP-0220 §2.2.2: not a domain of ours; the stream goes on.
        Some(StanzaError::item_not_found())
    } else if !cx.secure_enough(&pair.local) {
        Some(StanzaError::policy_violation().text("TLS is required"))
    } else {
        None
    };
    let secret = &cx.config.secret;
    let kind = match error {
        Some(_) => "error",
        None if secret.verify(&pair.remote, &pair.local, &id, &element.text()) => "valid",
        None => "invalid",
    };
    cx.write_xml(|w| {
        w.start("db:verify")
            .attr("from", &pair.local)
            .attr("to", &pair.remote)
            .attr("id", &id)
            .attr("type", kind);
        write_error(w, error.as_ref());
        w.end();
    });
    Ok(())
}

/// The peer has judged a key of ours, or says so.
fn on_result(cx: &mut Context, pair: &DomainPair, verdict: Result<bool, Refusal>) {
    // XEP-0220 §2.1.1, §4: the answer to a request on this stream, or nothing at all.
    let Some(at) = cx.asked.iter().position(|asked| asked == pair) else {
        return cx.event(S2sEvent::Unsolicited);
    };
    cx.asked.swap_remove(at);
    match verdict {
        Ok(true) => cx.authorized(pair),
        Ok(false) => cx.push(Output::Refused(pair.clone(), Refusal::Invalid)),
        Err(refusal) => cx.push(Output::Refused(pair.clone(), refusal)),
    }
}

/// The peer has answered for its domain, or says so.
fn on_verified(
    cx: &mut Context,
    pair: &DomainPair,
    element: Element<'_>,
    verdict: Result<bool, Refusal>,
) {
    let id = element.attr("id").unwrap_or_default();
    // XEP-0220 §2.1.2, §4: the answer to a request on this stream, or nothing at all.
    let asked = |claim: &KeyClaim| claim.pair == *pair && *claim.id == *id;
    let Some(at) = cx.claims.iter().position(asked) else {
        return cx.event(S2sEvent::Unsolicited);
    };
    let claim = cx.claims.swap_remove(at);
    let verdict = match verdict {
        Ok(true) => Verdict::Valid,
        Ok(false) => Verdict::Invalid,
        // XEP-0220 §2.4.2: what the domain's server says of itself is told on as this.
        Err(_) => Verdict::Unknown(StanzaError::remote_server_not_found()),
    };
    cx.push(Output::Verified(claim, verdict));
}

/// What a `type` says: valid or not, or an error.
fn verdict(kind: &str, element: Element<'_>) -> Result<Result<bool, Refusal>, StreamError> {
    match kind {
        "valid" => Ok(Ok(true)),
        "invalid" => Ok(Ok(false)),
        "error" => {
            let error = element.child("error", ns::SERVER);
            let children = || error.into_iter().flat_map(|error| error.children());
            let condition = children()
                .filter(|child| child.ns() == ns::STANZAS)
                .find_map(|child| Condition::from_name(child.name()));
            let text = children()
                .find(|child| child.is("text", ns::STANZAS))
                .map(|child| child.text().into());
            Ok(Err(Refusal::Error(condition, text)))
        }
        _ => Err(StreamCondition::InvalidXml.into()),
    }
}

fn write_result(cx: &mut Context, pair: &DomainPair, kind: &str, error: Option<&StanzaError>) {
    cx.write_xml(|w| {
        w.start("db:result")
            .attr("from", &pair.local)
            .attr("to", &pair.remote)
            .attr("type", kind);
        write_error(w, error);
        w.end();
    });
}

/// XEP-0220 §2.4.2: a stanza error, in the namespace of the stream's content.
fn write_error(w: &mut XmlWriter, error: Option<&StanzaError>) {
    if let Some(error) = error {
        error.write(w);
    }
}
