//! What makes an account: its record in the store, and the operations on it.

use std::sync::Arc;

use tercet_core::{BareJid, JidError, StanzaError, StreamCondition, StreamError, mint_local};
use tercet_store::{Batch, Kind, Owner, StoreError};
use tercet_stream::sasl::{Credentials, KeyError, ScramHash, ScramKeys};

use super::{Account, CLIENT};
use crate::module::OnRemoval;
use crate::roster::{Item, Roster, Subscription};
use crate::route::ChangeError;
use crate::server::{Server, store_failure};
use crate::session::Session;

/// The accounts: one record each, under an empty key.
pub static ACCOUNT: Kind = Kind {
    name: "account",
    owner: Owner::Account,
    what: "that the account exists, its SCRAM keys, its rights and its age",
};

/// The longest password that is taken, in bytes.
const PASSWORD_BYTES: usize = 1024;

/// An account's record.
#[derive(Debug, Clone)]
pub struct AccountRecord {
    /// The SCRAM keys; `None` for an account that nobody can log in to by password.
    pub credentials: Option<Credentials>,
    /// Whether its user may administer the server.
    pub admin: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// Why an operation on an account failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is taken.
    #[error("the account {0} exists already")]
    Exists(BareJid),
    /// There is no such account.
    #[error("there is no account {0}")]
    Missing(BareJid),
    /// The domain is none of this server's, or the JID has no localpart.
    #[error("{0} is not an address of an account on this server")]
    NotHere(BareJid),
    /// The name can't be used for an account: software on stringprep would take it for another one.
    #[error("this name cannot be used: {0}")]
    Name(JidError),
    /// The password can't be used.
    #[error("this password cannot be used: {0}")]
    Password(#[from] KeyError),
    /// The password is longer than 1024 bytes.
    #[error("the password is longer than 1024 bytes")]
    LongPassword,
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// The record in the store can't be read.
    #[error("the account's record cannot be read")]
    Corrupt,
}

impl From<AccountError> for StanzaError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Exists(_) => StanzaError::conflict(),
            AccountError::Missing(_) | AccountError::NotHere(_) => StanzaError::item_not_found(),
            AccountError::Name(_) | AccountError::Password(_) | AccountError::LongPassword => {
                StanzaError::not_acceptable().text(error.to_string())
            }
            AccountError::Store(error) => store_failure(&error),
            AccountError::Corrupt => StanzaError::internal_server_error(),
        }
    }
}

impl AccountRecord {
    /// The durable form: a format byte, rights, age, keys.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT, u8::from(self.admin)];
        out.extend_from_slice(&self.created_ms.to_be_bytes());
        if let Some(credentials) = &self.credentials {
            out.extend_from_slice(&credentials.to_bytes());
        }
        out
    }

    /// Reads what [`AccountRecord::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AccountError> {
        let [FORMAT, admin, rest @ ..] = bytes else {
            return Err(AccountError::Corrupt);
        };
        let (created, keys) = rest.split_first_chunk().ok_or(AccountError::Corrupt)?;
        let credentials = match keys {
            [] => None,
            keys => Some(Credentials::from_bytes(keys).map_err(|_| AccountError::Corrupt)?),
        };
        Ok(AccountRecord {
            credentials,
            admin: *admin != 0,
            created_ms: u64::from_be_bytes(*created),
        })
    }
}

/// The first byte of the durable form.
const FORMAT: u8 = 1;

/// Operations on accounts. Each resolves when it is durable.
impl Server {
    /// The record of `account`, if there is such an account.
    pub async fn account_record(
        &self,
        account: &BareJid,
    ) -> Result<Option<AccountRecord>, AccountError> {
        let record = self.store().get(&ACCOUNT, account.as_str(), "").await?;
        record
            .map(|bytes| AccountRecord::from_bytes(&bytes))
            .transpose()
    }

