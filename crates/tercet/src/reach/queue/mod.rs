//! What waits for connections to other servers: one line for each pair of domains, as a pure state machine.
//!
//! ```text
//!          push                    connected
//!  Idle ────────> Connecting ───────────────> Up ── lost ──> Idle, or Resting if it was up for a moment only
//!   ^  \ (places) ^     │ failed                             (with something in the line it goes on from there)
//!   │   `> Queued ┘     v
//!   └────────────── Resting ── time, something waits ──> Connecting
//! ```
//! A line is first in, first out, so stanzas between the same two addresses keep their order, and what is
//! [put back](Queues::put_back) goes in front. A failure bounces everything that waits, each with its reason. While a line
//! rests new stanzas wait if its rest ends before their time does, else they bounce at once with the last reason.
//!
//! Bounds: bytes of a line and of all, time in a line, lines, and connections under way. Beyond them senders get
//! `resource-constraint`; what is silent is nothing.
//!
//! The clock and randomness are arguments. What is to be done comes out of [`Queues::poll`].

mod limits;
mod sent;
#[cfg(test)]
mod tests;

pub use limits::QueueLimits;
pub use sent::{NotHandled, Sent, TooHigh};

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use tercet_core::StanzaError;
use tercet_stream::s2s::DomainPair;

use super::failure::Unreachable;

/// A connection that was up for less has failed, as far as rests are concerned.
const MOMENT: Duration = Duration::from_secs(10);

/// Something that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<L> {
    /// What it is.
    pub letter: L,
    /// What it counts for.
    pub bytes: usize,
    /// Since when it has waited.
    pub since: Instant,
}

/// Something to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Due<L> {
    /// Open a connection for this pair, and say how it went: [`Queues::connected`] or [`Queues::failed`].
    Connect(DomainPair),
    /// Something waits for a connection that is there: [`Queues::take`] it.
    Ready(DomainPair),
    /// This is not brought to its domain.
    Bounce(L, StanzaError),
}

/// The lines of all pairs of domains.
#[derive(Debug)]
pub struct Queues<L> {
    limits: QueueLimits,
    lines: HashMap<DomainPair, Line<L>>,
    /// By time, then by line: when something is due.
    timers: BTreeMap<(Instant, u64), DomainPair>,
    /// Lines in which nothing waits, and that no connection needs: remembered for their failures.
    resting: BTreeMap<u64, DomainPair>,
    /// Pairs that want a connection and have no place for one yet.
    queued: VecDeque<DomainPair>,
    connecting: usize,
    bytes: usize,
    next_id: u64,
    due: VecDeque<Due<L>>,
    /// Why nothing is connected any more.
    closed: Option<Unreachable>,
}

#[derive(Debug)]
struct Line<L> {
    id: u64,
    phase: Phase,
    waiting: VecDeque<Item<L>>,
    bytes: usize,
    /// Failures in a row.
    failures: u32,
    /// The last one.
    reason: Option<Unreachable>,
    /// Its entry among the timers.
    timer: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing waits. It is remembered until then, for its failures.
    Idle(Option<Instant>),
    Queued,
    Connecting,
    Up {
        since: Instant,
    },
    Resting {
        until: Instant,
    },
}

impl<L> Queues<L> {
    /// No lines.
    pub fn new(limits: QueueLimits) -> Self {
        Queues {
            limits,
            lines: HashMap::new(),
            timers: BTreeMap::new(),
            resting: BTreeMap::new(),
            queued: VecDeque::new(),
            connecting: 0,
            bytes: 0,
            next_id: 0,
            due: VecDeque::new(),
            closed: None,
        }
    }

    /// Opens no further connections: from now on, what waits for one that is not there bounces with this reason.
    pub fn close(&mut self, reason: &Unreachable) {
        self.closed = Some(reason.clone());
        let pairs: Vec<DomainPair> = self.lines.keys().cloned().collect();
        for pair in pairs {
            self.give_up(&pair);
        }
    }

