//! Which avatar an account has, kept with the account: what its nodes say (XEP-0084), so that presence need not ask them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::{BareJid, Element, OwnedElement, StanzaError};
use tercet_server::module::{Slot, SlotFuture};
use tercet_store::{Batch, Kind, Owner, Store};

use super::photo;
use crate::pubsub::config::Access;
use crate::pubsub::items;
use crate::pubsub::place::Place;

/// The node of pictures.
pub const DATA: &str = "urn:xmpp:avatar:data";
/// The node of what is known of them.
pub const METADATA: &str = "urn:xmpp:avatar:metadata";

/// Which avatar an account has.
pub static AVATAR: Kind = Kind {
    name: "avatar",
    owner: Owner::Account,
    what: "the hash of the user's avatar, as presence tells it",
};

/// The most bytes of a picture that is shown in a vCard: with base64 around it, it still fits into a stanza of most servers.
const MOST: usize = 144 << 10;
/// Formats of one avatar that are looked at.
const FORMATS: usize = 8;
/// The first byte of the record.
const FORMAT: u8 = 1;

/// Who may see an avatar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Audience {
    /// Those on a list.
    Few = 0,
    /// Those who are subscribed to the user's presence.
    Subscribers = 1,
    /// Everybody.
    All = 2,
}

/// An avatar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The id of its item, which is its hash: 40 hexadecimal digits.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Who may see it.
    pub audience: Audience,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// There never was one.
    Never,
    /// There is none any more, or none that a vCard can have.
    Nothing,
    /// This.
    Picture(Arc<Picture>),
}

/// The avatar of one account.
pub struct Avatar {
    now: Mutex<Now>,
    /// Held while it is found out what there is, and while a vCard's picture is published.
    pub changing: tokio::sync::Mutex<()>,
}

/// What is behind the lock of an [`Avatar`].
pub struct Now {
    /// What there is.
    pub shown: Shown,
    /// It was found out once.
    pub known: bool,
    /// Resources whose clients say that there is no avatar.
    pub deny: BTreeSet<Box<str>>,
}

impl Slot for Avatar {
    fn load(store: &Store, account: &BareJid) -> SlotFuture<Self> {
        let record = store.get(&AVATAR, account.as_str(), "");
        Box::pin(async move {
            let shown = record.await?.and_then(|record| read(&record));
            Ok(Avatar {
                now: Mutex::new(Now {
                    known: shown.is_some(),
                    shown: shown.unwrap_or(Shown::Never),
                    deny: BTreeSet::new(),
                }),
                changing: tokio::sync::Mutex::default(),
            })
        })
    }
}

impl Avatar {
    /// What is known, locked. Hold it shortly.
    pub fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is.
    pub fn shown(&self) -> Shown {
        self.lock().shown.clone()
    }
}

/// Finds out what there is now. The caller holds [`Avatar::changing`]. True if it is something else than before.
pub async fn find_out(place: &Place, avatar: &Avatar) -> Result<bool, StanzaError> {
    let mut found = look(place).await?;
    let before = avatar.shown();
    if found == Shown::Never && before != Shown::Never {
        found = Shown::Nothing;
    }
    if found != before {
        let mut batch = Batch::new();
        batch.put(&AVATAR, place.jid.as_str(), "", write(&found));
        place.commit(batch).await?;
    }
    let mut now = avatar.lock();
    now.known = true;
    now.shown = found;
    Ok(now.shown != before)
}

/// What the nodes say.
async fn look(place: &Place) -> Result<Shown, StanzaError> {
    let Some(metadata) = place.look(METADATA).await? else {
        return Ok(Shown::Never);
    };
    let (Some(data), Some((_, payload))) = (
        place.look(DATA).await?,
        items::latest(place, &metadata).await?,
    ) else {
        return Ok(Shown::Nothing);
    };
    let audience = [&metadata, &data].map(|node| audience(node.lock().config.access));
    let audience = match audience {
        [Audience::Few, _] | [_, Audience::Few] => Audience::Few,
        [Audience::All, Audience::All] => Audience::All,
        _ => Audience::Subscribers,
    };
    for (id, kind) in formats(&payload) {
        let Some(payload) = items::payload(place, DATA, &id).await? else {
            continue;
        };
        // XEP-0398 §3.1: the hash is that of the picture.
        if picture(&payload).is_some_and(|bytes| photo::hash(&bytes).eq_ignore_ascii_case(&id)) {
            let picture = Picture { id, kind, audience };
            return Ok(Shown::Picture(Arc::new(picture)));
        }
    }
    Ok(Shown::Nothing)
}

