//! How slowly a body may come or go: time in which nothing can be done but wait for the client is counted, and in each
//! such stretch it has to move so many bytes.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that a client moves at least in a stretch.
pub(super) const BYTES: u64 = 128 * 1024;

/// Watches one direction.
pub(super) struct Pace {
    stretch: Duration,
    /// Bytes moved in this stretch.
    moved: u64,
    /// Time waited for in this stretch, up to `since`.
    waited: Duration,
    /// The client is waited for since then.
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// `stretch`: the time for [`BYTES`].
    pub(super) fn new(stretch: Duration) -> Self {
        Pace {
            stretch,
            moved: 0,
            waited: Duration::ZERO,
            since: None,
            sleep: None,
        }
    }

    /// The client moved so many bytes and is not waited for at the moment.
    pub(super) fn moved(&mut self, bytes: u64) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.moved = self.moved.saturating_add(bytes);
        if self.moved >= BYTES {
            self.rest();
        }
    }

    /// There is nothing to move, or a new stretch begins.
    pub(super) fn rest(&mut self) {
        *self = Pace::new(self.stretch);
    }

    /// The client is waited for. Ready when that has taken too long.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let end = since + self.stretch.saturating_sub(self.waited);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if sleep.deadline() != end {
                    sleep.as_mut().reset(end);
                }
                sleep
            }
            none => none.insert(Box::pin(sleep_until(end))),
        };
        sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const STRETCH: Duration = Duration::from_secs(30);

    /// Seconds until a client that moves `bytes` every `seconds` is too slow, if that is within an hour.
    async fn late_after(bytes: u64, seconds: u64) -> Option<u64> {
        let begin = Instant::now();
        let mut pace = Pace::new(STRETCH);
        while begin.elapsed() < Duration::from_secs(3600) {
            let turn = Duration::from_secs(seconds);
            let late = tokio::time::timeout(turn, poll_fn(|cx| pace.poll_late(cx)));
            if late.await.is_ok() {
                return Some(begin.elapsed().as_secs());
            }
            pace.moved(bytes);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_moves_too_little_is_late_and_others_are_not() {
        assert_eq!(late_after(0, 1000).await, Some(30));
        assert_eq!(late_after(1, 7).await, Some(30));
        assert_eq!(late_after(BYTES / 4, 10).await, Some(30));
        assert_eq!(late_after(BYTES / 2, 10).await, None);
        assert_eq!(late_after(BYTES, 29).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_take_is_not_the_clients_time() {
        let mut pace = Pace::new(STRETCH);
        for _ in 0..10 {
            let late = poll_fn(|cx| pace.poll_late(cx));
            assert!(
                tokio::time::timeout(Duration::from_secs(2), late)
                    .await
                    .is_err()
            );
            pace.moved(1);
            tokio::time::sleep(Duration::from_secs(100)).await;
        }
    }
}
