//! Relaying between two sockets.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::RelayLimits;
use super::pace::Pace;

/// Bytes that are taken from one side before they have gone to the other.
const CHUNK: usize = 32 << 10;

/// What both ways of a stream have in common.
struct Shared {
    began: Instant,
    /// When bytes last went, either way: milliseconds since it began.
    active_ms: AtomicU64,
    /// Bytes that may still go.
    left: AtomicU64,
}

impl Shared {
    fn touch(&self) {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active_ms.store(passed, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        let active = Duration::from_millis(self.active_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(active)
    }
}

/// Relays both ways until both sides have said all, one is lost, or a bound is reached. Returns the bytes that went.
pub(super) async fn relay(one: &mut TcpStream, other: &mut TcpStream, limits: &RelayLimits) -> u64 {
    let now = Instant::now();
    let shared = Shared {
        began: now,
        active_ms: AtomicU64::new(0),
        left: AtomicU64::new(limits.stream_bytes),
    };
    let (from_one, to_one) = one.split();
    let (from_other, to_other) = other.split();
    let pace = || Pace::new(limits.bytes_per_second, now);
    let there = carry(from_one, to_other, pace(), &shared);
    let back = carry(from_other, to_one, pace(), &shared);
    let both = async {
        // An error of one way ends both: the other side must not take what came for all there was.
        tokio::try_join!(there, back)
    };
    tokio::select! {
        // Why it ended is no news to anybody: the connections end with it.
        _ = both => {}
        () = silence(&shared, limits.idle) => {}
    }
    limits.stream_bytes - shared.left.load(Ordering::Relaxed)
}

/// Returns once nothing has gone either way for `idle`.
async fn silence(shared: &Shared, idle: Duration) {
    loop {
        let rest = idle.saturating_sub(shared.silent_for());
        if rest.is_zero() {
            return;
        }
        tokio::time::sleep(rest).await;
    }
}

/// Carries one way. Nothing is read before what was read has gone; nothing is held while nothing comes.
async fn carry(
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut pace: Pace,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut chunk = vec![0; CHUNK];
        loop {
            // Both ways are one task: nothing else counts between here and below.
            let left = shared.left.load(Ordering::Relaxed);
            let room = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            if room == 0 {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            let read = match from.try_read(&mut chunk[..room]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            if read == 0 {
                // This side has said all; the other may still answer.
                return to.shutdown().await;
            }
            shared.left.fetch_sub(read as u64, Ordering::Relaxed);
            to.write_all(&chunk[..read]).await?;
            shared.touch();
            let pause = pace.went(read, Instant::now());
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}
