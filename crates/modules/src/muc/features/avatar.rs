//! XEP-0486 MUC Avatars 0.1.0: a room has a vCard (XEP-0054), set by its owners; the hash of its picture (XEP-0153) stands in what
//! the room tells of itself, and in presence from its own address (§5.2), which older clients look for. Gaps: none known.

use std::collections::BTreeSet;
use std::fmt::Write;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tercet_core::forms::{Field, Form};
use tercet_core::{
    Element, IqType, Jid, OwnedElement, SharedStanza, StanzaError, StanzaKind, XmlWriter,
};
use tercet_server::Routed;

use super::RoomFeature;
use crate::muc::affiliation::Affiliation;
use crate::muc::room::{Data, State};
use crate::muc::status::Status;
use crate::muc::{Call, leave, presence};

const NS: &str = "vcard-temp";
const UPDATE: &str = "vcard-temp:x:update";
const NAME: &str = "avatar";
const INFO: &str = "muc#roominfo_avatarhash";
/// Bytes of a vCard; it is in memory as long as its room is.
const MOST: usize = 128 << 10;
/// Pictures in one vCard.
const PICTURES: usize = 8;

/// The vCard of a room.
#[derive(Default)]
struct Card {
    /// As it came; empty for none.
    xml: Vec<u8>,
    /// The hashes of its pictures.
    hashes: Vec<String>,
}

impl Card {
    /// What stands for the picture where there is place for one hash.
    fn hash(&self) -> Option<&String> {
        self.hashes.first()
    }
}

/// The avatar.
pub(super) struct Avatar;

impl RoomFeature for Avatar {
    fn name(&self) -> &'static str {
        NAME
    }

    fn disco(&self, _: &State, features: &mut BTreeSet<&'static str>) {
        features.insert(NS);
    }

    fn info(&self, room: &State, _: u64, mut form: Form) -> Form {
        // XEP-0486 §3.3: the hashes stand there if there is an avatar, and only then.
        if let Some(card) = room.data.get::<Card>().filter(|c| !c.hashes.is_empty()) {
            let hashes = card.hashes.iter().cloned();
            form.fields
                .push(Field::text_multi(INFO, "Avatar hash").values(hashes));
        }
        form
    }

    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        let hashes = match kept {
            [] => Vec::new(),
            xml => hashes(OwnedElement::parse(xml, "").ok()?.root()).ok()?,
        };
        data.put(Card {
            xml: kept.to_vec(),
            hashes,
        });
        Some(())
    }

    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        data.get::<Card>().map(|card| card.xml.clone())
    }

    fn entered(&self, call: &Call<'_>, room: &mut State, _: Element<'_>) -> Vec<u8> {
        let cx = call.entity;
        let hash = room.data.get::<Card>().and_then(|c| c.hash().cloned());
        if let Some(hash) = hash {
            // Before everything else, as those servers do that clients learned it from.
            let address: &Jid = &call.room.jid;
            let update = update(address, Some(&hash));
            room.tell(cx.server, address, cx.from, cx.session, &update);
        }
        Vec::new()
    }

    fn request(&self, call: &Call<'_>) -> Option<Routed> {
        let cx = call.entity;
        let payload = cx.stanza.payload()?;
        if !payload.is("vCard", NS) || cx.to.is_full() {
            return None;
        }
        if cx.stanza.iq_type() == Some(IqType::Get) {
            let state = call.room.lock();
            let card = state.data.get::<Card>().map(|card| &*card.xml);
            let card = card.filter(|xml| !xml.is_empty());
            cx.answer(card.unwrap_or(b"<vCard xmlns='vcard-temp'/>"));
            return Some(Routed::Done);
        }
        let parked = call.park();
        Some(Routed::later(async move {
            let call = parked.call();
            match set(&call).await {
                Ok(()) => call.entity.answer(&[]),
                Err(error) => call.entity.refuse(&error),
            }
        }))
    }
}

