//! Accounts that come from elsewhere with all they have: more than one batch may hold.
//!
//! What is written for an account before it is there is nobody's: no login, no stanza reaches it, and a mark says that it is on its
//! way. The last batch makes the account and takes the mark away. What a crash leaves behind goes at the next start, and
//! whoever makes an account of that name meanwhile gets an empty one, and ends the arrival.

use tercet_core::{BareJid, mint_local};
use tercet_store::{Batch, Kind, Owner};

use super::{ACCOUNT, AccountError, AccountRecord};
use crate::server::Server;

/// Marks what is kept for an account that is not there yet.
pub static ARRIVING: Kind = Kind {
    name: "arriving",
    owner: Owner::Account,
    what: "a mark on what has been written of an account that is being imported, until it is there",
};

/// An account on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    account: BareJid,
    mark: [u8; 16],
}

impl Arrival {
    /// Whose it is.
    pub fn account(&self) -> &BareJid {
        &self.account
    }
}

impl Server {
    /// Begins to bring an account in. With `replace` one that is there goes without a word to anybody: nothing of it may be in
    /// memory, so this is for a server that nobody is connected to.
    ///
    /// # Errors
    /// [`AccountError::Exists`] without `replace`; [`AccountError::NotHere`] and [`AccountError::Name`] if it cannot be an
    /// account here; the store's.
    pub async fn begin_arrival(
        &self,
        account: &BareJid,
        replace: bool,
    ) -> Result<Arrival, AccountError> {
        self.can_arrive(account)?;
        let _making = self.accounts().making(account).await;
        let owner = account.as_str();
        let exists = self.store().get(&ACCOUNT, owner, "").await?.is_some();
        if exists && (!replace || self.loaded_account(owner).is_some()) {
            return Err(AccountError::Exists(account.clone()));
        }
        let arrival = Arrival {
            account: account.clone(),
            mark: self.random(),
        };
        let mut batch = Batch::new();
        batch.erase_owner(owner);
        batch.put(&ARRIVING, owner, "", arrival.mark.to_vec());
        self.store().commit(batch).await?;
        Ok(arrival)
    }

    /// Whether there can be an account of that name here.
    ///
    /// # Errors
    /// [`AccountError::NotHere`] and [`AccountError::Name`].
    pub fn can_arrive(&self, account: &BareJid) -> Result<(), AccountError> {
        let host = self.host(account.domain());
        let local = account
            .local()
            .filter(|_| host.is_some_and(|host| host.has_accounts()));
        let local = local.ok_or_else(|| AccountError::NotHere(account.clone()))?;
        mint_local(local).map(drop).map_err(AccountError::Name)
    }

    /// Writes some of what it has.
    ///
    /// # Errors
    /// [`AccountError::Exists`] if it is on its way no more; the store's.
    pub async fn go_on_arriving(
        &self,
        arrival: &Arrival,
        batch: Batch,
    ) -> Result<(), AccountError> {
        let _making = self.accounts().making(&arrival.account).await;
        self.check_arrival(arrival).await?;
        Ok(self.store().commit(batch).await?)
    }

    /// Makes the account, with the last of what it has.
    ///
    /// # Errors
    /// As [`Server::go_on_arriving`].
    pub async fn arrive(
        &self,
        arrival: &Arrival,
        record: &AccountRecord,
        mut batch: Batch,
    ) -> Result<(), AccountError> {
        let _making = self.accounts().making(&arrival.account).await;
        self.check_arrival(arrival).await?;
        let owner = arrival.account.as_str();
        batch.delete(&ARRIVING, owner, "");
        batch.insert_new(&ACCOUNT, owner, "", record.to_bytes());
        Ok(self.store().commit(batch).await?)
    }

    /// Forgets an account on its way.
    ///
    /// # Errors
    /// As [`Server::go_on_arriving`].
    pub async fn cancel_arrival(&self, arrival: &Arrival) -> Result<(), AccountError> {
        let mut batch = Batch::new();
        batch.erase_owner(arrival.account.as_str());
        self.go_on_arriving(arrival, batch).await
    }

