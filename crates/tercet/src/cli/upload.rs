//! `tercet upload …`: the files that users have uploaded.

use serde_json::json;

use super::args::Upload as Command;
use super::{Failure, output};
use crate::admin::{self, Answer, Operation, UploadedFile};
use crate::config::Config;

/// Prints all pages: as they come for people, as one object in JSON.
pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    let Command::List { jid } = command;
    let mut administration = admin::Way::open(config)?;
    let mut all = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    let mut after = None;
    loop {
        let jid = jid.clone();
        let operation = Operation::ListUploads { jid, after };
        let Answer::Uploads { uploads, next } = administration.ask(&operation)? else {
            break;
        };
        for file in uploads {
            count += u64::from(file.stored);
            bytes += if file.stored { file.size } else { 0 };
            match json {
                true => all.push(file),
                false => output::line(line(&file)),
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    match json {
        true => output::line(json!({ "ok": true, "uploads": all })),
        false => output::line(format!("{count} files, {bytes} bytes")),
    }
    Ok(())
}

/// One file for people. What clients chose is escaped.
fn line(file: &UploadedFile) -> String {
    let kind = file.content_type.as_deref().unwrap_or("-");
    let until = file.expires.as_deref().unwrap_or("the account is deleted");
    let state = if file.stored { "" } else { "  (not there)" };
    format!(
        "{}  {}  {} bytes  {}  {} until {until}{state}",
        file.id,
        file.name.escape_debug(),
        file.size,
        kind.escape_debug(),
        file.created,
    )
}
