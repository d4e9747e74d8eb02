//! `tercet push …`: how users' devices are woken.

use serde_json::json;

use super::args::Push as Command;
use super::{Failure, output};
use crate::admin::{self, Answer, Operation, PushDevice};
use crate::config::Config;

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    let (jid, with_log) = match command {
        Command::List { jid } => (jid, false),
        Command::Log { jid } => (jid, true),
        Command::Test { jid } => return test(config, jid, json),
    };
    let operation = Operation::ListPush { jid: jid.clone() };
    if let Answer::Push { devices } = admin::ask(config, &operation)? {
        if json {
            output::line(json!({ "ok": true, "devices": devices }));
        } else {
            devices
                .iter()
                .for_each(|device| output::line(shown(device, with_log)));
        }
    }
    Ok(())
}

fn test(config: &Config, jid: &str, json: bool) -> Result<(), Failure> {
    let operation = Operation::TestPush { jid: jid.into() };
    if let Answer::PushTest { outcomes } = admin::ask(config, &operation)? {
        if json {
            output::line(json!({ "ok": true, "outcomes": outcomes }));
        } else {
            for (id, outcome) in outcomes {
                output::line(format!("{id}  {}", outcome.escape_debug()));
            }
        }
    }
    Ok(())
}

/// One device for people. What clients and app servers chose is escaped.
fn shown(device: &PushDevice, with_log: bool) -> String {
    let node = device.node.as_deref().unwrap_or_default();
    let mut text = format!(
        "{}  {}  {} at {}, since {}",
        device.id,
        device.resource.escape_debug(),
        node.escape_debug(),
        device.service.escape_debug(),
        device.since,
    );
    if device.failures > 0 {
        text.push_str(&format!(", failed {} times", device.failures));
    }
    if let Some(until) = &device.paused_until {
        text.push_str(&format!(", paused until {until}"));
    }
    if with_log {
        for (at, line) in &device.log {
            text.push_str(&format!("\n  {at}  {}", line.escape_debug()));
        }
    }
    text
}
