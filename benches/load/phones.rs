//! Telephones enough to place calls and to answer them: a trunk that dials, and desks that answer at once.
//!
//! One thread, two sockets, no timers but retransmission: INVITE and BYE are repeated until something comes
//! back (RFC 3261 section 17.1), everything else is answered the same way however often it is asked.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::gateway::TRUNK_IP;
use crate::line::{FQDN, Line, Private};
use crate::patience::PATIENCE;

/// When a request is repeated: T1 of RFC 3261, without doubling.
const REPEAT: Duration = Duration::from_millis(500);

/// How often it is repeated before the call counts as lost: as long as timer B.
const REPEATS_MAX: u32 = 64;

/// Key and salt of AES_CM_128 (RFC 4568 section 6.1).
const KEY_BYTES: usize = 30;

/// Longer than any message of the gateway.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// One call, from the trunk's side.
#[derive(Debug)]
pub(crate) struct Call {
    number: String,
    /// Our RTP port.
    media: u16,
    begun: Instant,
    hang_up_at_once: bool,
    stage: Stage,
    to: String,
    contact: String,
    /// From INVITE to 200.
    pub(crate) set_up: Option<Duration>,
    /// Where the gateway wants the customer's RTP.
    pub(crate) remote: Option<SocketAddr>,
    /// Key and salt of the customer and of the gateway, where sound is protected.
    pub(crate) keys: Option<Keys>,
}

/// Ours and theirs, as RFC 4568 section 6.1 has them.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) ours: Vec<u8>,
    pub(crate) theirs: Vec<u8>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(redacted)")
    }
}

/// ```text
/// Inviting -> Talking -> Ending -> Over
///     └─────────┴──────────┴─────> Lost
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Inviting,
    Talking,
    Ending,
    Over,
    /// Refused, unanswered, or ended by the gateway.
    Lost(String),
}

/// The trunk and the desks.
pub(crate) struct Phones {
    trunk: Line,
    desks: UdpSocket,
    gateway: Option<SocketAddr>,
    calls: Vec<Call>,
    /// Requests to repeat, soonest first: the call, the stage that they are to end, how often already.
    repeats: VecDeque<(Instant, usize, Stage, u32)>,
    /// Our RTP port of each desk.
    desk_media: HashMap<String, u16>,
    /// Where the gateway wants the RTP of each desk.
    desk_remote: HashMap<String, SocketAddr>,
    /// Desks whose answer was acknowledged.
    acknowledged: HashSet<String>,
    /// Where the media of calls goes that nobody listens to.
    unheard: UdpSocket,
    /// Requests sent again.
    pub(crate) repeated: u64,
}

impl Phones {
    /// Telephones that are not yet connected to a gateway.
    pub(crate) fn new() -> Phones {
        let bind = |ip: &str| {
            let socket = UdpSocket::bind((ip, 0)).expect("loopback has a port");
            socket.set_nonblocking(true).expect("a socket can be made non-blocking");
            socket
        };
        Phones {
            trunk: Line::Clear(bind(TRUNK_IP)),
            desks: bind("127.0.0.1"),
            gateway: None,
            calls: Vec::new(),
            repeats: VecDeque::new(),
            desk_media: HashMap::new(),
            desk_remote: HashMap::new(),
            acknowledged: HashSet::new(),
            unheard: bind("127.0.0.1"),
            repeated: 0,
        }
    }

    /// From now on the trunk speaks over this connection, and protects its sound.
    pub(crate) fn speak_over(&mut self, private: Private) {
        self.trunk = Line::Private(Box::new(private));
    }

    /// Where the desks are.
    pub(crate) fn desks(&self) -> SocketAddr {
        self.desks.local_addr().expect("a bound socket has an address")
    }

    /// Where the gateway is.
    pub(crate) fn connect(&mut self, gateway: SocketAddr) {
        self.gateway = Some(gateway);
    }

    /// The RTP port a desk will name when it answers.
    pub(crate) fn desk_listens(&mut self, desk: String, port: u16) {
        self.desk_media.insert(desk, port);
    }

