//! Services outside XMPP: their tables.

use std::path::Path;

use super::component::{Password, secret_in};
use super::keys::{ServiceKeys, ServiceKind, Transport};
use super::net::Place;
use super::section::{Effect, Reader, Section as _};
use super::{Domain, Host, Period, Port};

/// A service that users are told of.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// What it is.
    pub kind: ServiceKind,
    /// Where it is.
    pub address: Place,
    /// Its port.
    pub port: u16,
    /// How it is reached.
    pub transport: Transport,
    /// What it is called.
    pub name: Option<String>,
    /// How users get in.
    pub entry: ServiceEntry,
    /// Whose users are told of it; `None`: all.
    pub host: Option<Domain>,
}

/// How users get into a service.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceEntry {
    /// Nothing is asked for.
    Open,
    /// By passwords that are made from a secret, and hold for so long.
    Made(Password, Period),
    /// By a name and a password for all.
    Fixed(String, Password),
}

/// Reads the tables `[[service]]`. Those with faults are left out.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    text: &str,
    hosts: &[Host],
    folder: &Path,
) -> Vec<Service> {
    let mut services = Vec::new();
    for table in reader.tables(ServiceKeys::TABLE) {
        let mut inner = Reader::new(text, ServiceKeys::TABLE, table);
        services.extend(read(&mut inner, hosts, folder));
        reader.adopt(inner.finish());
    }
    services
}

fn read(reader: &mut Reader<'_>, hosts: &[Host], folder: &Path) -> Option<Service> {
    let keys = ServiceKeys::read(reader, &ServiceKeys::default());
    for key in ["kind", "address"] {
        if !reader.has(key) {
            reader.fault("", format!("every [[service]] needs its {key}"));
        }
    }
    let given = |key: &str, reader: &Reader<'_>| reader.has(key);
    let secret = match (keys.secret, keys.secret_file) {
        (Some(_), Some(_)) => {
            reader.fault("secret", "set secret or secret_file, not both");
            return None;
        }
        (None, Some(file)) => match secret_in(&folder.join(file)) {
            Ok(secret) => Some(secret),
            Err(reason) => {
                reader.fault("secret_file", reason);
                return None;
            }
        },
        (None, None) if given("secret", reader) || given("secret_file", reader) => return None,
        (secret, None) => secret,
    };
    let entry = match (secret, keys.username, keys.password) {
        (Some(secret), None, None) => ServiceEntry::Made(secret, keys.lifetime),
        (None, Some(username), Some(password)) => ServiceEntry::Fixed(username.0, password),
        (None, None, None) => ServiceEntry::Open,
        (Some(_), ..) => {
            reader.fault("secret", "set a secret, or username and password");
            return None;
        }
        _ => {
            reader.fault("username", "set username and password together, or neither");
            return None;
        }
    };
    if let Some(host) = &keys.host
        && hosts.iter().all(|served| served.domain != *host)
    {
        let reason = format!("{} is none of the domains that are served", host.as_str());
        reader.fault("host", reason);
        return None;
    }
    let (kind, address) = (keys.kind?, keys.address?);
    let tls = matches!(kind, ServiceKind::Stuns | ServiceKind::Turns);
    let port = match keys.port {
        None if tls => 5349,
        None => 3478,
        Some(Port::At(port)) if port > 0 => port,
        Some(_) => {
            reader.fault("port", "a service has a port");
            return None;
        }
    };
    let usual = if tls { Transport::Tcp } else { Transport::Udp };
    Some(Service {
        kind,
        address,
        port,
        transport: keys.transport.unwrap_or(usual),
        name: keys.name.map(|name| name.0),
        entry,
        host: keys.host,
    })
}

/// What has changed, and when it takes effect.
pub(super) fn changes(before: &[Service], after: &[Service]) -> Vec<(String, Effect)> {
    let missing = |from: &[Service], service: &Service| !from.contains(service);
    let mut changes: Vec<_> = before
        .iter()
        .filter(|service| missing(after, service))
        .chain(after.iter().filter(|service| missing(before, service)))
        .map(|service| {
            (
                format!("service {}", service.address.as_str()),
                Effect::Live,
            )
        })
        .collect();
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    changes.dedup();
    changes
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn a_service_has_the_usual_port_and_transport() {
        let text = "[[service]]\nkind = \"turn\"\naddress = \"turn.example.org\"\nsecret = \"north\"\n\
                    [[service]]\nkind = \"turns\"\naddress = \"192.0.2.1\"\nusername = \"a\"\npassword = \"b\"\n\
                    [[service]]\nkind = \"stun\"\naddress = \"2001:db8::1\"\nport = 1\ntransport = \"tcp\"\n";
        let (config, faults) = Config::parse(text, Path::new(""));
        assert_eq!(faults, []);
        let services: Vec<_> = config
            .services
            .iter()
            .map(|s| {
                (
                    s.kind.word(),
                    s.address.as_str(),
                    s.port,
                    s.transport.word(),
                )
            })
            .collect();
        assert_eq!(
            services,
            [
                ("turn", "turn.example.org", 3478, "udp"),
                ("turns", "192.0.2.1", 5349, "tcp"),
                ("stun", "2001:db8::1", 1, "tcp"),
            ]
        );
        let ServiceEntry::Made(secret, lifetime) = &config.services[0].entry else {
            panic!("made from the secret");
        };
        assert_eq!((secret.reveal(), lifetime.0), ("north", 86_400));
        // What is shown of a configuration has no secrets.
        let shown = format!("{:?}", config.services);
        assert!(
            !shown.contains("north") && !shown.contains("\"b\""),
            "{shown}"
        );
    }

    #[test]
    fn a_service_that_cannot_be_is_a_fault() {
        for (keys, key) in [
            ("address = \"a\"", "service"),
            ("kind = \"turn\"", "service"),
            ("kind = \"sip\"\naddress = \"a\"", "service.kind"),
            ("kind = \"turn\"\naddress = \"a b\"", "service.address"),
            ("kind = \"turn\"\naddress = \"a\"\nport = 0", "service.port"),
            (
                "kind = \"turn\"\naddress = \"a\"\nsecret = \"\"",
                "service.secret",
            ),
            (
                "kind = \"turn\"\naddress = \"a\"\nusername = \"u\"",
                "service.username",
            ),
            (
                "kind = \"turn\"\naddress = \"a\"\nsecret = \"s\"\nusername = \"u\"\npassword = \"p\"",
                "service.secret",
            ),
            (
                "kind = \"turn\"\naddress = \"a\"\nsecret_file = \"/nonexistent\"",
                "service.secret_file",
            ),
            (
                "kind = \"turn\"\naddress = \"a\"\nhost = \"other.example\"",
                "service.host",
            ),
        ] {
            let (config, faults) = Config::parse(&format!("[[service]]\n{keys}\n"), Path::new(""));
            let found: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
            assert_eq!(found, [key], "{keys}: {faults:?}");
            assert_eq!(config.services, [], "{keys}");
        }
    }
}
