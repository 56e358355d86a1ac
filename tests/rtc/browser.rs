//! A person with a browser: str0m for the connection, a tone for the mouth, a tape for the ear.
//!
//! Its network may let no datagrams out: then there is a connection, and nothing else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sidetone::sim::ear::Clip;
use sidetone::sim::stage::{Stage, TokenOf};
use sidetone::sim::voice::Voice;
use sidetone_media::codec::{Codec, Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::{Codec as Format, FormatParams};
use str0m::media::{Direction, Frequency, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, SeqNo};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::link::Link;

type Wrong = Box<dyn std::error::Error>;

/// Whatever has not come by then never will: the machine may be slow, not dead.
const HUNG_AFTER: Duration = Duration::from_secs(30);

/// Samples of a packet at 8 kHz.
const SAMPLES: usize = 160;

/// What a browser does besides talking.
enum Do {
    /// Presses a key.
    Press(char),
    /// Its translator gives it another address.
    Move(Link),
    /// Begins ICE anew: its half of it.
    Restart(oneshot::Sender<String>),
    /// Goes on with the gateway's half, at another address if it has one.
    Restarted(String, Option<Link>),
    /// Somebody in its network sends this from its address.
    Forge(Vec<u8>, SocketAddr),
    /// Closes the connection.
    Close,
    /// What it sends by is gone, and nothing comes any more.
    Break,
}

/// A packet as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) time: u32,
    pub(crate) marker: bool,
    /// What it says, when it is speech.
    pub(crate) speech: Option<Vec<u8>>,
}

#[derive(Default)]
struct Tape {
    packets: Vec<Heard>,
    pcm: Vec<i16>,
    connected: bool,
    closed: bool,
}

/// A browser in a call.
pub(crate) struct Browser {
    /// The leg, as the gateway calls it.
    pub(crate) leg: String,
    tape: Arc<Mutex<Tape>>,
    changed: watch::Receiver<u64>,
    todo: mpsc::UnboundedSender<Do>,
    /// Payloads it has sent.
    said: Arc<Mutex<Vec<Vec<u8>>>>,
    codec: Codec,
    /// What the gateway answered.
    answer: String,
    /// Whether it has a connection and no datagrams.
    tcp: bool,
}

/// How a browser is made.
pub(crate) struct Options {
    pub(crate) hz: f64,
    pub(crate) formats: Vec<Format>,
    /// Candidates stand in the offer, or it comes without any.
    pub(crate) candidates: bool,
    /// Its network lets no datagrams out.
    pub(crate) tcp: bool,
}

impl Options {
    pub(crate) fn humming(hz: f64) -> Options {
        Options { hz, formats: vec![Format::G722, Format::PCMU, Format::PCMA], candidates: true, tcp: false }
    }

    pub(crate) fn without_datagrams(hz: f64) -> Options {
        Options { tcp: true, ..Options::humming(hz) }
    }
}

/// An offer, and what is needed to take its answer.
pub(crate) struct Offering {
    rtc: Rtc,
    mid: Mid,
    pending: SdpPendingOffer,
    /// None where no datagram gets out.
    socket: Option<UdpSocket>,
    pub(crate) sdp: String,
    hz: f64,
}

impl Offering {
    pub(crate) async fn new(options: Options) -> Result<Offering, Wrong> {
        let socket = match options.tcp {
            true => None,
            false => Some(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?),
        };
        let own =
            socket.as_ref().map(|socket| Candidate::host(socket.local_addr()?, "udp").map_err(Wrong::from));
        let own = own.transpose()?;
        let mut config = RtcConfig::new()
            .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
            .clear_codecs()
            .set_rtp_mode(true)
            .enable_opus(options.formats.contains(&Format::Opus), false)
            .enable_pcmu(options.formats.contains(&Format::PCMU), false)
            .enable_pcma(options.formats.contains(&Format::PCMA), false)
            .enable_g722(options.formats.contains(&Format::G722), false);
        let clocks = [
            (126, Frequency::EIGHT_KHZ, true),
            (110, Frequency::FORTY_EIGHT_KHZ, options.formats.contains(&Format::Opus)),
        ];
        for (payload_type, clock, _) in clocks.into_iter().filter(|(.., wanted)| *wanted) {
            let events = FormatParams::parse_line("0-15");
            config.codec_config().add_config(payload_type.into(), None, Format::Tele, clock, None, events);
        }
        let mut rtc = config.build(Instant::now());
        if let Some(own) = own.clone().filter(|_| options.candidates) {
            rtc.add_local_candidate(own);
        }
        let mut change = rtc.sdp_api();
        let mid = change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = change.apply().ok_or("nothing to offer")?;
        if let Some(own) = own.filter(|_| !options.candidates) {
            rtc.add_local_candidate(own);
        }
        Ok(Offering { rtc, mid, pending, socket, sdp: offer.to_sdp_string(), hz: options.hz })
    }

