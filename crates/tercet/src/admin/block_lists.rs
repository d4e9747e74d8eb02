//! Block lists, for those who run the server.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tercet_core::{Jid, time};
use tercet_modules::block_lists;
use tercet_server::{AccountError, Server};

use super::operation::{Answer, Reason, Refusal};

/// A block list that a host has subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockList {
    /// The host.
    pub host: String,
    /// The list: service and node.
    pub list: String,
    /// How many it names.
    pub entries: usize,
    /// Whether it is being read just now.
    pub reading: bool,
    /// When it was last read or changed since the start, by XEP-0082.
    pub updated: Option<String>,
    /// What is wrong with it.
    pub error: Option<String>,
    /// Stanzas refused because of it since the start.
    pub refused: u64,
}

/// A block list that somebody is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockListed {
    /// The host that has subscribed to it.
    pub host: String,
    /// The list.
    pub list: String,
    /// Whether it names the whole domain.
    pub domain: bool,
    /// Why, in a word, if it says so.
    pub reason: Option<String>,
}

pub(super) async fn list(server: &Arc<Server>) -> Result<Answer, Refusal> {
    let lists = block_lists::show(server).await;
    let lists = lists.map_err(AccountError::Store)?;
    let lists = lists.into_iter().map(|list| BlockList {
        host: list.host,
        list: list.list.to_string(),
        entries: list.entries,
        reading: list.is_reading,
        updated: list.updated_ms.map(|ms| time::format(ms.cast_signed())),
        error: list.error,
        refused: list.refused,
    });
    Ok(Answer::BlockLists {
        lists: lists.collect(),
    })
}

pub(super) async fn check(server: &Arc<Server>, jid: &str) -> Result<Answer, Refusal> {
    let Ok(jid) = Jid::parse(jid) else {
        let text = format!("{jid:?} is no address");
        return Err(Refusal::new(Reason::Invalid, text));
    };
    let found = block_lists::find(server, &jid).await;
    let found = found.map_err(AccountError::Store)?;
    let found = found.into_iter().map(|found| BlockListed {
        host: found.host,
        list: found.list.to_string(),
        domain: found.is_domain,
        reason: Some(found.reason.as_str())
            .filter(|r| !r.is_empty())
            .map(str::to_owned),
    });
    Ok(Answer::BlockListed {
        found: found.collect(),
    })
}
