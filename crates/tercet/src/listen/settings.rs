//! What the listeners take from the configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tercet_core::Limits as XmlLimits;
use tercet_server::{Registration, Server};
use tercet_stream::c2s::{C2sConfig, HostConfig, TlsPolicy};
use tercet_stream::component::{ComponentConfig, ComponentHost, ComponentSecret};
use tercet_stream::s2s::{DialbackSecret, S2sConfig, S2sHost};

use super::Purpose;
use super::bytestreams::RelayLimits;
use super::component::Place;
use super::gate::GateLimits;
use super::http::{BoshLimits, HttpSettings};
use crate::config::{
    BalancedPort, Component, Config, Federation, Host, Network, Port, SecondConnection, Size,
};
use crate::tls::{CertificateFiles, TlsError, local_ca};

/// Time from the beginning to the end of a connection that registers accounts, where rates are not limited.
const WITHOUT_RATES: Duration = Duration::from_secs(3600);

/// Settings of the client listeners. Addresses and ports hold from the start on; the rest may be replaced.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub addresses: Vec<IpAddr>,
    /// An address that cannot be had is an error; otherwise one is enough.
    pub every_address: bool,
    /// The port of streams with STARTTLS; 0 for any.
    pub c2s: Option<u16>,
    /// The port of streams with direct TLS; 0 for any.
    pub c2s_tls: Option<u16>,
    /// The port of other servers' streams with STARTTLS; 0 for any. Without this and the next, there are no other servers.
    pub s2s: Option<u16>,
    /// The port of other servers' streams with direct TLS; 0 for any.
    pub s2s_tls: Option<u16>,
    /// The port of components, on their own addresses; 0 for any. Without this there are none.
    pub component: Option<u16>,
    /// The port of the relay for streams of bytes; 0 for any. Without this there is none.
    pub proxy: Option<u16>,
    /// Bounds of the relay.
    pub relay: RelayLimits,
    /// The addresses for components; `None`: as for HTTP without TLS.
    pub component_addresses: Option<Vec<IpAddr>>,
    /// The port of HTTP, on this machine's own addresses only; 0 for any.
    pub http: Option<u16>,
    /// The port of HTTPS; 0 for any.
    pub https: Option<u16>,
    /// Settings of HTTP.
    pub web: HttpSettings,
    /// Load balancers that have to say for whom they connect, and on which ports.
    pub balancers: Vec<Network>,
    /// The ports on which they do.
    pub balanced: Vec<Purpose>,
    /// The folder for files that users share.
    pub uploads: PathBuf,
    /// What one address may do.
    pub gate: GateLimits,
    /// Settings of the streams.
    pub streams: C2sConfig,
    /// Settings of the streams with other servers.
    pub servers: S2sConfig,
    /// How other servers are found.
    pub federation: Federation,
    /// The components.
    pub components: Vec<Place>,
    /// Settings of their streams.
    pub component_streams: ComponentConfig,
}

impl Settings {
    /// The settings that `config` means for the hosts of `server`, which has been configured with it.
    pub fn new(config: &Config, server: &Server) -> Self {
        let (addresses, every_address) = config.addresses();
        let (s2s, s2s_tls) = config.server_ports();
        Settings {
            addresses,
            every_address,
            c2s: port(&config.listen.c2s),
            c2s_tls: port(&config.listen.c2s_tls),
            s2s: port(&s2s),
            s2s_tls: port(&s2s_tls),
            component: port(&config.listen.component).filter(|_| !config.components.is_empty()),
            proxy: port(&config.listen.proxy)
                .filter(|_| config.hosts.iter().any(|host| host.proxy.enabled)),
            relay: RelayLimits {
                connections: config.limits.proxy_connections as usize,
                streams_per_user: config.limits.proxy_streams_per_user as usize,
                wait: Duration::from_secs(config.limits.proxy_wait.0),
                idle: Duration::from_secs(config.limits.proxy_idle.0),
                bytes_per_second: match config.limits.rates {
                    true => config.limits.proxy_bytes_per_second.0,
                    false => 0,
                },
                stream_bytes: config.limits.proxy_stream_bytes.0,
            },
            component_addresses: config.listen.component_addresses.clone(),
            http: port(&config.listen.http),
            https: port(&config.listen.https),
            balancers: config.listen.balancers.clone(),
            balanced: config.listen.balanced.iter().map(purpose).collect(),
            web: HttpSettings {
                url: config.http.public_url.clone(),
                trusted: config.http.trusted_proxies.clone(),
                addresses: config.http.public_addresses.clone(),
                client_assets: config.http.client_assets.clone(),
                bosh: config.http.bosh.then_some(BoshLimits {
                    sessions: config.limits.bosh_sessions as usize,
                    per_address: config.limits.bosh_sessions_per_address as usize,
                }),
                private_push_services: config.http.private_push_services,
                ..HttpSettings::default()
            },
            uploads: config.data_dir.join("uploads"),
            gate: GateLimits {
                rates: config.limits.rates,
                connections: config.limits.connections_per_address,
                unauthenticated: config.limits.unauthenticated_per_address,
                unauthenticated_in_all: config.limits.unauthenticated_in_all,
                burst: config.limits.connection_burst,
                per_second: config.limits.connections_per_second,
                registrations: config.limits.registration_burst,
                // The key's bounds are far below.
                registration_seconds: u32::try_from(config.limits.registration_interval.0)
                    .unwrap_or(u32::MAX),
            },
            streams: streams(config, server),
            servers: servers(config, server),
            federation: federation(config),
            components: config.components.iter().map(place).collect(),
            component_streams: component_streams(config, server),
        }
    }
}

