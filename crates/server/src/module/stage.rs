//! The order in which handlers see a stanza, by name.

use tercet_core::{BareJid, Stanza};

/// Where in a stanza's way a handler stands. Inside a stage the order is that of the module list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Refuses what breaks a rule of the format.
    Validate,
    /// Refuses what somebody does not want: blocking, filters.
    Policy,
    /// Adds to the stanza what the server vouches for.
    Annotate,
    /// Keeps a message, with [`Effects::keep`](super::Effects::keep). Runs with the account locked, so that what is kept stands in
    /// the order of delivery: for the sender once the message may go out, and what it keeps is queued at once; for the
    /// recipient right before the message is handed over. A handler here must not lock the account. Decides nothing.
    Archive,
    /// Sends copies of a message to other devices of the account. For the sender it runs once the message may go out; for the
    /// recipient after delivery, with the account locked, so that copies stand in the order of the messages: a handler here
    /// must not lock it, and finds it in [`StanzaCx::delivered`](super::StanzaCx::delivered). Decides nothing.
    Copy,
    /// Has the last word about a message that nobody could receive. Runs with the addressee's account locked, so that nobody
    /// becomes available in between: a handler here must not lock it.
    Fallback,
}

/// Whether a message, as it was delivered to an account, is in an archive of that account ([`Stage::Archive`]). A module provides
/// one for its host: nothing of the message itself says so when it comes again.
#[derive(Debug, Clone, Copy)]
pub struct ArchivedRule(pub fn(&Stanza, &BareJid) -> bool);

/// The parts of a stanza's way in which stages run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// All stages that decide whether and how it goes on.
    Before,
    /// [`Stage::Policy`] alone, a part of them.
    Policy,
    /// [`Stage::Archive`]
    Archive,
    /// [`Stage::Copy`]
    Copy,
    /// [`Stage::Fallback`]
    Fallback,
}

/// For whom a stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// For the local account that sends the stanza.
    Sender,
    /// For the local account that the stanza is addressed to.
    Recipient,
}

/// What a handler decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// The next handler, and in the end delivery.
    Continue,
    /// The handler has taken the stanza: no further handler, no delivery, no error.
    Handled,
    /// The stanza ends here, and its sender does not learn of it.
    Drop,
    /// The stanza goes back with this error, where errors may be answered.
    Bounce(tercet_core::StanzaError),
}

/// A set of stanza kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Messages.
    pub const MESSAGE: Kinds = Kinds(1);
    /// Presence of every type.
    pub const PRESENCE: Kinds = Kinds(2);
    /// IQs of every type, requests to the server included.
    pub const IQ: Kinds = Kinds(4);
    /// All stanzas.
    pub const ALL: Kinds = Kinds(7);

    /// Whether `kind` belongs to the set.
    pub fn contains(self, kind: tercet_core::StanzaKind) -> bool {
        self.0 & Kinds::of(kind).0 != 0
    }

    /// The set of one kind.
    pub fn of(kind: tercet_core::StanzaKind) -> Kinds {
        match kind {
            tercet_core::StanzaKind::Message => Kinds::MESSAGE,
            tercet_core::StanzaKind::Presence => Kinds::PRESENCE,
            tercet_core::StanzaKind::Iq => Kinds::IQ,
        }
    }
}

impl std::ops::BitOr for Kinds {
    type Output = Kinds;
    fn bitor(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}
