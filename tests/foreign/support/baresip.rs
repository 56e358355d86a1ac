//! baresip: a softphone with a voice, told what to do over TCP.
//!
//! Its voice is a WAV file (`aufile`), its ear a recording of what it decodes (`sndfile`), and a player that goes
//! nowhere (`aubridge`), so that no sound card is needed.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::gateway::Gateway;
use super::patience::{PATIENCE, until, until_true};
use super::ports;
use super::wav::{self, Heard, RATE};

/// A voice lasts longer than any story.
const VOICE_S: u32 = 120;

/// Media ports of one softphone.
const MEDIA_PORTS: u16 = 20;

/// What it does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenCalled {
    Answers,
    Rings,
}

/// A registered softphone. It ends with the value.
pub(crate) struct Baresip {
    process: Child,
    dir: TempDir,
    user: &'static str,
    control: SocketAddr,
    gateway: SocketAddr,
    /// How a URI says so.
    transport: &'static str,
}

impl Baresip {
    /// Starts a softphone for `user` that hums `hz`, and waits until the gateway has taken its registration.
    pub(crate) fn register(user: &'static str, hz: f64, gateway: SocketAddr, called: WhenCalled) -> Baresip {
        Baresip::start(user, hz, gateway, called, None)
    }

    /// The same over TLS, with SRTP by SDES and nothing less.
    pub(crate) fn register_protected(
        user: &'static str,
        hz: f64,
        gateway: &Gateway,
        called: WhenCalled,
    ) -> Baresip {
        Baresip::start(user, hz, gateway.sip_tls, called, Some(&gateway.root))
    }

