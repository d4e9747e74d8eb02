//! Presence in large rooms. What happens there within a short time is told to each occupant in one go: who comes, who leaves, who
//! shows something else. Somebody who comes and leaves meanwhile is not told of; of somebody who shows this and then that, the last.
//!
//! So all occupants know the same room, the one that was told last, and who enters is told of that one, too, in a list that all
//! share who enter meanwhile; what comes next is news for all alike. Nobody hears from an occupant of whom it was not told: before a
//! message, what has gathered goes out. The own presence never waits.

use std::collections::HashMap;
use std::sync::Arc;

use tercet_server::{Announcement, Announcements, Handed, Routed};

use super::room::State;
use super::{Call, control, leave, presence};

/// How long changes gather, in milliseconds.
const GATHERING_MS: u64 = 500;
/// Stanzas for all recipients together, beyond which they gather no longer: what is written at once, with the room locked.
const DELIVERIES: usize = 1 << 18;

/// An occupant's presence as others see it: without and with its real address.
pub(super) type Both = [Arc<Announcement>; 2];

/// What the occupants of a room have not been told yet.
#[derive(Default)]
pub struct Gathered {
    /// In the order in which it happened first; `None` where nothing is left of it.
    changes: Vec<Option<Change>>,
    by_nick: HashMap<Box<str>, usize>,
    /// A job waits that will tell them.
    is_due: bool,
    /// The room as it was told last, without and with real addresses, if somebody has entered since.
    told: [Option<Announcements>; 2],
}

/// What has changed about a nick.
struct Change {
    nick: Box<str>,
    /// Somebody was known under it.
    was_told: bool,
    /// Who was known has left, and says this.
    gone: Option<Both>,
    /// Somebody is here under it.
    here: bool,
}

impl Gathered {
    fn change(&mut self, nick: &str, was_told: bool) -> &mut Change {
        let place = *self.by_nick.entry(nick.into()).or_insert_with(|| {
            self.changes.push(None);
            self.changes.len() - 1
        });
        self.changes[place].get_or_insert_with(|| Change {
            nick: nick.into(),
            was_told,
            gone: None,
            here: false,
        })
    }

    /// Somebody has come under that nick.
    pub fn joined(&mut self, nick: &str) {
        self.change(nick, false).here = true;
    }

    /// Who is here under that nick shows something else.
    pub fn changed(&mut self, nick: &str) {
        self.change(nick, true).here = true;
    }

    /// Who was here under that nick has left, and says this.
    pub fn left(&mut self, nick: &str, gone: Both) {
        let change = self.change(nick, true);
        change.here = false;
        match change.was_told {
            // Who left first is who is known.
            true => drop(change.gone.get_or_insert(gone)),
            false => {
                if let Some(place) = self.by_nick.remove(nick) {
                    self.changes[place] = None;
                }
            }
        }
    }

    /// Whether the others have to be told of who has that nick before they hear from it.
    fn concerns(&self, nick: &str) -> bool {
        self.by_nick.contains_key(nick)
    }
}

/// What has been noted in [`State::gathered`] is told now, or soon in a large room.
pub(super) fn soon(call: &Call<'_>, state: &mut State) {
    let (occupants, most) = (state.occupants.len(), call.core.settings.large);
    let stanzas = state.gathered.changes.len().saturating_mul(occupants);
    if occupants <= most || stanzas > DELIVERIES {
        return flush(call, state);
    }
    if state.gathered.is_due {
        return;
    }
    let server = call.entity.server;
    let (core, room) = (call.core.clone(), Arc::downgrade(call.room));
    let at_ms = server.now_ms().saturating_add(GATHERING_MS);
    state.gathered.is_due = server.at(at_ms, move |server| {
        if let Some(room) = room.upgrade()
            && let Ok(parked) = control::call(server, core, room)
        {
            let call = parked.call();
            let mut state = call.room.lock();
            state.gathered.is_due = false;
            flush(&call, &mut state);
            leave::settle(&call, &mut state);
        }
        Routed::Done
    });
    if !state.gathered.is_due {
        flush(call, state);
    }
}

/// Before something of the occupant at a place reaches others: they know who it is.
pub(super) fn introduce(call: &Call<'_>, state: &mut State, place: usize) {
    if state.gathered.concerns(state.occupants.at(place).nick()) {
        flush(call, state);
    }
}

/// Tells everybody now what has gathered. Whoever shows presence at once, or changes who sees what of it, does this before.
pub(super) fn flush(call: &Call<'_>, state: &mut State) {
    state.gathered.told = [None, None];
    state.gathered.by_nick.clear();
    let changes = std::mem::take(&mut state.gathered.changes);
    let mut news: Vec<(Box<str>, Both)> = Vec::new();
    for change in changes.into_iter().flatten() {
        let place = state.occupants.place_of_nick(&change.nick);
        let here = place.filter(|_| change.here).map(|place| {
            [false, true]
                .map(|real| state.announcement(&call.core.features, &call.room.jid, place, real))
        });
        if let Some(gone) = change.gone {
            news.push((change.nick.clone(), gone));
        }
        news.extend(here.map(|here| (change.nick, here)));
    }
    if news.is_empty() {
        return;
    }
    let mut out = call
        .entity
        .server
        .fan_out(&call.room.jid, &presence::PRESENCE);
    let mut gone = Vec::new();
    for occupant in state.occupants.iter() {
        let real = state.config.shows_addresses_to(occupant.role);
        let others = news
            .iter()
            .filter(|(nick, _)| **nick != *occupant.nick())
            .map(|(_, both)| &*both[usize::from(real)]);
        for session in &occupant.sessions {
            let to = session.session.as_ref();
            if out.share_all(&session.jid, to, others.clone()) == Handed::Gone {
                gone.push(session.jid.clone());
            }
        }
    }
    drop(out);
    state.lost(gone);
}

/// Whether so many occupants make a room large.
pub(super) fn is_large(call: &Call<'_>, state: &State) -> bool {
    state.occupants.len() > call.core.settings.large
}

/// The occupants of a large room as they are known to each other, for somebody who is to be told of what follows as well: the same
/// list for all who come before anything else is told.
pub(super) fn told(call: &Call<'_>, state: &mut State, real: bool) -> Announcements {
    if let Some(told) = &state.gathered.told[usize::from(real)] {
        return told.clone();
    }
    // What has gathered would be no news for who sees the room as it is now.
    flush(call, state);
    let all = listed(call, state, real, None);
    state.gathered.told[usize::from(real)] = Some(all.clone());
    all
}

/// The occupants of a room as they are, but for the one at a place.
pub(super) fn listed(
    call: &Call<'_>,
    state: &mut State,
    real: bool,
    but: Option<usize>,
) -> Announcements {
    let (features, room) = (&call.core.features, &*call.room.jid);
    (0..state.occupants.len())
        .filter(|place| Some(*place) != but)
        .filter_map(|place| {
            let shows = state.shows(state.occupants.at(place).role);
            shows.then(|| state.announcement(features, room, place, real))
        })
        .collect()
}
