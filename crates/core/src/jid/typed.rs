//! The two kinds of JID as types.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::parse::join;
use super::{Jid, JidError, prepare_resource};

/// A JID without resourcepart: an account, a room, a host.
///
/// ```
/// use std::collections::HashMap;
/// use tercet_core::BareJid;
/// let mut accounts = HashMap::new();
/// accounts.insert(BareJid::parse("Romeo@montague.example")?, 1);
/// assert_eq!(accounts.get("romeo@montague.example"), Some(&1));
/// # Ok::<(), tercet_core::JidError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BareJid(pub(super) Jid);

/// A JID with resourcepart: a session, an occupant of a room.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullJid(pub(super) Jid);

impl BareJid {
    /// Reads and prepares a JID that has no resourcepart.
    ///
    /// # Errors
    /// As [`Jid::parse`], and `UnexpectedResource`.
    pub fn parse(s: &str) -> Result<BareJid, JidError> {
        Jid::parse(s)?.try_into()
    }

    /// The full JID with this resourcepart, which is prepared.
    ///
    /// # Errors
    /// As [`prepare_resource`].
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        let resource = prepare_resource(resource)?;
        Ok(FullJid(join(self.local(), self.domain(), Some(&resource))))
    }
}

impl FullJid {
    /// Reads and prepares a JID that has a resourcepart.
    ///
    /// # Errors
    /// As [`Jid::parse`], and `MissingResource`.
    pub fn parse(s: &str) -> Result<FullJid, JidError> {
        Jid::parse(s)?.try_into()
    }

    /// The account, room or host it belongs to.
    pub fn bare(&self) -> BareJid {
        self.0.to_bare()
    }

    /// The resourcepart, which is always there.
    pub fn resource(&self) -> &str {
        &self.0.text[usize::from(self.0.bare) + 1..]
    }
}

impl TryFrom<Jid> for BareJid {
    type Error = JidError;

    fn try_from(jid: Jid) -> Result<Self, Self::Error> {
        if jid.is_bare() {
            Ok(BareJid(jid))
        } else {
            Err(JidError::UnexpectedResource)
        }
    }
}

impl TryFrom<Jid> for FullJid {
    type Error = JidError;

    fn try_from(jid: Jid) -> Result<Self, Self::Error> {
        if jid.is_full() {
            Ok(FullJid(jid))
        } else {
            Err(JidError::MissingResource)
        }
    }
}

macro_rules! common_to_both {
    ($name:ident) => {
        impl Deref for $name {
            type Target = Jid;

            fn deref(&self) -> &Jid {
                &self.0
            }
        }

        impl From<$name> for Jid {
            fn from(jid: $name) -> Jid {
                jid.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.0.as_str()
            }
        }

        impl Borrow<Jid> for $name {
            fn borrow(&self) -> &Jid {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.0.as_str()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0.as_str() == other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0.as_str())
            }
        }

        impl FromStr for $name {
            type Err = JidError;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                $name::parse(s)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = JidError;

            fn try_from(s: &str) -> Result<Self, Self::Error> {
                $name::parse(s)
            }
        }
    };
}

common_to_both!(BareJid);
common_to_both!(FullJid);
