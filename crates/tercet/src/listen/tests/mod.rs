//! Listeners on loopback with a server in memory, and clients that say by hand what they say.

mod bosh;
mod bytestreams;
mod client;
mod components;
mod connections;
mod dane;
mod files;
mod http2;
mod login;
mod pages;
mod privileges;
mod proxies;
mod resumption;
mod servers;
mod web;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tercet_core::BareJid;
use tercet_server::{Clock, HostBuilder, HostInfo, Limits, Server};
use tercet_store::Store;

use super::*;
use crate::assemble;
use crate::config::Config;
use crate::tls::local_ca;
use client::Client;

/// A server that listens, with accounts `romeo` and `juliet` of the password `secret`.
struct Scene {
    runtime: tokio::runtime::Runtime,
    cores: Arc<Cores>,
    server: Arc<Server>,
    listeners: Option<Listeners>,
    ca_file: PathBuf,
    folder: PathBuf,
}

impl Scene {
    /// `configure` changes the settings that an empty configuration means.
    fn new(configure: impl FnOnce(&mut Settings)) -> Scene {
        Scene::with_limits(Limits::default(), configure)
    }

    fn with_limits(limits: Limits, configure: impl FnOnce(&mut Settings)) -> Scene {
        let info = HostInfo {
            domain: "localhost".into(),
            limits,
            ..HostInfo::default()
        };
        Scene::of(info, |_| {}, Clock::System, configure)
    }

    /// A host with these modules.
    fn of(
        info: HostInfo,
        modules: fn(&mut HostBuilder<'_>),
        clock: Clock,
        configure: impl FnOnce(&mut Settings),
    ) -> Scene {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tercet-listen-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let local = local_ca::ensure(&folder, &["localhost"], SystemTime::now()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let cores = Cores::start(NonZeroUsize::new(2)).unwrap();
        let (server, listeners) = runtime.block_on(async {
            let store = Store::memory(&assemble::catalogue());
            let server = Server::new(store, info.limits, clock).await.unwrap();
            server.configure(vec![info], modules).unwrap();
            for name in ["romeo", "juliet"] {
                let account = BareJid::parse(&format!("{name}@localhost")).unwrap();
                server
                    .create_account(&account, "secret", false)
                    .await
                    .unwrap();
            }
            let mut settings = Settings::new(&Config::default(), &server);
            settings.addresses = vec!["127.0.0.1".parse().unwrap()];
            (settings.c2s, settings.c2s_tls) = (Some(0), Some(0));
            (settings.http, settings.https) = (Some(0), Some(0));
            settings.proxy = None;
            settings.uploads = folder.join("uploads");
            configure(&mut settings);
            let certificates =
                Certificates::load(vec![local.files], vec![local.ca_file.clone()]).unwrap();
            let listeners = Listeners::open(cores.clone(), server.clone(), certificates, settings)
                .await
                .unwrap();
            (server, listeners)
        });
        Scene {
            runtime,
            cores,
            server,
            listeners: Some(listeners),
            ca_file: local.ca_file,
            folder,
        }
    }

    fn address(&self, purpose: Purpose) -> SocketAddr {
        let bound = self.listeners.as_ref().unwrap().bound();
        bound.iter().find(|(_, p)| *p == purpose).unwrap().0
    }

    /// A TCP connection to the port with STARTTLS.
    fn connect(&self) -> Client {
        Client::connect(self.address(Purpose::C2s))
    }

    /// A connection to the port with direct TLS.
    fn connect_tls(&self) -> Client {
        let mut client = Client::connect(self.address(Purpose::C2sTls));
        client.start_tls(&self.ca_file, &[ALPN_CLIENT]);
        client
    }

    /// A bound session of `name` with the resource `name`, over TLS.
    fn session(&self, name: &str) -> Client {
        let mut client = self.connect_tls();
        client.login(name, "secret");
        client.bind(name);
        client
    }

    /// Shuts down while clients look on.
    fn drain(&mut self) -> usize {
        let listeners = self.listeners.take().unwrap();
        self.runtime
            .block_on(listeners.drain(Duration::from_secs(5)))
    }

    /// Waits until `count` connections are open.
    fn wait_for_connections(&self, count: usize) {
        let registry = &self.listeners.as_ref().unwrap().c2s.registry;
        let wait = registry.wait_for(count);
        self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(10), wait)
                .await
                .unwrap();
        });
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.cores.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
