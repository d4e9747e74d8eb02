//! Affiliations and roles: what they are, what they may do, and who may change them (XEP-0045 §5, §8 to §10).
//!
//! Pure functions over tables; the room keeps who has which.

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

#[cfg(test)]
mod tests {
    use super::*;
    use Affiliation as A;
    use Role as R;

    #[test]
    fn names_are_read_as_they_are_written_and_nothing_else() {
        for affiliation in A::ALL {
            assert_eq!(A::parse(affiliation.as_str()), Some(*affiliation));
        }
        for role in R::ALL {
            assert_eq!(R::parse(role.as_str()), Some(*role));
        }
        for odd in ["", "Owner", " none", "admins"] {
            assert_eq!((A::parse(odd), R::parse(odd)), (None, None), "{odd}");
        }
        assert!(A::ALL.is_sorted() && R::ALL.is_sorted());
    }

    #[test]
    fn rights_are_those_of_the_tables() {
        let roles = |right| R::ALL.iter().filter(|r| r.may(right)).count();
        assert_eq!(
            [
                RoleRight::TakePart,
                RoleRight::Speak,
                RoleRight::ChangeSubject,
                RoleRight::Moderate
            ]
            .map(roles),
            [3, 2, 2, 1]
        );
        let affiliations = |right| A::ALL.iter().filter(|a| a.may(right)).count();
        assert_eq!(
            [
                AffiliationRight::EnterOpen,
                AffiliationRight::EnterMembersOnly,
                AffiliationRight::Administer,
                AffiliationRight::Own
            ]
            .map(affiliations),
            [4, 3, 2, 1]
        );
    }

    fn room(moderated: bool, members_only: bool) -> RoomKind {
        RoomKind {
            moderated,
            members_only,
        }
    }

