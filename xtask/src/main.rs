//! The project's own chores, run as `cargo xtask NAME`. They need nothing that `cargo test` does not need.
//!
//! `check` runs every part that decides whether a change may land and names all that fail, not only the first.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod check;
mod docs;
mod duplicates;
mod fuzz;
mod licences;
mod repo;
mod rust_source;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check [PART…]            all parts, or the named ones: fmt clippy tidy docs licences duplicates fuzz
  tidy                     our own rules about the sources
  docs                     write the generated documents
  fuzz [--seconds N] [--seed N] [--target NAME] [--keep-last]
                           run the fuzz targets over their corpus, then over mutations of it
  fuzz --relock            bring fuzz/Cargo.lock in line with Cargo.lock
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["check", parts @ ..] => check::run(parts),
        ["tidy"] => check::run(&["tidy"]),
        ["docs"] => docs::write(),
        ["fuzz", "--relock"] => fuzz::relock(),
        ["fuzz", options @ ..] => fuzz::run(options),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
