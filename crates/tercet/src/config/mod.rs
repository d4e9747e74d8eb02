//! The configuration: one file, `tercet.toml`, in which every key may be left out.
//!
//! [`keys`] declares every key once. Reading collects all faults, each with line, column, key and nearest known name, and never stops at the first.

pub mod component;
pub mod external;
pub mod fault;
pub mod federation;
pub mod keys;
pub mod measure;
pub mod modules;
pub mod net;
pub mod reference;
pub mod section;
pub mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use component::{Component, Password};
pub use external::{Service, ServiceEntry};
use fault::{ConfigError, Fault, position};
pub use federation::{NameServer, Route};
pub use keys::{
    Archive, BalancedPort, Contact, Federation, General, Http, Limits, Listen, Log, LogFormat,
    Login, NodeCreation, Peers, Proxy, PubSub, Registration, RegistrationPolicy, RelayUsers,
    Rights, RoomCreation, Rooms, SecondConnection, Tls, Upload,
};
pub use modules::Modules;
pub use net::{Network, Place};
use section::{Effect, Reader, Section};
pub use value::{Admin, BaseUrl, Domain, LogFilter, Period, Port, Size, Uri, Value};

/// A whole configuration, checked, with paths resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it came from; `None` for the built-in defaults.
    pub file: Option<PathBuf>,
    /// Everything the server keeps lies in this folder.
    pub data_dir: PathBuf,
    /// Administrators named in the file.
    pub admins: Vec<Admin>,
    /// The domains served; at least one, each once.
    pub hosts: Vec<Host>,
    /// Components, each domain once, and none that is served otherwise.
    pub components: Vec<Component>,
    /// Services outside XMPP that users are told of.
    pub services: Vec<Service>,
    /// Listeners as written; see [`Config::addresses`].
    pub listen: Listen,
    /// What browsers see; see [`Config::public_url`].
    pub http: Http,
    /// How other servers are found.
    pub federation: Federation,
    /// Bounds.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
}

/// One domain and its own settings; what it does not set is as for the whole server.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// The domain.
    pub domain: Domain,
    /// Its certificate.
    pub tls: Tls,
    /// With which other servers it speaks.
    pub peers: Peers,
    /// How its users log in.
    pub login: Login,
    /// Who may make an account on it.
    pub registration: Registration,
    /// Whether and how long its users' messages are archived.
    pub archive: Archive,
    /// The files that its users share.
    pub upload: Upload,
    /// Its rooms.
    pub rooms: Rooms,
    /// Its nodes.
    pub pubsub: PubSub,
    /// Its relay for streams of bytes.
    pub proxy: Proxy,
    /// Whom to ask.
    pub contact: Contact,
    /// The extensions' own settings.
    pub modules: Modules,
}

fn default_domain() -> Domain {
    Domain::parse("localhost").expect("`localhost` is a domain")
}

impl Default for Config {
    /// What holds without a file: `localhost`, the folder `data` in the current one.
    fn default() -> Config {
        let (config, _) = Config::parse("", Path::new(""));
        config
    }
}