    /// Whether there is a line for `pair`: something is sent there, or was a while ago.
    pub fn knows(&self, pair: &DomainPair) -> bool {
        self.lines.contains_key(pair)
    }

    /// Appends a letter of so many bytes to the line of `pair`.
    pub fn push(&mut self, pair: &DomainPair, letter: L, bytes: usize, now: Instant) {
        if !self.lines.contains_key(pair) && !self.make_room() {
            let text = format!(
                "too many servers are being reached; try {} again later",
                pair.remote
            );
            return self.refuse(letter, text);
        }
        let next_id = &mut self.next_id;
        let line = self.lines.entry(pair.clone()).or_insert_with(|| {
            *next_id += 1;
            Line::new(*next_id)
        });
        if line.bytes + bytes > self.limits.line_bytes || self.bytes + bytes > self.limits.bytes {
            let text = format!("too much is waiting for {} already", pair.remote);
            self.refuse(letter, text);
            return self.settle(pair);
        }
        if let (Phase::Resting { until }, Some(reason)) = (line.phase, &line.reason)
            && until.saturating_duration_since(now) > self.limits.wait
        {
            let error = reason.stanza_error();
            self.due.push_back(Due::Bounce(letter, error));
            return;
        }
        line.waiting.push_back(Item {
            letter,
            bytes,
            since: now,
        });
        line.bytes += bytes;
        self.bytes += bytes;
        match line.phase {
            Phase::Idle(_) => self.want(pair),
            // Whoever writes has been told with the first.
            Phase::Up { .. } if line.waiting.len() == 1 => {
                self.due.push_back(Due::Ready(pair.clone()));
            }
            _ => {}
        }
        self.give_up(pair);
    }

    /// A connection for `pair` is there, whoever opened it: letters may be written.
    pub fn connected(&mut self, pair: &DomainPair, now: Instant) {
        let next_id = &mut self.next_id;
        let line = self.lines.entry(pair.clone()).or_insert_with(|| {
            *next_id += 1;
            Line::new(*next_id)
        });
        let before = std::mem::replace(&mut line.phase, Phase::Up { since: now });
        if !line.waiting.is_empty() {
            self.due.push_back(Due::Ready(pair.clone()));
        }
        self.leave(pair, before);
        self.settle(pair);
    }

    /// Whether what waits for `pair`, and for all, is far below the bounds.
    pub fn has_room(&self, pair: &DomainPair) -> bool {
        let waiting = self.lines.get(pair).map_or(0, |line| line.bytes);
        waiting < self.limits.line_bytes / 4 && self.bytes < self.limits.bytes / 2
    }

    /// The next letters for the connection of `pair`: at most so many bytes, but at least one.
    pub fn take(&mut self, pair: &DomainPair, most: usize) -> Vec<Item<L>> {
        let mut taken = Vec::new();
        let Some(line) = self.lines.get_mut(pair) else {
            return taken;
        };
        let mut bytes = 0;
        while let Some(item) = line.waiting.front()
            && (taken.is_empty() || bytes + item.bytes <= most)
        {
            bytes += item.bytes;
            taken.extend(line.waiting.pop_front());
        }
        line.bytes -= bytes;
        self.bytes -= bytes;
        self.settle(pair);
        taken
    }

    /// Letters that were [taken](Self::take) and certainly not handled go to the front again, in their order. They may
    /// exceed the bounds, and keep their time.
    pub fn put_back(&mut self, pair: &DomainPair, items: Vec<Item<L>>) {
        if items.is_empty() {
            return;
        }
        let next_id = &mut self.next_id;
        let line = self.lines.entry(pair.clone()).or_insert_with(|| {
            *next_id += 1;
            Line::new(*next_id)
        });
        let was_empty = line.waiting.is_empty();
        for item in items.into_iter().rev() {
            line.bytes += item.bytes;
            self.bytes += item.bytes;
            line.waiting.push_front(item);
        }
        match line.phase {
            Phase::Idle(_) => self.want(pair),
            Phase::Up { .. } if was_empty => self.due.push_back(Due::Ready(pair.clone())),
            _ => {}
        }
        self.give_up(pair);
    }

