//! What moderators, admins and owners do with others: `muc#admin` (XEP-0045 §8.2 to §8.5, §9, §10.3 to §10.8).

use std::collections::{BTreeMap, BTreeSet};

use tercet_core::{
    BareJid, Element, IqType, Jid, OwnedElement, StanzaError, XmlWriter, nickname_key,
    prepare_resource,
};
use tercet_server::{Routed, store_failure};
use tercet_store::Batch;

use super::affiliation::{
    Affiliation, Role, Subject, may_change_affiliation, may_change_role, role_after,
};
use super::features::{hats, versions};
use super::presence::Cause;
use super::room::{Enrolled, State};
use super::status::Status;
use super::{Call, invite, leave, nick, records, show};

/// The namespace of these requests.
pub(super) const NS: &str = "http://jabber.org/protocol/muc#admin";

/// Changes in one request.
const ITEMS: usize = 1000;
/// Names on the lists of one room.
pub(super) const NAMES: usize = 50_000;
/// Bytes of a reason.
const REASON: usize = 1024;

/// One thing that is to change.
pub(super) enum Change {
    /// The role of who has this nick.
    Role {
        /// The nick.
        nick: String,
        /// The role; none is a kick.
        to: Role,
        /// Why.
        reason: Option<String>,
    },
    /// The affiliation of a user.
    Affiliation {
        /// The user.
        user: BareJid,
        /// The affiliation.
        to: Affiliation,
        /// The nick that is kept for the user, if one is named; an empty one is none.
        nick: Option<String>,
        /// Why.
        reason: Option<String>,
    },
}

/// A `muc#admin` request.
pub(super) fn request(call: &Call<'_>) -> Routed {
    let cx = call.entity;
    let Some(payload) = cx.stanza.payload().map(|p| p.parse()) else {
        return Routed::Done;
    };
    let outcome = match cx.stanza.iq_type() {
        Some(IqType::Get) => list(call, &payload).map(|answer| {
            cx.answer(&answer);
            Routed::Done
        }),
        _ => set(call, &payload),
    };
    outcome.unwrap_or_else(|error| {
        cx.refuse(&error);
        Routed::Done
    })
}

fn items<'a>(query: &'a OwnedElement) -> impl Iterator<Item = Element<'a>> {
    query.root().children().filter(|c| c.is("item", NS))
}

/// A list of those with an affiliation, or of occupants with a role.
fn list(call: &Call<'_>, query: &OwnedElement) -> Result<Vec<u8>, StanzaError> {
    let state = call.room.lock();
    let who = state.standing(call.entity.from);
    let item = items(query).next().ok_or_else(StanzaError::bad_request)?;
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", NS);
    if let Some(affiliation) = item.attr("affiliation") {
        let wanted = Affiliation::parse(&affiliation).ok_or_else(StanzaError::bad_request)?;
        if !state.config.may_list(who, wanted) {
            return Err(StanzaError::forbidden());
        }
        for (user, enrolled) in &state.roll {
            if enrolled.affiliation == wanted {
                write_user(&state, user, enrolled, &mut w);
            }
        }
    } else {
        let role = item.attr("role").and_then(|r| Role::parse(&r));
        let role = role.ok_or_else(StanzaError::bad_request)?;
        // XEP-0045 §9.8: the moderator list is for admins; §8.5: that of those with voice for moderators.
        let allowed = match role {
            Role::Moderator => who.administers(),
            Role::Participant | Role::Visitor => who.moderates(),
            Role::None => false,
        };
        if !allowed {
            return Err(StanzaError::forbidden());
        }
        for occupant in state.occupants.iter().filter(|o| o.role == role) {
            w.leaf(
                "item",
                &[
                    ("affiliation", occupant.affiliation.as_str()),
                    ("jid", occupant.first().jid.as_str()),
                    ("nick", occupant.nick()),
                    ("role", occupant.role.as_str()),
                ],
            );
        }
    }
    w.end();
    Ok(w.finish())
}

