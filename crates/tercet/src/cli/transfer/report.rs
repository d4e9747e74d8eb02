//! What became of what was in a file.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tercet_modules::portable::Section;

use super::walk::Place;
use crate::cli::output;

/// Different things that are named; of others only the number is told.
const NAMED: usize = 500;

/// What was taken, and what was not.
#[derive(Default)]
pub(super) struct Report {
    pub(super) accounts: u64,
    /// Accounts that were there already.
    pub(super) there: Vec<String>,
    /// Accounts that nobody can log in to by password.
    pub(super) locked: Vec<String>,
    taken: BTreeMap<Section, u64>,
    left: BTreeMap<(String, String), Left>,
    others: u64,
}

struct Left {
    times: u64,
    first: Place,
}

impl Report {
    /// A piece is taken.
    pub(super) fn take(&mut self, section: Section) {
        *self.taken.entry(section).or_default() += 1;
    }

    /// Something is left.
    pub(super) fn leave(&mut self, what: &str, why: String, place: &Place) {
        let key = (what.to_owned(), why);
        if self.left.len() >= NAMED && !self.left.contains_key(&key) {
            self.others += 1;
            return;
        }
        let left = self.left.entry(key).or_insert_with(|| Left {
            times: 0,
            first: place.clone(),
        });
        left.times += 1;
    }

    /// Whether all is taken.
    pub(super) fn is_all(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn print(&self, done: bool, json: bool) {
        if json {
            output::line(self.json(done));
            return;
        }
        let (would, number) = (if done { "" } else { "would be " }, self.accounts);
        output::line(format!("{number} accounts {would}imported."));
        for (section, count) in &self.taken {
            output::line(format!("  {count} {}", section.as_str()));
        }
        if !self.there.is_empty() {
            output::line(format!(
                "{} accounts were there already and stay as they are: {}",
                self.there.len(),
                some(&self.there)
            ));
        }
        if !self.locked.is_empty() {
            output::line(format!(
                "{} accounts have no password that works here, and need one (tercet user password): {}",
                self.locked.len(),
                some(&self.locked)
            ));
        }
        if !self.is_all() {
            output::line("Not taken:");
        }
        for ((what, why), left) in &self.left {
            let (times, first) = (left.times, &left.first);
            let line = format!("  {times} × {what}: {why} (first at {first})");
            // It has names from the file.
            output::line(line.replace(char::is_control, "\u{FFFD}"));
        }
        if self.others > 0 {
            output::line(format!("  {} other things", self.others));
        }
    }

    fn json(&self, done: bool) -> Value {
        let taken: BTreeMap<_, _> = self.taken.iter().collect();
        let left: Vec<_> = self
            .left
            .iter()
            .map(|((what, why), left)| {
                json!({
                    "what": what,
                    "why": why,
                    "times": left.times,
                    "file": left.first.file.display().to_string(),
                    "line": left.first.line,
                    "column": left.first.column,
                })
            })
            .collect();
        json!({
            "ok": true,
            "done": done,
            "accounts": self.accounts,
            "there": self.there,
            "without_password": self.locked,
            "taken": taken,
            "left": left,
            "left_unnamed": self.others,
        })
    }
}

/// The first of some names.
pub(super) fn some(names: &[String]) -> String {
    let mut text = names
        .iter()
        .take(10)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > 10 {
        text.push_str(", …");
    }
    text
}
