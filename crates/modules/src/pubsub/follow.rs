//! What other modules do with the nodes of accounts: publish in the user's name, and follow what is published.

use std::pin::Pin;
use std::sync::Arc;

use tercet_core::{Jid, StanzaError};
use tercet_server::{Account, Server, VHost};

use super::Core;
use super::place::Place;

/// The nodes of the host's accounts, as a value that other modules find.
pub struct Nodes(pub(super) Arc<Core>);

impl Nodes {
    /// The nodes of an account of `host`; `None` where accounts have none.
    pub fn of(host: &VHost, server: &Arc<Server>, account: &Arc<Account>) -> Option<Place> {
        let Nodes(core) = host.provided().next()?;
        Place::personal(server, core, account)
    }
}

/// Somebody who follows what clients do at some nodes of accounts: what is provided as this type is told.
pub struct Follower {
    /// The nodes.
    pub nodes: &'static [&'static str],
    /// Called after a change by a client, before it gets its answer: an item was published or taken back, the node was configured or
    /// deleted. What is then published in the user's name ([`publish_for_user`](super::publish::publish_for_user)) is told to
    /// subscribers alone, so followers never hear of each other.
    pub changed: Box<ChangedFn>,
}

/// See [`Follower::changed`]. Who has changed it comes behind the account's nodes, then the name of the node. The error is for the client.
pub type ChangedFn = dyn for<'a> Fn(&'a Place, &'a Jid, &'a str) -> ChangedFuture<'a> + Send + Sync;
/// See [`Follower::changed`].
pub type ChangedFuture<'a> = Pin<Box<dyn Future<Output = Result<(), StanzaError>> + Send + 'a>>;

/// Tells those who follow the node.
pub(super) async fn tell(
    host: &VHost,
    place: &Place,
    from: &Jid,
    node: &str,
) -> Result<(), StanzaError> {
    if place.account.is_none() {
        return Ok(());
    }
    for follower in host.provided::<Follower>() {
        if follower.nodes.contains(&node) {
            (follower.changed)(place, from, node).await?;
        }
    }
    Ok(())
}
