//! Who waits for bytes to be written, and is told.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Tells a [`Watch`] what became of the bytes that were queued when it began.
#[derive(Debug)]
pub struct Receipt(Arc<Mutex<Fate>>);

/// Resolves once what was queued when it began has been written, or will never be: true if it has.
#[derive(Debug)]
pub struct Watch(Arc<Mutex<Fate>>);

#[derive(Debug, Default)]
enum Fate {
    #[default]
    Open,
    Awaited(Waker),
    Settled(bool),
}

impl Receipt {
    /// The bytes have been given to the operating system.
    pub fn written(self) {
        self.settle(true);
    }

    fn settle(&self, written: bool) {
        let mut fate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*fate, Fate::Settled(_)) {
            return;
        }
        if let Fate::Awaited(waker) = std::mem::replace(&mut *fate, Fate::Settled(written)) {
            drop(fate);
            waker.wake();
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl Future for Watch {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut fate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Fate::Settled(written) = *fate {
            return Poll::Ready(written);
        }
        *fate = Fate::Awaited(cx.waker().clone());
        Poll::Pending
    }
}

/// Both ends of one wait.
pub(super) fn pair() -> (Receipt, Watch) {
    let fate = Arc::default();
    (Receipt(Arc::clone(&fate)), Watch(fate))
}
