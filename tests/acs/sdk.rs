//! The simulated service judged by Microsoft's own Python SDK, unmodified from PyPI: if the SDK takes it for the real one,
//! so may we. `make acs-sdk` gets the SDK; without it this is skipped, except in CI, where it is a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sidetone::sim::acs::{ACCESS_KEY, AcsSim, Behaviour, Entry, Faults};
use sidetone::sim::voice::Voice;

use crate::Story;

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
    let acs = AcsSim::start().await?;
    acs.faults(Faults { throttled: 1, ..Faults::default() });
    acs.behaves("4:+15550123", Behaviour::Answers(Voice::Silence));
    acs.behaves("8:acs:r_agent", Behaviour::Answers(Voice::Silence));
    let answered = acs.call("4:+15550001", "4:+15550100", Voice::Silence, "/nowhere", true);
    let rejected = acs.call("4:+15550002", "4:+15550100", Voice::Silence, "/nowhere", true);
    let redirected = acs.call("4:+15550003", "4:+15550100", Voice::Silence, "/nowhere", true);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acs/sdk.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .env("ACS_ENDPOINT", acs.endpoint())
        .env("ACS_KEY", ACCESS_KEY)
        .env("ACS_CONTEXTS", [answered, rejected, redirected].join(","))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the SDK is not content:\n{said}\n{wrong}");
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() >= 20, "{said}");
    let refused = |entry: &&Entry| matches!(entry, Entry::Request(_, _, 401));
    assert_eq!(acs.journal().iter().filter(refused).count(), 0, "every signature of the SDK was right");
    Ok(())
}
