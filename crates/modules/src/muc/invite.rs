//! Messages to the room that are not for all: invitations through the room, and requests for voice (XEP-0045 §7.8, §7.13, §8.6).

use tercet_core::{BareJid, Element, Jid, StanzaError, XmlWriter};
use tercet_server::{Routed, store_failure};
use tercet_store::Batch;

use super::affiliation::Affiliation;
use super::config::Whois;
use super::features::invitations::{Declined, Inviter, Sent};
use super::message::notice;
use super::presence::{Cause, USER};
use super::room::{Enrolled, State};
use super::status::Status;
use super::{Call, admin, leave, pace, records, voice};

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

/// What the room remembers when these users are invited in the name of the sender, who may do so: see [`call_in`].
pub(super) fn remembering<'a>(
    call: &Call<'_>,
    state: &State,
    users: impl Iterator<Item = &'a BareJid>,
) -> Sent {
    let mut sent = Sent::of(state);
    let by = inviter(call, state);
    let now_ms = call.entity.server.now_ms();
    // The service itself is told nothing.
    for user in users.filter(|_| by.user.local().is_some()) {
        sent.add(&by, user.clone(), now_ms);
    }
    sent
}

/// Invites users in the name of the sender, who may do so; `sent` is what [`remembering`] gave, durable if the room is.
pub(super) fn call_in(call: &Call<'_>, state: &mut State, users: &[BareJid], sent: Sent) {
    let invitation = |user: &BareJid| Invitation {
        to: user.clone().into(),
        reason: None,
        thread: None,
    };
    let invitations: Vec<Invitation> = users.iter().map(invitation).collect();
    if !invitations.is_empty() {
        state.data.put(sent);
        send(call, state, &invitations);
    }
}

/// Who the sender is to those whom it invites: as everybody in the room knows it.
fn inviter(call: &Call<'_>, state: &State) -> Inviter {
    let user = call.entity.from.to_bare();
    let shown = match state.occupants.of(call.entity.from) {
        Some(occupant) if state.config.whois == Whois::Moderators => occupant.jid.clone(),
        _ => user.clone().into(),
    };
    Inviter { user, shown }
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
            return self::decline(call, state, decline);
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
    if let Some(place) = state.occupants.place_of(cx.from) {
        pace::speaks(&call.core.settings, state, place, cx.server.now_ms())?;
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
    if !state.config.persistent || state.locked {
        let users: Vec<BareJid> = invitations.iter().map(|i| i.to.to_bare()).collect();
        let sent = remembering(call, state, users.iter());
        done(call, state, new, &invitations, sent);
        return Ok(Routed::Done);
    }
    let parked = call.park();
    Ok(Routed::later(async move {
        let call = parked.call();
        let cx = call.entity;
        let _alone = call.room.changing.lock().await;
        let users: Vec<BareJid> = invitations.iter().map(|i| i.to.to_bare()).collect();
        let (sent, commit) = {
            let state = call.room.lock();
            let sent = remembering(&call, &state, users.iter());
            let mut batch = Batch::new();
            sent.put(&mut batch, &call.room.jid);
            for user in &new {
                let member = Enrolled::new(Affiliation::Member);
                records::put_enrolled(&mut batch, &call.room.jid, user.as_str(), &member);
            }
            (sent, cx.server.store().commit(batch))
        };
        if let Err(error) = commit.await {
            return cx.refuse(&store_failure(&error));
        }
        let mut state = call.room.lock();
        done(&call, &mut state, new, &invitations, sent);
        leave::settle(&call, &mut state);
    }))
}

/// What is durable is done, and told.
fn done(
    call: &Call<'_>,
    state: &mut State,
    new: Vec<BareJid>,
    invitations: &[Invitation],
    sent: Sent,
) {
    for user in new {
        if state.affiliation(user.as_str()) == Affiliation::None {
            enlist(call, state, user);
        }
    }
    state.data.put(sent);
    send(call, state, invitations);
}

/// Who is invited into a room for members only is a member.
fn enlist(call: &Call<'_>, state: &mut State, user: BareJid) {
    let name = user.as_str().to_owned();
    admin::enroll(state, user, Enrolled::new(Affiliation::Member));
    let code = Status::RemovedByAffiliation;
    admin::affiliate(call, state, &name, Cause::default(), code);
}

fn send(call: &Call<'_>, state: &State, invitations: &[Invitation]) {
    // XEP-0045 §7.8.2: from the room, with who invites.
    let inviter = inviter(call, state).shown;
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
        notice(call.room, &invitation.to, &content, call.entity.server);
    }
}

/// XEP-0045 §7.8.2: whoever was invited says no, to the one who invited.
fn decline(
    call: &Call<'_>,
    state: &mut State,
    decline: Element<'_>,
) -> Result<Routed, StanzaError> {
    let cx = call.entity;
    let to = decline.attr("to").ok_or_else(StanzaError::bad_request)?;
    let to = Jid::parse(&to)?;
    let reason = reason(decline);
    let mut sent = Sent::of(state);
    let by = match sent.decline(cx.from.bare_str(), &to, cx.server.now_ms()) {
        Declined::By(user) => user,
        Declined::NotByThem => return Ok(Routed::Done),
        // Nobody else gets a message from the room this way.
        Declined::NotInvited => {
            return Err(StanzaError::item_not_found().text("nobody has invited you here"));
        }
    };
    if !state.config.persistent || state.locked {
        state.data.put(sent);
        tell_declined(call, state, &by, reason.as_deref());
        return Ok(Routed::Done);
    }
    let parked = call.park();
    Ok(Routed::later(async move {
        let call = parked.call();
        let cx = call.entity;
        let _alone = call.room.changing.lock().await;
        let (sent, commit) = {
            let mut sent = Sent::of(&call.room.lock());
            // Another device of the user may have been faster.
            let declined = sent.decline(cx.from.bare_str(), &to, cx.server.now_ms());
            if !matches!(declined, Declined::By(_)) {
                return;
            }
            let mut batch = Batch::new();
            sent.put(&mut batch, &call.room.jid);
            (sent, cx.server.store().commit(batch))
        };
        if let Err(error) = commit.await {
            return cx.refuse(&store_failure(&error));
        }
        let mut state = call.room.lock();
        state.data.put(sent);
        tell_declined(&call, &state, &by, reason.as_deref());
    }))
}

/// Tells who invited that the sender does not come: in the room, or wherever it is.
fn tell_declined(call: &Call<'_>, state: &State, by: &BareJid, reason: Option<&str>) {
    let cx = call.entity;
    let mut w = XmlWriter::new();
    w.start("x").attr("xmlns", USER);
    w.start("decline").attr("from", cx.from.bare_str());
    if let Some(reason) = reason {
        w.text_element("reason", reason);
    }
    w.end().end();
    let content = w.finish();
    let here = state.occupants.of_user(by.as_str());
    let here: Vec<&Jid> = here.flat_map(|o| &o.sessions).map(|s| &s.jid).collect();
    match here.is_empty() {
        true => notice(call.room, by, &content, cx.server),
        false => {
            for session in here {
                notice(call.room, session, &content, cx.server);
            }
        }
    }
}