    /// Where the gateway wants a desk's RTP, once the desk's answer is acknowledged.
    pub(crate) fn desk_remote(&self, desk: &str) -> Option<SocketAddr> {
        self.acknowledged.contains(desk).then(|| self.desk_remote.get(desk).copied()).flatten()
    }

    /// Places calls to `numbers` at `rate` a second, and waits until each is answered (and, when they end at
    /// once, ended) or lost. A number comes with our RTP port; without one nobody listens.
    pub(crate) fn place(
        &mut self,
        numbers: impl Iterator<Item = (String, Option<u16>)>,
        rate: f64,
        ends: Ends,
    ) -> &[Call] {
        let first = self.calls.len();
        let unheard = self.unheard.local_addr().expect("a bound socket has an address").port();
        let begin = Instant::now();
        for (count, (number, media)) in numbers.enumerate() {
            self.pump(begin + Duration::from_secs_f64(count as f64 / rate));
            self.calls.push(Call {
                to: format!("<sip:{number}@gateway.invalid>"),
                number,
                media: media.unwrap_or(unheard),
                begun: Instant::now(),
                hang_up_at_once: ends == Ends::AtOnce,
                stage: Stage::Inviting,
                contact: String::new(),
                set_up: None,
                remote: None,
                keys: None,
            });
            self.request(self.calls.len() - 1, Stage::Inviting);
        }
        let unsettled = match ends {
            Ends::Later => &[Stage::Inviting][..],
            Ends::AtOnce => &[Stage::Inviting, Stage::Talking, Stage::Ending],
        };
        self.settle(first, unsettled);
        &self.calls[first..]
    }

    /// Hangs up every call that is up.
    pub(crate) fn hang_up_all(&mut self) {
        for index in 0..self.calls.len() {
            if self.calls[index].stage == Stage::Talking {
                self.calls[index].stage = Stage::Ending;
                self.request(index, Stage::Ending);
                self.pump(Instant::now());
            }
        }
        self.settle(0, &[Stage::Ending]);
    }

    /// What became of calls that did not go as they should.
    pub(crate) fn lost(&self) -> Vec<String> {
        let reason = |call: &Call| match &call.stage {
            Stage::Lost(reason) => Some(format!("the call to {}: {reason}", call.number)),
            Stage::Inviting | Stage::Ending => {
                Some(format!("the call to {}: still {:?}", call.number, call.stage))
            }
            Stage::Talking | Stage::Over => None,
        };
        self.calls.iter().filter_map(reason).collect()
    }

    fn settle(&mut self, first: usize, unsettled: &[Stage]) {
        let deadline = Instant::now() + PATIENCE;
        // Calls settle about in the order in which they were placed, so this walks over each once.
        let mut next = first;
        while next < self.calls.len() && Instant::now() < deadline {
            if unsettled.contains(&self.calls[next].stage) {
                self.pump(Instant::now() + Duration::from_millis(5));
            } else {
                next += 1;
            }
        }
    }

    /// Answers and repeats until `until`; what has come already is always taken.
    pub(crate) fn pump(&mut self, until: Instant) {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        loop {
            while let Some((text, from)) = receive(&self.desks, &mut buffer) {
                self.at_desk(&text, from);
            }
            while let Some((text, from)) = self.trunk.receive() {
                self.at_trunk(&text, from);
            }
            let now = Instant::now();
            self.repeat(now);
            if now >= until {
                return;
            }
            let due = self.repeats.front().map_or(until, |(due, ..)| until.min(*due));
            let patience = Timespec::try_from(due.saturating_duration_since(now)).unwrap_or_default();
            let mut ready = [PollFd::new(&self.desks, PollFlags::IN), self.trunk.poll()];
            // Interrupted or not, the sockets are read next.
            let _ = poll(&mut ready, Some(&patience));
        }
    }

