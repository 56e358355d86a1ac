//! The built gateway as a process of its own on a processor of its own, and what the kernel says it costs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::http;
use crate::line::{FQDN, Papers};
use crate::patience::until;
use crate::ports;

/// The clear tokens; the hashes stand in [`config`].
const OPERATOR: &str = "operator-trial-token";
const INTEGRATION: &str = "integration-trial-token";

/// Where the load's trunk calls from. Another address than that of the desks, so that it is taken for a trunk.
pub(crate) const TRUNK_IP: &str = "127.0.0.2";

/// Legs of a call that is supervised: customer, agent, supervisor.
const LEGS_PER_CALL: u16 = 3;

/// Media ports beyond those of held calls, for calls that are being taken down while others come up.
const SPARE_PORTS: u16 = 1_000;

/// The `USER_HZ` of Linux: the unit of processor time in `/proc/PID/stat` on every architecture we run on.
const TICKS_PER_SECOND: u64 = 100;

/// A running `sidetone serve`. It ends with the value.
pub(crate) struct Gateway {
    process: Child,
    dir: TempDir,
    /// Where SIP is spoken, by whoever calls.
    pub(crate) sip: SocketAddr,
    api: SocketAddr,
}

impl Gateway {
    /// Starts `binary` on `cpu` for `calls` agents and supervisors whose telephones are at `desks`, and waits
    /// until it takes calls.
    pub(crate) fn start(binary: &Path, cpu: Pinning, calls: u16, desks: SocketAddr) -> Gateway {
        Gateway::open(binary, cpu, calls, desks, "", None)
    }

    /// The same for as many people with browsers besides.
    pub(crate) fn with_browsers(binary: &Path, cpu: Pinning, calls: u16, desks: SocketAddr) -> Gateway {
        Gateway::open(binary, cpu, calls, desks, &browsers(calls), None)
    }

    /// The same; calls come over Direct Routing, with these certificates.
    pub(crate) fn start_paired(
        binary: &Path,
        cpu: Pinning,
        calls: u16,
        desks: SocketAddr,
        papers: &Papers,
    ) -> Gateway {
        Gateway::open(binary, cpu, calls, desks, "", Some(papers))
    }

    fn open(
        binary: &Path,
        cpu: Pinning,
        calls: u16,
        desks: SocketAddr,
        more: &str,
        papers: Option<&Papers>,
    ) -> Gateway {
        let dir = TempDir::new().expect("a temporary directory");
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (sip, api) = (at(ports::free("127.0.0.1")), at(ports::free("127.0.0.1")));
        let count = calls * LEGS_PER_CALL * 2 + SPARE_PORTS;
        let media = ports::block(count);
        let file = dir.path().join("sidetone.toml");
        let mut text = config(sip, api, media, media + count - 1, calls, desks) + more;
        let mut called_at = sip;
        if let Some(papers) = papers {
            called_at = at(ports::free("127.0.0.1"));
            text = paired(&text, called_at);
            let files = [
                ("sbc1.pem", &papers.ours.chain),
                ("sbc1.key", &papers.ours.key),
                ("root.pem", &papers.root),
            ];
            for (name, content) in files {
                fs::write(dir.path().join(name), content).expect("a PEM file is written");
            }
        }
        fs::write(&file, text).expect("the configuration is written");
        let log = File::create(dir.path().join("log")).expect("a log file");
        // The gateway works in its own directory, where a relative path would lead elsewhere.
        let binary = binary.canonicalize().expect("the gateway is built");
        let mut command = Command::new(binary);
        command
            .args(["serve", "--log", "warn", "--config"])
            .arg(&file)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let process = cpu.spawn(&mut command);
        let mut gateway = Gateway { process, dir, sip: called_at, api };
        until("the gateway is ready", || {
            if let Some(status) = gateway.process.try_wait().expect("a child can be asked") {
                panic!("the gateway ended by itself: {status}");
            }
            http::request(api, "GET", "/readyz", OPERATOR, None).filter(|answer| answer.status == 200)
        });
        gateway
    }

    /// Processor time it has used so far.
    pub(crate) fn cpu(&self) -> Cpu {
        Cpu::of(self.process.id())
    }

