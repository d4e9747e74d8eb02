//! The listeners, and the connections they accept.
//!
//! A socket is accepted on one core, checked by the [`gate`], and given to the core with the fewest connections, where
//! [`c2s`] serves it in one task; [`http`] hands it over once it is a WebSocket.

mod accept;
mod balancer;
mod bytestreams;
mod c2s;
mod carrier;
mod component;
pub mod gate;
mod http;
mod post;
mod registry;
mod s2s;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod timer;
mod websocket;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tercet_core::{StreamCondition, StreamError};
use tercet_modules::bytestreams::set_relay;
use tercet_modules::push;
use tercet_server::Server;
use tokio::sync::watch;

use crate::runtime::Cores;
use crate::tls::{ALPN_CLIENT, Certificates, Expiries, TlsAcceptor, TlsError};
use balancer::Balancers;
pub use bytestreams::RelayLimits;
use bytestreams::{Desk, Exchange};
use component::Hub;
pub use component::{Connected, Figures, Place, figures};
use http::upload::Uploads;
pub use http::{BoshLimits, HttpSettings, Times};
use http::{Ports, Site};
use post::Post;
use s2s::S2s;
use service::C2s;
pub(crate) use settings::DIALBACK;
pub use settings::{CertificateSettings, Settings, private_addresses};

/// How often certificate files are looked at.
const CERTIFICATES_CHECKED: Duration = Duration::from_secs(10);
/// How late a job may be that waited for its time.
const AGENDA_CHECKED: Duration = Duration::from_millis(250);

/// Why listening is not possible.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// The address with its port.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The folder for files that users share cannot be had.
    #[error("the folder {folder}: {source}", folder = folder.display())]
    Uploads {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Client streams with STARTTLS.
    C2s,
    /// Client streams with TLS from the first byte (XEP-0368).
    C2sTls,
    /// Streams of other servers with STARTTLS.
    S2s,
    /// Streams of other servers with TLS from the first byte (XEP-0368).
    S2sTls,
    /// Components (XEP-0114).
    Component,
    /// Streams of bytes between clients (XEP-0065).
    Proxy,
    /// HTTP, on this machine's own addresses.
    Http,
    /// HTTP over TLS.
    Https,
}

/// The open listeners and their connections.
pub struct Listeners {
    cores: Arc<Cores>,
    c2s: Arc<C2s>,
    s2s: Option<Arc<S2s>>,
    components: Option<Arc<Hub>>,
    exchange: Option<Arc<Exchange>>,
    site: Arc<Site>,
    bound: Vec<(SocketAddr, Purpose)>,
    #[cfg(test)]
    uploads: Arc<Uploads>,
    /// Ends accepting when it is dropped.
    accepting: watch::Sender<()>,
    /// Ends the streams with other servers and with components when it is dropped.
    federating: watch::Sender<()>,
}

