//! Registration by those who have no account yet.

use std::sync::Arc;

use tercet_core::{
    BareJid, IqType, Stanza, StanzaError, XmlWriter, discreet_error_reply, iq_result,
};
use tercet_server::Server;
use tercet_server::module::Payload;

use super::account::{Application, apply, may_apply};
use super::{NS, Set};

/// What came of a request before login.
#[derive(Debug)]
pub struct Registered {
    /// The complete reply, for the stream.
    pub reply: Vec<u8>,
    /// The account that was made.
    pub created: Option<BareJid>,
}

/// Answers a `jabber:iq:register` request on a stream to `host` that has not logged in. `token`: the invitation that the
/// stream has shown ([`present`](crate::invites::present)). One stream may register any number of accounts; how often is for
/// the caller to bound.
pub async fn preauth(
    server: &Arc<Server>,
    host: &str,
    stanza: &Stanza,
    token: Option<&str>,
) -> Registered {
    let mut reply = Vec::new();
    let created = match answer(server, host, stanza, token).await {
        Ok(Answer::Form(form)) => {
            iq_result(stanza, Some(host), None, &form, &mut reply);
            None
        }
        Ok(Answer::Created(account)) => {
            iq_result(stanza, Some(host), None, &[], &mut reply);
            Some(account)
        }
        Err(error) => {
            discreet_error_reply(stanza, &error, Some(host), None, &mut reply);
            None
        }
    };
    Registered { reply, created }
}

enum Answer {
    Form(Vec<u8>),
    Created(BareJid),
}

async fn answer(
    server: &Arc<Server>,
    host: &str,
    stanza: &Stanza,
    token: Option<&str>,
) -> Result<Answer, StanzaError> {
    let host = server.host(host).ok_or_else(StanzaError::item_not_found)?;
    let query = stanza.payload().filter(|p| p.is("query", NS));
    let (Some(query), true) = (query, super::is_on(&host)) else {
        return Err(StanzaError::service_unavailable());
    };
    let invitation = may_apply(server, &host, token, true).await?;
    if stanza.iq_type() == Some(IqType::Get) {
        let mut w = XmlWriter::new();
        w.start("query").attr("xmlns", NS);
        w.text_element("instructions", "Choose a name and a password.");
        match invitation.as_ref().and_then(|i| i.username()) {
            // XEP-0445 §5: the name is given.
            Some(name) => w.text_element("username", name),
            None => w.leaf("username", &[]),
        };
        w.leaf("password", &[]).end();
        return Ok(Answer::Form(w.finish()));
    }
    let query = query.parse();
    let Set::Fields { username, password } = Set::parse(query.root())? else {
        // XEP-0077 §3.2: who is not logged in has nothing to remove.
        return Err(StanzaError::unexpected_request());
    };
    let application = Application {
        username: username.as_deref().unwrap_or_default(),
        password: password.as_deref().unwrap_or_default(),
        token,
        in_time: true,
    };
    Ok(Answer::Created(apply(server, &host, application).await?))
}