    /// Resident memory, KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).expect("the gateway is running")
    }

    /// The live calls: the name of the agent and the id of the call.
    pub(crate) fn calls(&self) -> Vec<(String, String)> {
        let answer = http::request(self.api, "GET", "/v1/calls", INTEGRATION, None).expect("the API answers");
        assert_eq!(answer.status, 200, "GET /v1/calls: {}", answer.body);
        let list = answer.json();
        let items = list["items"].as_array().expect("a list of calls");
        let agent_of = |call: &Value| {
            let legs = call["legs"].as_array()?;
            let agent = legs.iter().find(|leg| leg["role"] == "agent")?;
            Some((agent["person"].as_str()?.to_owned(), call["id"].as_str()?.to_owned()))
        };
        items.iter().filter_map(agent_of).collect()
    }

    /// Live calls, whoever is on them.
    pub(crate) fn live(&self) -> usize {
        let answer = http::request(self.api, "GET", "/v1/calls", INTEGRATION, None).expect("the API answers");
        answer.json()["items"].as_array().map_or(usize::MAX, Vec::len)
    }

    /// Lets `supervisor` whisper on `call`. Whether the gateway agreed; if not, what it said.
    pub(crate) fn whisper(&self, call: &str, supervisor: &str) -> Result<(), String> {
        let body = serde_json::json!({"supervisor": supervisor, "role": "whisper"});
        let path = format!("/v1/calls/{call}/supervisions");
        let answer =
            http::request(self.api, "POST", &path, INTEGRATION, Some(&body)).expect("the API answers");
        if answer.status == 201 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.body)) }
    }

    /// A browser calls `to` with its offer; its leg, and the answer. What the gateway said, if it did not agree.
    pub(crate) fn connect_browser(
        &self,
        token: &str,
        sdp: &str,
        to: &str,
    ) -> Result<(String, String), String> {
        let body = serde_json::json!({"sdp": sdp, "to": to});
        let answer = http::request(self.api, "POST", "/v1/legs/webrtc", token, Some(&body))
            .ok_or("the API does not answer")?;
        let said = answer.json();
        match (said["leg"].as_str(), said["sdp"].as_str()) {
            (Some(leg), Some(sdp)) => Ok((leg.to_owned(), sdp.to_owned())),
            _ => Err(format!("{} {}", answer.status, answer.body)),
        }
    }

    /// A browser hangs up.
    pub(crate) fn hang_up_browser(&self, token: &str, leg: &str) {
        let path = format!("/v1/legs/webrtc/{leg}");
        // One that is over already is as good.
        let _ = http::request(self.api, "DELETE", &path, token, None);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- the gateway said:\n{log}\n---");
        }
    }
}

/// The agent who takes call `index`.
pub(crate) fn agent(index: usize) -> String {
    format!("agent{index:04}")
}

/// The supervisor of that agent.
pub(crate) fn supervisor(index: usize) -> String {
    format!("boss{index:04}")
}

/// Whose browser calls that agent, and with which token.
pub(crate) fn browser(index: usize) -> (String, String) {
    (format!("web{index:04}"), format!("web{index:04}-trial-token"))
}

/// The number that leads to that agent.
pub(crate) fn number(index: usize) -> String {
    format!("+1555000{index:04}")
}

fn config(sip: SocketAddr, api: SocketAddr, first: u16, last: u16, calls: u16, desks: SocketAddr) -> String {
    let mut text = format!(
        r#"
[server]
name = "load"
database = "sqlite:records.sqlite3"
drain_s = 1

[sip]
udp = "{sip}"
realm = "sidetone"

[media]
listen = "127.0.0.1"
ports = "{first}-{last}"
shards = 1
codecs = ["PCMU"]

[api]
listen = "{api}"

[limits]
calls_per_second_max = 10000

[[tenant]]
id = "load"
name = "Load"

[[team]]
id = "desk"
tenant = "load"
name = "Desk"

[[trunk]]
id = "carrier"
tenant = "load"
sources = ["{TRUNK_IP}/32"]

[[token]]
id = "platform"
sha256 = "b31f39a0628364b18b8d2fdb1694866dbe8336a487e38a09a9b7beaaa5a4e516"
role = "operator"

[[token]]
id = "crm"
sha256 = "273812811a09dce530ee2901c0a5400e838f58b5951f8042a624775917d9fffa"
role = "integration"
tenant = "load"
"#
    );
    for index in 0..usize::from(calls) {
        for (person, role) in [(agent(index), "agent"), (supervisor(index), "supervisor")] {
            writeln!(
                text,
                "[[person]]\nid = \"{person}\"\ntenant = \"load\"\nrole = \"{role}\"\nteams = [\"desk\"]\n\
                 contact = \"sip:{person}@{desks}\"\n"
            )
            .expect("text grows");
        }
        writeln!(
            text,
            "[[route]]\nid = \"to-{index:04}\"\ntenant = \"load\"\nnumber = \"{}\"\ntargets = [\"{}\"]\n",
            number(index),
            agent(index)
        )
        .expect("text grows");
    }
    text
}

