//! Carrying operations out on a server, whether it has listeners or was only opened to work on the store.

use std::sync::Arc;

use tercet_core::{BareJid, time};
use tercet_modules::report;
use tercet_server::account::ACCOUNT;
use tercet_server::{AccountError, AccountRecord, Server};

use super::archive;
use super::block_lists;
use super::components;
use super::invites::{self, Wanted};
use super::metrics;
use super::operation::{Answer, Operation, Reason, Refusal, Report, User};
use super::outages;
use super::peers;
use super::portable;
use super::push;
use super::rooms;
use super::uploads;

/// Accounts on one page of a list.
const PAGE: usize = 200;
/// Reports on one page: they may be long, and an answer is bounded.
const REPORTS: usize = 50;

/// Carries `operation` out. What it changed is durable when this resolves.
pub async fn execute(server: &Arc<Server>, operation: Operation) -> Result<Answer, Refusal> {
    match operation {
        Operation::AddUser {
            jid,
            password,
            admin,
        } => {
            let account = account(server, &jid)?;
            server
                .create_account(&account, password.reveal(), admin)
                .await?;
            tracing::info!(account = account.as_str(), admin, "made an account");
            Ok(Answer::Done {})
        }
        Operation::SetPassword { jid, password } => {
            let account = account(server, &jid)?;
            server.set_password(&account, password.reveal()).await?;
            tracing::info!(account = account.as_str(), "changed a password");
            Ok(Answer::Done {})
        }
        Operation::ListUsers { domain, after } => list(server, domain, after).await,
        Operation::ShowUser { jid } => {
            let account = account(server, &jid)?;
            let record = server.account_record(&account).await?;
            let record = record.ok_or_else(|| AccountError::Missing(account.clone()))?;
            Ok(Answer::User(user(server, &account, &record)))
        }
        Operation::DeleteUser { jid } => {
            let account = account(server, &jid)?;
            server.delete_account(&account, None).await?;
            tracing::info!(account = account.as_str(), "deleted an account");
            Ok(Answer::Done {})
        }
        Operation::ExportUser { jid, cursor } => {
            portable::export(server, &account(server, &jid)?, &cursor).await
        }
        Operation::CheckImport { jid } => portable::check(server, &account(server, &jid)?).await,
        Operation::BeginImport {
            jid,
            password,
            replace,
        } => portable::begin(server, account(server, &jid)?, password, replace).await,
        Operation::ImportPieces { import, pieces } => {
            portable::pieces(server, &import, &pieces).await
        }
        Operation::EndImport { import, keep } => portable::end(server, &import, keep).await,
        Operation::ShowArchiveKeep { jid } => archive::show(server, &account(server, &jid)?).await,
        Operation::SetArchiveKeep { jid, keep } => {
            archive::set(server, &account(server, &jid)?, keep).await
        }
        Operation::CreateInvite {
            domain,
            user,
            contact,
            lifetime,
            uses,
        } => {
            let wanted = Wanted {
                domain,
                user,
                contact,
                lifetime,
                uses,
            };
            invites::create(server, wanted).await
        }
        Operation::ListInvites { after } => invites::list(server, after.as_deref()).await,
        Operation::RevokeInvite { token } => invites::revoke(server, &token).await,
        Operation::SetOutage { domain, outage } => outages::set(server, &domain, &outage).await,
        Operation::ClearOutage { domain } => outages::clear(server, &domain).await,
        Operation::ShowOutage { domain } => outages::show(server, &domain).await,
        Operation::ListReports { domain, before } => reports(server, &domain, before).await,
        Operation::ListUploads { jid, after } => {
            uploads::list(server, account(server, &jid)?, after.as_deref()).await
        }
        Operation::ListRooms { domain, after } => {
            rooms::list(server, &domain, after.as_deref()).await
        }
        Operation::ListRoomServices {} => Ok(rooms::services(server)),
        Operation::ShowRoom { room } => rooms::show(server, &room).await,
        Operation::CreateRoom {
            room,
            owner,
            settings,
        } => rooms::create(server, &room, &owner, &settings).await,
        Operation::DestroyRoom {
            room,
            reason,
            alternative,
        } => rooms::destroy(server, &room, reason, alternative).await,
        Operation::ListAffiliations { room, after } => {
            rooms::affiliations(server, &room, after.as_deref()).await
        }
        Operation::ListRoomMessages { room, after } => rooms::messages(server, &room, after).await,
        Operation::SetAffiliation {
            room,
            user,
            affiliation,
            reason,
        } => rooms::affiliate(server, &room, &user, &affiliation, reason).await,
        Operation::ListPeers { domain, after } => {
            Ok(peers::list(server, domain.as_deref(), after.as_deref()))
        }
        Operation::DialbackSecret {} => Ok(peers::dialback_secret(server)),
        Operation::ListComponents {} => Ok(components::list(server)),
        Operation::ListBlockLists {} => block_lists::list(server).await,
        Operation::CheckBlockLists { jid } => block_lists::check(server, &jid).await,
        Operation::Metrics {} => metrics::all(server).await,
        Operation::ListPush { jid } => push::list(server, account(server, &jid)?).await,
        Operation::TestPush { jid } => push::test(server, account(server, &jid)?).await,
    }
}

/// A page of the reports of one domain.
async fn reports(
    server: &Arc<Server>,
    domain: &str,
    before: Option<u64>,
) -> Result<Answer, Refusal> {
    let domain = served(server, domain)?;
    let page = report::page(server, &domain, before, REPORTS).await;
    let (page, next) = page.map_err(AccountError::Store)?;
    let reports = page.into_iter().map(|kept| Report {
        at: time::format(kept.at_ms.cast_signed()),
        by: kept.by.to_string(),
        about: kept.about.to_string(),
        reason: kept.report.reason,
        text: kept.report.text,
        messages: kept.report.messages,
    });
    Ok(Answer::Reports {
        reports: reports.collect(),
        next,
    })
}

