//! The simulated service, as it runs at a terminal, judged by Microsoft's own Python SDK, unmodified from PyPI: if the SDK takes it for the real one,
//! so may we. `make acs-sdk` gets the SDK; without it this is skipped, except in CI, where it is a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use sidetone::sim::acs::ACCESS_KEY;

use crate::Story;
use crate::terminal::Terminal;

/// The Python with the SDK, as the make target leaves it.
fn python() -> PathBuf {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/acs-sdk/bin/python");
    std::env::var_os("SIDETONE_ACS_PYTHON").map_or(made, PathBuf::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_sdk_takes_the_simulator_for_the_service() -> Story {
    let python = python();
    if !python.exists() {
        let missing = format!("{} is missing: run `make acs-sdk` (Python 3 with venv)", python.display());
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
        return Ok(());
    }
    let terminal = Terminal::open()?;
    let desk = &terminal.desk;
    desk.does(Method::PUT, "/faults", json!({ "throttled": 1 })).await?;
    for called in ["4:+15550123", "8:acs:r_agent"] {
        desk.does(Method::PUT, &format!("/people/{called}"), json!({ "does": "answers" })).await?;
    }
    // To be answered, to be rejected, to be redirected.
    let mut contexts = Vec::new();
    for from in ["4:+15550001", "4:+15550002", "4:+15550003"] {
        let call = desk.does(Method::POST, "/calls", json!({ "from": from, "to": "4:+15550100" })).await?;
        contexts.push(call["context"].as_str().ok_or("no context")?.to_owned());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acs/sdk.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .env("ACS_ENDPOINT", &terminal.service)
        .env("ACS_KEY", ACCESS_KEY)
        .env("ACS_CONTEXTS", contexts.join(","))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the SDK is not content:\n{said}\n{wrong}");
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() >= 20, "{said}");
    let journal = desk.does(Method::GET, "/journal", Value::Null).await?;
    let statuses =
        journal["exchanges"].as_array().ok_or("no journal")?.iter().map(|one| one["status"].as_u64());
    let statuses: Vec<u64> = statuses.flatten().collect();
    assert!(statuses.len() > 20 && statuses.contains(&429), "{statuses:?}");
    assert!(!statuses.contains(&401), "every signature of the SDK was right: {statuses:?}");
    Ok(())
}