    pub(crate) async fn answered(mut self, leg: String, sdp: String) -> Result<Browser, Wrong> {
        let answer = SdpAnswer::from_sdp_string(&sdp)?;
        self.rtc.sdp_api().accept_answer(self.pending, answer)?;
        let media = sdp.lines().find_map(|line| line.strip_prefix("m=audio ")).ok_or("no audio")?;
        let payload_type: u8 = media.split(' ').nth(2).ok_or("no format")?.parse()?;
        let maps = || sdp.lines().filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '));
        let named = maps().find(|(number, _)| number.parse() == Ok(payload_type));
        let named = named.and_then(|(_, name)| Codec::from_encoding_name(name.split('/').next()?));
        let codec = named.or(Codec::from_static_payload_type(payload_type)).ok_or("an unknown format")?;
        let event = maps().find(|(_, name)| name.starts_with("telephone-event/"));
        let event: u8 = event.ok_or("no keys")?.0.parse()?;
        let (todo, does) = mpsc::unbounded_channel();
        let (changes, changed) = watch::channel(0);
        let (tape, said) = (Arc::new(Mutex::new(Tape::default())), Arc::new(Mutex::new(Vec::new())));
        let link = match self.socket {
            Some(socket) => Link::Datagrams(socket),
            None => Link::connect(&sdp).await?,
        };
        let at = link.local_addr()?;
        if let Some(own) = link.candidate()? {
            self.rtc.add_local_candidate(own);
        }
        let tcp = matches!(link, Link::Stream(..));
        let life = Life {
            rtc: self.rtc,
            mid: self.mid,
            at,
            link,
            tape: tape.clone(),
            said: said.clone(),
            changes,
            decoder: Decoder::new(codec),
            mouth: Mouth {
                encoder: Encoder::new(codec),
                voice: Voice::tone(self.hz),
                codec,
                payload_type,
                event,
                position: 0,
                sequence: 1000,
                pressing: None,
            },
            restarting: None,
        };
        tokio::spawn(life.run(does));
        Ok(Browser { leg, tape, changed, todo, said, codec, answer: sdp, tcp })
    }
}

struct Life {
    rtc: Rtc,
    mid: Mid,
    /// What it believes its address to be.
    at: SocketAddr,
    link: Link,
    tape: Arc<Mutex<Tape>>,
    said: Arc<Mutex<Vec<Vec<u8>>>>,
    changes: watch::Sender<u64>,
    decoder: Decoder,
    mouth: Mouth,
    restarting: Option<SdpPendingOffer>,
}

struct Mouth {
    encoder: Encoder,
    voice: Voice,
    codec: Codec,
    payload_type: u8,
    /// The payload type of keys.
    event: u8,
    position: u64,
    sequence: u64,
    pressing: Option<(u8, u16)>,
}

impl Life {
    async fn run(mut self, mut does: mpsc::UnboundedReceiver<Do>) {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        loop {
            let Some(wake) = self.drain() else { return };
            tokio::select! {
                (proto, source, octets) = self.link.receive() => {
                    let Ok(contents) = octets[..].try_into() else { continue };
                    let receive = Receive { proto, source, destination: self.at, contents };
                    if self.rtc.handle_input(Input::Receive(Instant::now(), receive)).is_err() {
                        return;
                    }
                }
                _ = beat.tick() => self.talk(),
                doing = does.recv() => match doing {
                    Some(Do::Press(key)) => self.mouth.pressing = Some((event_of(key), 0)),
                    Some(Do::Move(link)) => self.link = link,
                    Some(Do::Restart(half)) => {
                        let _waits = self.restart().map(|said| half.send(said));
                    }
                    Some(Do::Restarted(answer, link)) => if self.restarted(&answer, link).is_err() {
                        return;
                    },
                    Some(Do::Forge(octets, to)) => {
                        let protocol = if matches!(self.link, Link::Stream(..)) { Protocol::Tcp } else { Protocol::Udp };
                        self.link.send(protocol, to, &octets);
                    }
                    Some(Do::Close) => drop(self.rtc.close()),
                    Some(Do::Break) => self.link = Link::Nothing,
                    None => return,
                },
                _ = tokio::time::timeout_at(wake.into(), std::future::pending::<()>()) => {}
            }
            if self.rtc.handle_input(Input::Timeout(Instant::now())).is_err() {
                return;
            }
        }
    }

