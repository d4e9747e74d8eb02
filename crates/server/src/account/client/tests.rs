use std::sync::atomic::AtomicU64;

use tercet_store::Store;

use super::*;
use crate::outbox::Outbox;
use crate::server::{Clock, KINDS};
use crate::settings::{HostInfo, Limits};

const JULIET: &str = "juliet@example.org";
const DAY: u64 = 86_400_000;

async fn server() -> Arc<Server> {
    let clock = Clock::Manual(AtomicU64::new(DAY));
    let store = Store::memory(KINDS);
    let server = Server::new(store, Limits::default(), clock).await.unwrap();
    let info = HostInfo {
        domain: "example.org".into(),
        ..HostInfo::default()
    };
    server.configure(vec![info], |_| {}).unwrap();
    let juliet = jid();
    server
        .create_account(&juliet, "secret", false)
        .await
        .unwrap();
    server
}

fn jid() -> BareJid {
    BareJid::parse(JULIET).unwrap()
}

fn agent(id: &str) -> UserAgent {
    UserAgent {
        id: id.into(),
        software: Some("Verse".into()),
        device: None,
    }
}

/// What a client with this token shows.
fn shows(token: &str, mechanism: Mechanism) -> TokenProof {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    let hash = hmac::sign(&key, b"Initiator").as_ref().to_vec();
    TokenProof::new(mechanism, Vec::new(), hash)
}

/// The token that a client gets who logs in with its password.
async fn given(server: &Server, id: &str) -> String {
    let wants = Some(Mechanism::TokenUnbound);
    let token = server.note_client(&jid(), &agent(id), wants).await;
    token.unwrap().unwrap().text.to_string()
}

