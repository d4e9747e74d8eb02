//! Leaving a room, by one's own will or not (XEP-0045 §7.14, §8.2, §9.1, §11, §18.2).

use std::sync::Arc;

use tercet_core::{Jid, SharedStanza};
use tercet_server::{Announcement, Server};

use super::affiliation::{Affiliation, Role};
use super::occupant::{Occupant, Presentee, Shown};
use super::presence::{self, Cause, Item};
use super::room::State;
use super::status::Status;
use super::{Call, Core, features, gather, show};

/// A session leaves, with the presence that it says so with, if it does. Nothing happens if it is not here.
pub(super) fn leave(
    call: &Call<'_>,
    state: &mut State,
    real: &Jid,
    shown: Option<Shown>,
    statuses: &[Status],
    cause: Cause<'_>,
) {
    let Some(place) = state.occupants.place_of(real) else {
        return;
    };
    if state.occupants.at(place).sessions.len() == 1 {
        let cause = match state.locked && state.occupants.len() == 1 {
            // XEP-0045 §10.1.3: with an owner who leaves before it is configured the room is destroyed, and says so.
            true => Cause {
                more: b"<destroy/>",
                ..cause
            },
            false => cause,
        };
        return expel(call, state, place, shown, statuses, cause);
    }
    // Another session stays under the same nick: only the one that goes is told.
    let occupant = state.occupants.at(place);
    let was_first = occupant.first().jid == *real;
    let Some(session) = occupant.session(real) else {
        return;
    };
    let item = Item {
        role: Role::None,
        cause,
        ..Item::of(occupant, Some(session))
    };
    let mut stamp = Vec::new();
    features::stamp(&call.core.features, state, occupant, &mut stamp);
    let gone = gone(occupant, item, &with_self(statuses), shown.as_ref(), &stamp);
    let (jid, to, session) = (
        occupant.jid.clone(),
        session.jid.clone(),
        session.session.clone(),
    );
    state.tell(call.entity.server, &jid, &to, session.as_ref(), &gone);
    state.occupants.remove_session(place, real);
    if was_first {
        show::changed(call, state, place);
    }
}

/// XEP-0045 §18.2: a session that cannot be reached is removed.
pub(super) fn ghost(call: &Call<'_>, state: &mut State, real: &Jid) {
    // XEP-0045 §11.1: nobody has kicked it, so that this is the only code.
    let codes = [Status::RemovedByError];
    leave(call, state, real, None, &codes, Cause::default());
}

/// The occupant at a place leaves, with all its sessions; what it is to the room from now on is in the state already.
pub(super) fn expel(
    call: &Call<'_>,
    state: &mut State,
    place: usize,
    shown: Option<Shown>,
    statuses: &[Status],
    cause: Cause<'_>,
) {
    let mut occupant = state.occupants.remove(place);
    occupant.affiliation = state.affiliation(occupant.user.as_str());
    say(call, state, &occupant, None, statuses, cause, shown);
}

/// Everybody is told that the occupant at a place is not there under its nick any more.
pub(super) fn say_gone(
    call: &Call<'_>,
    state: &mut State,
    place: usize,
    nick: Option<&str>,
    statuses: &[Status],
    cause: Cause<'_>,
) {
    gather::flush(call, state);
    let occupant = state.occupants.remove(place);
    say(call, state, &occupant, nick, statuses, cause, None);
    state.occupants.put_back(place, occupant);
}