    async fn check_arrival(&self, arrival: &Arrival) -> Result<(), AccountError> {
        let owner = arrival.account.as_str();
        let mark = self.store().get(&ARRIVING, owner, "").await?;
        match mark.is_some_and(|mark| mark == arrival.mark) {
            true => Ok(()),
            false => Err(AccountError::Exists(arrival.account.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::CLIENT;
    use crate::server::{Clock, KINDS};
    use crate::settings::{HostInfo, Limits};
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use tercet_store::Store;

    async fn server(store: &Store) -> Arc<Server> {
        let clock = Clock::Manual(AtomicU64::new(0));
        let server = Server::new(store.clone(), Limits::default(), clock)
            .await
            .unwrap();
        let info = HostInfo {
            domain: "example.org".into(),
            ..HostInfo::default()
        };
        server.configure(vec![info], |_| {}).unwrap();
        server
    }

    fn something(account: &BareJid) -> Batch {
        let mut batch = Batch::new();
        batch.put(&CLIENT, account.as_str(), "x", Vec::new());
        batch
    }

    const RECORD: AccountRecord = AccountRecord {
        credentials: None,
        admin: false,
        created_ms: 7,
    };

    #[tokio::test]
    async fn an_account_is_there_with_the_last_batch_and_not_before() {
        let store = Store::memory(KINDS);
        let server = server(&store).await;
        let user = BareJid::parse("user@example.org").unwrap();
        assert!(server.account(&user).await.unwrap().is_none());
        let arrival = server.begin_arrival(&user, false).await.unwrap();
        let batch = something(&user);
        server.go_on_arriving(&arrival, batch).await.unwrap();
        assert!(server.account(&user).await.unwrap().is_none());
        server
            .arrive(&arrival, &RECORD, Batch::new())
            .await
            .unwrap();
        assert!(server.account(&user).await.unwrap().is_some());
        let left = store.get(&CLIENT, user.as_str(), "x").await.unwrap();
        assert!(left.is_some());
        let again = server.begin_arrival(&user, false).await;
        assert!(matches!(again, Err(AccountError::Exists(_))));
    }

    #[tokio::test]
    async fn what_never_arrived_goes_at_the_next_start() {
        let store = Store::memory(KINDS);
        let before = server(&store).await;
        let user = BareJid::parse("user@example.org").unwrap();
        let arrival = before.begin_arrival(&user, false).await.unwrap();
        let batch = something(&user);
        before.go_on_arriving(&arrival, batch).await.unwrap();
        let now = server(&store).await;
        assert!(store.list(&CLIENT, user.as_str()).await.unwrap().is_empty());
        let late = now.arrive(&arrival, &RECORD, Batch::new()).await;
        assert!(matches!(late, Err(AccountError::Exists(_))));
    }

    #[tokio::test]
    async fn who_makes_the_account_meanwhile_has_an_empty_one() {
        let store = Store::memory(KINDS);
        let server = server(&store).await;
        let user = BareJid::parse("user@example.org").unwrap();
        let arrival = server.begin_arrival(&user, false).await.unwrap();
        let batch = something(&user);
        server.go_on_arriving(&arrival, batch).await.unwrap();
        server.create_account(&user, "secret", false).await.unwrap();
        assert!(store.list(&CLIENT, user.as_str()).await.unwrap().is_empty());
        let batch = something(&user);
        let late = server.go_on_arriving(&arrival, batch).await;
        assert!(matches!(late, Err(AccountError::Exists(_))));
        let late = server.cancel_arrival(&arrival).await;
        assert!(matches!(late, Err(AccountError::Exists(_))));
        assert!(server.account(&user).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn keys_that_a_client_gives_are_kept_where_there_are_none() {
        use tercet_stream::sasl::{Credentials, ScramHash};
        let store = Store::memory(KINDS);
        let server = server(&store).await;
        let user = BareJid::parse("user@example.org").unwrap();
        let all = Credentials::derive("pencil", [7; 32]).unwrap();
        let keys = |hash| all.keys(hash).unwrap().clone();
        let lacks = |hash| server.lacks_keys(&user, hash);
        assert!(!lacks(ScramHash::Sha256).await.unwrap(), "nobody is there");
        let given = server.add_keys(&user, keys(ScramHash::Sha256)).await;
        assert!(given.is_ok() && server.account(&user).await.unwrap().is_none());
        let arrival = server.begin_arrival(&user, false).await.unwrap();
        let record = AccountRecord {
            credentials: Credentials::of([keys(ScramHash::Sha1)]),
            ..RECORD
        };
        let done = server.arrive(&arrival, &record, Batch::new()).await;
        done.unwrap();
        assert!(lacks(ScramHash::Sha256).await.unwrap());
        let given = server.add_keys(&user, keys(ScramHash::Sha256)).await;
        given.unwrap();
        assert!(!lacks(ScramHash::Sha256).await.unwrap());
        assert!(server.check_password(&user, "pencil".into()).await.unwrap());
        // What is there stays.
        let others = Credentials::derive("pen", [8; 32]).unwrap();
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            let other = others.keys(hash).unwrap().clone();
            server.add_keys(&user, other).await.unwrap();
            let (_, kept) = server.scram_keys_of(user.as_str(), hash).await.unwrap();
            assert_eq!(kept.to_bytes(), keys(hash).to_bytes());
        }
    }

    #[tokio::test]
    async fn keys_that_did_not_come_are_derived_from_the_password_once_it_is_known() {
        use tercet_stream::sasl::{Credentials, ScramHash};
        let store = Store::memory(KINDS);
        let server = server(&store).await;
        let user = BareJid::parse("user@example.org").unwrap();
        let arrival = server.begin_arrival(&user, false).await.unwrap();
        let all = Credentials::derive("pencil", [7; 32]).unwrap();
        let sha1 = all.keys(ScramHash::Sha1).unwrap().clone();
        let record = AccountRecord {
            credentials: Credentials::of([sha1.clone()]),
            ..RECORD
        };
        let done = server.arrive(&arrival, &record, Batch::new()).await;
        done.unwrap();
        let name = user.as_str();
        let (exists, _) = server.scram_keys_of(name, ScramHash::Sha256).await.unwrap();
        assert!(!exists);
        // A wrong password changes nothing.
        server.complete_credentials(&user, "pen").await.unwrap();
        let (exists, _) = server.scram_keys_of(name, ScramHash::Sha256).await.unwrap();
        assert!(!exists);
        server.complete_credentials(&user, "pencil").await.unwrap();
        let (exists, _) = server.scram_keys_of(name, ScramHash::Sha256).await.unwrap();
        assert!(exists);
        let (_, same) = server.scram_keys_of(name, ScramHash::Sha1).await.unwrap();
        assert_eq!(same.to_bytes(), sha1.to_bytes());
    }
}
