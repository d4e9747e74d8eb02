//! Virtual hosts, routing, sessions, accounts and the interface for extensions. No sockets, no TLS.
//!
//! A stanza enters through [`Server::accept`], passes the stages that the modules of its sender's host have registered, and is
//! appended to the outboxes of those whom RFC 6121 §8 names, after the stages of the addressee's host.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod account;
mod agenda;
mod asked;
pub mod module;
mod outbox;
pub mod roster;
mod route;
mod server;
mod session;
mod settings;
mod settlement;
mod vhost;

pub use account::{
    Account, AccountError, AccountRecord, AccountState, Arrival, ClientRecord, Revocation,
    TokenLogin,
};
pub use asked::Answered;
pub use outbox::{
    Acked, Announcement, Announcements, Hold, HoldRule, Outbox, Receipt, Taken, TooHigh, Watch,
};
pub use route::{
    Access, Component, Components, Delegated, Elsewhere, Fanout, Handed, Letter, Paced, Resumed,
    Routed, UnderWay,
};
pub use server::{Clock, KINDS, Server, store_failure};
pub use session::Session;
pub use settings::{
    Archiving, Bytestreams, Entry, External, HostInfo, Invitations, Limits, NodeCreation, PubSub,
    Registration, Role, RoomCreation, RoomDefaults, Rooms, Secret, Uploads,
};
pub use vhost::{HostBuilder, VHost};
