//! XEP-0431: which messages a text is found in.

use tercet_core::{Stanza, ns};

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

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
}
