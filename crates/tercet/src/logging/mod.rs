//! The log: one line an event on standard error, for people or in JSON, written by a thread of its own.
//!
//! What peers send may appear in a log line, so every line is escaped as a whole: no line breaks, control characters or marks that change the
//! direction of writing reach the terminal. Passwords and stanzas are not logged at all; that is up to those who log.

mod format;
mod writer;

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{Log, LogFilter, LogFormat};
use format::Lines;
pub use writer::Flusher;

/// The log as it has been set up.
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    /// Writes what is still queued when it is dropped.
    _flusher: Flusher,
}

impl Logging {
    /// Sets up the log of the process; call it once, before anything logs.
    pub fn start(log: &Log) -> std::io::Result<Logging> {
        let (writer, flusher) = writer::start(std::io::stderr())?;
        let (filter, handle) = reload::Layer::new(filter(&log.level));
        let lines = Lines {
            json: log.format == LogFormat::Json,
            colour: std::io::stderr().is_terminal(),
        };
        let layer = fmt::layer()
            .event_format(lines)
            .with_ansi(false)
            .with_writer(writer);
        // A second set-up in one process (tests) keeps the first.
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(layer)
            .try_init();
        log_panics();
        Ok(Logging {
            filter: handle,
            _flusher: flusher,
        })
    }

    /// Logs at another level from now on.
    pub fn set_level(&self, level: &LogFilter) {
        if let Err(error) = self.filter.reload(filter(level)) {
            tracing::error!(%error, "the log level could not be changed");
        }
    }
}

impl std::fmt::Debug for Logging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logging")
    }
}

/// A panic is a defect; whatever its message carries, it is escaped like every other line.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        let backtrace = std::backtrace::Backtrace::capture();
        let thread = std::thread::current();
        let (thread, place) = (thread.name(), place.unwrap_or_default());
        match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => {
                tracing::error!(thread, place, %backtrace, "panic: {message}");
            }
            _ => tracing::error!(thread, place, "panic: {message}"),
        }
    }));
}

/// The configuration has checked the level, so nothing is ignored here.
fn filter(level: &LogFilter) -> EnvFilter {
    EnvFilter::builder().parse_lossy(&level.0)
}
