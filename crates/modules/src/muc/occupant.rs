//! Who is in a room: occupants by nick, each with the sessions of one person.

use std::collections::HashMap;
use std::sync::Arc;

use tercet_core::{BareJid, Edit, Jid, SharedStanza, Stanza, nickname_key};
use tercet_server::{Announcement, Session};

use super::affiliation::{Affiliation, Role, Standing};

/// Somebody in the room, under one nick.
pub struct Occupant {
    /// The address in the room.
    pub jid: Jid,
    /// The real address.
    pub user: BareJid,
    /// What the user is to the room, kept in step with its lists.
    pub affiliation: Affiliation,
    /// What it may do while it is here.
    pub role: Role,
    /// Its sessions, in the order in which they came; at least one. All of one user.
    pub sessions: Vec<Presentee>,
    /// Its presence as others see it, written at first need: without and with its real address.
    shown: [Option<Arc<Announcement>>; 2],
}

/// One session of an occupant.
pub struct Presentee {
    /// Its real full JID.
    pub jid: Jid,
    /// It, if it is of this server.
    pub session: Option<Arc<Session>>,
    /// What it last showed of itself.
    pub presence: Shown,
}

/// Presence as a client sent it, with what is left out of it when others see it.
#[derive(Clone)]
pub struct Shown {
    stanza: Stanza,
    leave_out: Box<[u32]>,
    lang: Option<Box<str>>,
}

impl Shown {
    /// What `stanza` shows, but for the children at the places `leave_out`, ascending.
    pub fn new(stanza: &Stanza, leave_out: &[u32], lang: Option<&str>) -> Shown {
        Shown {
            stanza: stanza.clone(),
            leave_out: leave_out.into(),
            lang: lang.map(Box::from),
        }
    }

    /// It, from the occupant `jid`, with the element `x` behind.
    pub fn announce(&self, jid: &Jid, x: &[u8]) -> SharedStanza {
        let edit = Edit {
            leave_out: &self.leave_out,
            append: x,
        };
        self.stanza
            .share_edited(Some(jid.as_str()), self.lang.as_deref(), edit)
    }
}

impl Occupant {
    /// An occupant with one session.
    pub fn new(jid: Jid, user: BareJid, standing: Standing, session: Presentee) -> Occupant {
        Occupant {
            jid,
            user,
            affiliation: standing.affiliation,
            role: standing.role,
            sessions: vec![session],
            shown: [None, None],
        }
    }

    /// Its nick.
    pub fn nick(&self) -> &str {
        self.jid.resource().unwrap_or_default()
    }

    /// What it is and may.
    pub fn standing(&self) -> Standing {
        Standing {
            affiliation: self.affiliation,
            role: self.role,
        }
    }

    /// The session that came first: what it shows is what others see.
    pub fn first(&self) -> &Presentee {
        &self.sessions[0]
    }

    /// The session with that real address.
    pub fn session(&self, jid: &Jid) -> Option<&Presentee> {
        self.sessions.iter().find(|s| s.jid == *jid)
    }

    /// Its presence, with its real address or without, if that was written before.
    pub fn shown(&self, real: bool) -> Option<&Arc<Announcement>> {
        self.shown[usize::from(real)].as_ref()
    }

    /// Keeps what was written.
    pub fn set_shown(&mut self, real: bool, shown: Arc<Announcement>) {
        self.shown[usize::from(real)] = Some(shown);
    }

    /// What others see of it has changed.
    pub fn changed(&mut self) {
        self.shown = [None, None];
    }
}

/// The occupants of one room.
#[derive(Default)]
pub struct Occupants {
    list: Vec<Occupant>,
    by_nick: HashMap<Box<str>, usize>,
    by_session: HashMap<Jid, usize>,
    /// Whose the nicks are that people take for one, and how many occupants have one of them.
    taken: HashMap<Box<str>, (BareJid, usize)>,
}

