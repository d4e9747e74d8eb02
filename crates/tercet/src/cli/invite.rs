//! `tercet invite …`: invitations, whether the server runs or not.

use std::io::IsTerminal as _;

use serde_json::json;

use super::args::Invite as Command;
use super::{Failure, output};
use crate::admin::{self, Answer, Invite, Operation};
use crate::config::Config;
use crate::qr::Qr;

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::Create {
            host,
            user,
            expires,
            uses,
            contact,
        } => {
            let of_contact = contact.as_ref().and_then(|jid| jid.split_once('@'));
            let domain = match (host, of_contact) {
                (Some(host), _) => host.clone(),
                (None, Some((_, domain))) => domain.to_owned(),
                (None, None) => config.hosts[0].domain.as_str().to_owned(),
            };
            let operation = Operation::CreateInvite {
                domain,
                user: user.clone(),
                contact: contact.clone(),
                lifetime: expires.map(|period| period.0),
                uses: *uses,
            };
            if let Answer::Invite(invite) = admin::ask(config, &operation)? {
                match json {
                    true => output::line(json!({ "ok": true, "invite": invite })),
                    false => made(&invite),
                }
            }
        }
        Command::List => list(config, json)?,
        Command::Revoke { invitation } => {
            let token = invitation.clone();
            admin::ask(config, &Operation::RevokeInvite { token })?;
            match json {
                true => output::line(json!({ "ok": true })),
                false => output::line("The invitation has ended."),
            }
        }
    }
    Ok(())
}

/// The link alone where a program reads it; with a code for cameras on a terminal.
fn made(invite: &Invite) {
    let link = invite.url.as_ref().unwrap_or(&invite.uri);
    output::line(link);
    if !std::io::stdout().is_terminal() {
        return;
    }
    if let Some(code) = Qr::of(link) {
        output::text(code.text());
    }
    let people = match invite.uses {
        1 => "one person".to_owned(),
        many => format!("{many} people"),
    };
    let expires = &invite.expires;
    output::line(format!("It lets {people} in until {expires}."));
    if invite.url.is_some() {
        output::line(format!("For apps: {}", invite.uri));
    }
}

/// Prints all pages: as they come for people, as one object in JSON.
fn list(config: &Config, json: bool) -> Result<(), Failure> {
    let mut administration = admin::Way::open(config)?;
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let Answer::Invites { invites, next } =
            administration.ask(&Operation::ListInvites { after })?
        else {
            break;
        };
        for invite in invites {
            match json {
                true => all.push(invite),
                false => output::line(line(&invite)),
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    if json {
        output::line(json!({ "ok": true, "invites": all }));
    }
    Ok(())
}

fn line(invite: &Invite) -> String {
    let state = match (invite.open, invite.used >= invite.uses) {
        (true, _) => format!("until {}", invite.expires),
        (false, true) => "used".to_owned(),
        (false, false) => "expired".to_owned(),
    };
    let mut line = format!("{}  {}  {state}", invite.token, invite.domain);
    if let Some(user) = &invite.user {
        line.push_str(&format!("  for {user}"));
    }
    if let Some(contact) = &invite.contact {
        line.push_str(&format!("  contact of {contact}"));
    }
    if invite.uses > 1 {
        line.push_str(&format!("  used {} of {} times", invite.used, invite.uses));
    }
    line
}
