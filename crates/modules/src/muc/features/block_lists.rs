//! Whom the block lists of the host name stays outside, unless the room's owners or admins have said otherwise.

use tercet_core::{Element, StanzaError};
use tercet_server::Routed;

use super::RoomFeature;
use crate::block_lists::Guard;
use crate::muc::affiliation::Affiliation;
use crate::muc::room::State;
use crate::muc::{Call, enter};

/// Those on block lists.
pub(super) struct Listed;

impl RoomFeature for Listed {
    fn name(&self) -> &'static str {
        "block-lists"
    }

    fn arrive(&self, call: &Call<'_>, room: &mut State, _: Element<'_>) -> Option<Routed> {
        let cx = call.entity;
        let guard = cx.host.provided::<Guard>().next()?;
        let list = guard.finds(cx.server, cx.from)?;
        let affiliation = room.affiliation(cx.from.bare_str());
        // Who is just making a room owns it, but nobody has said so.
        if affiliation >= Affiliation::Member && !room.locked {
            return None;
        }
        guard.refused(cx.server, &list, cx.from, cx.to);
        // XEP-0045 §7.2.8: as those who are banned.
        let error = StanzaError::forbidden().text(format!("you are on the block list {list}"));
        enter::refuse(&cx, &error);
        Some(Routed::Done)
    }
}
