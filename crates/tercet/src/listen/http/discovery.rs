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
/// XEP-0156 §2.1.
const BOSH: &str = "urn:xmpp:alt-connections:xbosh";
/// RFC 6415 §2.
const XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";

/// XEP-0156 §3: web clients come from anywhere.
pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let (one, other) = (http.clone(), http.clone());
    vec![
        Resource::at("/.well-known/host-meta")
            .cors("")
            .get(move |visit: Visit| async move { xml(&links(&one, &visit)) }),
        Resource::at("/.well-known/host-meta.json")
            .cors("")
            .get(move |visit: Visit| async move { json(&links(&other, &visit)) }),
    ]
}

/// Kind and address of each way in.
type Links = Vec<(&'static str, String)>;

/// `/.well-known/host-meta`.
fn xml(links: &Links) -> Response {
    if links.is_empty() {
        return plain(StatusCode::NOT_FOUND);
    }
    let mut w = XmlWriter::into(b"<?xml version='1.0' encoding='utf-8'?>".to_vec());
    w.start("XRD").attr("xmlns", XRD);
    for (rel, href) in links {
        w.leaf("Link", &[("rel", rel), ("href", href)]);
    }
    w.end();
    let content_type = [(header::CONTENT_TYPE, "application/xrd+xml")];
    (content_type, w.finish()).into_response()
}

/// `/.well-known/host-meta.json`.
fn json(links: &Links) -> Response {
    if links.is_empty() {
        return plain(StatusCode::NOT_FOUND);
    }
    let link = |(rel, href): &(&str, String)| serde_json::json!({ "rel": rel, "href": href });
    let links: Vec<_> = links.iter().map(link).collect();
    let document = serde_json::json!({ "links": links });
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (content_type, document.to_string()).into_response()
}

/// The ways in for a client like this one; none without TLS (XEP-0156 §2.2).
fn links(http: &Http, visit: &Visit) -> Links {
    let Some(base) = http.base(visit) else {
        return Links::new();
    };
    let Some(rest) = base.strip_prefix("https://") else {
        return Links::new();
    };
    let mut links = vec![(WEBSOCKET, format!("wss://{rest}/ws"))];
    if http.bosh.is_some() {
        links.push((BOSH, format!("{base}/bosh")));
    }
    links
}
