//! What waits for one component: while it is connected, and for a while after.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Why something does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The component is not connected, and has not been a moment ago.
    Away,
    /// Too much waits already.
    Full,
}

/// Which connection of a component.
pub(super) type Id = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is not connected; what comes until then waits for it.
    Away { until: Option<Instant> },
    /// By this connection.
    Here(Id),
}

/// The line of one component.
pub(super) struct Line<L> {
    wait: Duration,
    most: usize,
    state: State,
    items: VecDeque<(L, usize)>,
    bytes: usize,
    /// Nothing waits for another connection any more.
    closed: bool,
}

impl<L> Line<L> {
    /// An empty line of a component that has not been there yet. Things wait for `wait` after it has gone, and are of `most`
    /// bytes at the most.
    pub(super) fn new(wait: Duration, most: usize) -> Self {
        Line {
            wait,
            most,
            state: State::Away { until: None },
            items: VecDeque::new(),
            bytes: 0,
            closed: false,
        }
    }

    /// Other bounds from now on.
    pub(super) fn set(&mut self, wait: Duration, most: usize) {
        (self.wait, self.most) = (wait, most);
    }

    /// Puts something at the end.
    ///
    /// # Errors
    /// It comes back, with the reason.
    pub(super) fn push(&mut self, item: L, bytes: usize, now: Instant) -> Result<(), (L, Why)> {
        if let State::Away { until } = self.state
            && until.is_none_or(|until| until <= now)
        {
            return Err((item, Why::Away));
        }
        if self.bytes.saturating_add(bytes) > self.most {
            return Err((item, Why::Full));
        }
        self.bytes += bytes;
        self.items.push_back((item, bytes));
        Ok(())
    }

    /// How many things wait, and of how many bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.items.len(), self.bytes)
    }

    /// Whether what waits is far below the bound.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < self.most / 4
    }

    /// Which connection it has.
    pub(super) fn here(&self) -> Option<Id> {
        match self.state {
            State::Here(id) => Some(id),
            State::Away { .. } => None,
        }
    }

    /// This connection takes what waits from now on.
    pub(super) fn arrive(&mut self, id: Id) {
        self.state = State::Here(id);
    }

    /// This connection is over. False if another has taken its place.
    pub(super) fn leave(&mut self, id: Id, now: Instant) -> bool {
        if self.state != State::Here(id) {
            return false;
        }
        let until = (!self.closed).then(|| now + self.wait);
        self.state = State::Away { until };
        true
    }

    /// The first things that wait, of about so many bytes, for this connection; nothing if it is not the present one.
    pub(super) fn take(&mut self, id: Id, most: usize) -> Vec<L> {
        let mut taken = Vec::new();
        if self.state != State::Here(id) {
            return taken;
        }
        let mut bytes = 0;
        while bytes < most
            && let Some((item, size)) = self.items.pop_front()
        {
            bytes += size;
            self.bytes -= size;
            taken.push(item);
        }
        taken
    }

    /// What has waited long enough.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<L> {
        match self.state {
            State::Away { until } if until.is_none_or(|until| until <= now) => self.clear(),
            _ => Vec::new(),
        }
    }

    /// From now on nothing waits for another connection; gives what does.
    pub(super) fn close(&mut self) -> Vec<L> {
        self.closed = true;
        match self.state {
            State::Here(_) => Vec::new(),
            State::Away { .. } => {
                self.state = State::Away { until: None };
                self.clear()
            }
        }
    }

    fn clear(&mut self) -> Vec<L> {
        self.bytes = 0;
        let items = std::mem::take(&mut self.items);
        items.into_iter().map(|(item, _)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    fn line() -> (Line<u8>, Instant) {
        (Line::new(WAIT, 10), Instant::now())
    }

    #[test]
    fn nothing_waits_for_a_component_that_has_never_been_there() {
        let (mut line, now) = line();
        assert_eq!(line.push(1, 1, now), Err((1, Why::Away)));
        assert_eq!(line.bytes, 0);
    }

    #[test]
    fn what_waits_comes_in_its_order_and_in_portions() {
        let (mut line, now) = line();
        line.arrive(1);
        for item in 0..5 {
            line.push(item, 2, now).unwrap();
        }
        assert_eq!(line.push(5, 1, now), Err((5, Why::Full)));
        assert_eq!(line.size(), (5, 10));
        assert_eq!(line.take(1, 3), [0, 1]);
        line.push(6, 4, now).unwrap();
        assert_eq!(line.take(1, 100), [2, 3, 4, 6]);
        assert_eq!((line.take(1, 100).len(), line.bytes), (0, 0));
    }

    #[test]
    fn what_comes_in_the_middle_of_a_restart_waits_and_then_goes_back() {
        let (mut line, now) = line();
        line.arrive(1);
        assert!(line.leave(1, now));
        line.push(1, 1, now).unwrap();
        line.arrive(2);
        assert_eq!(line.take(2, 100), [1]);
        assert!(line.leave(2, now));
        line.push(2, 1, now).unwrap();
        assert!(line.expire(now + WAIT / 2).is_empty());
        assert_eq!(line.expire(now + WAIT), [2]);
        assert_eq!(line.push(3, 1, now + WAIT), Err((3, Why::Away)));
        assert_eq!(line.bytes, 0);
    }

    #[test]
    fn a_connection_whose_place_was_taken_gets_nothing_and_changes_nothing() {
        let (mut line, now) = line();
        line.arrive(1);
        line.push(1, 1, now).unwrap();
        line.arrive(2);
        assert!(line.take(1, 100).is_empty());
        assert!(!line.leave(1, now));
        assert_eq!(line.here(), Some(2));
        assert_eq!(line.take(2, 100), [1]);
    }

    #[test]
    fn a_closed_line_keeps_nothing_for_a_later_connection() {
        let (mut line, now) = line();
        line.arrive(1);
        line.push(1, 1, now).unwrap();
        assert!(line.close().is_empty());
        assert!(line.leave(1, now));
        assert_eq!(line.expire(now), [1]);
        assert_eq!(line.push(2, 1, now), Err((2, Why::Away)));

        let (mut line, now) = self::line();
        line.arrive(1);
        line.leave(1, now);
        line.push(1, 1, now).unwrap();
        assert_eq!(line.close(), [1]);
    }
}
