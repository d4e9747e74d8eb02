//! Where clients get in (XEP-0156 2.0.0, XEP-0487 0.1.0): from the listeners that are really open.
//!
//! XEP-0487 wants the addresses of each way in, and clients that read it ask nothing else; so its part is there only where
//! `http.public_addresses` says them, and only over TLS. Left out of it: `public-key-pins-sha-256`, because a pin has to be
//! announced long before its key is used, and certificates are renewed by others; `ech`, which rustls' servers have not.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tercet_core::XmlWriter;

use super::Http;
use super::request::Visit;
use super::resource::{Resource, plain};

/// XEP-0156 §2.1.
const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
/// XEP-0156 §2.1.
const BOSH: &str = "urn:xmpp:alt-connections:xbosh";
/// XEP-0487 §2.
const TLS: &str = "urn:xmpp:alt-connections:tls";
/// Seconds for which a client may believe what it reads.
const TTL: u32 = 3600;
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
            .get(move |visit: Visit| async move { json(&other, &visit) }),
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
fn json(http: &Http, visit: &Visit) -> Response {
    let link = |(rel, href): (&str, String)| json!({ "rel": rel, "href": href });
    let mut links: Vec<_> = links(http, visit).into_iter().map(link).collect();
    let ips = &http.addresses;
    // XEP-0487 §3: over secure connections only. Behind a proxy it is not known where the web is.
    let told = !ips.is_empty() && visit.secure && !visit.is_proxied() && http.url.load().is_none();
    if told {
        for (number, link) in links.iter_mut().enumerate() {
            ways(link, 20 + 10 * number, &visit.host, ips);
        }
        if let (Some(port), Some(host)) = (http.ports.c2s_tls, http.c2s.host_for(&visit.host)) {
            let mut link = json!({ "rel": TLS, "port": port });
            ways(&mut link, 10, host.domain(), ips);
            links.push(link);
        }
    }
    if links.is_empty() {
        return plain(StatusCode::NOT_FOUND);
    }
    let document = match told {
        true => json!({ "xmpp": { "ttl": TTL }, "links": links }),
        false => json!({ "links": links }),
    };
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (content_type, document.to_string()).into_response()
}

/// XEP-0487 §2: what each link has besides. The smallest priority comes first (RFC 2782).
fn ways(link: &mut Value, priority: usize, name: &str, ips: &[IpAddr]) {
    link["priority"] = json!(priority);
    link["weight"] = json!(0);
    link["sni"] = json!(name);
    link["ips"] = json!(ips);
}

/// The ways in for a web client like this one; none without TLS (XEP-0156 §2.2).
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
