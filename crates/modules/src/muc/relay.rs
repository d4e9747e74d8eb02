//! Requests to rooms, and between occupants (XEP-0045 §6, §17.3).

use std::hash::{DefaultHasher, Hash, Hasher};

use tercet_core::{IqType, Jid, StanzaError, XmlWriter};
use tercet_server::{Handed, Routed};

use super::{Call, admin, disco, gather, owner};

const VCARD: &str = "vcard-temp";

/// A request to the room or one of its occupants, or an answer. `None`: the room has gone meanwhile.
pub(super) fn request(call: &Call<'_>) -> Option<Routed> {
    let cx = call.entity;
    if call.room.lock().gone {
        return None;
    }
    if !matches!(cx.stanza.iq_type(), Some(IqType::Get | IqType::Set)) {
        answer(call);
        return Some(Routed::Done);
    }
    for feature in call.core.features.iter() {
        if let Some(routed) = feature.request(call) {
            return Some(routed);
        }
    }
    if cx.to.is_full() {
        if let Err(error) = forward(call) {
            cx.refuse(&error);
        }
        return Some(Routed::Done);
    }
    let payload = cx.stanza.payload();
    let known = payload.map(|p| (p.name(), p.ns()));
    Some(match known {
        Some(("query", crate::disco::INFO)) => disco::info(call),
        Some(("query", crate::disco::ITEMS)) => disco::items(call),
        Some(("query", admin::NS)) => admin::request(call),
        Some(("query", owner::NS)) => owner::request(call),
        Some(("ping", "urn:xmpp:ping")) => {
            cx.answer(&[]);
            Routed::Done
        }
        _ => {
            // RFC 6120 §8.4: an unknown payload.
            cx.refuse(&StanzaError::service_unavailable());
            Routed::Done
        }
    })
}

/// Between two occupants: the other's client gets the request from the occupant, and an id that says which session asked.
fn forward(call: &Call<'_>) -> Result<(), StanzaError> {
    let cx = call.entity;
    let mut state = call.room.lock();
    if let Some(place) = state.occupants.place_of(cx.from) {
        gather::introduce(call, &mut state, place);
    }
    let payload = cx.stanza.payload();
    let Some(sender) = state.occupants.of(cx.from) else {
        let is_disco =
            payload.is_some_and(|p| matches!(p.ns(), crate::disco::INFO | crate::disco::ITEMS));
        // XEP-0045 §6.6: who is not in the room and asks about an occupant gets bad-request.
        return Err(match is_disco {
            true => StanzaError::bad_request(),
            false => StanzaError::not_acceptable(),
        }
        .text("you are not in the room"));
    };
    let nick = cx.to.resource().unwrap_or_default();
    let Some(other) = state.occupants.by_nick(nick) else {
        return Err(StanzaError::item_not_found().text("nobody here has this nick"));
    };
    let session = other.first();
    let id = cx.stanza.id().unwrap_or_default();
    let id = format!("{:016x}{id}", mark(cx.from));
    // A vCard is an account's, not a client's.
    let is_vcard = payload.is_some_and(|p| p.ns() == VCARD);
    if is_vcard {
        let account: Jid = session.jid.to_bare().into();
        let mut out = Vec::new();
        write(call, &id, &sender.jid, &account, &mut out);
        cx.server.post(&sender.jid, &account, &out);
        return Ok(());
    }
    let mut out = cx.server.fan_out(&sender.jid, cx.stanza);
    let handed = out.hand(&session.jid, session.session.as_ref(), |out| {
        write(call, &id, &sender.jid, &session.jid, out);
    });
    match handed {
        Handed::Taken => Ok(()),
        Handed::Unwanted | Handed::Gone => Err(StanzaError::service_unavailable()),
    }
}

/// The answer of an occupant's client: it goes to the session that asked.
fn answer(call: &Call<'_>) {
    let cx = call.entity;
    let state = call.room.lock();
    let Some(nick) = cx.to.resource() else {
        return;
    };
    let from = match state.occupants.of(cx.from) {
        Some(occupant) => occupant,
        // An account answers for its vCard.
        None => match state.occupants.of_user(cx.from.as_str()).next() {
            Some(occupant) => occupant,
            None => return,
        },
    };
    let id = cx.stanza.id().unwrap_or_default();
    let Some((mark_of, id)) = id.split_at_checked(16) else {
        return;
    };
    let Ok(mark_of) = u64::from_str_radix(mark_of, 16) else {
        return;
    };
    let Some(asker) = state.occupants.by_nick(nick) else {
        return;
    };
    let mut sessions = asker.sessions.iter();
    let Some(session) = sessions.find(|s| mark(&s.jid) == mark_of) else {
        return;
    };
    let mut out = cx.server.fan_out(&from.jid, cx.stanza);
    out.hand(&session.jid, session.session.as_ref(), |out| {
        write(call, id, &from.jid, &session.jid, out);
    });
}

/// Tells the sessions of one occupant apart.
fn mark(jid: &Jid) -> u64 {
    let mut hasher = DefaultHasher::new();
    jid.as_str().hash(&mut hasher);
    hasher.finish()
}

/// The stanza with another id and other addresses.
fn write(call: &Call<'_>, id: &str, from: &Jid, to: &Jid, out: &mut Vec<u8>) {
    let stanza = call.entity.stanza;
    let mut w = XmlWriter::into(std::mem::take(out));
    w.start("iq")
        .attr("type", stanza.type_().unwrap_or_default())
        .attr("id", id)
        .attr("from", from.as_str())
        .attr("to", to.as_str());
    w.raw(stanza.content()).end();
    *out = w.finish();
}
