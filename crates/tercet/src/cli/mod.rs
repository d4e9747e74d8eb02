//! The command line: `tercet serve`, `init`, `check`, `user …`.

use std::process::ExitCode;

/// Runs the command that the process's arguments ask for and returns its exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
