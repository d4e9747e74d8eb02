//! What carries a client's stream: a socket, or a WebSocket on one.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use tercet_core::Stanza;
use tercet_stream::C2sStream;

use super::websocket::WebSocket;
use super::wire::{Incoming, Scratch, Wire, WireError};
use crate::tls::TlsSession;

/// The way between a client and its stream, as the connection's task sees it.
pub(super) enum Carrier {
    /// The bytes of the socket are the stream's.
    Socket(Wire),
    WebSocket(Wire, Box<WebSocket>),
}

impl Carrier {
    /// For the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Carrier::Socket(_) => "socket",
            Carrier::WebSocket(..) => "WebSocket",
        }
    }

    /// Everything from here on is TLS; see [`Wire::start_tls`].
    pub(super) fn start_tls(&mut self, tls: TlsSession) {
        self.wire_mut().start_tls(tls);
    }

    /// Bytes that the client has not taken.
    pub(super) fn unsent(&self) -> usize {
        match self {
            Carrier::Socket(wire) | Carrier::WebSocket(wire, _) => wire.unsent(),
        }
    }

    /// Reads once; see [`Wire::poll_read`].
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<Incoming, WireError>> {
        self.wire_mut().poll_read(cx, scratch)
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
        }
    }

    /// The client has been silent for the time set.
    pub(super) fn ask_for_life(&mut self) {
        match self {
            // The stream writes white space.
            Carrier::Socket(_) => {}
            Carrier::WebSocket(_, websocket) => websocket.ping(),
        }
    }

    /// Sends all of `scratch.out`, and what else is to be sent; what is not taken waits here. `end`: it is the last.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        end: bool,
    ) -> Result<(), WireError> {
        match self {
            Carrier::Socket(wire) => wire.send(cx, scratch),
            Carrier::WebSocket(wire, websocket) => {
                websocket.frame(scratch, end);
                wire.send(cx, scratch)
            }
        }
    }

    /// Sends what waits. Ready once nothing does.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire_mut().poll_flush(cx)
    }

    /// Closes our direction behind all that waits. Nothing can be sent afterwards.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire_mut().poll_close(cx)
    }

    /// Reads once and forgets it. True if there was something; false at the end.
    pub(super) fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<io::Result<bool>> {
        self.wire_mut().poll_discard(cx, scratch)
    }

    fn wire_mut(&mut self) -> &mut Wire {
        match self {
            Carrier::Socket(wire) | Carrier::WebSocket(wire, _) => wire,
        }
    }
}