    fn start(
        user: &'static str,
        hz: f64,
        gateway: SocketAddr,
        called: WhenCalled,
        root: Option<&str>,
    ) -> Baresip {
        let dir = TempDir::new().expect("a temporary directory");
        wav::write_tone(&dir.path().join("voice.wav"), hz, VOICE_S);
        let control = SocketAddr::from(([127, 0, 0, 1], ports::free("127.0.0.1")));
        let media = ports::block(MEDIA_PORTS);
        let write = |name: &str, text: String| {
            fs::write(dir.path().join(name), text).expect("a file of baresip is written")
        };
        let path = dir.path().to_str().expect("a plain path");
        let mut settings = config(path, control.port(), media);
        let (transport, encryption) = match root {
            Some(root) => {
                write("root.pem", root.to_owned());
                settings += &format!("sip_cafile {path}/root.pem\nmodule srtp.so\n");
                (";transport=tls", ";mediaenc=srtp-mand")
            }
            None => ("", ""),
        };
        write("config", settings);
        let answer = match called {
            WhenCalled::Answers => "auto",
            WhenCalled::Rings => "manual",
        };
        write(
            "accounts",
            format!(
                "<sip:{user}@{gateway}{transport}>;auth_user={user};auth_pass={user}-trial-password;regint=300;answermode={answer};audio_codecs=PCMU{encryption}\n"
            ),
        );
        write("contacts", String::new());
        let log = File::create(dir.path().join("log")).expect("a log file");
        let process = Command::new("baresip")
            .arg("-f")
            .arg(dir.path())
            .args(["-v", "-s"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("baresip starts");
        let mut phone = Baresip { process, dir, user, control, gateway, transport };
        phone.wait_until_registered();
        phone
    }

    fn wait_until_registered(&mut self) {
        until_true(&format!("{} is registered", self.user), || {
            if let Some(status) = self.process.try_wait().expect("a child can be asked") {
                panic!("baresip ended by itself: {status}");
            }
            let log = self.log();
            log.contains("REGISTER") && log.contains("200 OK") && log.contains("[1 binding]")
        });
    }

    /// Calls a number by way of the gateway.
    pub(crate) fn dial(&self, number: &str) {
        self.tell("dial", &format!("sip:{number}@{}{}", self.gateway, self.transport));
    }

    /// Presses a key during a call.
    pub(crate) fn press(&self, key: char) {
        self.tell("sndcode", &key.to_string());
    }

    /// Presses the button that gives the call to another (REFER).
    pub(crate) fn transfer(&self, to: &str) {
        self.tell("transfer", to);
    }

    /// Hangs up.
    pub(crate) fn hang_up(&self) {
        self.tell("hangup", "");
    }

    /// Whether it is in conversation.
    pub(crate) fn talks(&self) -> bool {
        self.tell("listcalls", "").to_string().contains("ESTABLISHED")
    }

    /// Waits until it is in conversation.
    pub(crate) fn wait_until_talking(&self) {
        until_true(&format!("{} talks", self.user), || self.talks());
    }

    /// Waits until it has hung up.
    pub(crate) fn wait_until_silent(&self) {
        until_true(&format!("{} has hung up", self.user), || !self.talks());
    }

    /// Everything it has heard since the story began.
    pub(crate) fn heard(&self) -> Heard {
        let entries = fs::read_dir(self.dir.path()).expect("its directory can be read");
        let names = entries.flatten().map(|entry| entry.path());
        let mut recordings: Vec<PathBuf> =
            names.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).collect();
        recordings.sort();
        recordings
            .last()
            .map_or_else(|| panic!("{} has heard nothing yet", self.user), |file| Heard::read(file))
    }

    /// What it hears in the next `seconds`, by its own count of samples.
    pub(crate) fn listen(&self, seconds: u32) -> Heard {
        let before = self.heard().len();
        let wanted = before + (seconds * RATE) as usize;
        until(&format!("{} has heard {seconds} s more", self.user), || {
            Some(self.heard()).filter(|heard| heard.len() >= wanted)
        })
        .after(before)
    }

    /// One command, as a netstring of JSON; the answer to it.
    fn tell(&self, command: &str, params: &str) -> Value {
        let mut stream = until("baresip takes commands", || TcpStream::connect(self.control).ok());
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
        let message = json!({ "command": command, "params": params, "token": "story" }).to_string();
        write!(stream, "{}:{message},", message.len()).expect("a command is sent");
        let mut raw = Vec::new();
        let mut some = [0; 4096];
        let begun = std::time::Instant::now();
        loop {
            match stream.read(&mut some) {
                Ok(0) => break,
                Ok(count) => raw.extend_from_slice(&some[..count]),
                Err(_) => assert!(begun.elapsed() < PATIENCE, "{command} was not answered"),
            }
            if let Some(answer) = answer_in(&raw) {
                return answer;
            }
        }
        panic!("{command}: baresip hung up on its control connection");
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("log")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = self.log();
            let last = log.len().saturating_sub(4000);
            let last = (last..log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(log.len());
            eprintln!("--- {} said last:\n{}\n---", self.user, &log[last..]);
        }
    }
}

/// The answer to our command among the events that come on the same connection.
fn answer_in(raw: &[u8]) -> Option<Value> {
    let mut rest = raw;
    loop {
        let colon = rest.iter().position(|&byte| byte == b':')?;
        let length: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
        let message = rest.get(colon + 1..colon + 1 + length)?;
        let value: Value = serde_json::from_slice(message).ok()?;
        if value["response"] == true && value["token"] == "story" {
            return Some(value);
        }
        rest = rest.get(colon + 2 + length..)?;
    }
}

fn config(dir: &str, control: u16, media: u16) -> String {
    let last = media + MEDIA_PORTS - 1;
    format!(
        "poll_method epoll
sip_listen 127.0.0.1:0
call_local_timeout 120
call_max_calls 2
net_interface 127.0.0.1
audio_source aufile,{dir}/voice.wav
audio_player aubridge,nowhere
audio_alert aubridge,nobody
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_buffer 20-160
jitter_buffer_delay 1-5
rtp_ports {media}-{last}
rtcp_mux no
ringback_disabled yes
statmode_default off
snd_path {dir}
ctrl_tcp_listen 127.0.0.1:{control}
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
"
    )
}
