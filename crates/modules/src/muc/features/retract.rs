//! Messages are taken back: by who said them (XEP-0424 Message Retraction 0.4.2), or by a moderator (XEP-0425 Moderated Message
//! Retraction 0.3.0). Gaps: none known.
//!
//! Those who are in the room are told; those who enter later are not told the message, and in the archive there is a tombstone in its
//! place. The retraction itself is archived like any message, so that who comes back learns of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tercet_core::{BareJid, IqType, Jid, Stanza, StanzaError, XmlWriter, ns};
use tercet_server::{Routed, Server, store_failure};
use tercet_store::{ArchiveEntry, Batch, StoreError};

use super::RoomFeature;
use super::archive::{self, ROOM_ARCHIVE, is_tombstone};
use crate::mam::retract::{NS, TOMBSTONES};
use crate::mam::{read_id, stamp_of, wire_id};
use crate::muc::affiliation::Role;
use crate::muc::message::Speech;
use crate::muc::room::{Room, State, Subject};
use crate::muc::{Call, history, leave, records};
use crate::stable_id;

/// The namespace of moderation, which is the feature as well.
const NS_MODERATE: &str = "urn:xmpp:message-moderate:1";
const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// Bytes of a reason that are passed on.
const REASON: usize = 1024;

/// Retraction.
pub(super) struct Retract {
    /// Whether the host keeps messages at all.
    archives: bool,
}

impl Retract {
    /// For rooms of a host that keeps messages, or does not.
    pub(super) fn new(archives: bool) -> Retract {
        Retract { archives }
    }

    fn archives(&self, room: &State) -> bool {
        self.archives && room.config.archives()
    }
}

impl RoomFeature for Retract {
    fn name(&self) -> &'static str {
        "retract"
    }

    fn disco(&self, room: &State, features: &mut BTreeSet<&'static str>) {
        features.extend([NS, NS_MODERATE]);
        if self.archives(room) {
            features.insert(TOMBSTONES);
        }
    }

    fn message(&self, cx: &mut Speech<'_>) -> Result<(), StanzaError> {
        let entity = cx.call.entity;
        let Some(of) = retracted(entity.stanza) else {
            return Ok(());
        };
        let author = cx.state.occupants.at(cx.place);
        let mut stamp = Vec::new();
        super::stamp(&cx.call.core.features, cx.state, author, &mut stamp);
        // XEP-0424 §5: those who enter later are not told it, if the one who says so is the occupant who said it, under whatever nick.
        let is_meant = |id: Option<&str>| id.and_then(read_id) == Some(of);
        cx.state
            .history
            .forget(|said| is_meant(said.id.as_deref()) && said.has(&stamp));
        let archives = self.archives(cx.state);
        let was_subject = history::contains(&cx.state.subject.xml, &stamp);
        if !archives && !was_subject {
            return Ok(());
        }
        let done = Done {
            by: entity.stanza.id().unwrap_or_default().into_owned(),
            stamp: stamp_of(entity.server.store().archive_id(entity.server.now_ms())),
            moderated: Vec::new(),
        };
        let (room, author) = (cx.call.room.clone(), entity.from.to_bare());
        // As a job of its own: the room is locked, and the message may have come right before.
        entity.server.at(entity.server.now_ms(), move |server| {
            let server = server.clone();
            Routed::later(async move {
                let mut buried = Ok(());
                if archives {
                    buried = bury_own(&server, &room.jid, of, &author, &done).await;
                }
                if was_subject && buried.is_ok() {
                    buried = clear_subject(&server, &room, of).await;
                }
                if let Err(error) = buried {
                    tracing::error!(%error, "a retracted message stays in the archive of a room");
                }
            })
        });
        Ok(())
    }

    fn request(&self, call: &Call<'_>) -> Option<Routed> {
        let cx = call.entity;
        let payload = cx.stanza.payload()?;
        if !payload.is("moderate", NS_MODERATE)
            || cx.to.is_full()
            || cx.stanza.iq_type() != Some(IqType::Set)
        {
            return None;
        }
        let outcome = Wish::read(call);
        let wish = match outcome {
            Ok(wish) => wish,
            Err(error) => {
                cx.refuse(&error);
                return Some(Routed::Done);
            }
        };
        let (parked, archives) = (call.park(), self.archives(&call.room.lock()));
        Some(Routed::later(async move {
            let call = parked.call();
            match moderate(&call, wish, archives).await {
                Ok(()) => call.entity.answer(&[]),
                Err(error) => call.entity.refuse(&error),
            }
        }))
    }
}

