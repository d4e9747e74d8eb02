//! XEP-0502 MUC Activity Indicator 0.1.0: how many messages an hour there are in a public room. Gaps: none known; the count begins
//! anew when the room comes into memory, and is told once it has an hour behind it.

use std::collections::VecDeque;

use tercet_core::StanzaError;
use tercet_core::forms::{Field, Form};

use super::RoomFeature;
use crate::muc::message::Speech;
use crate::muc::room::State;

const VAR: &str = "{urn:xmpp:muc-activity}message-activity";
const HOUR_MS: u64 = 3_600_000;
/// Whole hours that count.
const HOURS: usize = 24;
const CORRECTION: &str = "urn:xmpp:message-correct:0";

/// Messages by hour.
#[derive(Default, Clone)]
struct Activity {
    /// The hour that is under way, since 1970.
    hour: u64,
    /// Its messages.
    now: u32,
    /// Those of the hours before, the last first.
    before: VecDeque<u32>,
}

impl Activity {
    fn turn_to(&mut self, now_ms: u64) {
        let hour = now_ms / HOUR_MS;
        if self.hour == 0 || hour < self.hour {
            *self = Activity {
                hour,
                ..Activity::default()
            };
        }
        // As many steps as hours that count, however long it was silent.
        let passed = usize::try_from(hour - self.hour).unwrap_or(usize::MAX);
        for _ in 0..passed.min(HOURS + 1) {
            self.before.push_front(std::mem::take(&mut self.now));
            self.before.truncate(HOURS);
        }
        self.hour = hour;
    }

    /// Messages an hour, if that is known.
    fn rate(&mut self, now_ms: u64) -> Option<f64> {
        self.turn_to(now_ms);
        if self.before.is_empty() {
            return None;
        }
        let sum: f64 = self.before.iter().map(|n| f64::from(*n)).sum();
        let hours = u32::try_from(self.before.len()).unwrap_or(u32::MAX);
        Some(sum / f64::from(hours))
    }
}

/// The activity indicator.
pub(super) struct ActivityIndicator;

/// Whether anybody can see what goes on in the room.
fn is_open(room: &State) -> bool {
    let config = &room.config;
    // XEP-0502 §4: only of persistent public rooms; §9: never of rooms that one needs an authorisation to enter.
    config.persistent && config.public && !config.members_only && !config.password_protected
}

impl RoomFeature for ActivityIndicator {
    fn name(&self) -> &'static str {
        "activity"
    }

    fn info(&self, room: &State, now_ms: u64, mut form: Form) -> Form {
        let rate = room.data.get::<Activity>().filter(|_| is_open(room));
        if let Some(rate) = rate.cloned().and_then(|mut a| a.rate(now_ms)) {
            form.fields
                .push(Field::text_single(VAR, "Messages per hour").value(format!("{rate:.2}")));
        }
        form
    }

    fn message(&self, cx: &mut Speech<'_>) -> Result<(), StanzaError> {
        let stanza = cx.call.entity.stanza;
        // XEP-0502 §5: neither messages without a body nor corrections count.
        if stanza.own_child("body").is_some() && stanza.child("replace", CORRECTION).is_none() {
            let now_ms = cx.call.entity.server.now_ms();
            let activity = cx.state.data.of::<Activity>();
            activity.turn_to(now_ms);
            activity.now = activity.now.saturating_add(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_whole_hours_of_a_day() {
        let mut activity = Activity::default();
        let start = 1000 * HOUR_MS;
        let say = |activity: &mut Activity, at, times: u32| {
            activity.turn_to(at);
            activity.now += times;
        };
        say(&mut activity, start, 10);
        assert_eq!(activity.rate(start + HOUR_MS - 1), None);
        assert_eq!(activity.rate(start + HOUR_MS), Some(10.0));
        say(&mut activity, start + HOUR_MS, 5);
        assert_eq!(activity.rate(start + 2 * HOUR_MS), Some(7.5));
        assert_eq!(activity.rate(start + 3 * HOUR_MS), Some(5.0));
        assert_eq!(activity.rate(start + 25 * HOUR_MS), Some(5.0 / 24.0));
        assert_eq!(activity.rate(start + 1_000_000 * HOUR_MS), Some(0.0));
        // The clock was set back: it begins anew.
        assert_eq!(activity.rate(start), None);
    }
}
