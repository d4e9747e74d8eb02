//! What is done about what an app server says.

use tercet_core::{Condition, ErrorType, StanzaError};

/// The first pause after a failure, and the longest.
const PAUSE_MS: u64 = 30_000;
const LONGEST_PAUSE_MS: u64 = 6 * 60 * 60 * 1000;
/// Failures in a row after which a device is given up: a little less than three days.
const FAILURES: u32 = 20;

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Try again, after so many milliseconds.
    Pause(u64),
    /// Forget the device.
    GiveUp,
}

/// XEP-0357 §7.1: an error ends it, unless it is one that passes, and has not come too often. `failures` counts this one;
/// `error` is `None` where nothing has come in time.
pub(super) fn after(error: Option<&StanzaError>, failures: u32) -> After {
    if error.is_some_and(is_permanent) || failures >= FAILURES {
        return After::GiveUp;
    }
    let doubled = PAUSE_MS << (failures.saturating_sub(1)).min(20);
    After::Pause(doubled.min(LONGEST_PAUSE_MS))
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
            assert_eq!(after(Some(&error), 1), After::GiveUp, "{error:?}");
        }
        let later = StanzaError::policy_violation().kind(ErrorType::Wait);
        assert_eq!(after(Some(&later), 1), After::Pause(PAUSE_MS));
    }

    #[test]
    fn an_app_server_that_is_away_is_asked_again_ever_less_often_and_not_for_ever() {
        let away = StanzaError::remote_server_not_found();
        let mut total = 0;
        let mut last = 0;
        for failures in 1..FAILURES {
            for error in [Some(&away), None] {
                let After::Pause(pause) = after(error, failures) else {
                    panic!("given up after {failures}");
                };
                assert!(pause >= last && pause <= LONGEST_PAUSE_MS);
                last = pause;
            }
            total += last;
        }
        assert_eq!(after(Some(&away), FAILURES), After::GiveUp);
        assert_eq!(after(None, FAILURES), After::GiveUp);
        let days = total as f64 / 86_400_000.0;
        assert!((2.0..3.0).contains(&days), "{days}");
    }
}