/// The id, given by the room, of the message that `stanza` takes back.
fn retracted(stanza: &Stanza) -> Option<u64> {
    let retract = stanza.child("retract", NS)?.parse();
    // XEP-0424 §5.1: of messages to all, the id is that of the room.
    read_id(&retract.root().attr("id")?)
}

/// What a moderator wants.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    /// The id that the room gave to the message.
    of: u64,
    reason: Option<String>,
}

impl Wish {
    fn read(call: &Call<'_>) -> Result<Wish, StanzaError> {
        let cx = call.entity;
        let state = call.room.lock();
        let role = state.occupants.of(cx.from).map_or(Role::None, |o| o.role);
        if role != Role::Moderator {
            // XEP-0425 §3.2: who may not do it is refused.
            return Err(StanzaError::forbidden().text("only moderators take back what others said"));
        }
        let payload = cx.stanza.payload().ok_or_else(StanzaError::bad_request)?;
        Wish::parse(&payload.parse())
    }

    fn parse(moderate: &tercet_core::OwnedElement) -> Result<Wish, StanzaError> {
        let moderate = moderate.root();
        if moderate.child("retract", NS).is_none() {
            return Err(
                StanzaError::feature_not_implemented().text("messages can be retracted only")
            );
        }
        let id = moderate.attr("id").ok_or_else(StanzaError::bad_request)?;
        let reason = moderate.child("reason", NS_MODERATE).map(|r| {
            let reason = r.text();
            reason[..reason.floor_char_boundary(REASON)].to_owned()
        });
        Ok(Wish {
            of: read_id(&id).ok_or_else(StanzaError::item_not_found)?,
            reason: reason.filter(|r| !r.is_empty()),
        })
    }
}

/// That a message was taken back.
struct Done {
    /// The `id` of the message that says so.
    by: String,
    /// When.
    stamp: String,
    /// What is in `<retracted/>`, if a moderator did it.
    moderated: Vec<u8>,
}

/// Puts a tombstone in the place of a message that its author takes back.
async fn bury_own(
    server: &Arc<Server>,
    room: &BareJid,
    of: u64,
    author: &BareJid,
    done: &Done,
) -> Result<(), StoreError> {
    let Some(found) = find(server, room, of).await? else {
        return Ok(());
    };
    // XEP-0424 §5: only who has said something takes it back.
    if found.peer != author.as_str() {
        return Ok(());
    }
    let Some(tombstone) = tombstone(&found.value, done) else {
        return Ok(());
    };
    let mut batch = Batch::new();
    batch.replace_archived(&ROOM_ARCHIVE, room.as_str(), of, tombstone);
    server.store().commit(batch).await
}

/// Whether the subject was set by the message that the room gave this id.
fn is_subject(state: &State, room: &BareJid, of: u64) -> bool {
    let mut id = Vec::new();
    stable_id::stamp(&wire_id(of), room.as_str(), &mut id);
    history::contains(&state.subject.xml, &id)
}

/// A subject that was taken back is none: those who enter later are not told it.
async fn clear_subject(server: &Arc<Server>, room: &Arc<Room>, of: u64) -> Result<(), StoreError> {
    let _alone = room.changing.lock().await;
    let commit = {
        let state = room.lock();
        if !is_subject(&state, &room.jid, of) {
            return Ok(());
        }
        let kept = state.config.persistent && !state.locked;
        kept.then(|| {
            let mut batch = Batch::new();
            records::put_subject(&mut batch, &room.jid, &Subject::default());
            server.store().commit(batch)
        })
    };
    if let Some(commit) = commit {
        commit.await?;
    }
    room.lock().subject = Subject::default();
    Ok(())
}

async fn find(
    server: &Arc<Server>,
    room: &BareJid,
    id: u64,
) -> Result<Option<ArchiveEntry>, StoreError> {
    // The message may have come right before.
    server.store().flush().await?;
    let found = server
        .store()
        .archived(&ROOM_ARCHIVE, room.as_str(), &[id])
        .await?;
    Ok(found.into_iter().next())
}

