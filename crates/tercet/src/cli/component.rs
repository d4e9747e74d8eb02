//! `tercet component …`: programs that speak for domains of this server.

use serde_json::json;

use super::args::Component as Command;
use super::{Failure, output};
use crate::admin::{self, Answer, ComponentLine, Operation};
use crate::config::Config;

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    let Command::List = command;
    if let Answer::Components { components } = admin::ask(config, &Operation::ListComponents {})? {
        if json {
            output::line(json!({ "ok": true, "components": components }));
        } else if components.is_empty() {
            output::line("no components; a [[component]] table makes one");
        } else {
            components.iter().for_each(|one| output::line(line(one)));
        }
    }
    Ok(())
}

/// One component for people.
fn line(one: &ComponentLine) -> String {
    let mut text = format!("{} of {}", one.domain, one.host);
    if let Some(name) = &one.name {
        text.push_str(&format!(" ({})", name.escape_debug()));
    }
    match (&one.connected_since, &one.address) {
        (Some(since), Some(address)) => {
            text.push_str(&format!("  connected since {since} from {address}"));
        }
        _ => text.push_str("  not connected"),
    }
    text.push_str(&format!(
        "; connected {} times, sent {}, got {}, {} came back; {} wait ({} bytes)",
        one.connections, one.received, one.sent, one.returned, one.waiting, one.waiting_bytes
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_a_line() {
        let mut one = ComponentLine {
            domain: "irc.a.example".into(),
            host: "a.example".into(),
            name: Some("IRC".into()),
            connected_since: None,
            address: None,
            connections: 1,
            received: 2,
            sent: 3,
            returned: 4,
            waiting: 5,
            waiting_bytes: 600,
        };
        let counted = "; connected 1 times, sent 2, got 3, 4 came back; 5 wait (600 bytes)";
        let away = format!("irc.a.example of a.example (IRC)  not connected{counted}");
        assert_eq!(line(&one), away);
        (one.connected_since, one.address) = (Some("then".into()), Some("127.0.0.1:1".into()));
        assert!(line(&one).contains("connected since then from 127.0.0.1:1;"));
    }
}
