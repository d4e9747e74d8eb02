//! What those who run the server do with rooms, without being in them. Nobody is asked for rights; all other rules of rooms hold.

use std::sync::Arc;

use tercet_core::forms::{FORM_TYPE, Field, Form, FormKind};
use tercet_core::{BareJid, Edit, Jid, Stanza, StanzaError};
use tercet_server::Server;
use tercet_server::module::EntityCx;
use tercet_store::{ArchiveEntry, ArchiveQuery, Batch, Store, StoreError};

use super::admin::{self, Change};
use super::affiliation::{Affiliation, Role};
use super::config::{FIELDS, NS_CONFIG, RoomConfig};
use super::leave;
use super::owner::{self, Destroy};
use super::presence::Cause;
use super::room::{Enrolled, Room, State};
use super::status::Status;
use super::{Core, ParkedCall, ROOM_ARCHIVE, disco, records};

/// The rooms of a service, for those who run it: its host provides this.
pub struct Control(pub(super) Arc<Core>);

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The domain has no rooms.
    #[error("{0} is no domain of rooms on this server")]
    NoService(String),
    /// There is no such room.
    #[error("there is no room {0}")]
    Missing(BareJid),
    /// There is one already.
    #[error("the room {0} exists already")]
    Exists(BareJid),
    /// Rooms do not allow it; the text is for people.
    #[error("{0}")]
    Refused(String),
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl From<StanzaError> for ControlError {
    fn from(error: StanzaError) -> Self {
        let text = error.text.as_deref();
        ControlError::Refused(text.unwrap_or(error.condition.as_str()).to_owned())
    }
}

/// A room in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its address.
    pub jid: BareJid,
    /// How it is configured.
    pub config: RoomConfig,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// How many are in it.
    pub occupants: usize,
}

/// All that is known of a room, but for its lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What the list says of it.
    pub listed: Listed,
    /// What it is about; empty: not said.
    pub subject: String,
    /// The settings: names of fields and their values; the password is not among them.
    pub settings: Vec<(&'static str, Vec<String>)>,
    /// How many have which affiliation.
    pub affiliations: Vec<(Affiliation, usize)>,
    /// Who is in it, as many as were asked for.
    pub present: Vec<Present>,
}

/// An occupant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The nick.
    pub nick: String,
    /// The real address.
    pub user: BareJid,
    /// What it is to the room.
    pub affiliation: Affiliation,
    /// What it may do now.
    pub role: Role,
    /// How many devices it is here with.
    pub sessions: usize,
}

/// The services of this server: the domains that have rooms, in order.
pub fn services(server: &Server) -> Vec<String> {
    let hosts = server.hosts();
    let services = hosts
        .iter()
        .filter(|host| host.provided::<Control>().next().is_some());
    let mut domains: Vec<_> = services.map(|host| host.domain().to_owned()).collect();
    domains.sort();
    domains
}

/// What the rooms of each service share.
pub(super) fn cores(server: &Server) -> Vec<Arc<Core>> {
    let hosts = server.hosts();
    let services = hosts
        .iter()
        .filter_map(|host| host.provided::<Control>().next());
    services.map(|control| control.0.clone()).collect()
}

fn core(server: &Server, domain: &str) -> Result<Arc<Core>, ControlError> {
    let host = server.host(domain);
    let core = host.and_then(|host| host.provided::<Control>().next().map(|c| c.0.clone()));
    core.ok_or_else(|| ControlError::NoService(domain.to_owned()))
}

async fn find(server: &Arc<Server>, jid: &BareJid) -> Result<(Arc<Core>, Arc<Room>), ControlError> {
    let core = core(server, jid.domain())?;
    let found = core.service(server).find(server, &core.features, jid);
    match found.await? {
        Some(room) => Ok((core, room)),
        None => Err(ControlError::Missing(jid.clone())),
    }
}

