//! One timer of a connection, moved only when it has to be.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// The runtime's timers tick in milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// Wakes a task at the earliest time it was [`set`](Self::set) to since it was last due.
///
/// A deadline that moves away costs nothing: the timer wakes its task at the old one, finds nothing to do, and is set
/// to the new one.
#[derive(Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
}

impl Timer {
    /// True once when the time has come.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.armed.is_some_and(|armed| armed <= now + TICK);
        if due {
            self.armed = None;
        }
        due
    }

    /// Makes sure that the task of `cx` is woken at `deadline`.
    pub(super) fn set(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return;
        };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        // What is due now gets its turn after others had theirs.
        let deadline = deadline.max(now + 2 * TICK);
        self.armed = Some(deadline);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(deadline.into());
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline.into()))),
        };
        if sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