fn write_user(state: &State, user: &BareJid, enrolled: &Enrolled, w: &mut XmlWriter) {
    let here = match enrolled.affiliation {
        Affiliation::Outcast => None,
        _ => state.occupants.of_user(user.as_str()).next(),
    };
    let nick = here.map(|o| o.nick()).or(enrolled.nick.as_deref());
    w.start("item")
        .attr("affiliation", enrolled.affiliation.as_str())
        .attr("jid", user.as_str())
        .opt_attr("nick", nick)
        .opt_attr("role", here.map(|o| o.role.as_str()));
    if let Some(reason) = &enrolled.reason {
        w.text_element("reason", reason);
    }
    w.end();
}

/// Reads one item of a request that changes something.
fn parse(state: &State, item: Element<'_>) -> Result<Change, StanzaError> {
    let bad = |text: &'static str| StanzaError::bad_request().text(text);
    let reason = item.child("reason", NS).map(|r| {
        let reason = r.text();
        reason[..reason.floor_char_boundary(REASON)].to_owned()
    });
    let reason = reason.filter(|r| !r.is_empty());
    let nick = item.attr("nick").map(|n| n.into_owned());
    match (item.attr("role"), item.attr("affiliation")) {
        (Some(role), None) => {
            let to = Role::parse(&role).ok_or_else(|| bad("there is no such role"))?;
            let nick = nick.ok_or_else(|| bad("whose role? a nick is needed"))?;
            Ok(Change::Role { nick, to, reason })
        }
        (None, Some(affiliation)) => {
            let to = Affiliation::parse(&affiliation);
            let to = to.ok_or_else(|| bad("there is no such affiliation"))?;
            let user = match (item.attr("jid"), &nick) {
                (Some(jid), _) => Jid::parse(&jid)?.to_bare(),
                (None, Some(nick)) => {
                    let occupant = state.occupants.by_nick(nick);
                    occupant
                        .ok_or_else(|| StanzaError::item_not_found().text("nobody has this nick"))?
                        .user
                        .clone()
                }
                (None, None) => return Err(bad("whose affiliation? an address is needed")),
            };
            let nick = match nick.filter(|_| item.attr("jid").is_some()) {
                Some(nick) if !nick.is_empty() => Some(prepare_resource(&nick)?.into_owned()),
                // XEP-0045 §9.5: an empty one takes the nick from the user.
                nick => nick,
            };
            Ok(Change::Affiliation {
                user,
                to,
                nick,
                reason,
            })
        }
        _ => Err(bad("an item changes either a role or an affiliation")),
    }
}

/// Checks whether `actor` may do all of it.
pub(super) fn check(state: &State, actor: &Jid, changes: &[Change]) -> Result<(), StanzaError> {
    let standing = state.standing(actor);
    // What the changes before have made of it.
    let mut changed: BTreeMap<&str, Affiliation> = BTreeMap::new();
    check_nicks(state, changes)?;
    for change in changes {
        match change {
            Change::Role { nick, to, .. } => {
                let target = state.occupants.by_nick(nick);
                let target = target.map(|t| t.standing());
                if !standing.moderates() {
                    return Err(StanzaError::forbidden());
                }
                let target = target
                    .ok_or_else(|| StanzaError::item_not_found().text("nobody has this nick"))?;
                may_change_role(standing, target, *to)?;
            }
            Change::Affiliation { user, to, .. } => {
                let now = |jid: &str| {
                    let changed = changed.get(jid).copied();
                    changed.unwrap_or_else(|| state.affiliation(jid))
                };
                let affiliation = now(user.as_str());
                let others = state
                    .roll
                    .keys()
                    .any(|jid| jid != user && now(jid.as_str()) == Affiliation::Owner);
                let subject = Subject {
                    affiliation,
                    is_actor: actor.bare_str() == user.as_str(),
                    is_last_owner: affiliation == Affiliation::Owner && !others,
                };
                may_change_affiliation(standing.affiliation, subject, *to)?;
                changed.insert(user.as_str(), *to);
            }
        }
    }
    if state.roll.len() + changed.len() > NAMES {
        return Err(StanzaError::resource_constraint().text("the lists of this room are full"));
    }
    Ok(())
}