    /// No connection for `pair` came about: everything that waits bounces, and the line rests. `random` spreads the rests.
    pub fn failed(&mut self, pair: &DomainPair, reason: &Unreachable, now: Instant, random: u64) {
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        let error = reason.stanza_error();
        for item in line.waiting.drain(..) {
            self.bytes -= item.bytes;
            self.due.push_back(Due::Bounce(item.letter, error.clone()));
        }
        line.bytes = 0;
        line.reason = Some(reason.clone());
        let before = line.rest(&self.limits, now, random);
        self.leave(pair, before);
        self.settle(pair);
    }

    /// The connection for `pair` has ended. What waits goes to the next one.
    pub fn lost(&mut self, pair: &DomainPair, now: Instant, random: u64) {
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        let Phase::Up { since } = line.phase else {
            return;
        };
        if now.saturating_duration_since(since) < MOMENT {
            let text = format!("the server of {} ends its connections", pair.remote);
            line.reason = Some(Unreachable::timeout(text));
            line.rest(&self.limits, now, random);
        } else {
            line.failures = 0;
            line.reason = None;
            line.phase = Phase::Idle(None);
            if !line.waiting.is_empty() {
                self.want(pair);
            }
        }
        self.give_up(pair);
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Instant) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            let pair = entry.remove();
            let Some(line) = self.lines.get_mut(&pair) else {
                continue;
            };
            line.timer = None;
            while let Some(item) = line.waiting.front()
                && item.since + self.limits.wait <= now
            {
                let error = line.late(&pair, &self.limits);
                let Some(item) = line.waiting.pop_front() else {
                    break;
                };
                line.bytes -= item.bytes;
                self.bytes -= item.bytes;
                self.due.push_back(Due::Bounce(item.letter, error));
            }
            match line.phase {
                Phase::Resting { until } if until <= now => {
                    // Remembered for as long again, so that the next failure counts on.
                    let forget = now + line.rest_time(&self.limits, u64::MAX);
                    line.phase = Phase::Idle(Some(forget));
                    if !line.waiting.is_empty() {
                        self.want(&pair);
                    }
                }
                Phase::Idle(Some(forget)) if forget <= now => line.phase = Phase::Idle(None),
                _ => {}
            }
            self.settle(&pair);
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(time, _)| *time)
    }

    /// What is to be done next; drain it after each call.
    pub fn poll(&mut self) -> Option<Due<L>> {
        self.due.pop_front()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lines that are remembered.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether no line is remembered.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn refuse(&mut self, letter: L, text: String) {
        let error = StanzaError::resource_constraint().text(text);
        self.due.push_back(Due::Bounce(letter, error));
    }

    /// Asks for a connection, if there is a place for one.
    fn want(&mut self, pair: &DomainPair) {
        if self.closed.is_some() {
            return;
        }
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        if self.connecting < self.limits.connecting {
            self.connecting += 1;
            line.phase = Phase::Connecting;
            self.due.push_back(Due::Connect(pair.clone()));
        } else {
            line.phase = Phase::Queued;
            self.queued.push_back(pair.clone());
        }
    }

    /// A line is no longer in this phase: others may have its place.
    fn leave(&mut self, pair: &DomainPair, phase: Phase) {
        match phase {
            Phase::Connecting => self.connecting -= 1,
            Phase::Queued => self.queued.retain(|other| other != pair),
            _ => return,
        }
        while self.connecting < self.limits.connecting
            && let Some(next) = self.queued.pop_front()
        {
            self.want(&next);
        }
    }

    /// Bounces what waits in a line without a connection, once there will be none.
    fn give_up(&mut self, pair: &DomainPair) {
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        if let Some(reason) = &self.closed
            && !matches!(line.phase, Phase::Up { .. })
        {
            for item in line.waiting.drain(..) {
                self.bytes -= item.bytes;
                let error = reason.stanza_error();
                self.due.push_back(Due::Bounce(item.letter, error));
            }
            line.bytes = 0;
        }
        self.settle(pair);
    }

    /// Puts the timer of a line right, or forgets the line if nothing is to be known of it.
    fn settle(&mut self, pair: &DomainPair) {
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        if line.waiting.is_empty() && line.phase == Phase::Queued {
            line.phase = Phase::Idle(None);
            self.queued.retain(|other| other != pair);
        }
        let over = line.waiting.is_empty() && line.phase == Phase::Idle(None);
        let timer = if over { None } else { line.due(&self.limits) };
        if line.timer != timer {
            if let Some(old) = line.timer {
                self.timers.remove(&(old, line.id));
            }
            if let Some(new) = timer {
                self.timers.insert((new, line.id), pair.clone());
            }
            line.timer = timer;
        }
        let idle = matches!(line.phase, Phase::Idle(_) | Phase::Resting { .. });
        if over || !(idle && line.waiting.is_empty()) {
            self.resting.remove(&line.id);
        } else {
            self.resting.entry(line.id).or_insert_with(|| pair.clone());
        }
        if over {
            self.lines.remove(pair);
        }
    }

    /// Makes room for one more line: by forgetting one in which nothing waits. False if there is none.
    fn make_room(&mut self) -> bool {
        if self.lines.len() < self.limits.lines {
            return true;
        }
        let Some((_, pair)) = self.resting.pop_first() else {
            return false;
        };
        if let Some(line) = self.lines.remove(&pair)
            && let Some(timer) = line.timer
        {
            self.timers.remove(&(timer, line.id));
        }
        true
    }
}

