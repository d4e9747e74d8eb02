//! What is to be done at a later time, by the server's clock: retries, time-outs.
//!
//! Nothing here waits by itself: whoever runs the server calls [`Server::run_due`] when [`Server::agenda_changed`] says so and a
//! few times a second, so that tests move the clock instead of waiting for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::route::Routed;
use crate::server::Server;

/// Jobs that may wait at a time. Each user of the agenda has a bound of its own; this is the last resort.
const JOBS: usize = 1 << 16;

/// Something to do.
type Job = Box<dyn FnOnce(&Arc<Server>) -> Routed + Send>;

/// What is to be done when.
#[derive(Default)]
pub(crate) struct Agenda {
    jobs: Mutex<Jobs>,
    changed: Notify,
}

#[derive(Default)]
struct Jobs {
    /// By time, and those of one time in the order in which they came.
    waiting: BTreeMap<(u64, u64), Job>,
    counter: u64,
}

impl Agenda {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Does `job` once the clock shows `at_ms` (milliseconds since 1970), never within this call. False, and nothing is done, if
    /// too much waits already.
    pub fn at(
        &self,
        at_ms: u64,
        job: impl FnOnce(&Arc<Server>) -> Routed + Send + 'static,
    ) -> bool {
        let mut jobs = self.agenda().lock();
        if jobs.waiting.len() >= JOBS {
            tracing::error!("too many jobs wait; one is not done");
            return false;
        }
        jobs.counter += 1;
        let counter = jobs.counter;
        jobs.waiting.insert((at_ms, counter), Box::new(job));
        drop(jobs);
        if at_ms <= self.now_ms() {
            self.agenda().changed.notify_one();
        }
        true
    }

    /// Resolves when something is to be done that need not wait.
    pub async fn agenda_changed(&self) {
        self.agenda().changed.notified().await;
    }

    /// Begins everything whose time has come, what it causes at once included, in order of time. What is returned still has to be
    /// awaited, in any order.
    #[must_use = "what comes later must be awaited"]
    pub fn run_due(self: &Arc<Self>) -> Vec<Routed> {
        let mut begun = self.end_hibernating_until(self.now_ms());
        begun.retain(|rest| matches!(rest, Routed::Later(_)));
        // What a job puts in for now is done in the same call, but jobs that cause each other for ever get no further.
        for _ in 0..JOBS {
            let job = {
                let mut jobs = self.agenda().lock();
                match jobs.waiting.first_entry() {
                    Some(entry) if entry.key().0 <= self.now_ms() => entry.remove(),
                    _ => break,
                }
            };
            let rest = job(self);
            if matches!(rest, Routed::Later(_)) {
                begun.push(rest);
            }
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tercet_store::Store;

    use super::*;
    use crate::server::{Clock, KINDS};
    use crate::settings::Limits;

    #[tokio::test]
    async fn jobs_are_done_once_in_order_and_not_before_their_time() {
        let clock = Clock::Manual(AtomicU64::new(1000));
        let server = Server::new(Store::memory(KINDS), Limits::default(), clock);
        let server = server.await.unwrap();
        let done: Arc<Mutex<Vec<u64>>> = Arc::default();
        for at in [1500, 900, 1200, 1200] {
            let done = done.clone();
            let counter = AtomicU64::new(at);
            assert!(server.at(at, move |_| {
                done.lock().unwrap().push(counter.load(Ordering::Relaxed));
                Routed::Done
            }));
        }
        // The one whose time has come wakes who waits.
        server.agenda_changed().await;
        assert!(server.run_due().is_empty());
        assert_eq!(*done.lock().unwrap(), [900]);
        server.advance(500);
        assert!(server.run_due().is_empty());
        assert!(server.run_due().is_empty());
        assert_eq!(*done.lock().unwrap(), [900, 1200, 1200, 1500]);
    }

    #[tokio::test]
    async fn what_a_job_causes_is_done_with_it() {
        let clock = Clock::Manual(AtomicU64::new(0));
        let server = Server::new(Store::memory(KINDS), Limits::default(), clock);
        let server = server.await.unwrap();
        let count: Arc<AtomicU64> = Arc::default();
        let inner = count.clone();
        server.at(0, move |server| {
            server.at(0, move |_| {
                inner.fetch_add(1, Ordering::Relaxed);
                Routed::later(async {})
            });
            Routed::Done
        });
        assert_eq!(server.run_due().len(), 1);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
