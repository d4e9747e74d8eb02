//! Components, for those who run the server.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tercet_core::time;
use tercet_server::Server;

use super::operation::Answer;
use crate::listen::{Figures, figures};

/// A component. Figures are those since the server's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentLine {
    /// Its domain.
    pub domain: String,
    /// The host that it belongs to.
    pub host: String,
    /// The name that users find it by; `None`: it is not listed.
    pub name: Option<String>,
    /// Since when it is connected, by XEP-0082.
    pub connected_since: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// How often it has connected.
    pub connections: u64,
    /// Stanzas that it has sent.
    pub received: u64,
    /// Stanzas that were written to it.
    pub sent: u64,
    /// Stanzas for it that went back to their senders.
    pub returned: u64,
    /// Stanzas that wait for it.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
}

pub(super) fn list(server: &Arc<Server>) -> Answer {
    let found = all(server).into_iter();
    let components = found.map(|(host, component, figures)| ComponentLine {
        domain: component.domain,
        host,
        name: Some(component.name).filter(|name| !name.is_empty()),
        connected_since: figures
            .connected
            .map(|connected| time::format(connected.since_ms.cast_signed())),
        address: figures.connected.map(|c| c.address.to_string()),
        connections: figures.connections,
        received: figures.received,
        sent: figures.sent,
        returned: figures.returned,
        waiting: figures.waiting as u64,
        waiting_bytes: figures.waiting_bytes as u64,
    });
    Answer::Components {
        components: components.collect(),
    }
}

/// The components of all hosts, with their host and what has happened with them, ordered by domain.
pub(super) fn all(server: &Arc<Server>) -> Vec<(String, tercet_server::Component, Figures)> {
    let mut all = Vec::new();
    for host in server.hosts() {
        for component in &host.info().components {
            let figures = figures(server, &component.domain).unwrap_or_default();
            all.push((host.domain().to_owned(), component.clone(), figures));
        }
    }
    all.sort_by(|a, b| a.1.domain.cmp(&b.1.domain));
    all
}
