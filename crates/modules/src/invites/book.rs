//! Where invitations are kept: made, found, spent, ended.

use std::sync::Arc;

use tercet_core::{BareJid, JidError, StanzaError, mint_local};
use tercet_server::{AccountError, Server, VHost, store_failure};
use tercet_store::{Batch, StoreError};

use super::{INVITATION, INVITED, Invitation, Purpose, RESERVED, lets_register};

/// The length of a token.
const TOKEN: usize = 24;
/// What a token is made of: base32 (RFC 4648 §6) in small letters.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Open invitations that one user may have.
const PER_USER: usize = 100;
/// How often an invitation may be used at most.
pub(super) const USES: u32 = 10_000;
/// The longest time for which one may hold: a year, in milliseconds.
const LIFETIME_MS: u64 = 366 * DAY_MS;
/// What has ended is kept for so long: a stream that showed the token in time may still register.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// How many others are looked at when one is made, and removed if they have ended.
const SWEEP: usize = 20;

/// What is wanted of an invitation.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who invites; `None`: the server's operators. An account on the host.
    pub by: Option<BareJid>,
    /// What for.
    pub purpose: Purpose,
    /// For how long it holds, in milliseconds; `None`: as the host has it.
    pub lifetime_ms: Option<u64>,
    /// How often it may be used.
    pub uses: u32,
}

/// Why there is no invitation.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The host takes no registrations.
    #[error("nobody can register on {0}: registration.policy is \"closed\" there")]
    Closed(String),
    /// The name cannot be used for an account.
    #[error("this name cannot be used: {0}")]
    Name(JidError),
    /// The name is taken, or reserved for somebody else.
    #[error("the name {0} is taken or reserved")]
    Taken(String),
    /// One name for several people.
    #[error("an invitation for a name can be used once only")]
    OneName,
    /// It could not be used, or too often.
    #[error("an invitation can be used 1 to {USES} times")]
    Uses,
    /// It would not hold, or for too long.
    #[error("an invitation holds for a minute at least and a year at most")]
    Lifetime,
    /// The user has made too many that nobody has used.
    #[error("{0} has {PER_USER} invitations that nobody has used yet")]
    TooMany(BareJid),
    /// There is no such account to become a contact of.
    #[error("there is no account {0} here")]
    Inviter(BareJid),
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// An account's record cannot be read.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl From<InviteError> for StanzaError {
    fn from(error: InviteError) -> StanzaError {
        match error {
            InviteError::Closed(_) => StanzaError::not_allowed(),
            InviteError::Taken(_) => StanzaError::conflict(),
            InviteError::TooMany(_) => StanzaError::resource_constraint(),
            InviteError::Store(error) => return store_failure(&error),
            InviteError::Account(error) => return error.into(),
            _ => StanzaError::not_acceptable(),
        }
        .text(error.to_string())
    }
}

/// Makes an invitation to `host`, which is durable when this resolves.
pub async fn create(
    server: &Arc<Server>,
    host: &VHost,
    request: Request,
) -> Result<Invitation, InviteError> {
    let Request {
        by,
        purpose,
        lifetime_ms,
        uses,
    } = request;
    let lifetime_ms = lifetime_ms.unwrap_or(host.info().invitations.lifetime_s * 1000);
    if !(60_000..=LIFETIME_MS).contains(&lifetime_ms) {
        return Err(InviteError::Lifetime);
    }
    if !(1..=USES).contains(&uses) {
        return Err(InviteError::Uses);
    }
    let registers = !matches!(purpose, Purpose::Contact { register: false });
    if registers && !lets_register(host) {
        return Err(InviteError::Closed(host.domain().to_owned()));
    }
    let purpose = match purpose {
        Purpose::Account {
            username: Some(_), ..
        } if uses > 1 => return Err(InviteError::OneName),
        Purpose::Account {
            username: Some(name),
            friend,
        } => Purpose::Account {
            username: Some(free_name(server, host, &name).await?),
            friend,
        },
        purpose => purpose,
    };
    let now = server.now_ms();
    if let Some(by) = &by {
        if by.domain() != host.domain() || server.account(by).await?.is_none() {
            return Err(InviteError::Inviter(by.clone()));
        }
        if open_of(server, by).await? >= PER_USER {
            return Err(InviteError::TooMany(by.clone()));
        }
    }
    let invitation = Invitation {
        token: mint(server.random()),
        host: host.domain().to_owned(),
        by,
        purpose,
        created_ms: now,
        // Whole seconds, as people and forms tell them.
        expires_ms: (now + lifetime_ms) / 1000 * 1000,
        uses,
        used: 0,
    };
    let token = &invitation.token;
    let mut batch = Batch::new();
    batch.insert_new(&INVITATION, token, "", invitation.to_bytes());
    if let Some(by) = &invitation.by {
        batch.put(&INVITED, by.as_str(), token, Vec::new());
    }
    if let Some(name) = invitation.username() {
        // XEP-0445 §5: the name is kept free until then.
        batch.put(&RESERVED, host.domain(), name, token.as_bytes());
    }
    server.store().commit(batch).await?;
    sweep(server, token).await?;
    Ok(invitation)
}

