//! Entering a room, and what is said at the door (XEP-0045 §7.2, §7.6, §10.1).

use std::sync::Arc;

use tercet_core::{BareJid, Element, Jid, PresenceType, StanzaError, StanzaKind, XmlWriter};
use tercet_server::module::EntityCx;
use tercet_server::{Announcements, RoomCreation, Routed, store_failure};

use super::affiliation::{Affiliation, Role, Standing, initial_role};
use super::config::Whois;
use super::features::Entry;
use super::history::Wanted;
use super::occupant::{Occupant, Presentee, Shown};
use super::presence::{self, Cause, Item, USER};
use super::room::{Enrolled, State};
use super::service::closed;
use super::status::Status;
use super::{Call, Core, MUC, gather, leave, nick, pace, show, upkeep};

/// Namespaces whose elements in presence are the room's own: what clients send in them is left out.
const OWN: &[&str] = &[
    MUC,
    USER,
    "urn:xmpp:occupant-id:0",
    "urn:xmpp:hats:0",
    "xmpp:prosody.im/protocol/hats:1",
];

/// Presence for a room that is in memory. `None`: the room has gone meanwhile.
pub(super) fn presence(call: &Call<'_>) -> Option<Routed> {
    let cx = call.entity;
    let mut state = call.room.lock();
    if state.gone {
        return None;
    }
    match cx.stanza.presence_type() {
        Some(PresenceType::Available) => {
            let routed = available(call, &mut state);
            leave::settle(call, &mut state);
            return Some(routed);
        }
        Some(PresenceType::Unavailable) => {
            let shown = shown(&cx);
            leave::leave(
                call,
                &mut state,
                cx.from,
                Some(shown),
                &[],
                Cause::default(),
            );
        }
        // XEP-0045 §18.2: who cannot be reached is not here any more.
        Some(PresenceType::Error) => leave::ghost(call, &mut state, cx.from),
        _ => {}
    }
    leave::settle(call, &mut state);
    Some(Routed::Done)
}

/// Presence for a room that is not in memory.
pub(super) async fn presence_to_unloaded(core: &Arc<Core>, cx: EntityCx<'_>) {
    let jid: BareJid = cx.to.to_bare();
    let service = core.service(cx.server);
    let x = cx.stanza.child("x", MUC).is_some();
    // Who would be refused has nothing read from the store.
    if x && let Err(error) =
        service
            .joins
            .check(&core.settings, &cx.from.to_bare(), cx.server.now_ms())
    {
        return refuse(&cx, &error);
    }
    let there = || service.find(cx.server, &core.features, &jid);
    let may_make = match x && cx.to.is_full() && !matches!(there().await, Ok(Some(_))) {
        true => may_make(core, cx).await,
        false => Err(StanzaError::item_not_found()),
    };
    // A room that goes while it is entered is made anew; not for ever.
    for _ in 0..8 {
        let make = || {
            may_make.as_ref().ok()?;
            let mut state = core.new_room(cx.server);
            state.locked = true;
            let owner = Enrolled::new(Affiliation::Owner);
            state.roll.insert(cx.from.to_bare(), owner);
            Some(state)
        };
        let found = service
            .find_or_make(cx.server, &core.features, &jid, make)
            .await;
        let room = match found {
            Ok(Some(room)) => room,
            Ok(None) if service.is_closed() => return refuse(&cx, &closed()),
            Ok(None) if !x => return not_here(&cx),
            Ok(None) => {
                let error = may_make.err();
                return refuse(&cx, &error.unwrap_or_else(StanzaError::item_not_found));
            }
            Err(error) => return refuse(&cx, &store_failure(&error)),
        };
        let call = Call {
            entity: cx,
            core,
            room: &room,
        };
        if let Some(routed) = presence(&call) {
            return routed.wait().await;
        }
    }
    refuse(&cx, &StanzaError::resource_constraint());
}

