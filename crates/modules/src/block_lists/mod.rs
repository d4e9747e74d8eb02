//! Block lists that others keep, over PubSub (XEP-0060): whoever is on one gets neither to strangers nor into rooms. No
//! specification; items are named as in `muc_bans_sha256` and `spam_source_domains`, which other servers read, too.
//!
//! A host subscribes to the lists of its settings, reads them whole, follows what is published and retracted, and reads them
//! again now and then, and when the list's server was away. Only what comes from the very service counts. A list that is not reached stays as it
//! was, also over a restart.
//!
//! An item's name is the SHA-256 of a bare JID or of a domain, in hexadecimal digits, or the address itself; a domain stands for all its
//! addresses, but not for those of domains below it. Whom a user knows (see `strangers`) is heard all the same, so is who has
//! an affiliation with a room there, and nobody of this server is ever listed.

mod entry;
mod event;
mod fetch;
mod lists;
mod show;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use tercet_core::{ErrorType, Jid, StanzaError};
use tercet_server::module::{
    Flow, HostMessages, Kinds, Module, OnReturn, OnStanza, Registrar, Side, Stage, StanzaCx,
    Target, UnknownCx, Xep,
};
use tercet_server::{HostInfo, Server};

use crate::strangers::{Known, is_addressed, knows};
use lists::Lists;

pub use fetch::{keep_up, reconfigured};
pub use lists::LISTED;
pub use show::{Finding, Shown, find, show};

/// A list: a node at a PubSub service, written `xmppbl.org/muc_bans_sha256`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Name {
    /// The service.
    pub service: Jid,
    /// The node.
    pub node: String,
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        let parts = text.split_once('/').filter(|(_, node)| !node.is_empty());
        let service = parts.and_then(|(service, _)| Jid::parse(service).ok());
        match (service, parts) {
            (Some(service), Some((_, node))) => Ok(Name {
                service,
                node: node.to_owned(),
            }),
            _ => Err(format!(
                "{text:?} is no list: it is written as SERVICE/NODE, such as \"xmppbl.org/muc_bans_sha256\""
            )),
        }
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Name, String> {
        text.parse()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.node)
    }
}

/// The settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The lists.
    pub lists: Vec<Name>,
    /// Entries of one list that are kept; more count for nothing.
    pub entries: usize,
    /// After how long a list is read again, in seconds; at least a minute.
    pub interval: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            lists: Vec::new(),
            entries: 100_000,
            interval: 3600,
        }
    }
}

/// Refuses whom block lists name.
pub struct BlockLists {
    guard: Guard,
    /// Its rooms ask; the host itself reads and follows the lists.
    is_service: bool,
}

impl Module for BlockLists {
    const NAME: &'static str = "block_lists";
    const XEPS: &'static [Xep] = &[];
    type Config = Config;

    fn new(config: Config, host: &HostInfo) -> Self {
        let domain = host.parent.as_ref().unwrap_or(&host.domain).clone();
        BlockLists {
            is_service: host.parent.is_some(),
            guard: Guard(Arc::new(Inner {
                domain,
                config,
                lists: OnceLock::new(),
            })),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        let module = r.module().clone();
        if module.guard.config().lists.is_empty() {
            return;
        }
        r.provide(Target::Host, module.guard.clone())
            .silent("others ask it");
        if module.is_service {
            return;
        }
        r.needs::<Known>();
        r.on(
            Kinds::MESSAGE | Kinds::PRESENCE,
            Side::Recipient,
            Stage::Policy,
        )
        .silent("who is refused is told so");
        r.provide(Target::Host, HostMessages(event::take))
            .silent("news of a list");
        r.provide(Target::Host, OnReturn(fetch::returned))
            .silent("nobody asks for it");
    }
}

/// The lists that hold for a host and for its services: each provides one, if there are any.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    /// The host that has subscribed.
    domain: String,
    config: Config,
    lists: OnceLock<Arc<Lists>>,
}

impl Guard {
    fn lists(&self, server: &Server) -> &Arc<Lists> {
        self.0
            .lists
            .get_or_init(|| server.kept(&self.0.domain, Lists::default))
    }

    fn config(&self) -> &Config {
        &self.0.config
    }

    /// The list that `jid` is on, unless it is somebody of this server.
    pub fn finds(&self, server: &Server, jid: &Jid) -> Option<Name> {
        let domain = jid.domain();
        if server.host(domain).is_some() || server.is_component(domain) {
            return None;
        }
        self.lists(server).find(jid)
    }

    /// What is done about somebody whom `list` names: it is counted, and there is a line in the log, one a minute for each sender.
    pub fn refused(&self, server: &Server, list: &Name, from: &Jid, to: &Jid) {
        if self
            .lists(server)
            .refused(list, from.bare_str(), server.now_ms())
        {
            tracing::info!(%from, %to, %list, "refused: the sender is on a block list");
        }
    }

    fn judge(&self, server: &Server, from: &Jid, to: &Jid, known: impl FnOnce() -> bool) -> Flow {
        let Some(list) = self.finds(server, from).filter(|_| !known()) else {
            return Flow::Continue;
        };
        self.refused(server, &list, from, to);
        let text = format!("you are on the block list {list}");
        let error = StanzaError::policy_violation().kind(ErrorType::Cancel);
        Flow::Bounce(error.text(text))
    }
}

impl OnStanza for BlockLists {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        if !is_addressed(cx.stanza) {
            return Flow::Continue;
        }
        let known = || knows(cx.account, cx.from);
        self.guard.judge(cx.server, cx.from, cx.to, known)
    }

    fn on_unknown(&self, cx: &UnknownCx<'_>) -> Flow {
        if !is_addressed(cx.stanza) {
            return Flow::Continue;
        }
        self.guard.judge(cx.server, cx.from, cx.to, || false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_service_and_a_node() {
        let name: Name = "XMPPbl.org/muc_bans/sha256".parse().unwrap();
        assert_eq!(name.service.as_str(), "xmppbl.org");
        assert_eq!(name.node, "muc_bans/sha256");
        assert_eq!(name.to_string(), "xmppbl.org/muc_bans/sha256");
        for bad in ["", "xmppbl.org", "xmppbl.org/", "/node", "a b@c@d/node"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_have_defaults_and_are_checked() {
        let config: Config = toml::from_str("lists = ['a.example/n']").unwrap();
        assert_eq!((config.lists.len(), config.entries), (1, 100_000));
        assert_eq!(config.interval, 3600);
        assert!(toml::from_str::<Config>("lists = ['a.example']").is_err());
        assert!(toml::from_str::<Config>("list = []").is_err());
    }
}
