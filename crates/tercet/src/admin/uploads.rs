//! Files that users have uploaded, for those who run the server.

use std::sync::Arc;

use tercet_core::{BareJid, time};
use tercet_modules::upload::{Id, State, Upload, ledger};
use tercet_server::{AccountError, Server};

use super::operation::{Answer, Refusal, UploadedFile};

/// Files on one page.
const PAGE: usize = 200;

/// A page of the files of an account.
pub(super) async fn list(
    server: &Arc<Server>,
    account: BareJid,
    after: Option<&str>,
) -> Result<Answer, Refusal> {
    if server.account_record(&account).await?.is_none() {
        return Err(AccountError::Missing(account).into());
    }
    let (page, next) = ledger::list_of(server.store(), &account, after, PAGE).await?;
    Ok(Answer::Uploads {
        uploads: page.into_iter().map(file).collect(),
        next,
    })
}

fn file((id, upload): (Id, Upload)) -> UploadedFile {
    let expires = (upload.expires_ms < u64::MAX).then_some(upload.expires_ms);
    UploadedFile {
        id: id.to_string(),
        name: upload.name,
        content_type: Some(upload.content_type).filter(|kind| !kind.is_empty()),
        size: upload.size,
        stored: upload.state == State::Stored,
        created: time::format(upload.created_ms.cast_signed()),
        expires: expires.map(|ms| time::format(ms.cast_signed())),
    }
}
