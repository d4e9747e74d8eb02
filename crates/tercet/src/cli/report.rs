//! `tercet report …`: what users have reported of others, whether the server runs or not.

use serde_json::json;

use super::args::Report as Command;
use super::{Failure, output};
use crate::admin::{self, Answer, Operation, Report};
use crate::config::Config;

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::List { domain } => {
            let domains = match domain {
                Some(domain) => vec![domain.clone()],
                None => names(config),
            };
            list(config, domains, json)
        }
    }
}

/// Prints all pages: as they come for people, as one object in JSON.
fn list(config: &Config, domains: Vec<String>, json: bool) -> Result<(), Failure> {
    let mut administration = admin::Way::open(config)?;
    let mut all = Vec::new();
    for domain in domains {
        let mut before = None;
        loop {
            let domain = domain.clone();
            let operation = Operation::ListReports { domain, before };
            let Answer::Reports { reports, next } = administration.ask(&operation)? else {
                break;
            };
            for report in reports {
                match json {
                    true => all.push(report),
                    false => output::line(shown(&report)),
                }
            }
            before = next;
            if before.is_none() {
                break;
            }
        }
    }
    if json {
        output::line(json!({ "ok": true, "reports": all }));
    }
    Ok(())
}

/// One report for people. What its user wrote is escaped.
fn shown(report: &Report) -> String {
    let Report {
        at,
        by,
        about,
        reason,
        text,
        messages,
    } = report;
    let mut line = format!("{at}  {by} reports {about}: {}", reason.escape_debug());
    if let Some(text) = text {
        line.push_str(&format!("\n  {}", text.escape_debug()));
    }
    for (by, id) in messages {
        line.push_str(&format!(
            "\n  message {} of {}",
            id.escape_debug(),
            by.escape_debug()
        ));
    }
    line
}

/// The domains that are served.
fn names(config: &Config) -> Vec<String> {
    let hosts = config.hosts.iter();
    hosts.map(|host| host.domain.as_str().to_owned()).collect()
}
