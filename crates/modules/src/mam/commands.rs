//! The ad-hoc commands that say how long messages are kept.

use tercet_core::forms::{Field, Form, FormKind};
use tercet_core::{BareJid, StanzaError};
use tercet_server::AccountError;
use tercet_server::module::IqCx;

use super::keep::{self, By, Keep};
use crate::commands::{Command, Outcome, Who};

const KEEP: &str = "keep";
const ACCOUNT: &str = "accountjid";
const TITLE: &str = "How long your messages are kept";
const TITLE_OF: &str = "How long a user's messages are kept";

pub(super) fn commands() -> [Command; 2] {
    [
        Command {
            node: "archive-keep",
            name: TITLE,
            who: Who::Users,
            form: Some(own_form),
            run: Box::new(|cx, form| Box::pin(own(cx, form))),
        },
        Command {
            node: "archive-keep-of",
            name: TITLE_OF,
            who: Who::Admins,
            form: Some(form_of),
            run: Box::new(|cx, form| Box::pin(of(cx, form))),
        },
    ]
}

fn form(title: &str) -> Form {
    Form::empty(FormKind::Form)
        .title(title)
        .instructions("Older messages are deleted from the server for good.")
}

fn own_form() -> Form {
    form(TITLE).field(Field::text_single(
        KEEP,
        "Days, or nothing for what the server does",
    ))
}

fn form_of() -> Form {
    form(TITLE_OF)
        .field(Field::jid_single(ACCOUNT, "The address of the account").required())
        .field(Field::text_single(
            KEEP,
            "Days, forever, or nothing for what the domain does",
        ))
}

async fn own(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let account = cx.require_session()?.account().jid().clone();
    set(cx, &form, &account, By::User).await
}

async fn of(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let text = form.value(ACCOUNT).unwrap_or_default();
    match BareJid::parse(text) {
        Ok(account) if account.domain() == cx.host.domain() => {
            set(cx, &form, &account, By::Admin).await
        }
        _ => Ok(Outcome::failed(format!(
            "{text} is no account of {}.",
            cx.host.domain()
        ))),
    }
}

async fn set(cx: IqCx<'_>, form: &Form, account: &BareJid, by: By) -> Result<Outcome, StanzaError> {
    let wish = form.value(KEEP).map(str::trim).filter(|t| !t.is_empty());
    let wish = match wish.map(str::parse::<Keep>).transpose() {
        Ok(wish) => wish,
        Err(bad) => return Ok(Outcome::failed(format!("Possible are {bad}."))),
    };
    let done = async {
        let before = keep::kept(cx.server, account).await?;
        if by == By::User && wish > Some(before.allowed()) {
            return Ok(Err(before.allowed()));
        }
        keep::keep(cx.server, account, by, wish).await?;
        let now = keep::kept(cx.server, account).await?;
        Ok(Ok(now.in_force()))
    };
    match done.await {
        Ok(Ok(keep)) => {
            tracing::info!(%account, by = %cx.from, %keep, "said how long messages are kept");
            Ok(Outcome::done(format!(
                "The messages of {account} are kept: {keep}."
            )))
        }
        Ok(Err(longest)) => Ok(Outcome::failed(format!(
            "This server keeps them no longer than this: {longest}."
        ))),
        Err(error @ AccountError::Missing(_)) => Ok(Outcome::failed(format!("{error}."))),
        Err(error) => Err(error.into()),
    }
}