    fn repeat(&mut self, now: Instant) {
        while self.repeats.front().is_some_and(|(due, ..)| *due <= now) {
            let Some((_, index, stage, times)) = self.repeats.pop_front() else { return };
            if self.calls[index].stage != stage {
                continue;
            }
            if times >= REPEATS_MAX {
                self.calls[index].stage = Stage::Lost("no answer".to_owned());
                continue;
            }
            self.repeated += 1;
            self.send(index, &stage);
            self.repeats.push_back((now + REPEAT, index, stage, times + 1));
        }
    }

    fn request(&mut self, index: usize, stage: Stage) {
        self.send(index, &stage);
        self.repeats.push_back((Instant::now() + REPEAT, index, stage, 0));
    }

    fn send(&mut self, index: usize, stage: &Stage) {
        let media = self.calls[index].media;
        match (stage, &self.trunk) {
            (Stage::Inviting, Line::Clear(_)) => self.write(index, "INVITE", "i", &sdp(media)),
            (Stage::Inviting, Line::Private(_)) => {
                self.write(index, "INVITE", "i", &protected_sdp(media, &key_of(index)));
            }
            (Stage::Ending, _) => self.write(index, "BYE", "b", ""),
            (Stage::Talking | Stage::Over | Stage::Lost(_), _) => {}
        }
    }

    fn write(&mut self, index: usize, method: &str, branch: &str, body: &str) {
        let call = &self.calls[index];
        let gateway = self.gateway.expect("the telephones are connected before they call");
        let (own, via) = (self.trunk.own(), self.trunk.transport());
        let first = match self.trunk {
            Line::Clear(_) => format!("sip:{}@{gateway}", call.number),
            Line::Private(_) => {
                format!("sip:{}@{FQDN}:{};user=phone;transport=tls", call.number, gateway.port())
            }
        };
        let transport = via.to_ascii_lowercase();
        let uri = if call.contact.is_empty() { &first } else { &call.contact };
        let cseq = if method == "BYE" { 2 } else { 1 };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {own};branch=z9hG4bK{branch}{index}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+15559990000@{own}>;tag=load{index}\r\nTo: {}\r\n\
             Call-ID: {index}.{}@load\r\nCSeq: {cseq} {method}\r\nContact: <sip:load@{own};transport={transport}>\r\n{content}\
             Content-Length: {}\r\n\r\n{body}",
            call.to,
            own.port(),
            body.len()
        );
        self.trunk.send(&text, gateway);
    }

    fn at_trunk(&mut self, text: &str, from: SocketAddr) {
        let Some(answer) = text.strip_prefix("SIP/2.0 ") else {
            self.gateway_ends(text, from);
            return;
        };
        let status: u16 = answer.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let method = header(text, "CSeq").and_then(|cseq| cseq.split(' ').nth(1)).unwrap_or_default();
        let Some(index) = call_index(text).filter(|index| *index < self.calls.len()) else { return };
        match (method, status) {
            ("INVITE", 200..) => self.invited(index, status, text),
            ("BYE", 200..) if self.calls[index].stage == Stage::Ending => {
                self.calls[index].stage = Stage::Over;
            }
            _ => {}
        }
    }

    fn invited(&mut self, index: usize, status: u16, text: &str) {
        let call = &mut self.calls[index];
        call.to = header(text, "To").unwrap_or_default().to_owned();
        if status >= 300 {
            if call.stage == Stage::Inviting {
                call.stage = Stage::Lost(format!("refused with {status}"));
            }
            // RFC 3261 section 17.1.1.3: the ACK of a refusal belongs to the INVITE's transaction.
            self.write(index, "ACK", "i", "");
            return;
        }
        let contact = header(text, "Contact").unwrap_or_default();
        call.contact = contact.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned();
        let fresh = call.stage == Stage::Inviting;
        if fresh {
            call.set_up = Some(call.begun.elapsed());
            call.remote = media(text);
            call.keys = key_in(text).map(|theirs| Keys { ours: key_of(index), theirs });
            call.stage = Stage::Talking;
        }
        let ends = fresh && call.hang_up_at_once;
        self.write(index, "ACK", "a", "");
        if ends {
            self.calls[index].stage = Stage::Ending;
            self.request(index, Stage::Ending);
        }
    }

    /// The trunk ends every call itself, so a BYE of the gateway is a call lost.
    fn gateway_ends(&mut self, text: &str, from: SocketAddr) {
        let own = self.trunk.own();
        self.trunk.send(&reply(own, text, ""), from);
        if let Some(call) = call_index(text).and_then(|index| self.calls.get_mut(index))
            && text.starts_with("BYE ")
            && call.stage == Stage::Talking
        {
            call.stage = Stage::Lost("ended by the gateway".to_owned());
        }
    }

    fn at_desk(&mut self, text: &str, from: SocketAddr) {
        let method = text.split(' ').next().unwrap_or_default();
        let desk = text
            .split_once("sip:")
            .and_then(|(_, rest)| rest.split('@').next())
            .unwrap_or_default()
            .to_owned();
        match method {
            "INVITE" => {
                let unheard = self.unheard.local_addr().expect("a bound socket has an address").port();
                let port = self.desk_media.get(&desk).copied().unwrap_or(unheard);
                if let Some(remote) = media(text) {
                    self.desk_remote.insert(desk, remote);
                }
                self.desk_says(text, from, &sdp(port));
            }
            "ACK" => {
                self.acknowledged.insert(desk);
            }
            "SIP/2.0" => {}
            _ => self.desk_says(text, from, ""),
        }
    }

    fn desk_says(&self, request: &str, from: SocketAddr, body: &str) {
        let own = self.desks.local_addr().expect("a bound socket has an address");
        // A full socket buffer loses it as a network would; the request is repeated.
        let _ = self.desks.send_to(reply(own, request, body).as_bytes(), from);
    }
}

