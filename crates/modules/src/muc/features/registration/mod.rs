//! Registering with a room: a nick of one's own, and a place on the member list (XEP-0045 §7.10, §9.9).
//!
//! In an open room everybody becomes a member; in one for members only the admins are asked, and their answer is a form as well.

mod form;
mod waiting;

use std::collections::BTreeSet;

use tercet_core::forms::Form;
use tercet_core::{BareJid, IqType, Jid, StanzaError, XmlWriter, forms};
use tercet_server::{Routed, store_failure};
use tercet_store::Batch;

use super::RoomFeature;
use crate::muc::affiliation::Affiliation;
use crate::muc::room::{Data, Enrolled, State};
use crate::muc::{Call, admin, invite, message, nick, records};
use form::{Application, Approval, NS_REGISTER, NS_REGISTRATION, Registration};
use waiting::Waiting;

/// The key of the durable form.
const NAME: &str = "registration";
/// The most admins that are asked while none of them is in the room.
const ASKED: usize = 20;

/// Registration.
pub(super) struct Registrations;

impl RoomFeature for Registrations {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        data.put(Waiting::from_bytes(kept)?);
        Some(())
    }

    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        data.get::<Waiting>().map(Waiting::to_bytes)
    }

    fn disco(&self, _: &State, features: &mut BTreeSet<&'static str>) {
        features.extend([NS_REGISTER, NS_REGISTRATION]);
    }

    fn request(&self, call: &Call<'_>) -> Option<Routed> {
        let cx = call.entity;
        let payload = cx.stanza.payload()?;
        if cx.to.is_full() || !payload.is("query", NS_REGISTRATION) {
            return None;
        }
        let set = cx.stanza.iq_type() == Some(IqType::Set);
        match Registration::parse(payload.parse().root(), set) {
            Ok(Registration::Ask) => match ask(call) {
                Ok(answer) => cx.answer(&answer),
                Err(error) => cx.refuse(&error),
            },
            Ok(wish) => return Some(grant_later(call, wish)),
            Err(error) => cx.refuse(&error),
        }
        Some(Routed::Done)
    }

    fn note(&self, call: &Call<'_>, room: &mut State) -> Option<Routed> {
        let cx = call.entity;
        let x = cx.stanza.child("x", forms::NS)?.parse();
        let approval = Approval::parse(&Form::parse(x.root()).ok()?)?;
        let checked = match room.standing(cx.from).administers() {
            true => approval,
            // XEP-0045 §9: what is for admins is forbidden to others.
            false => Err(StanzaError::forbidden()),
        };
        match checked {
            Ok(approval) => Some(decide_later(call, approval)),
            Err(error) => {
                cx.refuse(&error);
                Some(Routed::Done)
            }
        }
    }
}

/// What comes of somebody who wants to register with a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is a member, or becomes one.
    Member,
    /// An admin must say so first.
    Waits,
}

/// Whether somebody may register. In an open room everybody becomes a member; in one for members only an admin decides.
fn may_register(room: &State, affiliation: Affiliation) -> Result<Outcome, StanzaError> {
    match affiliation {
        // XEP-0045 §7.2.10: a room that is being made is not there yet.
        _ if room.locked && affiliation != Affiliation::Owner => Err(StanzaError::item_not_found()),
        // XEP-0045 §7.10: who may not register gets not-allowed.
        Affiliation::Outcast => Err(StanzaError::not_allowed()),
        Affiliation::None if room.config.members_only => Ok(Outcome::Waits),
        _ => Ok(Outcome::Member),
    }
}

/// What is needed, or what is registered already.
fn ask(call: &Call<'_>) -> Result<Vec<u8>, StanzaError> {
    let state = call.room.lock();
    let user = call.entity.from.bare_str();
    may_register(&state, state.affiliation(user))?;
    let mut w = XmlWriter::new();
    match state.roll.get(user).and_then(|e| e.nick.as_deref()) {
        Some(nick) => form::write_registered(nick, &mut w),
        None => form::write_form(&mut w),
    }
    Ok(w.finish())
}