/// Whether the sender may make a room.
async fn may_make(core: &Arc<Core>, cx: EntityCx<'_>) -> Result<(), StanzaError> {
    let user = cx.from.to_bare();
    let host = cx.server.host(user.domain());
    let allowed = match core.settings.creation {
        RoomCreation::Everybody => true,
        RoomCreation::Users => host.is_some_and(|host| host.has_accounts()),
        RoomCreation::Admins => cx.server.is_admin(&user).await.unwrap_or(false),
    };
    if allowed {
        let most = core.settings.per_user;
        let owned = upkeep::owned(cx.server, core, &user, most).await;
        return match owned.map_err(|error| store_failure(&error))? < most {
            true => Ok(()),
            false => Err(StanzaError::resource_constraint()
                .text(format!("you own {most} rooms; more are not allowed"))),
        };
    }
    // XEP-0045 §7.2 and §10.1.1: who may not make rooms is refused with not-allowed.
    Err(StanzaError::not_allowed().text("you may not make rooms here"))
}

/// The client's presence, as others may see it.
fn shown(cx: &EntityCx<'_>) -> Shown {
    let mut leave_out: Vec<u32> = cx.edit.leave_out.to_vec();
    let own = cx.stanza.children().enumerate();
    let own = own.filter(|(_, child)| OWN.contains(&child.ns()));
    leave_out.extend(own.filter_map(|(place, _)| u32::try_from(place).ok()));
    leave_out.sort_unstable();
    leave_out.dedup();
    Shown::new(cx.stanza, &leave_out, cx.lang)
}

fn available(call: &Call<'_>, state: &mut State) -> Routed {
    let cx = call.entity;
    let x = cx.stanza.child("x", MUC).map(|x| x.parse());
    let Some(nick) = cx.to.resource() else {
        // XEP-0045 §7.2.1: presence to the room itself, without a nick, is jid-malformed.
        refuse(&cx, &StanzaError::jid_malformed().text("which nick?"));
        return Routed::Done;
    };
    let known = state.occupants.of(cx.from);
    let known = known.and_then(|o| o.session(cx.from)?.session.as_ref());
    if let (Some(known), Some(session)) = (known, cx.session)
        && !Arc::ptr_eq(known, session)
    {
        // Another session under the same address: the one that was here has ended.
        leave::ghost(call, state, cx.from);
    }
    let here = state.occupants.place_of(cx.from);
    match (here, x) {
        (Some(place), x) if state.occupants.at(place).nick() == nick => {
            update(call, state, place, x.is_some());
        }
        (Some(place), _) => change_nick(call, state, place, nick),
        (None, Some(x)) => {
            let mut features = call.core.features.iter();
            if let Some(routed) = features.find_map(|f| f.arrive(call, state, x.root())) {
                return routed;
            }
            if let Err(error) = enter(call, state, nick, x.root()) {
                refuse(&cx, &error);
            }
        }
        (None, None) => not_here(&cx),
    }
    Routed::Done
}

/// XEP-0045 §7.2.15: who sends presence without being here, and without a wish to enter, believes to be here.
fn not_here(cx: &EntityCx<'_>) {
    let item = Item {
        affiliation: Affiliation::None,
        role: Role::None,
        jid: None,
        nick: None,
        cause: Cause {
            actor: None,
            reason: Some("You are not in the room."),
            more: &[],
        },
    };
    let mut x = Vec::new();
    let codes = [Status::SelfPresence, Status::Kicked, Status::RemovedByError];
    item.write(&codes, &[], &mut x);
    cx.reply(|out| presence::unavailable(cx.to, &x).write(out, Some(cx.from.as_str())));
}

/// Refuses a presence. Clients know a refusal by the element with which they asked.
pub(super) fn refuse(cx: &EntityCx<'_>, error: &StanzaError) {
    if !cx.stanza.may_bounce() {
        return;
    }
    cx.reply(|out| {
        let mut w = XmlWriter::into(std::mem::take(out));
        w.start("presence")
            .attr("type", "error")
            .attr("from", cx.to.as_str())
            .attr("to", cx.from.as_str())
            .opt_attr("id", cx.stanza.id().as_deref());
        if cx.stanza.child("x", MUC).is_some() {
            w.leaf("x", &[("xmlns", MUC)]);
        }
        error.write(&mut w);
        w.end();
        *out = w.finish();
    });
}

/// Refuses a stanza of any kind, unless it is presence that asks for nothing.
pub(super) fn refuse_any(cx: &EntityCx<'_>, error: &StanzaError) {
    match cx.stanza.kind() {
        StanzaKind::Presence if cx.stanza.presence_type() != Some(PresenceType::Available) => {}
        StanzaKind::Presence => refuse(cx, error),
        StanzaKind::Message | StanzaKind::Iq => cx.refuse(error),
    }
}