    /// Whether `account` may administer the server: by the configuration of its host, or by its record.
    pub async fn is_admin(&self, account: &BareJid) -> Result<bool, AccountError> {
        let Some(host) = self.host(account.domain()) else {
            return Ok(false);
        };
        let record = self.account_record(account).await?;
        Ok(record.is_some_and(|record| record.admin || host.info().admins.contains(account)))
    }

    /// Makes an account.
    pub async fn create_account(
        &self,
        account: &BareJid,
        password: &str,
        admin: bool,
    ) -> Result<(), AccountError> {
        let record = self.new_record(account, password, admin).await?;
        let _making = self.accounts().making(account).await;
        let batch = birth(account, &record, Batch::new(), None);
        let made = self.store().commit(batch).await;
        made.map_err(|error| not_made(account, error))
    }

    /// Makes an account, durable together with `also`. With `contact`, another account of this server, the two are in each
    /// other's contact lists from the beginning and see each other's presence, unless that list is full.
    ///
    /// # Errors
    /// [`AccountError::Exists`] if the name is taken, or what `also` was to insert is there already; nothing is written then.
    pub async fn create_account_with(
        &self,
        account: &BareJid,
        password: &str,
        also: Batch,
        contact: Option<&Arc<Account>>,
    ) -> Result<(), AccountError> {
        let record = self.new_record(account, password, false).await?;
        let _making = self.accounts().making(account).await;
        if let Some(contact) = contact {
            let batch = birth(account, &record, also.clone(), Some(contact.jid()));
            let befriend = |item: &mut Item| *item = friend();
            let linked = self.change_with(contact, account, batch, befriend, |_, _| ());
            match linked.await {
                Ok(()) => return Ok(()),
                Err(ChangeError::Store(error)) => return Err(not_made(account, error)),
                Err(ChangeError::Refused(_)) => {}
            }
        }
        let batch = birth(account, &record, also, None);
        let made = self.store().commit(batch).await;
        made.map_err(|error| not_made(account, error))
    }

    async fn new_record(
        &self,
        account: &BareJid,
        password: &str,
        admin: bool,
    ) -> Result<AccountRecord, AccountError> {
        let local = account
            .local()
            .filter(|_| {
                self.host(account.domain())
                    .is_some_and(|host| host.has_accounts())
            })
            .ok_or_else(|| AccountError::NotHere(account.clone()))?;
        mint_local(local).map_err(AccountError::Name)?;
        Ok(AccountRecord {
            credentials: Some(self.derive(password).await?),
            admin,
            created_ms: self.now_ms(),
        })
    }

    /// Gives `account` another password, and takes the tokens of its clients away. Open sessions go on.
    pub async fn set_password(
        &self,
        account: &BareJid,
        password: &str,
    ) -> Result<(), AccountError> {
        let credentials = Some(self.derive(password).await?);
        let _alone = self.accounts().alone(account.as_str()).await;
        let record = self
            .account_record(account)
            .await?
            .ok_or_else(|| AccountError::Missing(account.clone()))?;
        let record = AccountRecord {
            credentials,
            ..record
        };
        let mut batch = Batch::new();
        batch.put(&ACCOUNT, account.as_str(), "", record.to_bytes());
        // Who knows the old one alone is to stay out.
        batch.delete_all(&CLIENT, account.as_str());
        Ok(self.store().commit(batch).await?)
    }

