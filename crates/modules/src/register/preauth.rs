//! Registration by those who have no account yet.

use std::sync::Arc;

use tercet_core::{
    BareJid, IqType, Jid, Stanza, StanzaError, XmlWriter, discreet_error_reply, iq_result,
};
use tercet_server::module::Payload;
use tercet_server::{Registration, Server};

use super::{NS, Preauth, Set};

/// What came of a request before login.
#[derive(Debug)]
pub struct Registered {
    /// The complete reply, for the stream.
    pub reply: Vec<u8>,
    /// The account that was made.
    pub created: Option<BareJid>,
}

/// Answers a `jabber:iq:register` request on a stream to `host` that has not logged in. One stream may register any number of
/// accounts; how often is for the caller to bound.
pub async fn preauth(server: &Arc<Server>, host: &str, stanza: &Stanza) -> Registered {
    let mut reply = Vec::new();
    let created = match answer(server, host, stanza).await {
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

async fn answer(server: &Arc<Server>, host: &str, stanza: &Stanza) -> Result<Answer, StanzaError> {
    let host = server.host(host).ok_or_else(StanzaError::item_not_found)?;
    let query = stanza.payload().filter(|p| p.is("query", NS));
    let (Some(query), true) = (query, host.provided::<Preauth>().next().is_some()) else {
        return Err(StanzaError::service_unavailable());
    };
    if host.info().registration != Registration::Open {
        // XEP-0077 §3.1.1: registration in-band is not for everybody here.
        return Err(
            StanzaError::not_allowed().text("accounts are made by the server's administrator")
        );
    }
    if stanza.iq_type() == Some(IqType::Get) {
        let mut w = XmlWriter::new();
        w.start("query").attr("xmlns", NS);
        w.text_element("instructions", "Choose a name and a password.");
        w.leaf("username", &[]).leaf("password", &[]).end();
        return Ok(Answer::Form(w.finish()));
    }
    let query = query.parse();
    let Set::Fields { username, password } = Set::parse(query.root())? else {
        // XEP-0077 §3.2: who is not logged in has nothing to remove.
        return Err(StanzaError::unexpected_request());
    };
    let missing = |what: &'static str| move || StanzaError::not_acceptable().text(what);
    let username = username
        .filter(|u| !u.is_empty())
        .ok_or_else(missing("a name is needed"))?;
    let password = password
        .filter(|p| !p.is_empty())
        .ok_or_else(missing("a password is needed"))?;
    let account = Jid::from_parts(Some(&username), host.domain(), None)
        .map_err(|e| StanzaError::not_acceptable().text(e.to_string()))?
        .to_bare();
    server.create_account(&account, &password, false).await?;
    Ok(Answer::Created(account))
}
