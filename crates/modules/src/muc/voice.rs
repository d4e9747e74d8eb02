//! Requests for voice, and what moderators say to them (XEP-0045 §7.13, §8.6).

use tercet_core::forms::{Field, Form, FormKind};
use tercet_core::{Stanza, StanzaError, XmlWriter};

use super::affiliation::{Role, RoleRight};
use super::message::notice;
use super::room::State;
use super::{Call, admin};

/// The form type of requests for voice.
const REQUEST: &str = "http://jabber.org/protocol/muc#request";
const ALLOW: &str = "muc#request_allow";
const NICK: &str = "muc#roomnick";

/// The request in a message, if it is one.
pub(super) fn form(stanza: &Stanza) -> Option<Form> {
    let x = stanza.child("x", tercet_core::forms::NS)?.parse();
    let form = Form::parse(x.root()).ok()?;
    let is_request = form.kind == FormKind::Submit && form.form_type() == Some(REQUEST);
    is_request.then_some(form)
}

fn value<'a>(form: &'a Form, var: &str) -> Option<&'a str> {
    form.get(var)?.values.first().map(String::as_str)
}

/// A request of a visitor goes to the moderators; that of a moderator is the answer to one.
pub(super) fn message(call: &Call<'_>, state: &mut State, form: &Form) -> Result<(), StanzaError> {
    let cx = call.entity;
    let Some(sender) = state.occupants.of(cx.from) else {
        return Err(StanzaError::not_acceptable().text("you are not in the room"));
    };
    if form.get(ALLOW).is_some() {
        return decide(call, state, form);
    }
    if sender.role.may(RoleRight::Speak) {
        return Err(StanzaError::bad_request().text("you have voice"));
    }
    let question = Form::new(REQUEST)
        .title("Request for voice")
        .instructions("Somebody asks for voice. Approve it by submitting this form.")
        .field(Field::text_single("muc#role", "Requested role").value("participant"))
        .field(Field::jid_single("muc#jid", "Address").value(cx.from.as_str()))
        .field(Field::text_single(NICK, "Nick").value(sender.nick()))
        .field(Field::boolean(ALLOW, "Grant voice to this person?", false));
    let mut w = XmlWriter::new();
    question.write(&mut w);
    let content = w.finish();
    for moderator in state.occupants.iter().filter(|o| o.role == Role::Moderator) {
        for session in &moderator.sessions {
            notice(call.room, &session.jid, &content, cx.server);
        }
    }
    Ok(())
}

fn decide(call: &Call<'_>, state: &mut State, form: &Form) -> Result<(), StanzaError> {
    let nick = value(form, NICK).ok_or_else(StanzaError::bad_request)?;
    let grant = [admin::Change::Role {
        nick: nick.to_owned(),
        to: Role::Participant,
        reason: None,
    }];
    admin::check(state, call.entity.from, &grant)?;
    if matches!(value(form, ALLOW), Some("1" | "true")) {
        admin::apply(call, state, &grant, &[]);
    }
    Ok(())
}
