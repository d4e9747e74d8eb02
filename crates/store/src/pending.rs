//! The answer of a store that is still to come: a future for any executor, or a blocking wait.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::StoreError;

/// The answer to a call of the store. The work is queued by the call itself, not by the first poll;
/// dropping this does not undo a commit.
#[must_use = "a store's answer says whether the work was done"]
pub struct Pending<T>(State<T>);

enum State<T> {
    Ready(Option<Result<T, StoreError>>),
    Waiting(Arc<Slot<T>>),
}

struct Slot<T>(Mutex<SlotState<T>>);

enum SlotState<T> {
    Empty(Option<Waker>),
    Answered(Result<T, StoreError>),
    Taken,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, SlotState<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Pending<T> {
    /// An answer that is known already.
    pub(crate) fn ready(answer: Result<T, StoreError>) -> Pending<T> {
        Pending(State::Ready(Some(answer)))
    }

    /// An answer to come, and the end that gives it.
    pub(crate) fn channel() -> (Reply<T>, Pending<T>) {
        let slot = Arc::new(Slot(Mutex::new(SlotState::Empty(None))));
        (Reply(Arc::clone(&slot)), Pending(State::Waiting(slot)))
    }

    /// Blocks this thread until the answer is there: for command-line tools and tests, never for
    /// code that runs in an executor.
    pub fn wait(self) -> Result<T, StoreError> {
        let mut future = pin!(self);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl<T> Unpin for Pending<T> {}

impl<T> Future for Pending<T> {
    type Output = Result<T, StoreError>;

    /// # Panics
    /// When polled again after the answer was given.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(answer) => {
                Poll::Ready(answer.take().expect("a future is not polled after its end"))
            }
            State::Waiting(slot) => {
                let mut state = slot.lock();
                match &mut *state {
                    SlotState::Empty(Some(waker)) if waker.will_wake(context.waker()) => {
                        Poll::Pending
                    }
                    SlotState::Empty(waker) => {
                        *waker = Some(context.waker().clone());
                        Poll::Pending
                    }
                    SlotState::Taken => panic!("a future is not polled after its end"),
                    SlotState::Answered(_) => {
                        let SlotState::Answered(answer) =
                            std::mem::replace(&mut *state, SlotState::Taken)
                        else {
                            unreachable!("matched above, under the same lock")
                        };
                        Poll::Ready(answer)
                    }
                }
            }
        }
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pending")
    }
}

/// The end that answers. Dropped without an answer, it answers [`StoreError::Closed`].
pub(crate) struct Reply<T>(Arc<Slot<T>>);

impl<T> Reply<T> {
    /// Gives the answer and wakes whoever waits for it.
    pub(crate) fn send(self, answer: Result<T, StoreError>) {
        self.answer(answer);
    }

    /// Nobody can receive the answer any more: a read need not be done.
    pub(crate) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn answer(&self, answer: Result<T, StoreError>) {
        let waker = {
            let mut state = self.0.lock();
            let SlotState::Empty(waker) = &mut *state else {
                return;
            };
            let waker = waker.take();
            *state = SlotState::Answered(answer);
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.answer(Err(StoreError::Closed));
    }
}

/// Is told what became of commits, where a future for each of them would be too much ([`crate::Store::commit_for`]).
pub trait Decided: Send + Sync {
    /// One of the commits is durable, or has failed. Comes once for each commit, from a thread of the store or from within the
    /// call that commits: it must not block, nor commit. The store lets go of this afterwards.
    fn decided(&self, answer: Result<(), StoreError>);
}

/// How a commit is answered; once, whatever happens: dropped without an answer, it answers [`StoreError::Closed`].
pub(crate) struct Answer(Whom);

enum Whom {
    Reply(Reply<()>),
    Tell(Option<Arc<dyn Decided>>),
}

impl Answer {
    /// To a future.
    pub(crate) fn pending() -> (Answer, Pending<()>) {
        let (reply, pending) = Pending::channel();
        (Answer(Whom::Reply(reply)), pending)
    }

    /// To `who`.
    pub(crate) fn tell(who: Arc<dyn Decided>) -> Answer {
        Answer(Whom::Tell(Some(who)))
    }

    /// Gives the answer.
    pub(crate) fn send(mut self, answer: Result<(), StoreError>) {
        self.0.decide(answer);
    }
}

impl Whom {
    fn decide(&mut self, answer: Result<(), StoreError>) {
        match self {
            Whom::Reply(reply) => reply.answer(answer),
            Whom::Tell(who) => {
                if let Some(who) = who.take() {
                    who.decided(answer);
                }
            }
        }
    }
}

impl Drop for Whom {
    fn drop(&mut self) {
        self.decide(Err(StoreError::Closed));
    }
}

/// Wakes a blocked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_another_thread_ends_the_wait() {
        let (reply, pending) = Pending::channel();
        let thread = std::thread::spawn(move || reply.send(Ok(7)));
        assert_eq!(pending.wait(), Ok(7));
        thread.join().unwrap();
    }

    #[test]
    fn a_reply_dropped_without_an_answer_says_closed() {
        let (reply, pending) = Pending::<()>::channel();
        drop(reply);
        assert_eq!(pending.wait(), Err(StoreError::Closed));
    }

    #[test]
    fn who_is_told_is_told_once_of_each_commit_and_let_go() {
        struct Told(Mutex<Vec<Result<(), StoreError>>>);
        impl Decided for Told {
            fn decided(&self, answer: Result<(), StoreError>) {
                self.0.lock().unwrap().push(answer);
            }
        }
        let told = Arc::new(Told(Mutex::default()));
        let answers = [(); 3].map(|()| Answer::tell(told.clone()));
        for (answer, what) in answers.into_iter().zip([Some(Ok(())), None]) {
            match what {
                Some(what) => answer.send(what),
                None => drop(answer),
            }
        }
        let closed = || Err(StoreError::Closed);
        assert_eq!(*told.0.lock().unwrap(), [Ok(()), closed(), closed()]);
        assert_eq!(Arc::strong_count(&told), 1);
    }

    #[test]
    fn a_reply_knows_that_nobody_waits() {
        let (reply, pending) = Pending::<()>::channel();
        assert!(!reply.is_abandoned());
        drop(pending);
        assert!(reply.is_abandoned());
    }
}