/// The carrier is Microsoft's proxy, at the same address.
fn paired(text: &str, tls: SocketAddr) -> String {
    let carrier = format!("[[trunk]]\nid = \"carrier\"\ntenant = \"load\"\nsources = [\"{TRUNK_IP}/32\"]\n");
    let teams = format!(
        r#"[[certificate]]
id = "sbc1"
certificate_file = "sbc1.pem"
key_file = "sbc1.key"

[[trunk]]
id = "teams"
tenant = "load"
profile = "teams_direct_routing"
fqdn = "{FQDN}"
certificate = "sbc1"
sources = ["{TRUNK_IP}/32"]
destinations = ["{TRUNK_IP}:5061;transport=tls"]
codecs = ["PCMU"]
options_s = false
tls = {{ roots_file = "root.pem" }}
"#
    );
    assert!(text.contains(&carrier), "the carrier is in the configuration");
    text.replace(&carrier, &teams).replace("[sip]\n", &format!("[sip]\ntls = \"{tls}\"\n"))
}

/// People with browsers, each with a token.
fn browsers(calls: u16) -> String {
    let mut text = format!("[webrtc]\nlisten = \"127.0.0.1:{}\"\n", ports::free("127.0.0.1"));
    for index in 0..usize::from(calls) {
        let (person, token) = browser(index);
        let sha256: String = Sha256::digest(token).iter().map(|octet| format!("{octet:02x}")).collect();
        writeln!(
            text,
            "[[person]]\nid = \"{person}\"\ntenant = \"load\"\nrole = \"agent\"\nteams = [\"desk\"]\nwebrtc = true\n\
             [[token]]\nid = \"{person}\"\nsha256 = \"{sha256}\"\nrole = \"agent\"\nperson = \"{person}\"\n\
             tenant = \"load\"\n"
        )
        .expect("text grows");
    }
    text
}

/// Which processor the measured process has, and which the load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pinning {
    pub(crate) measured: usize,
    pub(crate) load: usize,
}

impl Pinning {
    /// Starts a process on the measured processor. This thread, and those it starts later, stay with the load.
    pub(crate) fn spawn(self, command: &mut Command) -> Child {
        // A child inherits the affinity, so that not even its first instruction runs elsewhere.
        pin(self.measured);
        let child = command.spawn();
        pin(self.load);
        child.expect("the program to be measured is built")
    }
}

/// Keeps this thread on one processor. A machine without it leaves the thread where it is, and says so.
pub(crate) fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu.min(CpuSet::MAX_CPU - 1));
    if let Err(error) = sched_setaffinity(None, &set) {
        eprintln!("processor {cpu} cannot be had, figures will be rougher: {error}");
    }
}

/// Processor time of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// By the scheduler's own account, exact to the nanosecond; threads that ended are missing.
    pub(crate) scheduled: Duration,
    /// utime and stime: coarse, but nothing is missing.
    pub(crate) ticks: Duration,
}

impl Cpu {
    /// Of a process that we started.
    pub(crate) fn of(pid: u32) -> Cpu {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is running");
        let scheduled = threads.flatten().filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        let scheduled = Duration::from_nanos(scheduled.sum());
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name of the program is in brackets and may hold anything; utime is the 12th field after it.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        let ticks = Duration::from_millis(ticks.sum::<u64>() * 1_000 / TICKS_PER_SECOND);
        Cpu { scheduled, ticks }
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            scheduled: self.scheduled.saturating_sub(earlier.scheduled),
            ticks: self.ticks.saturating_sub(earlier.ticks),
        }
    }
}