    #[test]
    fn one_enters_with_the_role_of_the_table() {
        let roles = |kind| {
            A::ALL
                .iter()
                .map(|a| initial_role(*a, kind))
                .collect::<Vec<_>>()
        };
        let (banned, outsider) = (Err(Denied::Forbidden), Err(Denied::RegistrationRequired));
        let (visitor, participant, moderator) =
            (Ok(R::Visitor), Ok(R::Participant), Ok(R::Moderator));
        for (kind, none) in [
            (room(true, false), visitor),
            (room(false, false), participant),
            (room(false, true), outsider),
            (room(true, true), outsider),
        ] {
            assert_eq!(
                roles(kind),
                [banned, none, participant, moderator, moderator],
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_new_affiliation_brings_its_role_and_a_lost_one_takes_it() {
        for (from, to, role, kind, after) in [
            (
                A::None,
                A::Member,
                R::Visitor,
                room(true, false),
                R::Participant,
            ),
            (
                A::None,
                A::Admin,
                R::Visitor,
                room(true, false),
                R::Moderator,
            ),
            (
                A::Member,
                A::Owner,
                R::Participant,
                room(false, false),
                R::Moderator,
            ),
            (
                A::Member,
                A::None,
                R::Participant,
                room(true, false),
                R::Participant,
            ),
            (
                A::Member,
                A::None,
                R::Moderator,
                room(true, false),
                R::Moderator,
            ),
            (
                A::Member,
                A::None,
                R::Participant,
                room(false, true),
                R::None,
            ),
            (
                A::Admin,
                A::Member,
                R::Moderator,
                room(true, false),
                R::Participant,
            ),
            (
                A::Admin,
                A::None,
                R::Moderator,
                room(true, false),
                R::Visitor,
            ),
            (A::Admin, A::None, R::Moderator, room(false, true), R::None),
            (
                A::Owner,
                A::Admin,
                R::Moderator,
                room(false, false),
                R::Moderator,
            ),
            (
                A::Member,
                A::Outcast,
                R::Participant,
                room(false, false),
                R::None,
            ),
        ] {
            assert_eq!(role_after(from, to, role, kind), after, "{from} to {to}");
        }
    }

    fn standing(affiliation: A, role: R) -> Standing {
        Standing { affiliation, role }
    }

    #[test]
    fn roles_are_changed_by_those_who_may() {
        let (forbidden, not_allowed) = (Err(Denied::Forbidden), Err(Denied::NotAllowed));
        let (none, member) = (
            standing(A::None, R::Moderator),
            standing(A::Member, R::Moderator),
        );
        let (admin, owner) = (
            standing(A::Admin, R::Moderator),
            standing(A::Owner, R::Moderator),
        );
        let outside = standing(A::Admin, R::None);
        let (visitor, participant) = (
            standing(A::None, R::Visitor),
            standing(A::None, R::Participant),
        );
        let talker = standing(A::Member, R::Participant);
        for (actor, target, to, expected) in [
            // §8: who is no moderator.
            (participant, visitor, R::Participant, forbidden),
            (talker, participant, R::None, forbidden),
            (visitor, visitor, R::Visitor, forbidden),
            (standing(A::Member, R::None), visitor, R::None, forbidden),
            // §8.2: kicks.
            (none, visitor, R::None, Ok(())),
            (none, participant, R::None, Ok(())),
            (none, talker, R::None, not_allowed),
            (none, none, R::None, not_allowed),
            (member, talker, R::None, Ok(())),
            (member, none, R::None, not_allowed),
            (member, admin, R::None, not_allowed),
            (admin, owner, R::None, not_allowed),
            (admin, member, R::None, Ok(())),
            (admin, admin, R::None, Ok(())),
            (owner, owner, R::None, Ok(())),
            (outside, participant, R::None, Ok(())),
            // §8.3, §8.4: voice.
            (none, visitor, R::Participant, Ok(())),
            (none, participant, R::Visitor, Ok(())),
            (none, talker, R::Visitor, not_allowed),
            (member, talker, R::Visitor, not_allowed),
            (member, participant, R::Visitor, Ok(())),
            (admin, talker, R::Visitor, Ok(())),
            (none, owner, R::Visitor, not_allowed),
            (owner, owner, R::Visitor, not_allowed),
            (owner, admin, R::Visitor, not_allowed),
            // §9.6, §9.7: moderators.
            (admin, visitor, R::Moderator, Ok(())),
            (outside, visitor, R::Moderator, Ok(())),
            (none, participant, R::Moderator, forbidden),
            (member, talker, R::Moderator, forbidden),
            (admin, member, R::Participant, Ok(())),
            (admin, none, R::Visitor, Ok(())),
            (none, none, R::Participant, forbidden),
            (member, admin, R::Participant, not_allowed),
            (none, owner, R::Participant, not_allowed),
            (admin, owner, R::Participant, not_allowed),
            (admin, admin, R::Participant, not_allowed),
            (owner, admin, R::Participant, not_allowed),
        ] {
            assert_eq!(
                may_change_role(actor, target, to),
                expected,
                "{actor:?} makes {target:?} {to}"
            );
        }
    }

    fn subject(affiliation: A) -> Subject {
        Subject {
            affiliation,
            is_actor: false,
            is_last_owner: false,
        }
    }

    #[test]
    fn affiliations_are_changed_by_the_state_chart() {
        // §5.2.3: whether an admin may, by what it was (lines) and what it shall be, outcast to owner.
        let chart = [
            (A::Outcast, [true, true, true, false, false]),
            (A::None, [true, true, true, false, false]),
            (A::Member, [true, true, true, false, false]),
            (A::Admin, [false, false, false, false, false]),
            (A::Owner, [false, false, false, false, false]),
        ];
        for (from, row) in chart {
            for (to, admin_may) in A::ALL.iter().zip(row) {
                let change = |actor| may_change_affiliation(actor, subject(from), *to);
                assert_eq!(change(A::Owner), Ok(()), "{from} to {to}");
                assert_eq!(change(A::Admin).is_ok(), admin_may, "{from} to {to}");
                for actor in [A::Outcast, A::None, A::Member] {
                    assert_eq!(change(actor), Err(Denied::Forbidden));
                }
            }
        }
    }

    #[test]
    fn bans_and_resignations_are_refused_as_the_extension_says() {
        let me = |affiliation, is_last_owner| Subject {
            affiliation,
            is_actor: true,
            is_last_owner,
        };
        for (actor, subject, to, denied) in [
            (A::Admin, subject(A::Owner), A::Outcast, Denied::NotAllowed),
            (A::Admin, subject(A::Admin), A::Outcast, Denied::NotAllowed),
            (A::Admin, me(A::Admin, false), A::Outcast, Denied::Conflict),
            (A::Owner, me(A::Owner, false), A::Outcast, Denied::Conflict),
            (A::Owner, me(A::Owner, true), A::Admin, Denied::Conflict),
            (A::Owner, me(A::Owner, true), A::None, Denied::Conflict),
            (A::Admin, subject(A::Owner), A::Member, Denied::Forbidden),
            (A::Admin, subject(A::None), A::Admin, Denied::Forbidden),
        ] {
            assert_eq!(may_change_affiliation(actor, subject, to), Err(denied));
        }
        assert_eq!(
            may_change_affiliation(A::Owner, me(A::Owner, false), A::None),
            Ok(())
        );
    }
}
