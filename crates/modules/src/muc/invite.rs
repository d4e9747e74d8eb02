//! Messages to the room that are not for all: invitations through the room, and requests for voice (XEP-0045 §7.8, §7.13, §8.6).

use tercet_core::{BareJid, Element, Jid, StanzaError, XmlWriter};
use tercet_server::{Routed, store_failure};
use tercet_store::Batch;

use super::affiliation::Affiliation;
use super::message::notice;
use super::presence::{Cause, USER};
use super::room::{Enrolled, State};
use super::status::Status;
use super::{Call, admin, leave, records, voice};

/// Invitations in one message.
const AT_ONCE: usize = 20;
/// Bytes of a reason.
const REASON: usize = 1024;

/// An invitation.
struct Invitation {
    to: Jid,
    reason: Option<String>,
    thread: Option<Option<String>>,
}

/// Invites somebody in the name of the sender, who may do so.
pub(super) fn call_in(call: &Call<'_>, state: &State, user: &BareJid) {
    let invitation = Invitation {
        to: user.clone().into(),
        reason: None,
        thread: None,
    };
    send(call, state, &[invitation]);
}

/// A message to the room's bare JID that is not of type `groupchat`.
pub(super) fn message(call: &Call<'_>, state: &mut State) -> Result<Routed, StanzaError> {
    let cx = call.entity;
    if let Some(x) = cx.stanza.child("x", USER).map(|x| x.parse()) {
        let invitations = invitations(x.root())?;
        if !invitations.is_empty() {
            return invite(call, state, invitations);
        }
        if let Some(decline) = x.root().child("decline", USER) {
            return self::decline(call, state, decline).map(|()| Routed::Done);
        }
    }
    if let Some(form) = voice::form(cx.stanza) {
        return voice::message(call, state, &form).map(|()| Routed::Done);
    }
    let mut features = call.core.features.iter();
    if let Some(routed) = features.find_map(|f| f.note(call, state)) {
        return Ok(routed);
    }
    if state.occupants.of(cx.from).is_none() {
        return Err(StanzaError::not_acceptable().text("you are not in the room"));
    }
    // XEP-0045 §7.4: other messages to the room are refused.
    Err(StanzaError::bad_request().text("messages to all are of type groupchat"))
}

fn reason(el: Element<'_>) -> Option<String> {
    let reason = el.child("reason", USER)?.text();
    let reason = reason[..reason.floor_char_boundary(REASON)].to_owned();
    Some(reason).filter(|r| !r.is_empty())
}

fn invitations(x: Element<'_>) -> Result<Vec<Invitation>, StanzaError> {
    let invitations = x.children().filter(|c| c.is("invite", USER));
    let invitations: Vec<Invitation> = invitations
        .take(AT_ONCE + 1)
        .map(|invite| {
            let to = invite.attr("to").ok_or_else(StanzaError::bad_request)?;
            let thread = invite.child("continue", USER);
            Ok(Invitation {
                to: Jid::parse(&to)?,
                reason: reason(invite),
                thread: thread.map(|c| c.attr("thread").map(|t| t.into_owned())),
            })
        })
        .collect::<Result<_, StanzaError>>()?;
    match invitations.len() > AT_ONCE {
        true => Err(StanzaError::resource_constraint().text("too many invitations at once")),
        false => Ok(invitations),
    }
}

