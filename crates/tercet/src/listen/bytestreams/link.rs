//! One connection: SOCKS5, the wait for its stream to begin, and its part in it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tercet_stream::socks::{Event, Handshake, Reply, StreamHash};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::relay::relay;
use super::{Counted, Exchange, Part, Seat};
use crate::listen::gate::Pass;
use crate::runtime::Load;

/// Bytes that are read of SOCKS5 at once.
const READ: usize = 512;
/// Bytes that are ignored before the stream begins; of more, the connection ends.
const IGNORED: usize = 64 << 10;
/// How long a handed socket may be under way.
const HANDED: Duration = Duration::from_secs(5);

/// One end of a stream, on its way to the other.
pub(super) struct Party {
    socket: std::net::TcpStream,
    /// Both count the connection for as long as it exists.
    pass: Pass,
    counted: Counted,
}

/// Serves a connection of a client to its end.
pub(in crate::listen) async fn serve(
    exchange: Arc<Exchange>,
    mut socket: TcpStream,
    peer: SocketAddr,
    mut pass: Pass,
    _load: Load,
) {
    let limits = exchange.limits();
    let Some(counted) = exchange.enter() else {
        tracing::warn!(%peer, "as many connections as may be (limits.proxy_connections): refused");
        return;
    };
    let waited = async {
        let seat = admit(&exchange, &mut socket).await?;
        match seat {
            Some(seat) => begun(seat, &socket).await.map(Some),
            None => Ok(None),
        }
    };
    let part = match timeout(limits.wait, waited).await {
        Ok(Ok(Some(part))) => part,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "no stream of bytes"),
        Err(_) => return tracing::debug!(%peer, "no stream of bytes: its time is up"),
    };
    // From here on somebody with an account has asked for it.
    pass.authenticated();
    match part {
        Part::Hand(hand) => {
            if let Ok(socket) = socket.into_std() {
                // If the other end has just gone, so has the stream.
                let _ = hand.send(Party {
                    socket,
                    pass,
                    counted,
                });
            }
        }
        Part::Relay(handed, underway) => {
            let Ok(Ok(party)) = timeout(HANDED, handed).await else {
                return;
            };
            let Ok(mut other) = TcpStream::from_std(party.socket) else {
                return;
            };
            tracing::info!(%peer, user = %underway.user, "a stream of bytes begins");
            let bytes = relay(&mut socket, &mut other, &limits).await;
            tracing::info!(%peer, user = %underway.user, bytes, "a stream of bytes has ended");
            drop((party.pass, party.counted, counted));
        }
    }
}

/// Answers what the client says, until it waits for its stream; `None` if it does not get so far.
async fn admit(exchange: &Arc<Exchange>, socket: &mut TcpStream) -> io::Result<Option<Seat>> {
    let mut handshake = Handshake::new();
    let mut bytes = [0; READ];
    loop {
        while let Some(event) = handshake.poll() {
            match event {
                Event::Write(bytes) => socket.write_all(&bytes).await?,
                Event::Connect(hash) => return connect(exchange, socket, &handshake, hash).await,
                Event::Close(bytes) => {
                    socket.write_all(&bytes).await?;
                    socket.shutdown().await?;
                    return Ok(None);
                }
            }
        }
        match socket.read(&mut bytes).await? {
            0 => return Ok(None),
            read => handshake.receive(&bytes[..read]),
        }
    }
}

async fn connect(
    exchange: &Arc<Exchange>,
    socket: &mut TcpStream,
    handshake: &Handshake,
    hash: StreamHash,
) -> io::Result<Option<Seat>> {
    // It waits before it is told so: then its stream can begin.
    let seat = exchange.wait(hash);
    let reply = match seat {
        Ok(_) => Reply::Succeeded,
        Err(_) => Reply::NotAllowed,
    };
    socket.write_all(&handshake.reply(reply)).await?;
    Ok(seat.ok())
}

/// Waits for the stream to begin. What comes before is ignored (XEP-0065 §8.1).
async fn begun(mut seat: Seat, socket: &TcpStream) -> io::Result<Part> {
    let mut ignored = 0;
    let mut bytes = [0; READ];
    loop {
        tokio::select! {
            biased;
            part = &mut seat.begin => return part.map_err(|_| io::ErrorKind::NotConnected.into()),
            readable = socket.readable() => readable?,
        }
        match socket.try_read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => ignored += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if ignored > IGNORED {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
    }
}