impl Config {
    /// Reads and checks `file`. Relative paths in it are meant from its own folder.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable {
            file: file.to_owned(),
            error,
        })?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let (mut config, faults) = Config::parse(&text, folder);
        if !faults.is_empty() {
            return Err(ConfigError::Faulty {
                file: file.to_owned(),
                faults,
            });
        }
        config.file = Some(file.to_owned());
        Ok(config)
    }

    /// Reads `text`, meaning relative paths from `folder`. What is faulty has its default in the result; the faults are ordered by place.
    pub fn parse(text: &str, folder: &Path) -> (Config, Vec<Fault>) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut faults: Vec<Fault> = errors.iter().map(|error| syntax(text, error)).collect();
        let (config, mut found) = Config::read(text, document.get_ref(), folder);
        // A line that is no TOML has been reported as that; what was recovered of it means nothing.
        found.retain(|fault| faults.iter().all(|other| other.line != fault.line));
        faults.extend(found);
        faults.sort_by_key(|fault| (fault.line, fault.column));
        (config, faults)
    }

    fn read(text: &str, document: &DeTable<'_>, folder: &Path) -> (Config, Vec<Fault>) {
        let mut reader = Reader::new(text, "", document);
        let general = General::read(&mut reader, &General::default());
        let listen = reader.section(&Listen::default());
        if listen.balancers.is_empty() != listen.balanced.is_empty() {
            reader.fault("listen", "set balancers and balanced together, or neither");
        }
        let http: Http = reader.section(&Http::default());
        if let Some(Uri(uri)) = &http.drain_uri
            && !["wss://", "https://"]
                .iter()
                .any(|scheme| uri.starts_with(scheme))
        {
            // RFC 7395 §3.6.1: clients follow no address that is less secure than where they are.
            reader.fault(
                "http",
                "http.drain_uri has to begin with wss:// or https://",
            );
        }
        let mut tls = reader.section(&Tls::default());
        check_pair(&mut reader, &tls);
        resolve(folder, &mut tls);
        let peers = reader.section(&Peers::default());
        let login = reader.section(&Login::default());
        let registration = reader.section(&Registration::default());
        let federation = reader.section(&Federation::default());
        let limits = reader.section(&Limits::default());
        let archive = reader.section(&Archive::default());
        let upload = reader.section(&Upload::default());
        let rooms = reader.section(&Rooms::default());
        let pubsub = reader.section(&PubSub::default());
        let proxy = reader.section(&Proxy::default());
        let contact = reader.section(&Contact::default());
        let log = reader.section(&Log::default());

        let shared = Host {
            domain: general.domain,
            tls,
            peers,
            login,
            registration,
            archive,
            upload,
            rooms,
            pubsub,
            proxy,
            contact,
            modules: reader.modules(&Modules::default()),
        };
        let tables = reader.tables("host");
        let mut hosts = Vec::new();
        if reader.has("domain") || tables.is_empty() {
            hosts.push(shared.clone());
        }
        for table in tables {
            let mut inner = Reader::new(text, "host", table);
            let host = Host::read(&mut inner, &shared, folder);
            if inner.has("domain") && hosts.iter().any(|other| other.domain == host.domain) {
                let message = format!("{} is served already", host.domain.as_str());
                inner.fault("domain", message);
            }
            hosts.push(host);
            reader.adopt(inner.finish());
        }
        let components = component::read_all(&mut reader, text, &hosts, folder);
        let services = external::read_all(&mut reader, text, &hosts, folder);
        let config = Config {
            file: None,
            data_dir: folder.join(general.data_dir),
            admins: general.admins,
            hosts,
            components,
            services,
            listen,
            http,
            federation,
            limits,
            log,
        };
        (config, reader.finish())
    }

    /// The addresses to listen on, and whether the file names them: one that it names must work, a default may be missing on this machine.
    pub fn addresses(&self) -> (Vec<IpAddr>, bool) {
        if let Some(named) = &self.listen.addresses {
            return (named.clone(), true);
        }
        let both: [IpAddr; 2] = match self.hosts.iter().all(|host| host.domain.is_local()) {
            true => [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            false => [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        };
        (both.into(), false)
    }

    /// The ports for other servers: with STARTTLS, and with TLS from the first byte.
    pub fn server_ports(&self) -> (Port, Port) {
        let alone = self.hosts.iter().all(|host| host.domain.is_local());
        let usual = |port| if alone { Port::Off } else { Port::At(port) };
        (
            self.listen.s2s.unwrap_or(usual(5269)),
            self.listen.s2s_tls.unwrap_or(usual(5270)),
        )
    }

    /// Whether there is a port for other servers.
    pub fn federates(&self) -> bool {
        self.server_ports() != (Port::Off, Port::Off)
    }

    /// Where browsers reach the pages of `host`, without a slash at the end; `None` if nowhere, or on a port that only the running server knows.
    pub fn public_url(&self, host: &Host) -> Option<String> {
        let domain = host.domain.as_str();
        if let Some(url) = &self.http.public_url {
            return Some(url.of(domain));
        }
        let at = |scheme: &str, usual: u16, port: &Port| match port {
            Port::Off | Port::At(0) => None,
            Port::At(number) if *number == usual => Some(format!("{scheme}://{domain}")),
            Port::At(number) => Some(format!("{scheme}://{domain}:{number}")),
        };
        let http = || at("http", 80, &self.listen.http);
        let https = || at("https", 443, &self.listen.https);
        // Without TLS there are only this machine's own addresses.
        match host.domain.is_local() {
            true => http().or_else(https),
            false => https(),
        }
    }

    /// Full names of the keys that differ between `self` and `new`, with the time at which a change of each takes effect. A host that is only in one
    /// of them is named by itself, not key by key.
    pub fn changes(&self, new: &Config) -> Vec<(String, Effect)> {
        let domains = |config: &Config| -> BTreeSet<String> {
            config
                .hosts
                .iter()
                .map(|host| host.domain.as_str().to_owned())
                .collect()
        };
        let (before, after) = (domains(self), domains(new));
        let mut changes = Vec::new();
        for gone in before.difference(&after) {
            // Its sessions go on, so it has to.
            changes.push((format!("host {gone} taken away"), Effect::Restart));
        }
        for fresh in after.difference(&before) {
            changes.push((format!("host {fresh}"), Effect::Live));
        }
        changes.extend(component::changes(&self.components, &new.components));
        changes.extend(external::changes(&self.services, &new.services));
        let in_both = |key: &Flat| {
            key.host
                .as_ref()
                .is_none_or(|host| before.contains(host) && after.contains(host))
        };
        let pick = |config: &Config| -> BTreeMap<String, (Option<String>, Effect)> {
            let keys = config.flat().into_iter().filter(in_both);
            keys.map(|key| (key.name, (key.value, key.effect)))
                .collect()
        };
        let (old, new) = (pick(self), pick(new));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let (was, is) = (old.get(name), new.get(name));
            if was.map(|key| &key.0) != is.map(|key| &key.0)
                && let Some((_, effect)) = is.or(was)
            {
                changes.push((name.clone(), *effect));
            }
        }
        changes
    }

    fn flat(&self) -> Vec<Flat> {
        let mut keys = Vec::new();
        let general = General {
            domain: self.hosts[0].domain.clone(),
            data_dir: self.data_dir.clone(),
            admins: self.admins.clone(),
        };
        flatten(&mut keys, None, &general);
        flatten(&mut keys, None, &self.listen);
        flatten(&mut keys, None, &self.http);
        flatten(&mut keys, None, &self.federation);
        flatten(&mut keys, None, &self.limits);
        flatten(&mut keys, None, &self.log);
        for host in &self.hosts {
            let name = Some(host.domain.as_str());
            flatten(&mut keys, name, &host.tls);
            flatten(&mut keys, name, &host.peers);
            flatten(&mut keys, name, &host.login);
            flatten(&mut keys, name, &host.registration);
            flatten(&mut keys, name, &host.archive);
            flatten(&mut keys, name, &host.upload);
            flatten(&mut keys, name, &host.rooms);
            flatten(&mut keys, name, &host.pubsub);
            flatten(&mut keys, name, &host.proxy);
            flatten(&mut keys, name, &host.contact);
            for (key, value) in host.modules.flat() {
                keys.push(Flat::new(name, &key, Some(value), Effect::Live));
            }
        }
        keys
    }
}

