//! RTCP: what we tell a party about our stream and theirs, and what they tell us (RFC 3550
//! section 6).
//!
//! A report of ours is an SR (an RR before anything was sent) with at most one report block, an
//! SDES with the CNAME, and at the end of a call a BYE. Of theirs only what a two-party stream needs
//! is read: the sender report, the block about our SSRC, and the BYE; other packets in a compound
//! are stepped over by their length. Collisions of SSRC are not looked for: the far end of a leg is
//! one party, and two random numbers that are equal cost it one odd report.
//!
//! Reports go every five seconds or so, which is why the packet types of `rtc-rtcp`, which allocate,
//! are good enough here.

use std::time::{Duration, Instant};

use rtc_rtcp::Packet;
use rtc_rtcp::goodbye::Goodbye;
use rtc_rtcp::packet::unmarshal;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::reception_report::ReceptionReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};

use super::line::SendLine;
use super::receive::{Receive, ReportBlock};
use super::rtp::MAX_PACKET_BYTES;
use crate::mos;

/// The longest CNAME sent; the length field of the item has eight bits (RFC 3550 section 6.5).
pub const MAX_CNAME_BYTES: usize = 255;

/// Room that any report of ours fits in: SR with one block 52, SDES at most 268, BYE 12.
pub const MAX_REPORT_BYTES: usize = 336;

/// Mean time between reports. RFC 3550 section 6.2 has it as the least for any session; with two
/// members the share of bandwidth would allow more, and more would say nothing new.
pub const MEAN_INTERVAL: Duration = Duration::from_secs(5);

/// How much sound a packet holds, which must be spoken before it can be sent: nearly everybody's.
const PACKET_MS: f32 = 20.0;

/// A round trip longer than this is a clock that was set, or a lie.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const GOODBYE: u8 = 203;

/// Why a datagram is no RTCP compound (RFC 3550 appendix A.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// Longer than anything taken from the network.
    #[error("RTCP of {0} octets, more than {MAX_PACKET_BYTES}")]
    TooLong(usize),
    /// Not version 2, or the first packet is no report.
    #[error("not an RTCP compound")]
    NotACompound,
    /// A packet in it is longer than what is left of the datagram.
    #[error("RTCP packet cut short")]
    CutShort,
    /// A packet's counts do not fit its length.
    #[error("malformed RTCP packet of type {0}")]
    Malformed(u8),
}

/// What a compound of theirs says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// Their SSRC, that of the first report.
    pub from: u32,
    /// Their sender report. Give it to [`Receive::sender_report`].
    pub sender: Option<Sender>,
    /// What they say about our stream.
    pub about_us: Option<Remote>,
    /// They leave.
    pub goodbye: bool,
}

/// A sender report's own part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Whose stream.
    pub ssrc: u32,
    /// Their wall clock, in NTP format.
    pub ntp: u64,
    /// The same moment on their RTP clock.
    pub timestamp: u32,
    /// Packets they sent.
    pub packets: u32,
    /// Payload octets they sent.
    pub octets: u32,
}

/// Our stream as the far end sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Remote {
    /// Packets lost since their last report, 0 to 1.
    pub fraction_lost: f32,
    /// Packets lost since our stream began; below zero if duplicates outnumber losses.
    pub lost: i32,
    /// Jitter at their end, in milliseconds.
    pub jitter_ms: f32,
    /// From us to them and back, without the time they kept our report. `None` until they have
    /// heard one.
    pub round_trip: Option<Duration>,
}

