//! The catalogue: every kind of stored thing, registered once.

use std::collections::HashMap;

use crate::StoreError;

/// Longest name of a kind, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Whose data a kind is. Owners themselves are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Personal data: the owner is a bare JID. Exported and erased with the account.
    Account,
    /// Data of a host (or of the whole server): the owner is a domain, a room, or any other text.
    Host,
}

impl Owner {
    /// The name kept in the data: `account` or `host`.
    pub fn as_str(self) -> &'static str {
        match self {
            Owner::Account => "account",
            Owner::Host => "host",
        }
    }

    /// The inverse of [`Owner::as_str`].
    pub(crate) fn from_name(name: &str) -> Option<Owner> {
        match name {
            "account" => Some(Owner::Account),
            "host" => Some(Owner::Host),
            _ => None,
        }
    }
}

/// One kind of stored thing. Declared as a `static` by the module that stores it, and listed in the
/// catalogue given to [`crate::Store::memory`] or [`crate::Store::sqlite`].
///
/// A kind has records, a log, or both, per owner; the two do not see each other.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Unique name, kept in the data for ever: 1 to 64 of `a-z`, `0-9`, `-`, `_`, `.`, `/`.
    pub name: &'static str,
    /// Whose data it is. Cannot change once data exists.
    pub owner: Owner,
    /// What is stored, in words for people.
    pub what: &'static str,
}

/// How backends name a kind: stable for as long as a store is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KindId(pub(crate) i64);

/// A kind as a store knows it: from the given catalogue, or left in the data by a module that is no
/// longer there (still exported and erased).
#[derive(Clone, Debug)]
pub(crate) struct KnownKind {
    pub(crate) id: KindId,
    pub(crate) name: Box<str>,
    pub(crate) owner: Owner,
}

/// The kinds of one open store.
#[derive(Debug)]
pub(crate) struct Catalogue {
    registered: HashMap<&'static str, KindId>,
    /// Ordered by name.
    known: Vec<KnownKind>,
    kinds: Vec<&'static Kind>,
}

impl Catalogue {
    /// Checks `kinds` and joins them with `known`, which must hold each of them.
    pub(crate) fn new(
        kinds: &[&'static Kind],
        mut known: Vec<KnownKind>,
    ) -> Result<Catalogue, StoreError> {
        check(kinds)?;
        let mut registered = HashMap::new();
        for kind in kinds {
            let Some(found) = known.iter().find(|known| *known.name == *kind.name) else {
                return Err(StoreError::Catalogue(format!(
                    "kind {} has no id",
                    kind.name
                )));
            };
            if found.owner != kind.owner {
                return Err(StoreError::Catalogue(format!(
                    "kind {} belongs to {} in the data, to {} in the program",
                    kind.name,
                    found.owner.as_str(),
                    kind.owner.as_str()
                )));
            }
            registered.insert(kind.name, found.id);
        }
        known.sort_by(|a, b| a.name.cmp(&b.name));
        let mut kinds = kinds.to_vec();
        kinds.sort_by_key(|kind| kind.name);
        Ok(Catalogue {
            registered,
            known,
            kinds,
        })
    }

    /// The id of a registered kind.
    pub(crate) fn id(&self, kind: &Kind) -> Result<KindId, StoreError> {
        self.registered.get(kind.name).copied().ok_or_else(|| {
            StoreError::Catalogue(format!("kind {} is not in the catalogue", kind.name))
        })
    }

    /// The given kinds, by name.
    pub(crate) fn kinds(&self) -> &[&'static Kind] {
        &self.kinds
    }

    /// Every kind that may have data, by name: the given ones and those found in the data.
    pub(crate) fn known(&self) -> &[KnownKind] {
        &self.known
    }

    /// The ids of all kinds that belong to accounts.
    pub(crate) fn account_kinds(&self) -> impl Iterator<Item = KindId> + '_ {
        self.known
            .iter()
            .filter(|kind| kind.owner == Owner::Account)
            .map(|kind| kind.id)
    }
}

/// Names are well formed and unique.
pub(crate) fn check(kinds: &[&'static Kind]) -> Result<(), StoreError> {
    let mut names = std::collections::HashSet::new();
    for kind in kinds {
        let plain = kind
            .name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/'));
        if kind.name.is_empty() || kind.name.len() > MAX_NAME_BYTES || !plain {
            return Err(StoreError::Catalogue(format!(
                "{:?} is no name for a kind: 1 to {MAX_NAME_BYTES} of a-z, 0-9, - _ . /",
                kind.name
            )));
        }
        if !names.insert(kind.name) {
            return Err(StoreError::Catalogue(format!(
                "kind {} is registered twice",
                kind.name
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROSTER: Kind = Kind {
        name: "roster",
        owner: Owner::Account,
        what: "roster items",
    };
    static ROSTER_AGAIN: Kind = Kind {
        name: "roster",
        owner: Owner::Host,
        what: "another",
    };
    static SPACED: Kind = Kind {
        name: "Road map",
        owner: Owner::Host,
        what: "badly named",
    };

    #[test]
    fn two_kinds_of_one_name_are_refused() {
        let error = check(&[&ROSTER, &ROSTER_AGAIN]).unwrap_err();
        assert!(error.to_string().contains("roster is registered twice"));
    }

    #[test]
    fn a_name_outside_the_plain_characters_is_refused() {
        assert!(check(&[&ROSTER]).is_ok());
        assert!(check(&[&SPACED]).is_err());
    }

    #[test]
    fn a_kind_cannot_change_whose_data_it_is() {
        let known = vec![KnownKind {
            id: KindId(1),
            name: "roster".into(),
            owner: Owner::Host,
        }];
        let error = Catalogue::new(&[&ROSTER], known).unwrap_err();
        assert!(error.to_string().contains("belongs to host in the data"));
    }
}