    /// Begins ICE anew, and says its half: a description of which only that is of interest.
    fn restart(&mut self) -> Option<String> {
        let mut change = self.rtc.sdp_api();
        change.ice_restart(false);
        let (offer, pending) = change.apply()?;
        self.restarting = Some(pending);
        let offer = offer.to_sdp_string();
        let half =
            offer.lines().filter(|line| line.starts_with("a=ice-ufrag:") || line.starts_with("a=ice-pwd:"));
        Some(half.map(|line| format!("{line}\r\n")).collect())
    }

    /// Goes on with the gateway's half, at another address if there is one.
    fn restarted(&mut self, answer: &str, link: Option<Link>) -> Result<(), Wrong> {
        let pending = self.restarting.take().ok_or("nothing begins anew")?;
        if let Some(link) = link {
            (self.at, self.link) = (link.local_addr()?, link);
        }
        self.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(answer)?)?;
        let own = self.link.candidate()?;
        self.rtc.add_local_candidate(own.map_or_else(|| Candidate::host(self.at, "udp"), Ok)?);
        Ok(())
    }

    /// Sends and notes everything; when it wants to be woken. `None` when it is over.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) if self.rtc.is_alive() => return Some(at),
                Ok(Output::Timeout(_)) | Err(_) => {
                    self.tape.lock().unwrap().closed = true;
                    self.changes.send_modify(|count| *count += 1);
                    return None;
                }
                Ok(Output::Transmit(transmit)) => {
                    self.link.send(transmit.proto, transmit.destination, &transmit.contents);
                }
                Ok(Output::Event(event)) => self.note(event),
            }
        }
    }

    fn note(&mut self, event: Event) {
        let mut tape = self.tape.lock().unwrap();
        match event {
            Event::Connected => tape.connected = true,
            Event::Closed => tape.closed = true,
            Event::RtpPacket(packet) => {
                let speaks = *packet.header.payload_type == self.mouth.payload_type;
                tape.packets.push(Heard {
                    ssrc: *packet.header.ssrc,
                    sequence: packet.header.sequence_number,
                    time: packet.header.timestamp,
                    marker: packet.header.marker,
                    speech: speaks.then(|| packet.payload.to_vec()),
                });
                if speaks {
                    let mut pcm = [0; MAX_PACKET_SAMPLES];
                    let made = self.decoder.decode(&packet.payload, &mut pcm);
                    tape.pcm.extend_from_slice(&pcm[..made]);
                }
            }
            _ => return,
        }
        drop(tape);
        self.changes.send_modify(|count| *count += 1);
    }

    fn talk(&mut self) {
        if !self.tape.lock().unwrap().connected {
            return;
        }
        let mouth = &mut self.mouth;
        let rate = mouth.codec.sample_rate().hz();
        let samples = SAMPLES * rate as usize / 8000;
        let units = SAMPLES as u32 * (mouth.codec.rtp_clock() / 8000);
        let time = (mouth.position as u32).wrapping_mul(units);
        let (payload_type, payload, time) = match mouth.pressing.take() {
            Some((event, beats)) => {
                // Eight beats: five that sound, three that end (RFC 4733 section 2.5.1.4).
                let ends = beats >= 5;
                let duration = (beats.min(5) + 1) * units as u16;
                let [high, low] = duration.to_be_bytes();
                mouth.pressing = (beats < 7).then_some((event, beats + 1));
                let began = time.wrapping_sub(u32::from(beats) * units);
                (mouth.event, vec![event, if ends { 0x8a } else { 0x0a }, high, low], began)
            }
            None => {
                let at = mouth.position * samples as u64;
                let pcm: Vec<i16> = (0..samples as u64).map(|n| mouth.voice.sample(at + n, rate)).collect();
                let mut payload = [0; MAX_PAYLOAD];
                let made = mouth.encoder.encode(&pcm, &mut payload);
                self.said.lock().unwrap().push(payload[..made].to_vec());
                (mouth.payload_type, payload[..made].to_vec(), time)
            }
        };
        mouth.position += 1;
        mouth.sequence += 1;
        let sequence = SeqNo::from(mouth.sequence);
        let write = RtpWrite::new(Pt::from(payload_type), sequence, time, Instant::now(), payload);
        let mut direct = self.rtc.direct_api();
        if let Some(stream) = direct.stream_tx_by_mid(self.mid, None) {
            stream.write_rtp(write);
        }
    }
}

