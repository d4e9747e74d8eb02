//! `tercet block-list …`: lists of unwanted people that others keep.

use serde_json::json;

use super::args::BlockList as Command;
use super::{Failure, output};
use crate::admin::{self, Answer, BlockList, Operation};
use crate::config::Config;

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::List => list(config, json),
        Command::Check { jid } => check(config, jid, json),
    }
}

fn list(config: &Config, json: bool) -> Result<(), Failure> {
    if let Answer::BlockLists { lists } = admin::ask(config, &Operation::ListBlockLists {})? {
        if json {
            output::line(json!({ "ok": true, "lists": lists }));
        } else if lists.is_empty() {
            output::line("no lists; `lists` in [modules.block_lists] names some");
        } else {
            lists.iter().for_each(|list| output::line(line(list)));
        }
    }
    Ok(())
}

fn check(config: &Config, jid: &str, json: bool) -> Result<(), Failure> {
    let operation = Operation::CheckBlockLists { jid: jid.into() };
    if let Answer::BlockListed { found } = admin::ask(config, &operation)? {
        if json {
            output::line(json!({ "ok": true, "found": found }));
        } else if found.is_empty() {
            output::line(format!("{} is on no list", jid.escape_debug()));
        } else {
            for one in found {
                let what = if one.domain {
                    "its domain"
                } else {
                    "the address"
                };
                let why = one.reason.map(|r| format!(", for {r}")).unwrap_or_default();
                let list = one.list.escape_debug().to_string();
                output::line(format!("{list} (of {}): {what} is on it{why}", one.host));
            }
        }
    }
    Ok(())
}

/// One list in a line. What its service said is escaped.
fn line(list: &BlockList) -> String {
    let mut text = format!(
        "{}  {}  {} entries, refused {}",
        list.host,
        list.list.escape_debug(),
        list.entries,
        list.refused
    );
    match &list.updated {
        Some(at) => text.push_str(&format!(", last heard of {at}")),
        None => text.push_str(", not heard of since the start"),
    }
    if list.reading {
        text.push_str(", being read");
    }
    if let Some(error) = &list.error {
        text.push_str(&format!("; {}", error.escape_debug()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_is_escaped() {
        let list = BlockList {
            host: "a.example".into(),
            list: "b.example/n".into(),
            entries: 2,
            reading: false,
            updated: None,
            error: Some("\x1b[31m".into()),
            refused: 1,
        };
        let expected = "a.example  b.example/n  2 entries, refused 1, not heard of since the start; \\u{1b}[31m";
        assert_eq!(line(&list), expected);
    }
}
