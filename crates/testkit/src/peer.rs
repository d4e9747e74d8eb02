//! What a transcript runs against.

use std::time::Duration;

use crate::Client;

/// A server, seen from its clients.
pub trait Peer {
    /// Takes lines of configuration (TOML) before anything else happens.
    ///
    /// # Errors
    /// A peer whose configuration is out of reach refuses.
    fn configure(&mut self, config: &str) -> Result<(), PeerError>;

    /// Opens a stream for `client`, authenticates, binds, and returns the full JID. The account exists, or is made.
    ///
    /// # Errors
    /// Whatever kept the client out.
    fn connect(&mut self, client: &Client) -> Result<String, PeerError>;

    /// Sends bytes on the stream of the client called `name`.
    ///
    /// # Errors
    /// The client is not connected, or the stream is broken.
    fn send(&mut self, name: &str, xml: &str) -> Result<(), PeerError>;

    /// What the client called `name` receives next. A peer in the same process answers at once; one behind a network waits as
    /// long as it thinks right before it says [`Arrival::Nothing`].
    ///
    /// # Errors
    /// The client was never connected, or what arrived is not XML.
    fn receive(&mut self, name: &str) -> Result<Arrival, PeerError>;

    /// The same where the script says that something comes: a peer behind a network waits for what others set off.
    ///
    /// # Errors
    /// As [`receive`](Peer::receive).
    fn expect(&mut self, name: &str) -> Result<Arrival, PeerError> {
        self.receive(name)
    }

    /// Closes the client's stream in good order.
    ///
    /// # Errors
    /// The client is not connected.
    fn disconnect(&mut self, name: &str) -> Result<(), PeerError>;

    /// Lets `by` pass on the server's clock, with all that falls due in it.
    ///
    /// # Errors
    /// A peer whose clock is out of reach refuses.
    fn advance(&mut self, by: Duration) -> Result<(), PeerError>;
}

/// One thing that a client receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// An element of the stream (a stanza, a stream error), as XML in which an undeclared default namespace is `jabber:client`
    /// and the prefix `stream` is known.
    Element(String),
    /// Nothing, for now.
    Nothing,
    /// The stream is closed.
    Closed,
}

/// Why a peer could not do what the script says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PeerError(pub String);

impl PeerError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        PeerError(text.into())
    }
}
