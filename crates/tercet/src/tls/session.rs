//! One TLS connection, of either side, without buffers of its own.
//!
//! ```text
//!            restore()           receive()                    encrypt(), close()
//! socket -> [kept | new bytes] -> plaintext to the callback    plaintext -> records at the end of `out` -> socket
//!                              -> records at the end of `out`
//! ```
//! Between calls only an incomplete record stays here. This file and [`side`](super::side) are the only ones that
//! name rustls' unbuffered interface.

use super::TlsError;
use super::acceptor::Handshake;
use super::binding::{ServerHello, exporter};
use super::peer::{PeerCertificate, Trust, Usage};
use super::side::Side;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig};
use rustls_pki_types::{ServerName, UnixTime};
use std::sync::Arc;

/// The most bytes of an unfinished message that are kept between reads: a record has at most 16 KiB and some, and a
/// client certificate with its chain has to fit.
const KEPT_MAX: usize = 24 * 1024;

/// How much longer a record is than its plaintext, at most (RFC 8446 §5.2: header 5, type 1, and the cipher's tag;
/// TLS 1.2 adds an explicit nonce of 8).
const RECORD_OVERHEAD: usize = 64;
const RECORD_PLAINTEXT: usize = 16 * 1024;

/// The negotiated version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246, with authenticated ciphers and forward secrecy only.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What is known once the handshake is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The version.
    pub version: TlsVersion,
    /// The chosen ALPN protocol name.
    pub alpn: Option<Box<[u8]>>,
    /// The host the client asked for by SNI, in lower case. This and the bindings are known on the accepting side only.
    pub server_name: Option<Box<str>>,
    /// `tls-exporter` (RFC 9266). None with TLS 1.2 without extended master secret.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` (RFC 5929) of the certificate that was presented.
    pub end_point: Option<Box<[u8]>>,
    /// The peer's certificate, if it sent one, and what it is worth.
    pub peer: Option<Box<PeerCertificate>>,
    /// True if the session was resumed by a ticket.
    pub resumed: bool,
}

/// What [`TlsSession::receive`] meets, in the order of the stream.
#[derive(Debug)]
pub enum TlsEvent<'a> {
    /// The handshake is complete. Comes once, before any data.
    Up(TlsInfo),
    /// Decrypted bytes.
    Data(&'a [u8]),
    /// The peer closed its direction properly. Comes at most once; without it, the end of the connection may have been
    /// cut by someone else.
    Closed,
}

/// A TLS connection, of either side.
pub struct TlsSession(Sides);

enum Sides {
    Accepted(Half<UnbufferedServerConnection>),
    Connected(Half<UnbufferedClientConnection>),
}

/// Calls the same method on whichever side it is.
macro_rules! on_side {
    ($session:expr, $half:ident => $call:expr) => {
        match $session {
            Sides::Accepted($half) => $call,
            Sides::Connected($half) => $call,
        }
    };
}

impl TlsSession {
    pub(super) fn accept(
        config: Arc<ServerConfig>,
        seen: Arc<Handshake>,
    ) -> Result<Self, TlsError> {
        let connection = UnbufferedServerConnection::new(config)?;
        let half = Half::new(connection, Origin::Accepted(seen));
        Ok(TlsSession(Sides::Accepted(half)))
    }

