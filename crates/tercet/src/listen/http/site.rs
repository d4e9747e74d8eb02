//! One connection that speaks HTTP, from its first byte to its last.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::answer::{Answer, Line, Requests, UnderWay};
use super::io::HttpIo;
use super::request::{self, Counted};
use super::upload::Uploads;
use super::{FIELDS, Http, HttpSettings, Ports, Times, resource, resources};
use crate::config::Network;
use crate::listen::gate::{Gate, Pass};
use crate::listen::service::C2s;
use crate::listen::wire::Wire;
use crate::runtime::Load;
use crate::tls::{ALPN_HTTP_2, TlsAcceptor, TlsError};

/// Bytes of a request's head.
const HEAD_BYTES: u32 = 16 * 1024;
/// Fields of a request's head, in HTTP/1.
const HEAD_FIELDS: usize = 64;
/// How long the answers that are under way may take when the server ends.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Requests of one connection at a time, in HTTP/2.
const STREAMS: u32 = 64;
/// Requests that a client took back before they were looked at (RFC 9113 §10.5); beyond that the connection ends.
const TAKEN_BACK: usize = 32;
/// Requests that broke the protocol.
const BROKEN: usize = 64;
/// Bytes of a body that a client may send ahead of who reads it.
const AHEAD: u32 = 256 * 1024;
/// The same for all bodies of a connection.
const ALL_AHEAD: u32 = 1024 * 1024;
/// Bytes of an answer that wait for the connection.
const UNSENT: usize = 64 * 1024;
/// Silence after which an HTTP/2 client is asked for a sign of life, and time that it has for it.
const ALIVE: Duration = Duration::from_secs(20);

/// Where a connection comes from.
pub(in crate::listen) struct From {
    pub(in crate::listen) peer: SocketAddr,
    /// It begins with TLS.
    pub(in crate::listen) tls: bool,
    /// The client has TLS, with us or with a load balancer.
    pub(in crate::listen) secure: bool,
}

/// Serves connections.
pub(in crate::listen) struct Site {
    tls: TlsAcceptor,
    times: Times,
    gate: Arc<Gate>,
    trusted: Vec<Network>,
    http: Arc<Http>,
    router: Router,
    /// How many there were so far.
    connections: AtomicU64,
}

impl Site {
    pub(in crate::listen) fn new(
        c2s: Arc<C2s>,
        tls: TlsAcceptor,
        ports: Ports,
        uploads: Arc<Uploads>,
        settings: HttpSettings,
    ) -> Arc<Site> {
        let gate = c2s.gate.clone();
        let http = Http::new(c2s, ports, uploads, &settings);
        let mut router = Router::new().fallback(resource::missing);
        for resource in resources(&http) {
            router = resource.join(router);
        }
        Arc::new(Site {
            tls,
            times: settings.times,
            gate,
            trusted: settings.trusted,
            http,
            router,
            connections: AtomicU64::new(0),
        })
    }

    /// Takes what may change while the server runs.
    pub(in crate::listen) fn reload(&self, settings: HttpSettings) {
        self.http.url.store(settings.url.map(Arc::new));
    }

    /// Whether `address` is that of a proxy, which speaks for many.
    pub(in crate::listen) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Serves a connection to its end, or until it is a WebSocket.
    pub(in crate::listen) async fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        from: From,
        counted: (Pass, Load),
        stopped: watch::Receiver<()>,
    ) -> Result<(), TlsError> {
        let From { peer, tls, secure } = from;
        let tls = match tls {
            true => Some(self.tls.start(None)?),
            false => None,
        };
        let times = self.times;
        let requests = Arc::new(Requests::default());
        let mut io = HttpIo::new(Wire::new(socket, tls), requests.clone(), times);
        let agreed = io.agree().await;
        let (pass, load) = counted;
        let counted = Arc::new(Counted {
            number: self.connections.fetch_add(1, Ordering::Relaxed),
            peer,
            secure,
            times,
            pass: Mutex::new(Some(pass)),
            load: Mutex::new(Some(load)),
        });
        let begun = requests.clone();
        let service = service_fn(move |request| {
            let under_way = begun.begin();
            self.clone().answer(counted.clone(), request, under_way)
        });
        let ended = if agreed.as_deref() == Some(ALPN_HTTP_2) {
            io.end_is_told();
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .max_pending_accept_reset_streams(TAKEN_BACK)
                .max_local_error_reset_streams(BROKEN)
                .max_header_list_size(HEAD_BYTES)
                .initial_stream_window_size(AHEAD)
                .initial_connection_window_size(ALL_AHEAD)
                .max_send_buf_size(UNSENT)
                .keep_alive_interval(ALIVE)
                .keep_alive_timeout(ALIVE)
                .serve_connection(TokioIo::new(io), service);
            let shut = |connection: Pin<&mut _>| http2::Connection::graceful_shutdown(connection);
            conduct(connection, shut, &requests, times.age, stopped).await
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                // The connection's own clock knows more.
                .header_read_timeout(None)
                .max_buf_size(HEAD_BYTES as usize)
                .max_headers(HEAD_FIELDS)
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades();
            let shut = |connection: Pin<&mut _>| {
                http1::UpgradeableConnection::graceful_shutdown(connection)
            };
            conduct(connection, shut, &requests, times.age, stopped).await
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "HTTP connection lost");
        }
        Ok(())
    }

    /// Answers a request, of whatever kind.
    async fn answer(
        self: Arc<Self>,
        counted: Arc<Counted>,
        request: hyper::Request<Incoming>,
        under_way: UnderWay,
    ) -> Result<hyper::Response<Answer>, Infallible> {
        let judged = request::judge(&request, &counted, &self.trusted, &self.gate);
        let visit = judged.as_ref().ok().cloned();
        let peer = visit.as_ref().map_or(counted.peer, |visit| visit.peer);
        let line = Line::new(&request, peer.ip());
        let mut response = match judged {
            Ok(visit) => {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(visit);
                self.route(request).await
            }
            Err(status) => {
                let mut response = resource::last(request.version(), status);
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    let methods = HeaderValue::from_static("GET, HEAD, OPTIONS");
                    response.headers_mut().insert(header::ALLOW, methods);
                }
                response
            }
        };
        for (name, value) in FIELDS {
            let value = HeaderValue::from_static(value);
            response.headers_mut().entry(name).or_insert(value);
        }
        Ok(Answer::of(response, line, visit, under_way))
    }

    async fn route(&self, request: hyper::Request<Body>) -> Response {
        let answer = TowerToHyperService::new(self.router.clone()).call(request);
        let Ok(response) = answer.await;
        response
    }
}

/// Lets a connection live until it ends, is idle or old, or the server ends.
async fn conduct<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    shut: fn(Pin<&mut C>),
    requests: &Requests,
    age: Duration,
    mut stopped: watch::Receiver<()>,
) -> hyper::Result<()> {
    tokio::pin!(connection);
    let age = tokio::time::sleep(age);
    tokio::pin!(age);
    let mut told = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            // What is under way is bounded by itself.
            () = age.as_mut(), if !told => {
                told = true;
                shut(connection.as_mut());
            }
            () = requests.idle.notified(), if !told => {
                told = true;
                shut(connection.as_mut());
            }
            _ = stopped.changed() => {
                shut(connection.as_mut());
                // Whoever is too slow for this is cut off.
                let ended = tokio::time::timeout(LAST_ANSWER, connection).await;
                return ended.unwrap_or(Ok(()));
            }
        }
    }
}
