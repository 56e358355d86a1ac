//! The built gateway as a process of its own, and what it leaves behind.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use sidetone::sim::authority::{Authority, Wanted};
use tempfile::TempDir;

use super::house::{ADMIN, House, OPERATOR};
use super::http::{self, Answer};
use super::patience::{PATIENCE, until, until_true};
use super::ports;

/// Descriptors that may come and go without a call: connections to the SQLite file, and of HTTP.
const FDS_SLACK: usize = 8;

/// Media ports of a gateway: pairs for a hundred legs.
const MEDIA_PORTS: u16 = 200;

/// A running `sidetone serve`. It ends with the value; its log is shown when the story fails.
pub(crate) struct Gateway {
    process: Child,
    dir: TempDir,
    /// Where SIP is spoken, UDP and TCP.
    pub(crate) sip: SocketAddr,
    /// Where SIP is spoken over TLS, if it is.
    pub(crate) sip_tls: SocketAddr,
    /// Whose certificates are to be believed then, in PEM.
    pub(crate) root: String,
    api: SocketAddr,
}

/// What a gateway holds while nobody calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holdings {
    udp_sockets: usize,
    descriptors: usize,
}

impl Gateway {
    /// Starts a gateway for `house` on ports of its own, and waits until it takes calls.
    pub(crate) fn start(house: &House) -> Gateway {
        Gateway::start_as(house, &mut Command::new(env!("CARGO_BIN_EXE_sidetone")))
    }

    /// As [`Gateway::start`], for a story in which the disk fills: writing to a full disk fails and does not end the
    /// process, so the signal that says so for limits is ignored.
    pub(crate) fn start_on_a_disk_that_fills(house: &House) -> Gateway {
        let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
        Gateway::start_as(house, Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_sidetone")]))
    }

    /// From now on none of its files grows, its log included: the kernel refuses to write beyond a few octets.
    pub(crate) fn fill_disk(&self) {
        self.limit_files(Some(4_096));
    }

    /// The disk has room again.
    pub(crate) fn make_room(&self) {
        self.limit_files(None);
    }

    fn limit_files(&self, bytes: Option<u64>) {
        let pid =
            i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process has a number");
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(pid), Resource::Fsize, limit).expect("a limit is set");
    }

    fn start_as(house: &House, command: &mut Command) -> Gateway {
        let dir = TempDir::new().expect("a temporary directory");
        let [sip, sip_tls, api] = [(); 3].map(|()| ports::free("127.0.0.1"));
        let media = ports::block(MEDIA_PORTS);
        let database = dir.path().join("records.sqlite3");
        let config =
            house.toml(sip, sip_tls, api, (media, media + MEDIA_PORTS - 1), &database.to_string_lossy());
        for person in ["alice", "bob", "sam", "carol", "beyond"] {
            fs::write(dir.path().join(format!("{person}.txt")), format!("{person}-trial-password"))
                .expect("a secret is written");
        }
        let mut root = String::new();
        if house.tls {
            let authority = Authority::new("foreign").expect("an authority");
            let leaf = authority.issue(&Wanted::new(["127.0.0.1"]).rsa()).expect("a certificate");
            for (name, pem) in [("sbc.pem", &leaf.chain), ("sbc.key", &leaf.key)] {
                fs::write(dir.path().join(name), pem).expect("a certificate is written");
            }
            authority.root().clone_into(&mut root);
        }
        let file = dir.path().join("sidetone.toml");
        fs::write(&file, config).expect("the configuration is written");

        let log = File::create(dir.path().join("log")).expect("a log file");
        let process = command
            .args(["serve", "--log", "info,sidetone=debug", "--log-format", "json", "--config"])
            .arg(&file)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the gateway is built");
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut gateway = Gateway { process, dir, sip: at(sip), sip_tls: at(sip_tls), root, api: at(api) };
        gateway.wait_until_ready();
        gateway
    }

