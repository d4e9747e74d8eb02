//! How fast bytes may go.

use std::time::{Duration, Instant};

/// What may go at once, in time of the rate.
const AT_ONCE: Duration = Duration::from_secs(1);

/// One way of a stream, with a rate.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes in a second; 0: without a bound.
    rate: u64,
    /// When what has gone is paid for.
    paid: Instant,
}

impl Pace {
    pub(super) fn new(rate: u64, now: Instant) -> Pace {
        Pace { rate, paid: now }
    }

    /// So many bytes have gone; returns for how long nothing more may.
    pub(super) fn went(&mut self, bytes: usize, now: Instant) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        // A number of bytes fits into 64 bits.
        let price = bytes as u64 as f64 / self.rate as f64;
        self.paid = self.paid.max(now) + Duration::from_secs_f64(price);
        let ahead = self.paid.saturating_duration_since(now);
        ahead.saturating_sub(AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_goes_at_once_and_the_rest_at_the_rate() {
        let mut now = Instant::now();
        let mut pace = Pace::new(1000, now);
        assert_eq!(pace.went(1000, now), Duration::ZERO);
        assert_eq!(pace.went(500, now), Duration::from_millis(500));
        now += Duration::from_millis(500);
        assert_eq!(pace.went(0, now), Duration::ZERO);
        // Silence saves nothing up beyond the second.
        now += Duration::from_secs(3600);
        assert_eq!(pace.went(1000, now), Duration::ZERO);
        assert_eq!(pace.went(2000, now), Duration::from_secs(2));
        assert_eq!(Pace::new(0, now).went(usize::MAX, now), Duration::ZERO);
    }
}
