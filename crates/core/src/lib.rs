//! The vocabulary of XMPP without any IO: addresses, XML, stanzas, errors and the grammar that extensions share.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod error;
pub mod grammar;
pub mod jid;
pub mod peers;
pub mod stanza;
pub mod xml;

pub use error::{
    Condition, ErrorType, SaslFailure, StanzaError, StreamCondition, StreamError,
    discreet_error_reply, error_reply, iq_result,
};
pub use grammar::{delay, forms, rsm, time};
pub use jid::{
    BareJid, FullJid, Jid, JidError, JidPart, ascii_domain, mint_local, mint_resource,
    nickname_key, prepare_domain, prepare_local, prepare_resource,
};
pub use peers::{DomainPattern, Peers};
pub use stanza::{
    Child, Edit, Head, IqType, MessageType, PresenceType, SharedStanza, Stanza, StanzaKind,
};
pub use xml::{
    Attribute, Element, Frame, Limits, OwnedElement, StreamHeader, StreamParser, XmlError,
    XmlWriter, escape_attr, escape_text, ns, parse_document,
};
