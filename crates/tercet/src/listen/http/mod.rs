//! HTTP: what web clients need to find the server and to talk to it.
//!
//! A connection begins as any other (the gate, a core, TLS from our own sessions), is read by hyper, and answered by an
//! axum router. `/ws` turns it into a WebSocket: hyper gives the socket back, and the connection goes on as a task of
//! [`c2s`](super::c2s), which knows frames. Nothing of HTTP is left in its memory then.
//!
//! No resource here takes a body, sets a cookie or knows a secret.

mod discovery;
mod io;
mod upgrade;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::gate::Pass;
use super::service::C2s;
use super::wire::Wire;
use crate::runtime::Load;
use crate::tls::{TlsAcceptor, TlsError};
use io::HttpIo;

/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// Fields of a request's head.
const HEAD_FIELDS: usize = 64;
/// Time for TLS and a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection may ask for one thing after another.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long the answer that is under way then may take.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Sent with every answer.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; sandbox",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// What all HTTP connections share.
pub(super) struct Http {
    c2s: Arc<C2s>,
    tls: TlsAcceptor,
    /// The port with TLS, if it is listened on.
    https: Option<u16>,
}

/// One connection, as its requests see it.
struct Visit {
    peer: SocketAddr,
    secure: bool,
    /// What counts the connection; goes along with it when it becomes a WebSocket.
    counted: Mutex<Option<(Pass, Load)>>,
}

impl Http {
    pub(super) fn new(c2s: Arc<C2s>, tls: TlsAcceptor, https: Option<u16>) -> Arc<Http> {
        Arc::new(Http { c2s, tls, https })
    }

    /// Serves a connection to its end, or until it is a WebSocket.
    pub(super) async fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        secure: bool,
        peer: SocketAddr,
        counted: (Pass, Load),
        mut stopped: watch::Receiver<()>,
    ) -> Result<(), TlsError> {
        let tls = match secure {
            true => Some(self.tls.start(None)?),
            false => None,
        };
        let io = TokioIo::new(HttpIo::new(Wire::new(socket, tls)));
        let visit = Arc::new(Visit {
            peer,
            secure,
            counted: Mutex::new(Some(counted)),
        });
        let router = router(&self, &visit);
        let service = service_fn(move |request| answer(router.clone(), peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEAD_FIELDS)
            .serve_connection(io, service)
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = until(&mut stopped) => {
                connection.as_mut().graceful_shutdown();
                // Whoever is too slow for this is cut off.
                match tokio::time::timeout(LAST_ANSWER, connection).await {
                    Ok(ended) => ended,
                    Err(_) => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "HTTP connection lost");
        }
        Ok(())
    }
}

/// The end of a connection's time, or of the server's.
async fn until(stopped: &mut watch::Receiver<()>) {
    tokio::select! {
        _ = stopped.changed() => {}
        () = tokio::time::sleep(LIFETIME) => {}
    }
}

fn router(http: &Arc<Http>, visit: &Arc<Visit>) -> Router {
    let https = http.https;
    let (http, visit) = (http.clone(), visit.clone());
    Router::new()
        .route(
            "/.well-known/host-meta",
            get(move |headers: HeaderMap| async move { discovery::xml(&headers, https) }),
        )
        .route(
            "/.well-known/host-meta.json",
            get(move |headers: HeaderMap| async move { discovery::json(&headers, https) }),
        )
        .route("/status", get(status))
        .route(
            "/ws",
            get(move |request: Request| async move { upgrade::websocket(&http, &visit, request) }),
        )
}

/// For probes: whoever is asked is alive.
async fn status() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        "{\"status\":\"ok\"}\n",
    )
}

/// Answers a request, of whatever kind.
async fn answer(
    router: Router,
    peer: SocketAddr,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match judge(&request) {
        Ok(None) => {
            let answer = TowerToHyperService::new(router).call(request).await;
            let Ok(response) = answer;
            response
        }
        Ok(Some(response)) => response,
        Err(status) => {
            let mut response = plain(status);
            // What follows cannot be told from the request's body.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
    };
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().entry(name).or_insert(value);
    }
    if path.starts_with("/.well-known/host-meta") {
        // XEP-0156 §3: web clients come from anywhere; no other resource says so.
        let anyone = HeaderValue::from_static("*");
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anyone);
    }
    // The path is the client's: quoted.
    tracing::debug!(%peer, %method, ?path, status = response.status().as_u16(), "HTTP");
    Ok(response)
}

/// What holds for every request, before its path is looked at. Some: answered already.
fn judge<B>(request: &hyper::Request<B>) -> Result<Option<Response>, StatusCode> {
    let headers = request.headers();
    // RFC 9112 §3.2: one Host, and a good one.
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next().and_then(host), hosts.next()) {
        (Some(_), None) => {}
        _ => return Err(StatusCode::BAD_REQUEST),
    }
    // Nothing here takes a body; one of uncertain length is an attempt to smuggle (RFC 9112 §6.3).
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(StatusCode::BAD_REQUEST);
    }
    if headers
        .get_all(header::CONTENT_LENGTH)
        .iter()
        .any(|length| length != "0")
    {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match *request.method() {
        Method::GET | Method::HEAD => Ok(None),
        Method::OPTIONS => Ok(Some(options(StatusCode::NO_CONTENT))),
        _ => Ok(Some(options(StatusCode::METHOD_NOT_ALLOWED))),
    }
}

fn options(status: StatusCode) -> Response {
    let mut response = plain(status);
    let methods = HeaderValue::from_static("GET, HEAD, OPTIONS");
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, methods.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    response
}

/// An answer of a status and its name.
fn plain(status: StatusCode) -> Response {
    match (status, status.canonical_reason()) {
        (StatusCode::NO_CONTENT, _) | (_, None) => (status, Body::empty()).into_response(),
        (_, Some(reason)) => (status, reason).into_response(),
    }
}

/// The host's name or address in a `Host` field, without the port.
fn host(field: &HeaderValue) -> Option<String> {
    let text = field.to_str().ok()?;
    let authority: Authority = text.parse().ok()?;
    let name = authority.host();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']');
    (!text.contains('@') && !name.is_empty() && name.bytes().all(good)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        let of = |text: &str| host(&HeaderValue::from_str(text).unwrap());
        for (text, expected) in [
            ("localhost", Some("localhost")),
            ("example.org:5280", Some("example.org")),
            ("127.0.0.1:1", Some("127.0.0.1")),
            ("[::1]:5280", Some("[::1]")),
            ("", None),
            ("a@b", None),
            ("a b", None),
            ("a/b", None),
            ("a'b", None),
            (":80", None),
        ] {
            assert_eq!(of(text).as_deref(), expected, "{text}");
        }
    }
}
