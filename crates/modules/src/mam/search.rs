//! XEP-0431: which messages a text is found in.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tercet_core::{BareJid, Stanza, StanzaError, ns};

/// The feature.
pub(super) const NS: &str = "urn:xmpp:fulltext:0";
/// The field of the query form.
pub(super) const FIELD: &str = "{urn:xmpp:fulltext:0}fulltext";

/// Words of a search, beyond which the others do not count.
const WORDS: usize = 16;

/// What is looked for: all words, in any order.
pub(super) struct Search(Vec<String>);

impl Search {
    pub(super) fn new(text: &str) -> Search {
        Search(
            words(&text.to_lowercase())
                .take(WORDS)
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Whether an archived message is meant.
    pub(super) fn finds(&self, message: &[u8]) -> bool {
        let Ok(stanza) = Stanza::parse(message) else {
            return false;
        };
        let mut left: Vec<&str> = self.0.iter().map(String::as_str).collect();
        for body in stanza
            .children()
            .filter(|child| child.is("body", ns::CLIENT))
        {
            let text = body.parse().root().text().to_lowercase();
            for word in words(&text) {
                left.retain(|wanted| !word.starts_with(wanted));
            }
        }
        left.is_empty()
    }
}

/// The accounts that are searching now: each makes one search at a time, so that others need not wait for many of its own.
#[derive(Default)]
pub(super) struct Searching(Mutex<HashSet<BareJid>>);

/// A search that is under way, until it is dropped.
pub(super) struct Turn<'a> {
    searching: &'a Searching,
    account: &'a BareJid,
}

impl Searching {
    /// # Errors
    /// Another search of `account` is under way.
    pub(super) fn begin<'a>(&'a self, account: &'a BareJid) -> Result<Turn<'a>, StanzaError> {
        if !self.lock().insert(account.clone()) {
            return Err(StanzaError::resource_constraint().text("another search is under way"));
        }
        Ok(Turn {
            searching: self,
            account,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<BareJid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.searching.lock().remove(self.account);
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
}
