//! The fields of a room's configuration: the one table from which the form, its reading and the durable form come.

use super::{MAX_HISTORY, MAX_USERS, PrivateMessages, RoleSet, RoomConfig, Whois};
use crate::muc::affiliation::Role;
use crate::setting::{Choice, Looks, Place, Setting};

const ROLES: &[Choice] = &[
    ("moderator", "Moderators"),
    ("participant", "Participants"),
    ("visitor", "Visitors"),
];
const ROLE_PLACES: [Role; 3] = [Role::Moderator, Role::Participant, Role::Visitor];

const PRIVATE_MESSAGES: &[(PrivateMessages, Choice)] = &[
    (PrivateMessages::Anyone, ("anyone", "Anyone")),
    (
        PrivateMessages::Participants,
        ("participants", "Anyone with voice"),
    ),
    (
        PrivateMessages::Moderators,
        ("moderators", "Moderators only"),
    ),
    (PrivateMessages::Nobody, ("none", "Nobody")),
];
const PRIVATE_CHOICES: &[Choice] = &[
    PRIVATE_MESSAGES[0].1,
    PRIVATE_MESSAGES[1].1,
    PRIVATE_MESSAGES[2].1,
    PRIVATE_MESSAGES[3].1,
];

macro_rules! flag {
    ($field:ident) => {
        Place::Flag {
            get: |c| c.$field,
            set: |c, value| c.$field = value,
        }
    };
}

macro_rules! text {
    ($field:ident, $most:expr, $looks:ident) => {
        Place::Text {
            most: $most,
            looks: Looks::$looks,
            get: |c| &c.$field,
            set: |c, value| c.$field = value,
        }
    };
}

macro_rules! roles {
    ($field:ident) => {
        Place::Many {
            choices: ROLES,
            get: |c| places(c.$field),
            set: |c, value| c.$field = roles(value),
        }
    };
}

/// Every field but the lists of owners and admins, in the order of the form. XEP-0045 §15.5.3, with one that clients know from
/// other servers (`enablearchiving`).
pub static FIELDS: &[Setting<RoomConfig>] = &[
    Setting {
        tag: 1,
        var: "muc#roomconfig_roomname",
        label: "Name",
        value: text!(name, super::MAX_NAME, Line),
    },
    Setting {
        tag: 2,
        var: "muc#roomconfig_roomdesc",
        label: "Description",
        value: text!(description, super::MAX_DESCRIPTION, Lines),
    },
    Setting {
        tag: 3,
        var: "muc#roomconfig_lang",
        label: "Language of discussions, such as en",
        value: text!(lang, super::MAX_LANGUAGE, Language),
    },
    Setting {
        tag: 4,
        var: "muc#roomconfig_persistentroom",
        label: "Keep the room when nobody is in it",
        value: flag!(persistent),
    },
    Setting {
        tag: 5,
        var: "muc#roomconfig_publicroom",
        label: "List the room in public",
        value: flag!(public),
    },
    Setting {
        tag: 6,
        var: "muc#roomconfig_membersonly",
        label: "Only members may enter",
        value: flag!(members_only),
    },
    Setting {
        tag: 7,
        var: "muc#roomconfig_allowinvites",
        label: "Members may invite others",
        value: flag!(allow_invites),
    },
    Setting {
        tag: 8,
        var: "muc#roomconfig_passwordprotectedroom",
        label: "A password is needed to enter",
        value: flag!(password_protected),
    },
    Setting {
        tag: 9,
        var: "muc#roomconfig_roomsecret",
        label: "The password",
        value: text!(secret, super::MAX_SECRET, Secret),
    },
    Setting {
        tag: 10,
        var: "muc#roomconfig_moderatedroom",
        label: "Only those with voice may speak",
        value: flag!(moderated),
    },
    Setting {
        tag: 11,
        var: "muc#roomconfig_changesubject",
        label: "Anyone with voice may change the subject",
        value: flag!(change_subject),
    },
    Setting {
        tag: 12,
        var: "muc#roomconfig_allowpm",
        label: "Who may send private messages",
        value: Place::One {
            choices: PRIVATE_CHOICES,
            get: |c| {
                let place = PRIVATE_MESSAGES
                    .iter()
                    .position(|(p, _)| *p == c.private_messages);
                place.unwrap_or_default()
            },
            set: |c, place| c.private_messages = PRIVATE_MESSAGES[place].0,
        },
    },
    Setting {
        tag: 13,
        var: "muc#roomconfig_whois",
        label: "Who may see real addresses",
        value: Place::One {
            choices: &[("moderators", "Moderators only"), ("anyone", "Anyone")],
            get: |c| usize::from(c.whois == Whois::Anyone),
            set: |c, place| {
                c.whois = if place == 0 {
                    Whois::Moderators
                } else {
                    Whois::Anyone
                };
            },
        },
    },
    Setting {
        tag: 14,
        var: "muc#roomconfig_presencebroadcast",
        label: "Whose presence is shown to all",
        value: roles!(presence_broadcast),
    },
    Setting {
        tag: 15,
        var: "muc#roomconfig_getmemberlist",
        label: "Who may read the member list",
        value: roles!(member_list),
    },
    Setting {
        tag: 16,
        var: "muc#roomconfig_maxusers",
        label: "The most occupants",
        value: Place::Number {
            least: 1,
            most: MAX_USERS,
            offered: &[10, 20, 50, 100, 500, 1000],
            none: Some("none"),
            get: |c| c.max_users,
            set: |c, value| c.max_users = value,
        },
    },
    Setting {
        tag: 17,
        var: "muc#maxhistoryfetch",
        label: "The most messages of the past that the room sends to who enters",
        value: Place::Number {
            least: 0,
            most: MAX_HISTORY,
            offered: &[],
            none: None,
            get: |c| Some(c.max_history),
            set: |c, value| c.max_history = value.unwrap_or_default(),
        },
    },
    Setting {
        tag: 18,
        var: "muc#roomconfig_enablearchiving",
        label: "Keep an archive that those who may enter can read",
        value: flag!(archiving),
    },
    Setting {
        tag: 19,
        var: "muc#roomconfig_enablelogging",
        label: "Log in public: anybody can read the archive",
        value: flag!(public_logging),
    },
    Setting {
        tag: 20,
        var: "muc#roomconfig_pubsub",
        label: "XMPP URI of the PubSub node that belongs to the room",
        value: text!(pubsub, super::MAX_URI, XmppUri),
    },
];

fn places(set: RoleSet) -> u8 {
    let bit = |(place, role): (usize, &Role)| u8::from(set.contains(*role)) << place;
    ROLE_PLACES.iter().enumerate().map(bit).sum()
}

fn roles(places: u8) -> RoleSet {
    let chosen = |place: usize| places & (1 << place) != 0;
    let set = ROLE_PLACES
        .iter()
        .enumerate()
        .filter(|(place, _)| chosen(*place));
    set.fold(RoleSet::NONE, |set, (_, role)| set.with(*role))
}
