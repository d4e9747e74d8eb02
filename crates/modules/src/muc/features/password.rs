//! Rooms with a password (XEP-0045 §7.2.5).

use tercet_core::StanzaError;

use super::{Entry, RoomFeature, tokens};
use crate::muc::MUC;
use crate::muc::room::State;

/// The password.
pub(super) struct Password;

impl RoomFeature for Password {
    fn name(&self) -> &'static str {
        "password"
    }

    fn enter(&self, room: &State, entry: &Entry<'_>) -> Result<(), StanzaError> {
        let Some(password) = room.config.password() else {
            return Ok(());
        };
        if tokens::has_admitted(room, entry.real) {
            return Ok(());
        }
        let given = entry.x.child("password", MUC).map(|p| p.text());
        if given.as_deref() == Some(password) {
            return Ok(());
        }
        // Clients show the text to people, who may not have been asked for a password yet.
        let text = match given.is_none_or(|given| given.is_empty()) {
            true => "the room has a password, which is needed to enter",
            false => "the room has a password, and this is not it",
        };
        // XEP-0045 §7.2.5: a missing or wrong password is refused with not-authorized.
        Err(StanzaError::not_authorized().text(text))
    }
}
