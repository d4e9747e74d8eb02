//! Channel bindings: what ties a login to the TLS connection it runs over (RFC 5056), the
//! announcement of them (XEP-0440 0.4.2) and the hash that shows a client that nobody shortened
//! the lists it was offered (XEP-0474 0.5.0).

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{Mechanism, ScramHash};

/// A kind of channel binding the server can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BindingKind {
    /// `tls-exporter` (RFC 9266).
    TlsExporter,
    /// `tls-server-end-point` (RFC 5929 §4).
    TlsServerEndPoint,
}

impl BindingKind {
    /// The registered name ("channel-binding unique prefix").
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    /// The kind with this name, if it is one the server can check.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::TlsExporter, Self::TlsServerEndPoint]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// XEP-0474 §5.1: the value of the `h` attribute of SCRAM's server-first-message, over the
/// mechanisms and (if any were announced) the channel bindings of the features as they were sent.
pub fn downgrade_hash(
    hash: ScramHash,
    mechanisms: impl IntoIterator<Item = Mechanism>,
    bindings: impl IntoIterator<Item = BindingKind>,
) -> String {
    let mut text = sorted(mechanisms.into_iter().map(Mechanism::name));
    let bindings = sorted(bindings.into_iter().map(BindingKind::name));
    if !bindings.is_empty() {
        text.push('\u{1f}');
        text.push_str(&bindings);
    }
    BASE64_STANDARD.encode(hash.digest(text.as_bytes()).as_slice())
}

/// In the order of "i;octet", with the delimiter of XEP-0474 between.
fn sorted(names: impl Iterator<Item = &'static str>) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.join("\u{1e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_downgrade_hash_is_that_of_the_example_in_xep_0474() {
        let hash = downgrade_hash(
            ScramHash::Sha1,
            [Mechanism::ScramSha1Plus, Mechanism::ScramSha1],
            [BindingKind::TlsServerEndPoint, BindingKind::TlsExporter],
        );
        assert_eq!(hash, "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    }

    #[test]
    fn without_bindings_the_downgrade_hash_covers_the_mechanisms_alone() {
        let hash = downgrade_hash(ScramHash::Sha256, [Mechanism::Plain], []);
        let expected = BASE64_STANDARD.encode(ScramHash::Sha256.digest(b"PLAIN").as_slice());
        assert_eq!(hash, expected);
    }

    #[test]
    fn binding_kinds_are_found_by_their_registered_names() {
        for kind in [BindingKind::TlsExporter, BindingKind::TlsServerEndPoint] {
            assert_eq!(BindingKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(BindingKind::from_name("tls-unique"), None);
    }
}
