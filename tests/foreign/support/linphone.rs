//! Linphone on the command line (`linphonec`): a softphone with a voice, told what to do on its standard input.
//!
//! Its voice is a WAV file and its ear another, so that no sound card is needed.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;

use super::patience::{until, until_true};
use super::ports;
use super::wav::{self, Heard, RATE};

/// A voice lasts longer than any story.
const VOICE_S: u32 = 120;

/// A registered softphone that answers when it is called. It ends with the value.
pub(crate) struct Linphone {
    process: Child,
    /// Commands, a line each.
    input: RefCell<ChildStdin>,
    dir: TempDir,
    user: &'static str,
    gateway: SocketAddr,
}

impl Linphone {
    /// Starts a softphone for `user` that hums `hz`, and waits until the gateway has taken its registration.
    pub(crate) fn register(user: &'static str, hz: f64, gateway: SocketAddr) -> Linphone {
        let dir = TempDir::new().expect("a temporary directory");
        wav::write_tone(&dir.path().join("voice.wav"), hz, VOICE_S);
        // It does not make the directory of its database itself.
        fs::create_dir_all(dir.path().join(".local/share/linphone")).expect("its directory");
        let settings = settings(user, gateway, ports::free("127.0.0.1"), ports::block(2));
        fs::write(dir.path().join("linphonerc"), settings).expect("its settings are written");
        let log = File::create(dir.path().join("log")).expect("a log file");
        let mut process = Command::new("linphonec")
            .arg("-c")
            .arg(dir.path().join("linphonerc"))
            .arg("-a")
            .env("HOME", dir.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("linphonec starts");
        let input = RefCell::new(process.stdin.take().expect("it reads commands"));
        let mut phone = Linphone { process, input, dir, user, gateway };
        phone.tell("soundcard use files");
        phone.tell(&format!("record {}", phone.file("heard.wav")));
        phone.tell(&format!("play {}", phone.file("voice.wav")));
        phone.wait_until_registered();
        phone
    }

    fn wait_until_registered(&mut self) {
        until_true(&format!("{} is registered", self.user), || {
            if let Some(status) = self.process.try_wait().expect("a child can be asked") {
                panic!("linphonec ended by itself: {status}");
            }
            self.tell("status register");
            self.log().contains("registered, identity=")
        });
    }

    /// Calls a number by way of the gateway.
    pub(crate) fn dial(&self, number: &str) {
        self.tell(&format!("call sip:{number}@{}", self.gateway));
    }

    /// Puts its call on hold, without which it dials nobody else.
    pub(crate) fn hold(&self) {
        self.tell("pause");
        until_true(&format!("{} has put its call on hold", self.user), || self.log().contains(" paused."));
    }

    /// Waits until the sound of so many calls has flowed.
    pub(crate) fn wait_until_talked(&self, calls: usize) {
        until_true(&format!("{} talks in call {calls}", self.user), || {
            self.log().matches("Media streams established").count() >= calls
        });
    }

    /// The attended transfer of its first call to its second: REFER with Replaces.
    pub(crate) fn join(&self) {
        self.tell("transfer 1 --to-call 2");
    }

    /// Hangs up.
    pub(crate) fn hang_up(&self) {
        self.tell("terminate");
    }

    /// Waits until its sound flows, for the first time.
    pub(crate) fn wait_until_talking(&self) {
        until_true(&format!("{} talks", self.user), || self.log().contains("Media streams established"));
    }

    /// Waits until its call is over, for the first time.
    pub(crate) fn wait_until_silent(&self) {
        until_true(&format!("{} has hung up", self.user), || self.log().contains(" ended ("));
    }

    /// What it hears in the next `seconds`, by its own count of samples.
    pub(crate) fn listen(&self, seconds: u32) -> Heard {
        let file = self.dir.path().join("heard.wav");
        let heard = || file.exists().then(|| Heard::read(&file));
        let before = until(&format!("{} hears", self.user), heard).len();
        let wanted = before + (seconds * RATE) as usize;
        until(&format!("{} has heard {seconds} s more", self.user), || {
            heard().filter(|heard| heard.len() >= wanted)
        })
        .after(before)
    }

    fn tell(&self, command: &str) {
        writeln!(self.input.borrow_mut(), "{command}").expect("linphonec takes commands");
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("a plain path").to_owned()
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("log")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}\n---", self.user, self.log());
        }
    }
}

fn settings(user: &str, gateway: SocketAddr, sip: u16, media: u16) -> String {
    format!(
        "[sip]
sip_port={sip}
sip_tcp_port=0
use_ipv6=0
default_proxy=0
[rtp]
audio_rtp_port={media}
[proxy_0]
reg_proxy=<sip:{gateway};transport=udp>
reg_identity=sip:{user}@{gateway}
reg_expires=300
reg_sendregister=1
[auth_info_0]
username={user}
passwd={user}-trial-password
realm=sidetone
"
    )
}
