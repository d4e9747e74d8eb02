//! Values that say where other servers are, and which.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use tercet_core::DomainPattern;
use toml::Spanned;
use toml::de::DeValue;

use super::fault::Problem;
use super::value::{Value, from_string, quoted};
use crate::reach::Service;

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// A DNS server, as in `127.0.0.1` or `127.0.0.1:5353`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameServer(pub SocketAddr);

impl Value for NameServer {
    fn expects() -> String {
        "an IP address, with a port if it is not 53, such as \"127.0.0.1:5353\"".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<NameServer> {
        from_string(value, NameServer::expects(), problems, |text| {
            let plain = text.parse::<IpAddr>();
            let address = plain.map(|address| SocketAddr::new(address, DNS_PORT));
            let address = address.or_else(|_| text.parse());
            address
                .map(NameServer)
                .map_err(|_| format!("{} is not {}", quoted(text), NameServer::expects()))
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.0.to_string()))
    }
}

/// Where the server of a domain is, whatever the DNS says: `example.org=192.0.2.1:5269`, or with TLS from the first byte
/// `example.org=tls:xmpp.example.net:5270`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The domain, normalised.
    pub domain: String,
    /// An address, or a name in A-labels.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Whether TLS begins with the first byte.
    pub direct: bool,
}

impl Route {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Route> {
        let (domain, place) = text.split_once('=')?;
        let domain = tercet_core::prepare_domain(domain.trim()).ok()?;
        let place = place.trim();
        let (direct, place) = match place.strip_prefix("tls:") {
            Some(rest) => (true, rest),
            None => (false, place),
        };
        let (host, port) = place.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(six) => six.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
            None => {
                let name = tercet_core::prepare_domain(host).ok()?;
                tercet_core::ascii_domain(&name)?.into_owned()
            }
        };
        Some(Route {
            domain: domain.into_owned(),
            host,
            port,
            direct,
        })
    }

    /// The one service that it stands for.
    pub fn service(&self) -> Service {
        Service {
            priority: 0,
            weight: 0,
            host: self.host.as_str().into(),
            port: self.port,
            direct: self.direct,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.direct { "tls:" } else { "" };
        match self.host.contains(':') {
            true => write!(f, "{}={tls}[{}]:{}", self.domain, self.host, self.port),
            false => write!(f, "{}={tls}{}:{}", self.domain, self.host, self.port),
        }
    }
}

impl Value for Route {
    fn expects() -> String {
        "a domain and its server's place, such as \"example.org=192.0.2.1:5269\" or \"example.org=tls:192.0.2.1:5270\"".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Route> {
        from_string(value, Route::expects(), problems, |text| {
            let message = || format!("{} is not {}", quoted(text), Route::expects());
            Route::parse(text).ok_or_else(message)
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for DomainPattern {
    fn expects() -> String {
        "a domain such as \"example.org\", or \"*.example.org\" for all below it, or \"*\" for all"
            .into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<DomainPattern> {
        from_string(value, DomainPattern::expects(), problems, |text| {
            let message = || format!("{} is not {}", quoted(text), DomainPattern::expects());
            DomainPattern::parse(text).ok_or_else(message)
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Value>(text: &str) -> Option<T> {
        let toml = quoted(text);
        T::read(&DeValue::parse(&toml).unwrap(), &mut Vec::new())
    }

    #[test]
    fn a_name_server_has_port_53_unless_it_says_another() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ] {
            let server = read::<NameServer>(text).unwrap();
            assert_eq!(server.0.to_string(), expected);
            assert_eq!(read(&server.0.to_string()), Some(server));
        }
        for bad in ["", "localhost", "192.0.2.1:", "192.0.2.1:x"] {
            assert_eq!(read::<NameServer>(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_list_of_domains_holds_domains_and_those_below_one() {
        for (text, written) in [("A.example", "a.example"), ("*.a.example", "*.a.example")] {
            let pattern = read::<DomainPattern>(text).unwrap();
            assert_eq!(pattern.write().unwrap(), quoted(written));
        }
        assert_eq!(read::<DomainPattern>("a@b"), None);
    }

    #[test]
    fn a_route_is_read_as_it_is_written() {
        for (text, written) in [
            ("a.example=192.0.2.1:5269", "a.example=192.0.2.1:5269"),
            (
                "A.example = tls:b.example:5270",
                "a.example=tls:b.example:5270",
            ),
            ("a.example=[2001:DB8::1]:1", "a.example=[2001:db8::1]:1"),
            ("ü.example=ü.example:1", "ü.example=xn--tda.example:1"),
        ] {
            let route = read::<Route>(text).unwrap();
            assert_eq!(route.to_string(), written);
            assert_eq!(read(written), Some(route));
        }
        for bad in [
            "",
            "a.example",
            "a.example=",
            "=b:1",
            "a=b",
            "a=b:0",
            "a=b:65536",
            "a@b=c:1",
        ] {
            assert_eq!(read::<Route>(bad), None, "{bad}");
        }
    }
}
