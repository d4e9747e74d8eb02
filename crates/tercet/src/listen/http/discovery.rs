//! Where web clients get in (XEP-0156): from the listeners that are really open.

use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use axum::response::{IntoResponse, Response};
use tercet_core::XmlWriter;

use super::host;

/// XEP-0156 §2.1.
const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
/// RFC 6415 §2.
const XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";

/// `/.well-known/host-meta`. `https`: the port with TLS, if there is one.
pub(super) fn xml(headers: &HeaderMap, https: Option<u16>) -> Response {
    let Some(link) = link(headers, https) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut w = XmlWriter::into(b"<?xml version='1.0' encoding='utf-8'?>".to_vec());
    w.start("XRD").attr("xmlns", XRD);
    w.leaf("Link", &[("rel", WEBSOCKET), ("href", &link)]).end();
    let content_type = [(header::CONTENT_TYPE, "application/xrd+xml")];
    (content_type, w.finish()).into_response()
}

/// `/.well-known/host-meta.json`.
pub(super) fn json(headers: &HeaderMap, https: Option<u16>) -> Response {
    let Some(link) = link(headers, https) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let document = serde_json::json!({ "links": [{ "rel": WEBSOCKET, "href": link }] });
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (content_type, document.to_string()).into_response()
}

/// By the name that the client knows us by. XEP-0156 §2.2: with TLS, or not at all.
fn link(headers: &HeaderMap, https: Option<u16>) -> Option<String> {
    let name = headers.get(header::HOST).and_then(host)?;
    Some(format!("wss://{name}:{}/ws", https?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_that_of_the_open_listener() {
        for (name, https, expected) in [
            ("example.org", Some(1), Some("wss://example.org:1/ws")),
            ("example.org:9", Some(1), Some("wss://example.org:1/ws")),
            ("[::1]:9", Some(1), Some("wss://[::1]:1/ws")),
            ("example.org", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, name.parse().unwrap());
            assert_eq!(link(&headers, https).as_deref(), expected, "{name}");
        }
    }
}
