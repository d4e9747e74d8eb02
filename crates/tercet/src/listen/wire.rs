//! The bytes of one connection: a socket, with or without TLS, and what it has not taken yet.
//!
//! Reading and encrypting go through buffers of the thread ([`Scratch`]); between calls a wire holds bytes only while
//! its peer is slow.

use crate::tls::{TlsError, TlsEvent, TlsInfo, TlsSession};
use std::cell::RefCell;
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes read at once; what a TLS session has kept comes on top.
const READ: usize = 64 * 1024;
const KEPT: usize = 24 * 1024;
thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Buffers that the connections of one thread share.
pub(super) struct Scratch {
    input: Box<[u8]>,
    /// Plaintext that came.
    plain: Vec<u8>,
    /// Plaintext that is to be sent.
    pub(super) out: Vec<u8>,
    /// The same as WebSocket frames.
    pub(super) frames: Vec<u8>,
    cipher: Vec<u8>,
}

impl Scratch {
    /// What a buffer may keep between uses.
    pub(super) const KEPT: usize = 256 * 1024;

    /// The thread's own, for a while. Not to be asked for again meanwhile.
    pub(super) fn with<T>(f: impl FnOnce(&mut Scratch) -> T) -> T {
        SCRATCH.with_borrow_mut(f)
    }

    fn new() -> Self {
        Scratch {
            input: Box::default(),
            plain: Vec::new(),
            out: Vec::new(),
            frames: Vec::new(),
            cipher: Vec::new(),
        }
    }

    /// The buffer to read into. It is made when it is missing: at first, and after a task that had it has panicked.
    fn input(&mut self) -> &mut [u8] {
        if self.input.is_empty() {
            self.input = vec![0; READ + KEPT].into();
        }
        &mut self.input
    }

    /// Takes a buffer back for the next read.
    pub(super) fn give_back(&mut self, data: Data) {
        match data {
            Data::Nothing => {}
            Data::Read(buffer, _) => self.input = buffer,
            Data::Decrypted(mut buffer) => {
                buffer.clear();
                self.plain = buffer;
            }
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

/// What came in, in this order.
#[derive(Default)]
pub(super) struct Incoming {
    /// The TLS handshake is complete.
    pub(super) tls_up: Option<Box<TlsInfo>>,
    /// Bytes of the stream; given back by [`Scratch::give_back`].
    pub(super) data: Data,
    /// The peer sends nothing more.
    pub(super) end: bool,
}

/// Bytes in one of the thread's buffers.
#[derive(Default)]
pub(super) enum Data {
    #[default]
    Nothing,
    /// As they came from the socket: the first so many.
    Read(Box<[u8]>, usize),
    Decrypted(Vec<u8>),
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Data::Nothing => &[],
            Data::Read(buffer, length) => &buffer[..*length],
            Data::Decrypted(buffer) => buffer,
        }
    }
}

/// Why a wire is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// The alert, if there is one, is among the bytes to be sent.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Somebody else is there than who was meant.
    #[error("the certificate is none of those that the DNS names (DANE)")]
    OtherCertificate,
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

    /// Says the first word of a TLS handshake that is ours to begin.
    pub(super) fn greet(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), WireError> {
        if let Some(tls) = &mut self.tls {
            scratch.cipher.clear();
            tls.receive(&mut [], &mut scratch.cipher, |_| ())?;
            self.write(cx, &scratch.cipher)?;
        }
        Ok(())
    }

    /// TLS is not up yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Bytes that wait for the socket.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Reads once. What came before an error counts no more.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<Incoming, WireError>> {
        let input = scratch.input();
        let kept = self.tls.as_ref().map_or(0, |tls| tls.restore(input));
        let mut buffer = ReadBuf::new(&mut input[kept..][..READ]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        let mut incoming = Incoming::default();
        if read == 0 {
            incoming.end = true;
            return Poll::Ready(Ok(incoming));
        }
        let Some(tls) = &mut self.tls else {
            incoming.data = Data::Read(std::mem::take(&mut scratch.input), read);
            return Poll::Ready(Ok(incoming));
        };
        scratch.cipher.clear();
        let mut plain = std::mem::take(&mut scratch.plain);
        let input = &mut scratch.input[..kept + read];
        let result = tls.receive(input, &mut scratch.cipher, |event| match event {
            TlsEvent::Up(info) => incoming.tls_up = Some(Box::new(info)),
            TlsEvent::Data(data) => plain.extend_from_slice(data),
            TlsEvent::Closed => incoming.end = true,
        });
        incoming.data = Data::Decrypted(plain);
        if !scratch.cipher.is_empty() {
            self.write(cx, &scratch.cipher)?;
        }
        result?;
        Poll::Ready(Ok(incoming))
    }

    /// Reads once and forgets it. True if there was something; false at the end.
    pub(super) fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<io::Result<bool>> {
        let mut buffer = ReadBuf::new(scratch.input());
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
            buffer.shrink_to(Scratch::KEPT);
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
