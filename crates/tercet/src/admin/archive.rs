//! How long users' messages are kept, for those who run the server.

use std::sync::Arc;

use tercet_core::BareJid;
use tercet_modules::mam::{self, By, Keep};
use tercet_server::Server;

use super::operation::{Answer, Refusal};

/// What is said about an account.
pub(super) async fn show(server: &Arc<Server>, account: &BareJid) -> Result<Answer, Refusal> {
    Ok(Answer::ArchiveKeep(mam::kept(server, account).await?))
}

/// Has its messages kept so long; `None`: as long as its host keeps them.
pub(super) async fn set(
    server: &Arc<Server>,
    account: &BareJid,
    keep: Option<Keep>,
) -> Result<Answer, Refusal> {
    mam::keep(server, account, By::Admin, keep).await?;
    let keep = keep.map_or_else(|| "as the host".to_owned(), |keep| keep.to_string());
    tracing::info!(account = account.as_str(), %keep, "said how long messages are kept");
    show(server, account).await
}
