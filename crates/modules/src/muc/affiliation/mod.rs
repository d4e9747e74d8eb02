//! Affiliations and roles: what they are, what they may do, and who may change them (XEP-0045 §5, §8 to §10).
//!
//! Pure functions over tables; the room keeps who has which.

#[cfg(test)]
mod tests;

use std::fmt;

use tercet_core::StanzaError;

macro_rules! ranks {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident $text:literal)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$item])* $variant,)*
        }

        impl $name {
            /// All of them, the lowest first.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The value of the attribute.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            /// The one of this name, spelled exactly so.
            pub fn parse(text: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|r| r.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

ranks! {
    /// What a bare JID is to a room, in it or not (§5.2). Ordered: each can do what those below it can.
    Affiliation {
        /// Banned.
        Outcast "outcast"
        /// No affiliation.
        None "none"
        /// On the member list.
        Member "member"
        /// Manages members, outcasts and moderators.
        Admin "admin"
        /// Manages the room.
        Owner "owner"
    }
}

ranks! {
    /// What an occupant may do while it is in the room (§5.1). Ordered: each can do what those below it can.
    Role {
        /// Not in the room.
        None "none"
        /// Listens; in a moderated room without voice.
        Visitor "visitor"
        /// Speaks.
        Participant "participant"
        /// Manages the roles of those below.
        Moderator "moderator"
    }
}

/// What roles are for: the rows of the table in §5.1.1. Where the configuration has a say, it can only take away from or
/// give on top of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleRight {
    /// Being in the room, with its messages and presence, showing itself, changing availability and nick, writing to
    /// occupants in private, inviting.
    TakePart,
    /// Sending messages to all.
    Speak,
    /// Changing the subject.
    ChangeSubject,
    /// Kicking participants and visitors, giving and taking voice.
    Moderate,
}

/// What affiliations are for: the rows of the table in §5.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AffiliationRight {
    /// Entering an open room, and registering with it.
    EnterOpen,
    /// Entering a members-only room, and reading the member list.
    EnterMembersOnly,
    /// Banning those below, editing the member list, making and unmaking moderators.
    Administer,
    /// Editing the lists of admins and owners, configuring and destroying the room.
    Own,
}

impl Role {
    /// Whether the role has this right where the configuration says nothing.
    pub fn may(self, right: RoleRight) -> bool {
        self >= match right {
            RoleRight::TakePart => Role::Visitor,
            RoleRight::Speak | RoleRight::ChangeSubject => Role::Participant,
            RoleRight::Moderate => Role::Moderator,
        }
    }
}

impl Affiliation {
    /// Whether the affiliation has this right.
    pub fn may(self, right: AffiliationRight) -> bool {
        self >= match right {
            AffiliationRight::EnterOpen => Affiliation::None,
            AffiliationRight::EnterMembersOnly => Affiliation::Member,
            AffiliationRight::Administer => Affiliation::Admin,
            AffiliationRight::Own => Affiliation::Owner,
        }
    }
}

/// What of a room decides who enters as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomKind {
    /// Only those with voice speak.
    pub moderated: bool,
    /// Only those on its lists enter.
    pub members_only: bool,
}

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The actor is not of the rank for such a thing.
    Forbidden,
    /// The actor is, but not towards this target.
    NotAllowed,
    /// It would leave the room without an owner, or its actor outside by its own ban.
    Conflict,
    /// Only members enter.
    RegistrationRequired,
}

impl Denied {
    /// What the actor is told.
    pub fn error(self) -> StanzaError {
        match self {
            Denied::Forbidden => StanzaError::forbidden(),
            Denied::NotAllowed => StanzaError::not_allowed(),
            Denied::Conflict => StanzaError::conflict(),
            Denied::RegistrationRequired => StanzaError::registration_required(),
        }
    }
}

impl From<Denied> for StanzaError {
    fn from(denied: Denied) -> Self {
        denied.error()
    }
}

/// The role with which somebody enters (§5.1.2).
///
/// # Errors
/// Outcasts may not enter any room (`forbidden`), those without affiliation none for members only
/// (`registration-required`).
pub fn initial_role(affiliation: Affiliation, room: RoomKind) -> Result<Role, Denied> {
    match affiliation {
        // XEP-0045 §7.2.7: a banned user is refused with forbidden.
        Affiliation::Outcast => Err(Denied::Forbidden),
        // XEP-0045 §7.2.6: who is not on the member list is refused with registration-required.
        Affiliation::None if room.members_only => Err(Denied::RegistrationRequired),
        Affiliation::None if room.moderated => Ok(Role::Visitor),
        Affiliation::None | Affiliation::Member => Ok(Role::Participant),
        Affiliation::Admin | Affiliation::Owner => Ok(Role::Moderator),
    }
}

