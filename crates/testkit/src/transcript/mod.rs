//! A transcript: its parts, its grammar, and how it runs.

mod compare;
mod dialogue;
mod parse;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A script, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// Where it comes from, for messages.
    pub name: String,
    /// The clients, in the order in which they are introduced.
    pub clients: Vec<Client>,
    /// The lines of `# @config`, as TOML.
    pub config: String,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Someone who takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// What the script calls it.
    pub name: String,
    /// The bare JID.
    pub jid: String,
    /// The password; empty if the script gives none.
    pub password: String,
    /// The resource to ask for; `None` leaves it to the server.
    pub resource: Option<String>,
}

/// One line of the script, with its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The line in the file, from 1.
    pub line: usize,
    /// What happens there.
    pub action: Action,
}

/// What happens in a step. Clients are named by their place in [`Transcript::clients`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `Romeo connects`
    Connect(usize),
    /// `Romeo disconnects`
    Disconnect(usize),
    /// `Romeo sends:` and the XML, with its variables not yet filled in.
    Send(usize, String),
    /// `Romeo receives:` or `Romeo receives in any order:` and the XML.
    Receive {
        /// Who receives.
        client: usize,
        /// The stanzas, with their variables not yet filled in.
        xml: String,
        /// Whether the order in which they come counts.
        in_order: bool,
    },
    /// `Romeo receives nothing`
    ReceiveNothing(usize),
    /// `Romeo is disconnected`
    IsDisconnected(usize),
    /// `# @clock +5m`
    Clock(Duration),
}

/// Why a file is not a transcript.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}: {what}")]
pub struct ParseError {
    /// The file.
    pub name: String,
    /// The line in it, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl Transcript {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a transcript.
    pub fn load(path: &Path) -> Result<Self, ParseError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ParseError {
            name: name.clone(),
            line: 0,
            what: error.to_string(),
        })?;
        Self::parse(&name, &text)
    }
}

/// The place where a run and its script diverge. Its display is the dialogue up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file.
    pub name: String,
    /// The line of the step that failed.
    pub line: usize,
    /// What differs, in one sentence.
    pub what: String,
    /// All that was said until then; what was expected is marked `-`, what came instead `+`.
    pub dialogue: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}\n{}",
            self.name, self.line, self.what, self.dialogue
        )
    }
}

impl std::error::Error for Failure {}