impl Occupants {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Occupant> {
        self.list.iter()
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Occupant> {
        self.list.iter_mut()
    }

    /// The place of the occupant under that nick; good until an occupant goes.
    pub fn place_of_nick(&self, nick: &str) -> Option<usize> {
        self.by_nick.get(nick).copied()
    }

    /// The place of the occupant that the session with that real address belongs to.
    pub fn place_of(&self, real: &Jid) -> Option<usize> {
        self.by_session.get(real).copied()
    }

    /// The occupant under that nick.
    pub fn by_nick(&self, nick: &str) -> Option<&Occupant> {
        self.place_of_nick(nick).map(|place| &self.list[place])
    }

    /// Who has that nick, or one that people take for the same (RFC 8266 §2.4).
    pub fn holder(&self, nick: &str) -> Option<&BareJid> {
        let (user, _) = self.taken.get(&*nickname_key(nick))?;
        Some(user)
    }

    /// Notes that `user` has a nick.
    fn take_nick(&mut self, nick: &str, user: &BareJid) {
        let taken = self.taken.entry(nickname_key(nick).into());
        taken.or_insert_with(|| (user.clone(), 0)).1 += 1;
    }

    /// Notes that a nick is given up.
    fn free_nick(&mut self, nick: &str) {
        let key = nickname_key(nick);
        if let Some((_, count)) = self.taken.get_mut(&*key) {
            *count -= 1;
            if *count == 0 {
                self.taken.remove(&*key);
            }
        }
    }

    /// The occupant that the session with that real address belongs to.
    pub fn of(&self, real: &Jid) -> Option<&Occupant> {
        self.place_of(real).map(|place| &self.list[place])
    }

    /// The occupants that are this user.
    pub fn of_user<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Occupant> {
        self.list.iter().filter(move |o| o.user.as_str() == user)
    }

    /// The occupant at a place.
    pub fn at(&self, place: usize) -> &Occupant {
        &self.list[place]
    }

    /// The occupant at a place, to be changed; neither its nick nor its sessions.
    pub fn at_mut(&mut self, place: usize) -> &mut Occupant {
        &mut self.list[place]
    }

    /// Takes somebody in, whose nick is free. Says where it is.
    pub fn add(&mut self, occupant: Occupant) -> usize {
        let place = self.list.len();
        self.by_nick.insert(occupant.nick().into(), place);
        self.take_nick(occupant.nick(), &occupant.user);
        for session in &occupant.sessions {
            self.by_session.insert(session.jid.clone(), place);
        }
        self.list.push(occupant);
        place
    }

    /// A session of the occupant at a place shows something else.
    pub fn show(&mut self, place: usize, real: &Jid, presence: Shown) {
        let occupant = &mut self.list[place];
        if let Some(session) = occupant.sessions.iter_mut().find(|s| s.jid == *real) {
            session.presence = presence;
        }
        occupant.changed();
    }

    /// Another session of the occupant at a place.
    pub fn add_session(&mut self, place: usize, session: Presentee) {
        self.by_session.insert(session.jid.clone(), place);
        self.list[place].sessions.push(session);
    }

    /// Takes a session from its occupant, which keeps at least one other.
    pub fn remove_session(&mut self, place: usize, real: &Jid) {
        self.by_session.remove(real);
        let occupant = &mut self.list[place];
        occupant.sessions.retain(|s| s.jid != *real);
        occupant.changed();
    }

    /// Gives the occupant at a place another address in the room, which is free.
    pub fn rename(&mut self, place: usize, jid: Jid) {
        let (was, user) = (self.list[place].jid.clone(), self.list[place].user.clone());
        self.by_nick.remove(was.resource().unwrap_or_default());
        self.free_nick(was.resource().unwrap_or_default());
        self.take_nick(jid.resource().unwrap_or_default(), &user);
        let occupant = &mut self.list[place];
        occupant.jid = jid;
        occupant.changed();
        self.by_nick.insert(occupant.nick().into(), place);
    }