/// XEP-0045 §7.8.2: the room invites in its own name; into one for members only it makes them members.
fn invite(
    call: &Call<'_>,
    state: &mut State,
    invitations: Vec<Invitation>,
) -> Result<Routed, StanzaError> {
    let cx = call.entity;
    let who = state.standing(cx.from);
    if state.occupants.of(cx.from).is_none() && !who.administers() {
        return Err(StanzaError::not_acceptable().text("you are not in the room"));
    }
    if !state.config.may_invite(who) {
        // XEP-0045 §7.8.2, §9.5: who may not invite is told so with forbidden.
        return Err(StanzaError::forbidden().text("you may not invite others"));
    }
    let new: Vec<BareJid> = invitations
        .iter()
        .map(|i| i.to.to_bare())
        .filter(|user| {
            state.config.members_only && state.affiliation(user.as_str()) == Affiliation::None
        })
        .collect();
    if invitations
        .iter()
        .any(|i| state.affiliation(i.to.bare_str()) == Affiliation::Outcast)
    {
        return Err(StanzaError::forbidden().text("who is banned is not invited"));
    }
    if state.roll.len() + new.len() > admin::NAMES {
        return Err(StanzaError::resource_constraint().text("the lists of this room are full"));
    }
    if new.is_empty() || !state.config.persistent {
        for user in new {
            enlist(call, state, user);
        }
        send(call, state, &invitations);
        return Ok(Routed::Done);
    }
    let parked = call.park();
    Ok(Routed::later(async move {
        let call = parked.call();
        let cx = call.entity;
        let _alone = call.room.changing.lock().await;
        let mut batch = Batch::new();
        for user in &new {
            let member = Enrolled::new(Affiliation::Member);
            records::put_enrolled(&mut batch, &call.room.jid, user.as_str(), &member);
        }
        if let Err(error) = cx.server.store().commit(batch).await {
            return cx.refuse(&store_failure(&error));
        }
        let mut state = call.room.lock();
        for user in new {
            if state.affiliation(user.as_str()) == Affiliation::None {
                enlist(&call, &mut state, user);
            }
        }
        send(&call, &state, &invitations);
        leave::settle(&call, &mut state);
    }))
}

/// Who is invited into a room for members only is a member.
fn enlist(call: &Call<'_>, state: &mut State, user: BareJid) {
    let name = user.as_str().to_owned();
    admin::enroll(state, user, Enrolled::new(Affiliation::Member));
    let code = Status::RemovedByAffiliation;
    admin::affiliate(call, state, &name, Cause::default(), code);
}

fn send(call: &Call<'_>, state: &State, invitations: &[Invitation]) {
    let cx = call.entity;
    // XEP-0045 §7.8.2: from the room, with who invites: as everybody in it knows them.
    let real = cx.from.to_bare();
    let inviter = match state.occupants.of(cx.from) {
        Some(occupant) if state.config.whois == super::config::Whois::Moderators => &occupant.jid,
        _ => &*real,
    };
    for invitation in invitations {
        let mut w = XmlWriter::new();
        w.start("x").attr("xmlns", USER);
        w.start("invite").attr("from", inviter.as_str());
        if let Some(reason) = &invitation.reason {
            w.text_element("reason", reason);
        }
        if let Some(thread) = &invitation.thread {
            w.start("continue")
                .opt_attr("thread", thread.as_deref())
                .end();
        }
        w.end();
        if let Some(password) = state.config.password() {
            w.text_element("password", password);
        }
        w.end();
        let content = w.finish();
        notice(call.room, &invitation.to, &content, cx.server);
    }
}

/// XEP-0045 §7.8.2: whoever was invited says no, to the one who invited.
fn decline(call: &Call<'_>, state: &State, decline: Element<'_>) -> Result<(), StanzaError> {
    let cx = call.entity;
    let to = decline.attr("to").ok_or_else(StanzaError::bad_request)?;
    let to = Jid::parse(&to)?;
    let inviter = match to.bare_str() == call.room.jid.as_str() {
        true => state.occupants.by_nick(to.resource().unwrap_or_default()),
        false => state.occupants.of_user(to.bare_str()).next(),
    };
    // Nobody else gets a message from the room this way.
    let inviter = inviter.ok_or_else(StanzaError::item_not_found)?;
    let mut w = XmlWriter::new();
    w.start("x").attr("xmlns", USER);
    w.start("decline").attr("from", cx.from.bare_str());
    if let Some(reason) = reason(decline) {
        w.text_element("reason", &reason);
    }
    w.end().end();
    let content = w.finish();
    for session in &inviter.sessions {
        notice(call.room, &session.jid, &content, cx.server);
    }
    Ok(())
}
