//! Who may read a room's archive, and what of it (XEP-0313 §6.1.2).

use std::borrow::Cow;
use std::sync::Arc;

use tercet_core::{IqType, Jid, Stanza, StanzaError, XmlWriter};
use tercet_server::Routed;
use tercet_server::module::Payload;
use tercet_store::{ArchiveEntry, Store};

use super::ROOM_ARCHIVE;
use crate::mam::page::{self, Way, With};
use crate::mam::query::{self, Query};
use crate::mam::search::Searching;
use crate::muc::Call;
use crate::muc::affiliation::Affiliation;
use crate::muc::presence::USER;
use crate::muc::room::State;

/// What somebody may see of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    /// Who is behind the nicks.
    pub(super) real: bool,
    /// Nothing before this, in milliseconds since 1970.
    since_ms: u64,
}

/// What `user` may see.
///
/// # Errors
/// `item-not-found`: the room is not there for it; `forbidden`: it may not enter.
pub(super) fn sight(room: &State, user: &Jid) -> Result<Sight, StanzaError> {
    let config = &room.config;
    let standing = room.standing(user);
    let affiliation = standing.affiliation;
    if room.locked && affiliation != Affiliation::Owner {
        return Err(StanzaError::item_not_found());
    }
    let is_here = room.occupants.of(user).is_some();
    let needs_password = config.password().is_some() && !config.public_logging;
    // XEP-0313 §6.1.2: who may enter at this time may read; of a room for members only these.
    let may = match affiliation {
        Affiliation::Outcast => false,
        Affiliation::Owner => true,
        _ if is_here => true,
        Affiliation::None if config.members_only => false,
        _ => !needs_password,
    };
    if !may {
        return Err(
            StanzaError::forbidden().text("only those who may enter the room read its archive")
        );
    }
    Ok(Sight {
        real: config.shows_addresses_to(standing.role) || affiliation >= Affiliation::Admin,
        since_ms: room.created_ms,
    })
}

/// What is asked for.
enum Wish {
    Form,
    Page(Box<Query>),
    Metadata,
}

fn wish(call: &Call<'_>) -> Result<Wish, StanzaError> {
    let stanza = call.entity.stanza;
    let payload = stanza.payload().ok_or_else(StanzaError::bad_request)?;
    let is_get = stanza.iq_type() == Some(IqType::Get);
    match payload.name() {
        "query" if is_get => Ok(Wish::Form),
        "query" => Ok(Wish::Page(Box::new(Query::parse(payload.parse().root())?))),
        "metadata" if is_get => Ok(Wish::Metadata),
        // XEP-0313 §7: preferences are for users; rooms have a configuration.
        _ => Err(StanzaError::service_unavailable()),
    }
}

/// Answers a request; `None` if the room keeps no archive.
pub(super) fn answer(call: &Call<'_>, searching: &Arc<Searching>) -> Option<Routed> {
    let allowed = {
        let state = call.room.lock();
        if !state.config.archives() {
            return None;
        }
        sight(&state, call.entity.from)
    };
    let outcome = allowed.and_then(|sight| Ok((sight, wish(call)?)));
    let (sight, wish) = match outcome {
        Ok(both) => both,
        Err(error) => {
            call.entity.refuse(&error);
            return Some(Routed::Done);
        }
    };
    let (parked, searching) = (call.park(), searching.clone());
    Some(Routed::later(async move {
        let call = parked.call();
        match carry_out(&call, sight, wish, &searching).await {
            Ok(payload) => call.entity.answer(&payload),
            Err(error) => call.entity.refuse(&error),
        }
    }))
}

async fn carry_out(
    call: &Call<'_>,
    sight: Sight,
    wish: Wish,
    searching: &Searching,
) -> Result<Vec<u8>, StanzaError> {
    let cx = call.entity;
    let room = call.room.jid.as_str();
    let archive = page::Archive {
        store: cx.server.store(),
        kind: &ROOM_ARCHIVE,
        owner: room,
    };
    let mut query = match wish {
        Wish::Form => return Ok(query::form(false)),
        Wish::Metadata => return archive.metadata().await,
        Wish::Page(query) => query,
    };
    let user = cx.from.to_bare();
    let _turn = searching.turn(&query, &user)?;
    let with = match query.filter.with.take() {
        Some(with) => by(&with, room, &user, sight)?,
        None => With::default(),
    };
    let since = Store::archive_id_from(sight.since_ms);
    query.filter.first = query.filter.first.max(Some(since));
    let way = match cx.session {
        Some(session) => Way::Session(session),
        None => Way::Away(cx.server, cx.from),
    };
    let show = shown_to(sight);
    archive.answer(&query, with, way, &show).await
}

/// Whose messages are meant.
///
/// # Errors
/// `forbidden`: who asks may not know what that user said.
fn by(with: &Jid, room: &str, user: &Jid, sight: Sight) -> Result<With, StanzaError> {
    if with.bare_str() == room {
        let Some(_) = with.resource() else {
            return Ok(With::default());
        };
        let from = with.clone();
        return Ok(With {
            passes: Some(Arc::new(move |message: &[u8]| {
                Stanza::parse(message).is_ok_and(|m| m.from().ok().flatten() == Some(&from))
            })),
            ..With::default()
        });
    }
    // XEP-0313 §4.1.1: by the real address only those find messages who know it.
    if !sight.real && with.bare_str() != user.bare_str() {
        return Err(StanzaError::forbidden().text("you may not know who is who in this room"));
    }
    Ok(With {
        peer: Some(with.bare_str().to_owned()),
        part: with.resource().map(str::to_owned),
        passes: None,
    })
}

/// How entries are shown to whom that is open.
fn shown_to(sight: Sight) -> impl for<'a> Fn(&'a ArchiveEntry) -> Cow<'a, [u8]> {
    move |entry| show(entry, sight)
}

/// What is shown of an entry: with the real address of who said it, or without.
pub(super) fn show(entry: &ArchiveEntry, sight: Sight) -> Cow<'_, [u8]> {
    const END: &[u8] = b"</message>";
    let inside = entry.value.strip_suffix(END).filter(|_| sight.real);
    let Some(inside) = inside.filter(|_| !entry.peer.is_empty()) else {
        return Cow::Borrowed(&entry.value);
    };
    let jid = match entry.part.as_str() {
        "" => Cow::Borrowed(&entry.peer),
        part => Cow::Owned(format!("{}/{part}", entry.peer)),
    };
    let mut w = XmlWriter::into(inside.to_vec());
    // XEP-0313 §6.1.2: who may know the sender's real address is told it like this.
    w.start("x").attr("xmlns", USER);
    w.leaf("item", &[("jid", &jid)]);
    w.end();
    let mut out = w.finish();
    out.extend_from_slice(END);
    Cow::Owned(out)
}

#[cfg(test)]
impl Sight {
    /// Of everything, with real addresses or without.
    pub(super) fn of_all(real: bool) -> Sight {
        Sight { real, since_ms: 0 }
    }
}
