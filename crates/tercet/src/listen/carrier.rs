//! What carries a client's stream: a socket, a WebSocket on one, or the requests of a BOSH session.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use tercet_core::Stanza;
use tercet_server::Receipt;
use tercet_stream::C2sStream;

use super::http::Pipe;
use super::websocket::WebSocket;
use super::wire::{Incoming, Scratch, Wire, WireError};
use crate::tls::TlsSession;

/// The way between a client and its stream, as the connection's task sees it.
pub(super) enum Carrier {
    /// The bytes of the socket are the stream's.
    Socket(Wire),
    WebSocket(Wire, Box<WebSocket>),
    Bosh(Box<Pipe>),
}

impl Carrier {
    /// For the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Carrier::Socket(_) => "socket",
            Carrier::WebSocket(..) => "WebSocket",
            Carrier::Bosh(_) => "BOSH",
        }
    }

    /// Does what is due, before anything is read.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>, now: Instant) {
        if let Carrier::Bosh(pipe) = self {
            pipe.turn(cx, now);
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Carrier::Socket(_) | Carrier::WebSocket(..) => None,
            Carrier::Bosh(pipe) => pipe.deadline(),
        }
    }

    /// Everything from here on is TLS; see [`Wire::start_tls`].
    pub(super) fn start_tls(&mut self, tls: TlsSession) {
        match self {
            Carrier::Socket(wire) => wire.start_tls(tls),
            // No such stream offers it.
            Carrier::WebSocket(..) | Carrier::Bosh(_) => {}
        }
    }

    /// Bytes that the client has not taken.
    pub(super) fn unsent(&self) -> usize {
        match self {
            Carrier::Socket(wire) | Carrier::WebSocket(wire, _) => wire.unsent(),
            Carrier::Bosh(pipe) => pipe.unsent(),
        }
    }

    /// Whether bytes wait for a client that has to take some now and then.
    pub(super) fn is_stuck(&self) -> bool {
        match self {
            Carrier::Socket(wire) | Carrier::WebSocket(wire, _) => wire.unsent() > 0,
            // Clients pause.
            Carrier::Bosh(_) => false,
        }
    }

    /// Reads once; see [`Wire::poll_read`].
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<Incoming, WireError>> {
        match self {
            Carrier::Socket(wire) | Carrier::WebSocket(wire, _) => wire.poll_read(cx, scratch),
            Carrier::Bosh(pipe) => pipe.poll_read().map(Ok),
        }
    }

    /// Feeds `stream` from the front of what was read, up to the next stanza. `None`: all of it was taken.
    pub(super) fn receive(
        &mut self,
        bytes: &mut &[u8],
        stream: &mut C2sStream,
        now: Instant,
    ) -> Option<Stanza> {
        match self {
            Carrier::Socket(_) => stream.receive(now, bytes),
            Carrier::WebSocket(_, websocket) => websocket.receive(bytes, stream, now),
            Carrier::Bosh(pipe) => pipe.receive(bytes, stream, now),
        }
    }

    /// Whether nothing read means that the client says nothing: requests of a BOSH session may be empty, and it may pause.
    pub(super) fn tells_silence(&self) -> bool {
        !matches!(self, Carrier::Bosh(_))
    }

    /// The client has been silent for the time set.
    pub(super) fn ask_for_life(&mut self) {
        match self {
            // The stream writes white space; or the client's requests say enough.
            Carrier::Socket(_) | Carrier::Bosh(_) => {}
            Carrier::WebSocket(_, websocket) => websocket.ping(),
        }
    }

    /// Sends all of `scratch.out`, and what else is to be sent; what is not taken waits here. `end`: it is the last.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        end: bool,
        now: Instant,
    ) -> Result<(), WireError> {
        match self {
            Carrier::Socket(wire) => wire.send(cx, scratch),
            Carrier::WebSocket(wire, websocket) => {
                websocket.frame(scratch, end);
                wire.send(cx, scratch)
            }
            Carrier::Bosh(pipe) => {
                pipe.send(cx, scratch, end, now);
                Ok(())
            }
        }
    }

    /// Tells those who wait for what was sent, as soon as that is known; all that was sent is taken.
    pub(super) fn settle(
        &mut self,
        cx: &mut Context<'_>,
        receipts: &mut Vec<Receipt>,
        now: Instant,
    ) {
        match self {
            Carrier::Socket(_) | Carrier::WebSocket(..) => {
                for receipt in std::mem::take(receipts) {
                    receipt.written();
                }
            }
            Carrier::Bosh(pipe) => pipe.settle(cx, receipts, now),
        }
    }

    /// What was sent is safe, whether the client has it or not.
    pub(super) fn vouch(&mut self) {
        if let Carrier::Bosh(pipe) = self {
            pipe.vouch();
        }
    }

    /// Sends what waits. Ready once nothing does.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Carrier::Socket(wire) | Carrier::WebSocket(wire, _) => wire.poll_flush(cx),
            Carrier::Bosh(_) => Poll::Ready(Ok(())),
        }
    }

    /// Closes our direction behind all that waits. Nothing can be sent afterwards.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Carrier::Socket(wire) | Carrier::WebSocket(wire, _) => wire.poll_close(cx),
            Carrier::Bosh(pipe) if pipe.is_over() => Poll::Ready(Ok(())),
            // The client's next request is told.
            Carrier::Bosh(_) => Poll::Pending,
        }
    }

    /// Reads once and forgets it. True if there was something; false at the end.
    pub(super) fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<io::Result<bool>> {
        match self {
            Carrier::Socket(wire) | Carrier::WebSocket(wire, _) => wire.poll_discard(cx, scratch),
            Carrier::Bosh(_) => Poll::Ready(Ok(false)),
        }
    }
}
