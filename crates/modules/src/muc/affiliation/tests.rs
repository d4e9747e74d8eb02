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
    let (visitor, participant, moderator) = (Ok(R::Visitor), Ok(R::Participant), Ok(R::Moderator));
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
