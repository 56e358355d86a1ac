//! `sidetone check`: everything that is wrong, at once.

use std::path::Path;
use std::process::ExitCode;

use sbc_config::{Code, Config, Finding, Severity};
use sidetone::config::{self, LoadError};

use super::Check;

pub(super) fn run(check: &Check) -> ExitCode {
    let path = check.config.display();
    match config::load(&check.config) {
        Ok(config) => {
            // A table or a trunk is asked for alone; what is worth a look then goes where errors go.
            if check.ports || check.explain_trunk.is_some() {
                config.warnings.iter().for_each(|warning| eprintln!("{path}:{warning}"));
            } else {
                print(check, &config.warnings);
                // What only the running gateway opens, opened here as well.
                let mut found = super::recordings::examine(&config, &check.config);
                found.extend(super::certificates::examine(&config, &check.config));
                print(check, &found);
                if found.iter().any(|finding| finding.severity == Severity::Error) {
                    if !check.json {
                        println!("{path}: {}", verdict(&found));
                    }
                    return ExitCode::from(1);
                }
            }
            let beside = check.config.parent().unwrap_or(std::path::Path::new("."));
            if check.ports {
                return ports(check, &config);
            }
            if let Some(id) = &check.explain_trunk {
                return explain_trunk(check, &config, id);
            }
            if check.online && !online(check, &config, beside) {
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

/// What errors in the files beside the configuration come to: without some of them the gateway does not start, and with
/// others it starts and is refused by peers.
fn verdict(found: &[Finding]) -> String {
    let stops = |finding: &&Finding| {
        finding.severity == Severity::Error
            && matches!(finding.code, Code::CertificateUnreadable | Code::RecordingUnreadable)
    };
    match found.iter().filter(stops).count() {
        0 => "can be used, but peers will refuse a certificate".to_owned(),
        errors => format!("cannot be used: {errors} error(s) in the files that it names"),
    }
}

/// A configuration that can be used, for commands that print something made from one. Otherwise all findings go to
/// standard error.
pub(super) fn usable(path: &Path) -> Result<Config, ExitCode> {
    match config::load(path) {
        Ok(config) => Ok(config),
        Err(error) => {
            if let LoadError::Wrong { findings, .. } = &error {
                findings.iter().for_each(|finding| eprintln!("{}:{finding}", path.display()));
            }
            super::complain(&error);
            Err(ExitCode::from(if matches!(error, LoadError::Wrong { .. }) { 1 } else { 2 }))
        }
    }
}

fn ports(check: &Check, config: &Config) -> ExitCode {
    let rules = sbc_config::port_rules(config);
    if !check.json {
        return super::show(&sbc_config::port_table(&rules));
    }
    let lines: Result<String, _> =
        rules.iter().map(|rule| serde_json::to_string(rule).map(|line| line + "\n")).collect();
    match lines {
        Ok(lines) => super::show(&lines),
        Err(error) => {
            super::complain(&error);
            ExitCode::from(2)
        }
    }
}

/// Tries trunks, ACS resources and accounts, and prints what came of each. True if all of them work.
fn online(check: &Check, config: &Config, beside: &Path) -> bool {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            super::complain(&error);
            return false;
        }
    };
    let tried = runtime.block_on(async {
        let mut tried = super::online::try_all(config, beside).await;
        tried.extend(super::accounts::try_all(config).await);
        tried
    });
    for tried in &tried {
        match serde_json::to_string(tried) {
            Ok(line) if check.json => println!("{line}"),
            _ => println!("{}:{tried}", check.config.display()),
        }
    }
    tried.iter().all(|tried| tried.works)
}

fn explain_trunk(check: &Check, config: &Config, id: &str) -> ExitCode {
    // The file again, for what it says itself; it was read a moment ago.
    let text = match std::fs::read_to_string(&check.config) {
        Ok(text) => text,
        Err(error) => {
            super::complain(&error);
            return ExitCode::from(2);
        }
    };
    let shown = id.parse().ok().and_then(|id| sbc_config::explain_trunk(config, &text, &id));
    match shown {
        Some(shown) => super::show(&shown),
        None => {
            let ids: Vec<_> = config.trunks.iter().map(|trunk| trunk.id.as_str()).collect();
            eprintln!("sidetone: there is no trunk `{id}`; the file has: {}", ids.join(", "));
            ExitCode::from(1)
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