/// Checks whether the sender may enter, and as what.
fn admit(
    call: &Call<'_>,
    state: &State,
    nick: &str,
    x: Element<'_>,
) -> Result<Standing, StanzaError> {
    let real = call.entity.from;
    let affiliation = state.affiliation(real.bare_str());
    // XEP-0045 §7.2.12: a room that is not configured yet is not there for others.
    if state.locked && affiliation != Affiliation::Owner {
        return Err(StanzaError::item_not_found().text("the room is being made"));
    }
    let role = initial_role(affiliation, state.config.kind())?;
    let entry = Entry {
        real,
        affiliation,
        nick,
        x,
        now_ms: call.entity.server.now_ms(),
    };
    for feature in call.core.features.iter() {
        feature.enter(state, &entry)?;
    }
    nick::check(state, nick, real)?;
    if state.occupants.by_nick(nick).is_none() {
        let most = call.core.settings.occupants;
        let own = state.config.max_users.map(|n| n as usize);
        // XEP-0045 §7.2.11: a full room is service-unavailable; its admins get in. The example has the type wait, RFC 6120
        // §8.3.3.19 cancel, and there are clients that show it with that one alone.
        let full = state.occupants.len() >= own.unwrap_or(most) && affiliation < Affiliation::Admin;
        if full || state.occupants.len() >= most {
            return Err(StanzaError::service_unavailable().text("the room is full"));
        }
    }
    Ok(Standing { affiliation, role })
}

fn enter(
    call: &Call<'_>,
    state: &mut State,
    nick: &str,
    x: Element<'_>,
) -> Result<(), StanzaError> {
    let cx = call.entity;
    let (user, now_ms) = (cx.from.to_bare(), cx.server.now_ms());
    let settings = &call.core.settings;
    let joins = &call.core.service(cx.server).joins;
    // Counted first, so that nobody tries passwords, either.
    joins.count(settings, &user, now_ms)?;
    let standing = admit(call, state, nick, x)?;
    pace::entered(settings, state, &user, now_ms);
    let wanted = match x.child("history", MUC) {
        Some(history) => Wanted::parse(history)?,
        None => Wanted::default(),
    };
    let was_empty = state.occupants.is_empty();
    let list = list(call, state, standing.role, nick);
    let session = Presentee {
        jid: cx.from.clone(),
        session: cx.session.cloned(),
        presence: shown(&cx),
    };
    let place = match state.occupants.place_of_nick(nick) {
        // Another device of the same person: nobody else need know.
        Some(place) => {
            state.occupants.add_session(place, session);
            place
        }
        None => {
            let user = cx.from.to_bare();
            let occupant = Occupant::new(cx.to.clone(), user, standing, session);
            let place = state.occupants.add(occupant);
            show::joined(call, state, place);
            place
        }
    };
    let created = state.locked && was_empty;
    welcome(call, state, place, x, (list, wanted), created);
    Ok(())
}

/// In a large room, who is here but for who enters with that role under that nick; everybody has been told of them and will be told
/// of all that changes.
fn list(call: &Call<'_>, state: &mut State, role: Role, nick: &str) -> Option<Announcements> {
    if !gather::is_large(call, state) {
        return None;
    }
    let real = state.config.shows_addresses_to(role);
    Some(match state.occupants.place_of_nick(nick) {
        Some(own) => {
            gather::flush(call, state);
            gather::listed(call, state, real, Some(own))
        }
        None => gather::told(call, state, real),
    })
}

