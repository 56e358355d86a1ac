//! The `sidetone` command: reads its arguments, starts the gateway, stops it gently.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
