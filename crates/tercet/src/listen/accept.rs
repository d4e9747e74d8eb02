//! Opening sockets, and accepting from them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tercet_stream::Framing;
use tercet_stream::proxy::Source;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::balancer::{Balancers, Expected, Wait};
use super::bytestreams::{self, Exchange};
use super::c2s::{Connection, Start};
use super::carrier::Carrier;
use super::component::{self, Hub};
use super::http::{self, Site};
use super::s2s::{self, S2s};
use super::service::C2s;
use super::settings::{Settings, private_addresses};
use super::wire::Wire;
use super::{ListenError, Purpose};
use crate::runtime::{Cores, Load};

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

/// The same for HTTP.
const REFUSED_HTTP: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

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
    let (private, every_private) = private_addresses(&settings.addresses, settings.every_address);
    let private = (private.as_slice(), every_private);
    let all = (settings.addresses.as_slice(), settings.every_address);
    let component = match &settings.component_addresses {
        Some(addresses) => (addresses.as_slice(), true),
        None => private,
    };
    let mut open = Vec::new();
    for (port, purpose, (addresses, every)) in [
        (settings.c2s, Purpose::C2s, all),
        (settings.c2s_tls, Purpose::C2sTls, all),
        (settings.s2s, Purpose::S2s, all),
        (settings.s2s_tls, Purpose::S2sTls, all),
        (settings.component, Purpose::Component, component),
        (settings.proxy, Purpose::Proxy, all),
        (settings.http, Purpose::Http, private),
        (settings.https, Purpose::Https, all),
    ] {
        let Some(port) = port else { continue };
        let mut failed = None;
        let before = open.len();
        for ip in addresses {
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
                    if every || !missing {
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

/// Those who serve what is accepted.
#[derive(Clone)]
pub(super) struct Welcome {
    /// Who says for whom it connects.
    pub(super) balancers: Arc<Balancers>,
    pub(super) c2s: Arc<C2s>,
    /// Of the ports for other servers.
    pub(super) s2s: Option<Arc<S2s>>,
    /// Of the port for components.
    pub(super) components: Option<Arc<Hub>>,
    /// Of the port for streams of bytes.
    pub(super) exchange: Option<Arc<Exchange>>,
    pub(super) site: Arc<Site>,
    pub(super) cores: Arc<Cores>,
    /// Ends when nothing more is to be accepted.
    pub(super) stopped: watch::Receiver<()>,
}

/// Accepts from one listener until it is stopped.
pub(super) async fn run(listening: Listening, mut served: Welcome) {
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
            _ = served.stopped.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                pause = PAUSES.0;
                let client = Client {
                    peer,
                    purpose,
                    secure: matches!(purpose, Purpose::C2sTls | Purpose::S2sTls | Purpose::Https),
                };
                match served.balancers.expect(peer.ip()) {
                    Expected::Client => welcome(socket, client, &served).await,
                    Expected::Header(wait) => {
                        tokio::spawn(introduced(socket, client, wait, served.clone()));
                    }
                    Expected::Nothing => {
                        tracing::warn!(%peer, "too many load balancer's connections at once");
                    }
                }
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

/// Who connects, and how.
struct Client {
    peer: SocketAddr,
    purpose: Purpose,
    /// With TLS, ours or a load balancer's.
    secure: bool,
}

/// Lets the client in for whom a load balancer connects.
async fn introduced(mut socket: TcpStream, mut client: Client, wait: Wait, served: Welcome) {
    let balancer = client.peer;
    match wait.header(&mut socket).await {
        Ok(Source::Itself) => {}
        Ok(Source::Client { address, tls }) => {
            client.peer = address;
            client.secure |= tls;
        }
        Err(error) => {
            tracing::warn!(%balancer, %error, "connection refused");
            return;
        }
    }
    welcome(socket, client, &served).await;
}

/// Lets a client in, on the core with the fewest connections.
async fn welcome(socket: TcpStream, client: Client, served: &Welcome) {
    let Client {
        peer,
        purpose,
        secure,
    } = client;
    let web = matches!(purpose, Purpose::Http | Purpose::Https);
    let admitted = match web && served.site.trusts(peer.ip()) {
        true => served.c2s.gate.admit_proxy(),
        false => served.c2s.gate.admit(peer.ip(), Instant::now()),
    };
    let pass = match admitted {
        Ok(pass) => pass,
        Err(refusal) => {
            tracing::debug!(%peer, ?refusal, "connection refused");
            // A best effort: whoever floods need not read it. Those with TLS could not.
            let _ = match purpose {
                Purpose::C2s => socket.try_write(REFUSED),
                Purpose::Http => socket.try_write(REFUSED_HTTP),
                Purpose::C2sTls
                | Purpose::S2s
                | Purpose::S2sTls
                | Purpose::Component
                | Purpose::Proxy
                | Purpose::Https => Ok(0),
            };
            return;
        }
    };
    // Each write is all that there is to say; waiting for more would only delay it.
    let _ = socket.set_nodelay(true);
    // Its events are another core's from now on.
    let Ok(socket) = socket.into_std() else {
        return;
    };
    let begin: Box<dyn FnOnce(Load) -> io::Result<()> + Send> = match purpose {
        Purpose::C2s | Purpose::C2sTls => {
            let shared = served.c2s.clone();
            Box::new(move |load| {
                let direct = purpose == Purpose::C2sTls;
                let socket = TcpStream::from_std(socket)?;
                let tls = match direct {
                    true => Some(shared.direct.start(None).map_err(io::Error::other)?),
                    false => None,
                };
                let stream = shared.stream(Framing::Tcp, Instant::now());
                tokio::spawn(Connection::new(Start {
                    carrier: Carrier::Socket(Wire::new(socket, tls)),
                    stream,
                    early: Vec::new(),
                    shared,
                    direct,
                    peer,
                    pass,
                    load,
                }));
                Ok(())
            })
        }
        Purpose::S2s | Purpose::S2sTls => {
            let Some(shared) = served.s2s.clone() else {
                return;
            };
            Box::new(move |load| {
                let direct = purpose == Purpose::S2sTls;
                let socket = TcpStream::from_std(socket)?;
                tokio::spawn(async move {
                    if let Err(error) = s2s::serve(shared, socket, peer, direct, pass, load).await {
                        tracing::warn!(%peer, %error, "connection not served");
                    }
                });
                Ok(())
            })
        }
        Purpose::Component => {
            let Some(hub) = served.components.clone() else {
                return;
            };
            Box::new(move |load| {
                let socket = TcpStream::from_std(socket)?;
                tokio::spawn(component::serve(hub, socket, peer, pass, load));
                Ok(())
            })
        }
        Purpose::Proxy => {
            let Some(exchange) = served.exchange.clone() else {
                return;
            };
            Box::new(move |load| {
                let socket = TcpStream::from_std(socket)?;
                tokio::spawn(bytestreams::serve(exchange, socket, peer, pass, load));
                Ok(())
            })
        }
        Purpose::Http | Purpose::Https => {
            let (site, stopped) = (served.site.clone(), served.stopped.clone());
            Box::new(move |load| {
                let tls = purpose == Purpose::Https;
                let socket = TcpStream::from_std(socket)?;
                tokio::spawn(async move {
                    let from = http::From { peer, tls, secure };
                    if let Err(error) = site.serve(socket, from, (pass, load), stopped).await {
                        tracing::warn!(%peer, %error, "connection not served");
                    }
                });
                Ok(())
            })
        }
    };
    served
        .cores
        .place(move |load| {
            if let Err(error) = begin(load) {
                tracing::warn!(%peer, %error, "connection not served");
            }
        })
        .await;
}