impl Listeners {
    /// Opens all listeners. When this returns, every one of them accepts.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub async fn open(
        cores: Arc<Cores>,
        server: Arc<Server>,
        certificates: Arc<Certificates>,
        settings: Settings,
    ) -> Result<Listeners, ListenError> {
        let starttls = TlsAcceptor::new(certificates.clone(), &[])?;
        let direct = TlsAcceptor::new(certificates.clone(), &[ALPN_CLIENT])?;
        let sockets = accept::bind_all(&settings)?;
        let c2s = C2s::new(
            server.clone(),
            starttls,
            direct,
            settings.gate,
            settings.streams,
        );
        let port = |purpose| {
            let mut sockets = sockets.iter();
            let socket = sockets.find(|socket| socket.purpose == purpose)?;
            Some(socket.address.port())
        };
        let ports = Ports {
            c2s: port(Purpose::C2s),
            https: port(Purpose::Https),
            c2s_tls: port(Purpose::C2sTls),
        };
        let uploads = Uploads::open(server.clone(), settings.uploads.clone());
        let uploads = uploads.map_err(|source| ListenError::Uploads {
            folder: settings.uploads,
            source,
        })?;
        let post = Post::new(
            cores.clone(),
            certificates.clone(),
            settings.federation.clone(),
            settings.web.private_push_services,
        )?;
        push::web::set_courier(&server, post);
        let site = Site::new(
            c2s.clone(),
            TlsAcceptor::for_web(certificates.clone())?,
            ports,
            uploads.clone(),
            settings.web,
        );
        let (balancers, balanced) = (settings.balancers, settings.balanced);
        let (accepting, stopped) = watch::channel(());
        let (federating, parted) = watch::channel(());
        let components_parted = parted.clone();
        let s2s = match settings.s2s.or(settings.s2s_tls) {
            Some(_) => Some(
                S2s::start(
                    server.clone(),
                    cores.clone(),
                    certificates.clone(),
                    settings.servers,
                    settings.federation,
                    parted,
                )
                .await?,
            ),
            None => None,
        };
        let components = match settings.component {
            Some(_) => {
                let (places, streams) = (settings.components, settings.component_streams);
                let server = server.clone();
                Some(Hub::start(server, &cores, places, streams, components_parted).await)
            }
            None => None,
        };
        let exchange = port(Purpose::Proxy).map(|port| Exchange::new(port, settings.relay));
        if let Some(exchange) = &exchange {
            set_relay(&server, Arc::new(Desk(exchange.clone())));
        }
        let mut bound = Vec::new();
        for (number, socket) in sockets.into_iter().enumerate() {
            bound.push((socket.address, socket.purpose));
            let announced = balanced.contains(&socket.purpose);
            let welcome = accept::Welcome {
                balancers: Balancers::new(match announced {
                    true => balancers.clone(),
                    false => Vec::new(),
                }),
                c2s: c2s.clone(),
                s2s: s2s.clone(),
                components: components.clone(),
                exchange: exchange.clone(),
                site: site.clone(),
                cores: cores.clone(),
                stopped: stopped.clone(),
            };
            let task = accept::run(socket, welcome);
            cores.spawn_on(number, task).await;
        }
        let watching = watch_certificates(certificates, server.clone(), stopped.clone());
        cores.spawn_on(0, watching).await;
        cores
            .spawn_on(0, uploads.clone().keep(stopped.clone()))
            .await;
        cores.spawn_on(0, keep_time(server, stopped)).await;
        Ok(Listeners {
            cores,
            c2s,
            s2s,
            components,
            exchange,
            site,
            bound,
            #[cfg(test)]
            uploads,
            accepting,
            federating,
        })
    }

    /// The addresses that are listened on, with their ports.
    pub fn bound(&self) -> &[(SocketAddr, Purpose)] {
        &self.bound
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.c2s.registry.count()
    }

    /// Connections of each core.
    pub fn loads(&self) -> Vec<usize> {
        self.cores.loads()
    }

    /// Takes other settings, but for addresses and ports. They hold for what begins from now on.
    pub fn reload(&self, settings: Settings) {
        self.c2s.set(settings.gate, settings.streams);
        if let Some(s2s) = &self.s2s {
            s2s.set(settings.servers);
        }
        if let Some(components) = &self.components {
            components.set(settings.components, settings.component_streams);
        }
        if let Some(exchange) = &self.exchange {
            exchange.set(settings.relay);
        }
        self.site.reload(settings.web);
    }

    /// Accepts nothing more, closes the rooms, tells every client `system-shutdown`, and waits until all is sent, for `limit` at most.
    /// Returns the number of connections that were cut off then.
    pub async fn drain(self, limit: Duration) -> usize {
        drop(self.accepting);
        // While all connections are there.
        tercet_modules::muc::shut_down(&self.c2s.server);
        if let Some(s2s) = &self.s2s {
            // While its sender is still there, what waits for a server that is out of reach goes back.
            let _ = tokio::time::timeout(limit, s2s.close()).await;
        }
        if let Some(components) = &self.components {
            let _ = tokio::time::timeout(limit, components.close()).await;
        }
        let error = StreamError::new(StreamCondition::SystemShutdown);
        self.c2s.registry.end(&error);
        let _ = tokio::time::timeout(limit, self.c2s.registry.wait_for(0)).await;
        let cut_off = self.c2s.registry.count();
        // What clients have not acknowledged is kept for later: they cannot come back to their sessions.
        let _ = tokio::time::timeout(limit, self.c2s.server.end_managed()).await;
        // The last that other servers hear is that our users have gone.
        drop(self.federating);
        if let Some(s2s) = &self.s2s {
            let _ = tokio::time::timeout(limit, s2s.wait_for_none()).await;
        }
        if let Some(components) = &self.components {
            let _ = tokio::time::timeout(limit, components.wait_for_none()).await;
        }
        cut_off
    }
}

/// Does what the server has to do at some time.
async fn keep_time(server: Arc<Server>, mut stopped: watch::Receiver<()>) {
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = tokio::time::timeout(AGENDA_CHECKED, server.agenda_changed()) => {}
        }
        for rest in server.run_due() {
            tokio::spawn(rest.wait());
        }
    }
}

/// Loads certificates again when their files change, and says when one ends soon.
async fn watch_certificates(
    certificates: Arc<Certificates>,
    server: Arc<Server>,
    mut stopped: watch::Receiver<()>,
) {
    let expiries = Expiries::of(&server);
    loop {
        expiries.look(&certificates, server.now_ms());
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(CERTIFICATES_CHECKED) => {}
        }
        let certificates = certificates.clone();
        let check = move || match certificates.reload_if_changed() {
            Ok(false) => {}
            Ok(true) => tracing::info!("certificates loaded again"),
            Err(error) => {
                tracing::error!(%error, "changed certificates not loaded; the old ones stay")
            }
        };
        let _ = tokio::task::spawn_blocking(check).await;
    }
}
