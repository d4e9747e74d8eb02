//! One room: a value behind one lock. Whatever it sends goes out under the lock, so that all occupants see one order.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::{BareJid, Jid, SharedStanza, Stanza};
use tercet_server::{Announcement, Handed, Server, Session};

use super::affiliation::{Affiliation, Role, Standing};
use super::config::RoomConfig;
use super::features::Features;
use super::gather::Gathered;
use super::history::History;
use super::occupant::{Occupant, Occupants, Presentee};
use super::presence::{self, Item};
use super::status::Status;

/// A room.
pub struct Room {
    /// Its address.
    pub jid: BareJid,
    /// Held while something durable of it changes, from the check of who may to the change in memory: others see it once it is
    /// durable, and changes come in one order.
    pub changing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What a room is and who is in it.
pub struct State {
    /// Its configuration.
    pub config: RoomConfig,
    /// Who is what to it. Those without an affiliation are not in it, unless they have a nick of their own.
    pub roll: Roll,
    /// What it is about.
    pub subject: Subject,
    /// What was said last.
    pub history: History,
    /// Who is in it.
    pub occupants: Occupants,
    /// Its maker has not said yet how it is to be: nobody else enters.
    pub locked: bool,
    /// It is not in its service's table any more: whoever holds it looks for it anew.
    pub gone: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// What the occupants have not been told yet.
    pub gathered: Gathered,
    /// What features keep.
    pub data: Data,
    /// Sessions that turned out to have ended, by their real address.
    ghosts: Vec<Jid>,
}

/// The lists of a room: affiliations by bare JID.
pub type Roll = BTreeMap<BareJid, Enrolled>;

/// What a bare JID is to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Its affiliation.
    pub affiliation: Affiliation,
    /// The nick that is kept for it.
    pub nick: Option<String>,
    /// Why it is so, in the words of who made it so.
    pub reason: Option<String>,
}

impl Enrolled {
    /// An affiliation and nothing else.
    pub fn new(affiliation: Affiliation) -> Enrolled {
        Enrolled {
            affiliation,
            nick: None,
            reason: None,
        }
    }
}

/// The subject of a room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// The `<subject/>` elements as they came, one for each language, and behind them what features add to a message of who set it;
    /// empty for none.
    pub xml: Vec<u8>,
    /// Who set it: the address in the room.
    pub by: Option<Jid>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What features keep of a room, by type.
#[derive(Default)]
pub struct Data(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl Data {
    /// The value of type `T`, if there is one.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Puts a value in, in the place of another of its type.
    pub fn put<T: Any + Send + Sync>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The value of type `T`, made now if there is none.
    pub fn of<T: Any + Send + Sync + Default>(&mut self) -> &mut T {
        let value = self.0.entry(TypeId::of::<T>());
        let value = value.or_insert_with(|| Box::new(T::default()));
        value
            .downcast_mut()
            .expect("what stands under a type is of that type")
    }
}

impl Room {
    /// A room with nobody in it.
    pub fn new(jid: BareJid, state: State) -> Room {
        Room {
            jid,
            changing: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        }
    }

    /// Its state, locked. Hold it shortly, never across an await, never two rooms' at once, and take no account's lock for long.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A new room.
    pub fn new(config: RoomConfig, now_ms: u64) -> State {
        State {
            config,
            roll: Roll::new(),
            subject: Subject::default(),
            history: History::default(),
            occupants: Occupants::default(),
            locked: false,
            gone: false,
            created_ms: now_ms,
            gathered: Gathered::default(),
            data: Data::default(),
            ghosts: Vec::new(),
        }
    }

    /// What a bare JID is to the room.
    pub fn affiliation(&self, user: &str) -> Affiliation {
        let enrolled = self.roll.get(user);
        enrolled.map_or(Affiliation::None, |e| e.affiliation)
    }

    /// What somebody is and may, by the real address; admins may much from outside the room, too.
    pub fn standing(&self, real: &Jid) -> Standing {
        match self.occupants.of(real) {
            Some(occupant) => occupant.standing(),
            None => Standing {
                affiliation: self.affiliation(real.bare_str()),
                role: Role::None,
            },
        }
    }

    /// Whether there is no owner but `user`.
    pub fn is_last_owner(&self, user: &str) -> bool {
        let mut owners = self.roll.iter();
        self.affiliation(user) == Affiliation::Owner
            && owners.all(|(jid, e)| e.affiliation != Affiliation::Owner || jid.as_str() == user)
    }

    /// Whether the presence of occupants with that role is shown to others.
    pub fn shows(&self, role: Role) -> bool {
        // Who has left had a role; everybody who saw it come sees it go.
        role == Role::None || self.config.presence_broadcast.contains(role)
    }

    /// Hands a stanza to every session for which `pick` gives one. `from` is who it is from, `model` what recipients' stages are shown.
    pub fn cast<'a>(
        &mut self,
        server: &Arc<Server>,
        from: &Jid,
        model: &Stanza,
        mut pick: impl FnMut(&Occupant, &Presentee) -> Option<&'a SharedStanza>,
    ) {
        let mut out = server.fan_out(from, model);
        for occupant in self.occupants.iter() {
            for session in &occupant.sessions {
                if let Some(stanza) = pick(occupant, session)
                    && out.share(&session.jid, session.session.as_ref(), stanza) == Handed::Gone
                {
                    self.ghosts.push(session.jid.clone());
                }
            }
        }
    }

    /// Hands a message of the room itself to all.
    pub fn cast_message(&mut self, server: &Arc<Server>, room: &Jid, message: &SharedStanza) {
        self.cast(server, room, &presence::MESSAGE, |_, _| Some(message));
    }

    /// Hands presence to one session of the room.
    pub fn tell(
        &mut self,
        server: &Arc<Server>,
        from: &Jid,
        to: &Jid,
        session: Option<&Arc<Session>>,
        stanza: &SharedStanza,
    ) {
        let mut out = server.fan_out(from, &presence::PRESENCE);
        if out.share(to, session, stanza) == Handed::Gone {
            self.ghosts.push(to.clone());
        }
    }

    /// The presence of the occupant at a place as others see it: with its real address, or without.
    pub fn announcement(
        &mut self,
        features: &Features,
        room: &Jid,
        place: usize,
        real: bool,
    ) -> Arc<Announcement> {
        if let Some(shown) = self.occupants.at(place).shown(real) {
            return shown.clone();
        }
        let occupant = self.occupants.at(place);
        let item = Item::of(occupant, real.then(|| occupant.first()));
        let shown = Arc::new(Announcement {
            from: occupant.jid.clone(),
            stanza: self.present(features, room, occupant, occupant.first(), item, &[]),
        });
        self.occupants.at_mut(place).set_shown(real, shown.clone());
        shown
    }

    /// The presence of `occupant` as shown by `session`, with `item` and statuses, and what features add.
    pub fn present(
        &self,
        features: &Features,
        room: &Jid,
        occupant: &Occupant,
        session: &Presentee,
        item: Item<'_>,
        statuses: &[Status],
    ) -> SharedStanza {
        let mut x = Vec::new();
        item.write(statuses, &[], &mut x);
        for feature in features.iter() {
            feature.presence(room, self, occupant, &mut x);
            feature.stamp(self, occupant, &mut x);
        }
        session.presence.announce(&occupant.jid, &x)
    }

    /// These sessions turned out to have ended.
    pub fn lost(&mut self, sessions: Vec<Jid>) {
        self.ghosts.extend(sessions);
    }

    /// A session that turned out to have ended.
    pub fn next_ghost(&mut self) -> Option<Jid> {
        self.ghosts.pop()
    }
}
