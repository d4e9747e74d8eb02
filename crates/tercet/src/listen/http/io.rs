//! A [`Wire`] as hyper reads and writes it, with the clock of what is waited for between and behind requests.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Times;
use super::answer::Requests;
use super::pace::Pace;
use crate::listen::wire::{Scratch, Wire, WireError};
use crate::tls::TlsInfo;

/// One HTTP connection's bytes.
pub(super) struct HttpIo {
    wire: Wire,
    /// What was read and decrypted, and how much of it is taken.
    plain: Vec<u8>,
    taken: usize,
    tls: Option<TlsInfo>,
    ended: bool,
    /// What went wrong before anyone read.
    failed: Option<WireError>,
    pause: Pause,
    sending: Pace,
}

/// The time between requests.
struct Pause {
    requests: Arc<Requests>,
    times: Times,
    /// How many requests there have been before this pause.
    begun: usize,
    /// A head is coming, or TLS before the first one.
    heading: bool,
    /// The client is told of its end, and what it sends meanwhile is no head for certain: HTTP/2.
    told: bool,
    end: Option<Pin<Box<Sleep>>>,
}

impl Pause {
    /// Bytes came.
    fn heard(&mut self) {
        if !self.heading && !self.told && self.is_now() {
            self.heading = true;
            self.end = None;
        }
    }

    /// The client is waited for. Ready when it has been for too long.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        *self.requests.waiting() = Some(cx.waker().clone());
        if !self.is_now() {
            return Poll::Pending;
        }
        let time: Duration = match self.heading {
            true => self.times.head,
            false => self.times.idle,
        };
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(end.as_mut().poll(cx));
        if self.told && self.begun > 0 {
            // Once; whoever does not go then is asked for a sign of life, and has an age.
            self.end = Some(Box::pin(sleep(self.times.age)));
            self.requests.idle.notify_one();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Whether no request is under way. Each pause has its own time.
    fn is_now(&mut self) -> bool {
        let begun = self.requests.begun.load(Ordering::Relaxed);
        if begun != self.begun {
            self.begun = begun;
            self.heading = false;
            self.end = None;
        }
        self.requests.open.load(Ordering::Relaxed) == 0
    }
}

impl HttpIo {
    pub(super) fn new(wire: Wire, requests: Arc<Requests>, times: Times) -> Self {
        HttpIo {
            wire,
            plain: Vec::new(),
            taken: 0,
            tls: None,
            ended: false,
            failed: None,
            pause: Pause {
                requests,
                times,
                begun: 0,
                heading: true,
                told: false,
                end: None,
            },
            sending: Pace::new(times.stretch),
        }
    }

    /// Waits for TLS, if there is any, and gives the protocol that was agreed on.
    pub(super) async fn agree(&mut self) -> Option<Box<[u8]>> {
        if !self.wire.is_handshaking() {
            return None;
        }
        poll_fn(|cx| self.poll_agreed(cx)).await
    }

    fn poll_agreed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Box<[u8]>>> {
        while self.tls.is_none() && !self.ended && self.failed.is_none() {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Pending => {
                    ready!(self.pause.poll_over(cx));
                    self.ended = true;
                }
            }
        }
        Poll::Ready(self.tls.as_ref().and_then(|tls| tls.alpn.clone()))
    }

    /// The client speaks HTTP/2.
    pub(super) fn end_is_told(&mut self) {
        self.pause.told = true;
    }

    /// The wire, what was read from it and not taken, and what its TLS is.
    pub(super) fn into_parts(self) -> (Wire, Vec<u8>, Option<TlsInfo>) {
        let mut unread = self.plain;
        unread.drain(..self.taken);
        (self.wire, unread, self.tls)
    }

    /// Sends what waits. An error if the client takes it too slowly.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = self.wire.unsent();
        let flushed = self.wire.poll_flush(cx);
        let sent = before - self.wire.unsent();
        match flushed {
            Poll::Ready(done) => {
                self.sending.moved(sent as u64);
                Poll::Ready(done)
            }
            Poll::Pending => {
                if sent > 0 {
                    self.sending.moved(sent as u64);
                }
                ready!(self.sending.poll_late(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Reads once. Pending: nothing is there.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        // Handshake messages that the socket did not take.
        if self.wire.unsent() > 0 {
            let _ = self.wire.poll_flush(cx)?;
        }
        Scratch::with(|scratch| {
            let incoming = ready!(self.wire.poll_read(cx, scratch))?;
            if let Some(info) = incoming.tls_up {
                self.tls = Some(*info);
            }
            self.plain.extend_from_slice(&incoming.data);
            self.ended |= incoming.end;
            scratch.give_back(incoming.data);
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncRead for HttpIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.failed.take() {
            this.ended = true;
            return Poll::Ready(Err(io::Error::other(error)));
        }
        while this.plain.is_empty() && !this.ended {
            match this.poll_fill(cx) {
                Poll::Ready(filled) => filled.map_err(io::Error::other)?,
                Poll::Pending => {
                    ready!(this.pause.poll_over(cx));
                    this.ended = true;
                }
            }
        }
        if !this.plain.is_empty() {
            this.pause.heard();
        }
        let unread = &this.plain[this.taken..];
        let count = unread.len().min(buffer.remaining());
        buffer.put_slice(&unread[..count]);
        this.taken += count;
        if this.taken == this.plain.len() {
            this.plain = Vec::new();
            this.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HttpIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // A slow client has one piece here at most.
        ready!(this.poll_sent(cx))?;
        Scratch::with(|scratch| {
            scratch.out.clear();
            scratch.out.extend_from_slice(bytes);
            this.wire.send(cx, scratch)
        })
        .map_err(io::Error::other)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_sent(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().wire.poll_close(cx)
    }
}