    /// Takes somebody in again who was removed from that place, and nobody came or went since.
    pub fn put_back(&mut self, place: usize, occupant: Occupant) {
        let last = self.add(occupant);
        if last != place {
            self.list.swap(place, last);
            for place in [place, last] {
                let occupant = &self.list[place];
                self.by_nick.insert(occupant.nick().into(), place);
                for session in &occupant.sessions {
                    self.by_session.insert(session.jid.clone(), place);
                }
            }
        }
    }

    /// Lets somebody go. Places are other ones from here on.
    pub fn remove(&mut self, place: usize) -> Occupant {
        let gone = self.list.swap_remove(place);
        self.by_nick.remove(gone.nick());
        self.free_nick(gone.nick());
        for session in &gone.sessions {
            self.by_session.remove(&session.jid);
        }
        if let Some(moved) = self.list.get(place) {
            self.by_nick.insert(moved.nick().into(), place);
            for session in &moved.sessions {
                self.by_session.insert(session.jid.clone(), place);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occupant(nick: &str, sessions: &[&str]) -> Occupant {
        let presence = Stanza::parse(b"<presence/>").unwrap();
        let session = |jid: &&str| Presentee {
            jid: Jid::parse(jid).unwrap(),
            session: None,
            presence: Shown::new(&presence, &[], None),
        };
        let standing = Standing {
            affiliation: Affiliation::None,
            role: Role::Participant,
        };
        let user = Jid::parse(sessions[0]).unwrap().to_bare();
        let jid = Jid::parse(&format!("room@service/{nick}")).unwrap();
        let mut occupant = Occupant::new(jid, user, standing, session(&sessions[0]));
        occupant.sessions.extend(sessions[1..].iter().map(session));
        occupant
    }

    #[test]
    fn a_nick_is_taken_as_long_as_somebody_has_one_like_it() {
        let mut all = Occupants::default();
        let holder = |all: &Occupants| all.holder("THE  bard").map(|u| u.as_str().to_owned());
        let one = all.add(occupant("The Bard", &["a@x/1"]));
        all.add(occupant("the bard", &["a@x/2"]));
        assert_eq!(holder(&all).as_deref(), Some("a@x"));
        all.rename(one, Jid::parse("room@service/Bard").unwrap());
        assert_eq!(holder(&all).as_deref(), Some("a@x"));
        let gone = all.remove(one);
        all.put_back(one, gone);
        let other = all.place_of_nick("the bard").unwrap();
        all.remove(other);
        assert_eq!(holder(&all), None);
        assert!(all.holder("bARD").is_some());
    }

    #[test]
    fn occupants_are_found_by_nick_and_session_whoever_goes() {
        let mut all = Occupants::default();
        for (nick, sessions) in [
            ("a", &["a@x/1"][..]),
            ("b", &["b@x/1", "b@x/2"]),
            ("c", &["c@x/1"]),
        ] {
            all.add(occupant(nick, sessions));
        }
        let jid = |text: &str| Jid::parse(text).unwrap();
        let a = all.place_of_nick("a").unwrap();
        all.remove(a);
        assert!(all.by_nick("a").is_none() && all.of(&jid("a@x/1")).is_none());
        assert_eq!(all.of(&jid("c@x/1")).unwrap().nick(), "c");
        let b = all.place_of(&jid("b@x/2")).unwrap();
        all.remove_session(b, &jid("b@x/1"));
        assert!(all.of(&jid("b@x/1")).is_none());
        all.rename(b, jid("room@service/d"));
        assert_eq!(all.by_nick("d").unwrap().first().jid, jid("b@x/2"));
        assert!(all.by_nick("b").is_none());
        assert_eq!(all.of_user("b@x").count(), 1);
        assert_eq!(all.len(), 2);
    }
}
