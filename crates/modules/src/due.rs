//! How often something may be done: so many times at once, and evenly in the long run.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Names of which a table remembers something, beyond which those are forgotten that make no difference any more.
pub(crate) const NAMES: usize = 10_000;

/// When the next deed of somebody is due if all come at an even pace, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Due(u64);

impl Due {
    /// The same as [`Due::take`], which then counts.
    pub(crate) fn allows(self, burst: u64, each_ms: u64, now_ms: u64) -> bool {
        let mut copy = self;
        copy.take(burst, each_ms, now_ms)
    }

    /// Whether one more is allowed now, where `burst` may come at once and `each_ms` lie between them in the long run. It counts
    /// only if it is.
    pub(crate) fn take(&mut self, burst: u64, each_ms: u64, now_ms: u64) -> bool {
        let most = now_ms.saturating_add(burst.saturating_mul(each_ms));
        // What lies further ahead was noted by a clock that has gone back since.
        let due = if self.0 > most {
            now_ms
        } else {
            self.0.max(now_ms)
        };
        let allowed = due - now_ms <= burst.saturating_sub(1).saturating_mul(each_ms);
        if allowed {
            self.0 = due.saturating_add(each_ms);
        }
        allowed
    }
}

/// When whose next deed is due.
pub(crate) struct Table<K>(HashMap<K, Due>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table(HashMap::new())
    }
}

impl<K: Eq + Hash> Table<K> {
    /// Whether [`Table::take`] would allow it.
    pub(crate) fn allows<Q>(&self, who: &Q, burst: u64, each_ms: u64, now_ms: u64) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let due = self.0.get(who).copied().unwrap_or_default();
        due.allows(burst, each_ms, now_ms)
    }

    /// As [`Due::take`], for `who`.
    pub(crate) fn take<Q>(&mut self, who: &Q, burst: u64, each_ms: u64, now_ms: u64) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(due) = self.0.get_mut(who) {
            return due.take(burst, each_ms, now_ms);
        }
        if self.0.len() >= NAMES {
            // Who has done nothing for long is as who has done nothing at all.
            self.0.retain(|_, due| due.0 > now_ms);
        }
        self.0
            .entry(who.to_owned())
            .or_default()
            .take(burst, each_ms, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_come_at_once_and_then_one_after_another() {
        let mut due = Due::default();
        let mut take = |now_ms| due.take(3, 100, now_ms);
        assert_eq!([take(1000), take(1000), take(1000)], [true; 3]);
        assert!(!take(1000) && !take(1099));
        assert!(take(1100));
        assert!(!take(1199) && take(1200));
        // What was refused does not count, and after a while all may come at once again.
        assert_eq!([take(9000), take(9000), take(9000)], [true; 3]);
        assert!(!take(9000));
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out() {
        let mut due = Due::default();
        assert!(due.take(1, 100, 1_000_000));
        assert!(due.take(1, 100, 500));
        assert!(!due.take(1, 100, 599));
    }

    #[test]
    fn a_table_forgets_those_who_make_no_difference() {
        let mut table = Table::<u64>::default();
        for number in 0..=NAMES as u64 {
            assert!(table.take(&number, 1, 10, number * 100));
        }
        assert_eq!(table.0.len(), 1);
    }
}
