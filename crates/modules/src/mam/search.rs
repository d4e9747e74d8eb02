//! XEP-0431: which messages a text is found in.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tercet_core::{BareJid, Stanza, StanzaError, ns};

use super::query::Query;

/// The feature.
pub(crate) const NS: &str = "urn:xmpp:fulltext:0";
/// The field of the query form.
pub(crate) const FIELD: &str = "{urn:xmpp:fulltext:0}fulltext";

/// Words of a search, beyond which the others do not count.
const WORDS: usize = 16;

/// What is looked for: all words, in any order.
pub(crate) struct Search(Vec<String>);

impl Search {
    pub(crate) fn new(text: &str) -> Search {
        Search(
            words(&text.to_lowercase())
                .take(WORDS)
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Whether an archived message is meant.
    pub(crate) fn finds(&self, message: &[u8]) -> bool {
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
pub(crate) struct Searching(Mutex<HashSet<BareJid>>);

/// A search that is under way, until it is dropped.
pub(crate) struct Turn<'a> {
    searching: &'a Searching,
    account: &'a BareJid,
}

impl Searching {
    /// The turn that a query takes if it searches.
    ///
    /// # Errors
    /// `resource-constraint`: another search of `account` is under way.
    pub(crate) fn turn<'a>(
        &'a self,
        query: &Query,
        account: &'a BareJid,
    ) -> Result<Option<Turn<'a>>, StanzaError> {
        let searches = query.filter.text.is_some();
        searches.then(|| self.begin(account)).transpose()
    }

    /// # Errors
    /// Another search of `account` is under way.
    pub(crate) fn begin<'a>(&'a self, account: &'a BareJid) -> Result<Turn<'a>, StanzaError> {
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