async fn set(call: &Call<'_>) -> Result<(), StanzaError> {
    let cx = call.entity;
    let card = cx.stanza.payload().ok_or_else(StanzaError::bad_request)?;
    let card = card.parse();
    hashes(card.root())?;
    let mut xml = Vec::new();
    if card.root().children().next().is_some() {
        card.root().to_xml(&mut xml);
    }
    if xml.len() > MOST {
        return Err(
            StanzaError::not_acceptable().text(format!("a room's vCard has at most {MOST} bytes"))
        );
    }
    let mut had = None;
    super::keep(call, NAME, |state, _| {
        had = state.data.get::<Card>().and_then(|c| c.hash().cloned());
        // XEP-0486 §5: only owners set it.
        match state.affiliation(cx.from.bare_str()) {
            Affiliation::Owner => Ok(xml),
            _ => Err(StanzaError::forbidden().text("only owners set the avatar of a room")),
        }
    })
    .await?;
    let mut state = call.room.lock();
    // XEP-0486 §3.2: everybody is told that something has changed.
    let message = presence::statuses(&call.room.jid, &[Status::ConfigurationChanged]);
    state.cast_message(cx.server, &call.room.jid, &message);
    let hash = state.data.get::<Card>().and_then(|c| c.hash().cloned());
    if hash != had {
        let room: &Jid = &call.room.jid;
        let update = update(room, hash.as_deref());
        state.cast(cx.server, room, &presence::PRESENCE, |_, _| Some(&update));
    }
    leave::settle(call, &mut state);
    Ok(())
}

/// XEP-0486 §5.2: presence of the room, with the hash of its picture, or that there is none any more.
fn update(room: &Jid, hash: Option<&str>) -> SharedStanza {
    SharedStanza::compose(StanzaKind::Presence, room.as_str(), None, |out| {
        let mut w = XmlWriter::into(std::mem::take(out));
        w.start("x").attr("xmlns", UPDATE).start("photo");
        // XEP-0153 §3.2: an empty element is no picture.
        w.text(hash.unwrap_or_default()).end().end();
        *out = w.finish();
    })
}

/// The hashes of the pictures, as XEP-0153 §3 has them.
fn hashes(card: Element<'_>) -> Result<Vec<String>, StanzaError> {
    let mut hashes = Vec::new();
    for photo in card.children().filter(|c| c.is("PHOTO", NS)) {
        let Some(picture) = photo.child("BINVAL", NS) else {
            continue;
        };
        let text: Vec<u8> = picture
            .text()
            .bytes()
            .filter(|b| !b.is_ascii_whitespace())
            .collect();
        if text.is_empty() {
            continue;
        }
        let bytes = STANDARD
            .decode(&text)
            .map_err(|_| StanzaError::not_acceptable().text("the picture is not in base64"))?;
        if hashes.len() == PICTURES {
            return Err(StanzaError::not_acceptable().text("too many pictures"));
        }
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &bytes);
        let mut hash = String::with_capacity(40);
        for byte in sha1.as_ref() {
            write!(hash, "{byte:02x}").expect("a string takes what is written");
        }
        hashes.push(hash);
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(content: &str) -> Result<Vec<String>, StanzaError> {
        let xml = format!("<vCard xmlns='{NS}'>{content}</vCard>");
        hashes(OwnedElement::parse(xml.as_bytes(), "").unwrap().root())
    }

    #[test]
    fn the_hash_is_that_of_the_picture() {
        let photo =
            |text: &str| format!("<PHOTO><TYPE>image/png</TYPE><BINVAL>{text}</BINVAL></PHOTO>");
        assert_eq!(
            card(&photo("aGVs\n bG8=")).unwrap(),
            ["aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"]
        );
        assert_eq!(card(&photo("aGVsbG8=").repeat(2)).unwrap().len(), 2);
        assert_eq!(card("<FN>Garden</FN>").unwrap().len(), 0);
        assert_eq!(card(&photo("")).unwrap().len(), 0);
        assert!(card(&photo("no base64!")).is_err());
        assert!(card(&photo("aGVsbG8=").repeat(9)).is_err());
    }

    #[test]
    fn a_card_is_kept_and_an_empty_one_is_none() {
        let mut data = Data::default();
        let xml = format!("<vCard xmlns='{NS}'><PHOTO><BINVAL>aGVsbG8=</BINVAL></PHOTO></vCard>");
        Avatar.load(&mut data, xml.as_bytes()).unwrap();
        assert_eq!(data.get::<Card>().unwrap().hashes.len(), 1);
        assert_eq!(Avatar.save(&data).unwrap(), xml.as_bytes());
        Avatar.load(&mut data, b"").unwrap();
        assert!(data.get::<Card>().unwrap().hashes.is_empty());
        assert_eq!(Avatar.load(&mut data, b"<vCard"), None);
    }
}
