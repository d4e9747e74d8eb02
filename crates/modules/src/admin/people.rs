//! One user: ending sessions, contacts, figures (XEP-0133 §4.5, §4.8, §4.10).

use std::sync::Arc;

use tercet_core::forms::{Field, FieldType, Form};
use tercet_core::{Jid, StanzaError, StreamCondition, StreamError, XmlWriter};
use tercet_server::Account;
use tercet_server::module::IqCx;

use super::{NS, accounts};
use crate::commands::Outcome;

pub(super) fn end_form() -> Form {
    let label = "The addresses of accounts, or of single sessions";
    Form::new(NS)
        .title("End sessions of users")
        .field(Field::jid_multi("accountjids", label).required())
}

fn one_form(title: &str) -> Form {
    Form::new(NS)
        .title(title)
        .field(Field::jid_multi("accountjids", "The address of the account").required())
}

pub(super) fn roster_form() -> Form {
    one_form("Get a user's contacts")
}

pub(super) fn stats_form() -> Form {
    one_form("Get figures of a user")
}

/// XEP-0133 §4.5: all sessions of an account, or the one of a full JID.
pub(super) async fn end(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let mut wanted = Vec::new();
    for value in form.values("accountjids").filter(|v| !v.is_empty()) {
        let jid = match Jid::parse(value) {
            Ok(jid) if jid.local().is_some() && jid.domain() == cx.host.domain() => jid,
            Ok(_) => {
                let text = format!("{value} is no account of {}.", cx.host.domain());
                return Ok(Outcome::failed(text));
            }
            Err(error) => return Ok(Outcome::failed(format!("{value}: {error}"))),
        };
        wanted.push(jid);
    }
    let mut ended = 0;
    for jid in &wanted {
        // Who is not in memory has no session.
        let Some(account) = cx.server.loaded_account(jid.bare_str()) else {
            continue;
        };
        let resources: Vec<_> = {
            let state = account.lock();
            let sessions = state.resources.iter().map(|r| r.session.clone());
            sessions.collect()
        };
        for session in resources {
            if jid.is_bare() || jid.resource() == Some(session.jid().resource()) {
                session.outbox().end(
                    StreamError::new(StreamCondition::PolicyViolation)
                        .text("an administrator has ended the session"),
                );
                ended += 1;
            }
        }
    }
    Ok(Outcome::done(format!("{ended} sessions have been ended.")))
}

/// The account that a form names, one only.
async fn one(cx: &IqCx<'_>, form: &Form) -> Result<Result<Arc<Account>, Outcome>, StanzaError> {
    let named = match accounts(cx, form, "accountjids") {
        Ok(named) => named,
        Err(text) => return Ok(Err(Outcome::failed(text))),
    };
    let [jid] = named.as_slice() else {
        return Ok(Err(Outcome::failed("One account at a time.")));
    };
    let account = cx.server.account(jid).await;
    let account = account.map_err(|error| tercet_server::store_failure(&error))?;
    Ok(account.ok_or_else(|| Outcome::failed(format!("There is no account {jid}."))))
}

/// XEP-0133 §4.8: the result has the roster in it.
pub(super) async fn roster(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let account = match one(&cx, &form).await? {
        Ok(account) => account,
        Err(outcome) => return Ok(outcome),
    };
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", "jabber:iq:roster");
    {
        let state = account.lock();
        let mut items: Vec<_> = state.roster.visible().collect();
        items.sort_by_key(|(jid, _)| jid.as_str());
        for (jid, item) in items {
            item.write(jid, &mut w);
        }
    }
    w.end();
    let field = Field::new(FieldType::JidMulti, "accountjids").value(account.jid().as_str());
    Ok(Outcome {
        inside: w.finish(),
        ..Outcome::result(Form::result(NS).field(field))
    })
}

/// XEP-0133 §4.10: what is known of a user without watching it.
pub(super) async fn stats(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let account = match one(&cx, &form).await? {
        Ok(account) => account,
        Err(outcome) => return Ok(outcome),
    };
    let state = account.lock();
    let size = state.roster.visible().count().to_string();
    let mut online: Vec<_> = state.resources.iter().collect();
    online.sort_by_key(|r| r.session.jid().resource().to_owned());
    let online = online.iter().map(|r| r.session.jid().resource().to_owned());
    let result = Form::result(NS)
        .field(Field::new(FieldType::TextSingle, "rostersize").value(size))
        .field(Field::new(FieldType::TextMulti, "onlineresources").values(online));
    Ok(Outcome::result(result))
}
