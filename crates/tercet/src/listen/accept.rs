//! Opening sockets, and accepting from them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::c2s::{Connection, Start};
use super::service::C2s;
use super::settings::Settings;
use super::wire::Wire;
use super::{ListenError, Purpose};
use crate::runtime::Cores;

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: i32 = 4096;
/// Pause after accepting failed for lack of something, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Failures to accept are logged once in this time.
const LOGGED: Duration = Duration::from_secs(60);

/// What a client is told where it may not connect, in one write; there is no stream to say it in.
const REFUSED: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:error>\
<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";

/// A socket that listens.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) purpose: Purpose,
    listener: TcpListener,
}

/// Opens every listener.
///
/// # Errors
/// The first address that cannot be had; if not every address has to work, only when none does, or when one is in use.
pub(super) fn bind_all(settings: &Settings) -> Result<Vec<Listening>, ListenError> {
    let ports = [
        (settings.c2s, Purpose::C2s),
        (settings.c2s_tls, Purpose::C2sTls),
    ];
    let mut open = Vec::new();
    for (port, purpose) in ports {
        let Some(port) = port else { continue };
        let mut failed = None;
        let before = open.len();
        for ip in &settings.addresses {
            let address = SocketAddr::new(*ip, port);
            match bind(address) {
                Ok(listener) => open.push(Listening {
                    address: listener.local_addr().unwrap_or(address),
                    purpose,
                    listener,
                }),
                Err(source) => {
                    let missing = source.kind() == io::ErrorKind::AddrNotAvailable
                        || source.kind() == io::ErrorKind::Unsupported;
                    let error = ListenError::Address { address, source };
                    if settings.every_address || !missing {
                        return Err(error);
                    }
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed {
            if open.len() == before {
                return Err(error);
            }
            tracing::debug!(%error, "this machine has no such address");
        }
    }
    Ok(open)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.cloexec().nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // IPv4 has listeners of its own.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts from one listener until `stopped` ends.
pub(super) async fn run(
    listening: Listening,
    c2s: Arc<C2s>,
    cores: Arc<Cores>,
    mut stopped: watch::Receiver<()>,
) {
    let Listening {
        address,
        purpose,
        listener,
    } = listening;
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "not listening");
            return;
        }
    };
    let mut pause = PAUSES.0;
    let mut logged: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                pause = PAUSES.0;
                welcome(socket, peer, purpose, &c2s, &cores).await;
            }
            // The client has gone already.
            Err(error) if is_of_one_connection(&error) => {}
            // Too many open files, most likely: the socket stays ready, so that only time helps.
            Err(error) => {
                let now = Instant::now();
                if logged.is_none_or(|at| now.duration_since(at) > LOGGED) {
                    tracing::error!(%address, %error, "cannot accept connections");
                    logged = Some(now);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TimedOut
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
    )
}

/// Lets a client in, on the core with the fewest connections.
async fn welcome(
    socket: TcpStream,
    peer: SocketAddr,
    purpose: Purpose,
    c2s: &Arc<C2s>,
    cores: &Cores,
) {
    let pass = match c2s.gate.admit(peer.ip(), Instant::now()) {
        Ok(pass) => pass,
        Err(refusal) => {
            tracing::debug!(%peer, ?refusal, "connection refused");
            if purpose == Purpose::C2s {
                // A best effort: whoever floods need not read it.
                let _ = socket.try_write(REFUSED);
            }
            return;
        }
    };
    // Each write is all that there is to say; waiting for more would only delay it.
    let _ = socket.set_nodelay(true);
    // Its events are another core's from now on.
    let Ok(socket) = socket.into_std() else {
        return;
    };
    let shared = c2s.clone();
    let begin = move |load| {
        let direct = purpose == Purpose::C2sTls;
        let socket = TcpStream::from_std(socket)?;
        let tls = match direct {
            true => Some(shared.direct.start(None).map_err(io::Error::other)?),
            false => None,
        };
        Ok::<_, io::Error>(Connection::new(Start {
            wire: Wire::new(socket, tls),
            shared,
            direct,
            peer,
            pass,
            load,
        }))
    };
    cores
        .place(move |load| match begin(load) {
            Ok(connection) => {
                tokio::spawn(connection);
            }
            Err(error) => tracing::warn!(%peer, %error, "connection not served"),
        })
        .await;
}
