//! Occupant ids (XEP-0421 1.0.1): who said it, without saying who that is.
//!
//! The id is a keyed hash of the bare JID; each room has a key of its own, kept with it, so that ids are the same after a restart
//! and other ones in another room.

use std::collections::BTreeSet;
use std::fmt::Write;

use aws_lc_rs::hmac;
use tercet_core::XmlWriter;
use tercet_server::Server;

use super::RoomFeature;
use crate::muc::affiliation::Affiliation;
use crate::muc::occupant::Occupant;
use crate::muc::room::{Data, State};

/// The namespace, which is the feature as well.
const NS_OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";

/// Bytes of the hash that an id shows, in hexadecimal: 160 bits, as many as nobody finds another address for.
const SHOWN: usize = 20;

/// The ids of occupants.
pub(super) struct OccupantIds;

impl RoomFeature for OccupantIds {
    fn name(&self) -> &'static str {
        "occupant_id"
    }

    fn made(&self, server: &Server, data: &mut Data) {
        data.put(RoomKey(server.random()));
    }

    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        data.put(RoomKey(kept.try_into().ok()?));
        Some(())
    }

    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        data.get::<RoomKey>().map(|key| key.0.to_vec())
    }

    fn disco(&self, room: &State, features: &mut BTreeSet<&'static str>) {
        if room.data.get::<RoomKey>().is_some() {
            features.insert(NS_OCCUPANT_ID);
        }
    }

    fn stamp(&self, room: &State, occupant: &Occupant, out: &mut Vec<u8>) {
        if let Some(key) = room.data.get::<RoomKey>() {
            // XEP-0421 §4: every message and every presence of an occupant has the id.
            let mut w = XmlWriter::into(std::mem::take(out));
            write(&key.id(occupant.user.as_str()), &mut w);
            *out = w.finish();
        }
    }
}

/// What makes the ids of a room its own. As secret as the addresses of its occupants.
pub(in crate::muc) struct RoomKey([u8; 32]);

impl RoomKey {
    #[cfg(test)]
    pub(super) fn of(bytes: [u8; 32]) -> RoomKey {
        RoomKey(bytes)
    }

    /// The id of the user with this bare JID.
    pub(super) fn id(&self, user: &str) -> String {
        let tag = self.sign(user.as_bytes());
        let mut id = String::with_capacity(2 * SHOWN);
        for byte in tag.as_ref().iter().take(SHOWN) {
            write!(id, "{byte:02x}").expect("a string takes what is written");
        }
        id
    }

    /// A number that the room alone can make of an entry in its lists: see [`super::versions`].
    pub(super) fn weigh(&self, user: &str, affiliation: Affiliation) -> u128 {
        // No JID has a NUL: it is never what an id is made of.
        let tag = self.sign(&[affiliation.as_str().as_bytes(), b"\0", user.as_bytes()].concat());
        let (first, _) = tag
            .as_ref()
            .split_first_chunk()
            .expect("32 bytes are more than 16");
        u128::from_be_bytes(*first)
    }

    fn sign(&self, what: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), what)
    }
}

fn write(id: &str, w: &mut XmlWriter) {
    w.leaf("occupant-id", &[("xmlns", NS_OCCUPANT_ID), ("id", id)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_for_one_user_in_one_room_only() {
        let (one, other) = (RoomKey([1; 32]), RoomKey([2; 32]));
        let id = one.id("hag66@shakespeare.lit");
        assert_eq!(id, RoomKey([1; 32]).id("hag66@shakespeare.lit"));
        assert_ne!(id, one.id("hag67@shakespeare.lit"));
        assert_ne!(id, other.id("hag66@shakespeare.lit"));
        assert!(id.len() <= 128 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let (mut data, mut again) = (Data::default(), Data::default());
        data.put(one);
        let kept = OccupantIds.save(&data).unwrap();
        OccupantIds.load(&mut again, &kept).unwrap();
        assert_eq!(
            again.get::<RoomKey>().unwrap().id("hag66@shakespeare.lit"),
            id
        );
        assert_eq!(OccupantIds.load(&mut again, b"short"), None);
        let mut w = XmlWriter::new();
        write("a", &mut w);
        assert_eq!(
            w.finish(),
            b"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='a'/>"
        );
    }
}
