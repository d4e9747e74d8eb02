//! The configuration of a room: the fields of `muc#roomconfig` (XEP-0045 §15.5.3), what they allow, and their forms.
//!
//! Left out: nothing that the registrar lists. The lists of owners and admins are not part of [`RoomConfig`], for the room keeps
//! affiliations elsewhere; they go into the form ([`Lists`]) and come out of it ([`Submission`]).

mod info;
mod submit;
mod table;
#[cfg(test)]
mod tests;

pub use crate::setting::{
    Choice, Looks, Place, Setting, check_type, decode, encode, refuse, take_form,
};
pub use info::{Info, NS_INFO};
pub use submit::{Lists, Submission, configuration_form};
pub use table::FIELDS;

use tercet_core::StanzaError;

use super::affiliation::{Affiliation, Role, RoomKind, Standing};
use super::status::Status;

/// The form type of room configuration.
pub const NS_CONFIG: &str = "http://jabber.org/protocol/muc#roomconfig";
/// The most bytes of a room's name.
pub const MAX_NAME: usize = 256;
/// The most bytes of a description.
pub const MAX_DESCRIPTION: usize = 2048;
/// The most bytes of a password.
pub const MAX_SECRET: usize = 256;
/// The most bytes of a language tag.
pub const MAX_LANGUAGE: usize = 35;
/// The most bytes of a URI.
pub const MAX_URI: usize = 1024;
/// The most occupants that a room may be configured for; a service may set a lower limit.
pub const MAX_USERS: u32 = 100_000;
/// The most messages of history that a room may be configured to send; a service may set a lower limit.
pub const MAX_HISTORY: u32 = 1000;
/// The most owners and the most admins that one form may name.
pub const MAX_LISTED: usize = 1000;

/// The first byte of the durable form.
const FORMAT: u8 = 1;

/// Who learns the real addresses of occupants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whois {
    /// Moderators: the room is semi-anonymous.
    Moderators,
    /// All occupants: the room is non-anonymous.
    Anyone,
}

/// Who may send private messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateMessages {
    /// All occupants.
    Anyone,
    /// Those with voice.
    Participants,
    /// Moderators.
    Moderators,
    /// Nobody.
    Nobody,
}

/// A set of the roles that occupants have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleSet(u8);

impl RoleSet {
    /// No role.
    pub const NONE: RoleSet = RoleSet(0);
    /// Visitor, participant and moderator.
    pub const ALL: RoleSet = RoleSet(0b1110);

    /// With one more.
    #[must_use]
    pub fn with(self, role: Role) -> RoleSet {
        RoleSet(self.0 | 1 << role as u8)
    }

    /// Whether the role is in it.
    pub fn contains(self, role: Role) -> bool {
        self.0 & 1 << role as u8 != 0
    }
}

/// What the owners of a room have decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomConfig {
    /// For people; empty: none.
    pub name: String,
    /// For people; empty: none.
    pub description: String,
    /// The language of its discussions; empty: not said.
    pub lang: String,
    /// Whether it stays when the last occupant goes.
    pub persistent: bool,
    /// Whether it is listed.
    pub public: bool,
    /// Whether only those with an affiliation enter.
    pub members_only: bool,
    /// Whether members of a members-only room may invite others, and so make them members.
    pub allow_invites: bool,
    /// Whether a password is needed.
    pub password_protected: bool,
    /// The password; empty unless one is needed.
    pub secret: String,
    /// Whether those without affiliation enter without voice.
    pub moderated: bool,
    /// Whether everyone with voice may change the subject, not only moderators.
    pub change_subject: bool,
    /// Who may send private messages.
    pub private_messages: PrivateMessages,
    /// Who sees real addresses.
    pub whois: Whois,
    /// Whose presence is shown to the others.
    pub presence_broadcast: RoleSet,
    /// Who may read the member list.
    pub member_list: RoleSet,
    /// The most occupants; `None`: as many as the service lets in.
    pub max_users: Option<u32>,
    /// The most messages of history for who enters.
    pub max_history: u32,
    /// Whether there is an archive for those who may enter.
    pub archiving: bool,
    /// Whether anybody may read the archive; status 170 warns of it. There is an archive then, whatever `archiving` says.
    pub public_logging: bool,
    /// The URI of the PubSub node that belongs to the room; empty: none.
    pub pubsub: String,
}

impl Default for RoomConfig {
    /// A small public room that nobody has configured: temporary, open, semi-anonymous, unmoderated.
    fn default() -> Self {
        RoomConfig {
            name: String::new(),
            description: String::new(),
            lang: String::new(),
            persistent: false,
            public: true,
            members_only: false,
            allow_invites: false,
            password_protected: false,
            secret: String::new(),
            moderated: false,
            change_subject: false,
            private_messages: PrivateMessages::Anyone,
            whois: Whois::Moderators,
            presence_broadcast: RoleSet::ALL,
            member_list: RoleSet::ALL,
            max_users: None,
            max_history: 50,
            archiving: true,
            public_logging: false,
            pubsub: String::new(),
        }
    }
}

/// What the service lets rooms have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomLimits {
    /// The most occupants.
    pub users: u32,
    /// The most messages of history.
    pub history: u32,
}

