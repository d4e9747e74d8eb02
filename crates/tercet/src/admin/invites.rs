//! Operations on invitations.

use std::sync::Arc;

use tercet_core::grammar::time;
use tercet_modules::invites::{self, Invitation, InviteError, Purpose, Request};
use tercet_server::Server;
use tercet_store::StoreError;

use super::execute::{account, served};
use super::operation::{Answer, Invite, Reason, Refusal};

/// Invitations on one page of a list.
const PAGE: usize = 100;

/// What is asked of a new invitation; see [`Operation::CreateInvite`](super::Operation::CreateInvite).
pub(super) struct Wanted {
    pub(super) domain: String,
    pub(super) user: Option<String>,
    pub(super) contact: Option<String>,
    pub(super) lifetime: Option<u64>,
    pub(super) uses: u32,
}

pub(super) async fn create(server: &Arc<Server>, wanted: Wanted) -> Result<Answer, Refusal> {
    let domain = served(server, &wanted.domain)?;
    let contact = wanted
        .contact
        .map(|jid| account(server, &jid))
        .transpose()?;
    let host = server
        .host(&domain)
        .ok_or_else(|| Refusal::new(Reason::Missing, format!("{domain} is not served any more")))?;
    let request = Request {
        purpose: Purpose::Account {
            username: wanted.user,
            friend: contact.is_some(),
        },
        by: contact,
        lifetime_ms: wanted.lifetime.map(|seconds| seconds.saturating_mul(1000)),
        uses: wanted.uses,
    };
    let made = invites::create(server, &host, request).await?;
    // The token is a secret.
    tracing::info!(domain, uses = made.uses, "made an invitation");
    Ok(Answer::Invite(shown(server, made)))
}

pub(super) async fn list(server: &Arc<Server>, after: Option<&str>) -> Result<Answer, Refusal> {
    let (page, next) = invites::list(server, after, PAGE).await?;
    let invites = page.into_iter().map(|i| shown(server, i)).collect();
    Ok(Answer::Invites { invites, next })
}

pub(super) async fn revoke(server: &Arc<Server>, token: &str) -> Result<Answer, Refusal> {
    match invites::revoke(server, invites::token_in(token)).await? {
        true => {
            tracing::info!("revoked an invitation");
            Ok(Answer::Done {})
        }
        false => Err(Refusal::new(Reason::Missing, "there is no such invitation")),
    }
}

fn shown(server: &Server, invitation: Invitation) -> Invite {
    let host = server.host(&invitation.host);
    let host = host.as_deref();
    Invite {
        url: host.and_then(|host| invitation.landing(host)),
        uri: invitation.uri(host),
        contact: invitation.friend().map(|jid| jid.to_string()),
        user: invitation.username().map(str::to_owned),
        created: time::format(invitation.created_ms.cast_signed()),
        expires: time::format(invitation.expires_ms.cast_signed()),
        uses: invitation.uses,
        used: invitation.used,
        open: invitation.is_open(server.now_ms()),
        token: invitation.token,
        domain: invitation.host,
    }
}

impl From<InviteError> for Refusal {
    fn from(error: InviteError) -> Refusal {
        let reason = match &error {
            InviteError::Taken(_) => Reason::Exists,
            InviteError::Inviter(_) => Reason::Missing,
            InviteError::Store(_) | InviteError::Account(_) => Reason::Failed,
            _ => Reason::Invalid,
        };
        Refusal::new(reason, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::new(Reason::Failed, format!("the store failed: {error}"))
    }
}
