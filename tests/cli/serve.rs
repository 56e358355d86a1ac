//! The gateway as its own process, as a service manager runs it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Test, shown};

/// The longest anything that must come is waited for.
const SOON: Duration = Duration::from_secs(60);

/// A machine that keeps no root certificates, as far as we can see.
const NO_ROOTS: [(&str, &str); 2] = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")];

/// The example on free ports, with a webhook.
fn example(directory: &Path) -> Result<std::path::PathBuf, std::io::Error> {
    let text = std::fs::read_to_string("deploy/sidetone.example.toml")?
        .replace("127.0.0.1:5060\"", "127.0.0.1:0\"")
        .replace("127.0.0.1:8080\"", "127.0.0.1:0\"")
        .replace("sqlite:sidetone.sqlite3", &format!("sqlite:{}", directory.join("calls.sqlite3").display()));
    let webhook = "\n[[webhook]]\nid = \"crm\"\ntenant = \"demo\"\nurl = \"http://127.0.0.1:9/\"\nsecret_file = \"example-secrets/webhook.txt\"\n";
    std::fs::create_dir(directory.join("example-secrets"))?;
    for entry in std::fs::read_dir("deploy/example-secrets")? {
        let from = entry?;
        std::fs::copy(from.path(), directory.join("example-secrets").join(from.file_name()))?;
    }
    let path = directory.join("sidetone.toml");
    std::fs::write(&path, text + webhook)?;
    Ok(path)
}

/// A `sidetone serve`, killed when nobody holds it any more.
struct Served {
    child: Child,
    log: BufReader<ChildStderr>,
    api: String,
    /// What it logged until it was ready.
    before: String,
}

impl Served {
    fn start(config: &Path, environment: &[(&str, &str)]) -> Result<Served, Box<dyn std::error::Error>> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sidetone"))
            .args(["serve", "--log-format", "json", "--config"])
            .arg(config)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = BufReader::new(child.stderr.take().ok_or("no standard error")?);
        let mut served = Served { child, log, api: String::new(), before: String::new() };
        loop {
            let mut line = String::new();
            if served.log.read_line(&mut line)? == 0 {
                return Err(format!("it ended before it was ready:\n{}", served.before).into());
            }
            let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if said["message"] == "ready" {
                served.api = said["api"].as_str().ok_or("no address of the API")?.to_owned();
                return Ok(served);
            }
            served.before += &line;
        }
    }

    /// The body of `path`, as the operator of the example gets it.
    fn get(&self, path: &str) -> Result<String, Box<dyn std::error::Error>> {
        let mut stream = TcpStream::connect(&self.api)?;
        write!(stream, "GET {path} HTTP/1.0\r\nAuthorization: Bearer operator-trial-token\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        assert!(head.starts_with("HTTP/1.0 200"), "{path}: {head}");
        Ok(body.to_owned())
    }

    /// Asks for /metrics until this line is in it.
    fn until_metric(&self, line: &str) -> Test {
        let give_up_at = Instant::now() + SOON;
        while !self.get("/metrics")?.lines().any(|shown| shown == line) {
            assert!(Instant::now() < give_up_at, "{line} does not come:\n{}", self.get("/metrics")?);
        }
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    fn stop(mut self) -> Test {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let mut rest = String::new();
        self.log.read_to_string(&mut rest)?;
        assert!(self.child.wait()?.success(), "{rest}");
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_machine_without_root_certificates_takes_calls_and_says_what_it_lacks() -> Test {
    let directory = tempfile::tempdir()?;
    let config = example(directory.path())?;
    let served = Served::start(&config, &NO_ROOTS)?;
    assert!(served.before.contains("apt-get install ca-certificates"), "{}", served.before);
    assert!(served.get("/readyz")?.contains("\"ready\":true"));
    served.stop()
}

#[test]
fn a_log_that_nobody_reads_at_a_terminal_has_no_colours() -> Test {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("sidetone.toml");
    // It warns of the roots that it lacks, and ends since the address of its API is none of this machine's (RFC 5737).
    let store = directory.path().join("calls.sqlite3");
    let text = format!(
        "[server]\ndatabase = \"sqlite:{}\"\n[sip]\nudp = \"127.0.0.1:0\"\n[api]\nlisten = \"192.0.2.1:8080\"\n",
        store.display()
    );
    std::fs::write(&file, text + "[[tenant]]\nid = \"demo\"\nname = \"Demo\"\n")?;
    let mut serve = Command::new(env!("CARGO_BIN_EXE_sidetone"));
    serve.args(["serve", "--config"]).arg(&file).envs(NO_ROOTS);
    let (code, _, log) = shown(&serve.output()?);
    assert!(code == Some(2) && log.contains("WARN") && !log.contains('\u{1b}'), "{log}");
    Ok(())
}

#[test]
fn what_an_alarm_watches_is_there_before_anything_has_gone_wrong() -> Test {
    // A counter that is born with its first loss has not risen: `increase` is of two samples.
    let directory = tempfile::tempdir()?;
    let served = Served::start(&example(directory.path())?, &[])?;
    let metrics = served.get("/metrics")?;
    let alerts = std::fs::read_to_string("deploy/prometheus/alerts.yaml")?;
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let names = alerts.split(word).filter(|word| word.starts_with("sidetone_"));
    // These have a sample for each trunk that has answered or failed to, each certificate, and each tenant with an account at
    // Microsoft; the refused are judged over minutes, as a share.
    let later = [
        "sidetone_trunk_up",
        "sidetone_certificate_days_left",
        "sidetone_integration_secret_expires_timestamp_seconds",
        "sidetone_calls_refused_total",
    ];
    let names: Vec<_> = names.filter(|name| !later.contains(name)).collect();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let samples: Vec<_> = metrics.lines().filter(|line| line.starts_with(name)).collect();
        assert!(!samples.is_empty(), "no {name} in a gateway that has just started:\n{metrics}");
        let wanted = if name == "sidetone_store_up" { " 1" } else { " 0" };
        assert!(samples.iter().all(|sample| sample.ends_with(wanted)), "{samples:?}");
    }
    served.stop()
}

#[test]
fn a_trunk_that_is_taken_out_keeps_no_alarm_going() -> Test {
    let directory = tempfile::tempdir()?;
    let config = example(directory.path())?;
    let text = std::fs::read_to_string(&config)?;
    // Nobody listens at port 9: the connection is refused.
    let dead = "\n[[trunk]]\nid = \"dead\"\ntenant = \"demo\"\nsources = [\"127.0.0.9/32\"]\ndestination = \"127.0.0.1:9;transport=tcp\"\noptions_s = 5\n";
    std::fs::write(&config, text.clone() + dead)?;
    let served = Served::start(&config, &[])?;
    served.until_metric("sidetone_trunk_up{trunk=\"dead\"} 0")?;

    std::fs::write(&config, text)?;
    kill_process(Pid::from_child(&served.child), Signal::HUP)?;
    // No number, so that neither "== 0" nor a mean takes it for one.
    served.until_metric("sidetone_trunk_up{trunk=\"dead\"} NaN")?;
    served.stop()
}
