//! HTTP: what web clients need to find the server and to talk to it.
//!
//! A connection begins as any other (the gate, a core, TLS from our own sessions), is read by hyper, and answered by an
//! axum router. `/ws` turns it into a WebSocket: hyper gives the socket back, and the connection goes on as a task of
//! [`c2s`](super::c2s), which knows frames. Nothing of HTTP is left in its memory then.
//!
//! TLS agrees on HTTP/2 where the client knows it; a WebSocket needs HTTP/1.1, which browsers ask for alone then.
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

mod answer;
mod body;
mod bosh;
mod chat;
mod discovery;
mod forwarded;
mod io;
mod outage;
mod pace;
mod pages;
mod request;
mod resource;
mod site;
mod status;
mod upgrade;
pub(super) mod upload;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::http::header::{self, HeaderName};

use super::service::C2s;
use crate::config::{BaseUrl, Network};
#[cfg(doc)]
use body::Takes;
pub use bosh::BoshLimits;
pub(super) use bosh::Pipe;
use request::Visit;
use resource::Resource;
pub(super) use site::{From, Site};
use upload::Uploads;

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
    /// Where all of the internet finds the listeners.
    pub addresses: Vec<IpAddr>,
    /// The folder with the files of the web client that are not in the program.
    pub client_assets: Option<PathBuf>,
    /// The bounds of BOSH, if it is served.
    pub bosh: Option<BoshLimits>,
    /// Push services need not be at public addresses.
    pub private_push_services: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            times: Times::default(),
            url: None,
            trusted: Vec::new(),
            addresses: Vec::new(),
            client_assets: None,
            bosh: Some(BoshLimits::default()),
            private_push_services: false,
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

/// The ports that are listened on.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) c2s: Option<u16>,
    pub(super) https: Option<u16>,
    pub(super) c2s_tls: Option<u16>,
}

/// What the handlers of all resources share.
pub(super) struct Http {
    c2s: Arc<C2s>,
    ports: Ports,
    /// Where all of the internet finds us, if that has been said.
    addresses: Vec<IpAddr>,
    /// Where browsers reach us, if that has been said.
    url: ArcSwapOption<BaseUrl>,
    /// The web client's library for end-to-end encryption.
    omemo: chat::Omemo,
    /// The bounds of BOSH, if it is served.
    bosh: Option<BoshLimits>,
    /// The files that users share.
    uploads: Arc<Uploads>,
}

impl Http {
    fn new(
        c2s: Arc<C2s>,
        ports: Ports,
        uploads: Arc<Uploads>,
        settings: &HttpSettings,
    ) -> Arc<Http> {
        Arc::new(Http {
            c2s,
            ports,
            addresses: settings.addresses.clone(),
            url: ArcSwapOption::from_pointee(settings.url.clone()),
            omemo: chat::Omemo::read(settings.client_assets.as_deref()),
            bosh: settings.bosh,
            uploads,
        })
    }

    /// What links begin with, as in `https://example.org:5281`: where a client like this one gets in with TLS, if it does.
    fn base(&self, visit: &Visit) -> Option<String> {
        match (&*self.url.load(), self.ports.https) {
            (Some(url), _) => {
                let host = self.c2s.host_for(&visit.host);
                Some(url.of(host.as_ref().map_or(&visit.host, |host| host.domain())))
            }
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
        outage::resources(http),
        chat::resources(http),
        pages::resources(http),
        upgrade::resources(http),
        bosh::resources(http),
        upload::resources(http),
    ];
    groups.into_iter().flatten().collect()
}
