//! How fast somebody may enter and speak, and when newcomers may begin to: against floods and spam, by the settings of the
//! service. Admins, owners and moderators of a room speak as fast as they like.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tercet_core::{BareJid, ErrorType, StanzaError};
use tercet_server::Rooms;

use super::affiliation::{Affiliation, Role};
use super::room::State;
use crate::due::{NAMES, Table};

const MINUTE_MS: u64 = 60_000;

/// How often users of a service have entered its rooms.
#[derive(Default)]
pub(super) struct Joins(Mutex<Table<BareJid>>);

impl Joins {
    /// Whether [`Joins::count`] would refuse.
    ///
    /// # Errors
    /// As there.
    pub(super) fn check(
        &self,
        settings: &Rooms,
        user: &BareJid,
        now_ms: u64,
    ) -> Result<(), StanzaError> {
        let Some(each_ms) = each_ms(settings.joins_per_minute) else {
            return Ok(());
        };
        let burst = u64::from(settings.joins_per_minute);
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table
            .allows(user, burst, each_ms, now_ms)
            .then_some(())
            .ok_or_else(too_often)
    }

    /// Counts an attempt of `user` to enter a room, or to make one.
    ///
    /// # Errors
    /// There were too many: a minute's worth may come at once (`rooms.joins_per_minute`).
    pub(super) fn count(
        &self,
        settings: &Rooms,
        user: &BareJid,
        now_ms: u64,
    ) -> Result<(), StanzaError> {
        let Some(each_ms) = each_ms(settings.joins_per_minute) else {
            return Ok(());
        };
        let burst = u64::from(settings.joins_per_minute);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match table.take(user, burst, each_ms, now_ms) {
            true => Ok(()),
            false => Err(too_often()),
        }
    }
}

fn too_often() -> StanzaError {
    StanzaError::resource_constraint().text("you enter rooms too often; try again in a minute")
}

/// The time between two deeds; `None`: there is no limit.
fn each_ms(per_minute: u32) -> Option<u64> {
    MINUTE_MS.checked_div(per_minute.into())
}

/// What a room remembers of those who speak, and of newcomers.
#[derive(Default)]
struct Speakers {
    due: Table<BareJid>,
    /// When those without an affiliation entered first, in milliseconds since 1970.
    since: HashMap<BareJid, u64>,
}

/// Somebody without an affiliation enters, for the first time as far as anybody knows.
pub(super) fn entered(settings: &Rooms, state: &mut State, user: &BareJid, now_ms: u64) {
    if settings.newcomers_wait_ms == 0 || state.affiliation(user.as_str()) >= Affiliation::Member {
        return;
    }
    let speakers = state.data.of::<Speakers>();
    if speakers.since.len() >= NAMES {
        let wait_ms = settings.newcomers_wait_ms;
        // Who has waited need not be remembered while nobody asks; who comes back may have to wait again.
        speakers
            .since
            .retain(|_, since| now_ms.saturating_sub(*since) < wait_ms);
    }
    speakers.since.entry(user.clone()).or_insert(now_ms);
}

/// Counts a message of the occupant at a place, to all or to one.
///
/// # Errors
/// There were too many (a fifth of a minute's worth may come at once, `rooms.messages_per_minute`), or the occupant is a newcomer
/// who has to wait (`rooms.newcomers_wait`).
pub(super) fn speaks(
    settings: &Rooms,
    state: &mut State,
    place: usize,
    now_ms: u64,
) -> Result<(), StanzaError> {
    let occupant = state.occupants.at(place);
    if occupant.role == Role::Moderator || occupant.affiliation >= Affiliation::Admin {
        return Ok(());
    }
    let (user, affiliation) = (occupant.user.clone(), occupant.affiliation);
    let wait_ms = settings.newcomers_wait_ms;
    let each_ms = each_ms(settings.messages_per_minute);
    if wait_ms == 0 && each_ms.is_none() {
        return Ok(());
    }
    let speakers = state.data.of::<Speakers>();
    if wait_ms > 0 && affiliation < Affiliation::Member {
        let since = speakers.since.get(&user).copied().unwrap_or(now_ms);
        let left_ms = since.saturating_add(wait_ms).saturating_sub(now_ms);
        if left_ms > 0 {
            let text = format!("who is new here can write in {} s", left_ms.div_ceil(1000));
            return Err(StanzaError::policy_violation()
                .kind(ErrorType::Wait)
                .text(text));
        }
    }
    let Some(each_ms) = each_ms else {
        return Ok(());
    };
    let burst = u64::from(settings.messages_per_minute.div_ceil(5));
    match speakers.due.take(&user, burst, each_ms, now_ms) {
        true => Ok(()),
        false => Err(StanzaError::resource_constraint().text("you write too much; wait a little")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_enters_too_often_has_to_wait_and_others_have_not() {
        let [romeo, juliet] = ["romeo@a", "juliet@a"].map(|jid| BareJid::parse(jid).unwrap());
        let settings = Rooms {
            joins_per_minute: 2,
            ..Rooms::new("rooms.a")
        };
        let joins = Joins::default();
        let count = |user, now_ms| joins.count(&settings, user, now_ms).is_ok();
        assert!(count(&romeo, 0) && count(&romeo, 0) && !count(&romeo, 0));
        assert!(count(&juliet, 0));
        assert!(!count(&romeo, 29_999) && count(&romeo, 30_000));
        let settings = Rooms {
            joins_per_minute: 0,
            ..settings
        };
        assert!((0..1000).all(|_| joins.count(&settings, &romeo, 0).is_ok()));
    }
}
