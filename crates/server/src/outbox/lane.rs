//! Lists that are too long for the queue, each with what comes after it from the same sender: they go into the queue as it is
//! taken, so that a long list never fills it.

use std::collections::VecDeque;
use std::sync::Arc;

use tercet_core::{Jid, SharedStanza};

/// Lists of one sender that may wait for a client: who asks for more before it has read those is given no more.
const LISTS: usize = 4;

/// A stanza from an address of a service, for many.
#[derive(Debug)]
pub struct Announcement {
    /// The address.
    pub from: Jid,
    /// The stanza.
    pub stanza: SharedStanza,
}

/// Many of them, for all who are to get the same.
pub type Announcements = Arc<[Arc<Announcement>]>;

/// What waits, a lane for each sender.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: VecDeque<Lane>,
    /// Bytes of what comes behind lists.
    bytes: usize,
}

#[derive(Debug)]
struct Lane {
    /// The bare JID of the sender.
    from: Box<str>,
    parts: VecDeque<Part>,
}

#[derive(Debug)]
enum Part {
    /// A list, as far as it has not gone, for this address; without those at some places, which are ascending.
    List {
        to: Jid,
        all: Announcements,
        leave_out: VecDeque<usize>,
        next: usize,
    },
    /// One stanza.
    Written(Vec<u8>),
}

impl Lanes {
    /// A list from an address with the bare JID `from`; false if too many wait.
    pub(super) fn open(
        &mut self,
        from: &str,
        to: &Jid,
        all: Announcements,
        leave_out: Vec<usize>,
    ) -> bool {
        let list = Part::List {
            to: to.clone(),
            all,
            leave_out: leave_out.into(),
            next: 0,
        };
        let Some(lane) = self.lane(from) else {
            self.lanes.push_back(Lane {
                from: from.into(),
                parts: VecDeque::from([list]),
            });
            return true;
        };
        let lists = lane.parts.iter();
        let waiting = lists.filter(|part| matches!(part, Part::List { .. }));
        if waiting.count() >= LISTS {
            return false;
        }
        lane.parts.push_back(list);
        true
    }

    fn lane(&mut self, from: &str) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| *lane.from == *from)
    }

    /// Whether something from there waits.
    pub(super) fn has(&self, from: &str) -> bool {
        self.lanes.iter().any(|lane| *lane.from == *from)
    }

    /// A stanza behind what waits from there. Says how many bytes wait so.
    pub(super) fn push(&mut self, from: &str, stanza: Vec<u8>) -> usize {
        if !stanza.is_empty() {
            self.bytes += stanza.len();
            if let Some(lane) = self.lane(from) {
                lane.parts.push_back(Part::Written(stanza));
            }
        }
        self.bytes
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Appends the next stanza, or nothing where a list is at its end.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        let Some(lane) = self.lanes.front_mut() else {
            return;
        };
        match lane.parts.front_mut() {
            Some(Part::List {
                to,
                all,
                leave_out,
                next,
            }) => {
                while leave_out.front() == Some(next) {
                    leave_out.pop_front();
                    *next += 1;
                }
                match all.get(*next) {
                    Some(one) => {
                        one.stanza.write(out, Some(to.as_str()));
                        *next += 1;
                    }
                    None => drop(lane.parts.pop_front()),
                }
            }
            Some(Part::Written(stanza)) => {
                self.bytes -= stanza.len();
                out.extend_from_slice(stanza);
                lane.parts.pop_front();
            }
            None => {}
        }
        if lane.parts.is_empty() {
            self.lanes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use tercet_core::StanzaKind;

    use super::*;
    use crate::outbox::{Outbox, SLICE};

    const LIMIT: usize = 100_000;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    /// So many presences of a kilobyte.
    fn list(count: usize) -> Announcements {
        (0..count)
            .map(|n| {
                let from = jid(&format!("room@service/{n}"));
                let kind = StanzaKind::Presence;
                let stanza = SharedStanza::compose(kind, from.as_str(), None, |out| {
                    out.extend([b'x'; 1000]);
                });
                Arc::new(Announcement { from, stanza })
            })
            .collect()
    }

    fn take(outbox: &Outbox) -> Option<String> {
        let Poll::Ready(taken) = outbox.poll_take(&mut Context::from_waker(Waker::noop())) else {
            return None;
        };
        assert!(taken.end.is_none(), "{:?}", taken.end);
        Some(String::from_utf8(taken.bytes).unwrap())
    }

    #[test]
    fn a_list_of_any_length_goes_as_it_is_read_and_what_follows_from_there_stays_behind() {
        let outbox = Outbox::new(LIMIT);
        let (room, to) = ("room@service", jid("a@b/c"));
        assert!(outbox.push_list(room, &to, list(1000), vec![0, 2, 999]));
        assert!(outbox.push_from(room, |out| out.extend_from_slice(b"[news]")));
        assert!(outbox.push_from("other@service", |out| out.extend_from_slice(b"[other]")));
        let mut got = String::new();
        while let Some(bytes) = take(&outbox) {
            assert!(bytes.len() < SLICE + 2000, "{}", bytes.len());
            got += &bytes;
        }
        assert!(got.starts_with("[other]<presence to='a@b/c' from='room@service/1'>"));
        assert_eq!(got.matches("<presence").count(), 997);
        assert!(got.ends_with("[news]"));
        // The way is free again.
        assert!(outbox.push_from(room, |out| out.extend_from_slice(b"[later]")));
        assert_eq!(take(&outbox).as_deref(), Some("[later]"));
    }

    #[test]
    fn who_does_not_read_what_is_behind_a_list_or_asks_for_one_list_after_another_is_ended() {
        let (room, to, list) = ("room@service", jid("a@b/c"), list(100));
        let outbox = Outbox::new(LIMIT);
        assert!(outbox.push_list(room, &to, list.clone(), Vec::new()));
        let more = |out: &mut Vec<u8>| out.extend([b'x'; 10_000]);
        assert_eq!((0..20).filter(|_| outbox.push_from(room, more)).count(), 10);
        assert!(!outbox.is_open());
        let outbox = Outbox::new(LIMIT);
        let mut lists = (0..20).map(|_| list.clone());
        let all = lists.all(|list| outbox.push_list(room, &to, list, Vec::new()));
        assert!(!all && !outbox.is_open());
    }
}