    /// Removes `account` and everything that is kept for it, tells its contacts, and ends its sessions with `not-authorized`.
    /// A session that is to hear of it first is given as `but`: it goes on, and its stream is the caller's to end.
    pub async fn delete_account(
        self: &Arc<Self>,
        account: &BareJid,
        but: Option<&Session>,
    ) -> Result<(), AccountError> {
        let Some(live) = self.account(account).await? else {
            return Err(AccountError::Missing(account.clone()));
        };
        // A change of its record that is under way is written before the removal, or finds nothing after it.
        let alone = self.accounts().alone(account.as_str()).await;
        // Nothing may be written for the account from here on, or a change under way could outlive it.
        let was_removed = std::mem::replace(&mut live.lock().removed, true);
        if was_removed {
            return Err(AccountError::Missing(account.clone()));
        }
        let mut batch = Batch::new();
        batch.erase_owner(account.as_str());
        if let Err(error) = self.store().commit(batch).await {
            live.lock().removed = false;
            return Err(error.into());
        }
        drop(alone);
        self.tell_removal(account);
        let sessions: Vec<_> = live
            .lock()
            .resources
            .iter()
            .map(|r| r.session.clone())
            .collect();
        self.leave_contacts(&live).await;
        // They have been told; nobody is to be told again when the sessions end.
        live.lock().roster = Roster::default();
        self.forget(account);
        for host in self.hosts() {
            for OnRemoval(gone) in host.provided::<OnRemoval>() {
                gone(self.clone(), account.clone()).await;
            }
        }
        for session in sessions {
            if but.is_some_and(|but| std::ptr::eq(Arc::as_ptr(&session), but)) {
                continue;
            }
            session.outbox().end(
                StreamError::new(StreamCondition::NotAuthorized)
                    .text("the account has been removed"),
            );
        }
        Ok(())
    }

    /// Derives SCRAM keys away from the threads that serve connections.
    async fn derive(&self, password: &str) -> Result<Credentials, AccountError> {
        if password.len() > PASSWORD_BYTES {
            return Err(AccountError::LongPassword);
        }
        let (password, random) = (password.to_owned(), self.random());
        Ok(off_thread(move || Credentials::derive(&password, random)).await?)
    }

    /// Checks a password as PLAIN sends it. Costs the same whether there is such an account or not.
    pub async fn check_password(
        &self,
        account: &BareJid,
        password: String,
    ) -> Result<bool, AccountError> {
        let (exists, credentials) = self.credentials(account).await?;
        let fits = off_thread(move || credentials.verify(&password)).await;
        Ok(exists && fits)
    }

    /// The keys for a login as `account`, and whether they are an account's: a name without an account gets fake ones that are
    /// the same each time.
    pub async fn credentials(
        &self,
        account: &BareJid,
    ) -> Result<(bool, Credentials), AccountError> {
        self.credentials_of(account.as_str()).await
    }

    /// The same for the text of an address, which need not be one that an account can have: such a name costs and looks like
    /// any other without an account.
    pub async fn credentials_of(&self, account: &str) -> Result<(bool, Credentials), AccountError> {
        let record = self.store().get(&ACCOUNT, account, "").await?;
        let record = record
            .map(|bytes| AccountRecord::from_bytes(&bytes))
            .transpose()?;
        Ok(match record.and_then(|r| r.credentials) {
            Some(credentials) => (true, credentials),
            None => (false, Credentials::fake(self.secret(), account)),
        })
    }

    /// The keys of one hash function for a login as `account`, and whether they are an account's. One that came from elsewhere may
    /// have none of them: then it looks like a name without an account.
    pub async fn scram_keys_of(
        &self,
        account: &str,
        hash: ScramHash,
    ) -> Result<(bool, ScramKeys), AccountError> {
        let (exists, credentials) = self.credentials_of(account).await?;
        Ok(match credentials.keys(hash) {
            Some(keys) => (exists, keys.clone()),
            None => (false, ScramKeys::fake(self.secret(), hash, account)),
        })
    }

    /// Whether there is an account without keys of this hash function, so that it has others.
    pub async fn lacks_keys(
        &self,
        account: &BareJid,
        hash: ScramHash,
    ) -> Result<bool, AccountError> {
        let record = self.account_record(account).await?;
        let credentials = record.and_then(|record| record.credentials);
        Ok(credentials.is_some_and(|credentials| credentials.keys(hash).is_none()))
    }