fn event_of(key: char) -> u8 {
    "0123456789*#ABCD".find(key).map_or(0, |at| at as u8)
}

impl Browser {
    /// Answers a leg that rings, or calls.
    pub(crate) async fn connect(
        stage: &Stage,
        token: TokenOf,
        purpose: (&str, &str),
        options: Options,
    ) -> Result<Browser, Wrong> {
        let offering = Offering::new(options).await?;
        let body = json!({ "sdp": offering.sdp, purpose.0: purpose.1 });
        let (status, answer) = ask(stage, token, reqwest::Method::POST, "", Some(body)).await?;
        if status != 201 {
            return Err(format!("{status}: {answer}").into());
        }
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        offering.answered(text("leg"), text("sdp")).await
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Tape) -> bool) -> Result<(), Wrong> {
        let mut changed = self.changed.clone();
        let coming = async {
            while !wanted(&self.tape.lock().unwrap()) {
                changed.changed().await?;
            }
            Ok(())
        };
        match tokio::time::timeout(HUNG_AFTER, coming).await {
            Ok(came) => came,
            Err(_) => {
                let tape = self.tape.lock().unwrap();
                let (packets, connected) = (tape.packets.len(), tape.connected);
                Err(format!("{what} never came; {packets} packets, connected: {connected}").into())
            }
        }
    }

    pub(crate) async fn connected(&self) -> Result<(), Wrong> {
        self.until("a connection", |tape| tape.connected).await
    }

    pub(crate) async fn closed(&self) -> Result<(), Wrong> {
        self.until("its end", |tape| tape.closed).await
    }

    /// The sound of the next `packets`, after as many more as the jitter buffers on the way may hold.
    pub(crate) async fn listen(&self, packets: usize) -> Result<Clip, Wrong> {
        let rate = self.codec.sample_rate().hz();
        let per_packet = rate as usize / 50;
        let mark = self.tape.lock().unwrap().pcm.len() + 25 * per_packet;
        let end = mark + packets * per_packet;
        self.until("sound", |tape| tape.pcm.len() >= end).await?;
        let pcm = self.tape.lock().unwrap().pcm[mark..end].to_vec();
        Ok(Clip { pcm, rate, packets })
    }

    pub(crate) fn packets(&self) -> Vec<Heard> {
        self.tape.lock().unwrap().packets.clone()
    }

    /// The payloads of speech it has sent.
    pub(crate) fn said(&self) -> Vec<Vec<u8>> {
        self.said.lock().unwrap().clone()
    }

    /// What the gateway answered.
    pub(crate) fn answer(&self) -> &str {
        &self.answer
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) fn press(&self, key: char) {
        let _over = self.todo.send(Do::Press(key));
    }

    /// From now on its datagrams come from another port.
    pub(crate) async fn moves(&self) -> Result<SocketAddr, Wrong> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = socket.local_addr()?;
        let _over = self.todo.send(Do::Move(Link::Datagrams(socket)));
        Ok(at)
    }

    /// Begins ICE anew, as after a change of network: in another one if `elsewhere`.
    pub(crate) async fn restarts(&self, stage: &Stage, token: TokenOf, elsewhere: bool) -> Result<(), Wrong> {
        let (half, said) = oneshot::channel();
        let _over = self.todo.send(Do::Restart(half));
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}/v1/legs/webrtc/{}", stage.http(), self.leg);
        let request = http.patch(url).bearer_auth(token.clear());
        let request = request.header("content-type", "application/trickle-ice-sdpfrag").body(said.await?);
        let response = request.send().await?.error_for_status()?;
        let ours = response.text().await?;
        let value = |what: &str| {
            let said = |text: &str| text.lines().find(|line| line.starts_with(what)).map(str::to_owned);
            Some((said(&self.answer)?, said(&ours)?))
        };
        let mut answer = self.answer.clone();
        for what in ["a=ice-ufrag:", "a=ice-pwd:"] {
            let (old, new) = value(what).ok_or("no new beginning")?;
            assert_ne!(old, new);
            answer = answer.replace(&old, &new);
        }
        let link = match elsewhere {
            true if self.tcp => Some(Link::connect(&answer).await?),
            true => Some(Link::Datagrams(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?)),
            false => None,
        };
        let _over = self.todo.send(Do::Restarted(answer, link));
        Ok(())
    }

    /// Somebody who shares its address sends something of their own to `to`.
    pub(crate) fn forges(&self, octets: Vec<u8>, to: SocketAddr) {
        let _over = self.todo.send(Do::Forge(octets, to));
    }

    /// What it sends by is gone.
    pub(crate) fn breaks(&self) {
        let _over = self.todo.send(Do::Break);
    }

    pub(crate) fn close(&self) {
        let _over = self.todo.send(Do::Close);
    }

    /// One SSRC, and numbers that go up, whatever got lost on the way.
    pub(crate) fn assert_one_source(&self) {
        for pair in self.packets().windows(2) {
            assert_eq!(pair[0].ssrc, pair[1].ssrc, "one source for life");
            let step = pair[1].sequence.wrapping_sub(pair[0].sequence);
            assert!((1..1 << 15).contains(&step), "{pair:?}");
        }
    }

    /// One SSRC, numbers that go up by one, and times that go up by the sound between, or by a pause that says so (RFC 3551
    /// section 4.1): on a machine that stalls, the next source is late.
    pub(crate) fn assert_one_line(&self) {
        let clock = self.codec.rtp_clock();
        let packets = self.packets();
        for (n, pair) in packets.windows(2).enumerate() {
            let [before, after] = pair else { continue };
            assert_eq!(before.ssrc, after.ssrc, "one source for life");
            let (next, of) = (before.sequence.wrapping_add(1), packets.len());
            assert_eq!(next, after.sequence, "after packet {n} of {of}");
            let Some(speech) = &before.speech else { continue };
            let (step, units) = (after.time.wrapping_sub(before.time), self.codec.rtp_units_in(speech));
            let pauses = after.marker && (units..clock).contains(&step);
            assert!(step == units || pauses, "time went on by {step} after {units} of sound");
        }
    }

    /// How much of its ear's sound there is so far: a mark.
    pub(crate) fn mark(&self) -> usize {
        self.tape.lock().unwrap().pcm.len()
    }

    /// All it has heard since a mark.
    pub(crate) fn since(&self, mark: usize) -> Clip {
        let rate = self.codec.sample_rate().hz();
        let pcm = self.tape.lock().unwrap().pcm[mark..].to_vec();
        Clip { packets: pcm.len() / (rate as usize / 50), pcm, rate }
    }
}