/// The invitation of `token`, whether or not it still holds; `None` if there is none, or who made it has left.
pub async fn find(server: &Server, token: &str) -> Result<Option<Invitation>, StoreError> {
    let good = token.len() == TOKEN && token.bytes().all(|byte| ALPHABET.contains(&byte));
    // What cannot be a token is looked for all the same, so that it takes as long.
    let token = if good { token } else { "-" };
    let store = server.store();
    let records = store.list(&INVITATION, token).await?;
    let Some(((first, record), uses)) = records.split_first() else {
        return Ok(None);
    };
    let used = u32::try_from(uses.len()).unwrap_or(u32::MAX);
    let invitation = Invitation::from_bytes(token, used, record).filter(|_| first.is_empty());
    let Some(invitation) = invitation else {
        return Ok(None);
    };
    if let Some(by) = &invitation.by
        && invitation.is_left()
        && store.get(&INVITED, by.as_str(), token).await?.is_none()
    {
        return Ok(None);
    }
    Ok(Some(invitation))
}

/// What is to be written when `invitation`, which [`find`] has given, is used once more. The batch fails with
/// [`StoreError::Exists`] if somebody else has used it meanwhile.
pub(crate) fn spend(invitation: &Invitation, now_ms: u64) -> Batch {
    let token = &invitation.token;
    let number = invitation.used + 1;
    let mut batch = Batch::new();
    let at = now_ms.to_be_bytes().to_vec();
    batch.insert_new(&INVITATION, token, &format!("{number:08}"), at);
    if let Some(by) = &invitation.by
        && number >= invitation.uses
    {
        batch.delete(&INVITED, by.as_str(), token);
    }
    if let Some(name) = invitation.username() {
        batch.delete(&RESERVED, &invitation.host, name);
    }
    batch
}

/// Whether the account's name is kept free on `host` for somebody with another invitation than `token`.
pub(crate) async fn is_reserved(
    server: &Server,
    host: &VHost,
    name: &str,
    token: Option<&str>,
) -> Result<bool, StoreError> {
    let kept = server.store().get(&RESERVED, host.domain(), name).await?;
    let Some(kept) = kept.and_then(|kept| String::from_utf8(kept).ok()) else {
        return Ok(false);
    };
    if token == Some(kept.as_str()) {
        return Ok(false);
    }
    let invitation = find(server, &kept).await?;
    Ok(invitation.is_some_and(|i| i.is_open(server.now_ms()) && i.username() == Some(name)))
}

/// A page of the invitations, ordered by token: up to `limit` behind `after`, those that have ended and are still kept among
/// them; and what to give as `after` for the next page.
pub async fn list(
    server: &Server,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Invitation>, Option<String>), StoreError> {
    let tokens = server.store().owners(&INVITATION, after, limit).await?;
    let next = (tokens.len() == limit).then(|| tokens.last().cloned());
    let mut page = Vec::new();
    for token in &tokens {
        page.extend(find(server, token).await?);
    }
    Ok((page, next.flatten()))
}

/// The invitations of one user that still hold, oldest first: no more than one may have.
pub async fn list_of(server: &Server, by: &BareJid) -> Result<Vec<Invitation>, StoreError> {
    let mut open = Vec::new();
    for (token, _) in server.store().list(&INVITED, by.as_str()).await? {
        let found = find(server, &token).await?;
        open.extend(found.filter(|invitation| invitation.is_open(server.now_ms())));
    }
    open.sort_by_key(|invitation| invitation.created_ms);
    Ok(open)
}

