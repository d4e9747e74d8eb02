//! Where web clients get in (XEP-0156): from the listeners that are really open.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tercet_core::XmlWriter;

use super::Http;
use super::request::Visit;
use super::resource::{Resource, plain};

/// XEP-0156 §2.1.
const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
/// RFC 6415 §2.
const XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";

/// XEP-0156 §3: web clients come from anywhere.
pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let https = http.https;
    vec![
        Resource::at("/.well-known/host-meta")
            .cors("")
            .get(move |visit: Visit| async move { xml(&visit.host, https) }),
        Resource::at("/.well-known/host-meta.json")
            .cors("")
            .get(move |visit: Visit| async move { json(&visit.host, https) }),
    ]
}

/// `/.well-known/host-meta`. `https`: the port with TLS, if there is one.
fn xml(host: &str, https: Option<u16>) -> Response {
    let Some(link) = link(host, https) else {
        return plain(StatusCode::NOT_FOUND);
    };
    let mut w = XmlWriter::into(b"<?xml version='1.0' encoding='utf-8'?>".to_vec());
    w.start("XRD").attr("xmlns", XRD);
    w.leaf("Link", &[("rel", WEBSOCKET), ("href", &link)]).end();
    let content_type = [(header::CONTENT_TYPE, "application/xrd+xml")];
    (content_type, w.finish()).into_response()
}

/// `/.well-known/host-meta.json`.
fn json(host: &str, https: Option<u16>) -> Response {
    let Some(link) = link(host, https) else {
        return plain(StatusCode::NOT_FOUND);
    };
    let document = serde_json::json!({ "links": [{ "rel": WEBSOCKET, "href": link }] });
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (content_type, document.to_string()).into_response()
}

/// By the name that the client knows us by. XEP-0156 §2.2: with TLS, or not at all.
fn link(host: &str, https: Option<u16>) -> Option<String> {
    Some(format!("wss://{host}:{}/ws", https?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_that_of_the_open_listener() {
        for (name, https, expected) in [
            ("example.org", Some(1), Some("wss://example.org:1/ws")),
            ("[::1]", Some(1), Some("wss://[::1]:1/ws")),
            ("example.org", None, None),
        ] {
            assert_eq!(link(name, https).as_deref(), expected, "{name}");
        }
    }
}
