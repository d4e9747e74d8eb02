//! Components (XEP-0114): domains for which another process speaks, and which are this server's all the same.

use std::sync::Arc;

use super::Letter;
use crate::server::Server;

/// A component of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Component {
    /// Its domain, normalised.
    pub domain: String,
    /// A name for people, which the host's users find it by; empty where it is not listed.
    pub name: String,
}

/// Takes what is for components.
pub trait Components: Send + Sync {
    /// Whether an address of this domain is a component's, connected or not.
    fn has(&self, domain: &str) -> bool;

    /// Takes a stanza on its way, and does not wait. What cannot be brought there comes back by [`Server::undelivered`].
    /// Stanzas between the same two addresses go out in the order of the calls.
    fn send(&self, letter: Letter);
}

impl Server {
    /// Has `components` take what is for domains of components. A host goes before a component of the same name. Once only:
    /// false if there are some already.
    pub fn set_components(&self, components: Arc<dyn Components>) -> bool {
        self.ways().components.set(components).is_ok()
    }

    /// Whether a domain is a component's.
    pub fn is_component(&self, domain: &str) -> bool {
        let components = self.ways().components.get();
        components.is_some_and(|components| components.has(domain))
    }
}
