//! XEP-0401 Ad-hoc Account Invitation Generation 0.6.0, XEP-0445 Pre-Authenticated In-Band Registration 0.2.0 and XEP-0379
//! Pre-Authenticated Roster Subscription 0.3.3. Gaps: none known.
//!
//! An invitation is a token that nobody guesses: for an account on a host, for becoming a user's contact, or for both. It
//! ends at its time, or when it has been used as often as it says; [`book`] keeps it. Clients make invitations by ad-hoc
//! commands; on streams that have not logged in, [`present`] takes a token, with which registration goes on; a request for
//! presence that carries a contact's token needs nobody's answer.

mod book;
mod commands;
mod record;
#[cfg(test)]
mod tests;

pub use book::{InviteError, Request, create, find, list, list_of, revoke, token_in};
pub(crate) use book::{is_reserved, spend};
pub use record::{Invitation, Purpose};

use std::sync::Arc;

use tercet_core::{IqType, Stanza, StanzaError, discreet_error_reply, iq_result};
use tercet_server::module::{
    Coverage, Module, OnSubscription, Registrar, SubscriptionCx, Target, Xep, xep,
};
use tercet_server::{HostInfo, Registration, Server, VHost, store_failure};
use tercet_store::{Batch, Kind, Owner};

use crate::register;

/// The namespace in which tokens are shown (XEP-0379 §3.4, XEP-0445 §4).
pub const PARS: &str = "urn:xmpp:pars:0";

/// The invitations: a record each under an empty key, and one more for each use under its number. The owner is the token.
pub static INVITATION: Kind = Kind {
    name: "invitation",
    owner: Owner::Host,
    what: "who has been invited by whom and until when, and how often that was used",
};

/// The open invitations of a user, by token. They end with the account.
pub static INVITED: Kind = Kind {
    name: "invited",
    owner: Owner::Account,
    what: "the invitations that the user has made and nobody has used",
};

/// Names that an invitation keeps free for whom it is for: on a host, by localpart.
pub static RESERVED: Kind = Kind {
    name: "reserved-name",
    owner: Owner::Host,
    what: "names of accounts that are reserved for somebody who has been invited",
};

/// That a host knows invitations.
struct Known;

/// Lets people in whom others have invited.
pub struct Invites {
    /// Whether anybody may make an account with an invitation.
    accounts: bool,
    /// Whether every user may invite to that.
    by_users: bool,
    /// Whether everybody may without an invitation, so that a contact's may do as well.
    open: bool,
}

impl Module for Invites {
    const NAME: &'static str = "invites";
    const XEPS: &'static [Xep] = &[
        xep(379, "0.3.3", Coverage::Complete),
        xep(401, "0.6.0", Coverage::Complete),
        xep(445, "0.2.0", Coverage::Complete),
    ];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        let accounts = host.registration != Registration::Closed;
        Invites {
            accounts,
            by_users: accounts && host.invitations.by_users,
            open: host.registration == Registration::Open,
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        for command in commands::commands(r.module()) {
            r.provide(Target::Host, command)
                .silent("the commands module announces it");
        }
        r.subscriptions()
            .silent("clients know of it by the tokens they are given");
        r.provide(Target::Host, Known)
            .silent("a stream feature announces it");
    }
}

/// Whether an invitation to `host` lets somebody make an account: invitations and registration are on, and not closed.
pub fn lets_register(host: &VHost) -> bool {
    host.info().registration != Registration::Closed
        && host.provided::<Known>().next().is_some()
        && register::is_on(host)
}

impl OnSubscription for Invites {
    async fn consents(&self, cx: SubscriptionCx<'_>) -> Option<Batch> {
        let preauth = cx.stanza.children().find(|c| c.is("preauth", PARS))?;
        let token = preauth.parse().root().attr("token")?.into_owned();
        // XEP-0379 §4.1: a token that is not known is as none.
        let invitation = find(cx.server, &token).await.ok().flatten()?;
        let meant = matches!(invitation.purpose, Purpose::Contact { .. })
            && invitation.by.as_ref() == Some(cx.account.jid())
            && invitation.is_open(cx.server.now_ms());
        // XEP-0379 §5.2: once, and in time.
        meant.then(|| spend(&invitation, cx.server.now_ms()))
    }
}

/// What came of showing a token.
#[derive(Debug)]
pub struct Presented {
    /// The complete reply, for the stream.
    pub reply: Vec<u8>,
    /// The token, if it lets its bearer register.
    pub token: Option<String>,
}

/// Answers a `<preauth/>` on a stream to `host` that has not logged in.
pub async fn present(server: &Arc<Server>, host: &str, stanza: &Stanza) -> Presented {
    let mut reply = Vec::new();
    let token = match presented(server, host, stanza).await {
        Ok(token) => {
            iq_result(stanza, Some(host), None, &[], &mut reply);
            Some(token)
        }
        Err(error) => {
            discreet_error_reply(stanza, &error, Some(host), None, &mut reply);
            None
        }
    };
    Presented { reply, token }
}

async fn presented(
    server: &Arc<Server>,
    host: &str,
    stanza: &Stanza,
) -> Result<String, StanzaError> {
    let host = server.host(host).ok_or_else(StanzaError::item_not_found)?;
    let preauth = stanza.payload().filter(|p| p.is("preauth", PARS));
    let (Some(preauth), true) = (preauth, lets_register(&host)) else {
        return Err(StanzaError::service_unavailable());
    };
    let preauth = preauth.parse();
    let token = preauth.root().attr("token");
    let (Some(token), Some(IqType::Set)) = (token, stanza.iq_type()) else {
        return Err(StanzaError::bad_request());
    };
    let found = find(server, &token).await.map_err(|e| store_failure(&e))?;
    let good = found.is_some_and(|invitation| {
        // XEP-0445 §4: the time counts here, and not again on this stream.
        invitation.is_for(&host) && invitation.is_open(server.now_ms())
    });
    match good {
        // XEP-0445 §4: it has not been used by this.
        true => Ok(token.into_owned()),
        // XEP-0445 §4: the same for every token that does not hold.
        false => {
            Err(StanzaError::item_not_found().text("The provided token is invalid or expired"))
        }
    }
}
