//! Rooms: whatever people write to them, each request has its answer, all that is sent is well-formed, and who was told last to be in a room is
//! in it. Rooms that leave the memory come back as they were.
//!
//! An input is a script of [`Scene`]; Romeo has made a room that is kept, and all three are in it.

use std::collections::BTreeSet;

use tercet_core::{BareJid, PresenceType, Stanza, StanzaKind};
use tercet_modules::muc::control::{self, ControlError, Shown};

use crate::Target;
use crate::server::{PEOPLE, Scene, block_on};

pub(crate) const TARGET: Target = Target {
    name: "rooms",
    run: |data| drop(play(data)),
    dictionary: &[
        "\u{1}",
        "\u{2}",
        "\u{3}",
        "\u{4}",
        "\u{1e}",
        " to='r@rooms.localhost'",
        " to='r@rooms.localhost/romeo'",
        " to='r@rooms.localhost/juliet'",
        " to='rooms.localhost'",
        " type='groupchat'",
        " type='unavailable'",
        " type='error'",
        " type='set'",
        " type='get'",
        " id='1'",
        "<presence to='r@rooms.localhost/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
        "<presence to='r@rooms.localhost/x' type='unavailable'/>",
        "<message to='r@rooms.localhost' type='groupchat'><body>b</body></message>",
        "<history maxstanzas='2'/>",
        "<password>p</password>",
        "<subject>s</subject>",
        "<item affiliation='member' jid='juliet@a.test'/>",
        "<item affiliation='outcast' jid='tybalt@b.test'/>",
        "<item role='none' nick='juliet'/>",
        "<item role='visitor' nick='juliet'/>",
        "<destroy jid='s@rooms.localhost'/>",
        "<field var='muc#roomconfig_membersonly'><value>1</value></field>",
        "<field var='muc#roomconfig_moderatedroom'><value>1</value></field>",
        "<field var='muc#roomconfig_persistentroom'><value>0</value></field>",
        "<field var='muc#roomconfig_presencebroadcast'><value>moderator</value></field>",
        "<field var='muc#roomconfig_whois'><value>anyone</value></field>",
        "<value>1</value>",
        "<value></value>",
    ],
};

const ROOM: &str = "r@rooms.localhost";

const SET_UP: &str = "\u{1}<presence to='r@rooms.localhost/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>\
    <iq type='set' id='made' to='r@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>\
    <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
    <field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>\
    \u{2}<presence to='r@rooms.localhost/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>\
    \u{3}<presence to='r@rooms.localhost/tybalt'><x xmlns='http://jabber.org/protocol/muc'/></presence>";

/// What people believe: who is in which room, by room and address.
#[derive(Default)]
struct Beliefs(BTreeSet<(String, String)>);

impl Beliefs {
    fn read(&mut self, stanza: &Stanza) {
        let own = "http://jabber.org/protocol/muc#user";
        let (Ok(Some(from)), Ok(Some(to))) = (stanza.from(), stanza.to()) else {
            return;
        };
        let x = stanza.child("x", own).map(|x| x.parse());
        let is_own = x.is_some_and(|x| {
            let mut statuses = x.root().children().filter(|c| c.is("status", own));
            statuses.any(|s| s.attr("code").as_deref() == Some("110"))
        });
        if stanza.kind() != StanzaKind::Presence || !is_own {
            return;
        }
        let place = (from.bare_str().to_owned(), to.as_str().to_owned());
        match stanza.presence_type() {
            Some(PresenceType::Available) => drop(self.0.insert(place)),
            Some(PresenceType::Unavailable) => drop(self.0.remove(&place)),
            other => panic!("self-presence of type {other:?}"),
        }
    }
}

/// What became of the room; `None`: it has gone.
fn play(data: &[u8]) -> Option<Shown> {
    let mut scene = Scene::new();
    let mut beliefs = Beliefs::default();
    scene.play(SET_UP.as_bytes(), |stanza| beliefs.read(stanza));
    assert_eq!(beliefs.0.len(), PEOPLE.len(), "all are in the room");
    scene.play(data, |stanza| beliefs.read(stanza));
    scene.expect_answers();
    let mut rooms: BTreeSet<&str> = beliefs.0.iter().map(|(room, _)| &**room).collect();
    rooms.insert(ROOM);
    for room in rooms {
        let inside = beliefs.0.iter().filter(|(r, _)| r == room).count();
        let present = shown(&scene, room).map_or(0, |shown| {
            shown.present.iter().map(|occupant| occupant.sessions).sum()
        });
        assert_eq!(present, inside, "{room}: {:?}", beliefs.0);
    }
    // All leave, the room leaves the memory, and is as it was.
    let before = shown(&scene, ROOM);
    let leave = "<presence to='r@rooms.localhost/x' type='unavailable'/>";
    let leave = ["\u{1}", "\u{2}", "\u{3}"].map(|who| format!("{who}{leave}"));
    scene.forget();
    scene.play((leave.concat() + "\u{1e}\u{1e}").as_bytes(), |stanza| {
        beliefs.read(stanza)
    });
    let after = shown(&scene, ROOM);
    if let Some(before) = &before {
        assert!(
            !beliefs.0.iter().any(|(room, _)| room == ROOM),
            "all have left"
        );
        let kept = after.as_ref().map(|a| (&a.settings, &a.affiliations));
        let was = before.listed.config.persistent;
        let was = was.then_some((&before.settings, &before.affiliations));
        assert_eq!(kept, was, "what is kept of a room");
    }
    before
}

fn shown(scene: &Scene, room: &str) -> Option<Shown> {
    let room = BareJid::parse(room).expect("an address of a room");
    match block_on(control::show(&scene.server, &room, usize::MAX)) {
        Ok(shown) => Some(shown),
        Err(ControlError::Missing(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_scripts_get_as_far_as_they_mean_to() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(TARGET.name);
        for (name, inside) in [
            ("another", Some(3)),
            ("between", Some(3)),
            ("destroyed", None),
            ("ghost", Some(2)),
            ("kicked", Some(1)),
            ("members_only", Some(2)),
            ("temporary", Some(3)),
            ("unloaded", Some(1)),
            ("voice", Some(3)),
        ] {
            let shown = play(&std::fs::read(folder.join(name)).expect("a kept script"));
            assert_eq!(shown.map(|shown| shown.present.len()), inside, "{name}");
        }
    }
}