/// Nicks that are to be kept are nobody else's, and all different.
fn check_nicks(state: &State, changes: &[Change]) -> Result<(), StanzaError> {
    let mut kept = BTreeSet::new();
    for change in changes {
        let Change::Affiliation {
            user,
            to,
            nick: Some(nick),
            ..
        } = change
        else {
            continue;
        };
        if nick.is_empty() || *to < Affiliation::Member {
            continue;
        }
        nick::check_reservation(&state.roll, nick, user)?;
        if !kept.insert(nickname_key(nick)) {
            return Err(StanzaError::conflict().text("one nick for two users"));
        }
    }
    Ok(())
}

/// What a user will be to the room.
fn enrolled(state: &State, change: &Change) -> Option<(BareJid, Enrolled)> {
    let Change::Affiliation {
        user,
        to,
        nick,
        reason,
    } = change
    else {
        return None;
    };
    let kept = state.roll.get(user.as_str()).and_then(|e| e.nick.clone());
    let enrolled = Enrolled {
        affiliation: *to,
        nick: match to {
            Affiliation::Outcast | Affiliation::None => None,
            _ => nick.clone().or(kept).filter(|nick| !nick.is_empty()),
        },
        reason: reason.clone(),
    };
    Some((user.clone(), enrolled))
}

/// All or nothing: checked, made durable, then done and told.
fn set(call: &Call<'_>, query: &OwnedElement) -> Result<Routed, StanzaError> {
    let cx = call.entity;
    let mut state = call.room.lock();
    let changes = parse_all(&state, query)?;
    check(&state, cx.from, &changes)?;
    let durable = state.config.persistent
        && changes
            .iter()
            .any(|c| matches!(c, Change::Affiliation { .. }));
    if !durable {
        let invited = invited(&state, &changes);
        let sent = invite::remembering(call, &state, invited.iter());
        apply(call, &mut state, &changes, &invited);
        invite::call_in(call, &mut state, &invited, sent);
        cx.answer(&[]);
        leave::settle(call, &mut state);
        return Ok(Routed::Done);
    }
    drop(state);
    let parked = call.park();
    Ok(Routed::later(async move {
        let call = parked.call();
        let cx = call.entity;
        match commit(&call, &changes).await {
            Ok(()) => cx.answer(&[]),
            Err(error) => cx.refuse(&error),
        }
    }))
}

fn parse_all(state: &State, query: &OwnedElement) -> Result<Vec<Change>, StanzaError> {
    let changes: Vec<Change> = items(query)
        .take(ITEMS + 1)
        .map(|item| parse(state, item))
        .collect::<Result<_, _>>()?;
    match changes.len() {
        0 => Err(StanzaError::bad_request().text("nothing is to be changed")),
        1..=ITEMS => Ok(changes),
        _ => Err(StanzaError::resource_constraint().text("too many changes at once")),
    }
}

/// Changes of a persistent room by the sender, checked once more under the lock that keeps them in one order.
pub(super) async fn commit(call: &Call<'_>, changes: &[Change]) -> Result<(), StanzaError> {
    let may = |state: &State| check(state, call.entity.from, changes);
    commit_if(call, changes, None, may).await
}