/// The quality of a leg at one moment. Counts are since the leg began.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Payload octets sent.
    pub octets_sent: u64,
    /// RTP packets received, each once.
    pub packets_received: u64,
    /// Packets of theirs that never came.
    pub lost: u64,
    /// Packets of theirs that came after a newer one.
    pub late: u64,
    /// Packets of theirs that came again.
    pub duplicate: u64,
    /// Jitter of arrival, in milliseconds (RFC 3550 appendix A.8).
    pub jitter_ms: f32,
    /// Round trip, in milliseconds, by their last report.
    pub round_trip_ms: Option<f32>,
    /// Share of our packets they lost in their last period, 0 to 1.
    pub remote_fraction_lost: Option<f32>,
    /// Packets of ours they lost since the leg began.
    pub remote_lost: Option<i32>,
    /// Jitter at their end, in milliseconds.
    pub remote_jitter_ms: Option<f32>,
    /// Sound we had to make up, in milliseconds.
    pub concealed_ms: u64,
    /// How what they send sounds here, as a mean opinion score of 1 to 4.5 (see [`mos`]). `None` until something came.
    pub mos: Option<f32>,
    /// How what we send sounds there, by their reports.
    pub remote_mos: Option<f32>,
}

/// What is lost, of how many packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Packets that came.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
}

impl Tally {
    /// What was added since `earlier`.
    pub fn since(self, earlier: Tally) -> Tally {
        Tally {
            received: self.received.saturating_sub(earlier.received),
            lost: self.lost.saturating_sub(earlier.lost),
        }
    }

    /// The mean opinion of this much of a stream. `None` if nothing came: whoever is silent is not heard badly.
    pub fn mos(self, jitter_ms: f32, round_trip_ms: Option<f32>) -> Option<f32> {
        let sent = self.received + self.lost;
        (self.received > 0)
            .then(|| mos::estimate(self.lost as f32 / sent as f32, delay_ms(jitter_ms, round_trip_ms)))
    }
}

/// From mouth to ear: a packet's own length, half a round trip, and twice the jitter, which is about what a buffer
/// waits. An unknown round trip counts as none.
fn delay_ms(jitter_ms: f32, round_trip_ms: Option<f32>) -> f32 {
    PACKET_MS + round_trip_ms.unwrap_or(0.0) / 2.0 + 2.0 * jitter_ms
}

impl Quality {
    /// The quality of a leg, from both directions and the newest `remote` heard.
    pub fn of(line: &SendLine, receive: &Receive, remote: Option<Remote>, concealed_ms: u64) -> Quality {
        let (packets, octets) = line.sent();
        let round_trip_ms =
            remote.and_then(|remote| remote.round_trip).map(|time| time.as_secs_f32() * 1000.0);
        let received = Tally { received: receive.received(), lost: receive.lost() };
        let remote_mos = remote.and_then(|remote| {
            let lost = u64::try_from(remote.lost).unwrap_or(0).min(packets.into());
            Tally { received: u64::from(packets) - lost, lost }.mos(remote.jitter_ms, round_trip_ms)
        });
        Quality {
            packets_sent: packets.into(),
            octets_sent: octets.into(),
            packets_received: receive.received(),
            lost: receive.lost(),
            late: receive.late(),
            duplicate: receive.duplicate(),
            jitter_ms: receive.jitter_ms(),
            round_trip_ms,
            remote_fraction_lost: remote.map(|remote| remote.fraction_lost),
            remote_lost: remote.map(|remote| remote.lost),
            remote_jitter_ms: remote.map(|remote| remote.jitter_ms),
            concealed_ms,
            mos: received.mos(receive.jitter_ms(), round_trip_ms),
            remote_mos,
        }
    }
}

/// When to report next.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    due: Instant,
}

impl Interval {
    /// The schedule of a leg that begins `now`. Its first report comes after half the usual time
    /// (RFC 3550 section 6.2). `random` is any 64 random bits, here and below.
    pub fn new(now: Instant, random: u64) -> Interval {
        Interval { due: now + spread(MEAN_INTERVAL / 2, random) }
    }

    /// When the next report is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Sets the time of the report after the one sent `now`: 2.5 to 7.5 s on, so that many legs
    /// begun together do not report together (section 6.3.1).
    pub fn next(&mut self, now: Instant, random: u64) -> Instant {
        self.due = now + spread(MEAN_INTERVAL, random);
        self.due
    }
}

