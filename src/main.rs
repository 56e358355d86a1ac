//! The `sidetone` command: reads its arguments, starts the gateway, stops it gently.

mod cli;

use std::process::ExitCode;

/// Gives memory back when a busy hour is over; see ARCHITECTURE.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
