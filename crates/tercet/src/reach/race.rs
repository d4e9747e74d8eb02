//! When which address is tried: happy eyeballs (RFC 8305 §4, §5; XEP-0495). Pure: the caller has the clock and the sockets.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// RFC 8305 §5: time for one attempt before the next begins beside it.
pub const STAGGER: Duration = Duration::from_millis(250);
/// Time for the last attempt at a target before the next target is tried beside it: a way around is worth less than the
/// order that the domain wishes.
pub const NEXT_TARGET: Duration = Duration::from_secs(2);
/// Addresses of one target that are tried.
pub const ADDRESSES_MAX: usize = 8;

/// RFC 8305 §4: the addresses of both families in turns, IPv6 first, each once and in the order of its family.
pub fn interleave(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let (mut six, mut four) = (VecDeque::new(), VecDeque::new());
    for address in addresses {
        let family = if address.is_ipv6() {
            &mut six
        } else {
            &mut four
        };
        if !family.contains(&address) {
            family.push_back(address);
        }
    }
    let mut ordered = Vec::new();
    while ordered.len() < ADDRESSES_MAX && !(six.is_empty() && four.is_empty()) {
        ordered.extend(six.pop_front());
        ordered.extend(four.pop_front());
    }
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move<T> {
    /// Try this.
    Try(T),
    /// The next target's addresses are needed: [`Race::target`], also with none.
    Resolve,
    /// Nothing until an attempt ends or, if there is one, this time comes.
    Wait(Option<Instant>),
    /// Nothing is left.
    Over,
}

/// The attempts at the targets of one domain.
#[derive(Debug)]
pub struct Race<T> {
    waiting: VecDeque<T>,
    running: usize,
    /// Targets whose addresses have not been asked for.
    targets: usize,
    /// When the next attempt begins though another is running.
    next: Option<Instant>,
}

impl<T> Race<T> {
    /// A race to the first of so many targets.
    pub fn new(targets: usize) -> Self {
        Race {
            waiting: VecDeque::new(),
            running: 0,
            targets,
            next: None,
        }
    }

    /// The addresses of the next target, in the order of [`interleave`].
    pub fn target(&mut self, addresses: impl IntoIterator<Item = T>) {
        self.targets = self.targets.saturating_sub(1);
        self.waiting.extend(addresses);
    }

    /// An attempt has failed: the next need not wait for its time (RFC 8305 §5).
    pub fn failed(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.next = None;
    }

    /// An attempt has succeeded and the others were given up: they come first if more is asked for.
    pub fn won(&mut self, given_up: impl DoubleEndedIterator<Item = T>) {
        for attempt in given_up.rev() {
            self.waiting.push_front(attempt);
        }
        (self.running, self.next) = (0, None);
    }

    /// What to do at `now`.
    pub fn turn(&mut self, now: Instant) -> Move<T> {
        let due = self.running == 0 || self.next.is_none_or(|next| next <= now);
        if !due {
            return Move::Wait(self.next);
        }
        match self.waiting.pop_front() {
            Some(attempt) => {
                self.running += 1;
                self.next = Some(now + self.pause());
                Move::Try(attempt)
            }
            None if self.targets > 0 => Move::Resolve,
            None if self.running > 0 => Move::Wait(None),
            None => Move::Over,
        }
    }

    fn pause(&self) -> Duration {
        match self.waiting.is_empty() {
            true => NEXT_TARGET,
            false => STAGGER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_stand_in_turns_each_once() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let given = [
            "10.0.0.1",
            "10.0.0.2",
            "2001:db8::1",
            "10.0.0.1",
            "10.0.0.3",
        ]
        .map(ip);
        let expected = ["2001:db8::1", "10.0.0.1", "10.0.0.2", "10.0.0.3"].map(ip);
        assert_eq!(interleave(given), expected);
        let many = (0..200).map(|n| IpAddr::from([10, 0, 0, n]));
        assert_eq!(interleave(many).len(), ADDRESSES_MAX);
        assert_eq!(interleave([]), [] as [IpAddr; 0]);
    }

    #[test]
    fn the_next_address_is_tried_when_its_time_comes_or_the_last_has_failed() {
        let start = Instant::now();
        let mut race = Race::new(1);
        assert_eq!(race.turn(start), Move::Resolve);
        race.target(["a", "b", "c"]);
        assert_eq!(race.turn(start), Move::Try("a"));
        assert_eq!(race.turn(start), Move::Wait(Some(start + STAGGER)));
        let later = start + STAGGER;
        assert_eq!(race.turn(later), Move::Try("b"));
        race.failed();
        assert_eq!(race.turn(later), Move::Try("c"));
        // Nothing is left but to wait for those that run.
        let end = later + NEXT_TARGET;
        assert_eq!(race.turn(later), Move::Wait(Some(end)));
        assert_eq!(race.turn(end), Move::Wait(None));
        race.failed();
        assert_eq!(race.turn(end), Move::Wait(None));
        race.failed();
        assert_eq!(race.turn(end), Move::Over);
    }

    #[test]
    fn the_next_target_is_looked_up_after_a_longer_time_and_at_once_if_all_have_failed() {
        let start = Instant::now();
        let mut race = Race::new(3);
        race.target(["a"]);
        assert_eq!(race.turn(start), Move::Try("a"));
        assert_eq!(race.turn(start), Move::Wait(Some(start + NEXT_TARGET)));
        race.failed();
        assert_eq!(race.turn(start), Move::Resolve);
        race.target([]);
        assert_eq!(race.turn(start), Move::Resolve);
        race.target(["b"]);
        assert_eq!(race.turn(start), Move::Try("b"));
    }

    #[test]
    fn whoever_was_given_up_for_the_winner_comes_first_when_more_is_asked_for() {
        let start = Instant::now();
        let mut race = Race::new(1);
        race.target(["a", "b", "c"]);
        for (wait, expected) in [(0, "a"), (1, "b")] {
            assert_eq!(race.turn(start + STAGGER * wait), Move::Try(expected));
        }
        race.won(["a"].into_iter());
        assert_eq!(race.turn(start), Move::Try("a"));
        race.failed();
        assert_eq!(race.turn(start), Move::Try("c"));
    }
}
