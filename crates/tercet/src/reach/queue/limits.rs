//! Bounds of the lines.

use std::time::Duration;

use crate::config::{Federation, Period, Size};

/// Bounds of the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Bytes that may wait for one pair of domains.
    pub line_bytes: usize,
    /// Bytes that may wait for all of them.
    pub bytes: usize,
    /// How long a stanza may wait.
    pub wait: Duration,
    /// Lines that are remembered, those that rest included.
    pub lines: usize,
    /// Connections under way at a time.
    pub connecting: usize,
    /// Rest after the first failure; it doubles with each further one.
    pub rest: Duration,
    /// The longest rest.
    pub rest_max: Duration,
}

impl QueueLimits {
    /// Those of a configuration.
    pub fn new(federation: &Federation) -> Self {
        // The keys' bounds are far below.
        let size = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        let time = |period: Period| Duration::from_secs(period.0);
        QueueLimits {
            line_bytes: size(federation.queue_bytes),
            bytes: size(federation.queue_bytes_in_all),
            wait: time(federation.queue_time),
            lines: federation.queues as usize,
            connecting: federation.connecting as usize,
            rest: time(federation.rest),
            rest_max: time(federation.rest_max),
        }
    }
}
