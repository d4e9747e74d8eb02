//! Versions of the lists of members, admins and owners, and what has changed since one (XEP-0463 0.2.0).
//!
//! Outcasts are no part of it: who may read the other lists may not read theirs. A version is a sum over the lists, of a number for
//! each entry that only the room can make. So nothing need be kept: the same lists have the same version, also after a restart.

use std::collections::{BTreeSet, VecDeque};

use tercet_core::{BareJid, Element, Jid, SharedStanza, StanzaError, StanzaKind, XmlWriter};

use super::RoomFeature;
use super::occupant_id::RoomKey;
use crate::muc::Call;
use crate::muc::affiliation::{Affiliation, Standing};
use crate::muc::config::RoomConfig;
use crate::muc::presence::{self, USER};
use crate::muc::room::State;

/// The namespace, which is the feature as well.
const NS_VERSIONS: &str = "urn:xmpp:muc:affiliations:1";
/// Changes that a room remembers.
const REMEMBERED: usize = 256;
/// Names in one message: above it, the answer is split.
const ITEMS: usize = 200;
/// Names on lists that are sent this way; longer ones are asked for.
const NAMES: usize = 5000;

/// Versions of the lists.
pub(super) struct Versioning;

impl RoomFeature for Versioning {
    fn name(&self) -> &'static str {
        "versions"
    }

    fn disco(&self, room: &State, features: &mut BTreeSet<&'static str>) {
        if room.data.get::<RoomKey>().is_some() {
            features.insert(NS_VERSIONS);
        }
    }

    fn entered(&self, call: &Call<'_>, room: &mut State, x: Element<'_>) -> Vec<u8> {
        let Some(mav) = x.child("mav", NS_VERSIONS) else {
            return Vec::new();
        };
        let since = mav.attr("since");
        let real = call.entity.from;
        let answer = answers(room, &call.room.jid, real, since.as_deref());
        let session = room.occupants.of(real).and_then(|o| o.session(real));
        let session = session.and_then(|s| s.session.clone());
        let refused = answer.is_err();
        let messages = answer.unwrap_or_else(|error| {
            let room: &Jid = &call.room.jid;
            let kind = Some("error");
            vec![SharedStanza::compose(
                StanzaKind::Message,
                room.as_str(),
                kind,
                |out| {
                    let mut w = XmlWriter::into(std::mem::take(out));
                    error.write(&mut w);
                    *out = w.finish();
                },
            )]
        });
        // XEP-0463 §5.2.1: before any presence.
        let mut out = call
            .entity
            .server
            .fan_out(&call.room.jid, &presence::MESSAGE);
        for message in &messages {
            out.share(real, session.as_ref(), message);
        }
        drop(out);
        match versions(room).filter(|_| !refused) {
            // §5.2.1: its own presence tells the version, too.
            Some(versions) => written(None, &versions.current()),
            None => Vec::new(),
        }
    }
}

/// The version of a room's lists, with the last changes.
#[derive(Default)]
struct Versions {
    now: u128,
    /// For each of the last changes the version before it, and whose affiliation it was.
    changes: VecDeque<(u128, BareJid)>,
}

/// What somebody gets who has seen a version.
#[derive(Debug, PartialEq, Eq)]
enum Since<'a> {
    /// Nothing: that version is the present one.
    Same,
    /// Those whose affiliation has changed, each once.
    Changes(Vec<&'a BareJid>),
    /// Everybody who is on a list.
    All,
}

impl Versions {
    /// The present version.
    fn current(&self) -> String {
        name(self.now)
    }

    /// The affiliation of `user` has changed, and with it the numbers of the entry before and after.
    fn change(&mut self, user: &BareJid, before: u128, after: u128) {
        self.changes.push_back((self.now, user.clone()));
        self.now = self.now.wrapping_sub(before).wrapping_add(after);
        if self.changes.len() > REMEMBERED {
            self.changes.pop_front();
        }
    }

    /// What has happened since `version`, for `observer`.
    fn since(&self, version: Option<&str>, observer: &str) -> Since<'_> {
        let seen = version.and_then(|v| u128::from_str_radix(v, 16).ok());
        let Some(seen) = seen.filter(|seen| Some(&*name(*seen)) == version) else {
            return Since::All;
        };
        if seen == self.now {
            return Since::Same;
        }
        let mut changes = self.changes.iter();
        let Some(first) = changes.rposition(|(before, _)| *before == seen) else {
            return Since::All;
        };
        let mut changed: Vec<_> = self.changes.range(first..).map(|(_, jid)| jid).collect();
        // XEP-0463 §6: what was before one came is not told. Who was another then may not have seen the lists; all of the present
        // ones tell nothing of the past.
        if changed.iter().any(|jid| jid.as_str() == observer) {
            return Since::All;
        }
        changed.sort();
        changed.dedup();
        Since::Changes(changed)
    }
}