/// A page of the accounts: those of one domain are picked out of all, so a page may have few and not be the last.
async fn list(
    server: &Arc<Server>,
    domain: Option<String>,
    after: Option<String>,
) -> Result<Answer, Refusal> {
    let domain = domain.map(|domain| served(server, &domain)).transpose()?;
    let owners = server
        .store()
        .owners(&ACCOUNT, after.as_deref(), PAGE)
        .await;
    let owners = owners.map_err(AccountError::Store)?;
    let next = (owners.len() == PAGE)
        .then(|| owners.last().cloned())
        .flatten();
    let mut users = Vec::new();
    for owner in owners {
        let Ok(account) = BareJid::parse(&owner) else {
            continue;
        };
        if domain
            .as_ref()
            .is_some_and(|domain| account.domain() != domain)
        {
            continue;
        }
        // It may have been deleted since the page was read.
        if let Some(record) = server.account_record(&account).await? {
            users.push(user(server, &account, &record));
        }
    }
    Ok(Answer::Users { users, next })
}

fn user(server: &Server, account: &BareJid, record: &AccountRecord) -> User {
    let online = server
        .loaded_account(account.as_str())
        .map_or_else(Vec::new, |live| {
            let state = live.lock();
            let names = state
                .resources
                .iter()
                .map(|r| r.session.jid().resource().to_owned());
            names.collect()
        });
    let named = server
        .host(account.domain())
        .is_some_and(|host| host.info().admins.contains(account));
    User {
        jid: account.to_string(),
        admin: record.admin || named,
        created: time::format(record.created_ms.cast_signed()),
        online,
    }
}

/// The account that `text` names, on a domain that is served.
pub(super) fn account(server: &Server, text: &str) -> Result<BareJid, Refusal> {
    let jid = address(text)?;
    served(server, jid.domain())?;
    Ok(jid)
}

/// The account that `text` names, on whatever domain.
pub fn address(text: &str) -> Result<BareJid, Refusal> {
    let invalid = |why: &str| {
        let text = format!("{text:?} is not an account's address: {why}");
        Refusal::new(Reason::Invalid, text)
    };
    let jid = BareJid::parse(text).map_err(|error| invalid(&error.to_string()))?;
    match jid.local() {
        Some(_) => Ok(jid),
        None => Err(invalid("nothing stands before the domain")),
    }
}

/// The domain in its normalised form, if it is served.
pub(super) fn served(server: &Server, domain: &str) -> Result<String, Refusal> {
    if let Ok(domain) = tercet_core::prepare_domain(domain)
        && server.host(&domain).is_some_and(|h| h.has_accounts())
    {
        return Ok(domain.into_owned());
    }
    let mut served: Vec<String> = server
        .hosts()
        .iter()
        .filter(|host| host.has_accounts())
        .map(|host| host.domain().to_owned())
        .collect();
    served.sort();
    let text = format!(
        "{domain:?} is not a domain of this server, which serves {}",
        served.join(", ")
    );
    Err(Refusal::new(Reason::Missing, text))
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Refusal {
        let reason = match &error {
            AccountError::Exists(_) => Reason::Exists,
            AccountError::Missing(_) | AccountError::NotHere(_) => Reason::Missing,
            AccountError::Name(_) | AccountError::Password(_) | AccountError::LongPassword => {
                Reason::Invalid
            }
            AccountError::Store(_) | AccountError::Corrupt => Reason::Failed,
        };
        Refusal::new(reason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tercet_store::{Batch, Store};

    use super::*;
    use crate::assemble;
    use crate::config::Config;

    /// A server of two hosts, each with `count` accounts.
    fn server(count: usize) -> (tokio::runtime::Runtime, Arc<Server>) {
        let text = "domain = \"a.test\"\n[[host]]\ndomain = \"b.test\"\n";
        let (config, faults) = Config::parse(text, Path::new(""));
        assert_eq!(faults, []);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let store = Store::memory(&assemble::catalogue());
        let server = runtime.block_on(assemble::server(&config, store)).unwrap();
        let record = AccountRecord {
            credentials: None,
            admin: false,
            created_ms: 0,
        };
        let mut batch = Batch::new();
        for number in 0..count {
            for domain in ["a.test", "b.test"] {
                let jid = format!("user{number:04}@{domain}");
                batch.put(&ACCOUNT, &jid, "", record.to_bytes());
            }
        }
        runtime.block_on(server.store().commit(batch)).unwrap();
        (runtime, server)
    }

    /// All pages, as the command line reads them.
    fn all(count: usize, domain: Option<&str>) -> Vec<String> {
        let (runtime, server) = server(count);
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let domain = domain.map(str::to_owned);
            let page = execute(&server, Operation::ListUsers { domain, after });
            let Ok(Answer::Users { users, next }) = runtime.block_on(page) else {
                panic!("a page of users");
            };
            assert!(users.len() <= PAGE);
            found.extend(users.into_iter().map(|user| user.jid));
            after = next;
            if after.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn pages_hold_every_account_once_in_order() {
        for count in [0, 1, PAGE / 2, PAGE + 1] {
            let found = all(count, None);
            assert_eq!(found.len(), 2 * count);
            assert!(found.is_sorted());
        }
    }

    #[test]
    fn the_accounts_of_one_domain_are_picked_out() {
        let found = all(PAGE + 1, Some("B.test"));
        assert_eq!(found.len(), PAGE + 1);
        assert!(found.iter().all(|jid| jid.ends_with("@b.test")));
    }
}
