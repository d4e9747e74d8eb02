//! What an entity of this server has to say to another server's people, and what has no bound of its own: lists of a large room, a
//! message to thousands in it. It goes out as the way there takes it, so that one room never fills the line on which everybody else's
//! stanzas go, and loses nothing for want of place.
//!
//! A lane is what one entity has to say to one domain, in order. It is open while something waits; what is said meanwhile goes behind
//! it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tercet_core::{Jid, StanzaError};

use super::{Letter, Routed};
use crate::outbox::Announcements;
use crate::server::Server;

/// How often it is looked whether more can go, in milliseconds.
const LOOKED_MS: u64 = 50;
/// Bytes of stanzas that may wait in one lane, and in all. What comes then goes back to the entity as undeliverable.
const LANE_BYTES: usize = 16 << 20;
const ALL_BYTES: usize = 64 << 20;
/// Lists that may wait in one lane.
const LISTS: usize = 256;

/// What waits.
#[derive(Default)]
pub(crate) struct Afar {
    lanes: Mutex<Lanes>,
    /// How many lanes are open: mostly none, and then nothing else is looked at.
    open: AtomicUsize,
}

#[derive(Default)]
struct Lanes {
    /// By the entity's bare JID and the domain.
    lanes: HashMap<(Box<str>, Box<str>), Lane>,
    bytes: usize,
    /// A job of the agenda will look.
    is_due: bool,
}

#[derive(Default)]
struct Lane {
    parts: VecDeque<Part>,
    bytes: usize,
    lists: usize,
}

enum Part {
    /// One stanza.
    Written(Letter),
    /// A list, as far as it has not gone, for this address.
    List {
        to: Jid,
        all: Announcements,
        next: usize,
    },
}

impl Server {
    /// Brings a stanza of the entity `from` on its way, behind what waits there already.
    pub(super) fn hand_in_order(&self, letter: Letter) {
        let afar = self.afar();
        let (from, domain) = (letter.from.bare_str(), letter.to.domain());
        if afar.open.load(Ordering::SeqCst) == 0 && self.has_room(&letter.from, domain) {
            return self.hand_in(letter);
        }
        let mut lanes = afar.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (from.into(), domain.into());
        if !lanes.lanes.contains_key(&key) && self.has_room(&letter.from, domain) {
            return self.hand_in(letter);
        }
        let bytes = letter.bytes.len();
        let in_all = lanes.bytes + bytes;
        let lane = lanes.lanes.entry(key).or_default();
        if lane.bytes + bytes > LANE_BYTES || in_all > ALL_BYTES {
            drop(lanes);
            return self.give_up(letter);
        }
        lane.bytes += bytes;
        lane.parts.push_back(Part::Written(letter));
        lanes.bytes = in_all;
        self.look_later(afar, &mut lanes);
    }

    /// Brings a list of the entity with the bare JID `from` on its way to one of its people elsewhere. False if too many wait.
    pub(super) fn list_afar(&self, from: &Jid, to: &Jid, all: &Announcements) -> bool {
        let afar = self.afar();
        let mut lanes = afar.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (from.bare_str().into(), to.domain().into());
        let lane = lanes.lanes.entry(key).or_default();
        if lane.lists >= LISTS {
            return false;
        }
        lane.lists += 1;
        lane.parts.push_back(Part::List {
            to: to.clone(),
            all: all.clone(),
            next: 0,
        });
        self.send_what_fits(&mut lanes);
        self.look_later(afar, &mut lanes);
        true
    }

    /// Sends of each lane what fits.
    fn send_what_fits(&self, lanes: &mut Lanes) {
        let mut sent = 0;
        lanes.lanes.retain(|(from, _), lane| {
            while let Some(part) = lane.parts.front_mut() {
                match part {
                    Part::List { to, all, next } => {
                        let Some(one) = all.get(*next) else {
                            lane.parts.pop_front();
                            lane.lists -= 1;
                            continue;
                        };
                        if !self.has_room(&one.from, to.domain()) {
                            return true;
                        }
                        let mut out = Vec::new();
                        one.stanza.write(&mut out, Some(to.as_str()));
                        *next += 1;
                        if let Some(letter) = Letter::parse(out)
                            && letter.from.bare_str() == &**from
                        {
                            self.hand_in(letter);
                        }
                    }
                    Part::Written(letter) => {
                        if !self.has_room(&letter.from, letter.to.domain()) {
                            return true;
                        }
                        if let Some(Part::Written(letter)) = lane.parts.pop_front() {
                            lane.bytes -= letter.bytes.len();
                            sent += letter.bytes.len();
                            self.hand_in(letter);
                        }
                    }
                }
            }
            false
        });
        lanes.bytes -= sent;
    }

    /// Has it looked at again as long as something waits.
    fn look_later(&self, afar: &Afar, lanes: &mut Lanes) {
        afar.open.store(lanes.lanes.len(), Ordering::SeqCst);
        if lanes.is_due || lanes.lanes.is_empty() {
            return;
        }
        let at_ms = self.now_ms().saturating_add(LOOKED_MS);
        lanes.is_due = self.at(at_ms, |server| {
            let afar = server.afar();
            let mut lanes = afar.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.is_due = false;
            server.send_what_fits(&mut lanes);
            server.look_later(afar, &mut lanes);
            Routed::Done
        });
    }

    /// Nobody takes so much: as if it could not be brought there in time, upon which rooms let go of whom it was for.
    fn give_up(&self, letter: Letter) {
        self.at(self.now_ms(), move |server: &Arc<Server>| {
            let text = format!("too much is waiting for {} already", letter.to.domain());
            let error = StanzaError::remote_server_timeout().text(text);
            server.undelivered(&letter, &error)
        });
    }
}