fn audience(access: Access) -> Audience {
    match access {
        Access::Open => Audience::All,
        Access::Presence => Audience::Subscribers,
        Access::Roster | Access::Authorize | Access::Whitelist => Audience::Few,
    }
}

/// The ids and types of an avatar's formats that are at the node of pictures; PNG first.
fn formats(metadata: &[u8]) -> Vec<(String, String)> {
    let Ok(metadata) = OwnedElement::parse(metadata, "") else {
        return Vec::new();
    };
    let read = |info: Element<'_>| {
        // XEP-0398 §3.1: what is elsewhere is left out.
        if !info.is("info", METADATA) || info.attr("url").is_some() {
            return None;
        }
        let id = info.attr("id").filter(|id| id.len() == 40)?;
        let kind = info.attr("type").unwrap_or("image/png".into());
        let kind = kind.to_ascii_lowercase();
        (kind.starts_with("image/") && kind.len() <= 64).then(|| (id.into_owned(), kind))
    };
    let mut formats: Vec<_> = metadata.root().children().filter_map(read).collect();
    formats.sort_by_key(|(_, kind)| kind != "image/png");
    formats.truncate(FORMATS);
    formats
}

/// The picture in an item of the node of pictures; `None` if there is none, or it is too big for a vCard.
pub fn picture(payload: &[u8]) -> Option<Vec<u8>> {
    let payload = OwnedElement::parse(payload, "").ok()?;
    let data = payload.root();
    let bytes = data.is("data", DATA).then(|| photo::decode(&data.text()));
    bytes.flatten().filter(|bytes| bytes.len() <= MOST)
}

/// The record: a version, who may see it, the id, the type; nothing behind the version if there is none.
fn write(shown: &Shown) -> Vec<u8> {
    let mut record = vec![FORMAT];
    if let Shown::Picture(picture) = shown {
        record.push(picture.audience as u8);
        record.extend_from_slice(picture.id.as_bytes());
        record.extend_from_slice(picture.kind.as_bytes());
    }
    record
}

fn read(record: &[u8]) -> Option<Shown> {
    let (&FORMAT, rest) = record.split_first()? else {
        return None;
    };
    let Some((&audience, rest)) = rest.split_first() else {
        return Some(Shown::Nothing);
    };
    let audience = match audience {
        0 => Audience::Few,
        1 => Audience::Subscribers,
        2 => Audience::All,
        _ => return None,
    };
    let (id, kind) = rest.split_at_checked(40)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some(Shown::Picture(Arc::new(Picture {
        id: text(id)?,
        kind: text(kind)?,
        audience,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_kept() {
        let picture = Picture {
            id: "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d".into(),
            kind: "image/png".into(),
            audience: Audience::Subscribers,
        };
        for shown in [Shown::Nothing, Shown::Picture(Arc::new(picture))] {
            assert_eq!(read(&write(&shown)), Some(shown));
        }
        assert_eq!(read(b""), None);
        assert_eq!(read(&[FORMAT, 7]), None);
        assert_eq!(read(&[FORMAT, 1, b'a']), None);
    }

    #[test]
    fn of_several_formats_the_one_that_is_here_counts_and_png_before_others() {
        let id = |c: char| c.to_string().repeat(40);
        let metadata = format!(
            "<metadata xmlns='urn:xmpp:avatar:metadata'>\
             <info id='{}' type='image/gif' url='https://example.org/a.gif' bytes='1'/>\
             <info id='{}' type='image/webp' bytes='1'/><info id='{}' type='image/png' bytes='1'/>\
             <info id='short' type='image/png'/><info type='image/png'/><pointer/></metadata>",
            id('a'),
            id('b'),
            id('c')
        );
        let ids: Vec<_> = formats(metadata.as_bytes())
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        assert_eq!(ids, [id('c'), id('b')]);
        assert_eq!(formats(b"<metadata xmlns='urn:xmpp:avatar:metadata'/>"), []);
    }

    #[test]
    fn a_picture_that_is_too_big_for_a_vcard_is_none() {
        let data = |bytes: usize| {
            use base64::{Engine, prelude::BASE64_STANDARD};
            let text = BASE64_STANDARD.encode(vec![0; bytes]);
            format!("<data xmlns='urn:xmpp:avatar:data'>\n{text}\n</data>").into_bytes()
        };
        assert_eq!(picture(&data(MOST)).map(|p| p.len()), Some(MOST));
        assert_eq!(picture(&data(MOST + 1)), None);
        assert_eq!(picture(b"<data xmlns='urn:xmpp:avatar:data'/>"), None);
        assert_eq!(picture(b"<other/>"), None);
    }
}
