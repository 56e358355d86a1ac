//! `sidetone explain`: what a result code means.

use std::process::ExitCode;

use super::Explain;

pub(super) fn run(explain: &Explain) -> ExitCode {
    match sbc_config::explain(&explain.code.join(" ")) {
        Ok(text) => super::show(&text),
        Err(error) => {
            super::complain(&error);
            ExitCode::from(1)
        }
    }
}