fn grant_later(call: &Call<'_>, wish: Registration) -> Routed {
    let parked = call.park();
    Routed::later(async move {
        let call = parked.call();
        let _alone = call.room.changing.lock().await;
        let done = match wish {
            Registration::Submit(application) => submit(&call, application).await,
            Registration::Remove => remove(&call).await,
            Registration::Ask => Ok(()),
        };
        match done {
            Ok(()) => call.entity.answer(&[]),
            Err(error) => call.entity.refuse(&error),
        }
    })
}

/// What `user` is to the room.
fn enrolled(state: &State, user: &BareJid) -> Enrolled {
    let enrolled = state.roll.get(user).cloned();
    enrolled.unwrap_or(Enrolled::new(Affiliation::None))
}

async fn submit(call: &Call<'_>, application: Application) -> Result<(), StanzaError> {
    let cx = call.entity;
    let user = cx.from.to_bare();
    let (outcome, mut enrolled) = {
        let state = call.room.lock();
        let outcome = may_register(&state, state.affiliation(user.as_str()))?;
        // XEP-0045 §7.10: a nick that is another's is refused with conflict, as on entering.
        nick::check(&state, &application.nick, cx.from)?;
        (outcome, enrolled(&state, &user))
    };
    match outcome {
        Outcome::Member => {
            enrolled.affiliation = enrolled.affiliation.max(Affiliation::Member);
            enrolled.nick = Some(application.nick);
            admin::enlist(call, &user, enrolled, Batch::new(), |_| {}).await
        }
        Outcome::Waits => {
            let question = question(&application, &user);
            let mut asked_before = false;
            keep(call, |waiting| {
                asked_before = waiting.iter().any(|w| w == (&user, &application));
                waiting.add(user, application)
            })
            .await?;
            if !asked_before {
                ask_admins(call, &question);
            }
            Ok(())
        }
    }
}

/// Changes the list of those who wait: durable if the room is, then in memory. The caller holds `changing`.
async fn keep(
    call: &Call<'_>,
    change: impl FnOnce(&mut Waiting) -> Result<(), StanzaError>,
) -> Result<(), StanzaError> {
    let (waiting, commit) = {
        let mut state = call.room.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        let mut waiting = state.data.of::<Waiting>().clone();
        change(&mut waiting)?;
        let commit = state.config.persistent.then(|| {
            let mut batch = Batch::new();
            records::put_data(&mut batch, &call.room.jid, NAME, waiting.to_bytes());
            call.entity.server.store().commit(batch)
        });
        (waiting, commit)
    };
    if let Some(commit) = commit {
        commit.await.map_err(|e| store_failure(&e))?;
    }
    call.room.lock().data.put(waiting);
    Ok(())
}

/// XEP-0045 §9.9: what admins get, with a text for clients that show no forms.
fn question(application: &Application, user: &BareJid) -> Vec<u8> {
    let mut w = XmlWriter::new();
    let text = format!("{user} asks to become a member, as {}.", application.nick);
    w.text_element("body", &text);
    application.approval(user).write(&mut w);
    w.finish()
}

/// The admins who are in the room are asked; if none is, all of them, up to a number.
fn ask_admins(call: &Call<'_>, question: &[u8]) {
    let state = call.room.lock();
    let here = state.occupants.iter();
    let here = here.filter(|o| o.affiliation >= Affiliation::Admin);
    let mut asked: Vec<Jid> = here
        .flat_map(|o| o.sessions.iter().map(|s| s.jid.clone()))
        .collect();
    if asked.is_empty() {
        let admins = state.roll.iter();
        let admins = admins.filter(|(_, e)| e.affiliation >= Affiliation::Admin);
        asked.extend(admins.take(ASKED).map(|(user, _)| user.clone().into()));
    }
    for admin in &asked {
        message::notice(call.room, admin, question, call.entity.server);
    }
}