    pub(super) fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        trust: Arc<Trust>,
    ) -> Result<Self, TlsError> {
        let connection = UnbufferedClientConnection::new(config, name)?;
        let half = Half::new(connection, Origin::Connected(trust));
        Ok(TlsSession(Sides::Connected(half)))
    }

    /// True until [`TlsEvent::Up`].
    pub fn is_handshaking(&self) -> bool {
        on_side!(&self.0, half => half.handshake.is_some())
    }

    /// Number of bytes that [`restore`](Self::restore) puts in front of the next read; at most 24 KiB.
    pub fn kept(&self) -> usize {
        on_side!(&self.0, half => half.kept.len())
    }

    /// Copies what the last [`receive`](Self::receive) could not use to the front of `buffer` and returns its length:
    /// new bytes are read behind it. `buffer` should have room for a record (17 KiB) beyond [`kept`](Self::kept).
    pub fn restore(&self, buffer: &mut [u8]) -> usize {
        let kept = on_side!(&self.0, half => &half.kept);
        let length = kept.len().min(buffer.len());
        buffer[..length].copy_from_slice(&kept[..length]);
        length
    }

    /// Takes ciphertext: what [`restore`](Self::restore) returned, followed by what the socket gave. Calls `on` for
    /// each event; appends records to be sent to `out` (handshake, tickets, alerts), also when it fails. The side that
    /// connects speaks first: it is called once with nothing.
    ///
    /// # Errors
    /// [`TlsError::Peer`] ends the connection once `out` is sent. [`TlsError::TooLong`] ends it as well. Every later
    /// call is [`TlsError::NotOpen`].
    pub fn receive(
        &mut self,
        input: &mut [u8],
        out: &mut Vec<u8>,
        on: impl FnMut(TlsEvent<'_>),
    ) -> Result<(), TlsError> {
        on_side!(&mut self.0, half => half.receive(input, out, on))
    }

    /// Appends `plaintext` as records to `out`. The handshake must be complete.
    ///
    /// # Errors
    /// [`TlsError::NotOpen`] before the handshake or after [`close`](Self::close).
    pub fn encrypt(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        on_side!(&mut self.0, half => half.encrypt(plaintext, out))
    }

    /// Appends the alert that closes our direction properly. Nothing can be sent behind it.
    ///
    /// # Errors
    /// [`TlsError::NotOpen`] before the handshake or after an earlier call.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        on_side!(&mut self.0, half => half.close(out))
    }
}

/// One side's connection with what is kept beside it.
struct Half<S> {
    connection: S,
    /// An incomplete record, or messages that wait for their rest. Empty on an idle connection.
    kept: Vec<u8>,
    /// Until [`TlsEvent::Up`].
    handshake: Option<Box<Pending>>,
    /// An error ended the session.
    failed: bool,
}

struct Pending {
    origin: Origin,
    hello: Option<ServerHello>,
}

/// How the handshake began.
enum Origin {
    Accepted(Arc<Handshake>),
    Connected(Arc<Trust>),
}

impl<S: Side> Half<S> {
    fn new(connection: S, origin: Origin) -> Self {
        Half {
            connection,
            kept: Vec::new(),
            handshake: Some(Box::new(Pending {
                origin,
                hello: None,
            })),
            failed: false,
        }
    }