/// Tells everybody who is here, and the sessions of `occupant`, who is not in the list, that it is gone under its nick.
fn say(
    call: &Call<'_>,
    state: &mut State,
    occupant: &Occupant,
    nick: Option<&str>,
    statuses: &[Status],
    cause: Cause<'_>,
    shown: Option<Shown>,
) {
    let server = call.entity.server;
    // A change of the nick leaves the role as it is.
    let role = match nick {
        Some(_) => occupant.role,
        None => Role::None,
    };
    let mut stamp = Vec::new();
    features::stamp(&call.core.features, state, occupant, &mut stamp);
    let write = |real: Option<&Presentee>, statuses: &[Status]| -> SharedStanza {
        let item = Item {
            role,
            nick,
            cause,
            ..Item::of(occupant, real)
        };
        gone(occupant, item, statuses, shown.as_ref(), &stamp)
    };
    if state.shows(occupant.role) {
        let to_others = [None, Some(occupant.first())].map(|real| {
            Arc::new(Announcement {
                from: occupant.jid.clone(),
                stanza: write(real, statuses),
            })
        });
        state.gathered.left(occupant.nick(), to_others);
        match nick {
            // Who comes and goes under one nick may not be mixed up.
            Some(_) => gather::flush(call, state),
            None => gather::soon(call, state),
        }
    }
    // XEP-0045 §7.14: who leaves gets its own presence, too, and it says so.
    let own = with_self(statuses);
    say_to_itself(server, occupant, |session| write(Some(session), &own));
}

/// The sessions of an occupant who is not here any more get what `write` gives.
fn say_to_itself(
    server: &Arc<Server>,
    occupant: &Occupant,
    write: impl Fn(&Presentee) -> SharedStanza,
) {
    for session in &occupant.sessions {
        let stanza = write(session);
        let mut out = server.fan_out(&occupant.jid, &presence::PRESENCE);
        // Whether it is still there does not matter any more.
        let _ = out.share(&session.jid, session.session.as_ref(), &stanza);
    }
}

/// The server ends: everybody leaves, and is told why in its own presence. Of the others nobody is told: they leave as well.
pub(super) fn shut_down(server: &Arc<Server>, core: &Core, state: &mut State) {
    let codes = with_self(&[Status::ServiceShutdown]);
    let everybody = std::mem::take(&mut state.occupants);
    for occupant in everybody.iter() {
        let mut stamp = Vec::new();
        features::stamp(&core.features, state, occupant, &mut stamp);
        // XEP-0045 §11.2: the occupants are informed of the end of the service with status 332.
        say_to_itself(server, occupant, |session| {
            let item = Item {
                role: Role::None,
                ..Item::of(occupant, Some(session))
            };
            gone(occupant, item, &codes, None, &stamp)
        });
    }
}

fn with_self(statuses: &[Status]) -> Vec<Status> {
    let mut all = vec![Status::SelfPresence];
    all.extend_from_slice(statuses);
    all
}

/// Unavailable presence: with what the client said, if it said it, and what features add.
fn gone(
    occupant: &Occupant,
    item: Item<'_>,
    statuses: &[Status],
    shown: Option<&Shown>,
    stamp: &[u8],
) -> SharedStanza {
    let mut x = Vec::new();
    item.write(statuses, &[], &mut x);
    x.extend_from_slice(stamp);
    match shown {
        Some(shown) => shown.announce(&occupant.jid, &x),
        None => presence::unavailable(&occupant.jid, &x),
    }
}

/// After anything was sent: removes those who turned out to have gone, and the room if nobody is left.
pub(super) fn settle(call: &Call<'_>, state: &mut State) {
    while let Some(ghost) = state.next_ghost() {
        self::ghost(call, state, &ghost);
    }
    if state.occupants.is_empty() && !state.gone {
        let service = call.core.service(call.entity.server);
        service.emptied(call.entity.server, call.room, state);
    }
}

/// Lets everybody go who may not stay under the present configuration, and gives the others what they are due.
pub(super) fn after_reconfiguration(call: &Call<'_>, state: &mut State) {
    if !state.config.members_only {
        return;
    }
    // XEP-0045 §10.2.1: who is no member leaves a room that has become members-only.
    let outsider = |state: &State| {
        let mut all = state.occupants.iter();
        all.position(|o| o.affiliation < Affiliation::Member)
    };
    while let Some(place) = outsider(state) {
        let codes = [Status::RemovedByMembersOnly];
        expel(call, state, place, None, &codes, Cause::default());
    }
}
