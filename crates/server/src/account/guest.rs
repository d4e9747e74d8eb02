//! Guests: accounts of one anonymous session each (SASL ANONYMOUS, XEP-0175). They have no password, and go with the session;
//! those that a crash left behind go at the next start.

use std::sync::Arc;

use tercet_core::BareJid;
use tercet_store::{Batch, Kind, Owner};

use super::{ACCOUNT, AccountError, AccountRecord};
use crate::server::Server;

/// Marks the account of a guest.
pub static GUEST: Kind = Kind {
    name: "guest",
    owner: Owner::Account,
    what: "a mark on accounts of anonymous sessions, which go with their session",
};

impl Server {
    /// Makes an account for one anonymous session on `host`. It must be given back by [`end_guest`](Self::end_guest).
    pub async fn create_guest(&self, host: &str) -> Result<BareJid, AccountError> {
        let random: [u8; 12] = self.random();
        let name: String = random.iter().map(|b| format!("{b:02x}")).collect();
        // The host is one of ours, so this is a JID.
        let account =
            BareJid::parse(&format!("guest-{name}@{host}")).map_err(|_| AccountError::Corrupt)?;
        let record = AccountRecord {
            credentials: None,
            admin: false,
            created_ms: self.now_ms(),
        };
        let mut batch = Batch::new();
        batch.insert_new(&ACCOUNT, account.as_str(), "", record.to_bytes());
        batch.put(&GUEST, account.as_str(), "", Vec::new());
        self.store().commit(batch).await?;
        Ok(account)
    }

    /// Removes a guest's account with everything that is kept for it. Its session has ended.
    pub async fn end_guest(self: &Arc<Self>, account: &BareJid) {
        match self.delete_account(account, None).await {
            // The guest has removed itself.
            Ok(()) | Err(AccountError::Missing(_)) => {}
            Err(error) => {
                tracing::error!(%account, %error, "a guest's account is removed at the next start only")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::left::BATCH;
    use crate::server::{Clock, KINDS};
    use crate::settings::{HostInfo, Limits};
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

    async fn accounts(store: &Store) -> Vec<String> {
        store.owners(&ACCOUNT, None, 10).await.unwrap()
    }

    #[tokio::test]
    async fn a_guest_has_no_password_and_goes_with_its_session() {
        let store = Store::memory(KINDS);
        let server = server(&store).await;
        let guest = server.create_guest("example.org").await.unwrap();
        assert_ne!(guest, server.create_guest("example.org").await.unwrap());
        let (exists, _) = server.credentials(&guest).await.unwrap();
        assert!(!exists);
        assert!(server.account(&guest).await.unwrap().is_some());
        server.end_guest(&guest).await;
        server.end_guest(&guest).await;
        assert!(server.account(&guest).await.unwrap().is_none());
        assert_eq!(accounts(&store).await.len(), 1);
    }

    #[tokio::test]
    async fn guests_that_a_crash_left_behind_go_at_the_next_start() {
        let store = Store::memory(KINDS);
        let before = server(&store).await;
        let user = BareJid::parse("user@example.org").unwrap();
        before.create_account(&user, "secret", false).await.unwrap();
        for _ in 0..BATCH + 1 {
            before.create_guest("example.org").await.unwrap();
        }
        server(&store).await;
        assert_eq!(accounts(&store).await, ["user@example.org"]);
    }
}
