//! Whether there is place for a file: a pure function over what is there.

use tercet_server::Uploads;

use super::record::{Purpose, Upload};
use super::xml::Request;

/// Why no slot is granted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It would never fit.
    TooLarge {
        /// What would.
        most: u64,
    },
    /// It does not fit now.
    Full {
        /// Which bound is met, for people.
        what: &'static str,
        /// When it may fit, in milliseconds since 1970, if that is known.
        retry_ms: Option<u64>,
    },
}

/// The largest file for `purpose`, in bytes.
pub(super) fn largest(limits: &Uploads, purpose: Purpose) -> u64 {
    let (file, quota) = match purpose {
        Purpose::Profile => (limits.profile_file_bytes, limits.profile_bytes),
        _ => (limits.file_bytes, limits.user_bytes),
    };
    file.min(quota).min(limits.host_bytes)
}

/// Judges `request` by what its account has (`kept`, what has expired may be among it) and by the bytes of the whole host.
pub(super) fn judge(
    limits: &Uploads,
    request: &Request,
    kept: &[Upload],
    in_all: u64,
    now_ms: u64,
) -> Result<(), Refusal> {
    let most = largest(limits, request.purpose);
    if request.size > most {
        return Err(Refusal::TooLarge { most });
    }
    let full = |what, retry_ms| Err(Refusal::Full { what, retry_ms });
    let kept = || kept.iter().filter(|upload| upload.expires_ms > now_ms);
    if kept().count() >= limits.user_files {
        let soonest = kept().map(|upload| upload.expires_ms).min();
        let retry = soonest.filter(|at| *at != u64::MAX);
        return full("Quota reached. You have too many files", retry);
    }
    let profile = request.purpose == Purpose::Profile;
    let same = || kept().filter(|upload| (upload.purpose == Purpose::Profile) == profile);
    let quota = match profile {
        true => limits.profile_bytes,
        false => limits.user_bytes,
    };
    let held: u64 = same().map(Upload::held).sum();
    let over = held.saturating_add(request.size).saturating_sub(quota);
    if over > 0 {
        let mut going: Vec<_> = same().map(|u| (u.expires_ms, u.held())).collect();
        going.sort_unstable();
        let mut freed = 0;
        let enough = going.iter().find(|(_, held)| {
            freed += held;
            freed >= over
        });
        let retry = enough.map(|(at, _)| *at).filter(|at| *at != u64::MAX);
        return full("Quota reached. Your files have too many bytes", retry);
    }
    if in_all.saturating_add(request.size) > limits.host_bytes {
        return full("The server has no place for more files now", None);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::record::State;
    use super::*;

    const LIMITS: Uploads = Uploads {
        file_bytes: 100,
        profile_file_bytes: 10,
        user_bytes: 250,
        profile_bytes: 15,
        user_files: 4,
        host_bytes: 1000,
        retention_ms: 50,
    };

    fn request(size: u64, purpose: Purpose) -> Request {
        Request {
            name: "a".into(),
            size,
            content_type: String::new(),
            purpose,
        }
    }

    fn file(size: u64, expires_ms: u64, purpose: Purpose) -> Upload {
        Upload {
            state: State::Stored,
            size,
            created_ms: 0,
            expires_ms,
            purpose,
            content_type: String::new(),
            name: "a".into(),
        }
    }

    fn full(retry_ms: Option<u64>) -> impl Fn(&Result<(), Refusal>) -> bool {
        move |got| matches!(got, Err(Refusal::Full { retry_ms: at, .. }) if *at == retry_ms)
    }

    #[test]
    fn a_file_larger_than_ever_fits_is_told_what_fits() {
        let judged = |size, purpose| judge(&LIMITS, &request(size, purpose), &[], 0, 0);
        assert_eq!(judged(100, Purpose::Message), Ok(()));
        assert_eq!(
            judged(101, Purpose::Permanent),
            Err(Refusal::TooLarge { most: 100 })
        );
        assert_eq!(
            judged(11, Purpose::Profile),
            Err(Refusal::TooLarge { most: 10 })
        );
        let small = Uploads {
            user_bytes: 5,
            ..LIMITS
        };
        let judged = judge(&small, &request(6, Purpose::Message), &[], 0, 0);
        assert_eq!(judged, Err(Refusal::TooLarge { most: 5 }));
    }

    #[test]
    fn a_full_quota_says_when_enough_will_have_gone() {
        let message = Purpose::Message;
        let kept = [
            file(100, 70, message),
            file(100, 60, message),
            file(50, u64::MAX, Purpose::Permanent),
        ];
        let judged = |size, now| judge(&LIMITS, &request(size, message), &kept, 0, now);
        assert!(full(Some(60))(&judged(100, 10)));
        assert_eq!(judged(100, 60), Ok(()));
        let for_ever = [file(200, u64::MAX, Purpose::Permanent)];
        let judged = judge(&LIMITS, &request(100, message), &for_ever, 0, 0);
        assert!(full(None)(&judged));
    }

    #[test]
    fn files_for_the_profile_have_a_quota_of_their_own() {
        let kept = [
            file(240, 9, Purpose::Message),
            file(10, u64::MAX, Purpose::Profile),
        ];
        let judged = |size, purpose| judge(&LIMITS, &request(size, purpose), &kept, 0, 0);
        assert_eq!(judged(10, Purpose::Message), Ok(()));
        assert_eq!(judged(5, Purpose::Profile), Ok(()));
        assert!(full(None)(&judged(6, Purpose::Profile)));
    }

    #[test]
    fn a_slot_that_was_used_in_vain_holds_no_bytes_but_is_counted() {
        let mut spent = file(250, 9, Purpose::Message);
        spent.state = State::Spent;
        let judged = |kept: &[Upload]| judge(&LIMITS, &request(1, Purpose::Message), kept, 0, 0);
        assert_eq!(judged(std::slice::from_ref(&spent)), Ok(()));
        assert!(full(Some(9))(&judged(&vec![spent; 4])));
    }

    #[test]
    fn a_host_has_a_quota_too() {
        let judged = |in_all| judge(&LIMITS, &request(10, Purpose::Message), &[], in_all, 0);
        assert_eq!(judged(990), Ok(()));
        assert!(full(None)(&judged(991)));
    }
}
