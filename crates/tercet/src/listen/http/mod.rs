//! HTTP: what web clients need to find the server and to talk to it.
//!
//! A connection begins as any other (the gate, a core, TLS from our own sessions), is read by hyper, and answered by an
//! axum router. `/ws` turns it into a WebSocket: hyper gives the socket back, and the connection goes on as a task of
//! [`c2s`](super::c2s), which knows frames. Nothing of HTTP is left in its memory then.
//!
//! # How to add a resource
//! 1. A file (or folder) here with `pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource>`; what its handlers need
//!    is in [`Http`], cloned into closures.
//! 2. Each [`Resource`] names its path and its methods. `post` and `put` say what body they take: [`Takes::whole`] is
//!    gathered first, [`Takes::stream`] is read by the handler from `Body`; both within a number of bytes and no slower
//!    than [`pace`] allows. Everything else is refused before the handler is called: other methods (405 with `Allow`), a
//!    body where there is none to take or beyond its bound (413), one of uncertain length (400, 411), a path that means
//!    another one somewhere (404). OPTIONS is answered from the rules; `cors` lets pages of other origins in.
//! 3. Every answer has [`FIELDS`]; `field` replaces one of them for a resource (a page's own Content-Security-Policy), a
//!    handler may replace it for one answer. `time` is for answers that take longer than 30 s.
//! 4. A handler that takes a [`Visit`] knows the client's address, whether it uses TLS, and the name it knows us by.
//!    Once a client has proved who it is, `Visit::authenticated` tells the gate.
//! 5. A line in [`resources`], a line in docs/security.md, section 12, with the tests.

mod body;
mod bosh;
mod chat;
mod discovery;
mod forwarded;
mod io;
mod pace;
mod request;
mod resource;
mod status;
mod upgrade;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::gate::{Gate, Pass};
use super::service::C2s;
use super::wire::Wire;
use crate::config::{BaseUrl, Network};
use crate::runtime::Load;
use crate::tls::{TlsAcceptor, TlsError};
#[cfg(doc)]
use body::Takes;
pub use bosh::BoshLimits;
pub(super) use bosh::Pipe;
use io::HttpIo;
use request::{Counted, Visit};
use resource::Resource;

/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// Fields of a request's head.
const HEAD_FIELDS: usize = 64;
/// How long the answers that are under way may take when the server ends.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Sent with every answer, unless the resource has its own.
const FIELDS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; sandbox",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// TLS and the first request's head together; any other head from its first byte.
    pub head: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// Age at which a connection is asked to make place for another one.
    pub age: Duration,
    /// A body moves 128 KiB at least in so much time spent waiting for the client, in either direction.
    pub stretch: Duration,
}

/// What HTTP takes from the configuration.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// How long things may take.
    pub times: Times,
    /// Where browsers reach the server, if not at its own port.
    pub url: Option<BaseUrl>,
    /// The reverse proxies that are believed.
    pub trusted: Vec<Network>,
    /// The folder with the files of the web client that are not in the program.
    pub client_assets: Option<PathBuf>,
    /// The bounds of BOSH, if it is served.
    pub bosh: Option<BoshLimits>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            times: Times::default(),
            url: None,
            trusted: Vec::new(),
            client_assets: None,
            bosh: Some(BoshLimits::default()),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Times {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            age: Duration::from_secs(3600),
            stretch: Duration::from_secs(30),
        }
    }
}

/// What the handlers of all resources share.
pub(super) struct Http {
    c2s: Arc<C2s>,
    /// The port with TLS, if it is listened on.
    https: Option<u16>,
    /// Where browsers reach us, if that has been said.
    url: Option<BaseUrl>,
    /// The web client's library for end-to-end encryption.
    omemo: chat::Omemo,
    /// The bounds of BOSH, if it is served.
    bosh: Option<BoshLimits>,
}

impl Http {
    /// What links begin with, as in `https://example.org:5281`: where a client like this one gets in with TLS, if it does.
    fn base(&self, visit: &Visit) -> Option<String> {
        match (&self.url, self.https) {
            (Some(url), _) => Some(url.of(&visit.host)),
            // The proxy's word for itself.
            _ if visit.is_proxied() && visit.secure => Some(visit.origin()),
            (None, Some(443)) => Some(format!("https://{}", visit.host)),
            (None, Some(port)) => Some(format!("https://{}:{port}", visit.host)),
            (None, None) => None,
        }
    }
}