    fn wait_until_ready(&mut self) {
        until("the gateway is ready", || {
            if let Some(status) = self.process.try_wait().expect("a child can be asked") {
                panic!("the gateway ended by itself: {status}");
            }
            http::request(self.api, "GET", "/readyz", OPERATOR, None).filter(|answer| answer.status == 200)
        });
    }

    /// A directory that goes when the gateway goes.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether it takes calls, and what it says of itself.
    pub(crate) fn ready(&self) -> Answer {
        self.ask(OPERATOR, "GET", "/readyz", None)
    }

    /// Asks the API.
    pub(crate) fn ask(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        http::request(self.api, method, path, token, body.as_ref())
            .unwrap_or_else(|| panic!("{method} {path} was not answered"))
    }

    /// Asks the API, and expects this status.
    pub(crate) fn expect(
        &self,
        status: u16,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Value {
        let answer = self.ask(token, method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        answer.json()
    }

    /// The first event of this name, of all that happened or will.
    pub(crate) fn event(&self, name: &str) -> Value {
        let mut stream = TcpStream::connect(self.api).expect("the API listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let ask = format!(
            "GET /v1/events?after=0 HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
            self.api
        );
        stream.write_all(ask.as_bytes()).expect("the API reads");
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let mut events = lines
            .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?.trim_start()).ok());
        events.find(|event| event["type"] == name).unwrap_or_else(|| panic!("nothing was told of {name}"))
    }

    /// The live calls.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let list = self.expect(200, ADMIN, "GET", "/v1/calls", None);
        list["items"].as_array().expect("a list of calls").clone()
    }

    /// The records of ended calls, newest first.
    pub(crate) fn records(&self) -> Vec<Value> {
        let list = self.expect(200, ADMIN, "GET", "/v1/cdr?limit=200", None);
        list["items"].as_array().expect("a list of records").clone()
    }

    /// Waits until `count` calls are recorded: records are written a moment after their call.
    pub(crate) fn wait_for_records(&self, count: usize) -> Vec<Value> {
        until(&format!("{count} call records"), || {
            Some(self.records()).filter(|records| records.len() >= count)
        })
    }

    /// The names of the events of a call, in their order.
    pub(crate) fn timeline(&self, call: &str) -> Vec<String> {
        let timeline = self.expect(200, ADMIN, "GET", &format!("/v1/calls/{call}/timeline"), None);
        let events = timeline["items"].as_array().expect("a list of events");
        events.iter().map(|event| event["type"].as_str().expect("an event has a type").to_owned()).collect()
    }

    /// The sum of a metric over its labels; zero when it is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.ask(OPERATOR, "GET", "/metrics", None).body;
        let of_name = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// What it holds now.
    pub(crate) fn holdings(&self) -> Holdings {
        let inodes = udp_inodes(self.process.id());
        let links = descriptors(self.process.id());
        let udp_sockets = links.iter().filter(|link| inodes.contains(*link)).count();
        Holdings { udp_sockets, descriptors: links.len() }
    }

    /// Waits until no call lives and every port and descriptor has gone back.
    pub(crate) fn comes_to_rest(&self, baseline: Holdings) {
        until_true("no call is left", || self.calls().is_empty());
        until_true("the gauge of live calls is back at zero", || self.metric("sidetone_calls_live") == 0.0);
        until(&format!("ports and descriptors are back at {baseline:?}"), || {
            let now = self.holdings();
            (now.udp_sockets == baseline.udp_sockets && now.descriptors <= baseline.descriptors + FDS_SLACK)
                .then_some(())
        });
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(80);
            eprintln!("--- the gateway said last:\n{}\n---", lines[last..].join("\n"));
        }
    }
}

/// What the descriptors of a process lead to, such as `socket:[4711]`.
fn descriptors(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the gateway runs on Linux");
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|link: PathBuf| link.to_string_lossy().into_owned())
        .collect()
}

/// The UDP sockets of its network namespace, in the same words.
fn udp_inodes(pid: u32) -> HashSet<String> {
    let tables = ["udp", "udp6"]
        .map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
    tables
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .filter_map(|line| line.split_whitespace().nth(9))
        .map(|inode| format!("socket:[{inode}]"))
        .collect()
}
