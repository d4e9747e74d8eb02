//! What is wrong with a configuration, said so that it can be mended: file, line, key, reason, nearest known name.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// One fault in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in that line, from 1, in characters.
    pub column: usize,
    /// Full name of the key, as in `limits.stanza_bytes`; empty where the text is not even TOML.
    pub key: String,
    /// What is wrong, for people; starts in lower case, no full stop.
    pub message: String,
    /// The known key or value that looks most like what was written.
    pub nearest: Option<String>,
}

/// Why a configuration could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read at all.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// The file that was asked for.
        file: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The file was read and has these faults, ordered by place; never empty.
    #[error("{}", Listing(file, faults))]
    Faulty {
        /// The file.
        file: PathBuf,
        /// Every fault found.
        faults: Vec<Fault>,
    },
}

/// Prints faults one a line, as `file:line:column: key: reason`.
struct Listing<'a>(&'a PathBuf, &'a [Fault]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.1.len();
        let noun = if count == 1 { "fault" } else { "faults" };
        write!(f, "{count} {noun} in {}", self.0.display())?;
        for fault in self.1 {
            write!(
                f,
                "\n  {}:{}:{}: ",
                self.0.display(),
                fault.line,
                fault.column
            )?;
            if !fault.key.is_empty() {
                write!(f, "{}: ", fault.key)?;
            }
            f.write_str(&fault.message)?;
            if let Some(nearest) = &fault.nearest {
                write!(f, "; did you mean {nearest}?")?;
            }
        }
        Ok(())
    }
}

/// A fault before its place is turned into line and column.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Bytes of the file that are at fault.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// The known value that looks most like it.
    pub nearest: Option<String>,
}

impl Problem {
    /// A problem at `span` without a suggestion.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem {
            span,
            message: message.into(),
            nearest: None,
        }
    }
}

/// Line and column, both from 1, of byte `offset` in `text`; the end of the text when `offset` is beyond it.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The candidate closest to `word`, unless none is close: at most two edits, or a third of the word's length.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(edits, candidate)| edits <= bound && edits < candidate.chars().count())
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`, letter case aside.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognised_and_a_different_word_is_not() {
        let known = ["addresses", "c2s", "c2s_tls", "component"];
        assert_eq!(nearest("adresses", known), Some("addresses"));
        assert_eq!(nearest("addersses", known), Some("addresses"));
        assert_eq!(nearest("C2S_TLS", known), Some("c2s_tls"));
        assert_eq!(nearest("c2stls", known), Some("c2s_tls"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", ["ab"]), None);
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a = 1\nß = 2\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 6), (2, 1));
        assert_eq!(position(text, 8), (2, 2));
        assert_eq!(position(text, 999), (3, 1));
    }
}
