//! Messages to a room and between its occupants (XEP-0045 §7.4, §7.5, §8.1).

use tercet_core::{
    Edit, Jid, MessageType, OwnedElement, SharedStanza, StanzaError, StanzaKind, XmlWriter, delay,
};
use tercet_server::{Handed, Routed, store_failure};
use tercet_store::Batch;

use super::affiliation::RoleRight;
use super::features::RoomFeature;
use super::presence::USER;
use super::room::{Room, State, Subject};
use super::{Call, features, gather, invite, leave, pace, records};

/// Errors that say that whoever gets a room's messages is not there any more.
const GONE: &[&str] = &[
    "gone",
    "internal-server-error",
    "item-not-found",
    "jid-malformed",
    "recipient-unavailable",
    "redirect",
    "remote-server-not-found",
    "remote-server-timeout",
    "service-unavailable",
];

/// Namespaces and names of elements that only rooms may add; of messages to all they are left out.
const OWN: &[(&str, &str)] = &[
    ("x", USER),
    ("occupant-id", "urn:xmpp:occupant-id:0"),
    ("hats", "urn:xmpp:hats:0"),
];

/// A message to all that its sender may send, on its way through the features.
pub struct Speech<'a> {
    /// The stanza with its addresses, and the room.
    pub call: &'a Call<'a>,
    /// The room, locked.
    pub state: &'a mut State,
    /// The place of the sender among the occupants.
    pub place: usize,
    /// The places of children that nobody gets, in any order.
    pub leave_out: Vec<u32>,
    /// Elements that are added, whole.
    pub append: Vec<u8>,
    /// The id that the room's archive gives to the message.
    pub id: Option<String>,
    /// What is kept with the message: the sender is not told that it was taken before it is durable.
    pub keep: Batch,
    /// Whether those who enter later are told of it; false for what means nothing later.
    pub remembered: bool,
}

/// A message for a room that is in memory, or for one of its occupants. `None`: the room has gone meanwhile.
pub(super) fn message(call: &Call<'_>) -> Option<Routed> {
    let cx = call.entity;
    let mut state = call.room.lock();
    if state.gone {
        return None;
    }
    let kind = cx.stanza.message_type();
    let outcome = match (kind, cx.to.is_full()) {
        (MessageType::Error, _) => {
            bounced(call, &mut state);
            Ok(Routed::Done)
        }
        (MessageType::Groupchat, false) => speak(call, &mut state),
        // XEP-0045 §7.5: a message of type groupchat to an occupant is bad-request.
        (MessageType::Groupchat, true) => Err(StanzaError::bad_request()
            .text("messages of type groupchat are for the room, not for one of its occupants")),
        (_, true) => whisper(call, &mut state).map(|()| Routed::Done),
        (_, false) => invite::message(call, &mut state),
    };
    leave::settle(call, &mut state);
    drop(state);
    Some(outcome.unwrap_or_else(|error| {
        cx.refuse(&error);
        Routed::Done
    }))
}

/// An error to something that the room sent. A session of this server is known to be there or not; of others it says so.
fn bounced(call: &Call<'_>, state: &mut State) {
    let cx = call.entity;
    let error = cx.stanza.own_child("error").map(|e| e.parse());
    let is_gone = error.is_some_and(|error: OwnedElement| {
        let mut conditions = error.root().children();
        conditions.any(|c| GONE.contains(&c.name()))
    });
    let is_local = state
        .occupants
        .of(cx.from)
        .and_then(|o| o.session(cx.from))
        .is_some_and(|s| s.session.as_ref().is_some_and(|s| s.outbox().is_open()));
    if is_gone && !is_local {
        leave::ghost(call, state, cx.from);
    }
}

/// XEP-0045 §7.4: a message to all.
fn speak(call: &Call<'_>, state: &mut State) -> Result<Routed, StanzaError> {
    let cx = call.entity;
    let Some(place) = state.occupants.place_of(cx.from) else {
        // XEP-0045 §7.4: who is not in the room is told so with not-acceptable.
        return Err(StanzaError::not_acceptable().text("you are not in the room"));
    };
    pace::speaks(&call.core.settings, state, place, cx.server.now_ms())?;
    if is_subject(&cx) {
        return change_subject(call, state, place);
    }
    if !state.occupants.at(place).role.may(RoleRight::Speak) {
        // XEP-0045 §7.4: a visitor has no voice, and is told so with forbidden.
        return Err(StanzaError::forbidden().text("you have no voice in this room"));
    }
    let remembered = cx.stanza.own_child("body").is_some();
    let checked = check(call, state, place, remembered, |feature, speech| {
        feature.message(speech)
    })?;
    gather::introduce(call, state, place);
    let from = state.occupants.at(place).jid.clone();
    // XEP-0045 §7.4: from the occupant, to each occupant, the sender included; otherwise as it came, with its id.
    let lang = cx.lang;
    let shared = cx
        .stanza
        .share_edited(Some(from.as_str()), lang, checked.edit());
    state.cast(cx.server, &from, cx.stanza, |_, _| Some(&shared));
    if checked.remembered && state.config.max_history > 0 {
        let mut written = Vec::with_capacity(shared.byte_len());
        shared.write(&mut written, None);
        let keep = state.config.max_history as usize;
        let now_ms = cx.server.now_ms();
        let id = checked.id.as_deref();
        state.history.add(now_ms, &from, id, &written, keep);
    }
    match checked.keep.is_empty() {
        true => Ok(Routed::Done),
        false => Ok(cx.keep(checked.keep)),
    }
}