/// XEP-0424 §4, XEP-0425 §4: addresses, type, id and occupant id of a message, and that it was taken back. `None`: it is a tombstone, or a
/// retraction, already.
fn tombstone(message: &[u8], done: &Done) -> Option<Vec<u8>> {
    let message = Stanza::parse(message).ok()?;
    if is_tombstone(&message) || message.child("retract", NS).is_some() {
        return None;
    }
    let from = message.from().ok().flatten().map(|jid| jid.as_str());
    let mut w = XmlWriter::new();
    w.start("message")
        .attr("xmlns", ns::CLIENT)
        .opt_attr("from", from)
        .opt_attr("type", message.type_())
        .opt_attr("id", message.id().as_deref());
    if let Some(id) = message.child("occupant-id", OCCUPANT_ID) {
        w.raw(id.raw());
    }
    w.start("retracted")
        .attr("xmlns", NS)
        .attr("id", &done.by)
        .attr("stamp", &done.stamp);
    w.raw(&done.moderated);
    w.end().end();
    Some(w.finish())
}

/// Takes a message back in the name of the room; it is durable before anybody hears of it.
async fn moderate(call: &Call<'_>, wish: Wish, archives: bool) -> Result<(), StanzaError> {
    let cx = call.entity;
    let room = &call.room.jid;
    let found = match archives {
        true => find(cx.server, room, wish.of).await,
        false => Ok(None),
    };
    let found = found.map_err(|e| store_failure(&e))?;
    let id = cx.server.store().archive_id(cx.server.now_ms());
    let content = {
        let state = call.room.lock();
        let of = wire_id(wish.of);
        let is_told = state
            .history
            .wanted(Default::default(), cx.server.now_ms())
            .any(|said| said.id.as_deref() == Some(&of))
            || is_subject(&state, room, wish.of);
        let created = tercet_store::Store::archive_id_from(state.created_ms);
        if !is_told && found.as_ref().is_none_or(|found| found.id < created) {
            return Err(StanzaError::item_not_found().text("the room knows no such message"));
        }
        moderated(call, &state, wish.reason.as_deref())
    };
    let done = Done {
        by: wire_id(id),
        stamp: stamp_of(id),
        moderated: content,
    };
    let message = notice(room, wish.of, &done);
    if archives {
        let mut batch = Batch::new();
        if let Some(found) = &found {
            let Some(tombstone) = tombstone(&found.value, &done) else {
                return Err(StanzaError::item_not_found().text("it is retracted already"));
            };
            batch.replace_archived(&ROOM_ARCHIVE, room.as_str(), found.id, tombstone);
        }
        let value = message(Some(ns::CLIENT), false);
        batch.archive(
            &ROOM_ARCHIVE,
            room.as_str(),
            archive::entry(id, room, value),
        );
        let commit = cx.server.store().commit(batch);
        commit.await.map_err(|e| store_failure(&e))?;
    }
    tell(call, &wish, &message(None, true));
    let cleared = clear_subject(cx.server, call.room, wish.of).await;
    cleared.map_err(|e| store_failure(&e))
}

/// Tells everybody, and nobody who enters later.
fn tell(call: &Call<'_>, wish: &Wish, message: &[u8]) {
    let room: &Jid = &call.room.jid;
    let mut state = call.room.lock();
    let of = wire_id(wish.of);
    state.history.forget(|said| said.id.as_deref() == Some(&of));
    if let Ok(stanza) = Stanza::parse(message) {
        let shared = stanza.share(Some(room.as_str()), None);
        state.cast_message(call.entity.server, room, &shared);
    }
    leave::settle(call, &mut state);
}

/// Who moderates and why, as everybody may know it.
fn moderated(call: &Call<'_>, state: &State, reason: Option<&str>) -> Vec<u8> {
    let moderator = state.occupants.of(call.entity.from);
    let mut w = XmlWriter::new();
    w.start("moderated")
        .attr("xmlns", NS_MODERATE)
        .opt_attr("by", moderator.map(|o| o.jid.as_str()));
    if let Some(moderator) = moderator {
        let mut stamp = Vec::new();
        super::stamp(&call.core.features, state, moderator, &mut stamp);
        w.raw(&stamp);
    }
    w.end();
    if let Some(reason) = reason {
        w.text_element("reason", reason);
    }
    w.finish()
}

