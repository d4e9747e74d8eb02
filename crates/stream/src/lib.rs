//! XMPP streams without IO: framing, negotiation, SASL and binding as state machines.
//!
//! **Invariant**: nothing here names a socket, a clock, a source of randomness, a TLS library or a
//! store. Time, random seeds and what TLS agreed on are arguments; whatever else a stream needs to
//! know it asks as a [`Question`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bosh;
pub mod c2s;
pub mod component;
pub mod proxy;
pub mod s2s;
pub mod sasl;
pub mod sm;
pub mod socks;
pub mod websocket;

mod framing;
mod header;
mod limits;
mod messages;
mod question;
mod random;
mod tls;

pub use c2s::{C2sConfig, C2sStream, Ending, HostConfig, Input, Output, StreamEvent, TlsPolicy};
pub use framing::Framing;
pub use messages::{Message, messages};
pub use question::{
    Answer, BindInline, Bound, NewToken, NotResumed, Password, Question, Resumed, Ticket, UserAgent,
};
pub use tls::{PeerCertificate, TlsInfo, TlsVersion};
