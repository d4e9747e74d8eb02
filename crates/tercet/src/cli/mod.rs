//! The command line: `tercet serve`, `init`, `check`, `explain …`, `user …`, `export`, `import`, `report …`, `push …`, `upload …`, `room …`, `federation …`, `component …`, `block-list …`, `metrics`.

pub mod args;
mod block_list;
mod check;
mod component;
mod explain;
mod federation;
mod init;
mod invite;
mod outage;
mod output;
mod password;
mod push;
mod report;
mod room;
mod serve;
mod transfer;
mod upload;
mod user;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;

use crate::admin::AdminError;
use crate::config::fault::ConfigError;
use crate::config::{Config, reference};
use args::{Arguments, Command};

/// Read when no file is named, if it is there.
const DEFAULT_FILE: &str = "tercet.toml";

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration cannot be used: exit code 2.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Anything else, as a sentence for people: exit code 1.
    #[error("{0}")]
    Other(String),
    /// Everything has been said already: exit code 1.
    #[error("")]
    Said,
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Failure {
        Failure::Other(error.to_string())
    }
}

/// Runs the command that the process's arguments ask for and returns its exit code: 0 done, 1 refused or failed,
/// 2 the configuration or the command line is faulty.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => complain(&failure, arguments.json),
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Some(Command::Init(init)) => init::run(init, arguments.json),
        Some(Command::Reference) => {
            output::text(reference::markdown());
            Ok(())
        }
        Some(Command::User(command)) => {
            user::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Export(export)) => {
            transfer::export(&configuration(arguments)?, export, arguments.json)
        }
        Some(Command::Import(import)) => {
            transfer::import(&configuration(arguments)?, import, arguments.json)
        }
        Some(Command::Invite(command)) => {
            invite::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Push(command)) => {
            push::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Room(command)) => {
            room::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Upload(command)) => {
            upload::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Report(command)) => {
            report::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Outage(command)) => {
            outage::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Explain(command)) => {
            explain::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Federation(command)) => {
            federation::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Component(command)) => {
            component::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::BlockList(command)) => {
            block_list::run(&configuration(arguments)?, command, arguments.json)
        }
        Some(Command::Metrics) => federation::metrics(&configuration(arguments)?, arguments.json),
        Some(Command::Check) => check::run(&configuration(arguments)?, arguments.json),
        Some(Command::Serve) | None => serve::run(arguments),
    }
}

/// Prints why nothing was done, on standard error, in JSON on standard output if asked for.
fn complain(failure: &Failure, json: bool) -> ExitCode {
    if matches!(failure, Failure::Said) {
        return ExitCode::FAILURE;
    }
    if json {
        let mut answer = serde_json::json!({ "ok": false, "error": failure.to_string() });
        if let Failure::Config(ConfigError::Faulty { file, faults }) = failure {
            answer["error"] = "the configuration has faults".into();
            answer["file"] = file.display().to_string().into();
            answer["faults"] = serde_json::json!(faults);
        }
        output::line(answer);
    } else {
        eprintln!("tercet: {failure}");
    }
    ExitCode::from(match failure {
        Failure::Config(_) => 2,
        Failure::Other(_) | Failure::Said => 1,
    })
}

/// The configuration that the command line means: the named file, or `tercet.toml` here, or the built-in defaults.
fn configuration(arguments: &Arguments) -> Result<Config, ConfigError> {
    match file(arguments) {
        Some(file) => Config::load(&file),
        None => Ok(Config::default()),
    }
}

fn file(arguments: &Arguments) -> Option<PathBuf> {
    let here = Path::new(DEFAULT_FILE);
    arguments
        .config
        .clone()
        .or_else(|| here.exists().then(|| here.to_owned()))
}
