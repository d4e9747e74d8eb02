//! `tercet init`: a commented configuration file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};

use super::{Failure, args::Init, output};
use crate::config::reference;

pub(super) fn run(init: &Init, json: bool) -> Result<(), Failure> {
    let file = init.path.display();
    let mut options = OpenOptions::new();
    options.write(true).truncate(true);
    match init.force {
        true => options.create(true),
        false => options.create_new(true),
    };
    options
        .open(&init.path)
        .and_then(|mut out| out.write_all(reference::example().as_bytes()))
        .map_err(|error| {
            Failure::Other(match error.kind() {
                ErrorKind::AlreadyExists => {
                    format!("{file} exists already; nothing was changed (--force replaces it)")
                }
                _ => format!("cannot write {file}: {error}"),
            })
        })?;
    match json {
        true => output::line(serde_json::json!({ "ok": true, "file": init.path })),
        false => output::line(format_args!(
            "Wrote {file}. Every line of it is optional; `tercet --config {file} check` looks it over."
        )),
    }
    Ok(())
}
