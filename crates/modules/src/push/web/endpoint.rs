//! The address of a subscription at a push service.

use std::net::{IpAddr, Ipv6Addr};

/// Bytes that an address may have.
const BYTES: usize = 2048;

/// An `https` address (RFC 8030 §2: the push resource), taken apart. Nothing in it ends a line or a field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host: a domain name, or an IP address without brackets.
    pub host: String,
    /// The port, 443 where none is said.
    pub port: u16,
    /// Path and query, as they were given.
    pub path: String,
}

impl Endpoint {
    /// Reads an address. `None` if it is none, or one for another protocol, with a user or a fragment in it, or too long.
    pub fn parse(address: &str) -> Option<Endpoint> {
        // RFC 8030 §8: push resources are reached over HTTPS alone.
        let rest = address.strip_prefix("https://")?;
        if address.len() > BYTES || !address.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !path.starts_with('/') || path.contains('#') || authority.contains('@') {
            return None;
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                (host, port)
            }
            None => {
                let end = authority.find(':').unwrap_or(authority.len());
                let (host, port) = authority.split_at(end);
                if !is_name(host) {
                    return None;
                }
                (host, port)
            }
        };
        let port = match port {
            "" => 443,
            port => port.strip_prefix(':')?.parse().ok().filter(|p| *p > 0)?,
        };
        Some(Endpoint {
            host: host.to_ascii_lowercase(),
            port,
            path: path.to_owned(),
        })
    }

    /// The host as it stands in an address, with the port if it is not the usual one.
    pub fn authority(&self) -> String {
        let host = match self.host.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        match self.port {
            443 => host,
            port => format!("{host}:{port}"),
        }
    }

    /// What stands for the push service as a whole (RFC 6454 §6.2).
    pub fn origin(&self) -> String {
        format!("https://{}", self.authority())
    }
}

/// Whether it is a domain name with a dot in it, in ASCII, or an IPv4 address; no other spelling of an address is.
fn is_name(host: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let labels = || host.split('.');
    let fits = host.len() <= 253
        && labels().count() > 1
        && labels().all(|l| (1..=63).contains(&l.len()) && l.bytes().all(of_name));
    let last = labels().next_back().unwrap_or_default();
    let numeric = last.starts_with(|c: char| c.is_ascii_digit());
    fits && (!numeric || host.parse::<std::net::Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (address, authority, path) in [
            ("https://Push.example/v2/a?b=c", "push.example", "/v2/a?b=c"),
            ("https://push.example:443/", "push.example", "/"),
            (
                "https://push.example:8443/p/JzLQ3raZJfFBR0aq",
                "push.example:8443",
                "/p/JzLQ3raZJfFBR0aq",
            ),
            ("https://192.0.2.1/a", "192.0.2.1", "/a"),
            ("https://[2001:DB8::1]:1/a", "[2001:db8::1]:1", "/a"),
        ] {
            let endpoint = Endpoint::parse(address).expect(address);
            assert_eq!(endpoint.authority(), authority);
            assert_eq!(endpoint.origin(), format!("https://{authority}"));
            assert_eq!(endpoint.path, path);
        }
    }

    #[test]
    fn what_is_no_address_of_a_push_service_is_refused() {
        let long = format!("https://push.example/{}", "a".repeat(BYTES));
        for address in [
            "",
            "http://push.example/a",
            "HTTPS://push.example/a",
            "https://push.example",
            "https://push.example?a",
            "https://push.example/a#b",
            "https://push.example\\@other.example/",
            "https://user@push.example/a",
            "https://push.example:/a",
            "https://push.example:0/a",
            "https://push.example:65536/a",
            "https://push.example/a b",
            "https://push.example/a\r\nHost: b",
            "https://püsh.example/a",
            "https://push..example/a",
            "https://localhost/a",
            "https://2130706433/a",
            "https://0x7f.1/a",
            "https://127.1/a",
            "https://[127.0.0.1]/a",
            "https://[::1/a",
            "https://[::1]a/a",
            &long,
        ] {
            assert_eq!(Endpoint::parse(address), None, "{address}");
        }
    }
}
