//! `tercet user …`: accounts, whether the server runs or not.

use std::io::IsTerminal as _;

use serde_json::json;
use tercet_modules::mam::{Keep, Kept};

use super::args::{NewPassword, User as Command};
use super::{Failure, output, password};
use crate::admin::{self, Answer, Operation, Secret, User};
use crate::config::Config;

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::Add {
            jid,
            password,
            admin,
        } => {
            let operation = Operation::AddUser {
                jid: jid.clone(),
                password: secret(password, jid)?,
                admin: *admin,
            };
            admin::ask(config, &operation)?;
            let rights = if *admin { ", an administrator" } else { "" };
            say(json, json!({ "ok": true, "jid": jid }), || {
                format!("Made {jid}{rights}.")
            });
        }
        Command::Password { jid, password } => {
            let operation = Operation::SetPassword {
                jid: jid.clone(),
                password: secret(password, jid)?,
            };
            admin::ask(config, &operation)?;
            say(json, json!({ "ok": true, "jid": jid }), || {
                format!("Changed the password of {jid}.")
            });
        }
        Command::List { domain } => list(config, domain.as_deref(), json)?,
        Command::Show { jid } => {
            let operation = Operation::ShowUser { jid: jid.clone() };
            if let Answer::User(user) = admin::ask(config, &operation)? {
                say(json, json!({ "ok": true, "user": user }), || shown(&user));
            }
        }
        Command::ArchiveKeep { jid, keep } => {
            let jid = jid.clone();
            let operation = match keep {
                None => Operation::ShowArchiveKeep { jid },
                Some(keep) => Operation::SetArchiveKeep { jid, keep: keep.0 },
            };
            if let Answer::ArchiveKeep(kept) = admin::ask(config, &operation)? {
                let answer = json!({ "ok": true, "in_force": kept.in_force(), "said": kept });
                say(json, answer, || shown_kept(&kept));
            }
        }
        Command::Delete { jid, yes } => {
            let asks = !yes && !json && std::io::stdin().is_terminal();
            if asks && !password::confirm(&format!("Delete {jid} and everything kept for it?"))? {
                return Err(Failure::Other("nothing was deleted".into()));
            }
            admin::ask(config, &Operation::DeleteUser { jid: jid.clone() })?;
            say(json, json!({ "ok": true, "jid": jid }), || {
                format!("Deleted {jid} and everything kept for it.")
            });
        }
    }
    Ok(())
}

/// The password from the command line, or asked for.
fn secret(password: &NewPassword, jid: &str) -> Result<Secret, Failure> {
    match &password.given {
        Some(given) => Ok(Secret::new(given.clone())),
        // Nobody types a password for an address that cannot be.
        None => admin::execute::address(jid).map_or_else(
            |refusal| Err(Failure::Other(refusal.to_string())),
            |account| password::ask(account.as_str()),
        ),
    }
}

/// Prints all pages: as they come for people, as one object in JSON.
fn list(config: &Config, domain: Option<&str>, json: bool) -> Result<(), Failure> {
    let mut administration = admin::Way::open(config)?;
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let operation = Operation::ListUsers {
            domain: domain.map(str::to_owned),
            after,
        };
        let Answer::Users { users, next } = administration.ask(&operation)? else {
            break;
        };
        for user in users {
            match json {
                true => all.push(user),
                false => output::line(line(&user)),
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    if json {
        output::line(json!({ "ok": true, "users": all }));
    }
    Ok(())
}

fn line(user: &User) -> String {
    let mut line = user.jid.clone();
    if user.admin {
        line.push_str("  (admin)");
    }
    if !user.online.is_empty() {
        line.push_str("  online");
    }
    line
}

fn shown(user: &User) -> String {
    let online = match user.online.is_empty() {
        true => "nowhere".to_owned(),
        // Resources are chosen by clients.
        false => user
            .online
            .iter()
            .map(|r| r.escape_debug().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    };
    format!(
        "{}\n  administrator  {}\n  made           {}\n  online         {online}",
        user.jid,
        if user.admin { "yes" } else { "no" },
        user.created,
    )
}

fn shown_kept(kept: &Kept) -> String {
    let said = |keep: Option<Keep>| keep.map_or("nothing".to_owned(), |keep| keep.to_string());
    format!(
        "Messages are kept: {}\n  the domain says       {}\n  administrators say    {}\n  the user wants        {}",
        kept.in_force(),
        kept.host,
        said(kept.admin),
        said(kept.user),
    )
}

fn say(json: bool, answer: serde_json::Value, sentence: impl FnOnce() -> String) {
    match json {
        true => output::line(answer),
        false => output::line(sentence()),
    }
}
