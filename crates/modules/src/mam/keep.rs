//! How long an account's messages are kept: as long as its host keeps them, unless an administrator has said otherwise for this
//! account, and no longer than its user wants.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tercet_core::BareJid;
use tercet_server::{AccountError, Server};
use tercet_store::{Batch, Kind, Owner, StoreError};

/// How long messages are kept where that differs from what the host says: a record for each who has said so.
pub static ARCHIVE_KEEP: Kind = Kind {
    name: "archive-keep",
    owner: Owner::Account,
    what: "how long messages are kept, by the user's choice and by an administrator's",
};

const DAY_S: u64 = 86_400;
/// Days that can be asked for.
const DAYS: std::ops::RangeInclusive<u64> = 1..=36_500;

/// A time for which messages are kept; the shorter is the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// For so many seconds.
    Seconds(u64),
    /// Until the account is deleted.
    Forever,
}

/// Who says how long an account's messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Its user: as an upper bound.
    User,
    /// An administrator: instead of the host.
    Admin,
}

/// All that is said about an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// By its host's configuration.
    pub host: Keep,
    /// By an administrator.
    pub admin: Option<Keep>,
    /// By its user.
    pub user: Option<Keep>,
}

impl Kept {
    /// What a user can ask for at most.
    pub fn allowed(&self) -> Keep {
        self.admin.unwrap_or(self.host)
    }

    /// For how long messages are kept.
    pub fn in_force(&self) -> Keep {
        let allowed = self.allowed();
        self.user.map_or(allowed, |wish| wish.min(allowed))
    }
}

/// No whole number of days within the bounds, nor `forever`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("from 1 to 36500 days, or forever")]
pub struct BadKeep;

impl FromStr for Keep {
    type Err = BadKeep;

    fn from_str(text: &str) -> Result<Keep, BadKeep> {
        if text == "forever" {
            return Ok(Keep::Forever);
        }
        let days = text.parse().ok().filter(|days| DAYS.contains(days));
        days.map(|days| Keep::Seconds(days * DAY_S)).ok_or(BadKeep)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Keep::Forever => f.write_str("forever"),
            Keep::Seconds(DAY_S) => f.write_str("1 day"),
            Keep::Seconds(seconds) if seconds.is_multiple_of(DAY_S) => {
                write!(f, "{} days", seconds / DAY_S)
            }
            Keep::Seconds(seconds) => write!(f, "{seconds} s"),
        }
    }
}

impl By {
    fn key(self) -> &'static str {
        match self {
            By::User => "user",
            By::Admin => "admin",
        }
    }
}

impl Keep {
    fn to_bytes(self) -> Vec<u8> {
        match self {
            Keep::Seconds(seconds) => seconds.to_be_bytes().to_vec(),
            Keep::Forever => Vec::new(),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Keep> {
        match bytes {
            [] => Some(Keep::Forever),
            _ => Some(Keep::Seconds(u64::from_be_bytes(bytes.try_into().ok()?))),
        }
    }
}

/// What is said about `owner`, an account on a host of this server; `None` for all others.
pub(super) async fn of_owner(server: &Server, owner: &str) -> Result<Option<Kept>, StoreError> {
    let host = BareJid::parse(owner).ok();
    let Some(host) = host.and_then(|owner| server.host(owner.domain())) else {
        return Ok(None);
    };
    let records = server.store().list(&ARCHIVE_KEEP, owner).await?;
    let said = |by: By| {
        let record = records.iter().find(|(key, _)| key == by.key());
        record.and_then(|(_, value)| Keep::from_bytes(value))
    };
    let host = host.info().archive.keep_ms;
    Ok(Some(Kept {
        host: host.map_or(Keep::Forever, |ms| Keep::Seconds(ms / 1000)),
        admin: said(By::Admin),
        user: said(By::User),
    }))
}

/// How long the messages of `account` are kept.
///
/// # Errors
/// There is no such account, or the store fails.
pub async fn kept(server: &Arc<Server>, account: &BareJid) -> Result<Kept, AccountError> {
    let missing = || AccountError::Missing(account.clone());
    server.account(account).await?.ok_or_else(missing)?;
    let kept = of_owner(server, account.as_str()).await?;
    kept.ok_or_else(missing)
}

/// Has the messages of `account` kept so long; `None`: `by` has nothing to say any more. What is older goes within the hour. It is
/// durable when this resolves.
///
/// # Errors
/// There is no such account, or the store fails.
pub async fn keep(
    server: &Arc<Server>,
    account: &BareJid,
    by: By,
    wish: Option<Keep>,
) -> Result<(), AccountError> {
    let missing = || AccountError::Missing(account.clone());
    let live = server.account(account).await?.ok_or_else(missing)?;
    let commit = {
        // Nothing is kept for an account behind its removal.
        let state = live.lock();
        if state.removed {
            return Err(missing());
        }
        let (owner, key) = (account.as_str(), by.key());
        let mut batch = Batch::new();
        match wish {
            Some(wish) => batch.put(&ARCHIVE_KEEP, owner, key, wish.to_bytes()),
            None => batch.delete(&ARCHIVE_KEEP, owner, key),
        };
        server.store().commit(batch)
    };
    Ok(commit.await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrators_word_replaces_the_hosts_and_the_users_only_shortens_it() {
        let days = |days| Some(Keep::Seconds(days * DAY_S));
        let check = |host: Option<Keep>, admin, user, expected: &str| {
            let host = host.unwrap_or(Keep::Forever);
            let kept = Kept { host, admin, user };
            assert_eq!(kept.in_force().to_string(), expected, "{kept:?}");
        };
        check(None, None, None, "forever");
        check(days(30), None, None, "30 days");
        check(days(30), None, days(7), "7 days");
        check(days(30), None, days(90), "30 days");
        check(days(30), None, Some(Keep::Forever), "30 days");
        check(days(30), days(90), None, "90 days");
        check(days(30), days(90), days(60), "60 days");
        check(days(30), Some(Keep::Forever), None, "forever");
        check(None, days(1), Some(Keep::Forever), "1 day");
    }

    #[test]
    fn days_and_for_ever_can_be_said_and_nothing_else() {
        for text in ["1", "30", "36500", "forever"] {
            let keep: Keep = text.parse().unwrap();
            assert_eq!(Keep::from_bytes(&keep.to_bytes()), Some(keep));
            assert!(keep.to_string().starts_with(text));
        }
        for text in ["", "0", "36501", "-1", "1.5", "30d", "ever"] {
            assert_eq!(text.parse::<Keep>(), Err(BadKeep), "{text}");
        }
        assert_eq!(Keep::from_bytes(b"30"), None);
    }
}
