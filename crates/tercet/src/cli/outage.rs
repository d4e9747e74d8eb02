//! `tercet outage …`: what users read about an outage, set whether the server runs or not.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tercet_core::time;
use tercet_modules::outage::Outage;

use super::args::Outage as Command;
use super::{Failure, output};
use crate::admin::{self, Answer, Operation};
use crate::config::Config;

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    let (Command::Set { domain, .. } | Command::Clear { domain } | Command::Show { domain }) =
        command;
    let domains: Vec<String> = match domain {
        Some(domain) => vec![domain.clone()],
        None => {
            let hosts = config.hosts.iter();
            hosts.map(|host| host.domain.as_str().to_owned()).collect()
        }
    };
    let mut administration = admin::Way::open(config)?;
    let mut shown = BTreeMap::new();
    for domain in domains {
        let operation = match command {
            Command::Clear { .. } => Operation::ClearOutage {
                domain: domain.clone(),
            },
            Command::Show { .. } => Operation::ShowOutage {
                domain: domain.clone(),
            },
            Command::Set {
                message,
                planned,
                from,
                until,
                ..
            } => Operation::SetOutage {
                domain: domain.clone(),
                outage: Outage {
                    planned: *planned,
                    beginning: from.clone().unwrap_or_else(now),
                    expected_end: until.clone(),
                    message: BTreeMap::from([("default".to_owned(), message.clone())]),
                },
            },
        };
        if let Answer::Outage { outage } = administration.ask(&operation)? {
            if !json {
                output::line(line(&domain, outage.as_ref()));
            }
            shown.insert(domain, outage);
        }
    }
    match command {
        Command::Show { .. } if json => output::line(json!({ "ok": true, "outages": shown })),
        Command::Show { .. } => {}
        _ if json => output::line(json!({ "ok": true })),
        _ => output::line("done"),
    }
    Ok(())
}

/// One domain's outage for people.
fn line(domain: &str, outage: Option<&Outage>) -> String {
    let Some(outage) = outage else {
        return format!("{domain}  none");
    };
    let planned = if outage.planned { "planned, " } else { "" };
    let mut line = format!("{domain}  {planned}from {}", outage.beginning);
    if let Some(end) = &outage.expected_end {
        line.push_str(&format!(" until {end}"));
    }
    for text in outage.message.values() {
        line.push_str(&format!("\n  {}", text.escape_debug()));
    }
    line
}

fn now() -> String {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = passed.map_or(0, |passed| passed.as_secs());
    // What the clock says fits by far.
    time::format(i64::try_from(seconds).unwrap_or(0) * 1000)
}
