//! The queries, and what answers them.

use tercet_core::{Element, StanzaError, XmlWriter, time};
use tercet_server::External;
use tercet_server::module::Payload;

use super::{NS, Pass};

/// `<services type=''/>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicesQuery {
    /// Of what type they have to be.
    pub kind: Option<String>,
}

impl Payload for ServicesQuery {
    const NAME: &'static str = "services";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let kind = el.attr("type").map(|kind| kind.into_owned());
        Ok(ServicesQuery { kind })
    }
}

/// `<credentials><service host='' type=''/></credentials>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsQuery {
    host: String,
    kind: String,
    port: Option<u16>,
}

impl Payload for CredentialsQuery {
    const NAME: &'static str = "credentials";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let service = el.child("service", NS);
        let service = service.ok_or_else(StanzaError::bad_request)?;
        let attr = |name| service.attr(name).map(|value| value.into_owned());
        // XEP-0215 §3.3: both are required.
        let (Some(host), Some(kind)) = (attr("host"), attr("type")) else {
            return Err(StanzaError::bad_request().text("a service has a host and a type"));
        };
        let port = attr("port").map(|port| port.trim().parse());
        let port = port.transpose().map_err(|_| StanzaError::bad_request())?;
        Ok(CredentialsQuery { host, kind, port })
    }
}

impl CredentialsQuery {
    /// Whether it is about `service`.
    pub(super) fn means(&self, service: &External) -> bool {
        self.host.eq_ignore_ascii_case(&service.host)
            && self.kind == service.kind
            && self.port.is_none_or(|port| port == service.port)
    }
}

/// Writes `services` into an element of that name, each with what the user shows there.
pub(super) fn services<'a>(
    name: &str,
    kind: Option<&str>,
    services: impl Iterator<Item = (&'a External, Option<Pass>)>,
) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start(name).attr("xmlns", NS);
    if let Some(kind) = kind {
        w.attr("type", kind);
    }
    for (service, pass) in services {
        w.start("service").attr("type", service.kind);
        w.attr("host", &service.host);
        w.attr("port", &service.port.to_string());
        w.attr("transport", service.transport);
        if let Some(name) = &service.name {
            w.attr("name", name);
        }
        if let Some(pass) = pass {
            w.attr("restricted", "true");
            w.attr("username", &pass.username);
            w.attr("password", &pass.password);
            if let Some(expires_s) = pass.expires_s {
                // XEP-0215 §2: in UTC. The year 292 million is far.
                let ms = i64::try_from(expires_s.saturating_mul(1000)).unwrap_or(i64::MAX);
                w.attr("expires", &time::format(ms));
            }
        }
        w.end();
    }
    w.end();
    w.finish()
}
