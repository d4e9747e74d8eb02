//! Who is there (XEP-0133 §4.13, §4.15, §4.18, §4.20).

use tercet_core::forms::{Field, FieldType, Form};
use tercet_core::{BareJid, StanzaError};
use tercet_server::account::ACCOUNT;
use tercet_server::module::IqCx;
use tercet_server::store_failure;

use super::NS;
use crate::commands::Outcome;

/// How many names are told at most; a list that is longer is cut, and says so.
const NAMES: usize = 2000;
/// How many names are read from the store at once.
const PAGE: usize = 1000;

fn form(title: &str) -> Form {
    let mut choice = Field::list_single("max_items", "How many at most");
    for number in ["25", "50", "100", "200", "500", "1000", "none"] {
        choice = choice.option(number, number);
    }
    Form::new(NS).title(title).field(choice)
}

pub(super) fn registered_form() -> Form {
    form("List users")
}

pub(super) fn online_form() -> Form {
    form("List users who are online")
}

/// How many names are wanted.
fn wanted(form: &Form) -> usize {
    let number = form.value("max_items").and_then(|n| n.parse().ok());
    number.unwrap_or(NAMES).min(NAMES)
}

fn list(var: &str, mut names: Vec<BareJid>, wanted: usize) -> Outcome {
    names.sort();
    let all = names.len();
    let names = names.iter().take(wanted).map(|n| n.as_str());
    let form = Form::result(NS).field(Field::new(FieldType::JidMulti, var).values(names));
    Outcome {
        form: Some(form),
        note: (all > wanted).then(|| (false, format!("{wanted} of {all} or more."))),
        ..Outcome::default()
    }
}

fn number(var: &str, number: usize) -> Outcome {
    let field = Field::new(FieldType::TextSingle, var).value(number.to_string());
    Outcome::result(Form::result(NS).field(field))
}

/// Lets `each` see the accounts of the host until it has seen enough.
async fn accounts(cx: &IqCx<'_>, mut each: impl FnMut(&str) -> bool) -> Result<(), StanzaError> {
    let mut after: Option<String> = None;
    loop {
        let page = cx.store().owners(&ACCOUNT, after.as_deref(), PAGE).await;
        let page = page.map_err(|e| store_failure(&e))?;
        for owner in &page {
            let domain = owner.split_once('@').map(|(_, domain)| domain);
            if domain == Some(cx.host.domain()) && !each(owner) {
                return Ok(());
            }
        }
        match page.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// The accounts of the host with an available resource.
pub(super) fn online_users(cx: &IqCx<'_>) -> Vec<BareJid> {
    let accounts = cx.server.loaded_accounts();
    accounts
        .filter(|a| a.jid().domain() == cx.host.domain())
        .filter(|a| a.lock().available().next().is_some())
        .map(|a| a.jid().clone())
        .collect()
}

pub(super) async fn registered_number(cx: IqCx<'_>) -> Result<Outcome, StanzaError> {
    let mut count = 0;
    accounts(&cx, |_| {
        count += 1;
        true
    })
    .await?;
    Ok(number("registeredusersnum", count))
}

pub(super) async fn online_number(cx: IqCx<'_>) -> Result<Outcome, StanzaError> {
    Ok(number("onlineusersnum", online_users(&cx).len()))
}

pub(super) async fn registered(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let wanted = wanted(&form);
    let mut names = Vec::new();
    accounts(&cx, |owner| {
        names.extend(BareJid::parse(owner));
        names.len() <= wanted
    })
    .await?;
    Ok(list("registereduserjids", names, wanted))
}

pub(super) async fn online(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    Ok(list("onlineuserjids", online_users(&cx), wanted(&form)))
}
