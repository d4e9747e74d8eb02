//! The hats of a room, and who wears them; bounded, and as they are kept.

use std::collections::BTreeMap;
use std::fmt::Write;

use aws_lc_rs::digest;
use tercet_core::{BareJid, StanzaError};

/// The most hats that a room has.
const HATS: usize = 50;
/// The most hats that one user wears.
const EACH: usize = 10;
/// The most users of a room who wear hats.
const WEARERS: usize = 200;
/// Bytes of a URI, and of a title.
const LONGEST: usize = 256;
/// Bytes of a hue.
const HUE: usize = 16;
/// The first byte of the durable form.
const FORMAT: u8 = 1;

/// A hat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hat {
    /// What it is known by.
    pub(super) uri: String,
    /// What people see.
    pub(super) title: String,
    /// Its colour: an angle in degrees, as it was given; empty for none.
    pub(super) hue: String,
}

/// The hats of a room, and who wears which: by their URIs, at least one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hats {
    pub(super) all: Vec<Hat>,
    pub(super) worn: BTreeMap<BareJid, Vec<String>>,
}

fn refuse(text: impl Into<String>) -> StanzaError {
    StanzaError::not_acceptable().text(text.into())
}

fn full(text: String) -> StanzaError {
    StanzaError::resource_constraint().text(text)
}

impl Hat {
    /// A hat, as somebody wants it.
    ///
    /// # Errors
    /// `not-acceptable` with a text that says what is wrong.
    pub(super) fn new(uri: &str, title: &str, hue: &str) -> Result<Hat, StanzaError> {
        let (uri, title, hue) = (uri.trim(), title.trim(), hue.trim());
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
        let is_scheme = |scheme: &str| {
            let mut chars = scheme.chars();
            chars.next().is_some_and(|c| c.is_ascii_alphabetic())
                && chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        if !scheme.is_some_and(is_scheme) || !uri.chars().all(plain) || uri.len() > LONGEST {
            return Err(refuse(format!(
                "hats#uri is to be a URI of {LONGEST} bytes at the most"
            )));
        }
        if title.is_empty() || title.len() > LONGEST || title.chars().any(char::is_control) {
            return Err(refuse(format!(
                "hats#title is to be a line of {LONGEST} bytes at the most"
            )));
        }
        let angle = hue
            .parse::<f64>()
            .ok()
            .filter(|a| (0.0..=360.0).contains(a));
        let digits = hue.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !hue.is_empty() && (angle.is_none() || !digits || hue.len() > HUE) {
            return Err(refuse("hats#hue is to be an angle from 0 to 360"));
        }
        Ok(Hat {
            uri: uri.to_owned(),
            title: title.to_owned(),
            hue: hue.to_owned(),
        })
    }
}

impl Hats {
    fn get(&self, uri: &str) -> Option<&Hat> {
        self.all.iter().find(|hat| hat.uri == uri)
    }