/// A page of the rooms of a service, ordered by name: up to `limit` behind the name `after`, those that are not public and those
/// that are not kept among them; and what to give as `after` for the next page.
///
/// # Errors
/// `domain` has no rooms, or the store fails.
pub async fn list(
    server: &Arc<Server>,
    domain: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Listed>, Option<String>), ControlError> {
    let core = core(server, domain)?;
    let kept = server
        .store()
        .list_after(&records::ROOM, &core.domain, after, limit);
    let kept = kept.await?;
    // Up to where the store has said all.
    let end = kept
        .last()
        .filter(|_| kept.len() == limit)
        .map(|(name, _)| name.clone());
    let mut page = Vec::new();
    for (name, record) in kept {
        let jid = BareJid::parse(&format!("{name}@{}", core.domain));
        if let (Ok(jid), Some((config, created_ms))) = (jid, records::read_room(&record)) {
            page.push(Listed {
                jid,
                config,
                created_ms,
                occupants: 0,
            });
        }
    }
    for room in core.service(server).all() {
        let name = room.jid.local().unwrap_or_default();
        let is_in =
            after.is_none_or(|after| name > after) && end.as_deref().is_none_or(|end| name <= end);
        if is_in {
            page.retain(|listed| listed.jid != room.jid);
            page.push(listed(&room.jid, &room.lock()));
        }
    }
    page.sort_by(|a, b| a.jid.local().cmp(&b.jid.local()));
    Ok((page, end))
}

fn listed(jid: &BareJid, state: &State) -> Listed {
    Listed {
        jid: jid.clone(),
        config: state.config.clone(),
        created_ms: state.created_ms,
        occupants: state.occupants.len(),
    }
}

/// A room, with up to `present` of its occupants.
///
/// # Errors
/// There is none, or the store fails.
pub async fn show(
    server: &Arc<Server>,
    jid: &BareJid,
    present: usize,
) -> Result<Shown, ControlError> {
    let (_, room) = find(server, jid).await?;
    let state = room.lock();
    let settings = FIELDS
        .iter()
        .filter(|f| f.var != "muc#roomconfig_roomsecret");
    let count = |wanted| {
        let all = state.roll.values();
        (wanted, all.filter(|e| e.affiliation == wanted).count())
    };
    let all = Affiliation::ALL.iter().rev().copied();
    Ok(Shown {
        listed: listed(jid, &state),
        subject: disco::subject_text(&state).unwrap_or_default(),
        settings: settings.map(|f| (f.var, f.values(&state.config))).collect(),
        affiliations: all.filter(|a| *a != Affiliation::None).map(count).collect(),
        present: state
            .occupants
            .iter()
            .take(present)
            .map(|occupant| Present {
                nick: occupant.nick().to_owned(),
                user: occupant.user.clone(),
                affiliation: occupant.affiliation,
                role: occupant.role,
                sessions: occupant.sessions.len(),
            })
            .collect(),
    })
}

