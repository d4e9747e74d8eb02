//! What has happened with other servers.

use std::sync::Arc;

use tercet_server::Server;

use super::operation::{Answer, Secret};
use crate::peers::Peers;

/// Other servers on one page.
const PAGE: usize = 200;

/// One of them, or a page of all.
pub(super) fn list(server: &Arc<Server>, domain: Option<&str>, after: Option<&str>) -> Answer {
    let peers = Peers::of(server);
    if let Some(domain) = domain {
        return Answer::Peers {
            peers: peers.show(domain).into_iter().collect(),
            next: None,
        };
    }
    let page = peers.list(after, PAGE);
    let next = page.last().filter(|_| page.len() == PAGE);
    Answer::Peers {
        next: next.map(|peer| peer.domain.clone()),
        peers: page,
    }
}

/// The secret of dialback keys.
pub(super) fn dialback_secret(server: &Arc<Server>) -> Answer {
    let secret = server.derive_secret(crate::listen::DIALBACK);
    let digits = secret.iter().map(|byte| format!("{byte:02x}"));
    Answer::DialbackSecret {
        secret: Secret::new(digits.collect()),
    }
}