/// XEP-0077 §3.2: who is not registered cannot go.
async fn remove(call: &Call<'_>) -> Result<(), StanzaError> {
    let user = call.entity.from.to_bare();
    let (mut enrolled, waits) = {
        let mut state = call.room.lock();
        let waits = state
            .data
            .of::<Waiting>()
            .iter()
            .any(|(jid, _)| *jid == user);
        (enrolled(&state, &user), waits)
    };
    if waits {
        return keep(call, |waiting| {
            waiting.take(&user);
            Ok(())
        })
        .await;
    }
    if enrolled.nick.is_none() && enrolled.affiliation != Affiliation::Member {
        return Err(StanzaError::registration_required());
    }
    enrolled.nick = None;
    if enrolled.affiliation == Affiliation::Member {
        enrolled.affiliation = Affiliation::None;
    }
    admin::enlist(call, &user, enrolled, Batch::new(), |_| {}).await
}

fn decide_later(call: &Call<'_>, approval: Approval) -> Routed {
    let parked = call.park();
    Routed::later(async move {
        let call = parked.call();
        let _alone = call.room.changing.lock().await;
        if let Err(error) = decide(&call, approval).await {
            call.entity.refuse(&error);
        }
    })
}

/// An admin has decided: who may become a member does, and is told to come.
async fn decide(call: &Call<'_>, approval: Approval) -> Result<(), StanzaError> {
    let cx = call.entity;
    let Approval { user, allow } = approval;
    let (application, waiting, mut enrolled) = {
        let mut state = call.room.lock();
        if !state.standing(cx.from).administers() {
            return Err(StanzaError::forbidden());
        }
        let mut waiting = state.data.of::<Waiting>().clone();
        let Some(application) = waiting.take(&user) else {
            // Another admin was faster.
            return Err(StanzaError::item_not_found().text("nobody of this address waits"));
        };
        (application, waiting, enrolled(&state, &user))
    };
    if !allow || enrolled.affiliation != Affiliation::None {
        return keep(call, |kept| {
            *kept = waiting;
            Ok(())
        })
        .await;
    }
    enrolled.affiliation = Affiliation::Member;
    let real: Jid = user.clone().into();
    if nick::check(&call.room.lock(), &application.nick, &real).is_ok() {
        enrolled.nick = Some(application.nick);
    }
    let mut batch = Batch::new();
    records::put_data(&mut batch, &call.room.jid, NAME, waiting.to_bytes());
    let sent = invite::remembering(call, &call.room.lock(), std::iter::once(&user));
    sent.put(&mut batch, &call.room.jid);
    let then = |state: &mut State| state.data.put(waiting);
    admin::enlist(call, &user, enrolled, batch, then).await?;
    // XEP-0045 §9.5: a new member is invited.
    invite::call_in(call, &mut call.room.lock(), &[user], sent);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::muc::config::RoomConfig;
    use tercet_core::Condition;

    #[test]
    fn who_registers_becomes_a_member_or_waits() {
        use Affiliation as A;
        let room = |members_only, locked| {
            let config = RoomConfig {
                members_only,
                ..RoomConfig::default()
            };
            let mut room = State::new(config, 0);
            room.locked = locked;
            room
        };
        let outcome =
            |room: State, affiliation| may_register(&room, affiliation).map_err(|e| e.condition);
        for (affiliation, open, closed) in [
            (
                A::Outcast,
                Err(Condition::NotAllowed),
                Err(Condition::NotAllowed),
            ),
            (A::None, Ok(Outcome::Member), Ok(Outcome::Waits)),
            (A::Member, Ok(Outcome::Member), Ok(Outcome::Member)),
            (A::Owner, Ok(Outcome::Member), Ok(Outcome::Member)),
        ] {
            assert_eq!(outcome(room(false, false), affiliation), open);
            assert_eq!(outcome(room(true, false), affiliation), closed);
        }
        let hidden = Err(Condition::ItemNotFound);
        assert_eq!(outcome(room(false, true), A::None), hidden);
        assert!(outcome(room(false, true), A::Owner).is_ok());
    }
}
