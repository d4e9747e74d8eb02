//! The names in a certificate, and which XMPP domains they stand for (RFC 6120 §13.7.1.2, RFC 6125 §6, RFC 9525 §6).
//!
//! Only structured fields count, never the subject. A certificate without names stands for nobody.

use std::net::IpAddr;

use tercet_core::prepare_domain;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDR: &str = "1.3.6.1.5.5.7.8.5";
/// id-on-dnsSRV (RFC 4985 §2).
const DNS_SRV: &str = "1.3.6.1.5.5.7.8.7";
/// RFC 6120 §13.7.1.2.1: the service that an SRVName names for streams between servers.
const SERVER_SERVICE: &str = "_xmpp-server.";

/// The tags of the two sorts of text in an otherName (X.680): UTF8String, IA5String.
const UTF8_STRING: u8 = 0x0c;
const IA5_STRING: u8 = 0x16;

/// The names that a certificate carries, as they are written there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// xmppAddr: addresses of accounts or domains.
    pub xmpp_addresses: Vec<String>,
    /// SRVName: a service and its domain, as in `_xmpp-server.example.org`.
    pub services: Vec<String>,
    /// dNSName: domains in A-labels, perhaps with a wildcard as the first label.
    pub dns: Vec<String>,
    /// iPAddress.
    pub addresses: Vec<IpAddr>,
}

impl CertificateNames {
    /// The names of a certificate in DER; none if it cannot be read.
    pub fn read(certificate: &[u8]) -> Self {
        match X509Certificate::from_der(certificate) {
            Ok((_, certificate)) => Self::of(&certificate),
            Err(_) => Self::default(),
        }
    }

    /// The names of `certificate`.
    pub fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let Ok(Some(extension)) = certificate.subject_alternative_name() else {
            return names;
        };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                GeneralName::OtherName(oid, value) => match oid.to_id_string().as_str() {
                    XMPP_ADDR => names.xmpp_addresses.extend(text(value, UTF8_STRING)),
                    DNS_SRV => names.services.extend(text(value, IA5_STRING)),
                    _ => {}
                },
                _ => {}
            }
        }
        names
    }

    /// Whether the certificate is for the server of `domain`, which is normalised (RFC 7622).
    pub fn cover(&self, domain: &str) -> bool {
        let other_than_address = || {
            self.xmpp_addresses.iter().any(|name| is(name, domain))
                || self.services.iter().any(|name| is_service(name, domain))
        };
        let is_address = domain.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        self.cover_web(domain) || !is_address && other_than_address()
    }

    /// Whether the certificate is for the web server `host`, a name or an IP address: names of other services count for nothing.
    pub fn cover_web(&self, host: &str) -> bool {
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            // RFC 9525 §6.5: an address is compared with addresses alone.
            return self.addresses.contains(&address);
        }
        self.dns.iter().any(|name| is_dns(name, host))
    }

    /// All names, for people.
    pub fn all(&self) -> Vec<String> {
        let mut all = self.dns.clone();
        let others = self.xmpp_addresses.iter().chain(&self.services).cloned();
        for name in others.chain(self.addresses.iter().map(IpAddr::to_string)) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }
}

/// Whether `name` and `domain` are one domain. Certificates have A-labels, ours are normalised: the same preparation
/// makes them alike (RFC 6125 §6.4.2). An account's address is no domain.
fn is(name: &str, domain: &str) -> bool {
    // XEP-0178 §3: the address of an account says nothing about the domain's server.
    !name.contains(['@', '/']) && prepare_domain(name).is_ok_and(|name| name == domain)
}

/// RFC 6125 §6.4: the service has to be ours, and the rest the domain.
fn is_service(name: &str, domain: &str) -> bool {
    let service = name.get(..SERVER_SERVICE.len());
    service.is_some_and(|service| service.eq_ignore_ascii_case(SERVER_SERVICE))
        && is(&name[SERVER_SERVICE.len()..], domain)
}

