//! `tercet room …`: rooms, whether the server runs or not.

use std::io::IsTerminal as _;

use serde_json::{Value, json};

use super::args::Room as Command;
use super::{Failure, output, password};
use crate::admin::{self, Answer, Operation, RoomAffiliation, RoomLine, RoomShown, Way};
use crate::config::Config;

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::List { domain } => list(config, domain.as_deref(), json),
        Command::Show { room } => show(config, room, json),
        Command::Create {
            room,
            owner,
            settings,
        } => {
            let operation = Operation::CreateRoom {
                room: room.clone(),
                owner: owner.clone(),
                settings: settings.clone(),
            };
            done(config, operation, json, &format!("Made {room}."))
        }
        Command::Destroy {
            room,
            reason,
            alternative,
            yes,
        } => {
            let asks = !yes && !json && std::io::stdin().is_terminal();
            if asks && !password::confirm(&format!("Destroy {room} and everything kept for it?"))? {
                return Err(Failure::Other("nothing was destroyed".into()));
            }
            let operation = Operation::DestroyRoom {
                room: room.clone(),
                reason: reason.clone(),
                alternative: alternative.clone(),
            };
            done(config, operation, json, &format!("Destroyed {room}."))
        }
        Command::Affiliation {
            room,
            user: Some(user),
            affiliation: Some(affiliation),
            reason,
        } => {
            let operation = Operation::SetAffiliation {
                room: room.clone(),
                user: user.clone(),
                affiliation: affiliation.clone(),
                reason: reason.clone(),
            };
            let said = format!("{user} is {affiliation} of {room}.");
            done(config, operation, json, &said)
        }
        Command::Affiliation { room, .. } => affiliations(config, room, json),
        Command::Export { room } => export(config, room),
    }
}

fn done(config: &Config, operation: Operation, json: bool, said: &str) -> Result<(), Failure> {
    admin::ask(config, &operation)?;
    match json {
        true => output::line(json!({ "ok": true })),
        false => output::line(said),
    }
    Ok(())
}

/// Prints all pages: as they come for people, as one object in JSON.
fn list(config: &Config, domain: Option<&str>, json: bool) -> Result<(), Failure> {
    let mut administration = Way::open(config)?;
    let domains = match domain {
        Some(domain) => vec![domain.to_owned()],
        None => match administration.ask(&Operation::ListRoomServices {})? {
            Answer::RoomServices { domains } => domains,
            _ => Vec::new(),
        },
    };
    let mut all = Vec::new();
    for domain in domains {
        let mut after = None;
        loop {
            let domain = domain.clone();
            let operation = Operation::ListRooms { domain, after };
            let Answer::Rooms { rooms, next } = administration.ask(&operation)? else {
                break;
            };
            for room in rooms {
                match json {
                    true => all.push(room),
                    false => output::line(line(&room)),
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
    }
    if json {
        output::line(json!({ "ok": true, "rooms": all }));
    }
    Ok(())
}

/// One room for people. What users chose is escaped.
fn line(room: &RoomLine) -> String {
    let mut line = room.room.escape_debug().to_string();
    if let Some(name) = &room.name {
        line.push_str(&format!("  {}", name.escape_debug()));
    }
    for (holds, word) in [
        (!room.public, "hidden"),
        (!room.persistent, "temporary"),
        (room.members_only, "members only"),
        (room.password, "password"),
    ] {
        if holds {
            line.push_str(&format!("  ({word})"));
        }
    }
    if room.occupants > 0 {
        line.push_str(&format!("  {} present", room.occupants));
    }
    line
}

fn shown(config: &Config, room: &str) -> Result<Option<RoomShown>, Failure> {
    let operation = Operation::ShowRoom { room: room.into() };
    Ok(match admin::ask(config, &operation)? {
        Answer::Room(room) => Some(room),
        _ => None,
    })
}

fn show(config: &Config, room: &str, json: bool) -> Result<(), Failure> {
    let Some(room) = shown(config, room)? else {
        return Ok(());
    };
    if json {
        output::line(json!({ "ok": true, "room": room }));
        return Ok(());
    }
    output::line(line(&room.line));
    output::line(format!("  made     {}", room.line.created));
    if let Some(subject) = &room.subject {
        output::line(format!("  subject  {}", subject.escape_debug()));
    }
    for (affiliation, count) in &room.affiliations {
        output::line(format!("  {affiliation}  {count}"));
    }
    for (field, values) in &room.settings {
        let values = values.join(", ");
        output::line(format!("  {field} = {}", values.escape_debug()));
    }
    for occupant in &room.present {
        output::line(format!(
            "  present: {}  {}  {}  {}",
            occupant.nick.escape_debug(),
            occupant.user.escape_debug(),
            occupant.role,
            occupant.affiliation,
        ));
    }
    Ok(())
}

/// Calls `each` for everybody on the lists.
fn each_affiliation(
    config: &Config,
    room: &str,
    mut each: impl FnMut(RoomAffiliation),
) -> Result<(), Failure> {
    let mut administration = Way::open(config)?;
    let mut after = None;
    loop {
        let room = room.to_owned();
        let operation = Operation::ListAffiliations { room, after };
        let Answer::Affiliations { affiliations, next } = administration.ask(&operation)? else {
            return Ok(());
        };
        affiliations.into_iter().for_each(&mut each);
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn affiliations(config: &Config, room: &str, json: bool) -> Result<(), Failure> {
    let mut all = Vec::new();
    each_affiliation(config, room, |one| match json {
        true => all.push(one),
        false => output::line(affiliation(&one)),
    })?;
    if json {
        output::line(json!({ "ok": true, "affiliations": all }));
    }
    Ok(())
}

fn affiliation(one: &RoomAffiliation) -> String {
    let mut line = format!("{}  {}", one.affiliation, one.user.escape_debug());
    if let Some(nick) = &one.nick {
        line.push_str(&format!("  as {}", nick.escape_debug()));
    }
    if let Some(reason) = &one.reason {
        line.push_str(&format!("  ({})", reason.escape_debug()));
    }
    line
}

/// Lines that a program reads, whatever was asked for.
fn export(config: &Config, room: &str) -> Result<(), Failure> {
    let line = |kind: &str, value: Value| output::line(json!({ kind: value }));
    if let Some(shown) = shown(config, room)? {
        line("room", json!(shown));
    }
    each_affiliation(config, room, |one| line("affiliation", json!(one)))?;
    let mut administration = Way::open(config)?;
    let mut after = None;
    loop {
        let room = room.to_owned();
        let operation = Operation::ListRoomMessages { room, after };
        let Answer::RoomMessages { messages, next } = administration.ask(&operation)? else {
            return Ok(());
        };
        for message in messages {
            line("message", json!(message));
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}
