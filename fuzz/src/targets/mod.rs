//! The targets, a file each.

mod same;
mod script;

pub(crate) mod bosh;
pub(crate) mod c2s_stream;
pub(crate) mod component;
pub(crate) mod grammar;
pub(crate) mod jid;
pub(crate) mod proxy_header;
pub(crate) mod rooms;
pub(crate) mod s2s_stream;
pub(crate) mod sasl;
pub(crate) mod socks;
pub(crate) mod stanza;
pub(crate) mod vcards;
pub(crate) mod websocket;
pub(crate) mod xml_framing;
