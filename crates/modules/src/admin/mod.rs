//! XEP-0133 Service Administration 1.3.1: accounts, sessions, contacts and figures of users, lists, numbers and announcements. Gaps:
//! disabling accounts, last logins, who is active or idle (nobody keeps that), messages of the day, welcome messages, and what the
//! configuration says: white and black lists, administrators, restart and end. Nobody can get a user's password, since none is kept.

mod accounts;
mod lists;
mod people;

use tercet_core::forms::{Field, Form};
use tercet_core::{BareJid, Jid, Stanza, StanzaError, XmlWriter, ns};
use tercet_server::HostInfo;
use tercet_server::module::{Coverage, IqCx, Module, Registrar, Target, Xep, xep};

use crate::commands::{Command, Outcome, RunFuture, Who};

/// The type of the forms, and the beginning of the nodes.
const NS: &str = "http://jabber.org/protocol/admin";

/// What an administrator can do from a client.
pub struct Admin;

impl Module for Admin {
    const NAME: &'static str = "admin";
    const XEPS: &'static [Xep] = &[xep(
        133,
        "1.3.1",
        Coverage::Partial("accounts, sessions, contacts, lists, numbers and announcements"),
    )];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Admin
    }

    fn register(r: &mut Registrar<'_, Self>) {
        for command in commands() {
            r.provide(Target::Host, command)
                .silent("the commands module announces it");
        }
    }
}

fn commands() -> [Command; 11] {
    [
        Command {
            node: "http://jabber.org/protocol/admin#add-user",
            name: "Add a user",
            who: Who::Admins,
            form: Some(accounts::add_form),
            run: Box::new(|cx, form| Box::pin(accounts::add(cx, form))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#delete-user",
            name: "Delete users",
            who: Who::Admins,
            form: Some(accounts::delete_form),
            run: Box::new(|cx, form| Box::pin(accounts::delete(cx, form))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#change-user-password",
            name: "Change a user's password",
            who: Who::Admins,
            form: Some(accounts::password_form),
            run: Box::new(|cx, form| Box::pin(accounts::password(cx, form))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#end-user-session",
            name: "End sessions of users",
            who: Who::Admins,
            form: Some(people::end_form),
            run: Box::new(|cx, form| Box::pin(people::end(cx, form))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#get-user-roster",
            name: "Get a user's contacts",
            who: Who::Admins,
            form: Some(people::roster_form),
            run: Box::new(|cx, form| Box::pin(people::roster(cx, form))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#user-stats",
            name: "Get figures of a user",
            who: Who::Admins,
            form: Some(people::stats_form),
            run: Box::new(|cx, form| Box::pin(people::stats(cx, form))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#get-registered-users-num",
            name: "Get the number of users",
            who: Who::Admins,
            form: None,
            run: Box::new(|cx, _| Box::pin(lists::registered_number(cx))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#get-online-users-num",
            name: "Get the number of users who are online",
            who: Who::Admins,
            form: None,
            run: Box::new(|cx, _| Box::pin(lists::online_number(cx))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#get-registered-users-list",
            name: "List users",
            who: Who::Admins,
            form: Some(lists::registered_form),
            run: Box::new(|cx, form| Box::pin(lists::registered(cx, form))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#get-online-users-list",
            name: "List users who are online",
            who: Who::Admins,
            form: Some(lists::online_form),
            run: Box::new(|cx, form| Box::pin(lists::online(cx, form))),
        },
        Command {
            node: "http://jabber.org/protocol/admin#announce",
            name: "Announce to users who are online",
            who: Who::Admins,
            form: Some(announce_form),
            run: Box::new(announce),
        },
    ]
}

fn announce_form() -> Form {
    Form::new(NS)
        .title("Announce to users who are online")
        .field(Field::text_multi("announcement", "Announcement").required())
}

/// XEP-0133 §4.23
fn announce<'a>(cx: IqCx<'a>, form: Form) -> RunFuture<'a> {
    Box::pin(async move {
        let text = form.text("announcement").unwrap_or_default();
        let mut w = XmlWriter::new();
        w.start("message")
            .attr("xmlns", ns::CLIENT)
            .attr("type", "headline");
        w.text_element("body", &text).end();
        let message =
            Stanza::parse(&w.finish()).map_err(|_| StanzaError::internal_server_error())?;
        let from = Jid::from_parts(None, cx.host.domain(), None)?;
        let users = lists::online_users(&cx);
        for user in &users {
            cx.server.route(&from, user, &message).wait().await;
        }
        Ok(Outcome::done(format!("Sent to {} users.", users.len())))
    })
}

/// The accounts that a form names; the text is for who filled it in.
fn accounts(cx: &IqCx<'_>, form: &Form, var: &str) -> Result<Vec<BareJid>, String> {
    let mut accounts = Vec::new();
    for value in form.values(var).filter(|v| !v.is_empty()) {
        let jid = Jid::parse(value).map_err(|e| format!("{value}: {e}"))?;
        if !jid.is_bare() || jid.local().is_none() || jid.domain() != cx.host.domain() {
            return Err(format!("{value} is no account of {}.", cx.host.domain()));
        }
        accounts.push(jid.to_bare());
    }
    Ok(accounts)
}