fn is_dns(name: &str, domain: &str) -> bool {
    let Some(parent) = name.strip_prefix("*.") else {
        return is(name, domain);
    };
    // RFC 9525 §6.3: a wildcard is the whole first label, and stands for exactly one label. One right below a
    // top-level domain stands for nothing.
    let Some((_, of_domain)) = domain.split_once('.') else {
        return false;
    };
    parent.contains('.') && !parent.contains('*') && is(parent, of_domain)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// The text of an otherName value: `[0] EXPLICIT` a string of that sort, and nothing behind it.
fn text(value: &[u8], tag: u8) -> Option<String> {
    let text = der_value(der_value(value, 0xa0)?, tag)?;
    String::from_utf8(text.to_vec()).ok()
}

/// The contents of the one DER element `bytes` consists of, if it has this tag.
fn der_value(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    if head[0] != tag {
        return None;
    }
    // A JID has at most 3071 bytes: lengths of one or two bytes are enough.
    let (length, contents) = match head[1] {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (
            usize::from(u16::from_be_bytes(*rest.first_chunk()?)),
            rest.get(2..)?,
        ),
        _ => return None,
    };
    (contents.len() == length).then_some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(names: &[&str]) -> CertificateNames {
        CertificateNames {
            dns: names.iter().map(|name| (*name).to_owned()).collect(),
            ..CertificateNames::default()
        }
    }

    #[test]
    fn a_wildcard_is_the_whole_first_label_and_stands_for_one_label() {
        for (name, domain, covered) in [
            ("example.org", "example.org", true),
            ("EXAMPLE.org", "example.org", true),
            ("example.org", "chat.example.org", false),
            ("*.example.org", "chat.example.org", true),
            ("*.Example.ORG", "chat.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "a.b.example.org", false),
            ("c*.example.org", "chat.example.org", false),
            ("chat.*.org", "chat.example.org", false),
            ("*.*.org", "chat.example.org", false),
            ("*.org", "example.org", false),
            ("*", "org", false),
            ("*.", "org", false),
            ("", "example.org", false),
            // A-labels in the certificate, the normalised form in the address.
            ("xn--bcher-kva.example", "bücher.example", true),
            ("*.xn--bcher-kva.example", "chat.bücher.example", true),
            ("*.example.org", "bücher.example.org", true),
            ("xn--b*.example", "bücher.example", false),
            // An address is no name.
            ("192.0.2.1", "192.0.2.1", false),
        ] {
            assert_eq!(dns(&[name]).cover(domain), covered, "{name} {domain}");
        }
    }

    #[test]
    fn an_xmpp_address_counts_for_a_domain_and_never_for_one_of_its_accounts() {
        let names = |address: &str| CertificateNames {
            xmpp_addresses: vec![address.to_owned()],
            ..CertificateNames::default()
        };
        assert!(names("example.org").cover("example.org"));
        assert!(names("bücher.example").cover("bücher.example"));
        for wrong in ["juliet@example.org", "example.org/x", "*.example.org", ""] {
            assert!(!names(wrong).cover("example.org"), "{wrong}");
            assert!(!names(wrong).cover("chat.example.org"), "{wrong}");
        }
    }

    #[test]
    fn a_service_name_counts_for_streams_between_servers_alone() {
        let names = |service: &str| CertificateNames {
            services: vec![service.to_owned()],
            ..CertificateNames::default()
        };
        assert!(names("_xmpp-server.example.org").cover("example.org"));
        assert!(names("_XMPP-Server.example.org").cover("example.org"));
        for wrong in [
            "_xmpp-client.example.org",
            "_xmpp-server.example.net",
            "_xmpp-server.*.org",
            "example.org",
            "_xmpp-server",
            "ü_xmpp-server.example.org",
        ] {
            assert!(!names(wrong).cover("example.org"), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_compared_with_addresses() {
        let names = CertificateNames {
            addresses: vec![[192, 0, 2, 1].into(), IpAddr::V6(1.into())],
            ..CertificateNames::default()
        };
        assert!(names.cover("192.0.2.1"));
        assert!(names.cover("[::1]"));
        assert!(!names.cover("192.0.2.2"));
        assert!(!names.cover("example.org"));
    }

    #[test]
    fn text_in_other_names_is_taken_whole_or_not_at_all() {
        let value = [0xa0, 4, UTF8_STRING, 2, b'a', b'b'];
        assert_eq!(text(&value, UTF8_STRING).as_deref(), Some("ab"));
        assert_eq!(text(&value, IA5_STRING), None);
        let value_5 = [0xa0, 4, IA5_STRING, 2, b'a', b'b'];
        assert_eq!(text(&value_5, IA5_STRING).as_deref(), Some("ab"));
        for end in 0..value.len() {
            assert_eq!(text(&value[..end], UTF8_STRING), None);
        }
        assert_eq!(
            text(&[0xa0, 4, UTF8_STRING, 2, 0xff, b'b'], UTF8_STRING),
            None
        );
    }
}
