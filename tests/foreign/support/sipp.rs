//! SIPp: carriers and telephones by scenario.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::patience::{until, until_true};
use super::ports;

/// The address telephones of SIPp live at. The carrier's is the trunk's.
pub(crate) const PHONE_IP: &str = "127.0.0.1";

/// After this long a scenario ends itself, as a failure.
const SCENARIO_MAX: &str = "60";

/// How many media ports one SIPp may use.
const MEDIA_PORTS: u16 = 40;

/// Over what SIP goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Udp,
    Tcp,
}

impl Over {
    fn mode(self) -> &'static str {
        match self {
            Over::Udp => "u1",
            Over::Tcp => "t1",
        }
    }

    /// As a URI says it.
    pub(crate) fn parameter(self) -> &'static str {
        match self {
            Over::Udp => "udp",
            Over::Tcp => "tcp",
        }
    }
}

/// One SIPp with one scenario. It ends with the value.
pub(crate) struct Sipp {
    process: Child,
    scenario: &'static str,
    errors: PathBuf,
    complaints: PathBuf,
}

/// How a carrier calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calls {
    /// How many.
    pub(crate) count: u32,
    /// How many a second.
    pub(crate) rate: u32,
    /// Over what.
    pub(crate) over: Over,
}

/// One call over UDP.
pub(crate) const ONCE: Calls = Calls { count: 1, rate: 1, over: Over::Udp };

impl Sipp {
    /// A telephone at `port` of [`PHONE_IP`] that plays its scenario `count` times.
    pub(crate) fn telephone(dir: &Path, scenario: &'static str, port: u16, count: u32, over: Over) -> Sipp {
        let mut sipp = Sipp::start(dir, scenario, PHONE_IP, port, over, |command| {
            command.args(["-m", &count.to_string()]);
        });
        sipp.wait_until_listening(port, over);
        sipp
    }

    /// A carrier at `ip` that calls `number` of the gateway.
    pub(crate) fn carrier(
        dir: &Path,
        scenario: &'static str,
        ip: &str,
        gateway: SocketAddr,
        number: &str,
        calls: Calls,
    ) -> Sipp {
        Sipp::carrier_with(dir, scenario, ip, gateway, number, calls, &[])
    }

    /// The same with words that its scenario leaves open (`[key]`).
    pub(crate) fn carrier_with(
        dir: &Path,
        scenario: &'static str,
        ip: &str,
        gateway: SocketAddr,
        number: &str,
        calls: Calls,
        words: &[(&str, &str)],
    ) -> Sipp {
        Sipp::start(dir, scenario, ip, ports::free(ip), calls.over, |command| {
            command.args(["-m", &calls.count.to_string(), "-r", &calls.rate.to_string(), "-s", number]);
            // Left to itself it signs another URI than the one it asks for.
            command.args(["-auth_uri", &format!("{number}@{gateway}")]);
            for (key, word) in words {
                command.args(["-key", key, word]);
            }
            command.arg(gateway.to_string());
        })
    }

    fn start(
        dir: &Path,
        scenario: &'static str,
        ip: &str,
        port: u16,
        over: Over,
        more: impl FnOnce(&mut Command),
    ) -> Sipp {
        let errors = dir.join(format!("{scenario}-{port}.errors"));
        let messages = dir.join(format!("{scenario}-{port}.messages"));
        let complaints = dir.join(format!("{scenario}-{port}.stderr"));
        let media = ports::block(MEDIA_PORTS);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/foreign/sipp/{scenario}.xml"));
        let mut command = Command::new("sipp");
        command
            .arg("-sf")
            .arg(file)
            .args(["-i", ip, "-p", &port.to_string(), "-mi", ip])
            .args(["-mp", &media.to_string()])
            .args([
                "-t",
                over.mode(),
                "-nostdin",
                "-timeout",
                SCENARIO_MAX,
                "-timeout_error",
                "-trace_err",
                "-error_file",
            ])
            .arg(&errors)
            .args(["-trace_msg", "-message_file"])
            .arg(messages)
            // It draws a screen, and wants to know on what.
            .env("TERM", "vt100")
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&complaints).expect("a log file"));
        more(&mut command);
        Sipp { process: command.spawn().expect("sipp starts"), scenario, errors, complaints }
    }

    /// A telephone that is called before it listens would make the story fail for nothing.
    fn wait_until_listening(&mut self, port: u16, over: Over) {
        let (table, listening) = match over {
            Over::Udp => ("/proc/net/udp", "07"),
            Over::Tcp => ("/proc/net/tcp", "0A"),
        };
        let wanted = format!(":{port:04X}");
        until_true(&format!("{} listens on port {port}", self.scenario), || {
            if let Some(status) = self.process.try_wait().expect("a child can be asked") {
                panic!("{} did not start ({status}):\n{}", self.scenario, self.said());
            }
            let table = fs::read_to_string(table).unwrap_or_default();
            table.lines().skip(1).any(|line| {
                let mut columns = line.split_whitespace().skip(1);
                let local = columns.next().is_some_and(|local| local.ends_with(&wanted));
                local && columns.nth(1) == Some(listening)
            })
        });
    }

    /// Waits for the end of the scenario, and that every one of its calls went as it says.
    pub(crate) fn went_well(mut self) {
        let status = until(&format!("the end of {}", self.scenario), || {
            self.process.try_wait().expect("a child can be asked")
        });
        assert!(status.success(), "{} failed ({status}):\n{}", self.scenario, self.said());
    }

    fn said(&self) -> String {
        let said = [&self.errors, &self.complaints].map(|file| fs::read_to_string(file).unwrap_or_default());
        said.concat()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