/// The role of an occupant after its affiliation changed; `Role::None`: it has to leave the room.
///
/// What an affiliation brings is got at once. With the rank of an admin goes its role, down to that with which one would enter;
/// any other loss leaves the role as it was (§5.1.3, note).
pub fn role_after(from: Affiliation, to: Affiliation, role: Role, room: RoomKind) -> Role {
    let Ok(initial) = initial_role(to, room) else {
        return Role::None;
    };
    let lost_rank = from.may(AffiliationRight::Administer) && to < Affiliation::Admin;
    if lost_rank {
        initial
    } else {
        role.max(initial)
    }
}

/// Who acts, or is acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What its bare JID is to the room.
    pub affiliation: Affiliation,
    /// Its role; `Role::None` if it is not in the room.
    pub role: Role,
}

impl Standing {
    /// Whether it may use what is for moderators: admins may from outside as well (§8, §9: their bare JID tells).
    pub fn moderates(self) -> bool {
        self.role.may(RoleRight::Moderate) || self.administers()
    }

    /// Whether it may use what is for admins.
    pub fn administers(self) -> bool {
        self.affiliation.may(AffiliationRight::Administer)
    }

    fn is_immune(self) -> bool {
        self.administers()
    }
}

/// Whether `actor` may give `target`, who is in the room, the role `to`; `Role::None` is a kick. Nobody is kept from kicking
/// itself.
///
/// # Errors
/// `Forbidden` for who has no such right over anybody, `NotAllowed` where the target stands too high.
pub fn may_change_role(actor: Standing, target: Standing, to: Role) -> Result<(), Denied> {
    // XEP-0045 §8: role changes by others than moderators are refused with forbidden.
    if !actor.moderates() {
        return Err(Denied::Forbidden);
    }
    match to {
        // XEP-0045 §8.2: nobody of a higher affiliation can be kicked.
        Role::None if target.affiliation > actor.affiliation => Err(Denied::NotAllowed),
        // XEP-0045 §5.1.3: a moderator is kicked by admins and owners only.
        Role::None if target.role == Role::Moderator && !actor.administers() => {
            Err(Denied::NotAllowed)
        }
        Role::None => Ok(()),
        // XEP-0045 §9.6: moderator status is given by admins and owners.
        Role::Moderator if actor.administers() => Ok(()),
        Role::Moderator => Err(Denied::Forbidden),
        // XEP-0045 §8.4, §9.7: nobody can take voice or moderator status from an admin or owner.
        _ if target.is_immune() => Err(Denied::NotAllowed),
        // XEP-0045 §9.7: moderator status is taken by admins and owners.
        _ if target.role == Role::Moderator && !actor.administers() => Err(Denied::Forbidden),
        // XEP-0045 §8.4: nor voice from one at or above the moderator's level; no affiliation is no level.
        Role::Visitor
            if target.affiliation > Affiliation::None
                && target.affiliation >= actor.affiliation =>
        {
            Err(Denied::NotAllowed)
        }
        Role::Visitor | Role::Participant => Ok(()),
    }
}

/// Whose affiliation is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// What it is now.
    pub affiliation: Affiliation,
    /// Whether it is the actor.
    pub is_actor: bool,
    /// Whether it is an owner and the room has no other.
    pub is_last_owner: bool,
}

/// Whether somebody with the affiliation `actor` may give `subject` the affiliation `to`.
///
/// # Errors
/// `Forbidden` for who may not edit the list, `NotAllowed` where the subject stands too high to be banned by the actor,
/// `Conflict` for a ban of oneself and for the last owner's resignation.
pub fn may_change_affiliation(
    actor: Affiliation,
    subject: Subject,
    to: Affiliation,
) -> Result<(), Denied> {
    // XEP-0045 §9: affiliation changes by others than admins are refused with forbidden.
    if !actor.may(AffiliationRight::Administer) {
        return Err(Denied::Forbidden);
    }
    if to == Affiliation::Outcast {
        // XEP-0045 §9.1: one who bans itself gets conflict, an admin who bans one that it does not outrank not-allowed.
        if subject.is_actor {
            return Err(Denied::Conflict);
        }
        if actor < Affiliation::Owner && subject.affiliation >= Affiliation::Admin {
            return Err(Denied::NotAllowed);
        }
    }
    // XEP-0045 §10.5, §10.8: only owners edit the lists of owners and admins.
    if actor < Affiliation::Owner && subject.affiliation.max(to) >= Affiliation::Admin {
        return Err(Denied::Forbidden);
    }
    // XEP-0045 §10.4: the last owner cannot go.
    if subject.is_last_owner && to < Affiliation::Owner {
        return Err(Denied::Conflict);
    }
    Ok(())
}
