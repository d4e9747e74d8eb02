//! What owners do with a room: `muc#owner` (XEP-0045 §10.1, §10.2, §10.9).

use tercet_core::forms::{Form, FormKind};
use tercet_core::{BareJid, IqType, Jid, OwnedElement, StanzaError, XmlWriter};
use tercet_server::{Routed, store_failure};
use tercet_store::Batch;

use super::affiliation::Affiliation;
use super::config::{Lists, Submission, configuration_form};
use super::features::hats;
use super::presence::{self, Cause, USER};
use super::room::{Enrolled, Roll, State};
use super::status::Status;
use super::{Call, admin, gather, leave, records, show};

/// The namespace of these requests.
pub(super) const NS: &str = "http://jabber.org/protocol/muc#owner";

/// What an owner has asked for.
enum Wish {
    /// To destroy the room.
    Destroy(Destroy),
    /// Not to configure it.
    Cancel,
    /// To have it so.
    Configure(Form),
}

/// `<destroy/>`
#[derive(Default)]
pub(super) struct Destroy {
    /// Where to go.
    pub(super) alternative: Option<BareJid>,
    /// The password there.
    pub(super) password: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
}

/// A `muc#owner` request.
pub(super) fn request(call: &Call<'_>) -> Routed {
    let cx = call.entity;
    let Some(query) = cx.stanza.payload().map(|p| p.parse()) else {
        return Routed::Done;
    };
    // Not in the match: its arms lock the room again.
    let owner = is_owner(call, &call.room.lock());
    let outcome = match owner {
        // XEP-0045 §10.2: who is no owner is told so with forbidden.
        false => Err(StanzaError::forbidden()),
        true if cx.stanza.iq_type() == Some(IqType::Get) => {
            cx.answer(&form(call));
            Ok(Routed::Done)
        }
        true => wish(&query).map(|wish| grant(call, wish)),
    };
    outcome.unwrap_or_else(|error| {
        cx.refuse(&error);
        Routed::Done
    })
}

fn is_owner(call: &Call<'_>, state: &State) -> bool {
    state.affiliation(call.entity.from.bare_str()) == Affiliation::Owner
}

fn wish(query: &OwnedElement) -> Result<Wish, StanzaError> {
    if let Some(destroy) = query.root().child("destroy", NS) {
        let text = |name| {
            let text = destroy.child(name, NS).map(|c| c.text().into_owned());
            text.filter(|t| !t.is_empty())
        };
        let alternative = destroy.attr("jid").map(|jid| Jid::parse(&jid));
        return Ok(Wish::Destroy(Destroy {
            alternative: alternative.transpose()?.map(|jid| jid.to_bare()),
            password: text("password"),
            reason: text("reason"),
        }));
    }
    let form = Form::parse_child(query.root())?
        .ok_or_else(|| StanzaError::bad_request().text("neither a form nor <destroy/>"))?;
    Ok(match form.kind {
        FormKind::Cancel => Wish::Cancel,
        _ => Wish::Configure(form),
    })
}

fn listed(roll: &Roll, wanted: Affiliation) -> Vec<BareJid> {
    let listed = roll.iter().filter(|(_, e)| e.affiliation == wanted);
    listed.map(|(jid, _)| jid.clone()).collect()
}

/// The form with all that can be configured.
fn full_form(call: &Call<'_>, state: &State) -> Form {
    let (owners, admins) = (
        listed(&state.roll, Affiliation::Owner),
        listed(&state.roll, Affiliation::Admin),
    );
    let lists = Lists {
        owners: &owners,
        admins: &admins,
    };
    let mut form = configuration_form(&state.config, lists);
    for feature in call.core.features.iter() {
        form = feature.form(state, form);
    }
    form
}

fn form(call: &Call<'_>) -> Vec<u8> {
    let state = call.room.lock();
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", NS);
    full_form(call, &state).write(&mut w);
    w.end();
    w.finish()
}

