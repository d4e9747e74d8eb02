//! Making an account by oneself: the rules are the same wherever one asks, in a stream or in the browser.

use std::sync::Arc;

use tercet_core::{BareJid, Jid, JidError, StanzaError};
use tercet_server::{AccountError, Registration, Server, VHost};
use tercet_store::{Batch, StoreError};

use crate::invites;

/// How often somebody else may be faster with a group's invitation.
const TRIES: usize = 20;

/// Who asks for an account, and with what.
#[derive(Clone, Copy)]
pub struct Application<'a> {
    /// The localpart, as it was written.
    pub username: &'a str,
    /// The password, as it was written.
    pub password: &'a str,
    /// The token of an invitation.
    pub token: Option<&'a str>,
    /// Whether the token was shown in time, so that it may have expired since.
    pub in_time: bool,
}

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Accounts are made by the server's administrators.
    #[error("accounts are made by the server's administrator")]
    Closed,
    /// The host is for those who have been invited.
    #[error("an invitation is needed")]
    Uninvited,
    /// The invitation does not hold.
    #[error("the invitation is invalid or has expired")]
    Invitation,
    /// No name was given.
    #[error("a name is needed")]
    NoName,
    /// No password was given.
    #[error("a password is needed")]
    NoPassword,
    /// The name cannot be.
    #[error("this name cannot be used: {0}")]
    Name(JidError),
    /// The invitation is for another name.
    #[error("the invitation is for the name {0}")]
    OtherName(String),
    /// The name is taken, or reserved for somebody else.
    #[error("the name {0} is taken")]
    Taken(String),
    /// The account could not be made.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Account(error.into())
    }
}

impl From<Refusal> for StanzaError {
    fn from(refusal: Refusal) -> StanzaError {
        let text = refusal.to_string();
        match refusal {
            // XEP-0077 §3.1.1
            Refusal::Taken(_) => StanzaError::conflict(),
            Refusal::Account(error) => error.into(),
            Refusal::Closed | Refusal::Uninvited => StanzaError::not_allowed().text(text),
            Refusal::Invitation => StanzaError::item_not_found().text(text),
            Refusal::NoName | Refusal::NoPassword | Refusal::Name(_) | Refusal::OtherName(_) => {
                StanzaError::not_acceptable().text(text)
            }
        }
    }
}

/// Whether whoever has the invitation of `token`, or none, may ask for an account on `host`. `in_time` as in [`Application`].
pub async fn may_apply(
    server: &Server,
    host: &VHost,
    token: Option<&str>,
    in_time: bool,
) -> Result<Option<invites::Invitation>, Refusal> {
    let policy = host.info().registration;
    if policy == Registration::Closed {
        // XEP-0077 §3.1.1: registration in-band is not for everybody here.
        return Err(Refusal::Closed);
    }
    let Some(token) = token else {
        return match policy {
            Registration::Open => Ok(None),
            _ => Err(Refusal::Uninvited),
        };
    };
    let invitation = invites::find(server, token).await?;
    let holds = |i: &invites::Invitation| {
        // XEP-0445 §4: the time has been looked at.
        let open = if in_time {
            i.is_left()
        } else {
            i.is_open(server.now_ms())
        };
        i.is_for(host) && open
    };
    match invitation.filter(holds) {
        Some(invitation) => Ok(Some(invitation)),
        None => Err(Refusal::Invitation),
    }
}

/// Makes an account on `host`, by the policy of the host and with the invitation, which is spent by it. Who invited is told by
/// a roster push. How often somebody may ask is the caller's to bound.
pub async fn apply(
    server: &Arc<Server>,
    host: &VHost,
    application: Application<'_>,
) -> Result<BareJid, Refusal> {
    let Application {
        username,
        password,
        token,
        in_time,
    } = application;
    for _ in 0..TRIES {
        let invitation = may_apply(server, host, token, in_time).await?;
        if username.is_empty() {
            return Err(Refusal::NoName);
        }
        if password.is_empty() {
            return Err(Refusal::NoPassword);
        }
        let account = Jid::from_parts(Some(username), host.domain(), None);
        let account = account.map_err(Refusal::Name)?.to_bare();
        let name = account.local().unwrap_or_default();
        let expected = invitation.as_ref().and_then(|i| i.username());
        if let Some(expected) = expected.filter(|expected| *expected != name) {
            return Err(Refusal::OtherName(expected.to_owned()));
        }
        // XEP-0445 §5: a name that is kept for somebody is as good as taken.
        if invites::is_reserved(server, host, name, token).await? {
            return Err(Refusal::Taken(name.to_owned()));
        }
        let (also, friend) = match &invitation {
            None => (Batch::new(), None),
            Some(invitation) => {
                let friend = match invitation.friend() {
                    Some(friend) => server.account(friend).await?,
                    None => None,
                };
                (invites::spend(invitation, server.now_ms()), friend)
            }
        };
        let made = server.create_account_with(&account, password, also, friend.as_ref());
        match made.await {
            Ok(()) => return Ok(account),
            Err(AccountError::Exists(_)) => {}
            Err(AccountError::Name(error)) => return Err(Refusal::Name(error)),
            Err(error) => return Err(error.into()),
        }
        if server.account_record(&account).await?.is_some() {
            return Err(Refusal::Taken(name.to_owned()));
        }
        // Somebody else has used the invitation in between; a group's may have more uses.
    }
    Err(Refusal::Invitation)
}
