//! The threads that serve connections: one per core, each with a runtime of its own.
//!
//! A connection is given to the core with the fewest of them and stays there, so that its task never moves between
//! threads. A core's mailbox is bounded: when it is full, accepting waits.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Connections that may wait to be taken by one core.
const MAILBOX: usize = 256;

/// Threads of one core for work that may take long, such as checking a password.
const BLOCKING_THREADS: usize = 8;

enum Job {
    Run(Box<dyn FnOnce() + Send>),
    Stop,
}

/// All cores.
pub struct Cores {
    cores: Box<[Core]>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Core {
    mailbox: mpsc::Sender<Job>,
    load: Arc<AtomicUsize>,
}

/// Counts one connection of a core for as long as it exists.
#[derive(Debug)]
pub struct Load(Arc<AtomicUsize>);

impl Load {
    /// Counts another connection of the same core.
    pub fn another(&self) -> Load {
        self.0.fetch_add(1, Ordering::Relaxed);
        Load(self.0.clone())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Cores {
    /// Starts `count` threads; by default as many as the machine gives this process.
    ///
    /// # Errors
    /// Those of starting a thread or its event queue.
    pub fn start(count: Option<NonZeroUsize>) -> io::Result<Arc<Cores>> {
        let count = match count {
            Some(count) => count,
            None => std::thread::available_parallelism()?,
        };
        let mut cores = Vec::new();
        let mut threads = Vec::new();
        for number in 0..count.get() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_THREADS)
                .build()?;
            let (mailbox, mut jobs) = mpsc::channel::<Job>(MAILBOX);
            let thread = std::thread::Builder::new()
                .name(format!("core-{number}"))
                .spawn(move || {
                    runtime.block_on(async move {
                        while let Some(Job::Run(start)) = jobs.recv().await {
                            start();
                        }
                    });
                    // Blocking work that nobody waits for any more must not keep the process.
                    runtime.shutdown_background();
                })?;
            let load = Arc::default();
            cores.push(Core { mailbox, load });
            threads.push(thread);
        }
        Ok(Arc::new(Cores {
            cores: cores.into(),
            threads: Mutex::new(threads),
        }))
    }

    /// Number of cores.
    pub fn count(&self) -> usize {
        self.cores.len()
    }

    /// Runs a task on core `number` (counted round), without counting it as a connection. Waits for room in its mailbox.
    pub async fn spawn_on<F>(&self, number: usize, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let core = &self.cores[number % self.cores.len()];
        core.run(|| {
            tokio::spawn(task);
        })
        .await;
    }

    /// Calls `start`, which spawns a connection's task, on the core with the fewest connections. Waits for room in its
    /// mailbox.
    pub async fn place(&self, start: impl FnOnce(Load) + Send + 'static) {
        let loads = self.cores.iter();
        let Some(core) = loads.min_by_key(|core| core.load.load(Ordering::Relaxed)) else {
            return;
        };
        core.load.fetch_add(1, Ordering::Relaxed);
        let load = Load(core.load.clone());
        core.run(move || start(load)).await;
    }

    /// Number of connections of each core.
    pub fn loads(&self) -> Vec<usize> {
        let load = |core: &Core| core.load.load(Ordering::Relaxed);
        self.cores.iter().map(load).collect()
    }

    /// Drops every task that is left and ends the threads. To be called when all connections are done, from a thread
    /// without a runtime.
    pub fn stop(&self) {
        for core in &self.cores {
            // An error means that it has stopped already.
            let _ = core.mailbox.blocking_send(Job::Stop);
        }
        let mut threads = self.threads.lock().unwrap_or_else(|e| e.into_inner());
        for thread in threads.drain(..) {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Core {
    async fn run(&self, start: impl FnOnce() + Send + 'static) {
        // A core that has stopped drops the task.
        let _ = self.mailbox.send(Job::Run(Box::new(start))).await;
    }
}
