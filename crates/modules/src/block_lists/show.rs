//! The lists for those who run the server.

use std::sync::Arc;

use tercet_core::Jid;
use tercet_server::Server;
use tercet_store::StoreError;

use super::entry::{Reason, hashes};
use super::lists::{Lists, Phase};
use super::{Guard, Name};

/// The state of a list of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The host that has subscribed.
    pub host: String,
    /// The list.
    pub list: Name,
    /// How many it names.
    pub entries: usize,
    /// Whether it is being read.
    pub is_reading: bool,
    /// When it was last read or changed since the start, in milliseconds since 1970.
    pub updated_ms: Option<u64>,
    /// What is wrong with it.
    pub error: Option<String>,
    /// Stanzas that were refused because of it since the start, and occupants who had to leave.
    pub refused: u64,
}

/// Somebody on a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The host that has subscribed.
    pub host: String,
    /// The list.
    pub list: Name,
    /// Whether the domain is on it, and not only the address.
    pub is_domain: bool,
    /// Why.
    pub reason: Reason,
}

/// The lists of all hosts, in order.
///
/// # Errors
/// The store fails.
pub async fn show(server: &Arc<Server>) -> Result<Vec<Shown>, StoreError> {
    let mut all = Vec::new();
    for (host, names, lists) in of_hosts(server).await? {
        let mut state = lists.write();
        for name in names {
            let list = state.list(&name);
            all.push(Shown {
                host: host.clone(),
                entries: list.as_ref().map_or(0, |list| list.entries.len()),
                is_reading: list
                    .as_ref()
                    .is_some_and(|list| matches!(list.phase, Phase::Reading { .. })),
                updated_ms: list.as_ref().and_then(|list| list.updated_ms),
                error: list.as_ref().and_then(|list| list.error.clone()),
                refused: list.as_ref().map_or(0, |list| list.refused),
                list: name,
            });
        }
    }
    Ok(all)
}

/// The lists that an address is on.
///
/// # Errors
/// The store fails.
pub async fn find(server: &Arc<Server>, jid: &Jid) -> Result<Vec<Finding>, StoreError> {
    let mut all = Vec::new();
    for (host, names, lists) in of_hosts(server).await? {
        let mut state = lists.write();
        for name in names {
            let Some(list) = state.list(&name) else {
                continue;
            };
            let found = hashes(jid).enumerate();
            for (place, reason) in found.filter_map(|(p, h)| Some((p, *list.entries.get(&h)?))) {
                all.push(Finding {
                    host: host.clone(),
                    list: name.clone(),
                    is_domain: place == 1 || jid.local().is_none(),
                    reason,
                });
            }
        }
    }
    Ok(all)
}

type OfHost = (String, Vec<Name>, Arc<Lists>);

/// The lists of each host that has some, read from the store where that is not so yet.
async fn of_hosts(server: &Arc<Server>) -> Result<Vec<OfHost>, StoreError> {
    let mut all = Vec::new();
    for host in server.hosts().iter().filter(|host| host.has_accounts()) {
        if let Some(guard) = host.provided::<Guard>().next() {
            let lists = guard.lists(server);
            lists.load(server, host.domain()).await?;
            let names = guard.config().lists.clone();
            all.push((host.domain().to_owned(), names, lists.clone()));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}
