//! What rooms say about occupants: `<x/>` of `muc#user`, and presence with it.

use std::sync::LazyLock;

use tercet_core::{Jid, SharedStanza, Stanza, StanzaKind, XmlWriter};

use super::affiliation::{Affiliation, Role};
use super::occupant::{Occupant, Presentee};
use super::status::Status;

/// The namespace of what rooms tell users.
pub const USER: &str = "http://jabber.org/protocol/muc#user";

/// What the stages of recipients are shown for presence of a room.
pub static PRESENCE: LazyLock<Stanza> =
    LazyLock::new(|| Stanza::parse(b"<presence/>").expect("a constant"));

/// What the stages of recipients are shown for messages of a room itself.
pub static MESSAGE: LazyLock<Stanza> =
    LazyLock::new(|| Stanza::parse(b"<message type='groupchat'/>").expect("a constant"));

/// An `<item/>`.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The affiliation.
    pub affiliation: Affiliation,
    /// The role.
    pub role: Role,
    /// The real address, for those who may see it.
    pub jid: Option<&'a Jid>,
    /// A nick: the next one in a change.
    pub nick: Option<&'a str>,
    /// Why, and by whom.
    pub cause: Cause<'a>,
}

/// Why an occupant's state changed, and by whom: in no more words than everybody may see.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cause<'a> {
    /// The nick of who did it.
    pub actor: Option<&'a str>,
    /// The reason given.
    pub reason: Option<&'a str>,
    /// What features say of it: elements beside the item.
    pub more: &'a [u8],
}

impl<'a> Item<'a> {
    /// What `occupant` is, with the real address of its session, or without.
    pub fn of(occupant: &'a Occupant, session: Option<&'a Presentee>) -> Item<'a> {
        Item {
            affiliation: occupant.affiliation,
            role: occupant.role,
            jid: session.map(|s| &s.jid),
            nick: None,
            cause: Cause::default(),
        }
    }

    /// Appends `<x/>` with the item, statuses and `more`, which is XML.
    pub fn write(&self, statuses: &[Status], more: &[u8], out: &mut Vec<u8>) {
        let mut w = XmlWriter::into(std::mem::take(out));
        w.start("x").attr("xmlns", USER);
        w.start("item")
            .attr("affiliation", self.affiliation.as_str())
            .attr("role", self.role.as_str())
            .opt_attr("jid", self.jid.map(|j| j.as_str()))
            .opt_attr("nick", self.nick);
        if let Some(actor) = self.cause.actor {
            w.leaf("actor", &[("nick", actor)]);
        }
        if let Some(reason) = self.cause.reason {
            w.text_element("reason", reason);
        }
        w.end();
        for status in statuses {
            status.write(&mut w);
        }
        w.raw(self.cause.more).raw(more);
        w.end();
        *out = w.finish();
    }
}

/// Presence of the room's own making: `unavailable` from `jid`, with `x`.
pub fn unavailable(jid: &Jid, x: &[u8]) -> SharedStanza {
    SharedStanza::compose(
        StanzaKind::Presence,
        jid.as_str(),
        Some("unavailable"),
        |out| out.extend_from_slice(x),
    )
}

/// A message of the room itself with nothing but statuses (XEP-0045 §10.2.1).
pub fn statuses(room: &Jid, statuses: &[Status]) -> SharedStanza {
    let type_ = Some("groupchat");
    SharedStanza::compose(StanzaKind::Message, room.as_str(), type_, |out| {
        let mut w = XmlWriter::into(std::mem::take(out));
        w.start("x").attr("xmlns", USER);
        for status in statuses {
            status.write(&mut w);
        }
        w.end();
        *out = w.finish();
    })
}