impl<L> Line<L> {
    fn new(id: u64) -> Self {
        Line {
            id,
            phase: Phase::Idle(None),
            waiting: VecDeque::new(),
            bytes: 0,
            failures: 0,
            reason: None,
            timer: None,
        }
    }

    /// When something is due in it.
    fn due(&self, limits: &QueueLimits) -> Option<Instant> {
        let oldest = self.waiting.front().map(|item| item.since + limits.wait);
        let phase = match self.phase {
            Phase::Resting { until } => Some(until),
            Phase::Idle(forget) => forget,
            _ => None,
        };
        oldest.into_iter().chain(phase).min()
    }

    /// Begins a rest; returns the phase before.
    fn rest(&mut self, limits: &QueueLimits, now: Instant, random: u64) -> Phase {
        self.failures = self.failures.saturating_add(1);
        let until = now + self.rest_time(limits, random);
        std::mem::replace(&mut self.phase, Phase::Resting { until })
    }

    /// The rest doubles with each failure up to the longest, or is as long as the DNS says; the last half of it by chance,
    /// so that not all servers come back at once.
    fn rest_time(&self, limits: &QueueLimits, random: u64) -> Duration {
        let doubled = 1u32 << self.failures.saturating_sub(1).min(16);
        let told = self.reason.as_ref().and_then(|reason| reason.again_after);
        let rest = limits.rest.saturating_mul(doubled);
        let rest = rest.max(told.unwrap_or_default()).min(limits.rest_max);
        let half = rest / 2;
        // Millionths of the half.
        let share = u32::try_from(random % 1_000_001).unwrap_or(0);
        half + half / 1_000_000 * share
    }

    /// The error for one whose time is over.
    fn late(&self, pair: &DomainPair, limits: &QueueLimits) -> StanzaError {
        let (domain, seconds) = (&pair.remote, limits.wait.as_secs());
        let text = match (&self.phase, &self.reason) {
            (Phase::Up { .. }, _) => {
                format!("the server of {domain} took nothing for {seconds} s")
            }
            (_, Some(reason)) => return reason.stanza_error(),
            _ => format!("no connection to the server of {domain} came about in {seconds} s"),
        };
        Unreachable::timeout(text).stanza_error()
    }
}