/// A page of a room's lists, ordered by address: up to `limit` behind `after`; fewer at the end.
///
/// # Errors
/// There is no such room, or the store fails.
pub async fn affiliations(
    server: &Arc<Server>,
    jid: &BareJid,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(BareJid, Enrolled)>, ControlError> {
    let (_, room) = find(server, jid).await?;
    let state = room.lock();
    let behind = state
        .roll
        .iter()
        .filter(|(user, _)| after.is_none_or(|after| user.as_str() > after));
    let page = behind.take(limit);
    Ok(page
        .map(|(user, enrolled)| (user.clone(), enrolled.clone()))
        .collect())
}

/// A page of what was said in a room, as far as that is kept, oldest first: up to `limit` messages behind the id `after`, and no more
/// once they have `bytes` bytes; and what to give as `after` for the next page.
///
/// # Errors
/// There is no such room, or the store fails.
pub async fn messages(
    server: &Arc<Server>,
    jid: &BareJid,
    after: Option<u64>,
    limit: usize,
    bytes: usize,
) -> Result<(Vec<ArchiveEntry>, Option<u64>), ControlError> {
    let (_, room) = find(server, jid).await?;
    let created_ms = room.lock().created_ms;
    // What an earlier room of the name has left is not this one's.
    let start = Store::archive_id_from(created_ms).saturating_sub(1);
    let store = server.store();
    if after.is_none() {
        // What was said right before may not be durable yet.
        store.flush().await?;
    }
    let query = ArchiveQuery {
        after: Some(after.unwrap_or_default().max(start)),
        limit,
        bytes,
        ..ArchiveQuery::default()
    };
    let page = store.read_archive(&ROOM_ARCHIVE, jid.as_str(), query);
    let page = page.await?;
    let next = page.entries.last().filter(|_| !page.complete);
    let next = next.map(|entry| entry.id);
    Ok((page.entries, next))
}

/// Makes a persistent room that `owner` owns, configured as its service has it but for `settings`: names of fields of the
/// configuration form, with or without `muc#roomconfig_`, and their values. It is durable when this resolves.
///
/// # Errors
/// It exists, its name cannot be one, a setting is refused, or the store fails.
pub async fn create(
    server: &Arc<Server>,
    jid: &BareJid,
    owner: &BareJid,
    settings: &[(String, String)],
) -> Result<(), ControlError> {
    let core = core(server, jid.domain())?;
    if jid.local().is_none() {
        return Err(ControlError::Refused(format!(
            "{jid} is no address of a room"
        )));
    }
    let mut config = configured(&core, settings)?;
    config.persistent = true;
    let mut made = false;
    let make = || {
        made = true;
        let mut state = core.new_room(server);
        state.config = config;
        // Nobody enters before it is durable.
        state.locked = true;
        let enrolled = Enrolled::new(Affiliation::Owner);
        state.roll.insert(owner.clone(), enrolled);
        Some(state)
    };
    let service = core.service(server);
    let room = service
        .find_or_make(server, &core.features, jid, make)
        .await?;
    let Some(room) = room.filter(|_| made) else {
        return Err(ControlError::Exists(jid.clone()));
    };
    let _alone = room.changing.lock().await;
    let commit = {
        let state = room.lock();
        let mut batch = Batch::new();
        records::put_all(&mut batch, &core.features, &room, &state);
        server.store().commit(batch)
    };
    let kept = commit.await;
    let mut state = room.lock();
    if let Err(error) = kept {
        service.drop_room(&room, &mut state);
        return Err(error.into());
    }
    state.locked = false;
    service.emptied(server, &room, &mut state);
    Ok(())
}

/// The configuration that the service gives, changed by `settings`.
fn configured(core: &Core, settings: &[(String, String)]) -> Result<RoomConfig, ControlError> {
    let mut form = Form::empty(FormKind::Submit).field(Field::hidden(FORM_TYPE, NS_CONFIG));
    for (name, value) in settings {
        let full = format!("muc#roomconfig_{name}");
        let known = FIELDS.iter().find(|f| f.var == *name || f.var == full);
        let var = known.map_or(name.as_str(), |f| f.var);
        match form
            .fields
            .iter_mut()
            .find(|f| f.var.as_deref() == Some(var))
        {
            // A field with several values, or several lines.
            Some(field) => field.values.push(value.clone()),
            None => form = form.field(Field::text_single(var, "").value(value.clone())),
        }
    }
    let submission = core.defaults().submitted(&form, core.limits(), |_| false)?;
    Ok(submission.config)
}

/// Destroys a room: everybody in it leaves, and is told why and where to go. Nothing of it is kept.
///
/// # Errors
/// There is none, or the store fails.
pub async fn destroy(
    server: &Arc<Server>,
    jid: &BareJid,
    alternative: Option<BareJid>,
    reason: Option<String>,
) -> Result<(), ControlError> {
    let (core, room) = find(server, jid).await?;
    let call = call(server, core, room)?;
    let destroy = Destroy {
        alternative,
        password: None,
        reason,
    };
    Ok(owner::destroy(&call.call(), destroy).await?)
}

/// Makes `user` something else to a room. It is durable when this resolves, if the room is kept.
///
/// # Errors
/// There is no such room, the room would be without an owner, its lists are full, or the store fails.
pub async fn affiliate(
    server: &Arc<Server>,
    jid: &BareJid,
    user: &BareJid,
    to: Affiliation,
    reason: Option<String>,
) -> Result<(), ControlError> {
    let (core, room) = find(server, jid).await?;
    let call = call(server, core, room)?;
    let changes = [Change::Affiliation {
        user: user.clone(),
        to,
        nick: None,
        reason,
    }];
    Ok(admin::commit_unasked(&call.call(), &changes).await?)
}

/// Takes `user`, who does not exist any more, off a room's lists, also if that leaves nobody who owns it.
pub(super) async fn forget(
    server: &Arc<Server>,
    jid: &BareJid,
    user: &BareJid,
) -> Result<(), ControlError> {
    let (core, room) = find(server, jid).await?;
    let call = call(server, core, room)?;
    let changes = [Change::Affiliation {
        user: user.clone(),
        to: Affiliation::None,
        nick: None,
        reason: None,
    }];
    Ok(admin::commit_if(&call.call(), &changes, Some(user), |_| Ok(())).await?)
}

/// Has those leave the rooms of a host's services whom `unwanted` gives a reason against, unless they are something to the room.
/// Returns them, each with the room and that reason.
pub(crate) fn expel<T: std::fmt::Display>(
    server: &Arc<Server>,
    host: &str,
    unwanted: impl Fn(&Jid) -> Option<T>,
) -> Vec<(Jid, Jid, T)> {
    let mut gone = Vec::new();
    for core in cores(server) {
        let service = server.host(&core.domain);
        if service.is_none_or(|service| service.info().parent.as_deref() != Some(host)) {
            continue;
        }
        for room in core.service(server).all() {
            let Ok(parked) = call(server, core.clone(), room.clone()) else {
                continue;
            };
            let mut state = room.lock();
            let present = state.occupants.iter();
            let strangers = present.filter(|o| o.affiliation < Affiliation::Member);
            let found = strangers.filter_map(|o| Some((o.first().jid.clone(), unwanted(&o.user)?)));
            let found: Vec<(Jid, T)> = found.collect();
            for (jid, why) in found {
                if let Some(place) = state.occupants.place_of(&jid) {
                    let reason = why.to_string();
                    let cause = Cause {
                        reason: Some(&reason),
                        ..Cause::default()
                    };
                    // XEP-0045 §8.2: as a moderator would do it.
                    let codes = [Status::Kicked];
                    leave::expel(&parked.call(), &mut state, place, None, &codes, cause);
                    gone.push((Jid::clone(&room.jid), jid, why));
                }
            }
            if !state.gone {
                leave::settle(&parked.call(), &mut state);
            }
        }
    }
    gone
}

/// The service itself acts on a room.
pub(super) fn call(
    server: &Arc<Server>,
    core: Arc<Core>,
    room: Arc<Room>,
) -> Result<ParkedCall, ControlError> {
    let host = server
        .host(&core.domain)
        .ok_or_else(|| ControlError::NoService(core.domain.clone()))?;
    let stanza = Stanza::parse(b"<iq xmlns='jabber:client' type='set' id='control'/>");
    let (Ok(stanza), Ok(from)) = (stanza, Jid::from_parts(None, &core.domain, None)) else {
        return Err(ControlError::NoService(core.domain.clone()));
    };
    let entity = EntityCx {
        server,
        host: &host,
        stanza: &stanza,
        from: &from,
        to: &room.jid,
        lang: None,
        session: None,
        edit: Edit::default(),
    };
    Ok(ParkedCall {
        entity: entity.park(),
        core,
        room,
    })
}