fn name(version: u128) -> String {
    format!("{version:032x}")
}

/// What is versioned of an affiliation.
fn listed(affiliation: Affiliation) -> Affiliation {
    match affiliation {
        Affiliation::Outcast => Affiliation::None,
        other => other,
    }
}

fn weight(key: &RoomKey, user: &BareJid, affiliation: Affiliation) -> u128 {
    match listed(affiliation) {
        Affiliation::None => 0,
        listed => key.weigh(user.as_str(), listed),
    }
}

/// The versions of a room, made at the first need; `None` where it has no key.
fn versions(room: &mut State) -> Option<&mut Versions> {
    let key = room.data.get::<RoomKey>()?;
    if room.data.get::<Versions>().is_none() {
        let entries = room.roll.iter();
        let weights = entries.map(|(user, e)| weight(key, user, e.affiliation));
        let now = weights.fold(0, u128::wrapping_add);
        room.data.put(Versions {
            now,
            ..Versions::default()
        });
    }
    Some(room.data.of())
}

/// Changes of which nobody has heard yet: whose, and what tells the versions before and after.
#[derive(Default)]
struct Unsaid(Vec<(BareJid, Vec<u8>)>);

/// The lists are about to say another affiliation of `user`.
pub(in crate::muc) fn changing(room: &mut State, user: &BareJid, to: Affiliation) {
    let from = room.affiliation(user.as_str());
    let Some(key) = room
        .data
        .get::<RoomKey>()
        .filter(|_| listed(from) != listed(to))
    else {
        return;
    };
    let (before, after) = (weight(key, user, from), weight(key, user, to));
    if let Some(versions) = versions(room) {
        let since = versions.current();
        versions.change(user, before, after);
        let mav = written(Some(&since), &versions.current());
        let unsaid = room.data.of::<Unsaid>();
        unsaid.0.retain(|(jid, _)| jid != user);
        unsaid.0.push((user.clone(), mav));
    }
}

/// What is said with the news of a change (XEP-0463 §5.2.2), inside `<x/>`; nothing if there is none.
pub(in crate::muc) fn unsaid(room: &mut State, user: &str) -> Vec<u8> {
    let unsaid = room.data.of::<Unsaid>();
    match unsaid.0.iter().position(|(jid, _)| jid.as_str() == user) {
        Some(place) => unsaid.0.remove(place).1,
        None => Vec::new(),
    }
}

/// XEP-0463 §5.2.2: of somebody who is not in the room those hear by message who may read the lists.
pub(in crate::muc) fn tell(call: &Call<'_>, room: &mut State, user: &str, mav: &[u8]) {
    if mav.is_empty() {
        return;
    }
    let affiliation = listed(room.affiliation(user));
    let from: &Jid = &call.room.jid;
    let news = SharedStanza::compose(StanzaKind::Message, from.as_str(), None, |out| {
        let mut w = XmlWriter::into(std::mem::take(out));
        w.start("x").attr("xmlns", USER).raw(mav);
        w.leaf(
            "item",
            &[
                ("jid", user),
                ("affiliation", affiliation.as_str()),
                ("role", "none"),
            ],
        );
        w.end();
        *out = w.finish();
    });
    let config = room.config.clone();
    room.cast(call.entity.server, from, &presence::MESSAGE, |to, _| {
        may_see(&config, to.standing()).then_some(&news)
    });
}

