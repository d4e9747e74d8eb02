//! Transcripts: tests that read as a conversation.
//!
//! A transcript says who sends what and who receives what. The grammar is that of Scansion, with a few additions:
//!
//! ```text
//! # Blocking: the blocked contact sees unavailable presence
//!
//! # @config [blocking]
//! # @config enabled = true
//!
//! [Client] Romeo
//!     jid: romeo@localhost
//!     password: password
//!
//! [Client] Juliet
//!     jid: juliet@localhost/balcony
//!     password: password
//!
//! -----
//!
//! Romeo connects
//! Juliet connects
//!
//! Romeo sends:
//!     <message to="${Juliet's full JID}" type="chat">
//!         <body>Hello Juliet!</body>
//!     </message>
//!
//! Juliet receives:
//!     <message from="${Romeo's full JID}" to="${Juliet's full JID}" type="chat">
//!         <body>Hello Juliet!</body>
//!     </message>
//!
//! # @clock +5m
//!
//! Juliet receives nothing
//! Romeo disconnects
//! ```
//!
//! - A block is what is indented behind `sends:`, `receives:` or `receives in any order:`; it holds one or more stanzas.
//! - `${Romeo's full JID}` is the address bound at the connection, `${Romeo's JID}` the bare one, `${Romeo's resource}` the rest.
//! - `receives nothing` holds when no stanza waits; `is disconnected` when the server has closed the stream.
//! - `# @clock +1h30m` moves the clock of the server; `# @config LINE` is a line of its configuration. Other `#` lines are comments.
//!   Both need a server in the same process.
//!
//! XML is compared by meaning: the order of attributes, prefixes, quotes, and white space between elements do not count; the
//! order of children and character data do. A stanza must be complete: an attribute or child that the script does not show is a
//! difference. Four things relax this:
//!
//! - the value or text `{scansion:any}` stands for any;
//! - `scansion:strict="false"` on an element allows further attributes and children there;
//! - `xml:lang` on the stanza itself counts only where the script shows it;
//! - a `stanza-id` (XEP-0359) counts only where the script shows one beside it.
//!
//! The same script runs against any [`Peer`]: a server in the same process with a virtual clock, or one at the other end of a
//! TCP connection ([`TcpPeer`]).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod peer;
mod scram;
mod tcp;
mod transcript;

pub use peer::{Arrival, Peer, PeerError};
pub use tcp::TcpPeer;
pub use transcript::{Action, Client, Failure, ParseError, Step, Transcript};
