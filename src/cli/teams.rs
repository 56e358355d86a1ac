//! `sidetone teams`: what has to be done on Microsoft's side.

use std::process::ExitCode;

use sbc_config::pair;

use super::Setup;

pub(super) fn setup(setup: &Setup) -> ExitCode {
    let config = match super::check::usable(&setup.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match pair::setup(&config) {
        Ok(script) => super::show(&script),
        Err(error) => {
            super::complain(&error);
            ExitCode::from(1)
        }
    }
}
