//! What is done about what an app server says.

use tercet_core::{Condition, ErrorType, StanzaError};
use tercet_server::Answered;

/// The first pause after a failure, and the longest.
const PAUSE_MS: u64 = 30_000;
const LONGEST_PAUSE_MS: u64 = 6 * 60 * 60 * 1000;
/// Failures in a row after which a device is given up: a little less than three days.
const FAILURES: u32 = 20;

/// What has come of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has arrived.
    Told,
    /// It was not sent: too much is under way here.
    Busy,
    /// It has not arrived.
    Failed {
        /// Why, for people.
        what: String,
        /// Trying again is in vain.
        gone: bool,
        /// The other side wants to be left alone for so long.
        pause_ms: Option<u64>,
    },
}

impl Outcome {
    /// It has not arrived, and trying again is in vain.
    pub(super) fn gone(what: impl Into<String>) -> Outcome {
        Outcome::Failed {
            what: what.into(),
            gone: true,
            pause_ms: None,
        }
    }

    /// It has not arrived this time.
    pub(super) fn failed(what: impl Into<String>) -> Outcome {
        Outcome::Failed {
            what: what.into(),
            gone: false,
            pause_ms: None,
        }
    }

    /// What an app server's answer means.
    pub(super) fn of(answered: Answered) -> Outcome {
        match answered {
            Answered::Result(_) => Outcome::Told,
            Answered::Busy => Outcome::Busy,
            Answered::Silence => Outcome::failed("no answer"),
            Answered::Error(error) => Outcome::Failed {
                what: describe(&error),
                gone: is_permanent(&error),
                pause_ms: None,
            },
        }
    }
}

fn describe(error: &StanzaError) -> String {
    match &error.text {
        Some(text) => format!("{}: {text}", error.condition.as_str()),
        None => error.condition.as_str().to_owned(),
    }
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Try again, after so many milliseconds.
    Pause(u64),
    /// Forget the device.
    GiveUp,
}

/// XEP-0357 §7.1: an error ends it, unless it is one that passes (not `gone`), and has not come too often. `failures` counts this
/// one; `asked_ms` is the pause that the other side wants.
pub(super) fn after(gone: bool, failures: u32, asked_ms: Option<u64>) -> After {
    if gone || failures >= FAILURES {
        return After::GiveUp;
    }
    let doubled = PAUSE_MS << (failures.saturating_sub(1)).min(20);
    After::Pause(doubled.max(asked_ms.unwrap_or(0)).min(LONGEST_PAUSE_MS))
}

/// Whether asking again is in vain.
fn is_permanent(error: &StanzaError) -> bool {
    match error.condition {
        // The app server is away, not the device.
        Condition::RemoteServerNotFound
        | Condition::RemoteServerTimeout
        | Condition::RecipientUnavailable
        | Condition::ServiceUnavailable
        | Condition::InternalServerError
        | Condition::ResourceConstraint
        | Condition::UndefinedCondition => false,
        _ => error.kind != ErrorType::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_gone(error: StanzaError) -> bool {
        match Outcome::of(Answered::Error(error)) {
            Outcome::Failed { gone, .. } => gone,
            _ => false,
        }
    }

    #[test]
    fn what_says_that_the_device_is_gone_ends_it_at_once() {
        for error in [
            StanzaError::item_not_found(),
            StanzaError::gone(),
            StanzaError::forbidden(),
            StanzaError::not_allowed(),
            StanzaError::bad_request(),
            StanzaError::feature_not_implemented(),
        ] {
            assert!(is_gone(error.clone()), "{error:?}");
        }
        assert_eq!(after(true, 1, None), After::GiveUp);
        let later = StanzaError::policy_violation().kind(ErrorType::Wait);
        assert!(!is_gone(later));
        assert!(!is_gone(StanzaError::remote_server_not_found()));
        assert_eq!(after(false, 1, None), After::Pause(PAUSE_MS));
    }

    #[test]
    fn an_app_server_that_is_away_is_asked_again_ever_less_often_and_not_for_ever() {
        let mut total = 0;
        let mut last = 0;
        for failures in 1..FAILURES {
            let After::Pause(pause) = after(false, failures, None) else {
                panic!("given up after {failures}");
            };
            assert!(pause >= last && pause <= LONGEST_PAUSE_MS);
            last = pause;
            total += last;
        }
        assert_eq!(after(false, FAILURES, None), After::GiveUp);
        let days = total as f64 / 86_400_000.0;
        assert!((2.0..3.0).contains(&days), "{days}");
    }

    #[test]
    fn who_wants_to_be_left_alone_is_within_reason() {
        for (asked, pause) in [
            (1, PAUSE_MS),
            (PAUSE_MS * 2, PAUSE_MS * 2),
            (u64::MAX, LONGEST_PAUSE_MS),
        ] {
            assert_eq!(after(false, 1, Some(asked)), After::Pause(pause));
        }
    }
}
