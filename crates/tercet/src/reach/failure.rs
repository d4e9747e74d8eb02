//! Why a domain's server is out of reach.

use std::time::Duration;

use tercet_core::{Condition, StanzaError};

/// A domain's server cannot be reached now: what the senders of stanzas for it are told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Unreachable {
    /// `remote-server-not-found` if there is no such server, `remote-server-timeout` if there may be one.
    pub condition: Condition,
    /// For people: a sentence without a full stop. Names from outside are escaped.
    pub text: String,
    /// How long the DNS says that this will stay so.
    pub again_after: Option<Duration>,
}

impl Unreachable {
    /// There is no such server (RFC 6120 §8.3.3.15).
    pub fn not_found(text: impl Into<String>) -> Self {
        Unreachable {
            condition: Condition::RemoteServerNotFound,
            text: text.into(),
            again_after: None,
        }
    }

    /// No connection came about (RFC 6120 §8.3.3.16).
    pub fn timeout(text: impl Into<String>) -> Self {
        Unreachable {
            condition: Condition::RemoteServerTimeout,
            text: text.into(),
            again_after: None,
        }
    }

    /// The error for a stanza that waited.
    pub fn stanza_error(&self) -> StanzaError {
        StanzaError::new(self.condition).text(self.text.clone())
    }
}