/// Half to one and a half times `mean`, evenly.
fn spread(mean: Duration, random: u64) -> Duration {
    let nanos = mean.as_nanos() as u64;
    Duration::from_nanos(nanos / 2 + random % nanos)
}

/// The time `since_epoch` (of Unix) as an NTP timestamp: seconds since 1900 and their 2^32ths.
pub fn ntp(since_epoch: Duration) -> u64 {
    const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
    let seconds = since_epoch.as_secs().wrapping_add(SECONDS_1900_TO_1970);
    let fraction = (u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

/// Whether a datagram on a port shared with RTP is RTCP (RFC 5761 section 4).
pub fn is_rtcp(octets: &[u8]) -> bool {
    matches!(octets, [first, 192..=223, ..] if first >> 6 == 2)
}

/// Writes a report to `out` and returns its length: 0 if `out` is shorter than the report, which
/// [`MAX_REPORT_BYTES`] never are.
///
/// `wall_ntp` is the wall clock in NTP format; round trips are right as long as it runs evenly.
/// `cname` is cut at [`MAX_CNAME_BYTES`].
pub fn report(
    now: Instant,
    wall_ntp: u64,
    line: &SendLine,
    receive: &mut Receive,
    cname: &str,
    out: &mut [u8],
) -> usize {
    let report = state(now, wall_ntp, line, receive);
    write(&[report.as_ref(), &description(line.ssrc(), cname)], out)
}

/// Like [`report`], with a BYE at its end: the last thing a leg sends (RFC 3550 section 6.6).
pub fn goodbye(
    now: Instant,
    wall_ntp: u64,
    line: &SendLine,
    receive: &mut Receive,
    cname: &str,
    out: &mut [u8],
) -> usize {
    let report = state(now, wall_ntp, line, receive);
    let bye = Goodbye { sources: vec![line.ssrc()], ..Goodbye::default() };
    write(&[report.as_ref(), &description(line.ssrc(), cname), &bye], out)
}

/// An SR, or an RR while nothing was sent. A line that falls silent goes on with SRs: section 6.4
/// would have RRs, but then the round trip of a held leg could not be measured.
fn state(now: Instant, wall_ntp: u64, line: &SendLine, receive: &mut Receive) -> Box<dyn Packet> {
    let reports: Vec<ReceptionReport> = receive.report_block(now).map(block).into_iter().collect();
    let (packet_count, octet_count) = line.sent();
    if packet_count == 0 {
        return Box::new(ReceiverReport { ssrc: line.ssrc(), reports, ..ReceiverReport::default() });
    }
    Box::new(SenderReport {
        ssrc: line.ssrc(),
        ntp_time: wall_ntp,
        rtp_time: line.timestamp_at(now).0,
        packet_count,
        octet_count,
        reports,
        ..SenderReport::default()
    })
}

fn block(block: ReportBlock) -> ReceptionReport {
    ReceptionReport {
        ssrc: block.ssrc,
        fraction_lost: block.fraction_lost,
        // The crate holds the signed 24 bits as they are on the wire.
        total_lost: block.lost as u32 & 0xff_ffff,
        last_sequence_number: block.highest,
        jitter: block.jitter,
        last_sender_report: block.last_sr,
        delay: block.since_last_sr,
    }
}

fn description(source: u32, cname: &str) -> SourceDescription {
    let cname = &cname[..cname.floor_char_boundary(MAX_CNAME_BYTES)];
    let item =
        SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: cname.as_bytes().to_vec().into() };
    SourceDescription { chunks: vec![SourceDescriptionChunk { source, items: vec![item] }] }
}

fn write(packets: &[&dyn Packet], out: &mut [u8]) -> usize {
    let mut length = 0;
    for packet in packets {
        match packet.marshal_to(&mut out[length..]) {
            Ok(octets) => length += octets,
            Err(_) => return 0,
        }
    }
    length
}

/// Reads a compound of theirs. `ours` is our line, `wall_ntp` the wall clock of [`report`] at arrival.
pub fn read(octets: &[u8], ours: &SendLine, wall_ntp: u64) -> Result<Heard, RtcpError> {
    let ours = Ours { ssrc: ours.ssrc(), clock: ours.clock() };
    if octets.len() > MAX_PACKET_BYTES {
        return Err(RtcpError::TooLong(octets.len()));
    }
    if !matches!(octets, [_, SENDER_REPORT | RECEIVER_REPORT, ..]) {
        return Err(RtcpError::NotACompound);
    }
    let mut heard: Option<Heard> = None;
    let mut rest = octets;
    while !rest.is_empty() {
        let (packet, after) = split(rest)?;
        rest = after;
        let kind = packet[1];
        if !matches!(kind, SENDER_REPORT | RECEIVER_REPORT | GOODBYE) {
            continue;
        }
        // One packet at a time, and only the kinds we want: a peer's odd SDES or XR costs nothing.
        let parsed = unmarshal(&mut &packet[..]).map_err(|_| RtcpError::Malformed(kind))?;
        for packet in &parsed {
            take(packet.as_ref(), ours, wall_ntp, &mut heard);
        }
    }
    heard.ok_or(RtcpError::NotACompound)
}

/// Cuts the first packet off by its own length.
fn split(octets: &[u8]) -> Result<(&[u8], &[u8]), RtcpError> {
    let &[first, _, high, low] = octets.first_chunk::<4>().ok_or(RtcpError::CutShort)?;
    if first >> 6 != 2 {
        return Err(RtcpError::NotACompound);
    }
    let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
    octets.split_at_checked(length).ok_or(RtcpError::CutShort)
}

/// What a report block about our line is told by and counts in.
#[derive(Clone, Copy)]
struct Ours {
    ssrc: u32,
    clock: u32,
}

fn take(packet: &dyn Packet, ours: Ours, wall_ntp: u64, heard: &mut Option<Heard>) {
    let packet = packet.as_any();
    if let Some(report) = packet.downcast_ref::<SenderReport>() {
        let heard = heard.get_or_insert(Heard::from(report.ssrc));
        heard.sender = Some(Sender {
            ssrc: report.ssrc,
            ntp: report.ntp_time,
            timestamp: report.rtp_time,
            packets: report.packet_count,
            octets: report.octet_count,
        });
        heard.blocks(&report.reports, ours, wall_ntp);
    } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
        heard.get_or_insert(Heard::from(report.ssrc)).blocks(&report.reports, ours, wall_ntp);
    } else if let (Some(bye), Some(heard)) = (packet.downcast_ref::<Goodbye>(), heard) {
        heard.goodbye |= bye.sources.contains(&heard.from);
    }
}