    /// Keeps keys for an account that has some, but none of their hash function. Its client has derived them, and has just proved
    /// to know the password.
    pub async fn add_keys(&self, account: &BareJid, keys: ScramKeys) -> Result<(), AccountError> {
        let _alone = self.accounts().alone(account.as_str()).await;
        let Some(record) = self.account_record(account).await? else {
            return Ok(());
        };
        // Who has another password since has keys of each.
        let lacks = |credentials: &Credentials| credentials.keys(keys.hash()).is_none();
        let (Some(credentials), Some(more)) = (
            record.credentials.clone().filter(lacks),
            Credentials::of([keys.clone()]),
        ) else {
            return Ok(());
        };
        let record = AccountRecord {
            credentials: Some(credentials.or(more)),
            ..record
        };
        let mut batch = Batch::new();
        batch.put(&ACCOUNT, account.as_str(), "", record.to_bytes());
        Ok(self.store().commit(batch).await?)
    }

    /// Derives the keys that `account` does not have yet from its password, which has just been checked.
    pub async fn complete_credentials(
        &self,
        account: &BareJid,
        password: &str,
    ) -> Result<(), AccountError> {
        let derived = self.derive(password).await?;
        let _alone = self.accounts().alone(account.as_str()).await;
        let Some(record) = self.account_record(account).await? else {
            return Ok(());
        };
        let Some(credentials) = record.credentials.filter(|keys| !keys.are_complete()) else {
            return Ok(());
        };
        // Who has another password since stays with it.
        let (password, check) = (password.to_owned(), credentials.clone());
        if !off_thread(move || check.verify(&password)).await {
            return Ok(());
        }
        let record = AccountRecord {
            credentials: Some(credentials.or(derived)),
            ..record
        };
        let mut batch = Batch::new();
        batch.put(&ACCOUNT, account.as_str(), "", record.to_bytes());
        Ok(self.store().commit(batch).await?)
    }
}

/// What is written for a new account, with its first contact, besides `batch`.
fn birth(
    account: &BareJid,
    record: &AccountRecord,
    mut batch: Batch,
    contact: Option<&BareJid>,
) -> Batch {
    let owner = account.as_str();
    batch.insert_new(&ACCOUNT, owner, "", record.to_bytes());
    // Promise 9 of the bad-input list: nothing that was still on its way when the name's last owner left comes to the next.
    batch.erase_owner(owner);
    batch.put(&ACCOUNT, owner, "", record.to_bytes());
    if let Some(contact) = contact {
        Roster::default().set(account, contact, friend(), &mut batch);
    }
    batch
}

/// A contact whose presence is seen, and who sees the own.
fn friend() -> Item {
    Item {
        subscription: Subscription {
            to: true,
            from: true,
            ..Subscription::default()
        },
        in_roster: true,
        ..Item::default()
    }
}

fn not_made(account: &BareJid, error: StoreError) -> AccountError {
    match error {
        StoreError::Exists => AccountError::Exists(account.clone()),
        error => error.into(),
    }
}

/// Runs `work` on the pool for long work where there is one.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if tokio::runtime::Handle::try_current().is_err() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Clock, KINDS};
    use crate::settings::{HostInfo, Limits};
    use std::sync::atomic::AtomicU64;

    #[test]
    fn a_change_of_the_password_that_is_under_way_does_not_bring_a_removed_account_back() {
        // One thread for what takes long: what is asked of it next is done when the keys are.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = tercet_store::Store::memory(KINDS);
            let clock = Clock::Manual(AtomicU64::new(0));
            let server = Server::new(store.clone(), Limits::default(), clock);
            let server = server.await.unwrap();
            let info = HostInfo {
                domain: "example.org".into(),
                ..HostInfo::default()
            };
            server.configure(vec![info], |_| {}).unwrap();
            let romeo = BareJid::parse("romeo@example.org").unwrap();
            server.create_account(&romeo, "first", false).await.unwrap();
            let alone = server.accounts().alone(romeo.as_str()).await;
            let (on, of) = (server.clone(), romeo.clone());
            let change = tokio::spawn(async move { on.set_password(&of, "second").await });
            tokio::task::yield_now().await;
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let (on, of) = (server.clone(), romeo.clone());
            let removal = tokio::spawn(async move { on.delete_account(&of, None).await });
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            drop(alone);
            let _ = change.await.unwrap();
            removal.await.unwrap().unwrap();
            assert!(server.account_record(&romeo).await.unwrap().is_none());
        });
    }
}
