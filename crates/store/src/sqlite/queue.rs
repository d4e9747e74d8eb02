//! A bounded queue between callers and a thread. What exceeds its bound is refused at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::StoreError;

/// First in, first out; bounded in items and in bytes.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    half_full: AtomicBool,
    max_items: usize,
    max_bytes: usize,
}

struct State<T> {
    items: VecDeque<Item<T>>,
    bytes: usize,
    /// How many of the items are not patient.
    urgent: usize,
    /// Patient items wake nobody before there are so many.
    resting: Option<usize>,
    /// So many threads wait for an item: waking nobody costs a system call, too.
    waiting: usize,
    closed: bool,
}

struct Item<T> {
    bytes: usize,
    patient: bool,
    item: T,
}

impl<T> Queue<T> {
    pub(super) fn new(max_items: usize, max_bytes: usize) -> Queue<T> {
        Queue {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                urgent: 0,
                resting: None,
                waiting: 0,
                closed: false,
            }),
            ready: Condvar::new(),
            half_full: AtomicBool::new(false),
            max_items,
            max_bytes,
        }
    }

    /// Queues an item, or gives it back with `Busy` or `Closed`. An item of no bytes is a question about the queue itself and is
    /// never refused as `Busy`. A `patient` item does not end a [rest](Queue::rest).
    pub(super) fn push(&self, bytes: usize, patient: bool, item: T) -> Option<(T, StoreError)> {
        let wake = {
            let mut state = self.lock();
            if state.closed {
                return Some((item, StoreError::Closed));
            }
            let full = state.items.len() >= self.max_items || state.bytes + bytes > self.max_bytes;
            if full && bytes > 0 {
                return Some((item, StoreError::Busy));
            }
            state.items.push_back(Item {
                bytes,
                patient,
                item,
            });
            state.bytes += bytes;
            state.urgent += usize::from(!patient);
            self.note_fill(&state);
            let may_rest = |enough| patient && state.items.len() < enough;
            state.waiting > 0 && !state.resting.is_some_and(may_rest)
        };
        if wake {
            self.ready.notify_one();
        }
        None
    }

    /// The next item; waits for one. `None` once the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.take() {
                self.note_fill(&state);
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state.waiting += 1;
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Lets patient items gather, until there are `enough`, something else comes, or `time` is over. For the only thread that takes items.
    pub(super) fn rest(&self, time: Duration, enough: usize) {
        let mut state = self.lock();
        state.resting = Some(enough);
        state.waiting += 1;
        let undisturbed =
            |state: &mut State<T>| state.urgent == 0 && !state.closed && state.items.len() < enough;
        let (mut state, _) = self
            .ready
            .wait_timeout_while(state, time, undisturbed)
            .unwrap_or_else(PoisonError::into_inner);
        state.resting = None;
        state.waiting -= 1;
    }

    /// The next item if there is one.
    pub(super) fn try_pop(&self) -> Option<T> {
        self.lock().take()
    }

    /// Moves up to `limit` items to the end of `to`: one lock for many.
    pub(super) fn take_some(&self, limit: usize, to: &mut VecDeque<T>) {
        let mut state = self.lock();
        to.extend((0..limit).map_while(|_| state.take()));
        self.note_fill(&state);
    }

    /// Whether it holds more than half of its bounds.
    pub(super) fn is_half_full(&self) -> bool {
        self.half_full.load(Ordering::Relaxed)
    }

    fn note_fill(&self, state: &State<T>) {
        let half_full = state.items.len() > self.max_items / 2 || state.bytes > self.max_bytes / 2;
        if half_full != self.is_half_full() {
            self.half_full.store(half_full, Ordering::Relaxed);
        }
    }

    /// Refuses further items; those inside can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// Whether further items are refused.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Number and bytes of the items that wait.
    pub(super) fn size(&self) -> (usize, usize) {
        let state = self.lock();
        (state.items.len(), state.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Option<T> {
        let Item {
            bytes,
            patient,
            item,
        } = self.items.pop_front()?;
        self.bytes -= bytes;
        self.urgent -= usize::from(!patient);
        Some(item)
    }
}
