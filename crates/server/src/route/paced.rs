//! Much for one session at once, without filling its outbox.

use crate::outbox::Outbox;

/// Bytes that are put in the outbox before it is waited until they are written.
const IN_FLIGHT: usize = 64 << 10;

/// Puts stanzas in an [`Outbox`] no faster than its client reads them. For what has no bound of its own because others decide how
/// much it is.
pub struct Paced<'a> {
    outbox: &'a Outbox,
    in_flight: usize,
}

impl<'a> Paced<'a> {
    /// For the session whose outbox it is.
    pub fn new(outbox: &'a Outbox) -> Self {
        Paced {
            outbox,
            in_flight: 0,
        }
    }

    /// Waits until what was appended has been written, if it is much. False when the session is ending.
    pub async fn ready(&mut self) -> bool {
        if self.in_flight < IN_FLIGHT {
            return true;
        }
        self.in_flight = 0;
        self.outbox.watch().await
    }

    /// Appends a stanza; [`ready`](Self::ready) comes before. False when the session is ending.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let in_flight = &mut self.in_flight;
        self.outbox.push(|out| {
            let before = out.len();
            write(out);
            *in_flight += out.len() - before;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Receipt;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn much_for_one_session_never_fills_its_outbox() {
        let outbox = Outbox::new(100_000);
        let mut cx = Context::from_waker(Waker::noop());
        let mut all = pin!(async {
            let mut paced = Paced::new(&outbox);
            for _ in 0..100 {
                assert!(paced.ready().await);
                assert!(paced.push(|out| out.extend([b'x'; 10_000])));
            }
        });
        let mut received = 0;
        while all.as_mut().poll(&mut cx).is_pending() {
            let Poll::Ready(taken) = outbox.poll_take(&mut cx) else {
                panic!("something waits")
            };
            assert!(taken.end.is_none());
            received += taken.bytes.len();
            taken.receipts.into_iter().for_each(Receipt::written);
        }
        let Poll::Ready(taken) = outbox.poll_take(&mut cx) else {
            panic!("the rest waits")
        };
        assert_eq!(received + taken.bytes.len(), 1_000_000);
    }

    #[test]
    fn the_end_of_the_session_ends_it() {
        let outbox = Outbox::new(100_000);
        let mut cx = Context::from_waker(Waker::noop());
        let mut all = pin!(async {
            let mut paced = Paced::new(&outbox);
            while paced.ready().await && paced.push(|out| out.extend([b'x'; 10_000])) {}
        });
        assert!(all.as_mut().poll(&mut cx).is_pending());
        outbox.close();
        assert!(all.as_mut().poll(&mut cx).is_ready());
    }
}
