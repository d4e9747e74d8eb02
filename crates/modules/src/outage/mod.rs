//! XEP-0455 Service Outage Status 0.4.0: where clients read why they cannot get in. Gaps: none known.
//!
//! Those who run the server say what is wrong with a host; the answer to service discovery says where that can be read. It is a
//! page of the server's own unless `addresses` names others, which can be read even while the server is down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tercet_core::XmlWriter;
use tercet_core::forms::{Field, FieldType, Form};
use tercet_server::HostInfo;
use tercet_server::module::{Coverage, Module, Registrar, Target, Xep, xep};
use tercet_store::{Kind, Owner};

use crate::disco;

/// The namespace of the protocol, which is the form's type.
const NS: &str = "urn:xmpp:sos:0";

/// The outage of a host, as the JSON that clients read.
pub static OUTAGE: Kind = Kind {
    name: "outage",
    owner: Owner::Host,
    what: "what those who run the server say about an outage",
};

/// What is said about an outage (XEP-0455 §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Whether it was planned.
    pub planned: bool,
    /// About when it begins, by XEP-0082.
    pub beginning: String,
    /// About when it ends, by XEP-0082, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_end: Option<String>,
    /// Texts for people by language, and under `default` the one for all others; empty: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub message: BTreeMap<String, String>,
}

impl Outage {
    /// XEP-0455 §2.2: who says something says it to everybody.
    pub fn is_for_everybody(&self) -> bool {
        self.message.is_empty() || self.message.contains_key("default")
    }
}

/// The module's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the status can be read, instead of at the server itself.
    pub addresses: Vec<String>,
}

/// Tells where to read about outages.
pub struct Outages {
    addresses: Vec<String>,
}

impl Module for Outages {
    const NAME: &'static str = "outage";
    const XEPS: &'static [Xep] = &[xep(455, "0.4.0", Coverage::Complete)];
    type Config = Config;

    fn new(config: Config, host: &HostInfo) -> Self {
        let own = host.public_url.as_ref();
        let own = own.map(|url| format!("{url}/outage/{}", host.domain));
        Outages {
            addresses: match config.addresses.is_empty() {
                true => own.into_iter().collect(),
                false => config.addresses,
            },
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        let addresses = &r.module().addresses;
        if addresses.is_empty() {
            return;
        }
        // XEP-0455 §2.1: the addresses are a form in the answer about the host.
        let field = Field::new(FieldType::ListMulti, "external-status-addresses");
        let field = field.values(addresses.iter().map(String::as_str));
        let mut w = XmlWriter::new();
        Form::result(NS).field(field).write(&mut w);
        r.provide(Target::Host, disco::Form(w.finish()))
            .silent("a form in the answer about the host");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(config: &str, public_url: Option<&str>) -> Vec<String> {
        let host = HostInfo {
            domain: "shakespeare.lit".into(),
            public_url: public_url.map(str::to_owned),
            ..HostInfo::default()
        };
        Outages::new(toml::from_str(config).unwrap(), &host).addresses
    }

    #[test]
    fn the_status_is_where_the_settings_say_or_at_the_server_itself() {
        let own = Some("https://shakespeare.lit:5281");
        assert_eq!(
            addresses("", own),
            ["https://shakespeare.lit:5281/outage/shakespeare.lit"]
        );
        assert!(addresses("", None).is_empty());
        let elsewhere = "addresses = ['https://status.shakespeare.lit/']";
        assert_eq!(
            addresses(elsewhere, own),
            ["https://status.shakespeare.lit/"]
        );
        assert!(toml::from_str::<Config>("adresses = []").is_err());
    }
}
