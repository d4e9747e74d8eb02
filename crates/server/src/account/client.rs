//! The clients of an account: which programs it was used with, and the tokens with which they log in again (XEP-0484).
//!
//! A client is known by the id that it has given itself (XEP-0388 §2.3), kept as a name derived from it. It has up to three tokens:
//! the one it uses, the one it was given last and has not used yet, and the one before, which is good for one thing: whoever comes
//! with it has stolen it, or the one after it was stolen, so that all of them end (promise 6 of the bad-input list).

mod count;
mod record;

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use tercet_core::{BareJid, SaslFailure, StreamCondition, StreamError};
use tercet_store::{Batch, Kind, Owner};
use tercet_stream::sasl::{Mechanism, TokenProof};
use tercet_stream::{NewToken, UserAgent};

pub use record::ClientRecord;
use record::{Token, Tokens};

use super::AccountError;
use crate::server::Server;
use crate::session::Session;

/// An account's clients, by the name that is derived from their id.
pub static CLIENT: Kind = Kind {
    name: "client",
    owner: Owner::Account,
    what: "the programs that the account was used with: their names, since when, and the tokens with which they log in",
};

/// Clients of one account that are remembered.
const CLIENTS: usize = 64;
/// A token of this age, in milliseconds, is followed by another one.
const ROTATED_MS: u64 = 86_400_000;
/// How long after the last time it is noted that a client was used again.
const NOTED_MS: u64 = 3_600_000;

/// A client logs in with a token.
pub struct TokenLogin<'a> {
    /// The account's address, or what the client says it is.
    pub account: &'a str,
    /// The client.
    pub client: &'a UserAgent,
    /// What it shows of the token.
    pub proof: &'a TokenProof,
    /// How many times it has used the token, as it says.
    pub count: Option<u32>,
    /// The token is not to be valid any more.
    pub invalidate: bool,
    /// It wants a token for this mechanism.
    pub wants: Option<Mechanism>,
}

/// What became of revoking a client's access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It cannot log in any more.
    Done,
    /// It knows the password: only another one keeps it out.
    KnowsPassword,
    /// There is no such client.
    Unknown,
}

