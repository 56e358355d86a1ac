//! `sidetone check`: everything that is wrong, at once.

use std::process::ExitCode;

use sbc_config::{Finding, Severity};
use sidetone::config::{self, LoadError};

use super::Check;

pub(super) fn run(check: &Check) -> ExitCode {
    let path = check.config.display();
    match config::load(&check.config) {
        Ok(config) => {
            print(check, &config.warnings);
            // What only the running gateway opens, opened here as well.
            let beside = check.config.parent().unwrap_or(std::path::Path::new("."));
            if let Err(error) = sidetone::gateway::music(&config, beside) {
                super::complain(&error);
                return ExitCode::from(1);
            }
            if !check.json {
                println!(
                    "{path}: can be used: {} tenant(s), {} trunk(s), {} people, {} route(s), {} warning(s)",
                    config.tenants.len(),
                    config.trunks.len(),
                    config.people.len(),
                    config.routes.all().len(),
                    config.warnings.len(),
                );
            }
            ExitCode::SUCCESS
        }
        Err(LoadError::Wrong { findings, .. }) => {
            print(check, &findings);
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
            if !check.json {
                println!("{path}: cannot be used: {errors} error(s)");
            }
            ExitCode::from(1)
        }
        Err(error) => {
            super::complain(&error);
            ExitCode::from(2)
        }
    }
}

fn print(check: &Check, findings: &[Finding]) {
    for finding in findings {
        match serde_json::to_string(finding) {
            Ok(line) if check.json => println!("{line}"),
            _ => println!("{}:{finding}", check.config.display()),
        }
    }
}