/// Every resource there is.
fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let groups = [
        status::resources(),
        discovery::resources(http),
        chat::resources(http),
        upgrade::resources(http),
        bosh::resources(http),
    ];
    groups.into_iter().flatten().collect()
}

/// Where a connection comes from.
pub(super) struct From {
    pub(super) peer: SocketAddr,
    /// It begins with TLS.
    pub(super) tls: bool,
    /// The client has TLS, with us or with a load balancer.
    pub(super) secure: bool,
}

/// Serves connections.
pub(super) struct Site {
    tls: TlsAcceptor,
    times: Times,
    gate: Arc<Gate>,
    trusted: Vec<Network>,
    router: Router,
}

impl Site {
    /// `https`: the port with TLS, if it is listened on.
    pub(super) fn new(
        c2s: Arc<C2s>,
        tls: TlsAcceptor,
        https: Option<u16>,
        settings: HttpSettings,
    ) -> Arc<Site> {
        let gate = c2s.gate.clone();
        let http = Arc::new(Http {
            c2s,
            https,
            url: settings.url,
            omemo: chat::Omemo::read(settings.client_assets.as_deref()),
            bosh: settings.bosh,
        });
        let mut router = Router::new().fallback(resource::missing);
        for resource in resources(&http) {
            router = resource.join(router);
        }
        Arc::new(Site {
            tls,
            times: settings.times,
            gate,
            trusted: settings.trusted,
            router,
        })
    }

    /// Whether `address` is that of a proxy, which speaks for many.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Serves a connection to its end, or until it is a WebSocket.
    pub(super) async fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        from: From,
        counted: (Pass, Load),
        mut stopped: watch::Receiver<()>,
    ) -> Result<(), TlsError> {
        let From { peer, tls, secure } = from;
        let tls = match tls {
            true => Some(self.tls.start(None)?),
            false => None,
        };
        let times = self.times;
        let requests = Arc::new(Requests::default());
        let io = TokioIo::new(HttpIo::new(Wire::new(socket, tls), requests.clone(), times));
        let (pass, load) = counted;
        let counted = Arc::new(Counted {
            peer,
            secure,
            times,
            pass: Mutex::new(Some(pass)),
            load: Mutex::new(Some(load)),
        });
        let service = service_fn(move |request| {
            let under_way = requests.begin();
            self.clone().answer(counted.clone(), request, under_way)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The connection's own clock knows more.
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEAD_FIELDS)
            .serve_connection(io, service)
            .with_upgrades();
        tokio::pin!(connection);
        let age = tokio::time::sleep(times.age);
        tokio::pin!(age);
        let mut aged = false;
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                // What is under way is bounded by itself.
                () = age.as_mut(), if !aged => {
                    aged = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = stopped.changed() => {
                    connection.as_mut().graceful_shutdown();
                    // Whoever is too slow for this is cut off.
                    break match tokio::time::timeout(LAST_ANSWER, connection).await {
                        Ok(ended) => ended,
                        Err(_) => Ok(()),
                    };
                }
            }
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
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let judged = request::judge(&request, &counted, &self.trusted, &self.gate);
        let visit = judged.as_ref().ok().cloned();
        let peer = visit.as_ref().map_or(counted.peer, |visit| visit.peer);
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
        // The path is the client's: quoted.
        tracing::debug!(%peer, %method, ?path, status = response.status().as_u16(), "HTTP");
        Ok(response.map(|body| Answer {
            body,
            _visit: visit,
            _under_way: under_way,
        }))
    }

    async fn route(&self, request: hyper::Request<Body>) -> Response {
        let answer = TowerToHyperService::new(self.router.clone()).call(request);
        let Ok(response) = answer.await;
        response
    }
}

/// The requests of one connection.
#[derive(Default)]
struct Requests {
    open: AtomicUsize,
    begun: AtomicUsize,
    /// Who wants to know when none is under way.
    waiting: Mutex<Option<Waker>>,
}

/// One of them, from its head to the last byte of its answer.
struct UnderWay(Arc<Requests>);

impl Requests {
    fn begin(self: &Arc<Self>) -> UnderWay {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(waker) = self.0.waiting().take()
        {
            waker.wake();
        }
    }
}

/// The body of an answer; the request is under way, and counted, as long as it exists.
struct Answer {
    body: Body,
    _visit: Option<Visit>,
    _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
