//! How a connection ends: in good order, broken, or given up.

use super::{Connection, ENDING, Phase};
use crate::listen::service::Work;
use crate::listen::wire::{Scratch, WireError};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tercet_core::{StreamCondition, StreamError};
use tercet_server::{Outbox, Routed};
use tercet_stream::Input;

impl Connection {
    /// The stream is over, with all that it had to say.
    pub(super) fn close(&mut self, now: Instant) {
        self.phase = Phase::Closing;
        self.ending = Some(now + ENDING);
        match self.leaves {
            true => self.leave(),
            false => self.unbind(),
        }
    }

    /// The connection broke.
    pub(super) fn lose(&mut self, error: &WireError, now: Instant) {
        tracing::debug!(peer = %self.peer, %error, "connection lost");
        // After a TLS error the alert should still go out.
        self.phase = match error {
            WireError::Tls(_) if self.phase == Phase::Open => Phase::Closing,
            _ => Phase::Gone,
        };
        self.ending = Some(now + ENDING);
        self.leave();
    }

    /// The client may come back: its session stays if it can be resumed, and ends if not.
    pub(super) fn leave(&mut self) {
        if !self.session.as_ref().is_some_and(|s| s.is_resumable()) {
            return self.unbind();
        }
        self.left = self.session.take();
        self.acks = None;
        self.detach();
    }

    /// Lets go of the session that another connection wants; its client is told on this one, should it be there.
    pub(super) fn give_way(&mut self, now: Instant) {
        // XEP-0198 §5: the stream of the connection before is closed.
        let error = StreamError::new(StreamCondition::Conflict)
            .text("the session goes on with another connection");
        self.stream.handle(now, Input::Close(error));
    }

    /// Another outbox in the place of the session's, which is another connection's from now on, or nobody's.
    pub(super) fn detach(&mut self) {
        // Those who wait for bytes to be written need not: the session keeps them.
        self.outbox.detach();
        self.vouch();
        let outbox = Arc::new(Outbox::new(self.shared.outbox_bytes()));
        self.registered.replace(outbox.clone());
        self.outbox = outbox;
    }

    pub(super) fn unbind(&mut self) {
        if self.acks.take().is_some() {
            // What has not been acknowledged goes on to others.
            self.vouch();
        } else {
            self.outbox.close();
        }
        if let Some(rest) = self.farewell() {
            let earlier = self.work.take();
            self.work = Some(Work::after(earlier, rest));
        }
    }

    /// Tells who waits for bytes to be written that they are safe.
    fn vouch(&mut self) {
        self.carrier.vouch();
        for receipt in std::mem::take(&mut self.receipts) {
            receipt.written();
        }
    }

    /// Ends the session, and the account of a guest; what of it takes time is returned.
    fn farewell(&mut self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let server = &self.shared.server;
        let routed = match self.session.take() {
            Some(session) => server.unbind(&session),
            None => Routed::Done,
        };
        match (routed, self.guest.take()) {
            (Routed::Done, None) => None,
            (Routed::Later(rest), None) => Some(rest),
            (routed, Some(guest)) => {
                let server = server.clone();
                Some(Box::pin(async move {
                    routed.wait().await;
                    server.end_guest(&guest).await;
                }))
            }
        }
    }

    /// The end of the connection. Ready when nothing is left to do.
    pub(super) fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Poll<()> {
        self.poll_work(cx, now);
        if self.work.is_none()
            && let Some(session) = self.left.take()
            && let Routed::Later(rest) = self.shared.server.disconnect(&session)
        {
            self.work = Some(Work::after(None, rest));
            self.poll_work(cx, now);
        }
        if self.phase == Phase::Closing {
            match self.carrier.poll_close(cx) {
                Poll::Ready(Ok(())) => self.phase = Phase::Lingering,
                Poll::Ready(Err(_)) => self.phase = Phase::Gone,
                Poll::Pending => {}
            }
        }
        while self.phase == Phase::Lingering {
            match self.carrier.poll_discard(cx, scratch) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(_) => self.phase = Phase::Gone,
                Poll::Pending => break,
            }
        }
        match self.phase == Phase::Gone && self.work.is_none() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Nothing to do but where the task panicked or the process ends.
        if self.session.is_none() {
            self.session = self.left.take();
        }
        if self.acks.is_none() {
            self.outbox.close();
        }
        if let Some(rest) = self.farewell()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(rest);
        }
        tracing::debug!(peer = %self.peer, "disconnected");
    }
}