/// When calls end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// When they are hung up.
    Later,
    /// As soon as they are answered.
    AtOnce,
}

/// 200 OK. The contact carries the desk's name, so that the ACK tells whose it is.
fn reply(own: SocketAddr, request: &str, body: &str) -> String {
    let desk =
        request.split_once("sip:").and_then(|(_, rest)| rest.split('@').next()).unwrap_or("load").to_owned();
    let mut text = String::from("SIP/2.0 200 OK\r\n");
    for line in head(request).skip(1) {
        let name = line.split(':').next().unwrap_or_default();
        if ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
            text.push_str(line);
            if name.eq_ignore_ascii_case("To") && !line.contains(";tag=") {
                text.push_str(";tag=desk");
            }
            text.push_str("\r\n");
        }
    }
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    text.push_str(&format!(
        "Contact: <sip:{desk}@{own}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    text
}

/// The customer's key of call `index`: known beforehand, and nobody's secret.
fn key_of(index: usize) -> Vec<u8> {
    (0..KEY_BYTES).map(|at| (at * 7 + index * 13 + 1) as u8).collect()
}

/// The key in a description that is protected.
fn key_in(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once("AES_CM_128_HMAC_SHA1_80 inline:")?;
    let inline = rest.split(['|', '\r', '\n', ' ']).next()?;
    BASE64.decode(inline).ok().filter(|key| key.len() == KEY_BYTES)
}

fn protected_sdp(port: u16, key: &[u8]) -> String {
    let plain = sdp(port).replace("RTP/AVP", "RTP/SAVP");
    format!("{plain}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}|2^31\r\n", BASE64.encode(key))
}

fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

/// Where a description wants RTP. The gateway is on loopback.
fn media(text: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once("m=audio ")?;
    let port = rest.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn call_index(text: &str) -> Option<usize> {
    header(text, "Call-ID")?.split('.').next()?.parse().ok()
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    head(text).skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn head(text: &str) -> impl Iterator<Item = &str> {
    text.split("\r\n").take_while(|line| !line.is_empty())
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(String, SocketAddr)> {
    match socket.recv_from(buffer) {
        Ok((length, from)) => Some((String::from_utf8_lossy(&buffer[..length]).into_owned(), from)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        // A port that closed meanwhile; the next read goes on.
        Err(_) => None,
    }
}