    /// The hats that `user` wears.
    pub(super) fn of<'a>(&'a self, user: &str) -> impl Iterator<Item = &'a Hat> {
        let worn = self.worn.get(user).into_iter().flatten();
        worn.filter_map(|uri| self.get(uri))
    }

    fn wearers(&self, uri: &str) -> Vec<BareJid> {
        let worn = self.worn.iter();
        let wearers = worn.filter(|(_, worn)| worn.iter().any(|w| w == uri));
        wearers.map(|(user, _)| user.clone()).collect()
    }

    /// Puts a hat on the list, or in the place of the one with its URI. Says who looks different now.
    ///
    /// # Errors
    /// `resource-constraint`: the room has too many.
    pub(super) fn create(&mut self, hat: Hat) -> Result<Vec<BareJid>, StanzaError> {
        if let Some(known) = self.all.iter_mut().find(|known| known.uri == hat.uri) {
            *known = hat.clone();
            return Ok(self.wearers(&hat.uri));
        }
        if self.all.len() >= HATS {
            return Err(full(format!("a room has at most {HATS} hats")));
        }
        self.all.push(hat);
        Ok(Vec::new())
    }

    /// Takes a hat off the list, and from all who wear it: these.
    ///
    /// # Errors
    /// `item-not-found`: it is not there.
    pub(super) fn destroy(&mut self, uri: &str) -> Result<Vec<BareJid>, StanzaError> {
        if self.get(uri).is_none() {
            return Err(StanzaError::item_not_found().text("there is no such hat"));
        }
        let wearers = self.wearers(uri);
        for user in &wearers {
            self.unassign(user, uri)?;
        }
        self.all.retain(|hat| hat.uri != uri);
        Ok(wearers)
    }

    /// Gives `user` a hat. Says who looks different now: nobody, if it has been worn before.
    ///
    /// # Errors
    /// There is no such hat, or there are too many of them or of those who wear them.
    pub(super) fn assign(
        &mut self,
        user: &BareJid,
        uri: &str,
    ) -> Result<Vec<BareJid>, StanzaError> {
        if self.get(uri).is_none() {
            return Err(StanzaError::item_not_found().text("there is no such hat"));
        }
        if !self.worn.contains_key(user) && self.worn.len() >= WEARERS {
            return Err(full(format!("at most {WEARERS} users of a room wear hats")));
        }
        let worn = self.worn.entry(user.clone()).or_default();
        if worn.iter().any(|w| w == uri) {
            return Ok(Vec::new());
        }
        if worn.len() >= EACH {
            return Err(full(format!("a user wears at most {EACH} hats")));
        }
        worn.push(uri.to_owned());
        Ok(vec![user.clone()])
    }

    /// Takes a hat from `user`. Says who looks different now.
    ///
    /// # Errors
    /// `item-not-found`: it is not worn.
    pub(super) fn unassign(
        &mut self,
        user: &BareJid,
        uri: &str,
    ) -> Result<Vec<BareJid>, StanzaError> {
        let missing = || StanzaError::item_not_found().text("the user does not wear this hat");
        let worn = self.worn.get_mut(user).ok_or_else(missing)?;
        let place = worn.iter().position(|w| w == uri).ok_or_else(missing)?;
        worn.remove(place);
        if worn.is_empty() {
            self.worn.remove(user);
        }
        Ok(vec![user.clone()])
    }

    /// What changes whenever the list does; `None` while it is empty.
    pub(super) fn hash(&self) -> Option<String> {
        let mut bytes = Vec::new();
        for hat in &self.all {
            for part in [&hat.uri, &hat.title, &hat.hue] {
                put(&mut bytes, part);
            }
        }
        let sha256 = digest::digest(&digest::SHA256, &bytes);
        let mut hash = String::new();
        for byte in &sha256.as_ref()[..20] {
            write!(hash, "{byte:02x}").expect("a string takes what is written");
        }
        (!self.all.is_empty()).then_some(hash)
    }

    /// The durable form.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT, u8::try_from(self.all.len()).unwrap_or(u8::MAX)];
        for hat in self.all.iter().take(u8::MAX.into()) {
            for part in [&hat.uri, &hat.title, &hat.hue] {
                put(&mut out, part);
            }
        }
        for (user, worn) in &self.worn {
            put(&mut out, user.as_str());
            out.push(u8::try_from(worn.len()).unwrap_or(u8::MAX));
            for uri in worn.iter().take(u8::MAX.into()) {
                put(&mut out, uri);
            }
        }
        out
    }

    /// Reads what [`Hats::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Hats> {
        let [FORMAT, count, rest @ ..] = bytes else {
            return None;
        };
        let (mut hats, mut rest) = (Hats::default(), rest);
        for _ in 0..*count {
            hats.all.push(Hat {
                uri: take(&mut rest)?,
                title: take(&mut rest)?,
                hue: take(&mut rest)?,
            });
        }
        while !rest.is_empty() {
            let user = BareJid::parse(&take(&mut rest)?).ok()?;
            let (count, after) = rest.split_first()?;
            rest = after;
            let worn: Option<_> = (0..*count).map(|_| take(&mut rest)).collect();
            hats.worn.insert(user, worn?);
        }
        Some(hats)
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("neither a JID nor a hat's text has 64 KiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn take(bytes: &mut &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> BareJid {
        BareJid::parse(&format!("{name}@example.org")).unwrap()
    }

    fn hat(uri: &str) -> Hat {
        Hat::new(uri, "Teacher", "327.255249").unwrap()
    }

    #[test]
    fn a_hat_has_a_uri_a_title_and_perhaps_an_angle() {
        assert!(Hat::new("http://example.org/hats#a", "A", "").is_ok());
        assert!(Hat::new("urn:x:a", " Über ", "360").is_ok());
        for (uri, title, hue) in [
            ("", "A", ""),
            ("no-scheme", "A", ""),
            ("1:a", "A", ""),
            ("urn:a b", "A", ""),
            ("urn:a", " ", ""),
            ("urn:a", "A\u{85}B", ""),
            ("urn:a", "A", "361"),
            ("urn:a", "A", "-1"),
            ("urn:a", "A", "1e2"),
            ("urn:a", "A", "NaN"),
            ("urn:a", "A", "1.00000000000000000"),
        ] {
            assert!(Hat::new(uri, title, hue).is_err(), "{uri} {title} {hue}");
        }
        assert!(Hat::new(&format!("urn:{}", "a".repeat(300)), "A", "").is_err());
        assert!(Hat::new("urn:a", &"a".repeat(300), "").is_err());
    }

    #[test]
    fn hats_and_those_who_wear_them_are_bounded() {
        let mut hats = Hats::default();
        for n in 0..HATS {
            hats.create(hat(&format!("urn:hat:{n}"))).unwrap();
        }
        assert!(hats.create(hat("urn:more")).is_err());
        assert!(hats.create(hat("urn:hat:0")).is_ok(), "it is there already");
        for n in 0..EACH {
            hats.assign(&user("romeo"), &format!("urn:hat:{n}"))
                .unwrap();
        }
        assert!(hats.assign(&user("romeo"), "urn:hat:20").is_err());
        for n in 1..WEARERS {
            hats.assign(&user(&format!("u{n}")), "urn:hat:1").unwrap();
        }
        assert!(hats.assign(&user("juliet"), "urn:hat:1").is_err());
        assert_eq!(hats.worn.len(), WEARERS);
    }

    #[test]
    fn a_hat_that_is_destroyed_is_worn_by_nobody_and_one_that_changes_looks_different() {
        let mut hats = Hats::default();
        hats.create(hat("urn:a")).unwrap();
        hats.create(hat("urn:b")).unwrap();
        let (romeo, juliet) = (user("romeo"), user("juliet"));
        assert_eq!(hats.assign(&romeo, "urn:a").unwrap().len(), 1);
        assert!(hats.assign(&romeo, "urn:a").unwrap().is_empty());
        hats.assign(&juliet, "urn:b").unwrap();
        hats.assign(&juliet, "urn:a").unwrap();
        assert!(hats.assign(&juliet, "urn:c").is_err());
        let before = hats.hash();
        let other = Hat::new("urn:a", "Assistant", "").unwrap();
        assert_eq!(hats.create(other).unwrap(), [juliet.clone(), romeo.clone()]);
        assert_ne!(hats.hash(), before);
        assert_eq!(
            hats.destroy("urn:a").unwrap(),
            [juliet.clone(), romeo.clone()]
        );
        assert_eq!(hats.of(romeo.as_str()).count(), 0);
        let left: Vec<_> = hats.of(juliet.as_str()).map(|hat| &*hat.uri).collect();
        assert_eq!(left, ["urn:b"]);
        assert!(hats.unassign(&romeo, "urn:b").is_err());
        assert!(hats.destroy("urn:a").is_err());
    }

    #[test]
    fn hats_are_read_as_they_were_written() {
        let mut hats = Hats::default();
        hats.create(hat("urn:a")).unwrap();
        hats.create(Hat::new("urn:b", "B", "").unwrap()).unwrap();
        hats.assign(&user("romeo"), "urn:b").unwrap();
        hats.assign(&user("romeo"), "urn:a").unwrap();
        let bytes = hats.to_bytes();
        assert_eq!(Hats::from_bytes(&bytes), Some(hats));
        let none = Hats::default();
        assert_eq!(Hats::from_bytes(&none.to_bytes()), Some(none));
        for broken in [&bytes[..bytes.len() - 1], &[2, 0], &[]] {
            assert_eq!(Hats::from_bytes(broken), None);
        }
    }
}