impl Heard {
    fn from(ssrc: u32) -> Heard {
        Heard { from: ssrc, sender: None, about_us: None, goodbye: false }
    }

    fn blocks(&mut self, blocks: &[ReceptionReport], ours: Ours, wall_ntp: u64) {
        let Some(block) = blocks.iter().find(|block| block.ssrc == ours.ssrc) else { return };
        self.about_us = Some(Remote {
            fraction_lost: f32::from(block.fraction_lost) / 256.0,
            // 24 bits with a sign, moved up and back down to spread it.
            lost: ((block.total_lost << 8) as i32) >> 8,
            jitter_ms: block.jitter as f32 * 1000.0 / ours.clock.max(1) as f32,
            round_trip: round_trip(wall_ntp, block.last_sender_report, block.delay),
        });
    }
}

/// Section 6.4.1: arrival less the sending of our report less the time they held it, all in
/// 65536ths of a second around the circle.
fn round_trip(wall_ntp: u64, last_sr: u32, since: u32) -> Option<Duration> {
    if last_sr == 0 {
        return None;
    }
    let units = ((wall_ntp >> 16) as u32).wrapping_sub(last_sr).wrapping_sub(since) as i32;
    // Two clocks rounded differently can come out a hair below zero: 5 ms at most is let pass.
    const HAIR: i32 = -65_536 / 200;
    if units < HAIR {
        return None;
    }
    let time = Duration::from_nanos(u64::from(units.max(0).unsigned_abs()) * 1_000_000_000 / 65_536);
    (time <= MAX_ROUND_TRIP).then_some(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stream::rtp::Header;
    use crate::time::an_instant;
    use crate::time::{RtpTimestamp, Sequence};

    const US: u32 = 0x1111_1111;
    const THEM: u32 = 0x2222_2222;
    /// The wall clock of RFC 3550 section 6.4.1, figure 2.
    const WALL: u64 = 0xb44d_b710_8000_0000;

    fn ours(ssrc: u32) -> SendLine {
        SendLine::new(ssrc, Sequence(5), RtpTimestamp(1000))
    }

    fn line(packets: u16) -> (Instant, SendLine) {
        let start = an_instant();
        let mut line = SendLine::new(US, Sequence(5), RtpTimestamp(1000));
        for n in 0..packets {
            line.make(start + Duration::from_millis(20) * u32::from(n), 1, 0, 160);
            line.count(160);
        }
        (start, line)
    }

    fn heard_from_them(now: Instant, sequences: &[u16]) -> Receive {
        let mut receive = Receive::new();
        for sequence in sequences {
            let mut packet = [0u8; 12];
            packet[0] = 0x80;
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            packet[8..12].copy_from_slice(&THEM.to_be_bytes());
            receive.packet(now, &Header::parse(&packet).unwrap());
        }
        receive
    }

    /// An RR of theirs about us with this LSR and DLSR.
    fn receiver_report(lost: u32, last_sr: u32, since: u32) -> Vec<u8> {
        let words = [0x81c9_0007, THEM, US, lost, 0x0001_0009, 80, last_sr, since];
        words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_report_is_an_sr_with_a_block_and_a_cname() {
        let (start, line) = line(2);
        let mut receive = heard_from_them(start, &[7, 8, 10, 11]);
        receive.sender_report(start, THEM, 0x0000_aaaa_bbbb_0000);
        let mut out = [0; MAX_REPORT_BYTES];
        let now = start + Duration::from_millis(500);
        let length = report(now, WALL, &line, &mut receive, "leg@x", &mut out);
        #[rustfmt::skip]
        let expected = [
            0x81, 200, 0, 12, 0x11, 0x11, 0x11, 0x11,
            0xb4, 0x4d, 0xb7, 0x10, 0x80, 0, 0, 0, // NTP
            0, 0, 0x14, 0x28, // 1000 and 520 ms: the first packet's sound began 20 ms before it left
            0, 0, 0, 2, 0, 0, 1, 64, // packets, octets
            0x22, 0x22, 0x22, 0x22, 51, 0, 0, 1, 0, 0, 0, 11, 0, 0, 0, 0,
            0xaa, 0xaa, 0xbb, 0xbb, 0, 0, 0x80, 0, // LSR, DLSR
            0x81, 202, 0, 3, 0x11, 0x11, 0x11, 0x11, 1, 5, b'l', b'e', b'g', b'@', b'x', 0,
        ];
        assert_eq!(out[..length], expected);
        assert!(is_rtcp(&out[..length]));
    }

    #[test]
    fn a_leg_that_sent_nothing_and_heard_nothing_reports_an_empty_rr() {
        let (start, line) = line(0);
        let mut out = [0; MAX_REPORT_BYTES];
        let length = report(start, WALL, &line, &mut Receive::new(), "", &mut out);
        assert_eq!(out[..8], [0x80, 201, 0, 1, 0x11, 0x11, 0x11, 0x11]);
        assert_eq!(length, 8 + 12);
    }

    #[test]
    fn the_longest_report_fits_and_a_short_buffer_gets_nothing() {
        let (start, line) = line(9);
        for cname in ["x".repeat(MAX_CNAME_BYTES), "\u{e4}".repeat(500)] {
            let mut receive = heard_from_them(start, &[1, 2]);
            let mut out = [0; MAX_REPORT_BYTES];
            let length = goodbye(start, WALL, &line, &mut receive, &cname, &mut out);
            assert!(length > 300);
            let heard = read(&out[..length], &ours(US), WALL).unwrap();
            assert!(heard.goodbye);
            for short in 0..length {
                let mut receive = heard_from_them(start, &[1, 2]);
                assert_eq!(goodbye(start, WALL, &line, &mut receive, &cname, &mut out[..short]), 0);
            }
        }
    }

    #[test]
    fn a_report_of_ours_is_understood_by_ourselves_at_the_other_end() {
        let (start, line) = line(50);
        let mut receive = heard_from_them(start, &[1, 1, 1]);
        let mut out = [0; MAX_REPORT_BYTES];
        let length = report(start, WALL, &line, &mut receive, "leg", &mut out);
        let heard = read(&out[..length], &ours(THEM), WALL).unwrap();
        assert_eq!(heard.from, US);
        assert_eq!(
            heard.sender.map(|sender| (sender.ntp, sender.packets, sender.octets)),
            Some((WALL, 50, 8000))
        );
        assert_eq!(heard.about_us.map(|remote| remote.lost), Some(-2));
        assert!(!heard.goodbye);
        assert_eq!(read(&out[..length], &ours(99), WALL).unwrap().about_us, None, "not about us");
    }

    #[test]
    fn the_round_trip_of_the_rfcs_figure_is_six_seconds_and_an_eighth() {
        // RFC 3550 section 6.4.1, figure 2.
        let octets = receiver_report(0x4000_0102, 0xb705_2000, 0x0005_4000);
        let remote = read(&octets, &ours(US), WALL).unwrap().about_us.unwrap();
        assert_eq!(remote.round_trip, Some(Duration::from_millis(6125)));
        assert_eq!((remote.fraction_lost, remote.lost, remote.jitter_ms), (0.25, 258, 10.0));
    }

    #[test]
    fn a_round_trip_that_cannot_be_is_none() {
        let now = (WALL >> 16) as u32;
        for (last_sr, since, truth) in [
            (0, 0, None),                             // they heard no report yet
            (now, 0, Some(Duration::ZERO)),           // the loopback
            (now, 20, Some(Duration::ZERO)),          // rounded below it
            (now, 65_536, None),                      // held longer than it exists
            (now.wrapping_sub(65_536 * 11), 0, None), // eleven seconds
            (now.wrapping_sub(65_536 / 4), 0, Some(Duration::from_millis(250))),
        ] {
            let octets = receiver_report(0, last_sr, since);
            assert_eq!(
                read(&octets, &ours(US), WALL).unwrap().about_us.unwrap().round_trip,
                truth,
                "{last_sr:#x} {since}"
            );
        }
    }

    #[test]
    fn packets_we_do_not_read_are_stepped_over() {
        let mut octets = receiver_report(0, 0, 0);
        octets.extend([0x81, 202, 0, 1, 9, 9, 9, 9]); // an SDES whose chunk is cut off
        octets.extend([0x80, 207, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]); // an XR of nonsense
        octets.extend([0x81, 203, 0, 1, 0x22, 0x22, 0x22, 0x22]);
        let heard = read(&octets, &ours(US), WALL).unwrap();
        assert!(heard.goodbye && heard.about_us.is_some());
    }

    #[test]
    fn a_bye_of_somebody_else_is_not_theirs() {
        let mut octets = receiver_report(0, 0, 0);
        octets.extend([0x81, 203, 0, 1, 9, 9, 9, 9]);
        assert!(!read(&octets, &ours(US), WALL).unwrap().goodbye);
    }

    #[test]
    fn what_is_no_compound_is_told_why() {
        let good = receiver_report(0, 0, 0);
        let with = |place: usize, octet: u8| {
            let mut octets = good.clone();
            octets[place] = octet;
            octets
        };
        for (octets, error) in [
            (vec![], RtcpError::NotACompound),
            (vec![0x80; 12], RtcpError::NotACompound),
            (with(0, 0x41), RtcpError::NotACompound),
            (with(1, 203), RtcpError::NotACompound),
            (with(3, 8), RtcpError::CutShort),
            (good[..30].to_vec(), RtcpError::CutShort),
            (with(0, 0x82), RtcpError::Malformed(201)),
            (vec![0x80, 200, 0, 0], RtcpError::Malformed(200)),
            ([&good[..], &[0x80]].concat(), RtcpError::CutShort),
            (vec![0x80; 1501], RtcpError::TooLong(1501)),
        ] {
            assert_eq!(read(&octets, &ours(US), WALL), Err(error), "{octets:02x?}");
        }
    }

    #[test]
    fn reports_come_two_and_a_half_to_seven_and_a_half_seconds_apart() {
        let start = an_instant();
        let mut interval = Interval::new(start, 0);
        assert_eq!(interval.due(), start + Duration::from_millis(1250));
        assert_eq!(interval.next(start, 0), start + Duration::from_millis(2500));
        assert_eq!(interval.next(start, 2_500_000_000), start + Duration::from_secs(5));
        let latest = interval.next(start, 4_999_999_999);
        assert!(latest < start + Duration::from_millis(7500) && latest > start + Duration::from_millis(7499));
        assert_eq!(interval.due(), latest);
        interval.next(start, u64::MAX);
    }

    #[test]
    fn the_unix_epoch_is_seventy_years_of_ntp() {
        assert_eq!(ntp(Duration::ZERO), 2_208_988_800 << 32);
        assert_eq!(ntp(Duration::from_millis(500)) as u32, 0x8000_0000);
    }

    #[test]
    fn the_quality_of_a_leg_gathers_both_directions() {
        let (start, line) = line(3);
        let receive = heard_from_them(start, &[1, 2, 5, 4, 4]);
        let remote = read(&receiver_report(0x8000_0007, 0xb710_7000, 0), &ours(US), WALL).unwrap().about_us;
        assert_eq!(
            Quality::of(&line, &receive, remote, 40),
            Quality {
                packets_sent: 3,
                octets_sent: 480,
                packets_received: 4,
                lost: 1,
                late: 1,
                duplicate: 1,
                jitter_ms: 0.0,
                round_trip_ms: Some(62.5),
                remote_fraction_lost: Some(0.5),
                remote_lost: Some(7),
                remote_jitter_ms: Some(10.0),
                concealed_ms: 40,
                mos: Some(mos::estimate(0.2, 20.0 + 31.25)),
                // They say that they lost more than we sent: of what never came nobody has an opinion.
                remote_mos: None,
            }
        );
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&octets, &ours(US), WALL);
        }

        #[test]
        fn compounds_with_lengths_and_counts_that_lie_are_read_or_refused(
            packets in prop::collection::vec((0x80u8..=0xbf, 199u8..208, 0u8..12, prop::collection::vec(any::<u8>(), 0..60)), 1..5),
            wall: u64,
        ) {
            let mut octets = Vec::new();
            for (first, kind, length, body) in &packets {
                octets.extend([*first, *kind, 0, *length]);
                octets.extend(body);
            }
            if let Ok(heard) = read(&octets, &ours(US), wall) {
                prop_assert_eq!(octets[4..8].to_vec(), heard.from.to_be_bytes());
            }
            // And the same with the lengths put right.
            let mut octets = Vec::new();
            for (first, kind, _, body) in &packets {
                let words = body.len() / 4;
                octets.extend([*first, *kind, 0, words as u8]);
                octets.extend(&body[..4 * words]);
            }
            let _ = read(&octets, &ours(US), wall);
        }
    }
}