/// Asks the WebRTC door over HTTP; the status, and the answer.
pub(crate) async fn ask(
    stage: &Stage,
    token: TokenOf,
    method: reqwest::Method,
    below: &str,
    body: Option<Value>,
) -> Result<(u16, Value), Wrong> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{}/v1/legs/webrtc{below}", stage.http());
    let mut request = http.request(method, url).bearer_auth(token.clear());
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    let octets = response.bytes().await?;
    Ok((status, if octets.is_empty() { Value::Null } else { serde_json::from_slice(&octets)? }))
}

/// A browser's window that waits for calls.
pub(crate) struct Window {
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    seen: Vec<Value>,
}

impl Window {
    pub(crate) async fn opens(stage: &Stage, token: TokenOf) -> Result<Window, Wrong> {
        let mut request = format!("ws://{}/v1/events/ws?ready=true", stage.http()).into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {}", token.clear()).parse()?);
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Window { socket, seen: Vec::new() })
    }

    /// Waits for an event of this kind and gives its data.
    pub(crate) async fn until(&mut self, kind: &str) -> Result<Value, Wrong> {
        let coming = async {
            loop {
                match self.socket.next().await.ok_or("the window is shut")?? {
                    Message::Text(text) => {
                        let event: Value = serde_json::from_str(&text)?;
                        self.seen.push(event.clone());
                        if event["type"] == kind {
                            return Ok(event["data"].clone());
                        }
                    }
                    Message::Ping(octets) => self.socket.send(Message::Pong(octets)).await?,
                    _ => {}
                }
            }
        };
        let came: Result<Result<Value, Wrong>, _> = tokio::time::timeout(HUNG_AFTER, coming).await;
        came.map_err(|_| format!("{kind} never came; {:?}", self.seen))?
    }

    pub(crate) async fn offered(&mut self) -> Result<String, Wrong> {
        Ok(self.until("leg.offered").await?["leg"].as_str().ok_or("no leg")?.to_owned())
    }
}
