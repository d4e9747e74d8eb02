//! Accounts that are gone leave the nodes of services, before others take their names: nodes that were theirs alone go, from the
//! lists of others they are taken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tercet_core::{BareJid, StanzaError};
use tercet_server::{Role, Routed, Server, store_failure};
use tercet_store::Batch;

use super::node::{Affiliation, Member};
use super::place::Place;
use super::{Core, Service, records};

/// How long after the start it is looked for accounts that have gone, in milliseconds.
const SOON_MS: u64 = 10_000;

/// From now on, looks after the nodes of all services: those who went while the server did not run are looked for once.
pub fn keep_up(server: &Arc<Server>) {
    let soon = server.now_ms().saturating_add(SOON_MS);
    server.at(soon, |server| {
        let server = server.clone();
        Routed::later(async move { forget_all(&server, &[], true).await })
    });
}

/// An account is gone: it leaves the nodes of all services.
pub(super) fn on_removal(
    server: Arc<Server>,
    user: BareJid,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move { forget_all(&server, &[user], false).await })
}

async fn forget_all(server: &Arc<Server>, gone: &[BareJid], all: bool) {
    for core in services(server) {
        let done = forget(server, &core, gone, all).await;
        if let Err(error) = done {
            tracing::error!(%error, "accounts that are gone could not be taken off the lists of nodes");
        }
    }
}

fn services(server: &Server) -> Vec<Arc<Core>> {
    let hosts = server.hosts();
    let services = hosts
        .iter()
        .filter_map(|host| host.provided::<Service>().next());
    let services = services.map(|service| service.0.clone());
    services.filter(|core| core.role == Role::PubSub).collect()
}

/// Takes users off the nodes of one service; with `all`, everybody who would have an account here and has none.
async fn forget(
    server: &Arc<Server>,
    core: &Arc<Core>,
    gone: &[BareJid],
    all: bool,
) -> Result<(), StanzaError> {
    let Some(place) = Place::service(server, core) else {
        return Ok(());
    };
    let mut gone = gone.to_vec();
    if all {
        let joined = server.store().list(&records::JOINED, place.jid.as_str());
        let joined = joined.await.map_err(|e| store_failure(&e))?;
        let mut users: Vec<&str> = joined
            .iter()
            .filter_map(|(key, _)| records::first(key))
            .collect();
        users.dedup();
        for user in users.iter().filter_map(|user| BareJid::parse(user).ok()) {
            let ours = server
                .host(user.domain())
                .is_some_and(|host| host.has_accounts());
            let account = server.account(&user).await.map_err(|e| store_failure(&e))?;
            if ours && account.is_none() {
                gone.push(user);
            }
        }
    }
    for user in &gone {
        for (name, _) in place.joined(user.as_str()).await? {
            leave(&place, &name, user).await?;
        }
    }
    Ok(())
}

/// Takes a user off one node, which goes if nobody else owns it.
async fn leave(place: &Place, name: &str, user: &BareJid) -> Result<(), StanzaError> {
    let Some(node) = place.look(name).await? else {
        return Ok(());
    };
    let owns = node.lock().member(user.as_str()).affiliation == Affiliation::Owner;
    let owners = node.lock().owners().count();
    if owns && owners == 1 {
        super::create::delete(place, user, name, None).await?;
        return super::attachments::follow(place, name).await;
    }
    let _alone = node.changing.lock().await;
    let mut batch = Batch::new();
    let owner = place.jid.as_str();
    records::put_member(
        &mut batch,
        place.kinds,
        owner,
        name,
        user,
        &Member::default(),
    );
    place.commit(batch).await?;
    node.lock().members.remove(user);
    Ok(())
}