/// The message of the room that says that a message was taken back: as it is archived, and as it goes out, with its id.
fn notice(room: &BareJid, of: u64, done: &Done) -> impl Fn(Option<&str>, bool) -> Vec<u8> {
    let (room, by, content) = (room.clone(), done.by.clone(), done.moderated.clone());
    move |xmlns, stamped| {
        let mut w = XmlWriter::new();
        w.start("message")
            .opt_attr("xmlns", xmlns)
            .attr("from", room.as_str())
            .attr("type", "groupchat")
            .attr("id", &by);
        w.start("retract")
            .attr("xmlns", NS)
            .attr("id", &wire_id(of));
        w.raw(&content).end();
        if stamped {
            let mut id = Vec::new();
            stable_id::stamp(&by, room.as_str(), &mut id);
            w.raw(&id);
        }
        w.end();
        w.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::OwnedElement;

    fn wish(xml: &str) -> Result<Wish, StanzaError> {
        Wish::parse(&OwnedElement::parse(xml.as_bytes(), "").unwrap())
    }

    #[test]
    fn a_moderator_names_the_id_of_the_room_and_a_reason() {
        let moderate = |id: &str, content: &str| {
            wish(&format!(
                "<moderate xmlns='{NS_MODERATE}' {id}>{content}</moderate>"
            ))
        };
        let retract = format!("<retract xmlns='{NS}'/>");
        let whole = moderate("id='7'", &format!("{retract}<reason>Spam</reason>"));
        let expected = Wish {
            of: 7,
            reason: Some("Spam".into()),
        };
        assert_eq!(whole, Ok(expected));
        assert_eq!(moderate("id='7'", &retract).unwrap().reason, None);
        let refused = |got: Result<Wish, StanzaError>| got.unwrap_err().condition.as_str();
        assert_eq!(refused(moderate("", &retract)), "bad-request");
        assert_eq!(refused(moderate("id='x'", &retract)), "item-not-found");
        assert_eq!(refused(moderate("id='7'", "")), "feature-not-implemented");
        let long = format!("{retract}<reason>{}</reason>", "\u{e9}".repeat(REASON));
        assert_eq!(
            moderate("id='7'", &long).unwrap().reason.unwrap().len(),
            REASON
        );
    }

    #[test]
    fn a_tombstone_says_who_and_when_and_nothing_of_what() {
        let message = format!(
            "<message xmlns='jabber:client' from='r@s/n' type='groupchat' id='m'><body>DM me</body>\
             <occupant-id xmlns='{OCCUPANT_ID}' id='o'/></message>"
        );
        let done = Done {
            by: "9".into(),
            stamp: "2019-09-20T23:09:32Z".into(),
            moderated: format!("<moderated xmlns='{NS_MODERATE}' by='r@s/m'/>").into(),
        };
        let tombstone = tombstone(message.as_bytes(), &done).unwrap();
        assert_eq!(
            std::str::from_utf8(&tombstone).unwrap(),
            "<message xmlns='jabber:client' from='r@s/n' type='groupchat' id='m'>\
             <occupant-id xmlns='urn:xmpp:occupant-id:0' id='o'/>\
             <retracted xmlns='urn:xmpp:message-retract:1' id='9' stamp='2019-09-20T23:09:32Z'>\
             <moderated xmlns='urn:xmpp:message-moderate:1' by='r@s/m'/></retracted></message>"
        );
        // What is one already stays as it is.
        assert_eq!(super::tombstone(&tombstone, &done), None);
    }

    #[test]
    fn only_ids_of_rooms_name_a_message() {
        let of = |id: &str| {
            let xml = format!("<message><retract xmlns='{NS}' {id}/></message>");
            retracted(&Stanza::parse(xml.as_bytes()).unwrap())
        };
        assert_eq!(of("id='17'"), Some(17));
        assert_eq!(of("id='mine'"), None);
        assert_eq!(of(""), None);
    }
}