/// How other servers are found and what they may do.
fn federation(config: &Config) -> Federation {
    let mut federation = config.federation.clone();
    if !config.limits.rates {
        federation.stanzas_per_second = 0;
        federation.bytes_per_second = Size(0);
    }
    federation
}

/// Where to listen for HTTP without TLS, and whether each of these has to work, given the same for everything else: never but
/// on this machine's own addresses, where nobody can listen in.
pub fn private_addresses(addresses: &[IpAddr], every: bool) -> (Vec<IpAddr>, bool) {
    let own: Vec<IpAddr> = addresses
        .iter()
        .copied()
        .filter(IpAddr::is_loopback)
        .collect();
    match own.is_empty() {
        false => (own, every),
        true => (
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            false,
        ),
    }
}

fn purpose(port: &BalancedPort) -> Purpose {
    match port {
        BalancedPort::C2s => Purpose::C2s,
        BalancedPort::C2sTls => Purpose::C2sTls,
        BalancedPort::Http => Purpose::Http,
        BalancedPort::Https => Purpose::Https,
    }
}

fn port(port: &Port) -> Option<u16> {
    match port {
        Port::At(number) => Some(*number),
        Port::Off => None,
    }
}

fn streams(config: &Config, server: &Server) -> C2sConfig {
    let host = |host: &Host| {
        let mut settings = HostConfig::new(host.domain.as_str());
        settings.tls = match host.tls.required {
            true => TlsPolicy::Required,
            false => TlsPolicy::Optional,
        };
        settings.anonymous = host.login.anonymous;
        settings.sha256 = host.login.scram_sha256;
        settings.tokens = server.limits().token_ms > 0;
        if let Some(host) = server.host(host.domain.as_str()) {
            let open = host.info().registration != Registration::Closed;
            settings.registration = open && tercet_modules::register::is_on(&host);
            settings.invitations = tercet_modules::invites::lets_register(&host);
            settings.inline = host.inline().iter().map(|var| (*var).to_owned()).collect();
            settings.features = String::from_utf8_lossy(&host.stream_features()).into_owned();
        }
        settings
    };
    let limits = &config.limits;
    let bounds = |bytes: u64, default: XmlLimits| XmlLimits {
        stanza_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        depth: u16::try_from(limits.depth).unwrap_or(u16::MAX),
        attributes: u16::try_from(limits.attributes).unwrap_or(u16::MAX),
        ..default
    };
    // A configuration has at least one host.
    let mut streams = C2sConfig::new(host(&config.hosts[0]), config.hosts[1..].iter().map(host));
    streams.before_login = bounds(limits.stanza_bytes_before_login.0, XmlLimits::BEFORE_LOGIN);
    streams.after_login = bounds(limits.stanza_bytes.0, XmlLimits::AFTER_LOGIN);
    streams.see_other_uri = config.http.drain_uri.as_ref().map(|uri| uri.0.clone());
    streams.login_timeout = Duration::from_secs(limits.unauthenticated.0);
    let idle = Duration::from_secs(limits.idle.0);
    streams.idle_timeout = Some(idle);
    streams.keep_alive_after = Some(idle / 3);
    streams.max_attempts = limits.login_attempts;
    streams.max_registrations = limits.login_attempts;
    if !limits.rates {
        // A laboratory's tools register all their accounts over one stream that never logs in. Other streams have the bounds
        // that they have everywhere.
        streams.max_registrations = u32::MAX;
        streams.registering_timeout = WITHOUT_RATES;
    }
    streams
}

/// For what the secret of dialback keys is derived.
pub(crate) const DIALBACK: &[u8] = b"dialback";

fn servers(config: &Config, server: &Server) -> S2sConfig {
    let hosts = server.hosts();
    let hosts = hosts.iter().map(|served| {
        let domain = served.domain();
        // A service has the settings of the host it belongs to.
        let host = config.hosts.iter().find(|host| {
            host.domain.as_str() == domain || host.services().any(|service| service == domain)
        });
        let mut settings = S2sHost::new(domain);
        if let Some(host) = host {
            settings.require_certificate = host.tls.require_server_certificate;
            settings.peers = served.info().peers.clone();
            if !host.tls.required {
                settings.tls = TlsPolicy::Optional;
            }
        }
        settings
    });
    // What other servers send to a component's domain, and it to them, goes by the rules of the host that it belongs to.
    let components = config.components.iter().map(|component| {
        let mut settings = S2sHost::new(component.domain.as_str());
        let host = config
            .hosts
            .iter()
            .find(|host| host.domain == component.host);
        if let Some(host) = host {
            settings.require_certificate = host.tls.require_server_certificate;
            if !host.tls.required {
                settings.tls = TlsPolicy::Optional;
            }
        }
        settings
    });
    let hosts = hosts.chain(components);
    let secret = DialbackSecret::new(&server.derive_secret(DIALBACK));
    let mut servers = S2sConfig::new(hosts, secret);
    // Bounds and times are those of client streams.
    let clients = streams(config, server);
    servers.before_login = clients.before_login;
    servers.after_login = clients.after_login;
    servers.negotiation_timeout = clients.login_timeout;
    let idle = Duration::from_secs(config.federation.idle.0);
    servers.idle_timeout = Some(idle);
    servers.keep_alive_after = Some(idle / 3);
    servers
}

