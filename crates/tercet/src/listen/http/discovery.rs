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
    let (one, other) = (http.clone(), http.clone());
    vec![
        Resource::at("/.well-known/host-meta")
            .cors("")
            .get(move |visit: Visit| async move { xml(one.base(&visit)) }),
        Resource::at("/.well-known/host-meta.json")
            .cors("")
            .get(move |visit: Visit| async move { json(other.base(&visit)) }),
    ]
}

/// `/.well-known/host-meta`. `base`: where a client gets in with TLS, if it does.
fn xml(base: Option<String>) -> Response {
    let Some(link) = base.as_deref().and_then(websocket) else {
        return plain(StatusCode::NOT_FOUND);
    };
    let mut w = XmlWriter::into(b"<?xml version='1.0' encoding='utf-8'?>".to_vec());
    w.start("XRD").attr("xmlns", XRD);
    w.leaf("Link", &[("rel", WEBSOCKET), ("href", &link)]).end();
    let content_type = [(header::CONTENT_TYPE, "application/xrd+xml")];
    (content_type, w.finish()).into_response()
}

/// `/.well-known/host-meta.json`.
fn json(base: Option<String>) -> Response {
    let Some(link) = base.as_deref().and_then(websocket) else {
        return plain(StatusCode::NOT_FOUND);
    };
    let document = serde_json::json!({ "links": [{ "rel": WEBSOCKET, "href": link }] });
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (content_type, document.to_string()).into_response()
}

/// XEP-0156 §2.2: with TLS, or not at all.
fn websocket(base: &str) -> Option<String> {
    let rest = base.strip_prefix("https://")?;
    Some(format!("wss://{rest}/ws"))
}