/// One key as changes are told by.
struct Flat {
    host: Option<String>,
    name: String,
    value: Option<String>,
    effect: Effect,
}

impl Flat {
    fn new(host: Option<&str>, key: &str, value: Option<String>, effect: Effect) -> Flat {
        Flat {
            host: host.map(str::to_owned),
            name: host.map_or_else(|| key.to_owned(), |host| format!("host {host}: {key}")),
            value,
            effect,
        }
    }
}

fn flatten<S: Section>(keys: &mut Vec<Flat>, host: Option<&str>, section: &S) {
    for ((name, value), key) in section.values().into_iter().zip(S::keys()) {
        let name = match S::TABLE {
            "" => name.to_owned(),
            table => format!("{table}.{name}"),
        };
        keys.push(Flat::new(host, &name, value, key.effect));
    }
}

impl Host {
    /// The domain of its rooms; `None` if it has none.
    pub fn rooms_domain(&self) -> Option<String> {
        let named = || self.rooms.domain.as_ref().map(|d| d.as_str().to_owned());
        let usual = || format!("rooms.{}", self.domain.as_str());
        self.rooms.enabled.then(|| named().unwrap_or_else(usual))
    }

    /// The domain of its service for nodes; `None` if it has none.
    pub fn nodes_domain(&self) -> Option<String> {
        let named = || self.pubsub.domain.as_ref().map(|d| d.as_str().to_owned());
        let usual = || format!("pubsub.{}", self.domain.as_str());
        self.pubsub.service.then(|| named().unwrap_or_else(usual))
    }