/// What who enters gets of the lists.
///
/// # Errors
/// `forbidden` if it may not read them, `resource-constraint` if they are too long for it.
fn answers(
    room: &mut State,
    jid: &BareJid,
    real: &Jid,
    since: Option<&str>,
) -> Result<Vec<SharedStanza>, StanzaError> {
    // XEP-0463 §5.2.3: who may not ask for the lists is told so with forbidden.
    if !may_see(&room.config, room.standing(real)) {
        return Err(StanzaError::forbidden());
    }
    if versions(room).is_none() {
        return Ok(Vec::new());
    }
    let Some(versions) = room.data.get::<Versions>() else {
        return Ok(Vec::new());
    };
    let item = |user: &BareJid| {
        (
            user.as_str().to_owned(),
            listed(room.affiliation(user.as_str())),
        )
    };
    let (items, since): (Vec<_>, _) = match versions.since(since, real.bare_str()) {
        Since::Same => return Ok(Vec::new()),
        Since::Changes(changed) => (changed.into_iter().map(item).collect(), since),
        Since::All => {
            let all = room.roll.iter();
            let all = all.filter(|(_, e)| listed(e.affiliation) != Affiliation::None);
            (all.map(|(user, _)| item(user)).collect(), None)
        }
    };
    if items.len() > NAMES {
        return Err(StanzaError::resource_constraint().text("the lists are too long: ask for them"));
    }
    let current = versions.current();
    let parts: Vec<&[_]> = match items.is_empty() {
        // §5.2.1: lists without names are told, too.
        true => vec![&[]],
        false => items.chunks(ITEMS).collect(),
    };
    let last = parts.len() - 1;
    let mut since = since.map(str::to_owned);
    let mut messages = Vec::new();
    for (place, part) in parts.into_iter().enumerate() {
        // Between two parts stands a version that nobody knows.
        let until = match place == last {
            true => current.clone(),
            false => format!("{current}-{place}"),
        };
        let mav = written(since.as_deref(), &until);
        let room: &Jid = jid;
        messages.push(SharedStanza::compose(
            StanzaKind::Message,
            room.as_str(),
            None,
            |out| {
                let mut w = XmlWriter::into(std::mem::take(out));
                w.start("x").attr("xmlns", USER).raw(&mav);
                for (jid, affiliation) in part {
                    w.leaf(
                        "item",
                        &[("jid", jid), ("affiliation", affiliation.as_str())],
                    );
                }
                w.end();
                *out = w.finish();
            },
        ));
        since = Some(until);
    }
    Ok(messages)
}

/// Whether somebody may get the lists this way: who may read those of members, admins and owners.
fn may_see(config: &RoomConfig, who: Standing) -> bool {
    let lists = [Affiliation::Member, Affiliation::Admin, Affiliation::Owner];
    lists.iter().all(|list| config.may_list(who, *list))
}

/// `<mav/>`, to stand inside `<x/>` of `muc#user`.
fn written(since: Option<&str>, until: &str) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("mav")
        .attr("xmlns", NS_VERSIONS)
        .opt_attr("since", since)
        .attr("until", until)
        .end();
    w.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::muc::affiliation::Role;
    use crate::muc::config::Whois;

    fn jid(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    #[test]
    fn what_has_changed_is_told_once_each() {
        let (a, b) = (jid("a@x"), jid("b@x"));
        let mut versions = Versions::default();
        let first = versions.current();
        versions.change(&b, 0, 7);
        let second = versions.current();
        versions.change(&a, 0, 11);
        versions.change(&b, 7, 13);
        let since = |v: &str| versions.since(Some(v), "me@x");
        assert_eq!(since(&versions.current()), Since::Same);
        assert_eq!(since(&second), Since::Changes(vec![&a, &b]));
        assert_eq!(since(&first), Since::Changes(vec![&a, &b]));
        assert_eq!(versions.since(None, "me@x"), Since::All);
        // Who was another then gets the present lists only.
        assert_eq!(versions.since(Some(&second), "a@x"), Since::All);
        let (long, far) = ("0".repeat(33), "f".repeat(32));
        for unknown in ["", "9pacabr2q1", "0", "+0", "é", &far, &long] {
            assert_eq!(since(unknown), Since::All, "{unknown}");
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut versions = Versions::default();
        let first = versions.current();
        for n in 0..REMEMBERED as u128 {
            versions.change(&jid(&format!("{n}@x")), 0, n + 1);
        }
        let known = versions.since(Some(&first), "me@x");
        assert!(matches!(known, Since::Changes(c) if c.len() == REMEMBERED));
        versions.change(&jid("z@x"), 0, 1 << 100);
        assert_eq!(versions.since(Some(&first), "me@x"), Since::All);
    }

    #[test]
    fn who_may_read_all_three_lists_gets_them() {
        let open = RoomConfig {
            whois: Whois::Anyone,
            ..RoomConfig::default()
        };
        let who = |affiliation, role| Standing { affiliation, role };
        let member = who(Affiliation::Member, Role::Participant);
        assert!(may_see(&open, member) && !may_see(&RoomConfig::default(), member));
        assert!(may_see(
            &RoomConfig::default(),
            who(Affiliation::Owner, Role::None)
        ));
    }
}