/// The same in the name of the service, which may everything but leave the room without an owner.
pub(super) async fn commit_unasked(call: &Call<'_>, changes: &[Change]) -> Result<(), StanzaError> {
    commit_if(call, changes, None, |state| {
        let mut owners: Vec<&str> = state
            .roll
            .iter()
            .filter(|(_, e)| e.affiliation == Affiliation::Owner)
            .map(|(user, _)| user.as_str())
            .collect();
        for change in changes {
            if let Change::Affiliation { user, to, .. } = change {
                owners.retain(|owner| *owner != user.as_str());
                if *to == Affiliation::Owner {
                    owners.push(user.as_str());
                }
            }
        }
        if owners.is_empty() {
            return Err(StanzaError::conflict().text("the room would be without an owner"));
        }
        if state.roll.len() + changes.len() > NAMES {
            return Err(StanzaError::resource_constraint().text("the lists of this room are full"));
        }
        Ok(())
    })
    .await
}

/// The same where `may` says so. Whose account has `gone` is not told.
pub(super) async fn commit_if(
    call: &Call<'_>,
    changes: &[Change],
    gone: Option<&BareJid>,
    may: impl FnOnce(&State) -> Result<(), StanzaError>,
) -> Result<(), StanzaError> {
    let cx = call.entity;
    let _alone = call.room.changing.lock().await;
    let (invited, sent, commit) = {
        let state = call.room.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        may(&state)?;
        let invited = invited(&state, changes);
        let sent = invite::remembering(call, &state, invited.iter());
        let mut batch = Batch::new();
        let roll: Vec<_> = changes.iter().filter_map(|c| enrolled(&state, c)).collect();
        for (user, enrolled) in &roll {
            records::put_enrolled(&mut batch, &call.room.jid, user.as_str(), enrolled);
        }
        let roll = roll.iter().map(|(user, enrolled)| (user, enrolled));
        hats::put_without(&mut batch, &call.room.jid, &state, roll);
        if !invited.is_empty() {
            sent.put(&mut batch, &call.room.jid);
        }
        // Of a room that is not kept, nothing is.
        let kept = state.config.persistent && !state.locked;
        let commit = kept.then(|| cx.server.store().commit(batch));
        (invited, sent, commit)
    };
    if let Some(commit) = commit {
        commit.await.map_err(|e| store_failure(&e))?;
    }
    let mut state = call.room.lock();
    let untold: Vec<BareJid> = invited.iter().chain(gone).cloned().collect();
    apply(call, &mut state, changes, &untold);
    invite::call_in(call, &mut state, &invited, sent);
    leave::settle(call, &mut state);
    Ok(())
}

/// XEP-0045 §9.5: who was nothing to a room for members only, and is put on its member list, is invited.
fn invited(state: &State, changes: &[Change]) -> Vec<BareJid> {
    let new = changes.iter().filter_map(|change| match change {
        Change::Affiliation {
            user,
            to: Affiliation::Member,
            ..
        } if state.affiliation(user.as_str()) == Affiliation::None => Some(user.clone()),
        _ => None,
    });
    match state.config.members_only {
        true => new.collect(),
        false => Vec::new(),
    }
}

/// Does what was checked, and shows it to all, and to those whom it concerns wherever they are, but for `untold`.
pub(super) fn apply(call: &Call<'_>, state: &mut State, changes: &[Change], untold: &[BareJid]) {
    let actor = state.occupants.of(call.entity.from);
    let actor = actor.map(|o| o.nick().to_owned());
    for change in changes {
        match change {
            Change::Role { nick, to, reason } => {
                let cause = Cause {
                    actor: actor.as_deref(),
                    reason: reason.as_deref(),
                    more: &[],
                };
                change_role(call, state, nick, *to, cause);
            }
            Change::Affiliation {
                user, to, reason, ..
            } => {
                let from = state.affiliation(user.as_str());
                if let Some((user, enrolled)) = enrolled(state, change) {
                    enroll(state, user, enrolled);
                }
                let cause = Cause {
                    actor: actor.as_deref(),
                    reason: reason.as_deref(),
                    more: &[],
                };
                let code = match to {
                    Affiliation::Outcast => Status::Banned,
                    _ => Status::RemovedByAffiliation,
                };
                if !untold.contains(user) {
                    show::tell_absent(call, state, user, from, reason.as_deref());
                }
                affiliate(call, state, user.as_str(), cause, code);
            }
        }
    }
}

