//! One roster item: its durable form and its XML.

use tercet_core::{BareJid, Element, StanzaError, XmlWriter};
use tercet_store::{Kind, Owner};

use super::Subscription;

/// A user's contacts: one record each, keyed by the contact's bare JID.
pub static ROSTER: Kind = Kind {
    name: "roster",
    owner: Owner::Account,
    what: "contacts, their names and groups, and who sees whose presence",
};

/// The version of a user's roster (RFC 6121 §2.6).
pub static ROSTER_VERSION: Kind = Kind {
    name: "roster-version",
    owner: Owner::Account,
    what: "how often the contact list has changed",
};

/// The longest name of a contact or group, in bytes.
const NAME_BYTES: usize = 1023;
/// The most groups one contact may be in.
const GROUPS: usize = 64;

/// What a user's server knows about one contact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// The name the user gave the contact.
    pub name: Option<String>,
    /// The groups the user put the contact in, without doubles.
    pub groups: Vec<String>,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// Whether clients see the item. False while it is no more than the contact's request.
    pub in_roster: bool,
    /// The contact's request as it came, while it waits for an answer (RFC 6121 §3.1.3).
    pub request: Option<Vec<u8>>,
}

/// Why a roster item from a client is refused (RFC 6121 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// A name or group is longer than 1023 bytes, or there are more than 64 groups.
    #[error("a name or group is too long, or there are too many groups")]
    TooLong,
    /// A group without a name.
    #[error("a group has no name")]
    EmptyGroup,
    /// The same group twice.
    #[error("a group is named twice")]
    DoubledGroup,
    /// No `jid` attribute, or not a JID.
    #[error("the item has no valid jid")]
    BadJid,
}

impl From<ItemError> for StanzaError {
    fn from(error: ItemError) -> Self {
        match error {
            ItemError::TooLong | ItemError::EmptyGroup => {
                StanzaError::not_acceptable().text(error.to_string())
            }
            ItemError::DoubledGroup | ItemError::BadJid => {
                StanzaError::bad_request().text(error.to_string())
            }
        }
    }
}

impl Item {
    /// Whether nothing is left that would be worth an entry.
    pub fn is_void(&self) -> bool {
        !self.in_roster && !self.subscription.pending && !self.subscription.approved
    }

    /// Reads `<item/>` of a roster set. Gives the contact, its name and its groups; `subscription` is the caller's to judge.
    pub fn parse(el: Element<'_>) -> Result<(BareJid, Option<String>, Vec<String>), ItemError> {
        let jid = el.attr("jid").ok_or(ItemError::BadJid)?;
        let jid = tercet_core::Jid::parse(&jid)
            .map_err(|_| ItemError::BadJid)?
            .to_bare();
        let name = el
            .attr("name")
            .map(|n| n.into_owned())
            .filter(|n| !n.is_empty());
        if name.as_ref().is_some_and(|n| n.len() > NAME_BYTES) {
            return Err(ItemError::TooLong);
        }
        let mut groups: Vec<String> = Vec::new();
        for group in el
            .children()
            .filter(|c| c.name() == "group" && c.ns() == el.ns())
        {
            let group = group.text().into_owned();
            if group.is_empty() {
                return Err(ItemError::EmptyGroup);
            }
            if group.len() > NAME_BYTES || groups.len() == GROUPS {
                return Err(ItemError::TooLong);
            }
            if groups.contains(&group) {
                return Err(ItemError::DoubledGroup);
            }
            groups.push(group);
        }
        Ok((jid, name, groups))
    }

    /// Writes `<item/>` as clients see it (RFC 6121 §2.1.2).
    pub fn write(&self, jid: &BareJid, w: &mut XmlWriter) {
        let s = self.subscription;
        w.start("item")
            .attr("jid", jid.as_str())
            .opt_attr("name", self.name.as_deref());
        w.attr("subscription", s.as_str());
        if s.ask {
            w.attr("ask", "subscribe");
        }
        if s.approved {
            w.attr("approved", "true");
        }
        for group in &self.groups {
            w.text_element("group", group);
        }
        w.end();
    }

    /// The durable form: a format byte, flags, then length-prefixed texts.
    pub fn to_bytes(&self) -> Vec<u8> {
        let s = self.subscription;
        let flags = [
            s.to,
            s.from,
            s.ask,
            s.pending,
            s.approved,
            self.in_roster,
            self.name.is_some(),
            self.request.is_some(),
        ];
        let flags = flags
            .iter()
            .enumerate()
            .fold(0u8, |f, (i, &set)| f | (u8::from(set) << i));
        let mut out = vec![FORMAT, flags];
        let mut text = |t: &[u8]| {
            out.extend_from_slice(&u32::try_from(t.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(t);
        };
        if let Some(name) = &self.name {
            text(name.as_bytes());
        }
        if let Some(request) = &self.request {
            text(request);
        }
        for group in &self.groups {
            text(group.as_bytes());
        }
        out
    }

    /// Reads what [`Item::to_bytes`] wrote; `None` if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Item> {
        let [FORMAT, flags, rest @ ..] = bytes else {
            return None;
        };
        let mut rest = rest;
        let flag = |i: u8| flags & (1 << i) != 0;
        let mut text = || -> Option<&[u8]> {
            let (len, tail) = rest.split_first_chunk::<4>()?;
            let (text, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
            rest = tail;
            Some(text)
        };
        let string = |t: &[u8]| String::from_utf8(t.to_vec()).ok();
        let name = if flag(6) {
            Some(string(text()?)?)
        } else {
            None
        };
        let request = if flag(7) {
            Some(text()?.to_vec())
        } else {
            None
        };
        let mut groups = Vec::new();
        while let Some(group) = text() {
            groups.push(string(group)?);
        }
        let subscription = Subscription {
            to: flag(0),
            from: flag(1),
            ask: flag(2),
            pending: flag(3),
            approved: flag(4),
        };
        rest.is_empty().then_some(Item {
            name,
            groups,
            subscription,
            in_roster: flag(5),
            request,
        })
    }
}

/// The first byte of the durable form.
const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_durable_form_is_read_back() {
        let item = Item {
            name: Some("Juliet ♥".into()),
            groups: vec!["Friends".into(), "Capulet".into()],
            subscription: Subscription {
                to: true,
                pending: true,
                ..Subscription::default()
            },
            in_roster: true,
            request: Some(b"<presence type='subscribe'/>".to_vec()),
        };
        assert_eq!(Item::from_bytes(&item.to_bytes()), Some(item.clone()));
        assert_eq!(
            Item::from_bytes(&Item::default().to_bytes()),
            Some(Item::default())
        );
        let mut cut = item.to_bytes();
        cut.pop();
        assert_eq!(Item::from_bytes(&cut), None);
        assert_eq!(Item::from_bytes(b""), None);
    }
}
