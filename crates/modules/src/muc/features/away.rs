//! Members who are away are woken (XEP-0357) by what is said in a room.
//!
//! Woken are the devices that sleep while their session is still in the room, and, in rooms for members only, those of members of this
//! server who are not in the room. In open rooms others are told of mentions (`mentions`). All of it in rooms for a group, not for a stadium.

use std::collections::HashSet;

use tercet_core::StanzaError;

use super::RoomFeature;
use crate::muc::affiliation::Affiliation;
use crate::muc::message::Speech;
use crate::notable::{Weight, weight};
use crate::push::nudge;

/// Occupants, and members, of a room in which everybody is looked after.
const GROUP: usize = 200;

/// Waking.
pub(super) struct Away;

impl RoomFeature for Away {
    fn name(&self) -> &'static str {
        "away"
    }

    fn message(&self, cx: &mut Speech<'_>) -> Result<(), StanzaError> {
        let entity = cx.call.entity;
        let state = &*cx.state;
        if state.occupants.len() > GROUP || weight(entity.stanza) == Weight::Nothing {
            return Ok(());
        }
        let sender = &state.occupants.at(cx.place).user;
        let mut here = HashSet::new();
        for occupant in state.occupants.iter() {
            here.insert(occupant.user.as_str());
            let sessions = occupant.sessions.iter().filter_map(|s| s.session.as_ref());
            for session in sessions.filter(|s| s.is_hibernating() && occupant.user != *sender) {
                let resource = session.jid().resource();
                nudge(entity.server, &occupant.user, Some(resource));
            }
        }
        if !state.config.members_only || state.roll.len() > GROUP {
            return Ok(());
        }
        for (user, enrolled) in &state.roll {
            let is_local = || entity.server.host(user.domain()).is_some();
            if enrolled.affiliation >= Affiliation::Member
                && !here.contains(user.as_str())
                && is_local()
            {
                nudge(entity.server, user, None);
            }
        }
        Ok(())
    }
}
