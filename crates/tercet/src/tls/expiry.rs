//! When the server's own certificates expire: what is told in good time, and how often.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tercet_server::Server;

use super::certificates::Certificates;

/// Days before the end from which on it is said, most first; within the last one it is an error.
const THRESHOLDS: [i64; 4] = [14, 7, 3, 1];
const DAY: i64 = 86_400;

/// One of the server's certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The file that it stands in.
    pub file: PathBuf,
    /// Its end: seconds since 1970.
    pub not_after: i64,
}

impl Expiry {
    /// Seconds until its end, below zero behind it.
    pub fn seconds_left(&self, now_ms: u64) -> i64 {
        self.not_after - now_ms.cast_signed() / 1000
    }

    /// The threshold that has been passed: days; none if there is time.
    fn passed(&self, now_ms: u64) -> Option<i64> {
        let left = self.seconds_left(now_ms);
        if left < 0 {
            return Some(0);
        }
        let mut passed = THRESHOLDS.into_iter().filter(|days| left < days * DAY);
        passed.next_back()
    }
}

/// The ends of all certificates that are in use, and what has been said of them.
#[derive(Debug, Default)]
pub struct Expiries(Mutex<Vec<(Expiry, Option<i64>)>>);

impl Expiries {
    /// Those of `server`: always the same value.
    pub fn of(server: &Server) -> Arc<Expiries> {
        server.kept("", Expiries::default)
    }

    /// All of them, the default one first.
    pub fn all(&self) -> Vec<Expiry> {
        let known = self.0.lock().unwrap_or_else(|e| e.into_inner());
        known.iter().map(|(expiry, _)| expiry.clone()).collect()
    }

    /// Looks at the certificates that are in use now, and says in the log which of them end soon: once for each threshold.
    pub fn look(&self, certificates: &Certificates, now_ms: u64) {
        for (expiry, passed) in self.news(certificates.expiries(), now_ms) {
            let file = expiry.file.display();
            let days = expiry.seconds_left(now_ms).div_euclid(DAY);
            let until = tercet_core::time::format(expiry.not_after.saturating_mul(1000));
            match passed {
                0 => {
                    tracing::error!(%file, %until, "a certificate has expired: clients and servers refuse it")
                }
                1 => tracing::error!(%file, %until, "a certificate expires within a day"),
                _ => tracing::warn!(%file, %until, days, "a certificate expires soon"),
            }
        }
    }

    /// Takes the certificates in use; gives those of which something has to be said now.
    fn news(&self, present: Vec<Expiry>, now_ms: u64) -> Vec<(Expiry, i64)> {
        let mut known = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let before = std::mem::take(&mut *known);
        let mut news = Vec::new();
        for expiry in present {
            let said = before.iter().find(|(other, _)| *other == expiry);
            let said = said.and_then(|(_, said)| *said);
            let passed = expiry.passed(now_ms);
            if let Some(passed) = passed
                && said.is_none_or(|said| passed < said)
            {
                news.push((expiry.clone(), passed));
            }
            known.push((expiry, passed));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_threshold_is_said_once_and_a_new_certificate_is_silent() {
        let expiries = Expiries::default();
        let at = |not_after: i64| Expiry {
            file: "chain.pem".into(),
            not_after: not_after * DAY,
        };
        let ms = |day: u64| day * 86_400_000 + 1_000;
        let said = |expiry: Expiry, day: u64| {
            let news = expiries.news(vec![expiry], ms(day));
            news.first().map(|(_, passed)| *passed)
        };
        for (day, expected) in [
            (0, None),
            (70, None),
            (85, None),
            (86, Some(14)),
            (87, None),
            (92, None),
            (93, Some(7)),
            (98, Some(3)),
            (99, Some(1)),
            (99, None),
            (100, Some(0)),
            (101, None),
        ] {
            assert_eq!(said(at(100), day), expected, "day {day}");
        }
        assert_eq!(said(at(200), 101), None);
        assert_eq!(expiries.all(), [at(200)]);
        // One that comes late is told at once, with what is left.
        assert_eq!(said(at(109), 101), Some(14));
        assert_eq!(at(109).seconds_left(ms(101)), 8 * DAY - 1);
    }
}
