//! Whom the room has invited in whose name (XEP-0045 §7.8.2): who declines reaches the one who invited, in the room or not, and nobody
//! else gets anything this way.

use std::collections::VecDeque;

use tercet_core::{BareJid, Jid};
use tercet_store::Batch;

use super::RoomFeature;
use crate::muc::records;
use crate::muc::room::{Data, State};

/// The key of the durable form, and its first byte.
const NAME: &str = "invitations";
const FORMAT: u8 = 1;
/// Invitations that a room remembers; the oldest goes first.
const MOST: usize = 100;
/// How long one can be declined: 30 days, in milliseconds.
const OPEN_MS: u64 = 30 * 24 * 3_600_000;

/// Invitations that can be declined.
pub(super) struct Invitations;

impl RoomFeature for Invitations {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        data.put(Sent::from_bytes(kept)?);
        Some(())
    }

    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        data.get::<Sent>().map(Sent::to_bytes)
    }
}

/// Who invites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::muc) struct Inviter {
    /// The real address.
    pub(in crate::muc) user: BareJid,
    /// Under which address the invitation says who it was.
    pub(in crate::muc) shown: Jid,
}

/// The invitations that a room has sent, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::muc) struct Sent(VecDeque<One>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct One {
    by: Inviter,
    to: BareJid,
    at_ms: u64,
}

/// What becomes of a message that declines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::muc) enum Declined {
    /// It goes to this user.
    By(BareJid),
    /// Somebody has invited the sender, but not the one who is named: which is not said, or addresses could be guessed.
    NotByThem,
    /// Nobody has invited the sender.
    NotInvited,
}

impl Sent {
    /// What the room remembers.
    pub(in crate::muc) fn of(state: &State) -> Sent {
        state.data.get::<Sent>().cloned().unwrap_or_default()
    }

    /// Remembers an invitation.
    pub(in crate::muc) fn add(&mut self, by: &Inviter, to: BareJid, now_ms: u64) {
        self.0
            .retain(|one| one.is_open(now_ms) && (one.by.user != by.user || one.to != to));
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        let by = by.clone();
        self.0.push_back(One {
            by,
            to,
            at_ms: now_ms,
        });
    }

    /// `from` declines the invitation of `to`, which is thereby done with.
    pub(in crate::muc) fn decline(&mut self, from: &str, to: &Jid, now_ms: u64) -> Declined {
        let mine = |one: &One| one.to.as_str() == from && one.is_open(now_ms);
        if !self.0.iter().any(mine) {
            return Declined::NotInvited;
        }
        let is_meant = |one: &One| one.by.shown == *to || one.by.user.as_str() == to.bare_str();
        let place = self.0.iter().position(|one| mine(one) && is_meant(one));
        let one = place.and_then(|place| self.0.remove(place));
        one.map_or(Declined::NotByThem, |one| Declined::By(one.by.user))
    }

    /// Keeps it.
    pub(in crate::muc) fn put(&self, batch: &mut Batch, room: &BareJid) {
        records::put_data(batch, room, NAME, self.to_bytes());
    }

    /// A version; for each invitation when it was, and three addresses, each with its length in two bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for one in &self.0 {
            out.extend_from_slice(&one.at_ms.to_be_bytes());
            for jid in [&*one.by.user, &one.by.shown, &one.to] {
                let length = u16::try_from(jid.as_str().len());
                out.extend_from_slice(&length.expect("a JID has less than 64 KiB").to_be_bytes());
                out.extend_from_slice(jid.as_str().as_bytes());
            }
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Sent> {
        let (&FORMAT, mut rest) = bytes.split_first()? else {
            return None;
        };
        let mut sent = VecDeque::new();
        while !rest.is_empty() {
            let (at, after) = rest.split_first_chunk()?;
            rest = after;
            let mut jid = || {
                let (length, after) = rest.split_first_chunk()?;
                let (jid, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
                rest = after;
                Jid::parse(std::str::from_utf8(jid).ok()?).ok()
            };
            let user = jid()?.to_bare();
            let shown = jid()?;
            sent.push_back(One {
                by: Inviter { user, shown },
                to: jid()?.to_bare(),
                at_ms: u64::from_be_bytes(*at),
            });
        }
        Some(Sent(sent))
    }
}

impl One {
    fn is_open(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) < OPEN_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn inviter(user: &str, shown: &str) -> Inviter {
        Inviter {
            user: jid(user).to_bare(),
            shown: jid(shown),
        }
    }

    #[test]
    fn an_invitation_is_declined_once_by_who_got_it_towards_who_sent_it() {
        let (one, other) = (inviter("a@x", "r@s/a"), inviter("b@x", "b@x"));
        let mut sent = Sent::default();
        sent.add(&one, jid("c@x").to_bare(), 0);
        sent.add(&other, jid("c@x").to_bare(), 0);
        for (from, to, expected) in [
            ("d@x", "a@x", Declined::NotInvited),
            ("c@x", "d@x", Declined::NotByThem),
            ("c@x", "r@s/b", Declined::NotByThem),
            ("c@x", "r@s/a", Declined::By(one.user.clone())),
            ("c@x", "r@s/a", Declined::NotByThem),
            ("c@x", "b@x/home", Declined::By(other.user.clone())),
            ("c@x", "b@x", Declined::NotInvited),
        ] {
            assert_eq!(sent.decline(from, &jid(to), 1), expected, "{from} to {to}");
        }
    }

    #[test]
    fn invitations_are_bounded_in_number_and_time() {
        let mut sent = Sent::default();
        let by = inviter("a@x", "a@x");
        for n in 0..=MOST {
            sent.add(&by, jid(&format!("{n}@x")).to_bare(), 0);
            sent.add(&by, jid(&format!("{n}@x")).to_bare(), 0);
        }
        assert_eq!(sent.0.len(), MOST);
        assert_eq!(sent.decline("0@x", &jid("a@x"), 0), Declined::NotInvited);
        assert_eq!(
            sent.decline("1@x", &jid("a@x"), OPEN_MS),
            Declined::NotInvited
        );
        sent.add(&by, jid("z@x").to_bare(), OPEN_MS);
        assert_eq!(sent.0.len(), 1);
    }

    #[test]
    fn invitations_are_read_as_they_were_written() {
        let mut sent = Sent::default();
        sent.add(&inviter("a@x", "r@s/a"), jid("c@x").to_bare(), 17);
        sent.add(&inviter("b@x", "b@x"), jid("d@x").to_bare(), 18);
        let bytes = sent.to_bytes();
        assert_eq!(Sent::from_bytes(&bytes), Some(sent));
        assert_eq!(Sent::from_bytes(&[FORMAT]), Some(Sent::default()));
        for broken in [&bytes[..bytes.len() - 1], &[2], &[]] {
            assert_eq!(Sent::from_bytes(broken), None);
        }
    }
}
