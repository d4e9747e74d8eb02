//! What occupants are shown of each other, and each of itself.

use tercet_core::{BareJid, Jid};

use super::affiliation::{Affiliation, Role};
use super::message::notice;
use super::occupant::Occupant;
use super::presence::{self, Cause, Item};
use super::room::State;
use super::status::Status;
use super::{Call, gather};

/// The occupant at a place has come: all others are told.
pub(super) fn joined(call: &Call<'_>, state: &mut State, place: usize) {
    let occupant = state.occupants.at(place);
    if state.shows(occupant.role) {
        state.gathered.joined(occupant.nick());
        gather::soon(call, state);
    }
}

/// The occupant at a place shows something else: all others are told.
pub(super) fn changed(call: &Call<'_>, state: &mut State, place: usize) {
    let occupant = state.occupants.at(place);
    if state.shows(occupant.role) {
        state.gathered.changed(occupant.nick());
        gather::soon(call, state);
    }
}

/// Sends an occupant's own presence to one of its sessions.
pub(super) fn say_self(
    call: &Call<'_>,
    state: &mut State,
    place: usize,
    real: &Jid,
    statuses: &[Status],
    more: &[u8],
) {
    let occupant = state.occupants.at(place);
    let Some(session) = occupant.session(real) else {
        return;
    };
    let mut item = Item::of(occupant, Some(session));
    item.cause.more = more;
    let room = &*call.room.jid;
    let own = state.present(&call.core.features, room, occupant, session, item, statuses);
    let (jid, to, session) = (
        occupant.jid.clone(),
        session.jid.clone(),
        session.session.clone(),
    );
    state.tell(call.entity.server, &jid, &to, session.as_ref(), &own);
}

/// Sends an occupant's presence to its own sessions: to all, or to the one that sent it.
pub(super) fn tell_self(
    call: &Call<'_>,
    state: &mut State,
    place: usize,
    all: bool,
    statuses: &[Status],
) {
    let sessions = state.occupants.at(place).sessions.iter();
    let sessions: Vec<Jid> = sessions.map(|s| s.jid.clone()).collect();
    for jid in sessions {
        if all || jid == *call.entity.from {
            say_self(call, state, place, &jid, statuses, &[]);
        }
    }
}

/// Tells a user who is not in the room that its affiliation, which was `from`, is another one, if it is one of those who belong to
/// the room or did: nobody else hears from a room because of its lists.
pub(super) fn tell_absent(
    call: &Call<'_>,
    state: &State,
    user: &BareJid,
    from: Affiliation,
    reason: Option<&str>,
) {
    let to = state.affiliation(user.as_str());
    let belongs = from.max(to) >= Affiliation::Member;
    if from == to || !belongs || state.occupants.of_user(user.as_str()).next().is_some() {
        return;
    }
    let user: &Jid = user;
    let item = Item {
        affiliation: to,
        role: Role::None,
        jid: Some(user),
        nick: None,
        cause: Cause {
            reason,
            ..Cause::default()
        },
    };
    let mut x = Vec::new();
    // XEP-0045 §16.6: an affiliation that changed while the user was not in the room.
    item.write(&[Status::AffiliationChanged], &[], &mut x);
    notice(call.room, user, &x, call.entity.server);
}

/// Shows that the affiliation or role of the occupant at a place has changed, to all (XEP-0045 §8 to §10).
pub(super) fn show_change(call: &Call<'_>, state: &mut State, place: usize, cause: Cause<'_>) {
    gather::flush(call, state);
    state.occupants.at_mut(place).changed();
    let occupant = state.occupants.at(place);
    let session = occupant.first();
    let write = |occupant: &Occupant, real: bool, statuses: &[Status]| {
        let item = Item {
            cause,
            ..Item::of(occupant, real.then_some(session))
        };
        let (features, room) = (&call.core.features, &*call.room.jid);
        state.present(features, room, occupant, session, item, statuses)
    };
    let shown = [false, true].map(|real| write(occupant, real, &[]));
    let own = write(occupant, true, &[Status::SelfPresence]);
    let jid = occupant.jid.clone();
    let config = state.config.clone();
    state.cast(call.entity.server, &jid, &presence::PRESENCE, |to, _| {
        if to.jid == jid {
            return Some(&own);
        }
        Some(&shown[usize::from(config.shows_addresses_to(to.role))])
    });
}
