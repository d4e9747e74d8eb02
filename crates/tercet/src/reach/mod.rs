//! Finding and reaching other servers: from a domain to a socket.
//!
//! ```text
//! domain --> route of the configuration --------------------------.
//!        \-> SRV records, both sorts --> `plan` (order) --> targets --> A, AAAA --> `race` (when to try which) --> socket
//!        \-> none: the domain's own addresses, port 5269 ----------'
//! ```
//! [`plan`] and [`race`] are pure; [`lookup`] asks the DNS, [`road`] opens connections. What fails is an [`Unreachable`]
//! with the condition and the text that the senders of waiting stanzas get.
//!
//! - RFC 6120 §3.2: SRV records and the way without; RFC 2782: priority and weight.
//! - XEP-0368: records for TLS from the first byte stand in one order with the others.
//! - RFC 8305 and XEP-0495: addresses of both families in turns, the next before the last has failed.
//!
//! The answers of the DNS are believed for finding a server, not for knowing it: who answers there has to prove the domain
//! that was meant. With `federation.dnssec` they are validated, and TLSA records (DANE, [`dane`]) say which certificate it has.

mod dane;
mod failure;
mod lookup;
pub mod plan;
pub mod queue;
pub mod race;
mod road;
#[cfg(test)]
pub(crate) mod signed;
#[cfg(test)]
mod tests;

pub use failure::Unreachable;
pub(crate) use lookup::srv_name;
pub use lookup::{Reach, Srv};
pub use plan::{Plan, Service};
pub use road::{Reached, Road};
pub(crate) use road::{connect, told};