/// What the features have made of a message to all.
struct Checked {
    /// In order.
    leave_out: Vec<u32>,
    append: Vec<u8>,
    id: Option<String>,
    keep: Batch,
    remembered: bool,
}

impl Checked {
    fn edit(&self) -> Edit<'_> {
        Edit {
            leave_out: &self.leave_out,
            append: &self.append,
        }
    }
}

/// Lets all features look at the message of the occupant at a place, as `ask` says.
///
/// # Errors
/// What one of them refuses it with.
fn check(
    call: &Call<'_>,
    state: &mut State,
    place: usize,
    remembered: bool,
    ask: impl Fn(&dyn RoomFeature, &mut Speech<'_>) -> Result<(), StanzaError>,
) -> Result<Checked, StanzaError> {
    let cx = call.entity;
    let mut append = cx.edit.append.to_vec();
    features::stamp(
        &call.core.features,
        state,
        state.occupants.at(place),
        &mut append,
    );
    let mut speech = Speech {
        call,
        state,
        place,
        leave_out: left_out(&cx),
        append,
        id: None,
        keep: Batch::new(),
        remembered,
    };
    for feature in call.core.features.iter() {
        ask(&**feature, &mut speech)?;
    }
    Ok(Checked {
        leave_out: in_order(speech.leave_out),
        append: speech.append,
        id: speech.id,
        keep: speech.keep,
        remembered: speech.remembered,
    })
}

/// The places of children that nobody gets: those that a stage leaves out, and what only rooms may say.
fn left_out(cx: &tercet_server::module::EntityCx<'_>) -> Vec<u32> {
    let own = cx.stanza.children().enumerate();
    let own = own.filter(|(_, c)| OWN.iter().any(|(name, ns)| c.is(name, ns)) || forged_id(c, cx));
    let own = own.filter_map(|(place, _)| u32::try_from(place).ok());
    cx.edit.leave_out.iter().copied().chain(own).collect()
}

/// Places as [`Edit::leave_out`] has them: in order, each once.
fn in_order(mut places: Vec<u32>) -> Vec<u32> {
    places.sort_unstable();
    places.dedup();
    places
}

/// Whether an id claims to be given by the room, or by an account of this server that may be a recipient.
fn forged_id(child: &tercet_core::Child<'_>, cx: &tercet_server::module::EntityCx<'_>) -> bool {
    if !child.is("stanza-id", "urn:xmpp:sid:0") {
        return false;
    }
    // XEP-0359 §3.2: ids in the name under which we would set them are deleted.
    let id = child.parse();
    match id.root().attr("by").map(|by| Jid::parse(&by)) {
        Some(Ok(by)) => cx.server.host(by.domain()).is_some(),
        Some(Err(_)) | None => true,
    }
}

/// XEP-0045 §8.1: a message with a subject and neither body nor thread.
fn is_subject(cx: &tercet_server::module::EntityCx<'_>) -> bool {
    let has = |name| cx.stanza.own_child(name).is_some();
    has("subject") && !has("body") && !has("thread")
}

/// XEP-0045 §8.1: everybody is told of it, and of a persistent room it is kept.
fn change_subject(call: &Call<'_>, state: &mut State, place: usize) -> Result<Routed, StanzaError> {
    let cx = call.entity;
    let occupant = state.occupants.at(place);
    if !state.config.may_change_subject(occupant.role) {
        // XEP-0045 §8.1: who may not change the subject is told so with forbidden.
        return Err(StanzaError::forbidden().text("you may not change the subject"));
    }
    let by = occupant.jid.clone();
    let mut checked = check(call, state, place, false, |feature, speech| {
        feature.subject(speech);
        Ok(())
    })?;
    let mut keep = std::mem::take(&mut checked.keep);
    let mut xml = Vec::new();
    for child in cx.stanza.children() {
        if child.name() == "subject" && child.ns() == cx.stanza.content_ns() {
            xml.extend_from_slice(child.raw());
        }
    }
    // With the id under which it is archived: who enters and reads the archive knows it again.
    xml.extend_from_slice(&checked.append[cx.edit.append.len()..]);
    let subject = Subject {
        xml,
        by: Some(by),
        at_ms: cx.server.now_ms(),
    };
    if !state.config.persistent {
        tell_subject(call, state, subject, &checked);
        return Ok(match keep.is_empty() {
            true => Routed::Done,
            false => cx.keep(keep),
        });
    }
    records::put_subject(&mut keep, &call.room.jid, &subject);
    let parked = call.park();
    Ok(Routed::later(async move {
        let call = parked.call();
        let _alone = call.room.changing.lock().await;
        // Others hear of it once it is durable.
        if let Err(error) = call.entity.server.store().commit(keep).await {
            return call.entity.refuse(&store_failure(&error));
        }
        let mut state = call.room.lock();
        tell_subject(&call, &mut state, subject, &checked);
        leave::settle(&call, &mut state);
    }))
}

fn tell_subject(call: &Call<'_>, state: &mut State, subject: Subject, checked: &Checked) {
    let cx = call.entity;
    let from = subject.by.clone().unwrap_or_else(|| cx.to.clone());
    state.subject = subject;
    gather::flush(call, state);
    let lang = cx.lang;
    let shared = cx
        .stanza
        .share_edited(Some(from.as_str()), lang, checked.edit());
    state.cast(cx.server, &from, cx.stanza, |_, _| Some(&shared));
}

/// The subject as who enters is told (XEP-0045 §7.2.15): always, also if there is none.
pub(super) fn subject(state: &State, room: &Jid) -> SharedStanza {
    let Subject { xml, by, at_ms } = &state.subject;
    let from = by.as_ref().unwrap_or(room);
    let type_ = Some("groupchat");
    SharedStanza::compose(StanzaKind::Message, from.as_str(), type_, |out| {
        if xml.is_empty() {
            return out.extend_from_slice(b"<subject/>");
        }
        out.extend_from_slice(xml);
        let mut w = XmlWriter::into(std::mem::take(out));
        let at_ms = i64::try_from(*at_ms).unwrap_or(i64::MAX);
        delay::write(&mut w, Some(room.as_str()), at_ms, None);
        *out = w.finish();
    })
}

/// XEP-0045 §7.5: a private message, to every session of the other.
fn whisper(call: &Call<'_>, state: &mut State) -> Result<(), StanzaError> {
    let cx = call.entity;
    let Some(place) = state.occupants.place_of(cx.from) else {
        // XEP-0045 §7.5: who is not in the room is told so with not-acceptable.
        return Err(StanzaError::not_acceptable().text("you are not in the room"));
    };
    pace::speaks(&call.core.settings, state, place, cx.server.now_ms())?;
    gather::introduce(call, state, place);
    let sender = state.occupants.at(place);
    let nick = cx.to.resource().unwrap_or_default();
    let Some(other) = state.occupants.by_nick(nick) else {
        // XEP-0045 §7.5: a nick that nobody has is item-not-found.
        return Err(StanzaError::item_not_found().text("nobody here has this nick"));
    };
    if !state.config.may_send_private(sender.role) {
        // XEP-0045 §7.5: who may send no private messages is told so with forbidden.
        return Err(StanzaError::forbidden().text("you may send no private messages here"));
    }
    let leave_out = in_order(left_out(&cx));
    // XEP-0045 §7.5: marked as what it is, for carbons and archives.
    let mut append = [
        cx.edit.append,
        b"<x xmlns='http://jabber.org/protocol/muc#user'/>",
    ]
    .concat();
    features::stamp(&call.core.features, state, sender, &mut append);
    let edit = Edit {
        leave_out: &leave_out,
        append: &append,
    };
    let from = sender.jid.clone();
    let shared = cx.stanza.share_edited(Some(from.as_str()), cx.lang, edit);
    let mut reached = false;
    let mut gone = Vec::new();
    let mut out = cx.server.fan_out(&from, cx.stanza);
    for session in &other.sessions {
        match out.share(&session.jid, session.session.as_ref(), &shared) {
            Handed::Taken => reached = true,
            Handed::Unwanted => {}
            Handed::Gone => gone.push(session.jid.clone()),
        }
    }
    drop(out);
    for ghost in gone {
        leave::ghost(call, state, &ghost);
    }
    match reached {
        true => Ok(()),
        false => Err(StanzaError::service_unavailable()),
    }
}

/// A message of the room itself with this content, to one real address; who it is for need not be here.
pub(super) fn notice(room: &Room, to: &Jid, content: &[u8], server: &tercet_server::Server) {
    let from: &Jid = &room.jid;
    let shared = SharedStanza::compose(StanzaKind::Message, from.as_str(), None, |out| {
        out.extend_from_slice(content);
    });
    let mut stanza = Vec::new();
    shared.write(&mut stanza, Some(to.as_str()));
    server.post(from, to, &stanza);
}
