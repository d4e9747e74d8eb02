//! Where nodes are: at an account or at a service. What both have in common, and what tells them apart.

use std::sync::Arc;

use tercet_core::{BareJid, Jid, StanzaError};
use tercet_server::module::IqCx;
use tercet_server::{Account, NodeCreation, Server, store_failure};
use tercet_store::{Batch, StoreError};

use super::access::Asker;
use super::attachments::{Derived, is_derived};
use super::config::NodeConfig;
use super::node::{Affiliation, Node};
use super::records::{self, ACCOUNTS, Kinds, SERVICE};
use super::shelf::{Personal, Shelf};
use super::{Core, errors, leases};

/// An account or a service, with its nodes.
#[derive(Clone)]
pub struct Place {
    /// The server.
    pub server: Arc<Server>,
    /// The settings.
    pub core: Arc<Core>,
    /// Its address.
    pub jid: BareJid,
    /// The account, if it is one.
    pub account: Option<Arc<Account>>,
    /// Its nodes in memory.
    pub shelf: Arc<Shelf>,
    /// How its nodes are kept.
    pub kinds: &'static Kinds,
}

impl Place {
    /// The one that a request is for; an internal error if the account has no nodes, which is so where the module is off.
    pub fn of(cx: &IqCx<'_>, core: &Arc<Core>) -> Result<Place, StanzaError> {
        let place = match cx.account {
            Some(account) => Place::personal(cx.server, core, account),
            None => Place::service(cx.server, core),
        };
        place.ok_or_else(StanzaError::service_unavailable)
    }

    /// The nodes of an account.
    pub fn personal(
        server: &Arc<Server>,
        core: &Arc<Core>,
        account: &Arc<Account>,
    ) -> Option<Place> {
        Some(Place {
            server: server.clone(),
            core: core.clone(),
            jid: account.jid().clone(),
            shelf: account.slot::<Personal>()?.shelf.clone(),
            account: Some(account.clone()),
            kinds: &ACCOUNTS,
        })
    }

    /// The nodes of the service.
    pub fn service(server: &Arc<Server>, core: &Arc<Core>) -> Option<Place> {
        Some(Place {
            server: server.clone(),
            core: core.clone(),
            jid: BareJid::parse(&core.domain).ok()?,
            account: None,
            shelf: server.kept(&core.domain, Shelf::default),
            kinds: &SERVICE,
        })
    }

    /// What is kept of an account's nodes as a whole; `None` at a service.
    pub fn whole(&self) -> Option<&Personal> {
        self.account.as_ref()?.slot()
    }

    /// The names of an account's nodes; `None` at a service, which may have too many.
    pub async fn names(&self) -> Result<Option<Vec<Box<str>>>, StanzaError> {
        let Some(whole) = self.whole() else {
            return Ok(None);
        };
        let names = whole
            .names(self.server.store(), self.kinds, self.jid.as_str())
            .await;
        let names = names.map_err(|e| store_failure(&e))?;
        Ok(Some(names.keys().cloned().collect()))
    }

    /// The node of that name, if there is one.
    pub async fn look(&self, name: &str) -> Result<Option<Arc<Node>>, StanzaError> {
        let Some(node) = self.find(name).await? else {
            return Ok(None);
        };
        if let Some(derived) = Derived::read(self.jid.as_str(), name) {
            // What is beside a node is nothing without it.
            let Some(basis) = self.find(derived.target().unwrap_or_default()).await? else {
                return Ok(None);
            };
            node.rest_on(basis);
        }
        leases::end(self, &node).await?;
        Ok(Some(node))
    }

    /// The same, whether the node beside which it is is there or not.
    pub async fn find(&self, name: &str) -> Result<Option<Arc<Node>>, StanzaError> {
        let owner = self.jid.as_str();
        let found = self.shelf.find(&self.server, self.kinds, owner, name);
        found.await.map_err(|e| store_failure(&e))
    }

    /// The node of that name.
    ///
    /// # Errors
    /// `item-not-found` if there is none.
    pub async fn node(&self, name: &str) -> Result<Arc<Node>, StanzaError> {
        let found = self.look(name).await?;
        found.ok_or_else(StanzaError::item_not_found)
    }

    /// Makes `batch` durable. Nothing is written for an account that is being removed.
    pub async fn commit(&self, batch: Batch) -> Result<(), StanzaError> {
        let commit = {
            let state = self.account.as_ref().map(|account| account.lock());
            if state.is_some_and(|state| state.removed) {
                return Err(StanzaError::item_not_found());
            }
            self.server.store().commit(batch)
        };
        commit.await.map_err(|error| match error {
            StoreError::Exists => StanzaError::conflict(),
            error => store_failure(&error),
        })
    }

    /// Whether that is the user of the account.
    pub fn is_own(&self, jid: &Jid) -> bool {
        self.account.is_some() && jid.bare_str() == self.jid.as_str()
    }

