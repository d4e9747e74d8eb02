//! The ad-hoc commands of XEP-0401.

use tercet_core::StanzaError;
use tercet_core::forms::{Field, Form, FormKind};
use tercet_core::grammar::time;
use tercet_server::module::IqCx;
use tercet_server::store_failure;

use super::{
    Invitation, InviteError, Invites, Purpose, Request, create, find, lets_register, list_of,
    revoke, token_in,
};
use crate::commands::{Command, Outcome, Who};

/// The type of the result (XEP-0401 §12.1).
const FORM_TYPE: &str = "urn:xmpp:invite#invitation";
const USERNAME: &str = "username";
const FRIEND: &str = "roster-subscription";
const LINK: &str = "link";

/// What a host with these settings offers.
pub(super) fn commands(settings: &Invites) -> Vec<Command> {
    let by_users = settings.by_users;
    let registers = by_users || settings.open;
    let mut commands = vec![Command {
        node: "urn:xmpp:invite#invite",
        name: "Invite a contact",
        who: Who::Users,
        form: None,
        run: Box::new(move |cx, _| Box::pin(invite(cx, registers))),
    }];
    if settings.accounts {
        commands.push(Command {
            node: "urn:xmpp:invite#create-account",
            name: "Invite somebody to make an account",
            who: if by_users { Who::Users } else { Who::Admins },
            form: Some(account_form),
            run: Box::new(|cx, form| Box::pin(create_account(cx, form))),
        });
    }
    commands.extend([
        Command {
            node: "invitations",
            name: "List your invitations",
            who: Who::Users,
            form: None,
            run: Box::new(|cx, _| Box::pin(own(cx))),
        },
        Command {
            node: "revoke-invitation",
            name: "Revoke one of your invitations",
            who: Who::Users,
            form: Some(revoke_form),
            run: Box::new(|cx, form| Box::pin(revoke_own(cx, form))),
        },
    ]);
    commands
}

/// Those that still hold: the link, what it is for, until when.
async fn own(cx: IqCx<'_>) -> Result<Outcome, StanzaError> {
    let account = cx.require_session()?.account().jid();
    let open = list_of(cx.server, account).await;
    let open = open.map_err(|error| store_failure(&error))?;
    if open.is_empty() {
        return Ok(Outcome::done("None of your invitations holds."));
    }
    let mut table = Form::empty(FormKind::Result)
        .title("Your invitations")
        .column(Field::text_single(LINK, "Link"))
        .column(Field::text_single("purpose", "What for"))
        .column(Field::text_single("expire", "Holds until"));
    for invitation in open {
        let link = invitation.landing(cx.host);
        let purpose = match &invitation.purpose {
            Purpose::Contact { .. } => "to become your contact".to_owned(),
            Purpose::Account { username, .. } => match username {
                Some(name) => format!("to make the account {name}"),
                None => "to make an account".to_owned(),
            },
        };
        let expire = time::format(invitation.expires_ms.cast_signed());
        let cell = |var, value: String| Field::text_single(var, "").value(value);
        table = table.row(vec![
            cell(LINK, link.unwrap_or_else(|| invitation.uri(Some(cx.host)))),
            cell("purpose", purpose),
            cell("expire", expire),
        ]);
    }
    Ok(Outcome::result(table))
}

fn revoke_form() -> Form {
    Form::empty(FormKind::Form)
        .title("Revoke one of your invitations")
        .field(Field::text_single(LINK, "Its link").required())
}

async fn revoke_own(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let account = cx.require_session()?.account().jid();
    let token = token_in(form.value(LINK).unwrap_or_default());
    let found = find(cx.server, token).await;
    let found = found.map_err(|error| store_failure(&error))?;
    // Those of others are as none.
    let revoked = match found.filter(|invitation| invitation.by.as_ref() == Some(account)) {
        Some(own) => revoke(cx.server, &own.token).await,
        None => Ok(false),
    };
    match revoked.map_err(|error| store_failure(&error))? {
        true => Ok(Outcome::done("The invitation has ended.")),
        false => Ok(Outcome::failed("You have no such invitation.")),
    }
}

/// XEP-0401 §5.1: without asking anything.
async fn invite(cx: IqCx<'_>, registers: bool) -> Result<Outcome, StanzaError> {
    let account = cx.require_session()?.account().jid().clone();
    let may = registers || cx.server.is_admin(&account).await?;
    let request = Request {
        by: Some(account),
        purpose: Purpose::Contact {
            register: may && lets_register(cx.host),
        },
        lifetime_ms: None,
        uses: 1,
    };
    outcome(cx, create(cx.server, cx.host, request).await)
}

/// XEP-0401 §5.4.
fn account_form() -> Form {
    let mut form = Form::empty(FormKind::Form)
        .title("Invite somebody to make an account")
        .instructions("The link that you get lets one person make an account here.");
    form.fields = vec![
        Field::text_single(USERNAME, "Name of the account, if it is not to be chosen"),
        Field::boolean(FRIEND, "Become each other's contacts", false),
    ];
    form
}

async fn create_account(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let username = form.value(USERNAME).filter(|name| !name.is_empty());
    let request = Request {
        by: Some(cx.require_session()?.account().jid().clone()),
        purpose: Purpose::Account {
            username: username.map(str::to_owned),
            friend: matches!(form.value(FRIEND), Some("1" | "true")),
        },
        lifetime_ms: None,
        uses: 1,
    };
    outcome(cx, create(cx.server, cx.host, request).await)
}

/// What is wrong with the entries is told; what is wrong with the server is an error.
fn outcome(cx: IqCx<'_>, made: Result<Invitation, InviteError>) -> Result<Outcome, StanzaError> {
    let invitation = match made {
        Ok(invitation) => invitation,
        Err(error @ (InviteError::Store(_) | InviteError::Account(_))) => return Err(error.into()),
        Err(error) => return Ok(Outcome::failed(error.to_string())),
    };
    let field = |var, label, value| Field::text_single(var, label).value(value);
    // XEP-0401 §5.1
    let mut form = Form::result(FORM_TYPE).field(field(
        "uri",
        "Link for an app",
        invitation.uri(Some(cx.host)),
    ));
    if let Some(url) = invitation.landing(cx.host) {
        form = form.field(field("landing-url", "Link for people", url));
    }
    // XEP-0401 §5.1: by the DateTime profile of XEP-0082.
    let expire = time::format(invitation.expires_ms.cast_signed());
    Ok(Outcome::result(form.field(field(
        "expire",
        "Holds until",
        expire,
    ))))
}
