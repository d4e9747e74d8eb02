//! `tercet serve`: the server from its start to its end.

mod announce;
mod reload;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tercet_server::Server;
use tercet_store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::Arguments;
use super::{Failure, configuration};
use crate::admin::execute::execute;
use crate::admin::socket::AdminSocket;
use crate::assemble;
use crate::config::{Config, Port};
use crate::listen::{CertificateSettings, Listeners, Purpose, Settings};
use crate::logging::Logging;
use crate::runtime::Cores;
use crate::tls::Certificates;

/// How long a shutdown waits for clients to take what is meant for them.
const DRAIN: Duration = Duration::from_secs(10);

/// A server that runs, and what its next reload needs.
struct Running<'a> {
    arguments: &'a Arguments,
    /// The settings at the start: those that need a restart are still these.
    started: Config,
    /// The settings of the last reload.
    current: Config,
    server: Arc<Server>,
    certificates: Arc<Certificates>,
    listeners: Listeners,
    logging: Logging,
}

/// Runs the server until it is told to end. Everything answered is durable then.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut config = configuration(arguments)?;
    let logging = Logging::start(&config.log).map_err(|e| failed("starting the log", &e))?;
    raise_descriptor_limit();
    let store = assemble::store(&config.data_dir).map_err(|e| Failure::Other(e.to_string()))?;
    // The full path serves in what is printed, wherever that is read.
    config.data_dir = config
        .data_dir
        .canonicalize()
        .map_err(|e| failed("finding the data folder", &e))?;
    let cores = Cores::start(None).map_err(|e| failed("starting threads", &e))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| failed("starting threads", &e))?;
    let outcome = runtime.block_on(async {
        let running = start(arguments, config, store.clone(), cores.clone(), logging).await?;
        let logging = running.serve().await?;
        Ok(logging)
    });
    // Everything answered is durable already; this leaves the files tidy.
    if let Err(error) = store.close().wait() {
        tracing::error!(%error, "closing the store");
    }
    cores.stop();
    // Last, so that all has been logged.
    outcome.map(drop)
}

async fn start(
    arguments: &Arguments,
    config: Config,
    store: Store,
    cores: Arc<Cores>,
    logging: Logging,
) -> Result<Running<'_>, Failure> {
    let server = assemble::server(&config, store).await;
    let server = server.map_err(|e| Failure::Other(e.to_string()))?;
    let files = CertificateSettings::new(&config, SystemTime::now())
        .map_err(|e| Failure::Other(e.to_string()))?;
    let local = files.local.as_ref().map(|local| local.ca_file.clone());
    let certificates = Certificates::load(files.files, files.ca_files)
        .map_err(|e| Failure::Other(e.to_string()))?;
    missing_names(&config, &certificates);
    let settings = Settings::new(&config, &server);
    let listeners = Listeners::open(cores, server.clone(), certificates.clone(), settings)
        .await
        .map_err(|e| Failure::Other(format!("{e} (`tercet check` looks for the reason)")))?;
    assemble::configure(&server, &with_ports(&config, listeners.bound()))
        .map_err(|e| Failure::Other(e.to_string()))?;
    let running = Running {
        arguments,
        started: config.clone(),
        current: config,
        server,
        certificates,
        listeners,
        logging,
    };
    running.announce(local).await;
    Ok(running)
}

/// Says for which domains and services there is no certificate that names them.
fn missing_names(config: &Config, certificates: &Certificates) {
    if !config.federates() {
        return;
    }
    for host in &config.hosts {
        for domain in std::iter::once(host.domain.as_str().to_owned()).chain(host.services()) {
            if !certificates.cover(&domain) {
                tracing::warn!(
                    domain,
                    "no certificate is for this domain: other servers may refuse it"
                );
            }
        }
    }
}

impl Running<'_> {
    /// Says what is there; `authority` is the file that clients may trust.
    async fn announce(&self, authority: Option<PathBuf>) {
        let first = self
            .server
            .store()
            .owners(&tercet_server::account::ACCOUNT, None, 1)
            .await;
        announce::Start {
            config: &self.current,
            arguments: self.arguments,
            listeners: self.listeners.bound(),
            authority,
            first_account: first.is_ok_and(|accounts| accounts.is_empty()),
        }
        .print();
    }

    /// Serves until a signal to end; reloads on SIGHUP. Gives the log back for the last words.
    async fn serve(mut self) -> Result<Logging, Failure> {
        let trouble = |e| failed("listening to signals", &e);
        let mut ends = Ends::new().map_err(trouble)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(trouble)?;
        let socket = AdminSocket::bind(&self.started.data_dir);
        let socket = socket.map_err(|e| failed("opening the admin socket", &e))?;
        announce::ready(self.arguments);
        let server = self.server.clone();
        let administration = socket.serve(move |operation| {
            let server = server.clone();
            async move { execute(&server, operation).await }
        });
        tokio::pin!(administration);
        loop {
            tokio::select! {
                () = &mut administration => {}
                _ = hangup.recv() => self.reload(),
                () = ends.next() => break,
            }
        }
        tracing::info!(connections = self.listeners.connections(), "shutting down");
        tokio::select! {
            cut_off = self.listeners.drain(DRAIN) => {
                if cut_off > 0 {
                    tracing::warn!(connections = cut_off, "clients did not take their last bytes in time");
                }
            }
            () = ends.next() => tracing::warn!("told twice to end: not waiting for clients"),
        }
        self.server.keep_counts().await;
        Ok(self.logging)
    }
}

/// `config` with the ports that are open where it leaves them to the system, so that links lead there.
fn with_ports(config: &Config, bound: &[(SocketAddr, Purpose)]) -> Config {
    let mut config = config.clone();
    let listen = &mut config.listen;
    for (port, purpose) in [
        (&mut listen.http, Purpose::Http),
        (&mut listen.https, Purpose::Https),
    ] {
        let open = bound.iter().find(|(_, of)| *of == purpose);
        if let (Port::At(0), Some((address, _))) = (&*port, open) {
            *port = Port::At(address.port());
        }
    }
    config
}

/// The signals that end the server.
struct Ends(Signal, Signal);

impl Ends {
    fn new() -> io::Result<Ends> {
        Ok(Ends(
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

fn failed(doing: &str, error: &io::Error) -> Failure {
    Failure::Other(format!("{doing}: {error}"))
}

/// Every connection takes a file descriptor, and the usual soft limit is made for other programs.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = ?limit.current, "the limit on open files could not be raised");
    }
}