/// What who enters is told: who is here, that it is here, what was said, and what is talked of; in this order (XEP-0045 §7.2.2 and
/// following).
fn welcome(
    call: &Call<'_>,
    state: &mut State,
    place: usize,
    x: Element<'_>,
    (list, wanted): (Option<Announcements>, Wanted),
    created: bool,
) {
    let cx = call.entity;
    let mut more = Vec::new();
    for feature in call.core.features.iter() {
        more.extend(feature.entered(call, state, x));
    }
    let room: &Jid = &call.room.jid;
    let own = state.occupants.at(place);
    let real = state.config.shows_addresses_to(own.role);
    let Some(session) = own.session(cx.from) else {
        return;
    };
    let (to, to_session) = (session.jid.clone(), session.session.clone());
    // XEP-0045 §7.2.2: the presence of everybody else comes before the newcomer's own.
    let mut out = cx.server.fan_out(room, &presence::PRESENCE);
    match &list {
        // As fast as it is read, whatever its length; what comes next stays behind.
        Some(list) => drop(out.list(&to, to_session.as_ref(), list)),
        None => {
            let others = gather::listed(call, state, real, Some(place));
            let others = others.iter().map(|one| &**one);
            out.share_all(&to, to_session.as_ref(), others);
        }
    }
    let mut statuses = vec![];
    if state.config.whois == Whois::Anyone {
        // XEP-0045 §7.2.3: who enters a non-anonymous room is told.
        statuses.push(Status::NonAnonymous);
    }
    statuses.extend(self_presence(&cx));
    if state.config.public_logging {
        // XEP-0045 §7.2.12: who enters a room that is logged in public is told.
        statuses.push(Status::LoggingOn);
    }
    if created {
        statuses.push(Status::RoomCreated);
    }
    show::say_self(call, state, place, cx.from, &statuses, &more);
    // The configuration may have changed since the last message came.
    let wanted = wanted.at_most(state.config.max_history as usize);
    let mut out = cx.server.fan_out(room, &presence::MESSAGE);
    for said in state.history.wanted(wanted, cx.server.now_ms()) {
        out.hand(&to, to_session.as_ref(), |out| {
            said.write(to.as_str(), room, out);
        });
    }
    let subject = super::message::subject(state, room);
    out.share(&to, to_session.as_ref(), &subject);
}

/// What self-presence says of itself, in answer to presence that came with a nick.
fn self_presence(cx: &EntityCx<'_>) -> Vec<Status> {
    let mut statuses = vec![Status::SelfPresence];
    let written = cx.stanza.to_as_written();
    let written = written.as_deref().and_then(|to| to.split_once('/'));
    if written.is_some_and(|(_, nick)| cx.to.resource() != Some(nick)) {
        // XEP-0045 §7.2.2, §7.6: the nick is prepared, so that it may be another one than the client wrote.
        statuses.push(Status::NickAssigned);
    }
    statuses
}

/// Presence of who is here already: it shows something else, or its client has lost track and enters again.
fn update(call: &Call<'_>, state: &mut State, place: usize, again: bool) {
    let cx = call.entity;
    state.occupants.show(place, cx.from, shown(&cx));
    let x = cx.stanza.child("x", MUC).map(|x| x.parse());
    if let Some(x) = x.filter(|_| again) {
        let own = state.occupants.at(place);
        let (role, nick) = (own.role, own.nick().to_owned());
        let list = list(call, state, role, &nick);
        show::changed(call, state, place);
        let history = x.root().child("history", MUC);
        let wanted = history.and_then(|history| Wanted::parse(history).ok());
        let wanted = wanted.unwrap_or_default();
        return welcome(call, state, place, x.root(), (list, wanted), false);
    }
    let is_first = state.occupants.at(place).first().jid == *cx.from;
    if is_first {
        show::changed(call, state, place);
    }
    show::tell_self(call, state, place, is_first, &[Status::SelfPresence]);
}

/// XEP-0045 §7.6: unavailable under the old nick, available under the new one.
fn change_nick(call: &Call<'_>, state: &mut State, place: usize, nick: &str) {
    let cx = call.entity;
    let checked = nick::check(state, nick, cx.from).and_then(|()| {
        let there = state.occupants.by_nick(nick).is_some();
        let several = state.occupants.at(place).sessions.len() > 1;
        match there || several {
            // One nick, several sessions: they would part.
            true => Err(StanzaError::conflict().text("another of your devices is here, too")),
            false => Ok(()),
        }
    });
    if let Err(error) = checked {
        return refuse(&cx, &error);
    }
    state.occupants.show(place, cx.from, shown(&cx));
    leave::say_gone(
        call,
        state,
        place,
        Some(nick),
        &[Status::NickChanged],
        Cause::default(),
    );
    state.occupants.rename(place, cx.to.clone());
    show::changed(call, state, place);
    gather::flush(call, state);
    show::tell_self(call, state, place, true, &self_presence(&cx));
}
