//! The `tercet` program.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives memory back to the system after a peak, which the system's own allocator does not reliably do.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    tercet::cli::main()
}
