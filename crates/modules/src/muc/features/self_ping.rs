//! Am I still there? (XEP-0410 1.1.0) The room answers itself, without asking the client.

use std::collections::BTreeSet;

use tercet_core::{ErrorType, IqType, StanzaError};
use tercet_server::Routed;

use super::RoomFeature;
use crate::muc::Call;
use crate::muc::room::State;

const NS_PING: &str = "urn:xmpp:ping";

/// Pings to one's own nick.
pub(super) struct SelfPing;

impl RoomFeature for SelfPing {
    fn name(&self) -> &'static str {
        "self_ping"
    }

    fn disco(&self, _: &State, features: &mut BTreeSet<&'static str>) {
        features.insert("http://jabber.org/protocol/muc#self-ping-optimization");
    }

    fn request(&self, call: &Call<'_>) -> Option<Routed> {
        let cx = call.entity;
        let nick = cx.to.resource()?;
        let payload = cx.stanza.payload()?;
        if cx.stanza.iq_type() != Some(IqType::Get) || !payload.is("ping", NS_PING) {
            return None;
        }
        let state = call.room.lock();
        match state.occupants.of(cx.from) {
            // XEP-0410 §4: a session that is in the room under this nick gets a result.
            Some(occupant) if occupant.nick() == nick => cx.answer(&[]),
            // Somebody else is pinged.
            Some(_) => return None,
            // XEP-0410 §4: one that is not in the room gets not-acceptable, whoever is.
            None => {
                let error = StanzaError::not_acceptable().kind(ErrorType::Cancel);
                cx.refuse(&error.text("you are not in the room"));
            }
        }
        Some(Routed::Done)
    }
}
