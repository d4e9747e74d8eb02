//! Making, changing and removing accounts (XEP-0133 §4.1, §4.2, §4.6).

use tercet_core::StanzaError;
use tercet_core::forms::{Field, Form};
use tercet_server::AccountError;
use tercet_server::module::IqCx;

use super::{NS, accounts};
use crate::commands::Outcome;

pub(super) fn add_form() -> Form {
    Form::new(NS)
        .title("Add a user")
        .field(Field::jid_single("accountjid", "The address of the account").required())
        .field(Field::text_private("password", "The password").required())
        .field(Field::text_private("password-verify", "The password again"))
}

pub(super) fn delete_form() -> Form {
    Form::new(NS)
        .title("Delete users")
        .instructions("Everything that is kept for these accounts is deleted.")
        .field(Field::jid_multi("accountjids", "The addresses of the accounts").required())
}

pub(super) fn password_form() -> Form {
    Form::new(NS)
        .title("Change a user's password")
        .field(Field::jid_single("accountjid", "The address of the account").required())
        .field(Field::text_private("password", "The new password").required())
}

/// What is wrong with the entries is told; what is wrong with the server is an error.
fn outcome(done: Result<(), AccountError>, text: String) -> Result<Outcome, StanzaError> {
    match done {
        Ok(()) => Ok(Outcome::done(text)),
        Err(error @ (AccountError::Store(_) | AccountError::Corrupt)) => Err(error.into()),
        Err(error) => Ok(Outcome::failed(error.to_string())),
    }
}

pub(super) async fn add(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let account = match accounts(&cx, &form, "accountjid") {
        Ok(accounts) => accounts.into_iter().next(),
        Err(text) => return Ok(Outcome::failed(text)),
    };
    let account = account.ok_or_else(StanzaError::bad_request)?;
    let password = form.value("password").unwrap_or_default();
    let again = form.value("password-verify").filter(|p| !p.is_empty());
    if again.is_some_and(|again| again != password) {
        return Ok(Outcome::failed("The passwords differ."));
    }
    let done = cx.server.create_account(&account, password, false).await;
    outcome(done, format!("The account {account} has been made."))
}

pub(super) async fn delete(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let accounts = match accounts(&cx, &form, "accountjids") {
        Ok(accounts) => accounts,
        Err(text) => return Ok(Outcome::failed(text)),
    };
    if accounts.iter().any(|a| a.as_str() == cx.from.bare_str()) {
        return Ok(Outcome::failed(
            "This is your own account. A client removes it by cancelling its registration.",
        ));
    }
    let number = accounts.len();
    for (deleted, account) in accounts.iter().enumerate() {
        match cx.server.delete_account(account, None).await {
            Ok(()) => tracing::info!(%account, by = %cx.from, "account deleted"),
            Err(error) => {
                let text = format!("{error}. {deleted} of {number} accounts have been deleted.");
                return outcome(Err(error), String::new()).map(|_| Outcome::failed(text));
            }
        }
    }
    Ok(Outcome::done(format!(
        "{number} accounts have been deleted."
    )))
}

pub(super) async fn password(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let account = match accounts(&cx, &form, "accountjid") {
        Ok(accounts) => accounts.into_iter().next(),
        Err(text) => return Ok(Outcome::failed(text)),
    };
    let account = account.ok_or_else(StanzaError::bad_request)?;
    let password = form.value("password").unwrap_or_default();
    let done = cx.server.set_password(&account, password).await;
    outcome(done, format!("The password of {account} has been changed."))
}
