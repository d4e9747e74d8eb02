//! A [`Wire`] as hyper reads and writes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
}

impl HttpIo {
    pub(super) fn new(wire: Wire) -> Self {
        HttpIo {
            wire,
            plain: Vec::new(),
            taken: 0,
            tls: None,
            ended: false,
        }
    }

    /// The wire, what was read from it and not taken, and what its TLS is.
    pub(super) fn into_parts(self) -> (Wire, Vec<u8>, Option<TlsInfo>) {
        let mut unread = self.plain;
        unread.drain(..self.taken);
        (self.wire, unread, self.tls)
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
        while this.plain.is_empty() && !this.ended {
            ready!(this.poll_fill(cx)).map_err(io::Error::other)?;
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
        ready!(this.wire.poll_flush(cx))?;
        Scratch::with(|scratch| {
            scratch.out.clear();
            scratch.out.extend_from_slice(bytes);
            this.wire.send(cx, scratch)
        })
        .map_err(io::Error::other)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().wire.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().wire.poll_close(cx)
    }
}
