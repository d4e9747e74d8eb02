//! How fast other servers may send: each domain as its own, over however many streams. Who sends more is read no further for
//! as long as its stanzas should have taken; nothing is lost, and the other server's own queue says no in the end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Federation;

/// How much may come at once, in seconds of what may come in the long run.
const BURST: Duration = Duration::from_secs(10);
/// Domains that are remembered; further ones are counted together.
const DOMAINS: usize = 16_384;
const SECOND: u64 = 1_000_000_000;

/// What has come of late.
pub(super) struct Pace {
    /// Nanoseconds that a stanza and that a byte should take; 0 for none.
    stanza: u64,
    byte_rate: u64,
    domains: Mutex<HashMap<Box<str>, Due>>,
}

/// When the next stanza and the next byte would be due, had all come evenly.
#[derive(Clone, Copy)]
struct Due {
    stanza: Instant,
    byte: Instant,
}

impl Pace {
    pub(super) fn new(federation: &Federation) -> Pace {
        Pace {
            stanza: SECOND
                .checked_div(federation.stanzas_per_second.into())
                .unwrap_or(0),
            byte_rate: federation.bytes_per_second.0,
            domains: Mutex::default(),
        }
    }

    /// Counts a stanza of a domain. Until when its stream is read no further, if at all.
    pub(super) fn count(&self, domain: &str, bytes: usize, now: Instant) -> Option<Instant> {
        if self.stanza == 0 && self.byte_rate == 0 {
            return None;
        }
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        let mut name = domain;
        if domains.len() >= DOMAINS && !domains.contains_key(domain) {
            // Who has sent nothing for long is as who has sent nothing at all.
            domains.retain(|_, due| due.stanza > now || due.byte > now);
            if domains.len() >= DOMAINS {
                // No domain is called so.
                name = "";
            }
        }
        let due = domains.entry(name.into()).or_insert(Due {
            stanza: now,
            byte: now,
        });
        due.stanza = due.stanza.max(now) + Duration::from_nanos(self.stanza);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let bytes = bytes.saturating_mul(SECOND).checked_div(self.byte_rate);
        due.byte = due.byte.max(now) + Duration::from_nanos(bytes.unwrap_or(0));
        let latest = due.stanza.max(due.byte);
        let until = latest.checked_sub(BURST)?;
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Size;

    fn pace(stanzas: u32, bytes: u64) -> Pace {
        Pace::new(&Federation {
            stanzas_per_second: stanzas,
            bytes_per_second: Size(bytes),
            ..Federation::default()
        })
    }

    /// How many stanzas of so many bytes come at once before there is a pause, and how long it is.
    fn until_paused(pace: &Pace, domain: &str, bytes: usize, now: Instant) -> (usize, Duration) {
        for count in 1..1_000_000 {
            if let Some(until) = pace.count(domain, bytes, now) {
                return (count, until - now);
            }
        }
        panic!("there is no pause");
    }

    #[test]
    fn ten_seconds_worth_comes_at_once_and_then_at_an_even_pace() {
        let pace = pace(10, 0);
        let now = Instant::now();
        let tenth = Duration::from_millis(100);
        assert_eq!(until_paused(&pace, "a.example", 1, now), (101, tenth));
        assert_eq!(
            pace.count("a.example", 1, now + tenth),
            Some(now + tenth * 2)
        );
        // Others are not concerned, and time heals.
        assert_eq!(pace.count("b.example", 1, now), None);
        let later = now + Duration::from_secs(60);
        assert_eq!(until_paused(&pace, "a.example", 1, later), (101, tenth));
    }

    #[test]
    fn large_stanzas_take_as_long_as_many_small_ones() {
        let pace = pace(0, 1000);
        let now = Instant::now();
        let (count, pause) = until_paused(&pace, "a.example", 1000, now);
        assert_eq!((count, pause), (11, Duration::from_secs(1)));
    }

    #[test]
    fn without_bounds_nothing_is_counted() {
        let pace = pace(0, 0);
        for _ in 0..100_000 {
            assert_eq!(pace.count("a.example", 1 << 20, Instant::now()), None);
        }
        assert!(pace.domains.lock().unwrap().is_empty());
    }

    #[test]
    fn however_many_domains_send_what_is_remembered_is_bounded() {
        let pace = pace(1, 0);
        let now = Instant::now();
        for number in 0..DOMAINS + 100 {
            pace.count(&format!("{number}.example"), 1, now);
        }
        assert!(pace.domains.lock().unwrap().len() <= DOMAINS + 1);
    }
}
