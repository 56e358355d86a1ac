//! The media WebSocket's messages: sound as base64 in JSON, 20 ms each. Pure: text in, packets for the bridge out, and
//! back; the time is an argument.
//!
//! ```text
//!   message ──> read ──> Inlet (join speakers, 24 -> 16 kHz, cut at 20 ms) ──> RTP packets of linear sound
//!   RTP packet ──> Outlet (16 -> 24 kHz) ──> message, when Pacer lets it go
//! ```

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sidetone_media::codec::linear;
use sidetone_media::resample24::{Resampler24, Way};
use sidetone_media::stream::event::{Digit, Digits, SendDigits};
use sidetone_media::stream::rtp::{HEADER_BYTES, Header};

use super::wire;

/// The longest message: the service's largest frame is 1.5 KiB, and its documentation speaks of 64 KiB.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Sound in one message.
pub const FRAME: Duration = Duration::from_millis(20);

/// Samples of a packet for the bridge: 20 ms at 16 kHz.
const PACKET_SAMPLES: usize = 320;

/// The most samples taken from one message: 200 ms at 24 kHz. A longer one is no live sound.
const SAMPLES_MAX: usize = 4_800;

/// Speakers that are heard together. The service gives four at most.
const SPEAKERS_MAX: usize = 8;

/// The payload type on the wire inside the process.
pub const PAYLOAD_TYPE: u8 = 96;

/// That of keys (RFC 4733) there.
pub const KEYS_PAYLOAD_TYPE: u8 = 97;

/// RTP clock units of a second; see `Codec::rtp_clock`.
const CLOCK: u32 = 8_000;

/// RTP clock units of 20 ms.
const PACKET_UNITS: u32 = 160;

/// A pause longer than this, as when the service dials anew, is a jump of the timestamp and not lost sound.
const PAUSE: Duration = Duration::from_millis(100);

/// How many frames may be ahead of real time at the far end: two hide what our own timers do, and a switch is late by no
/// more than them.
const AHEAD: u32 = 2;

/// Frames over which what waits is watched: 2 s, in which a network that is bad for somebody shows how bad.
const WATCHED: u32 = 100;

/// Frames that may always wait: one that has just come.
const SPARE: usize = 1;

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// What follows.
    Metadata {
        /// Samples a second.
        rate: u32,
        /// Channels; one, or we cannot read it.
        channels: u32,
        /// `PCM`.
        encoding: String,
    },
    /// Sound.
    Audio(Audio),
    /// A digit was pressed.
    Digit(char),
    /// Something new; to be skipped.
    Unknown,
    /// Not what the protocol says; to be skipped and counted.
    Odd,
}

/// Sound of everybody, or of one participant.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// Samples.
    pub pcm: Vec<i16>,
    /// When the service got it, to tell which speakers' belong together.
    pub timestamp: Option<String>,
    /// Whose, if speakers come apart.
    pub participant: Option<String>,
    /// The service heard nothing; the samples are there all the same.
    pub silent: bool,
}