    fn receive(
        &mut self,
        input: &mut [u8],
        out: &mut Vec<u8>,
        mut on: impl FnMut(TlsEvent<'_>),
    ) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::NotOpen);
        }
        let mut start = 0;
        loop {
            let UnbufferedStatus { discard, state, .. } =
                self.connection.process(&mut input[start..]);
            let mut done = false;
            let mut up = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    if self.handshake.is_some() {
                        up = true;
                    } else {
                        while let Some(record) = traffic.next_record() {
                            let record = record?;
                            if !record.payload.is_empty() {
                                on(TlsEvent::Data(record.payload));
                            }
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let from = out.len();
                    encode(out, |space| data.encode(space))?;
                    if let Some(pending) = &mut self.handshake {
                        pending.hello = ServerHello::read(&out[from..]).or(pending.hello);
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => on(TlsEvent::Closed),
                Ok(ConnectionState::WriteTraffic(_)) => (up, done) = (true, true),
                // BlockedHandshake and Closed; early data is never accepted.
                Ok(_) => done = true,
                Err(error) => {
                    self.kept = Vec::new();
                    self.flush_alert(&mut input[start..], out);
                    return Err(error.into());
                }
            }
            start += discard;
            if up && let Some(pending) = self.handshake.take() {
                on(TlsEvent::Up(self.info(&pending)));
            }
            if done {
                break;
            }
        }
        let rest = &input[start..];
        if rest.len() > KEPT_MAX {
            self.failed = true;
            return Err(TlsError::TooLong);
        }
        if rest.is_empty() {
            self.kept = Vec::new();
        } else {
            self.kept.clear();
            self.kept.extend_from_slice(rest);
        }
        Ok(())
    }

    fn encrypt(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        let space = plaintext.len() + (plaintext.len() / RECORD_PLAINTEXT + 2) * RECORD_OVERHEAD;
        self.write(out, space, |traffic, space| {
            traffic.encrypt(plaintext, space)
        })
    }

    fn close(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.write(out, RECORD_OVERHEAD, |traffic, space| {
            traffic.queue_close_notify(space)
        })
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        space: usize,
        mut write: impl FnMut(&mut WriteTraffic<'_, S::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::NotOpen);
        }
        loop {
            // What is kept has to stand here as in `receive`: the state refers to it.
            let UnbufferedStatus { discard, state, .. } = self.connection.process(&mut self.kept);
            let mut result = None;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.failed = true;
                    return Err(error.into());
                }
            };
            match state {
                ConnectionState::EncodeTlsData(mut data) => {
                    encode(out, |space| data.encode(space))?
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    let from = out.len();
                    out.resize(from + space, 0);
                    let written = write(&mut traffic, &mut out[from..]);
                    out.truncate(from + written.as_ref().copied().unwrap_or(0));
                    result = Some(written.map(drop).map_err(|_| TlsError::NotOpen));
                }
                ConnectionState::PeerClosed => {}
                _ => result = Some(Err(TlsError::NotOpen)),
            }
            if discard > 0 {
                self.kept.drain(..discard);
            }
            if let Some(result) = result {
                return result;
            }
        }
    }

    /// Appends the alert that rustls queued for an error. Nothing is read any more: rustls takes a second error in one
    /// connection for a fault of its caller.
    fn flush_alert(&mut self, rest: &mut [u8], out: &mut Vec<u8>) {
        self.failed = true;
        while self.connection.common().wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = self.connection.process(rest).state
            else {
                return;
            };
            if encode(out, |space| data.encode(space)).is_err() {
                return;
            }
        }
    }

    fn info(&self, pending: &Pending) -> TlsInfo {
        let common = self.connection.common();
        let mut info = TlsInfo {
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
            alpn: common.alpn_protocol().map(Into::into),
            server_name: None,
            exporter: None,
            end_point: None,
            peer: None,
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        };
        let (trust, usage) = match &pending.origin {
            Origin::Connected(trust) => (trust, Usage::Server),
            Origin::Accepted(seen) => {
                let mut values = seen.seen();
                let suite = common.negotiated_cipher_suite();
                info.exporter = suite.and_then(|suite| {
                    let (secret, random) = (&values.secret, &values.client_random);
                    exporter(suite, secret, random, pending.hello)
                });
                info.server_name = values.server_name.take();
                let own = values.certificate.take();
                info.end_point = own.and_then(|certificate| certificate.end_point.clone());
                (&seen.snapshot.trust, seen.usage)
            }
        };
        let chain = common.peer_certificates();
        info.peer =
            chain.and_then(|chain| trust.judge(chain, usage, UnixTime::now()).map(Box::new));
        info
    }
}

/// Appends one handshake record: asks for its size with an empty buffer, then encodes it.
fn encode(
    out: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), TlsError> {
    let from = out.len();
    let mut space = 0;
    loop {
        out.resize(from + space, 0);
        match encode(&mut out[from..]) {
            Ok(written) => {
                out.truncate(from + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if size.required_size > space => {
                space = size.required_size
            }
            Err(_) => {
                out.truncate(from);
                return Err(TlsError::NotOpen);
            }
        }
    }
}
