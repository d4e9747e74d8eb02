//! Who wants to hear of which nodes (XEP-0060 §9.2, XEP-0163 §4.2): clients say so in their capabilities (XEP-0115), which are asked
//! for once and remembered by their hash.

pub mod caps;
pub mod clients;
pub mod offer;
pub mod remotes;

pub use clients::Clients;
pub use offer::{admitted, met, presented};
pub use remotes::Remotes;

use std::sync::Arc;

use tercet_server::Server;

/// What is known of clients, for all hosts of the server: beyond changes of the configuration.
pub fn clients(server: &Server) -> Arc<Clients> {
    server.kept("", Clients::default)
}