    /// The domain of its relay for streams of bytes; `None` if it has none.
    pub fn relay_domain(&self) -> Option<String> {
        let named = || self.proxy.domain.as_ref().map(|d| d.as_str().to_owned());
        let usual = || format!("proxy.{}", self.domain.as_str());
        self.proxy.enabled.then(|| named().unwrap_or_else(usual))
    }

    /// The domains of all its services.
    pub fn services(&self) -> impl Iterator<Item = String> {
        let services = [
            self.rooms_domain(),
            self.nodes_domain(),
            self.relay_domain(),
        ];
        services.into_iter().flatten()
    }

    fn read(reader: &mut Reader<'_>, shared: &Host, folder: &Path) -> Host {
        if !reader.has("domain") {
            reader.fault("", "every [[host]] needs its own domain");
        }
        let domain = reader.value("domain", &shared.domain, None);
        let mut tls = reader.section(&shared.tls);
        if (tls.certificate == shared.tls.certificate) != (tls.key == shared.tls.key) {
            reader.fault("tls", "set certificate and key together, or neither");
        }
        resolve(folder, &mut tls);
        Host {
            domain,
            tls,
            peers: reader.section(&shared.peers),
            login: reader.section(&shared.login),
            registration: reader.section(&shared.registration),
            archive: reader.section(&shared.archive),
            upload: reader.section(&shared.upload),
            rooms: reader.section(&Rooms {
                // Two hosts cannot share one.
                domain: None,
                ..shared.rooms.clone()
            }),
            pubsub: reader.section(&PubSub {
                domain: None,
                ..shared.pubsub.clone()
            }),
            proxy: reader.section(&Proxy {
                domain: None,
                ..shared.proxy.clone()
            }),
            contact: reader.section(&shared.contact),
            modules: reader.modules(&shared.modules),
        }
    }
}

/// A certificate is of no use without its key, nor the reverse.
fn check_pair(reader: &mut Reader<'_>, tls: &Tls) {
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => reader.fault("tls", "tls.certificate is set and tls.key is not"),
        (None, Some(_)) => reader.fault("tls", "tls.key is set and tls.certificate is not"),
        _ => {}
    }
}

fn resolve(folder: &Path, tls: &mut Tls) {
    for path in [&mut tls.certificate, &mut tls.key, &mut tls.ca_file] {
        *path = path.take().map(|path| folder.join(path));
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> Fault {
    let start = error.span().map_or(0, |span| span.start);
    let (line, column) = position(text, start);
    Fault {
        line,
        column,
        key: String::new(),
        message: format!("not TOML: {}", error.message().replace('\n', "; ")),
        nearest: None,
    }
}

#[cfg(test)]
mod tests;
