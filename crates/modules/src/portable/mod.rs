//! XEP-0227 Portable Import/Export Format for XMPP-IM Servers 1.1: an account with its SCRAM keys, contacts and their requests, vCard,
//! private data, block list (as a privacy list), waiting messages, nodes with their items, and archive. Gaps: of privacy lists of
//! other servers only what blocks addresses is taken; uploaded files, registered devices and logins of clients stay where they are.
//!
//! `export` writes an account, a page at a time. `reader` finds the pieces of accounts in a file, however big, and `incoming` makes
//! of the pieces of one account what is to be written; neither has anything of an account in memory that can be without end.

pub mod export;
pub mod incoming;
mod nodes;
mod privacy;
pub mod reader;
#[cfg(test)]
mod tests;

pub use export::{Cursor, page};
pub use incoming::Incoming;
pub use reader::{Event, Reader};

use serde::{Deserialize, Serialize};
use tercet_server::HostInfo;
use tercet_server::module::{Coverage, Module, Registrar, Target, Xep, xep};

/// The namespace of the format.
pub const NS: &str = "urn:xmpp:pie:0";
/// That of SCRAM keys.
const NS_SCRAM: &str = "urn:xmpp:pie:0#scram";
/// That of archives.
const NS_MAM: &str = "urn:xmpp:pie:0#mam";
/// That of privacy lists (XEP-0016).
const NS_PRIVACY: &str = "jabber:iq:privacy";
/// That of `<include/>`.
const NS_INCLUDE: &str = "http://www.w3.org/2001/XInclude";

/// The most bytes of one piece of an account.
pub const PIECE_BYTES: usize = 1 << 20;

/// What a piece of an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// SCRAM keys of one mechanism.
    Credentials,
    /// A contact.
    Contact,
    /// A contact's request.
    Request,
    /// The vCard.
    Card,
    /// An element of private data.
    Private,
    /// Privacy lists, of which the default one counts.
    Privacy,
    /// A block list (XEP-0191).
    Blocked,
    /// What is to be archived (XEP-0441).
    ArchivePrefs,
    /// A message that waits.
    Offline,
    /// How a node is configured.
    Node,
    /// Who is on its list.
    Affiliations,
    /// Who is subscribed to it.
    Subscriptions,
    /// An item of it.
    Item,
    /// An archived message.
    Archived,
}

impl Section {
    /// What people call several of them.
    pub fn as_str(self) -> &'static str {
        match self {
            Section::Credentials => "SCRAM keys",
            Section::Contact => "contacts",
            Section::Request => "requests of contacts",
            Section::Card => "vCards",
            Section::Private => "private elements",
            Section::Privacy => "privacy lists",
            Section::Blocked => "block lists",
            Section::ArchivePrefs => "archive preferences",
            Section::Offline => "waiting messages",
            Section::Node => "nodes",
            Section::Affiliations => "lists of affiliations",
            Section::Subscriptions => "lists of subscriptions",
            Section::Item => "items",
            Section::Archived => "archived messages",
        }
    }
}

/// A piece of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// What it is.
    pub section: Section,
    /// Of which node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The element, which means the same wherever it stands.
    pub xml: String,
}

/// That accounts can be taken along.
struct Format;

/// The format itself has no protocol: the command line writes and reads it.
pub struct Portable;

impl Module for Portable {
    const NAME: &'static str = "portable";
    const XEPS: &'static [Xep] = &[xep(227, "1.1", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Portable
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.provide(Target::Host, Format)
            .silent("it is a format of files, not a protocol");
    }
}
