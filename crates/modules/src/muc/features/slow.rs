//! XEP-0500 MUC Slow Mode 0.1.1: how long everybody waits between two messages, by the room's configuration.
//! Gaps: none known.

use std::collections::HashMap;

use tercet_core::forms::{Field, Form};
use tercet_core::{BareJid, ErrorType, StanzaError};

use super::RoomFeature;
use crate::muc::affiliation::Affiliation;
use crate::muc::config::{Place, Setting};
use crate::muc::message::Speech;
use crate::muc::room::{Data, State};

const VAR: &str = "muc#roomconfig_slow_mode_duration";
const INFO: &str = "muc#roominfo_slow_mode_duration";
/// The longest pause, in seconds: a day.
const LONGEST: u32 = 86_400;
/// Speakers that are remembered before those whose pause is over are forgotten.
const FEW: usize = 64;

/// What a room's owners have decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Slow {
    /// Seconds between two messages; 0: none.
    seconds: u32,
}

static FIELDS: &[Setting<Slow>] = &[Setting {
    tag: 1,
    var: VAR,
    label: "Seconds to wait between two messages, 0 for none",
    value: Place::Number {
        least: 0,
        most: LONGEST,
        offered: &[],
        none: None,
        get: |slow| Some(slow.seconds),
        set: |slow, seconds| slow.seconds = seconds.unwrap_or(0),
    },
}];

/// When everybody spoke last, in milliseconds since 1970.
#[derive(Default)]
struct Spoken {
    last: HashMap<BareJid, u64>,
    /// Entries at which those that mean nothing any more are looked for.
    sweep_at: usize,
}

impl Spoken {
    /// Notes that `user` speaks; how many milliseconds are left until it may, if it may not yet.
    fn speak(&mut self, user: &BareJid, now_ms: u64, pause_ms: u64) -> Result<(), u64> {
        if let Some(last) = self.last.get(user) {
            let left = last.saturating_add(pause_ms).saturating_sub(now_ms);
            if left > 0 && now_ms >= *last {
                return Err(left);
            }
        }
        if self.last.len() >= self.sweep_at.max(FEW) {
            self.last
                .retain(|_, last| last.saturating_add(pause_ms) > now_ms);
            self.sweep_at = self.last.len() * 2;
        }
        self.last.insert(user.clone(), now_ms);
        Ok(())
    }
}

/// Slow mode.
pub(super) struct SlowMode;

impl RoomFeature for SlowMode {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn info(&self, room: &State, _: u64, mut form: Form) -> Form {
        let slow = room.data.get::<Slow>().cloned().unwrap_or_default();
        // XEP-0500 §5.2: the pause is discovered by this field, 0 while there is none.
        form.fields.push(
            Field::text_single(INFO, "Seconds to wait between two messages")
                .value(slow.seconds.to_string()),
        );
        form
    }

    fn form(&self, room: &State, mut form: Form) -> Form {
        let slow = room.data.get::<Slow>().cloned().unwrap_or_default();
        // XEP-0500 §5.1: the field is of type text-single, validated as an integer from 0 on.
        let fields = FIELDS.iter().map(|s| s.field(&slow).integers(0, LONGEST));
        form.fields.extend(fields);
        form
    }

    fn submit(&self, room: &State, form: &Form) -> Result<Option<Vec<u8>>, StanzaError> {
        super::submit(FIELDS, room.data.get::<Slow>(), form)
    }

    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        super::load(FIELDS, data.of::<Slow>(), kept)
    }

    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        super::save(FIELDS, data.get::<Slow>())
    }

    fn message(&self, cx: &mut Speech<'_>) -> Result<(), StanzaError> {
        let seconds = cx.state.data.get::<Slow>().map_or(0, |slow| slow.seconds);
        let occupant = cx.state.occupants.at(cx.place);
        // XEP-0500 §6: admins and owners are not limited, and only messages with a body count.
        if seconds == 0
            || occupant.affiliation >= Affiliation::Admin
            || cx.call.entity.stanza.own_child("body").is_none()
        {
            return Ok(());
        }
        let user = occupant.user.clone();
        let now_ms = cx.call.entity.server.now_ms();
        let spoken = cx.state.data.of::<Spoken>();
        let pause_ms = u64::from(seconds) * 1000;
        spoken.speak(&user, now_ms, pause_ms).map_err(|left| {
            // XEP-0500 §6: who is too fast gets policy-violation of type wait, with a text that names the pause.
            let left = left.div_ceil(1000);
            StanzaError::policy_violation()
                .kind(ErrorType::Wait)
                .text(format!(
                    "in this room one waits {seconds} s between two messages; {left} s are left"
                ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::muc::config::{decode, encode, take_form};

    fn user(name: &str) -> BareJid {
        BareJid::parse(&format!("{name}@example.org")).unwrap()
    }

    #[test]
    fn each_user_waits_for_itself() {
        let mut spoken = Spoken::default();
        let (romeo, juliet) = (user("romeo"), user("juliet"));
        assert_eq!(spoken.speak(&romeo, 1000, 20_000), Ok(()));
        assert_eq!(spoken.speak(&juliet, 2000, 20_000), Ok(()));
        assert_eq!(spoken.speak(&romeo, 20_999, 20_000), Err(1));
        // A message that was refused does not count.
        assert_eq!(spoken.speak(&romeo, 21_000, 20_000), Ok(()));
        assert_eq!(spoken.speak(&juliet, 21_999, 20_000), Err(1));
        // The clock was set back.
        assert_eq!(spoken.speak(&juliet, 500, 20_000), Ok(()));
    }

    #[test]
    fn who_may_speak_again_is_forgotten() {
        let mut spoken = Spoken::default();
        for n in 0..10_000_u64 {
            let speaker = user(&format!("u{n}"));
            assert_eq!(spoken.speak(&speaker, n * 1000, 10_000), Ok(()));
        }
        assert!(spoken.last.len() <= FEW, "{}", spoken.last.len());
    }

    #[test]
    fn the_pause_is_a_number_of_seconds_of_a_day_at_the_most() {
        let submit = |value: &str| {
            let mut slow = Slow::default();
            let form = Form::empty(tercet_core::forms::FormKind::Submit)
                .field(Field::text_single(VAR, "").value(value));
            take_form(FIELDS, &mut slow, &form).map(|()| slow.seconds)
        };
        assert_eq!(submit("20"), Ok(20));
        assert_eq!(submit("86400"), Ok(86_400));
        for bad in ["86401", "-1", "1.5", "soon"] {
            assert!(submit(bad).is_err(), "{bad}");
        }
        let mut kept = Vec::new();
        encode(FIELDS, &Slow { seconds: 7 }, &mut kept);
        let mut slow = Slow::default();
        decode(FIELDS, &mut slow, &kept).unwrap();
        assert_eq!(slow.seconds, 7);
    }
}