    /// What somebody is to a node.
    pub fn affiliation(&self, node: &Node, jid: &Jid) -> Affiliation {
        match self.is_own(jid) {
            true => Affiliation::Owner,
            false => node.standing(jid.bare_str()).0,
        }
    }

    /// The node, if the sender owns it.
    ///
    /// # Errors
    /// `item-not-found` if there is none, `forbidden` if it is somebody else's.
    pub async fn owned(&self, name: &str, from: &Jid) -> Result<Arc<Node>, StanzaError> {
        let node = self.node(name).await?;
        match self.affiliation(&node, from) {
            Affiliation::Owner => Ok(node),
            _ => Err(StanzaError::forbidden()),
        }
    }

    /// The accounts whose rosters say who has access to a node.
    pub async fn hosts_of(&self, node: &Node) -> Result<Vec<Arc<Account>>, StanzaError> {
        use super::config::Access;
        if let Some(account) = &self.account {
            return Ok(vec![account.clone()]);
        }
        let owners: Vec<BareJid> = {
            let access = node.lock().config.access;
            match access {
                Access::Presence | Access::Roster => node.owners(),
                _ => Vec::new(),
            }
        };
        let mut accounts = Vec::new();
        for owner in &owners {
            let account = self.server.account(owner).await;
            accounts.extend(account.map_err(|e| store_failure(&e))?);
        }
        Ok(accounts)
    }

    /// What the rules look at, for somebody who wants something of a node.
    pub async fn asker(&self, node: &Node, from: &Jid) -> Result<Asker, StanzaError> {
        let hosts = self.hosts_of(node).await?;
        Ok(self.asker_among(node, &hosts, from))
    }

    /// The same, with the accounts of [`Place::hosts_of`].
    pub fn asker_among(&self, node: &Node, hosts: &[Arc<Account>], from: &Jid) -> Asker {
        let bare = from.bare_str();
        let config = node.lock().config.clone();
        let (affiliation, subscribed) = node.standing(bare);
        let mut asker = Asker {
            affiliation,
            subscribed,
            ..Asker::default()
        };
        if self.is_own(from) {
            asker.affiliation = Affiliation::Owner;
        }
        for host in hosts {
            let (sees, grouped) = standing(host, &config, bare);
            asker.sees_presence |= sees;
            asker.in_group |= grouped;
        }
        asker
    }

    /// Whether somebody may make nodes here.
    pub fn may_create(&self, from: &Jid) -> bool {
        if self.account.is_some() {
            return self.is_own(from);
        }
        let core = &self.core;
        match core.settings.creation {
            NodeCreation::Everybody => true,
            NodeCreation::Users => self
                .server
                .host(from.domain())
                .is_some_and(|host| host.has_accounts()),
            NodeCreation::Admins => core.admins.iter().any(|a| a.as_str() == from.bare_str()),
        }
    }

    /// Checks that one more node may be made.
    ///
    /// # Errors
    /// `policy-violation` if there are as many as there may be.
    pub async fn check_room(&self, from: &Jid) -> Result<(), StanzaError> {
        let most = self.core.settings.nodes;
        let count = match self.names().await? {
            // What is beside other nodes is counted for itself.
            Some(names) => names.iter().filter(|name| !is_derived(name)).count(),
            None => self
                .joined(from.bare_str())
                .await?
                .iter()
                .filter(|(_, member)| member.affiliation == Affiliation::Owner)
                .count(),
        };
        match count < most {
            true => Ok(()),
            false => Err(errors::max_nodes_exceeded()),
        }
    }

    /// What somebody is to the nodes of a service, by node.
    pub async fn joined(
        &self,
        bare: &str,
    ) -> Result<Vec<(String, super::node::Member)>, StanzaError> {
        let store = self.server.store();
        let joined = records::list(store, &records::JOINED, self.jid.as_str(), bare).await;
        let joined = joined.map_err(|e| store_failure(&e))?;
        let now_ms = self.server.now_ms();
        let read = |(node, value): (String, Vec<u8>)| {
            let mut member = records::read_member(&value)?;
            member.take_ended(now_ms);
            (!member.is_nobody()).then_some((node, member))
        };
        Ok(joined.into_iter().filter_map(read).collect())
    }

    /// The configuration of a node that nobody has configured.
    pub fn defaults(&self) -> NodeConfig {
        let config = match self.account {
            Some(_) => NodeConfig::personal(),
            None => NodeConfig::default(),
        };
        let most = self.core.settings.items;
        NodeConfig {
            max_items: config.max_items.map(|n| n.min(most)),
            ..config
        }
    }
}

/// Whether somebody sees the presence of `account`, and is in a group of its roster that has access.
pub fn standing(account: &Account, config: &NodeConfig, bare: &str) -> (bool, bool) {
    let state = account.lock();
    let sees = state.roster.subscription(bare).from;
    let item = state.roster.get(bare).filter(|_| sees);
    let grouped = item.is_some_and(|item| item.groups.iter().any(|g| config.allows_group(g)));
    (sees, grouped)
}
