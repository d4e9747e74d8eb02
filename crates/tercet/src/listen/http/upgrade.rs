//! The WebSocket handshake (RFC 6455 §4.2, RFC 7395 §3.1).
//!
//! The `Origin` is not looked at: nothing a browser sends by itself lets anyone in here, a page must log in like every
//! client (RFC 6455 §10.2 is about cookies).

use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper_util::rt::TokioIo;
use tercet_stream::{Framing, Input};

use super::Http;
use super::io::HttpIo;
use super::request::Visit;
use super::resource::{Resource, plain};
use crate::listen::c2s::{Connection, Start};
use crate::listen::carrier::Carrier;
use crate::listen::service::web_stream_info;

/// RFC 6455 §1.3.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// RFC 7395 §3.1.
const SUBPROTOCOL: &str = "xmpp";

pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let http = http.clone();
    let answer =
        move |visit: Visit, request: Request| async move { websocket(&http, visit, request) };
    vec![Resource::at("/ws").get(answer)]
}

/// Answers a request for `/ws`; where that is a handshake, the connection goes on as a WebSocket.
fn websocket(http: &Arc<Http>, visit: Visit, mut request: Request) -> Response {
    let accept = match handshake(&request) {
        Ok(accept) => accept,
        Err(status) => {
            let mut response = plain(status);
            if status == StatusCode::UPGRADE_REQUIRED {
                let headers = response.headers_mut();
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                let version = HeaderValue::from_static("13");
                headers.insert(header::SEC_WEBSOCKET_VERSION, version);
            }
            return response;
        }
    };
    if visit.open(&http.c2s.gate, Instant::now()).is_err() {
        return plain(StatusCode::TOO_MANY_REQUESTS);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let http = http.clone();
    tokio::spawn(async move {
        let peer = visit.peer;
        match upgrade.await.map(|io| io.downcast::<TokioIo<HttpIo>>()) {
            Ok(Ok(parts)) => {
                if let Some(connection) =
                    connection(&http, &visit, parts.io.into_inner(), &parts.read_buf)
                {
                    // A task of its own: of this one and of HTTP nothing stays.
                    tokio::spawn(connection);
                }
            }
            Ok(Err(_)) => tracing::error!(%peer, "a WebSocket on something else than a socket"),
            Err(error) => tracing::debug!(%peer, %error, "no WebSocket"),
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        ),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

/// The value of `Sec-WebSocket-Accept`.
///
/// # Errors
/// The status of the answer to what is no handshake, or none of ours.
fn handshake(request: &Request) -> Result<HeaderValue, StatusCode> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(StatusCode::BAD_REQUEST);
    }
    if !has_token(headers, &header::UPGRADE, "websocket")
        || !has_token(headers, &header::CONNECTION, "upgrade")
        || headers
            .get(header::SEC_WEBSOCKET_VERSION)
            .is_none_or(|version| version != "13")
    {
        return Err(StatusCode::UPGRADE_REQUIRED);
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or(StatusCode::BAD_REQUEST)?;
    // RFC 6455 §4.2.1: 16 bytes in base64.
    if BASE64_STANDARD
        .decode(key)
        .map_or(true, |key| key.len() != 16)
    {
        return Err(StatusCode::BAD_REQUEST);
    }
    // RFC 7395 §3.1: without the subprotocol nothing else can be spoken here.
    if !has_token(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let text = [key.as_bytes(), MAGIC].concat();
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &text);
    HeaderValue::from_str(&BASE64_STANDARD.encode(digest))
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// The task of the WebSocket. `early` came behind the handshake.
fn connection(http: &Http, visit: &Visit, io: HttpIo, early: &[u8]) -> Option<Connection> {
    let (pass, load) = visit.take_passes()?;
    let (wire, unread, tls) = io.into_parts();
    let now = Instant::now();
    let direct = tls.is_some();
    let private = visit.is_private() && !(direct && visit.secure);
    let mut stream = http.c2s.stream(Framing::WebSocket { private }, now);
    // A proxy with TLS does not hide that its client has none.
    if let Some(tls) = tls.filter(|_| visit.secure) {
        stream.handle(now, Input::TlsUp(web_stream_info(&tls)));
    }
    Some(Connection::new(Start {
        shared: http.c2s.clone(),
        carrier: Carrier::WebSocket(wire, Box::default()),
        stream,
        early: [early, &unread].concat(),
        direct,
        peer: visit.peer,
        pass,
        load,
    }))
}
