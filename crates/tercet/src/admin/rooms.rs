//! Operations on rooms.

use std::sync::Arc;

use tercet_core::{BareJid, time};
use tercet_modules::muc::affiliation::Affiliation;
use tercet_modules::muc::control::{self, ControlError, Listed, Shown};
use tercet_server::Server;
use tercet_store::Store;

use super::operation::{
    Answer, Reason, Refusal, RoomAffiliation, RoomLine, RoomMessage, RoomOccupant, RoomShown,
};

/// Rooms on one page, and names of a list.
const PAGE: usize = 200;
/// Bytes of messages with which a page ends.
const BYTES: usize = 512 << 10;
/// Occupants that are shown.
const PRESENT: usize = 100;

/// The domains that have rooms.
pub(super) fn services(server: &Server) -> Answer {
    Answer::RoomServices {
        domains: control::services(server),
    }
}

pub(super) async fn list(
    server: &Arc<Server>,
    domain: &str,
    after: Option<&str>,
) -> Result<Answer, Refusal> {
    let prepared = tercet_core::prepare_domain(domain);
    let domain = prepared.map_or_else(|_| domain.to_owned(), |d| d.into_owned());
    let (rooms, next) = control::list(server, &domain, after, PAGE).await?;
    Ok(Answer::Rooms {
        rooms: rooms.iter().map(line).collect(),
        next,
    })
}

pub(super) async fn show(server: &Arc<Server>, room: &str) -> Result<Answer, Refusal> {
    let Shown {
        listed,
        subject,
        settings,
        affiliations,
        present,
    } = control::show(server, &address(room)?, PRESENT).await?;
    let settings = settings.into_iter().map(|(var, v)| (var.to_owned(), v));
    let affiliations = affiliations.into_iter();
    let present = present.into_iter().map(|occupant| RoomOccupant {
        nick: occupant.nick,
        user: occupant.user.to_string(),
        affiliation: occupant.affiliation.to_string(),
        role: occupant.role.to_string(),
        sessions: occupant.sessions as u64,
    });
    Ok(Answer::Room(RoomShown {
        line: line(&listed),
        subject: Some(subject).filter(|s| !s.is_empty()),
        settings: settings.collect(),
        affiliations: affiliations
            .map(|(affiliation, count)| (affiliation.to_string(), count as u64))
            .collect(),
        present: present.collect(),
    }))
}

pub(super) async fn create(
    server: &Arc<Server>,
    room: &str,
    owner: &str,
    settings: &[(String, String)],
) -> Result<Answer, Refusal> {
    let (room, owner) = (address(room)?, address(owner)?);
    control::create(server, &room, &owner, settings).await?;
    tracing::info!(room = room.as_str(), owner = owner.as_str(), "made a room");
    Ok(Answer::Done {})
}

pub(super) async fn destroy(
    server: &Arc<Server>,
    room: &str,
    reason: Option<String>,
    alternative: Option<String>,
) -> Result<Answer, Refusal> {
    let room = address(room)?;
    let alternative = alternative.map(|other| address(&other)).transpose()?;
    control::destroy(server, &room, alternative, reason).await?;
    tracing::info!(room = room.as_str(), "destroyed a room");
    Ok(Answer::Done {})
}

pub(super) async fn affiliations(
    server: &Arc<Server>,
    room: &str,
    after: Option<&str>,
) -> Result<Answer, Refusal> {
    let page = control::affiliations(server, &address(room)?, after, PAGE).await?;
    let next = page.last().filter(|_| page.len() == PAGE);
    let next = next.map(|(user, _)| user.to_string());
    let page = page.into_iter().map(|(user, enrolled)| RoomAffiliation {
        user: user.to_string(),
        affiliation: enrolled.affiliation.to_string(),
        nick: enrolled.nick,
        reason: enrolled.reason,
    });
    Ok(Answer::Affiliations {
        affiliations: page.collect(),
        next,
    })
}

pub(super) async fn messages(
    server: &Arc<Server>,
    room: &str,
    after: Option<u64>,
) -> Result<Answer, Refusal> {
    let page = control::messages(server, &address(room)?, after, PAGE, BYTES).await?;
    let (messages, next) = page;
    let messages = messages.into_iter().map(|entry| {
        let at_ms = i64::try_from(Store::archive_time(entry.id)).unwrap_or(i64::MAX);
        let by = match entry.part.as_str() {
            "" => entry.peer,
            part => format!("{}/{part}", entry.peer),
        };
        RoomMessage {
            id: entry.id.to_string(),
            at: time::format(at_ms),
            by,
            message: String::from_utf8_lossy(&entry.value).into_owned(),
        }
    });
    Ok(Answer::RoomMessages {
        messages: messages.collect(),
        next,
    })
}

pub(super) async fn affiliate(
    server: &Arc<Server>,
    room: &str,
    user: &str,
    affiliation: &str,
    reason: Option<String>,
) -> Result<Answer, Refusal> {
    let (room, user) = (address(room)?, address(user)?);
    let to = Affiliation::parse(affiliation).ok_or_else(|| {
        let text = format!("{affiliation:?} is not owner, admin, member, outcast or none");
        Refusal::new(Reason::Invalid, text)
    })?;
    control::affiliate(server, &room, &user, to, reason).await?;
    tracing::info!(room = room.as_str(), user = user.as_str(), %to, "changed an affiliation");
    Ok(Answer::Done {})
}

/// The address of a room or a user: both have a localpart.
fn address(text: &str) -> Result<BareJid, Refusal> {
    let invalid = |why: &str| Refusal::new(Reason::Invalid, format!("{text:?}: {why}"));
    let jid = BareJid::parse(text).map_err(|error| invalid(&error.to_string()))?;
    match jid.local() {
        Some(_) => Ok(jid),
        None => Err(invalid("nothing stands before the domain")),
    }
}

fn line(listed: &Listed) -> RoomLine {
    let config = &listed.config;
    RoomLine {
        room: listed.jid.to_string(),
        name: Some(config.name.clone()).filter(|name| !name.is_empty()),
        public: config.public,
        persistent: config.persistent,
        members_only: config.members_only,
        password: config.password_protected,
        occupants: listed.occupants as u64,
        created: time::format(listed.created_ms.cast_signed()),
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Refusal {
        let reason = match &error {
            ControlError::NoService(_) | ControlError::Missing(_) => Reason::Missing,
            ControlError::Exists(_) => Reason::Exists,
            ControlError::Refused(_) => Reason::Invalid,
            ControlError::Store(_) => Reason::Failed,
        };
        Refusal::new(reason, error.to_string())
    }
}
