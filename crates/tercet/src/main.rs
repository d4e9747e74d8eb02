//! The `tercet` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tercet::cli::main()
}
