//! The bytes of one connection: a socket, with or without TLS, and what it has not taken yet.
//!
//! Reading and encrypting go through buffers of the thread ([`Scratch`]); between calls a wire holds bytes only while
//! its peer is slow.

use crate::tls::{TlsError, TlsEvent, TlsInfo, TlsSession};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes read at once; what a TLS session has kept comes on top.
const READ: usize = 64 * 1024;
const KEPT: usize = 24 * 1024;
/// What a scratch buffer may keep between uses.
const SCRATCH_KEPT: usize = 256 * 1024;

/// Buffers that the connections of one thread share.
pub(super) struct Scratch {
    input: Box<[u8]>,
    /// Plaintext that is to be sent.
    pub(super) out: Vec<u8>,
    cipher: Vec<u8>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Scratch {
            input: vec![0; READ + KEPT].into(),
            out: Vec::new(),
            cipher: Vec::new(),
        }
    }
}

/// One connection.
pub(super) struct Wire {
    socket: TcpStream,
    tls: Option<Box<TlsSession>>,
    /// Bytes for the socket, as they go on the network.
    unsent: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    closed: bool,
}

/// What came in.
pub(super) enum Incoming<'a> {
    /// The TLS handshake is complete.
    TlsUp(TlsInfo),
    /// Bytes of the stream.
    Data(&'a [u8]),
    /// The peer sends nothing more.
    End,
}

/// Why a wire is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// The alert, if there is one, is among the bytes to be sent.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Wire {
    pub(super) fn new(socket: TcpStream, tls: Option<TlsSession>) -> Self {
        Wire {
            socket,
            tls: tls.map(Box::new),
            unsent: Vec::new(),
            sent: 0,
            closed: false,
        }
    }

    /// Everything from here on is TLS. What was sent before goes out as it is.
    pub(super) fn start_tls(&mut self, tls: TlsSession) {
        self.tls = Some(Box::new(tls));
    }

    /// Bytes that wait for the socket.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Reads once, and calls `on` for everything that came. True if there was something; false at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        mut on: impl FnMut(Incoming<'_>),
    ) -> Poll<Result<bool, WireError>> {
        let kept = self
            .tls
            .as_ref()
            .map_or(0, |tls| tls.restore(&mut scratch.input));
        let mut buffer = ReadBuf::new(&mut scratch.input[kept..][..READ]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            on(Incoming::End);
            return Poll::Ready(Ok(false));
        }
        let Some(tls) = &mut self.tls else {
            on(Incoming::Data(&scratch.input[..read]));
            return Poll::Ready(Ok(true));
        };
        scratch.cipher.clear();
        let input = &mut scratch.input[..kept + read];
        let mut ended = false;
        let result = tls.receive(input, &mut scratch.cipher, |event| match event {
            TlsEvent::Up(info) => on(Incoming::TlsUp(info)),
            TlsEvent::Data(data) => on(Incoming::Data(data)),
            TlsEvent::Closed => {
                ended = true;
                on(Incoming::End);
            }
        });
        if !scratch.cipher.is_empty() {
            self.write(cx, &scratch.cipher)?;
        }
        result?;
        Poll::Ready(Ok(!ended))
    }

    /// Reads once and forgets it. True if there was something; false at the end.
    pub(super) fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<io::Result<bool>> {
        let mut buffer = ReadBuf::new(&mut scratch.input);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(!buffer.filled().is_empty()))
    }

    /// Sends all of `scratch.out`, in one write if the socket takes it; what it does not take waits here. While a TLS
    /// handshake is under way the bytes have no meaning to anyone and are dropped.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), WireError> {
        let Scratch { out, cipher, .. } = scratch;
        if out.is_empty() {
            return Ok(());
        }
        let result = match &mut self.tls {
            _ if self.closed => Ok(()),
            None => self.write(cx, out).map_err(WireError::from),
            Some(tls) if tls.is_handshaking() => Ok(()),
            Some(tls) => {
                cipher.clear();
                let encrypted = tls.encrypt(out, cipher);
                self.write(cx, cipher)
                    .map_err(WireError::from)
                    .and(encrypted.map_err(WireError::from))
            }
        };
        for buffer in [out, cipher] {
            buffer.clear();
            buffer.shrink_to(SCRATCH_KEPT);
        }
        result
    }

    /// Sends what waits. Ready once nothing does.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            let rest = &self.unsent[self.sent..];
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        if self.sent > 0 {
            self.unsent = Vec::new();
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Closes our direction properly, behind all that waits. Nothing can be sent afterwards.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.closed = true;
            if let Some(tls) = &mut self.tls {
                let mut alert = Vec::new();
                // A session that failed or never came up has none to send.
                if tls.close(&mut alert).is_ok() {
                    self.unsent.extend_from_slice(&alert);
                }
            }
        }
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Writes to the socket as much as it takes now and keeps the rest.
    fn write(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<()> {
        if self.unsent.is_empty() {
            while !bytes.is_empty() {
                match Pin::new(&mut self.socket).poll_write(cx, bytes)? {
                    Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(written) => bytes = &bytes[written..],
                    Poll::Pending => break,
                }
            }
        }
        self.unsent.extend_from_slice(bytes);
        Ok(())
    }
}