/// Ends the invitation of `token`; false if there is none.
pub async fn revoke(server: &Server, token: &str) -> Result<bool, StoreError> {
    let Some(invitation) = find(server, token).await? else {
        return Ok(false);
    };
    let mut batch = Batch::new();
    erase(server, &invitation, &mut batch).await?;
    server.store().commit(batch).await?;
    Ok(true)
}

/// The token in what somebody has copied: the link to a page, the `xmpp:` URI, or the token itself.
pub fn token_in(text: &str) -> &str {
    let text = text.trim();
    let text = match text.split_once("preauth=") {
        Some((_, rest)) => rest.split([';', '&', '#']).next().unwrap_or_default(),
        None => text.split(['?', '#']).next().unwrap_or_default(),
    };
    text.rsplit('/').next().unwrap_or_default()
}

/// 15 random bytes as a token.
pub(super) fn mint(random: [u8; 15]) -> String {
    let mut token = String::new();
    for five in random.chunks(5) {
        let bits = five.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let digit = (bits >> (5 * place)) & 31;
            token.push(char::from(ALPHABET[digit as usize]));
        }
    }
    token
}

/// The name as an account would have it, if it is free.
async fn free_name(server: &Arc<Server>, host: &VHost, name: &str) -> Result<String, InviteError> {
    let name = mint_local(name).map_err(InviteError::Name)?.into_owned();
    let account = BareJid::parse(&format!("{name}@{}", host.domain()));
    let account = account.map_err(InviteError::Name)?;
    let taken = server.account_record(&account).await?.is_some()
        || is_reserved(server, host, &name, None).await?;
    match taken {
        true => Err(InviteError::Taken(name)),
        false => Ok(name),
    }
}

/// How many invitations of `by` hold; the others are removed.
async fn open_of(server: &Server, by: &BareJid) -> Result<usize, StoreError> {
    let now = server.now_ms();
    let mut open = 0;
    let mut batch = Batch::new();
    for (token, _) in server.store().list(&INVITED, by.as_str()).await? {
        match find(server, &token).await? {
            Some(invitation) if now < invitation.expires_ms + DAY_MS => {
                open += usize::from(invitation.is_open(now));
            }
            Some(invitation) => erase(server, &invitation, &mut batch).await?,
            None => drop(batch.delete(&INVITED, by.as_str(), &token)),
        }
    }
    if !batch.is_empty() {
        server.store().commit(batch).await?;
    }
    Ok(open)
}

/// Removes what has ended among the invitations behind `token`, and from the first on where there are few behind it. Tokens are
/// random, so that all have their turn.
async fn sweep(server: &Server, token: &str) -> Result<(), StoreError> {
    let now = server.now_ms();
    let owners = |after, limit| server.store().owners(&INVITATION, after, limit);
    let mut tokens = owners(Some(token), SWEEP).await?;
    let first = owners(None, SWEEP - tokens.len()).await?;
    tokens.extend(
        first
            .into_iter()
            .take_while(|other| other.as_str() <= token),
    );
    let mut batch = Batch::new();
    for token in tokens {
        match find(server, &token).await? {
            Some(i) if i.is_left() && now < i.expires_ms + DAY_MS => {}
            Some(i) if !i.is_left() && now < i.expires_ms => {}
            Some(invitation) => erase(server, &invitation, &mut batch).await?,
            None => drop(batch.delete_all(&INVITATION, &token)),
        }
    }
    if !batch.is_empty() {
        server.store().commit(batch).await?;
    }
    Ok(())
}

/// Adds to `batch` what removes `invitation` and all that it keeps.
async fn erase(
    server: &Server,
    invitation: &Invitation,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let token = &invitation.token;
    batch.delete_all(&INVITATION, token);
    if let Some(by) = &invitation.by {
        batch.delete(&INVITED, by.as_str(), token);
    }
    if let Some(name) = invitation.username() {
        let host = &invitation.host;
        let kept = server.store().get(&RESERVED, host, name).await?;
        // It may have been reserved anew since.
        if kept.as_deref() == Some(token.as_bytes()) {
            batch.delete(&RESERVED, host, name);
        }
    }
    Ok(())
}