impl Default for RoomLimits {
    fn default() -> Self {
        RoomLimits {
            users: MAX_USERS,
            history: MAX_HISTORY,
        }
    }
}

impl RoomConfig {
    /// What decides the role with which one enters.
    pub fn kind(&self) -> RoomKind {
        RoomKind {
            moderated: self.moderated,
            members_only: self.members_only,
        }
    }

    /// The password that is needed to enter, if any.
    pub fn password(&self) -> Option<&str> {
        self.password_protected.then_some(&*self.secret)
    }

    /// Whether the room keeps an archive.
    pub fn archives(&self) -> bool {
        self.archiving || self.public_logging
    }

    /// Whether an occupant with the role `viewer` sees the real addresses of others.
    pub fn shows_addresses_to(&self, viewer: Role) -> bool {
        self.whois == Whois::Anyone || viewer == Role::Moderator
    }

    /// Whether an occupant of this role may change the subject (§8.1).
    pub fn may_change_subject(&self, role: Role) -> bool {
        let least = if self.change_subject {
            Role::Participant
        } else {
            Role::Moderator
        };
        role >= least
    }

    /// Whether an occupant of this role may send private messages.
    pub fn may_send_private(&self, role: Role) -> bool {
        match self.private_messages {
            PrivateMessages::Anyone => role >= Role::Visitor,
            PrivateMessages::Participants => role >= Role::Participant,
            PrivateMessages::Moderators => role >= Role::Moderator,
            PrivateMessages::Nobody => false,
        }
    }

    /// Whether somebody may invite others (§7.8.2, §9.5): any occupant into an open room, into one for members only admins, and
    /// members if the configuration says so.
    pub fn may_invite(&self, who: Standing) -> bool {
        match who.affiliation {
            Affiliation::Admin | Affiliation::Owner => true,
            _ if who.role == Role::None => false,
            Affiliation::Member => !self.members_only || self.allow_invites,
            Affiliation::None => !self.members_only,
            Affiliation::Outcast => false,
        }
    }

    /// Whether somebody may read the list of those with the affiliation `list`; nobody reads that of `None`.
    pub fn may_list(&self, who: Standing, list: Affiliation) -> bool {
        let open = self.whois == Whois::Anyone;
        match list {
            Affiliation::None => false,
            // XEP-0045 §9.2: the ban list is for admins.
            Affiliation::Outcast => who.administers(),
            Affiliation::Member if who.administers() => true,
            // XEP-0045 §10.5, §10.8: in semi-anonymous rooms only owners read the lists of owners and admins.
            Affiliation::Owner | Affiliation::Admin if who.affiliation == Affiliation::Owner => {
                true
            }
            Affiliation::Owner | Affiliation::Admin if !open => false,
            // XEP-0045 §9.5: members of a non-anonymous room may ask from outside as well.
            _ if who.role == Role::None => open && who.affiliation >= Affiliation::Member,
            // XEP-0045 §5.2.1: a list shows addresses, so that it is only for those who see them anyway.
            _ => self.member_list.contains(who.role) && self.shows_addresses_to(who.role),
        }
    }

    /// Checks what no field can tell by itself.
    ///
    /// # Errors
    /// `not-acceptable`, with a text that names the field.
    pub fn validate(&self, limits: RoomLimits) -> Result<(), StanzaError> {
        // XEP-0045 §10.1.3: a password-protected room whose password is blank is not-acceptable.
        if self.password_protected && self.secret.is_empty() {
            return Err(refuse("muc#roomconfig_roomsecret", "must be filled in"));
        }
        if self.max_users.is_some_and(|n| n > limits.users) {
            let fault = format!("is to be at most {}", limits.users);
            return Err(refuse("muc#roomconfig_maxusers", &fault));
        }
        if self.max_history > limits.history {
            let fault = format!("is to be at most {}", limits.history);
            return Err(refuse("muc#maxhistoryfetch", &fault));
        }
        Ok(())
    }

    /// What the occupants are told when this configuration follows `old` (§10.2.1); nothing if nothing changed.
    pub fn status_codes(&self, old: &RoomConfig) -> Vec<Status> {
        let mut codes = Vec::new();
        if self.public_logging != old.public_logging {
            codes.push(if self.public_logging {
                Status::LoggingOn
            } else {
                Status::LoggingOff
            });
        }
        if self.whois != old.whois {
            codes.push(match self.whois {
                Whois::Anyone => Status::NowNonAnonymous,
                Whois::Moderators => Status::NowSemiAnonymous,
            });
        }
        let rest = RoomConfig {
            public_logging: self.public_logging,
            whois: self.whois,
            ..old.clone()
        };
        if rest != *self {
            codes.push(Status::ConfigurationChanged);
        }
        codes
    }

    /// The durable form: a version, then the fields of [`FIELDS`] as [`encode`] writes them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        encode(FIELDS, self, &mut out);
        out
    }

    /// Reads what [`RoomConfig::to_bytes`] wrote, in this version or a later one with more fields. `None`: it is neither.
    pub fn from_bytes(bytes: &[u8]) -> Option<RoomConfig> {
        let (&FORMAT, fields) = bytes.split_first()? else {
            return None;
        };
        let mut config = RoomConfig::default();
        decode(FIELDS, &mut config, fields)?;
        Some(config)
    }
}