/// Puts a user on the lists, or takes it from them.
pub(super) fn enroll(state: &mut State, user: BareJid, enrolled: Enrolled) {
    versions::changing(state, &user, enrolled.affiliation);
    hats::enrolling(state, &user, enrolled.affiliation);
    if enrolled.affiliation == Affiliation::None && enrolled.nick.is_none() {
        state.roll.remove(&user);
    } else {
        state.roll.insert(user, enrolled);
    }
}

/// Makes `user` what `enrolled` says, as the room's own rules have it, not an admin: durable if the room is, together with `more`; then
/// done with `then`, and shown to all. The caller holds `changing`.
///
/// # Errors
/// `item-not-found` if the room has gone, `resource-constraint` if its lists are full, or the store's failure.
pub(super) async fn enlist(
    call: &Call<'_>,
    user: &BareJid,
    enrolled: Enrolled,
    mut more: Batch,
    then: impl FnOnce(&mut State),
) -> Result<(), StanzaError> {
    let commit = {
        let state = call.room.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        if state.roll.len() >= NAMES && !state.roll.contains_key(user) {
            return Err(StanzaError::resource_constraint().text("the lists of this room are full"));
        }
        records::put_enrolled(&mut more, &call.room.jid, user.as_str(), &enrolled);
        let change = std::iter::once((user, &enrolled));
        hats::put_without(&mut more, &call.room.jid, &state, change);
        let store = call.entity.server.store();
        state.config.persistent.then(|| store.commit(more))
    };
    if let Some(commit) = commit {
        commit.await.map_err(|e| store_failure(&e))?;
    }
    let mut state = call.room.lock();
    then(&mut state);
    enroll(&mut state, user.clone(), enrolled);
    let code = Status::RemovedByAffiliation;
    affiliate(call, &mut state, user.as_str(), Cause::default(), code);
    leave::settle(call, &mut state);
    Ok(())
}

fn change_role(call: &Call<'_>, state: &mut State, nick: &str, to: Role, cause: Cause<'_>) {
    let Some(place) = state.occupants.place_of_nick(nick) else {
        return;
    };
    if to == Role::None {
        // XEP-0045 §8.2: a kick; everybody sees by whom and why.
        return leave::expel(call, state, place, None, &[Status::Kicked], cause);
    }
    if state.occupants.at(place).role != to {
        state.occupants.at_mut(place).role = to;
        show::show_change(call, state, place, cause);
    }
}

/// The occupants that are `user` get what its affiliation brings, or leave with `code`.
pub(super) fn affiliate(
    call: &Call<'_>,
    state: &mut State,
    user: &str,
    cause: Cause<'_>,
    code: Status,
) {
    let to = state.affiliation(user);
    let more = versions::unsaid(state, user);
    let mut said = false;
    let nicks: Vec<String> = state
        .occupants
        .of_user(user)
        .map(|o| o.nick().to_owned())
        .collect();
    for nick in nicks {
        let Some(place) = state.occupants.place_of_nick(&nick) else {
            continue;
        };
        let occupant = state.occupants.at(place);
        let from = occupant.affiliation;
        if from == to {
            continue;
        }
        let cause = Cause {
            more: if said { &[] } else { &more },
            ..cause
        };
        said = true;
        let role = role_after(from, to, occupant.role, state.config.kind());
        if role == Role::None {
            // XEP-0045 §9.1, §9.4: who is banned, or no member of a members-only room any more, leaves.
            leave::expel(call, state, place, None, &[code], cause);
            continue;
        }
        let occupant = state.occupants.at_mut(place);
        (occupant.affiliation, occupant.role) = (to, role);
        show::show_change(call, state, place, cause);
    }
    if !said {
        versions::tell(call, state, user, &more);
    }
}
