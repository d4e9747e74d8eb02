//! Writing log lines without making anybody wait: a bounded queue and a thread. When standard error is not read and the queue is full, lines are
//! dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const QUEUE: usize = 4096;
/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(10);
/// How many lines are written together at most.
const TOGETHER: usize = 256;
/// How long the end of the process waits for the last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

enum Message {
    Line(Box<[u8]>),
    End,
}

/// Makes the writer of one line.
#[derive(Clone)]
pub(super) struct LineWriter {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Writes what is queued when it is dropped.
pub struct Flusher {
    queue: SyncSender<Message>,
    done: Receiver<()>,
}

pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(LineWriter, Flusher)> {
    let (queue, lines) = sync_channel(QUEUE);
    let (finished, done) = sync_channel(1);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = dropped.clone();
    thread::Builder::new().name("log".into()).spawn(move || {
        write_all(&lines, out, &counter);
        let _ = finished.send(());
    })?;
    let flusher = Flusher {
        queue: queue.clone(),
        done,
    };
    Ok((LineWriter { queue, dropped }, flusher))
}

/// A log that cannot be written is nobody's reason to stop: errors are ignored.
fn write_all(lines: &Receiver<Message>, mut out: impl Write, dropped: &AtomicU64) {
    let mut text = Vec::new();
    let mut open = true;
    while open {
        let Ok(first) = lines.recv() else { break };
        // Who logs now finds the thread awake: many lines cost one wake-up and one write.
        thread::sleep(GATHER);
        for message in std::iter::once(first)
            .chain(lines.try_iter())
            .take(TOGETHER)
        {
            match message {
                Message::Line(line) => text.extend_from_slice(&line),
                Message::End => {
                    open = false;
                    break;
                }
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        let _ = out.write_all(&text);
        text.clear();
        if lost > 0 {
            let _ = writeln!(
                out,
                "{lost} log lines were dropped: standard error is not read fast enough"
            );
        }
    }
    let _ = out.flush();
}

impl Drop for Flusher {
    fn drop(&mut self) {
        // A full queue means that nobody reads: then the last words are not worth waiting for.
        if self.queue.try_send(Message::End).is_ok() {
            match self.done.recv_timeout(LAST_WORDS) {
                Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = OneLine;

    fn make_writer(&'a self) -> OneLine {
        OneLine {
            to: self.clone(),
            line: Vec::new(),
        }
    }
}

/// Collects one line and queues it at its end.
pub(super) struct OneLine {
    to: LineWriter,
    line: Vec<u8>,
}

impl Write for OneLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for OneLine {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.line).into_boxed_slice();
        if line.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.to.queue.try_send(Message::Line(line)) {
            self.to.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_out_whole_in_order_and_before_the_end() {
        let out = Shared::default();
        let (writer, flusher) = start(out.clone()).unwrap();
        for n in 0..100 {
            let mut line = writer.make_writer();
            write!(line, "line ").unwrap();
            writeln!(line, "{n}").unwrap();
        }
        drop(flusher);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let expected: String = (0..100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(text, expected);
    }

    #[test]
    fn a_reader_that_stands_still_blocks_nobody_and_what_it_missed_is_counted() {
        struct Stuck(Arc<Mutex<()>>, Shared);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _wait = self.0.lock().unwrap();
                self.1.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let gate = Arc::new(Mutex::new(()));
        let out = Shared::default();
        let held = gate.lock().unwrap();
        let (writer, flusher) = start(Stuck(gate.clone(), out.clone())).unwrap();
        for n in 0..QUEUE * 2 {
            writeln!(writer.make_writer(), "{n}").unwrap();
        }
        let dropped = writer.dropped.load(Ordering::Relaxed);
        assert!(dropped >= (QUEUE - TOGETHER) as u64);
        drop(held);
        // The queue may still be full for a moment: the end is not asked for then.
        while writer.queue.try_send(Message::End).is_err() {
            thread::yield_now();
        }
        assert!(flusher.done.recv().is_ok());
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains(&format!("{dropped} log lines were dropped")));
    }
}
