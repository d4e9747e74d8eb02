//! Values that name places on the network.

use std::fmt;
use std::net::IpAddr;

use toml::Spanned;
use toml::de::DeValue;

use super::fault::Problem;
use super::value::{Domain, Value, from_string, quoted};

/// An IP address or a network, as in `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `10.0.0.1`, `10.0.0.0/8` or `2001:db8::/32`; no bit may be set behind the prefix.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = bits(address).1;
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        let network = Network { address, prefix };
        let fits = prefix <= longest && network.masked(address) == bits(address).0;
        fits.then_some(network)
    }

    /// Whether `address` is in it; an IPv4 address may come as one of IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && self.masked(address) == bits(self.address).0
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let (bits, length) = bits(address);
        let rest = u32::from(length.saturating_sub(self.prefix));
        bits.checked_shr(rest)
            .and_then(|kept| kept.checked_shl(rest))
            .unwrap_or(0)
    }
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix == bits(self.address).1 {
            true => self.address.fmt(f),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

impl Value for Network {
    fn expects() -> String {
        "an IP address, or a network such as \"10.0.0.0/8\"".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Network> {
        from_string(value, Network::expects(), problems, |text| {
            let message = || format!("{} is not {}", quoted(text), Network::expects());
            Network::parse(text).ok_or_else(message)
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

/// A machine that others connect to: a name, or an IP address without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// Reads `files.example.org`, `192.0.2.1` or `2001:db8::1`.
    pub fn parse(text: &str) -> Option<Place> {
        if let Ok(address) = text.parse::<IpAddr>() {
            // As RFC 5952 writes it.
            return Some(Place(address.to_string()));
        }
        let name = Domain::parse(text).ok()?;
        (!name.as_str().starts_with('[')).then(|| Place(name.as_str().to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Place {
    fn expects() -> String {
        "a name such as \"files.example.org\", or an IP address".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Place> {
        from_string(value, Place::expects(), problems, |text| {
            let message = || format!("{} is not {}", quoted(text), Place::expects());
            Place::parse(text).ok_or_else(message)
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_addresses_with_a_prefix() {
        let contains = |network: &str, address: &str| {
            let network = Network::parse(network).unwrap();
            network.contains(address.parse().unwrap())
        };
        for (network, address, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
        ] {
            assert_eq!(contains(network, address), expected, "{network} {address}");
        }
        for bad in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
            "localhost",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
        assert_eq!(
            Network::parse("10.0.0.0/8").unwrap().to_string(),
            "10.0.0.0/8"
        );
        assert_eq!(Network::parse("::1").unwrap().to_string(), "::1");
    }

    #[test]
    fn places_are_names_or_addresses() {
        let place = |text: &str| Place::parse(text).map(|place| place.0);
        for (text, expected) in [
            ("files.Example.org", Some("files.example.org")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("2001:DB8:0::1", Some("2001:db8::1")),
            ("[2001:db8::1]", None),
            ("files.example.org:7777", None),
            ("", None),
        ] {
            assert_eq!(place(text).as_deref(), expected, "{text}");
        }
    }
}