fn grant(call: &Call<'_>, wish: Wish) -> Routed {
    let parked = call.park();
    Routed::later(async move {
        let call = parked.call();
        let done = match wish {
            Wish::Destroy(destroy) => self::destroy(&call, destroy).await,
            Wish::Cancel => {
                cancel(&call);
                Ok(())
            }
            Wish::Configure(form) => configure(&call, form).await,
        };
        match done {
            Ok(()) => call.entity.answer(&[]),
            Err(error) => call.entity.refuse(&error),
        }
    })
}

/// XEP-0045 §10.1.3: who cancels the configuration of a new room does not want it.
fn cancel(call: &Call<'_>) {
    let mut state = call.room.lock();
    if state.locked {
        let nothing = Destroy::default();
        tell_destroyed(call, &mut state, &nothing);
        close(call, &mut state);
    }
}

/// What of a submission is durable, and what it changes in memory.
struct Plan {
    submission: Submission,
    /// What features keep.
    data: Vec<(&'static str, Vec<u8>)>,
    /// The changes of the lists.
    roll: Vec<(BareJid, Enrolled)>,
}

fn plan(call: &Call<'_>, state: &State, form: &Form) -> Result<Plan, StanzaError> {
    let mut others = Form::empty(FormKind::Form);
    for feature in call.core.features.iter() {
        others = feature.form(state, others);
    }
    let known = |var: &str| others.get(var).is_some();
    let submission = state.config.submitted(form, call.core.limits(), known)?;
    let mut data = Vec::new();
    for feature in call.core.features.iter() {
        if let Some(value) = feature.submit(state, form)? {
            data.push((feature.name(), value));
        }
    }
    let mut roll: Vec<(BareJid, Enrolled)> = Vec::new();
    let lists = [
        (&submission.admins, Affiliation::Admin),
        (&submission.owners, Affiliation::Owner),
    ];
    for (list, affiliation) in lists {
        let Some(list) = list else { continue };
        for user in listed(&state.roll, affiliation) {
            if !list.contains(&user) {
                roll.push((user, Enrolled::new(Affiliation::None)));
            }
        }
        for user in list {
            if state.affiliation(user.as_str()) != affiliation {
                roll.retain(|(other, _)| other != user);
                roll.push((user.clone(), Enrolled::new(affiliation)));
            }
        }
    }
    // XEP-0045 §10.4: somebody owns the room at any time.
    let stays = listed(&state.roll, Affiliation::Owner)
        .iter()
        .any(|owner| roll.iter().all(|(user, _)| user != owner));
    let comes = roll
        .iter()
        .any(|(_, e)| e.affiliation == Affiliation::Owner);
    if !stays && !comes {
        return Err(StanzaError::conflict().text("a room has an owner"));
    }
    if state.roll.len() + roll.len() > admin::NAMES {
        return Err(StanzaError::resource_constraint().text("the lists of this room are full"));
    }
    Ok(Plan {
        submission,
        data,
        roll,
    })
}

/// XEP-0045 §10.1, §10.2: refused whole, or done, durable if the room is, and told.
async fn configure(call: &Call<'_>, form: Form) -> Result<(), StanzaError> {
    let cx = call.entity;
    let _alone = call.room.changing.lock().await;
    let (plan, commit) = {
        let state = call.room.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        let plan = plan(call, &state, &form)?;
        let batch = durable(call, &state, &plan);
        let commit = (!batch.is_empty()).then(|| cx.server.store().commit(batch));
        (plan, commit)
    };
    if let Some(commit) = commit {
        commit.await.map_err(|e| store_failure(&e))?;
    }
    let mut state = call.room.lock();
    // What they have not been told yet is told under the configuration under which it happened.
    gather::flush(call, &mut state);
    let was_locked = std::mem::take(&mut state.locked);
    let old = std::mem::replace(&mut state.config, plan.submission.config);
    for (name, value) in &plan.data {
        for feature in call.core.features.iter().filter(|f| f.name() == *name) {
            // It has just been written by the same feature.
            let _ = feature.load(&mut state.data, value);
        }
    }
    for (user, enrolled) in plan.roll {
        let from = state.affiliation(user.as_str());
        admin::enroll(&mut state, user.clone(), enrolled);
        show::tell_absent(call, &state, &user, from, None);
        let code = Status::RemovedByAffiliation;
        admin::affiliate(call, &mut state, user.as_str(), Cause::default(), code);
    }
    if old.whois != state.config.whois {
        // Who saw whom has changed; what is shown from now on does not hang on what was.
        state.occupants.iter_mut().for_each(|o| o.changed());
    }
    let mut codes = state.config.status_codes(&old);
    if !plan.data.is_empty() && !codes.contains(&Status::ConfigurationChanged) {
        codes.push(Status::ConfigurationChanged);
    }
    if !codes.is_empty() && !was_locked {
        // XEP-0045 §10.2.1: the occupants are told what kind of change it was.
        let message = presence::statuses(&call.room.jid, &codes);
        state.cast_message(cx.server, &call.room.jid, &message);
    }
    leave::after_reconfiguration(call, &mut state);
    leave::settle(call, &mut state);
    Ok(())
}

/// What is written before anybody hears of it.
fn durable(call: &Call<'_>, state: &State, plan: &Plan) -> Batch {
    let jid = &call.room.jid;
    let (was, is) = (state.config.persistent, plan.submission.config.persistent);
    let mut batch = Batch::new();
    match (was && !state.locked, is) {
        (false, false) => return batch,
        (true, false) => {
            // XEP-0045 §10.2: a room that is temporary from now on is kept nowhere.
            records::delete(&mut batch, &call.core.features, jid);
            return batch;
        }
        (false, true) => records::put_all(&mut batch, &call.core.features, call.room, state),
        (true, true) => {}
    }
    records::put_config(&mut batch, jid, &plan.submission.config, state.created_ms);
    for (user, enrolled) in &plan.roll {
        records::put_enrolled(&mut batch, jid, user.as_str(), enrolled);
    }
    hats::put_without(
        &mut batch,
        jid,
        state,
        plan.roll.iter().map(|(u, e)| (u, e)),
    );
    for (name, value) in &plan.data {
        records::put_data(&mut batch, jid, name, value.clone());
    }
    batch
}

/// XEP-0045 §10.9: everybody leaves and is told where to go; nothing of the room is kept.
pub(super) async fn destroy(call: &Call<'_>, destroy: Destroy) -> Result<(), StanzaError> {
    let cx = call.entity;
    let _alone = call.room.changing.lock().await;
    let commit = {
        let state = call.room.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        let mut batch = Batch::new();
        records::delete(&mut batch, &call.core.features, &call.room.jid);
        cx.server.store().commit(batch)
    };
    commit.await.map_err(|e| store_failure(&e))?;
    let mut state = call.room.lock();
    tell_destroyed(call, &mut state, &destroy);
    close(call, &mut state);
    Ok(())
}

/// Everybody leaves.
fn tell_destroyed(call: &Call<'_>, state: &mut State, destroy: &Destroy) {
    let mut w = XmlWriter::new();
    w.start("x").attr("xmlns", USER);
    w.leaf("item", &[("affiliation", "none"), ("role", "none")]);
    w.start("destroy")
        .opt_attr("jid", destroy.alternative.as_ref().map(|jid| jid.as_str()));
    if let Some(password) = &destroy.password {
        w.text_element("password", password);
    }
    if let Some(reason) = &destroy.reason {
        w.text_element("reason", reason);
    }
    w.end();
    Status::SelfPresence.write(&mut w);
    w.end();
    let x = w.finish();
    let server = call.entity.server;
    while !state.occupants.is_empty() {
        let occupant = state.occupants.remove(0);
        let gone = presence::unavailable(&occupant.jid, &x);
        let mut out = server.fan_out(&occupant.jid, &presence::PRESENCE);
        for session in &occupant.sessions {
            // Whether it is still there does not matter any more.
            let _ = out.share(&session.jid, session.session.as_ref(), &gone);
        }
    }
}

fn close(call: &Call<'_>, state: &mut State) {
    let service = call.core.service(call.entity.server);
    service.drop_room(call.room, state);
}