impl Server {
    /// The name under which a client is kept, which tells nothing of its id.
    fn client_name(&self, account: &str, id: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.derive_secret(b"clients"));
        let text = format!("{account}\0{id}");
        BASE64_URL_SAFE_NO_PAD.encode(&hmac::sign(&key, text.as_bytes()).as_ref()[..12])
    }

    /// The end of a resourcepart that is the same each time the client binds (XEP-0386 §3.2.1).
    pub fn client_resource(&self, account: &BareJid, id: &str) -> String {
        // Another name than that of the record: who sees a resource learns nothing about how to revoke its client.
        self.client_name(account.as_str(), &format!("resource {id}"))
    }

    /// Checks the token that a client logs in with, and notes its use. `Ok` has the server's own proof and, if the client is to
    /// have another token, that.
    ///
    /// # Errors
    /// What the client is told: the same, after the same look-up, for a name without an account and for one without a token.
    pub async fn token_login(
        self: &Arc<Self>,
        login: TokenLogin<'_>,
    ) -> Result<(Vec<u8>, Option<NewToken>), SaslFailure> {
        let name = self.client_name(login.account, &login.client.id);
        // One at a time: of two with the same token the later one sees what the first one has made of it.
        let _alone = self.accounts().alone(login.account).await;
        let kept = self.store().get(&CLIENT, login.account, &name).await;
        let kept = kept.map_err(|error| temporary(&error.into()))?;
        let kept = kept.as_deref();
        let mut client = match kept.map(|kept| self.up_to_date(login.account, &name, kept)) {
            Some(Some(client)) => client,
            Some(None) => return Err(temporary(&AccountError::Corrupt)),
            None => return Err(SaslFailure::NotAuthorized),
        };
        let now = self.now_ms();
        let used = match client.tokens.check(login.proof, login.count, now) {
            Ok(used) => used,
            Err(record::Refused::Wrong) => return Err(SaslFailure::NotAuthorized),
            Err(record::Refused::Expired) => return Err(SaslFailure::CredentialsExpired),
            Err(record::Refused::Stolen) => {
                tracing::warn!(
                    account = login.account,
                    "a token was used again: all of that client are revoked"
                );
                client.tokens = Tokens::default();
                self.keep_client(login.account, &name, &client).await?;
                self.end_client(login.account, &name, None).await;
                return Err(SaslFailure::NotAuthorized);
            }
        };
        if login.invalidate {
            // XEP-0484 §3.6
            client.tokens = Tokens::default();
        }
        let rotates = !login.invalidate && used.issued_ms + ROTATED_MS <= now;
        let wanted = login
            .wants
            .or(rotates.then(|| login.proof.mechanism()))
            .and_then(|mechanism| self.new_token(&mut client, mechanism));
        let stale = client.is_seen(login.client, now);
        // XEP-0484 §3.4: the next one with this count is refused from here on.
        let uncounted = used
            .count
            .is_some_and(|count| !self.note_count(login.account, &name, count));
        if used.changed || login.invalidate || wanted.is_some() || uncounted {
            self.keep_client(login.account, &name, &client).await?;
        } else if stale {
            let mut batch = Batch::new();
            batch.put(&CLIENT, login.account, &name, client.to_bytes());
            self.keep_later(batch);
        }
        Ok((used.answer, wanted))
    }

    /// Notes that a client has logged in to `account` without a token, and gives it one if it wants one.
    ///
    /// # Errors
    /// The store's.
    pub async fn note_client(
        &self,
        account: &BareJid,
        agent: &UserAgent,
        wants: Option<Mechanism>,
    ) -> Result<Option<NewToken>, AccountError> {
        let owner = account.as_str();
        let name = self.client_name(owner, &agent.id);
        let _alone = self.accounts().alone(owner).await;
        let kept = self.store().get(&CLIENT, owner, &name).await?;
        let kept = kept.and_then(|kept| self.up_to_date(owner, &name, &kept));
        let mut batch = Batch::new();
        if kept.is_none() {
            self.make_room(owner, &mut batch).await?;
        }
        let now = self.now_ms();
        let mut client = kept.unwrap_or_else(|| ClientRecord::new(now));
        let changed = client.is_seen(agent, now) | !std::mem::replace(&mut client.password, true);
        let token = wants.and_then(|mechanism| self.new_token(&mut client, mechanism));
        if changed || token.is_some() {
            batch.put(&CLIENT, owner, &name, client.to_bytes());
        }
        if token.is_some() {
            self.store().commit(batch).await?;
        } else if !batch.is_empty() {
            self.keep_later(batch);
        }
        Ok(token)
    }

    /// The clients of `account`, by their names, the one used last first.
    pub async fn clients(
        &self,
        account: &BareJid,
    ) -> Result<Vec<(String, ClientRecord)>, AccountError> {
        let kept = self.store().list(&CLIENT, account.as_str()).await?;
        let read = |(name, value): (String, Vec<u8>)| {
            ClientRecord::from_bytes(&value).map(|client| (name, client))
        };
        let mut clients: Vec<_> = kept.into_iter().filter_map(read).collect();
        clients.sort_by_key(|(_, client)| std::cmp::Reverse(client.last_ms));
        Ok(clients)
    }

    /// Takes the tokens of the client `name` of `account` away, and ends its sessions.
    pub async fn revoke_client(
        self: &Arc<Self>,
        account: &BareJid,
        name: &str,
    ) -> Result<Revocation, AccountError> {
        let owner = account.as_str();
        let _alone = self.accounts().alone(owner).await;
        let kept = self.store().get(&CLIENT, owner, name).await?;
        let Some(mut client) = kept.as_deref().and_then(ClientRecord::from_bytes) else {
            return Ok(Revocation::Unknown);
        };
        let mut batch = Batch::new();
        if client.password {
            client.tokens = Tokens::default();
            batch.put(&CLIENT, owner, name, client.to_bytes());
            self.store().commit(batch).await?;
            return Ok(Revocation::KnowsPassword);
        }
        batch.delete(&CLIENT, owner, name);
        self.store().commit(batch).await?;
        self.end_client(owner, name, None).await;
        Ok(Revocation::Done)
    }

    /// Notes whose `session` is, and ends the others of the same client (XEP-0386 §3.2).
    pub async fn identify(self: &Arc<Self>, session: &Arc<Session>, id: &str) {
        let account = session.account().jid().as_str();
        let name = self.client_name(account, id);
        session.identify(&name);
        self.end_client(account, &name, Some(session)).await;
    }

    /// Ends the sessions of a client, but for one.
    async fn end_client(self: &Arc<Self>, account: &str, name: &str, but: Option<&Arc<Session>>) {
        let Some(live) = self.loaded_account(account) else {
            return;
        };
        let ended: Vec<_> = {
            let state = live.lock();
            let sessions = state.resources.iter().map(|r| &r.session);
            sessions
                .filter(|s| s.client() == Some(name) && !but.is_some_and(|b| Arc::ptr_eq(b, s)))
                .cloned()
                .collect()
        };
        for session in ended {
            let error = match but {
                Some(_) => StreamError::new(StreamCondition::Conflict)
                    .text("the same client has connected anew"),
                None => StreamError::new(StreamCondition::NotAuthorized)
                    .text("this client's access has been revoked"),
            };
            session.outbox().end(error);
            self.unbind(&session).wait().await;
        }
    }

    fn new_token(&self, client: &mut ClientRecord, mechanism: Mechanism) -> Option<NewToken> {
        let lifetime_ms = self.limits().token_ms;
        if lifetime_ms == 0 {
            return None;
        }
        let now = self.now_ms();
        let random: [u8; 32] = self.random();
        let token = Token::new(mechanism, random, now, now + lifetime_ms);
        let told = NewToken {
            text: token.text(),
            expires_ms: token.expires_ms(),
        };
        client.tokens.give(token);
        Some(told)
    }

    async fn keep_client(
        &self,
        account: &str,
        name: &str,
        client: &ClientRecord,
    ) -> Result<(), SaslFailure> {
        let mut batch = Batch::new();
        batch.put(&CLIENT, account, name, client.to_bytes());
        let kept = self.store().commit(batch).await;
        kept.map_err(|error| temporary(&error.into()))
    }

    /// Keeps that a client was used, which nobody waits for: what a crash loses of it is an hour.
    fn keep_later(&self, mut batch: Batch) {
        batch.patiently();
        drop(self.store().commit(batch));
    }

    /// Has the client forgotten that was not used for longest, if there are as many as there may be.
    async fn make_room(&self, owner: &str, batch: &mut Batch) -> Result<(), AccountError> {
        let kept = self.store().list(&CLIENT, owner).await?;
        if kept.len() < CLIENTS {
            return Ok(());
        }
        let last_ms = |value: &[u8]| ClientRecord::from_bytes(value).map(|c| c.last_ms);
        let oldest = kept.iter().min_by_key(|(_, value)| last_ms(value));
        if let Some((name, _)) = oldest {
            batch.delete(&CLIENT, owner, name);
        }
        Ok(())
    }
}

/// What a client is told when the store failed; the reason goes to the log.
fn temporary(error: &AccountError) -> SaslFailure {
    tracing::error!(%error, "login not possible");
    SaslFailure::TemporaryAuthFailure
}

#[cfg(test)]
mod tests;
