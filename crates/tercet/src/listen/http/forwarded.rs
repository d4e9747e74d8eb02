//! Who a reverse proxy says its client is: `Forwarded` (RFC 7239), or the fields of the older custom.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{self, HeaderMap, HeaderName};

use crate::config::Network;

/// Proxies in a row.
const PROXIES: usize = 16;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What a request is like before the proxies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Whether it uses TLS, if that was said.
    pub(super) secure: Option<bool>,
    /// By which name, with a port if need be, if that was said.
    pub(super) authority: Option<String>,
}

/// The proxies say different things.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contradiction;

/// The client behind `peer`; none if `peer` is no proxy that is trusted, or says nothing.
///
/// # Errors
/// `Forwarded` and the older fields name different clients: one of them comes from the client itself, through a proxy that
/// does not know it.
pub(super) fn client(
    headers: &HeaderMap,
    peer: IpAddr,
    trusted: &[Network],
) -> Result<Option<Client>, Contradiction> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return Ok(None);
    }
    let standard = standard(headers, peer, is_trusted);
    let custom = custom(headers, peer, is_trusted);
    match (standard, custom) {
        (Some(one), Some(other)) if one.address != other.address => Err(Contradiction),
        (Some(one), Some(other)) => Ok(Some(Client {
            secure: one.secure.or(other.secure),
            authority: one.authority.or(other.authority),
            ..one
        })),
        (one, other) => Ok(one.or(other)),
    }
}

fn standard(
    headers: &HeaderMap,
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<Client> {
    let text = joined(headers, &header::FORWARDED)?;
    let mut client = Client {
        address: peer,
        secure: None,
        authority: None,
    };
    // RFC 7239 §4: each proxy adds what it sees at the end.
    for element in split(&text, ',').into_iter().rev().take(PROXIES) {
        // Each proxy knows how it was asked; the last word has the one that the client asked.
        client.secure = None;
        client.authority = None;
        let mut node = None;
        for pair in split(element, ';') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = unquoted(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => node = address(&value),
                "proto" => client.secure = scheme(&value),
                "host" => client.authority = Some(value),
                _ => {}
            }
        }
        match node {
            // RFC 7239 §6.2, §6.3: it does not say who.
            None => break,
            Some(address) => client.address = address,
        }
        if !is_trusted(client.address) {
            break;
        }
    }
    Some(client)
}

fn custom(
    headers: &HeaderMap,
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<Client> {
    let mut found = peer;
    let text = joined(headers, &FOR)?;
    for node in text.rsplit(',').take(PROXIES) {
        let Some(address) = address(node.trim()) else {
            break;
        };
        found = address;
        if !is_trusted(found) {
            break;
        }
    }
    let last = |name| {
        let text = joined(headers, name)?;
        Some(text.rsplit(',').next()?.trim().to_owned())
    };
    Some(Client {
        address: found,
        secure: last(&PROTO).and_then(|text| scheme(&text)),
        authority: last(&HOST),
    })
}

/// All fields of a name in one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values = headers.get_all(name).iter();
    let values: Option<Vec<&str>> = values.map(|value| value.to_str().ok()).collect();
    values
        .filter(|values| !values.is_empty())
        .map(|values| values.join(","))
}

/// Splits outside of quoted strings.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A token, or what a quoted string means.
fn unquoted(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let Some(inner) = inner else {
        return text.to_owned();
    };
    let mut meant = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => meant.extend(chars.next()),
            c => meant.push(c),
        }
    }
    meant
}

/// An address, maybe with a port (RFC 7239 §6.1, and `2001:db8::1` without brackets).
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match bracketed {
        Some(inner) => IpAddr::V6(inner.parse().ok()?),
        None => match text.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

fn scheme(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1";

    fn of(peer: &str, fields: &[(&'static str, &str)]) -> Result<Option<Client>, Contradiction> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| Network::parse(text).unwrap());
        client(&headers, peer.parse().unwrap(), &trusted)
    }

    fn address_of(fields: &[(&'static str, &str)]) -> String {
        of(PEER, fields).unwrap().unwrap().address.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let fields = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
        ];
        assert_eq!(of("192.0.2.9", &fields), Ok(None));
        assert_eq!(of(PEER, &[]), Ok(None));
        assert_eq!(address_of(&fields), "192.0.2.1");
        assert_eq!(address_of(&fields[..1]), "192.0.2.1");
        assert_eq!(address_of(&fields[1..]), "192.0.2.1");
        let mapped = of("::ffff:10.0.0.1", &fields).unwrap().unwrap();
        assert_eq!(mapped.address.to_string(), "192.0.2.1");
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("203.0.113.7, 192.0.2.1", "192.0.2.1"),
            ("203.0.113.7, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("192.0.2.1, 2001:db8:1::5", "192.0.2.1"),
            ("192.0.2.1, unknown", PEER),
            ("192.0.2.1, , 10.0.0.2", "10.0.0.2"),
            ("", PEER),
        ] {
            assert_eq!(address_of(&[("x-forwarded-for", text)]), expected, "{text}");
        }
        for (text, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:4711\";proto=http", "192.0.2.1"),
            ("for=203.0.113.7, for=192.0.2.1;by=10.0.0.1", "192.0.2.1"),
            ("for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("for=192.0.2.1, for=_hidden", PEER),
            ("for=192.0.2.1, proto=https", PEER),
            ("for=203.0.113.7;x=\"a, for=192.0.2.1\"", "203.0.113.7"),
            ("for=203.0.113.7;x=\"\\\", for=192.0.2.1\"", "203.0.113.7"),
            ("nonsense", PEER),
        ] {
            assert_eq!(address_of(&[("forwarded", text)]), expected, "{text}");
        }
        let twice = [
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(address_of(&twice), "192.0.2.1");
    }

    #[test]
    fn scheme_and_name_are_those_that_the_client_used() {
        let client = |secure, authority: Option<&str>| {
            let authority = authority.map(str::to_owned);
            let address = "192.0.2.1".parse().unwrap();
            Ok(Some(Client {
                address,
                secure,
                authority,
            }))
        };
        let forwarded =
            "for=192.0.2.1;proto=https;host=chat.example.org, for=10.0.0.2;proto=http;host=inside";
        assert_eq!(
            of(PEER, &[("forwarded", forwarded)]),
            client(Some(true), Some("chat.example.org"))
        );
        let fields = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "chat.example.org:8443"),
        ];
        assert_eq!(
            of(PEER, &fields),
            client(Some(true), Some("chat.example.org:8443"))
        );
        assert_eq!(of(PEER, &fields[..1]), client(None, None));
        let fields = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "gopher"),
        ];
        assert_eq!(of(PEER, &fields), client(None, None));
    }

    #[test]
    fn a_field_that_the_proxy_does_not_know_deceives_nobody() {
        let fields = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=127.0.0.1;proto=https"),
        ];
        assert_eq!(of(PEER, &fields), Err(Contradiction));
    }
}
