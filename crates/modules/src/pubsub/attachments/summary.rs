//! What the attachments of an item come to (XEP-0470 §4.6).

use std::collections::BTreeSet;

use tercet_core::{OwnedElement, XmlWriter};

use super::{NS, NS_SUMMARY};

/// Bytes of a reaction that counts.
const REACTION: usize = 64;
/// Different reactions that are counted.
const REACTIONS: usize = 200;

/// The sum of attachments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Summary {
    noticed: u32,
    /// In the order in which they came first.
    reactions: Vec<(String, u32)>,
}

impl Summary {
    /// Adds what one publisher has attached.
    pub(super) fn add(&mut self, attachments: &[u8]) {
        let Ok(attachments) = OwnedElement::parse(attachments, NS) else {
            return;
        };
        let attachments = attachments.root();
        // XEP-0470 §4.7.3: how many have noticed it.
        self.noticed += u32::from(attachments.child("noticed", NS).is_some());
        // XEP-0470 §4.8.2: of one publisher the same reaction counts once.
        let mut own = BTreeSet::new();
        let all = attachments.child("reactions", NS);
        let all = all.into_iter().flat_map(|all| all.children());
        for reaction in all.filter(|one| one.is("reaction", NS)) {
            let text = reaction.text().trim().to_owned();
            if text.is_empty() || text.len() > REACTION || !own.insert(text.clone()) {
                continue;
            }
            let known = self.reactions.iter().position(|(known, _)| *known == text);
            match known {
                Some(place) => self.reactions[place].1 += 1,
                None if self.reactions.len() < REACTIONS => self.reactions.push((text, 1)),
                None => {}
            }
        }
    }

    /// The payload of the summary item.
    pub(super) fn payload(&self) -> Vec<u8> {
        let mut w = XmlWriter::new();
        w.start("summary").attr("xmlns", NS_SUMMARY);
        if self.noticed > 0 {
            w.leaf("noticed", &[("count", &self.noticed.to_string())]);
        }
        if !self.reactions.is_empty() {
            w.start("reactions");
            for (reaction, count) in &self.reactions {
                // XEP-0470 §4.8.2: a count where there is more than one.
                let count = (*count > 1).then(|| count.to_string());
                w.start("reaction")
                    .opt_attr("count", count.as_deref())
                    .text(reaction)
                    .end();
            }
            w.end();
        }
        w.end();
        w.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(all: &[&str]) -> String {
        let mut summary = Summary::default();
        for one in all {
            summary.add(format!("<attachments xmlns='{NS}'>{one}</attachments>").as_bytes());
        }
        String::from_utf8(summary.payload()).unwrap()
    }

    #[test]
    fn attachments_are_counted_once_for_each_publisher() {
        assert_eq!(
            sum(&[
                "<noticed/><reactions><reaction>👷</reaction><reaction>🔨</reaction></reactions>",
                "<noticed timestamp='2022-07-11T12:07:24Z'/><other xmlns='urn:x'/>",
                "<reactions><reaction>👷</reaction><reaction>👷</reaction></reactions>",
            ]),
            "<summary xmlns='urn:xmpp:pubsub-attachments:summary:1'><noticed count='2'/><reactions>\
             <reaction count='2'>👷</reaction><reaction>🔨</reaction></reactions></summary>"
        );
    }

    #[test]
    fn what_is_no_attachment_counts_for_nothing() {
        let long = format!(
            "<reactions><reaction>{}</reaction></reactions>",
            "a".repeat(65)
        );
        let empty = "<summary xmlns='urn:xmpp:pubsub-attachments:summary:1'/>";
        assert_eq!(sum(&[]), empty);
        let foreign = "<noticed xmlns='urn:x'/><reactions><reaction> </reaction></reactions>";
        assert_eq!(sum(&[&long, foreign]), empty);
        let mut summary = Summary::default();
        summary.add(b"<");
        assert_eq!(summary, Summary::default());
        let many: String = (0..REACTIONS + 5)
            .map(|n| format!("<reaction>{n}</reaction>"))
            .collect();
        let many = sum(&[&format!("<reactions>{many}</reactions>")]);
        assert_eq!(many.matches("<reaction>").count(), REACTIONS);
    }
}