/// Reads a message. Members are found whatever their case: senders differ.
pub fn read(text: &str) -> Message {
    if text.len() > MESSAGE_BYTES_MAX {
        return Message::Odd;
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Message::Odd };
    let Some(kind) = member(&value, "kind").and_then(Value::as_str) else { return Message::Odd };
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    if is("AudioData") {
        return member(&value, "audioData").and_then(audio).map_or(Message::Odd, Message::Audio);
    }
    if is("AudioMetadata") {
        let Some(body) = member(&value, "audioMetadata") else { return Message::Odd };
        let number = |name| member(body, name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        return Message::Metadata {
            rate: number("sampleRate").unwrap_or(16_000),
            channels: number("channels").unwrap_or(1),
            encoding: member(body, "encoding").and_then(Value::as_str).unwrap_or("PCM").to_owned(),
        };
    }
    if is("DtmfData") {
        let tone = member(&value, "dtmfData").and_then(|body| member(body, "data")?.as_str());
        return tone.and_then(wire::digit).map_or(Message::Odd, Message::Digit);
    }
    Message::Unknown
}

fn audio(body: &Value) -> Option<Audio> {
    let octets = STANDARD.decode(member(body, "data")?.as_str()?).ok()?;
    let text = |name| member(body, name).and_then(Value::as_str).map(str::to_owned);
    Some(Audio {
        // A lone last octet is half a sample, and dropped.
        pcm: octets
            .chunks_exact(2)
            .take(SAMPLES_MAX)
            .map(|two| i16::from_le_bytes([two[0], two[1]]))
            .collect(),
        timestamp: text("timestamp"),
        participant: text("participantRawID"),
        silent: member(body, "silent").and_then(Value::as_bool).unwrap_or(false),
    })
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    let found = object.get(name).or_else(|| {
        object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    });
    found.filter(|value| !value.is_null())
}

/// The message for sound of ours.
pub fn audio_message(pcm: &[i16]) -> String {
    let octets: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    format!(r#"{{"kind":"AudioData","audioData":{{"data":"{}"}}}}"#, STANDARD.encode(octets))
}

/// The message that has the service forget what it has not played yet.
pub const STOP_AUDIO: &str = r#"{"kind":"StopAudio","stopAudio":{}}"#;

/// Sound on its way in.
#[derive(Debug)]
pub struct Inlet {
    down: Option<Resampler24>,
    left: Vec<i16>,
    keys: SendDigits,
    /// When the key on the line was pressed.
    pressed: u32,
    /// Speakers of one moment, summed; waits for the next moment.
    moment: Option<Moment>,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    last: Option<Instant>,
    /// The next packet of sound is the first after a pause, and says so (RFC 3551 section 4.1).
    after_pause: bool,
}

#[derive(Debug)]
struct Moment {
    timestamp: Option<String>,
    speakers: Vec<String>,
    pcm: Vec<i16>,
}

impl Inlet {
    /// An inlet for sound at `rate`. `None` if that is a rate we do not know.
    pub fn new(rate: u32, ssrc: u32) -> Option<Inlet> {
        let down = match rate {
            16_000 => None,
            24_000 => Some(Resampler24::new(Way::Down)),
            _ => return None,
        };
        let left = Vec::with_capacity(2 * PACKET_SAMPLES);
        let (keys, moment) = (SendDigits::new(), None);
        let (last, after_pause) = (None, true);
        Some(Inlet {
            down,
            left,
            keys,
            pressed: 0,
            moment,
            sequence: 0,
            timestamp: 0,
            ssrc,
            last,
            after_pause,
        })
    }

    /// Goes on at another rate, as after the service has dialled anew; the line of packets is the same.
    #[must_use]
    pub fn at_rate(self, rate: u32) -> Option<Inlet> {
        let Inlet { keys, pressed, sequence, timestamp, ssrc, last, after_pause, .. } = self;
        Some(Inlet { keys, pressed, sequence, timestamp, last, after_pause, ..Inlet::new(rate, ssrc)? })
    }

    /// A key is pressed: its packets take the place of sound for as long as it takes, one for each packet of sound.
    /// False if it is none, or too many wait.
    pub fn press(&mut self, digit: char) -> bool {
        self.keys.push(digit)
    }

    /// Takes sound; the packets that are complete with it.
    pub fn take(&mut self, now: Instant, audio: Audio) -> Vec<Vec<u8>> {
        let pause = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if pause > PAUSE {
            // Nothing was said meanwhile: time passed.
            self.timestamp = self.timestamp.wrapping_add(pause.as_millis() as u32 * 8);
            self.left.clear();
            // What waited for its moment to be complete is of before.
            self.moment = None;
            self.after_pause = true;
        }
        self.last = Some(now);
        let ready = match audio.participant {
            None => {
                let before = self.moment.take().map(|moment| moment.pcm);
                before.into_iter().chain([audio.pcm]).collect()
            }
            Some(participant) => {
                self.join(participant, audio.timestamp, audio.pcm).into_iter().collect::<Vec<_>>()
            }
        };
        let mut packets = Vec::new();
        for pcm in ready {
            match &mut self.down {
                Some(down) => down.process(&pcm, &mut self.left),
                None => self.left.extend_from_slice(&pcm),
            }
            while self.left.len() >= PACKET_SAMPLES {
                packets.push(self.key().unwrap_or_else(|| self.sound()));
                self.timestamp = self.timestamp.wrapping_add(PACKET_UNITS);
                self.left.drain(..PACKET_SAMPLES);
            }
        }
        packets
    }

    /// Adds a speaker to the others of the moment; what was complete before.
    fn join(&mut self, participant: String, timestamp: Option<String>, pcm: Vec<i16>) -> Option<Vec<i16>> {
        if let Some(moment) = &mut self.moment
            && moment.timestamp == timestamp
            && moment.speakers.len() < SPEAKERS_MAX
            && !moment.speakers.contains(&participant)
        {
            if moment.pcm.len() < pcm.len() {
                moment.pcm.resize(pcm.len(), 0);
            }
            moment.pcm.iter_mut().zip(&pcm).for_each(|(sum, sample)| *sum = sum.saturating_add(*sample));
            moment.speakers.push(participant);
            return None;
        }
        let next = Moment { timestamp, speakers: vec![participant], pcm };
        self.moment.replace(next).map(|moment| moment.pcm)
    }

    fn sound(&mut self) -> Vec<u8> {
        let mut packet = self.packet(PAYLOAD_TYPE, self.timestamp, 2 * PACKET_SAMPLES);
        packet[1] |= u8::from(std::mem::take(&mut self.after_pause)) << 7;
        linear::encode(&self.left[..PACKET_SAMPLES], &mut packet[HEADER_BYTES..]);
        packet
    }

    /// The packet of a key, if one is on the line now.
    fn key(&mut self) -> Option<Vec<u8>> {
        let event = self.keys.tick(PACKET_UNITS as u16)?;
        if event.new_timestamp {
            self.pressed = self.timestamp;
        }
        let mut packet = self.packet(KEYS_PAYLOAD_TYPE, self.pressed, event.payload.len());
        packet[1] |= u8::from(event.marker) << 7;
        packet[HEADER_BYTES..].copy_from_slice(&event.payload);
        Some(packet)
    }

    fn packet(&mut self, payload_type: u8, timestamp: u32, octets: usize) -> Vec<u8> {
        let mut packet = vec![0; HEADER_BYTES + octets];
        packet[0] = 0x80;
        packet[1] = payload_type;
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

/// Sound on its way out.
#[derive(Debug)]
pub struct Outlet {
    up: Option<Resampler24>,
    keys: Digits,
}

impl Outlet {
    /// An outlet for a far end that plays at `rate`; `None` if that is a rate we do not know.
    pub fn new(rate: u32) -> Option<Outlet> {
        match rate {
            16_000 => Some(Outlet { up: None, keys: Digits::new() }),
            24_000 => Some(Outlet { up: Some(Resampler24::new(Way::Up)), keys: Digits::new() }),
            _ => None,
        }
    }

    /// Goes on at another rate.
    #[must_use]
    pub fn at_rate(self, rate: u32) -> Option<Outlet> {
        Some(Outlet { keys: self.keys, ..Outlet::new(rate)? })
    }

    /// The key that a packet of the bridge begins; each press is told once.
    pub fn key(&mut self, packet: &[u8]) -> Option<char> {
        let header = Header::parse(packet)?;
        if header.payload_type != KEYS_PAYLOAD_TYPE {
            return None;
        }
        self.keys.packet(&header, header.payload(packet), CLOCK).map(Digit::as_char)
    }

    /// The message for a packet of the bridge; `None` if there is no sound in it.
    pub fn message(&mut self, packet: &[u8]) -> Option<String> {
        let header = Header::parse(packet)?;
        if header.payload_type != PAYLOAD_TYPE {
            return None;
        }
        let mut pcm = [0; PACKET_SAMPLES];
        let samples = linear::decode(header.payload(packet), &mut pcm);
        match &mut self.up {
            None => Some(audio_message(&pcm[..samples])),
            Some(up) => {
                let mut higher = Vec::with_capacity(samples * 3 / 2 + 2);
                up.process(&pcm[..samples], &mut higher);
                Some(audio_message(&higher))
            }
        }
    }
}

/// Keeps what we send in step with real time. The service plays one frame after the other and queues the rest: what is
/// sent too early would be heard too late after a switch.
#[derive(Debug, Default)]
pub struct Pacer {
    begun: Option<Instant>,
    sent: u32,
}

impl Pacer {
    /// When the next frame may go.
    pub fn due(&self, now: Instant) -> Instant {
        match self.begun {
            Some(begun) => begun + FRAME * self.sent.saturating_sub(AHEAD),
            None => now,
        }
    }

    /// A frame goes.
    pub fn sent(&mut self, now: Instant) {
        // The far end has played all it had: time begins anew, and no debt is kept.
        if self.begun.is_none_or(|begun| now >= begun + FRAME * self.sent) {
            (self.begun, self.sent) = (Some(now), 0);
        }
        self.sent += 1;
    }

    /// Frames that the far end has and has not played.
    pub fn ahead(&self, now: Instant) -> u32 {
        let Some(begun) = self.begun else { return 0 };
        let played = now.saturating_duration_since(begun).as_millis() / FRAME.as_millis();
        self.sent.saturating_sub(u32::try_from(played).unwrap_or(u32::MAX))
    }

    /// The far end has forgotten what it had.
    pub fn stopped(&mut self) {
        (self.begun, self.sent) = (None, 0);
    }
}

/// Finds what waits for nothing. After a moment in which nobody could send, everything that is said is heard later by as
/// much, and would be for the rest of the call: the far end plays at the pace of the voice. What was in the queue all the
/// time hid no jitter.
#[derive(Debug, Default)]
pub struct Backlog {
    least: Option<usize>,
    watched: u32,
}

impl Backlog {
    /// A frame was taken, and so many wait behind it; how many of them are to be left out.
    pub fn taken(&mut self, waiting: usize) -> usize {
        let least = self.least.map_or(waiting, |least| least.min(waiting));
        self.least = Some(least);
        self.watched += 1;
        if self.watched < WATCHED {
            return 0;
        }
        *self = Backlog::default();
        least.saturating_sub(SPARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<(String, String)> {
        let file: Value =
            serde_json::from_str(include_str!("../../tests/wire/acs/media-ws-messages.json")).unwrap();
        let all = file.as_array().unwrap().iter();
        all.map(|m| (m["dir"].as_str().unwrap().to_owned(), m["msg"].to_string())).collect()
    }

    fn said(pcm: Vec<i16>, timestamp: &str, participant: Option<&str>) -> Audio {
        let participant = participant.map(str::to_owned);
        Audio { pcm, timestamp: Some(timestamp.to_owned()), participant, silent: false }
    }

    fn payload(packet: &[u8]) -> Vec<i16> {
        let mut pcm = [0; PACKET_SAMPLES];
        let n = linear::decode(&packet[HEADER_BYTES..], &mut pcm);
        pcm[..n].to_vec()
    }

    #[test]
    fn every_message_is_read_in_every_spelling() {
        let mut audio = 0;
        for (dir, text) in samples() {
            match read(&text) {
                Message::Audio(a) => {
                    assert!(a.pcm.len() >= 320, "{dir} {text:.60}");
                    audio += 1;
                }
                Message::Odd => panic!("{dir}: {text:.80}"),
                Message::Metadata { rate, channels, .. } => assert_eq!((rate, channels), (16_000, 1)),
                Message::Digit(digit) => assert_eq!(digit, '3'),
                Message::Unknown => {
                    assert!(text.contains("topAudio") || text.contains("ranscription"), "{text}")
                }
            }
        }
        assert_eq!(audio, 5, "silent ones carry samples, too");
    }

    #[test]
    fn odd_messages_are_skipped() {
        for text in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"kind":7}"#,
            r#"{"kind":"AudioData"}"#,
            r#"{"kind":"AudioData","audioData":{"data":"*"}}"#,
            r#"{"kind":"DtmfData","dtmfData":{"data":"x"}}"#,
        ] {
            assert_eq!(read(text), Message::Odd, "{text}");
        }
        assert_eq!(read(&"x".repeat(MESSAGE_BYTES_MAX + 1)), Message::Odd);
        assert_eq!(read(r#"{"kind":"Surprise"}"#), Message::Unknown);
        let Message::Audio(odd) = read(r#"{"kind":"AudioData","audioData":{"data":"AQAC"}}"#) else {
            panic!()
        };
        assert_eq!(odd.pcm, [1], "half a sample is none");
    }

    #[test]
    fn sound_in_any_pieces_leaves_as_packets_in_line() {
        let mut inlet = Inlet::new(16_000, 7).unwrap();
        let now = Instant::now();
        let mut packets = Vec::new();
        for piece in [100, 500, 40, 320] {
            packets.extend(inlet.take(now, said(vec![5; piece], "t", None)));
        }
        assert_eq!(packets.len(), 3);
        for (n, packet) in packets.iter().enumerate() {
            let header = Header::parse(packet).unwrap();
            assert_eq!((header.sequence.0, header.ssrc), (n as u16, 7));
            assert_eq!(header.timestamp.0, 160 * n as u32);
            assert_eq!(payload(packet), [5; 320]);
        }
        // After a pause the line goes on: the next number, and the time that has passed.
        let later = now + Duration::from_secs(1);
        let packet = inlet.take(later, said(vec![5; 320], "t", None)).remove(0);
        let header = Header::parse(&packet).unwrap();
        assert_eq!((header.sequence.0, header.timestamp.0), (3, 3 * 160 + 8_000));
    }

    #[test]
    fn a_key_is_pressed_between_sound_and_heard_once_at_the_other_end() {
        let (mut inlet, mut outlet) = (Inlet::new(16_000, 7).unwrap(), Outlet::new(16_000).unwrap());
        let now = Instant::now();
        assert!(inlet.press('5') && inlet.press('#') && !inlet.press('x'));
        let mut heard = String::new();
        let mut kinds = Vec::new();
        for n in 0..40u16 {
            let packet = inlet.take(now, said(vec![5; 320], "t", None)).remove(0);
            let header = Header::parse(&packet).unwrap();
            assert_eq!(header.sequence.0, n, "one line");
            kinds.push(header.payload_type);
            heard.extend(outlet.key(&packet));
            assert_eq!(outlet.message(&packet).is_some(), header.payload_type == PAYLOAD_TYPE);
        }
        assert_eq!(heard, "5#");
        assert_eq!(
            kinds.iter().filter(|kind| **kind == KEYS_PAYLOAD_TYPE).count(),
            14,
            "two tones of 100 ms"
        );
        // Time went on under them.
        let packet = inlet.take(now, said(vec![5; 320], "t", None)).remove(0);
        assert_eq!(Header::parse(&packet).unwrap().timestamp.0, 40 * 160);
    }

    #[test]
    fn speakers_of_one_moment_are_heard_together() {
        let mut inlet = Inlet::new(16_000, 7).unwrap();
        let now = Instant::now();
        assert!(inlet.take(now, said(vec![100; 320], "1", Some("a"))).is_empty(), "another may come");
        assert!(inlet.take(now, said(vec![20; 320], "1", Some("b"))).is_empty());
        let packets = inlet.take(now, said(vec![3; 320], "2", Some("a")));
        assert_eq!(payload(&packets[0]), [120; 320]);
        let packets = inlet.take(now, said(vec![1; 320], "2", Some("a")));
        assert_eq!(payload(&packets[0]), [3; 320], "the same speaker again is the next moment");
    }

    #[test]
    fn any_number_of_speakers_is_a_limited_number_and_none_speaks_from_before_a_pause() {
        let mut inlet = Inlet::new(16_000, 7).unwrap();
        let now = Instant::now();
        let mut packets = Vec::new();
        for speaker in 0..1_000 {
            packets.extend(inlet.take(now, said(vec![1; 320], "1", Some(&speaker.to_string()))));
            assert!(inlet.moment.as_ref().is_some_and(|moment| moment.speakers.len() <= SPEAKERS_MAX));
        }
        assert_eq!(payload(&packets[0]), [SPEAKERS_MAX as i16; 320]);
        let later = now + Duration::from_secs(1);
        assert!(inlet.take(later, said(vec![5; 320], "2", Some("a"))).is_empty());
        let packets = inlet.take(later, said(vec![6; 320], "3", Some("a")));
        assert_eq!((packets.len(), payload(&packets[0])), (1, vec![5; 320]));
    }

    #[test]
    fn at_24_khz_a_frame_is_a_frame_both_ways() {
        let mut inlet = Inlet::new(24_000, 7).unwrap();
        let packets = inlet.take(Instant::now(), said(vec![0; 480], "t", None));
        assert_eq!(packets.len(), 1);
        let message = Outlet::new(24_000).unwrap().message(&packets[0]).unwrap();
        let Message::Audio(audio) = read(&message) else { panic!() };
        assert_eq!(audio.pcm.len(), 480);
        assert!(Inlet::new(44_100, 7).is_none());
    }

    #[test]
    fn what_has_waited_all_the_time_is_left_out_and_what_hides_jitter_is_not() {
        let mut backlog = Backlog::default();
        // A stall has left seven behind; packets come in threes.
        let stalled: usize = (0..WATCHED as usize).map(|n| backlog.taken(7 + n % 3)).sum();
        assert_eq!(stalled, 6, "once, at the end of the span");
        let after: usize = (0..10 * WATCHED as usize).map(|n| backlog.taken(1 + n % 3)).sum();
        assert_eq!(after, 0, "one is spare");
        // They come eight at a time, and the last of them waits for long: as it should.
        let bursts: usize = (0..10 * WATCHED as usize).map(|n| backlog.taken(7 - n % 8)).sum();
        assert_eq!(bursts, 0);
    }

    #[test]
    fn over_ten_seconds_we_are_never_more_than_five_frames_ahead() {
        // The bridge is at its worst: all it has for ten seconds lies there at once.
        let (mut pacer, began) = (Pacer::default(), Instant::now());
        let (mut now, end) = (began, began + Duration::from_secs(10));
        let mut frames = 0;
        while now < end {
            let due = pacer.due(now);
            if due > now {
                now = due;
                continue;
            }
            pacer.sent(now);
            frames += 1;
            assert!(pacer.ahead(now) <= 5, "{} ahead after {frames}", pacer.ahead(now));
        }
        assert!((500..=505).contains(&frames), "{frames} frames in ten seconds");
    }

    #[test]
    fn a_pause_leaves_no_debt_and_a_stop_no_lead() {
        let (mut pacer, began) = (Pacer::default(), Instant::now());
        pacer.sent(began);
        let later = began + Duration::from_secs(3);
        for _ in 0..3 {
            assert!(pacer.due(later) <= later);
            pacer.sent(later);
        }
        assert!(pacer.due(later) > later, "three seconds of silence are not caught up");
        pacer.stopped();
        assert_eq!(pacer.ahead(later), 0);
    }
}