fn place(component: &Component) -> Place {
    Place {
        domain: component.domain.as_str().into(),
        subdomains: component.subdomains,
        replace: component.second_connection == SecondConnection::Replace,
        wait: Duration::from_secs(component.queue_time.0),
        // The key's bounds fit.
        bytes: usize::try_from(component.queue_bytes.0).unwrap_or(usize::MAX),
    }
}

fn component_streams(config: &Config, server: &Server) -> ComponentConfig {
    let component = |component: &Component| ComponentHost {
        domain: component.domain.as_str().to_owned(),
        secret: ComponentSecret::new(component.secret.reveal()),
        subdomains: component.subdomains,
    };
    let mut components = ComponentConfig::new(config.components.iter().map(component));
    // Bounds are those of client streams.
    let clients = streams(config, server);
    components.before_login = clients.before_login;
    components.after_login = clients.after_login;
    components.negotiation_timeout = clients.login_timeout;
    components
}

/// The certificates that a configuration means.
#[derive(Clone, Debug)]
pub struct CertificateSettings {
    /// The files, those of the first host first.
    pub files: Vec<CertificateFiles>,
    /// Roots for client certificates, besides the system's.
    pub ca_files: Vec<PathBuf>,
    /// The local authority that vouches for hosts without configured certificates, if there are any.
    pub local: Option<local_ca::LocalCertificate>,
}

impl CertificateSettings {
    /// Finds the certificates of `config`. For hosts without one a local authority makes it, in the data folder.
    ///
    /// # Errors
    /// Those of [`local_ca::ensure`].
    pub fn new(config: &Config, now: SystemTime) -> Result<Self, TlsError> {
        let domain = |host: &Host| host.domain.as_str().to_owned();
        let mut files: Vec<CertificateFiles> = Vec::new();
        let mut ca_files = Vec::new();
        let mut own = Vec::new();
        for host in &config.hosts {
            ca_files.extend(host.tls.ca_file.clone());
            let (Some(chain), Some(key)) = (&host.tls.certificate, &host.tls.key) else {
                own.push(domain(host));
                // The wildcard below a domain names the others.
                own.extend(host.services().filter(|service| {
                    let above = service.split_once('.').map(|(_, above)| above);
                    above != Some(host.domain.as_str())
                }));
                continue;
            };
            match files
                .iter_mut()
                .find(|f| f.chain == *chain && f.key == *key)
            {
                Some(same) => {
                    same.hosts.push(domain(host));
                    same.services.extend(host.services());
                }
                None => files.push(CertificateFiles {
                    hosts: vec![domain(host)],
                    services: host.services().collect(),
                    chain: chain.clone(),
                    key: key.clone(),
                }),
            }
        }
        ca_files.sort();
        ca_files.dedup();
        let local = match own.is_empty() {
            true => None,
            false => {
                let own: Vec<&str> = own.iter().map(String::as_str).collect();
                Some(local_ca::ensure(&config.data_dir, &own, now)?)
            }
        };
        if let Some(local) = &local {
            ca_files.push(local.ca_file.clone());
            // The first host's certificate is everybody else's too.
            let first = own
                .first()
                .is_some_and(|own| own == config.hosts[0].domain.as_str());
            let place = if first { 0 } else { files.len() };
            files.insert(place, local.files.clone());
        }
        Ok(CertificateSettings {
            files,
            ca_files,
            local,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tls::Certificates;

    #[test]
    fn certificates_of_the_server_itself_name_the_services_wherever_they_are() {
        let text = "domain = \"example.org\"\nrooms.domain = \"chat.example.net\"\n";
        let (mut config, faults) = Config::parse(text, Path::new(""));
        assert_eq!(faults, []);
        let name = format!("tercet-settings-{}", std::process::id());
        config.data_dir = std::env::temp_dir().join(name);
        let settings = CertificateSettings::new(&config, SystemTime::now()).unwrap();
        assert_eq!(settings.files[0].hosts, ["example.org", "chat.example.net"]);
        let certificates = Certificates::load(settings.files, settings.ca_files).unwrap();
        for domain in ["example.org", "chat.example.net", "pubsub.example.org"] {
            assert!(certificates.cover(domain), "{domain}");
        }
        std::fs::remove_dir_all(&config.data_dir).unwrap();
    }
}