async fn login(
    server: &Arc<Server>,
    id: &str,
    token: &str,
    change: impl FnOnce(&mut TokenLogin<'_>),
) -> Result<Option<String>, SaslFailure> {
    let (client, proof) = (agent(id), shows(token, Mechanism::TokenUnbound));
    let mut login = TokenLogin {
        account: JULIET,
        client: &client,
        proof: &proof,
        count: None,
        invalidate: false,
        wants: None,
    };
    change(&mut login);
    let (_, token) = server.token_login(login).await?;
    Ok(token.map(|token| token.text.to_string()))
}

const WRONG: Result<Option<String>, SaslFailure> = Err(SaslFailure::NotAuthorized);

#[tokio::test]
async fn a_token_is_for_one_client_of_one_account_and_one_mechanism() {
    let server = server().await;
    let token = given(&server, "phone").await;
    assert_eq!(login(&server, "phone", &token, |_| ()).await, Ok(None));
    assert_eq!(login(&server, "phone", &token, |_| ()).await, Ok(None));
    assert_eq!(login(&server, "tablet", &token, |_| ()).await, WRONG);
    assert_eq!(login(&server, "phone", "other", |_| ()).await, WRONG);
    let other = login(&server, "phone", &token, |l| {
        l.account = "romeo@example.org"
    });
    assert_eq!(other.await, WRONG);
    let proof = shows(&token, Mechanism::TokenExporter);
    let (client, login) = (agent("phone"), JULIET);
    let login = TokenLogin {
        account: login,
        client: &client,
        proof: &proof,
        count: None,
        invalidate: false,
        wants: None,
    };
    assert_eq!(
        server.token_login(login).await.err(),
        Some(SaslFailure::NotAuthorized)
    );
}

#[tokio::test]
async fn a_token_that_is_due_is_followed_by_another_and_holds_until_that_is_used() {
    let server = server().await;
    let first = given(&server, "phone").await;
    server.advance(DAY);
    let second = login(&server, "phone", &first, |_| ())
        .await
        .unwrap()
        .unwrap();
    // The client may not have got it.
    let third = login(&server, "phone", &first, |_| ())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(login(&server, "phone", &second, |_| ()).await, WRONG);
    assert_eq!(login(&server, "phone", &third, |_| ()).await, Ok(None));
    server.advance(22 * DAY);
    let late = login(&server, "phone", &third, |_| ()).await;
    assert_eq!(late, Err(SaslFailure::CredentialsExpired));
}

/// Promise 6 of the bad-input list.
#[tokio::test]
async fn a_stolen_token_ends_all_tokens_and_sessions_of_its_client() {
    let server = server().await;
    let first = given(&server, "phone").await;
    let other = given(&server, "tablet").await;
    let more = |l: &mut TokenLogin<'_>| l.wants = Some(Mechanism::TokenUnbound);
    let second = login(&server, "phone", &first, more)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(login(&server, "phone", &second, |_| ()).await, Ok(None));
    let outbox = Arc::new(Outbox::new(10_000));
    let session = server
        .bind(&jid(), None, outbox.clone(), None)
        .await
        .unwrap();
    server.identify(&session, "phone").await;
    // Somebody has the first one still.
    assert_eq!(login(&server, "phone", &first, |_| ()).await, WRONG);
    assert!(!outbox.is_open());
    assert_eq!(login(&server, "phone", &second, |_| ()).await, WRONG);
    assert_eq!(login(&server, "tablet", &other, |_| ()).await, Ok(None));
}

#[tokio::test]
async fn what_was_counted_is_durable_a_moment_later_and_lost_by_nobody_who_writes_meanwhile() {
    let server = server().await;
    let token = given(&server, "phone").await;
    let kept = async || {
        let all = server.store().list(&CLIENT, JULIET).await.unwrap();
        let records = all.iter().map(|(_, bytes)| ClientRecord::from_bytes(bytes));
        records
            .map(|record| record.unwrap().tokens.uses())
            .collect::<Vec<_>>()
    };
    for count in [1, 2] {
        let counted = login(&server, "phone", &token, |l| l.count = Some(count));
        assert_eq!(counted.await, Ok(None));
    }
    // The first use has made it the current one, which was written at once.
    assert_eq!(kept().await, [1]);
    // A login with the password writes the same record.
    let _ = server
        .note_client(&jid(), &agent("phone"), Some(Mechanism::TokenUnbound))
        .await;
    assert_eq!(kept().await, [2]);
    let counted = login(&server, "phone", &token, |l| l.count = Some(3));
    assert_eq!(counted.await, Ok(None));
    assert_eq!(kept().await, [2]);
    server.advance(1000);
    for job in server.run_due() {
        job.wait().await;
    }
    assert_eq!(kept().await, [3]);
    let again = login(&server, "phone", &token, |l| l.count = Some(3));
    assert_eq!(again.await, WRONG);
}

#[tokio::test]
async fn a_login_that_is_heard_again_ends_the_tokens() {
    let server = server().await;
    let token = given(&server, "phone").await;
    for count in [1, 7] {
        let counted = login(&server, "phone", &token, |l| l.count = Some(count));
        assert_eq!(counted.await, Ok(None));
    }
    let again = login(&server, "phone", &token, |l| l.count = Some(7));
    assert_eq!(again.await, WRONG);
    let after = login(&server, "phone", &token, |l| l.count = Some(8));
    assert_eq!(after.await, WRONG);
}

#[tokio::test]
async fn a_client_gives_its_token_up_and_another_password_ends_all() {
    let server = server().await;
    let token = given(&server, "phone").await;
    let last = login(&server, "phone", &token, |l| l.invalidate = true);
    assert_eq!(last.await, Ok(None));
    assert_eq!(login(&server, "phone", &token, |_| ()).await, WRONG);
    let token = given(&server, "phone").await;
    server.set_password(&jid(), "another").await.unwrap();
    assert_eq!(login(&server, "phone", &token, |_| ()).await, WRONG);
}

#[tokio::test]
async fn clients_are_listed_and_revoked_unless_they_know_the_password() {
    let server = server().await;
    given(&server, "phone").await;
    server.advance(1);
    given(&server, "tablet").await;
    let clients = server.clients(&jid()).await.unwrap();
    assert_eq!(clients.len(), 2);
    assert!(clients[0].1.last_ms > clients[1].1.last_ms);
    assert!(clients[0].1.has_token(server.now_ms()));
    assert!(!clients[0].0.contains("tablet"));
    let revoked = server.revoke_client(&jid(), &clients[0].0).await;
    assert_eq!(revoked.unwrap(), Revocation::KnowsPassword);
    let revoked = server.revoke_client(&jid(), "unknown").await;
    assert_eq!(revoked.unwrap(), Revocation::Unknown);
    let clients = server.clients(&jid()).await.unwrap();
    assert!(!clients[0].1.has_token(server.now_ms()));
}

#[tokio::test]
async fn the_client_used_last_is_remembered_and_the_oldest_forgotten() {
    let server = server().await;
    for number in 0..CLIENTS + 3 {
        server.advance(1);
        let client = agent(&format!("client {number}"));
        server.note_client(&jid(), &client, None).await.unwrap();
    }
    server.store().flush().await.unwrap();
    let clients = server.clients(&jid()).await.unwrap();
    assert_eq!(clients.len(), CLIENTS);
    assert_eq!(clients.last().unwrap().1.first_ms, DAY + 4);
}

#[tokio::test]
async fn a_client_has_one_session() {
    let server = server().await;
    let mut outboxes = Vec::new();
    for resource in ["first", "second", "other"] {
        let outbox = Arc::new(Outbox::new(10_000));
        let juliet = jid();
        let session = server.bind(&juliet, Some(resource), outbox.clone(), None);
        let id = match resource {
            "other" => "tablet",
            _ => "phone",
        };
        server.identify(&session.await.unwrap(), id).await;
        outboxes.push(outbox);
    }
    let open: Vec<_> = outboxes.iter().map(|outbox| outbox.is_open()).collect();
    assert_eq!(open, [false, true, true]);
    let (phone, tablet) = ("phone", "tablet");
    let resource = server.client_resource(&jid(), phone);
    assert_eq!(resource, server.client_resource(&jid(), phone));
    assert_ne!(resource, server.client_resource(&jid(), tablet));
}
