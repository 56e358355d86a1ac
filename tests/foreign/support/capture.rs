//! Captures to be played, in the format of tcpdump: one key press as telephone-events (RFC 4733 section 2.5), or a tone.

use std::fs;
use std::path::Path;

use sidetone::sim::voice::Voice;
use sidetone_media::codec::{Codec, Encoder};

/// The payload type our descriptions give telephone-event.
const PAYLOAD_TYPE: u8 = 101;

/// Timestamp units of 20 ms at 8 kHz, and how many packets a press lasts.
const STEP: u16 = 160;
const PACKETS: u16 = 5;

/// The end is sent three times, as section 2.5.1.4 advises.
const ENDS: u16 = 3;

/// Writes a press of `key`, one of `0` to `9`.
pub(crate) fn write_key(file: &Path, key: char) {
    let event = u8::try_from(key.to_digit(10).expect("a digit")).expect("a digit is small");
    let press = (0..PACKETS + ENDS).map(|n| {
        let end = n >= PACKETS;
        let duration = STEP * (n.min(PACKETS - 1) + 1);
        let payload =
            [event, if end { 0x8a } else { 0x0a }, duration.to_be_bytes()[0], duration.to_be_bytes()[1]];
        // All packets of one press have the timestamp of its beginning.
        rtp(PAYLOAD_TYPE | if n == 0 { 0x80 } else { 0 }, n, 32_000, &payload)
    });
    write(file, press);
}

/// Writes a tone of PCMU at -20 dBFS, in packets of 20 ms, numbered from `first`.
pub(crate) fn write_tone(file: &Path, hz: f64, first: u16, packets: u16) {
    let voice = Voice::tone(hz);
    let tone = (0..packets).map(|n| {
        let begin = u64::from(n) * u64::from(STEP);
        let pcm: Vec<i16> = (0..u64::from(STEP)).map(|at| voice.sample(begin + at, 8000)).collect();
        let mut payload = [0; STEP as usize];
        let made = Encoder::new(Codec::Pcmu).encode(&pcm, &mut payload);
        let number = first + n;
        rtp(if n == 0 { 0x80 } else { 0 }, number, u32::from(number) * u32::from(STEP), &payload[..made])
    });
    write(file, tone);
}

/// Packets of RTP, 20 ms apart.
fn write(file: &Path, packets: impl Iterator<Item = Vec<u8>>) {
    let mut capture = Vec::new();
    // libpcap file header: magic, version 2.4, zone, accuracy, longest packet, Ethernet.
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        capture.extend_from_slice(&word.to_le_bytes());
    }
    for (n, packet) in packets.enumerate() {
        let packet = ethernet(&udp(&packet));
        let millis = u32::try_from(n).expect("a short capture") * 20;
        let length = u32::try_from(packet.len()).expect("a small packet");
        for word in [millis / 1000, millis % 1000 * 1000, length, length] {
            capture.extend_from_slice(&word.to_le_bytes());
        }
        capture.extend_from_slice(&packet);
    }
    fs::write(file, capture).expect("a capture is written");
}

/// `kind` is the payload type with the marker before it.
fn rtp(kind: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, kind];
    packet.extend_from_slice(&(1000 + sequence).to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&0x5ee5_5ee5_u32.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// SIPp puts in addresses and ports of its own.
fn udp(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("a small packet");
    let mut packet = Vec::new();
    for word in [4000_u16, 4000, length, 0] {
        packet.extend_from_slice(&word.to_be_bytes());
    }
    packet.extend_from_slice(payload);
    packet
}

fn ethernet(datagram: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + datagram.len()).expect("a small packet");
    let mut packet = vec![0; 12];
    packet.extend_from_slice(&[0x08, 0x00, 0x45, 0x00]);
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    packet.extend_from_slice(datagram);
    packet
}
