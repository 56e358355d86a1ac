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

/// The longest CNAME sent; the length field of the item has eight bits (RFC 3550 section 6.5).
pub const MAX_CNAME_BYTES: usize = 255;

/// Room that any report of ours fits in: SR with one block 52, SDES at most 268, BYE 12.
pub const MAX_REPORT_BYTES: usize = 336;

/// Mean time between reports. RFC 3550 section 6.2 has it as the least for any session; with two
/// members the share of bandwidth would allow more, and more would say nothing new.
pub const MEAN_INTERVAL: Duration = Duration::from_secs(5);

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
}

impl Quality {
    /// The quality of a leg, from both directions and the newest `remote` heard.
    pub fn of(line: &SendLine, receive: &Receive, remote: Option<Remote>, concealed_ms: u64) -> Quality {
        let (packets, octets) = line.sent();
        Quality {
            packets_sent: packets.into(),
            octets_sent: octets.into(),
            packets_received: receive.received(),
            lost: receive.lost(),
            late: receive.late(),
            duplicate: receive.duplicate(),
            jitter_ms: receive.jitter_ms(),
            round_trip_ms: remote
                .and_then(|remote| remote.round_trip)
                .map(|time| time.as_secs_f32() * 1000.0),
            remote_fraction_lost: remote.map(|remote| remote.fraction_lost),
            remote_lost: remote.map(|remote| remote.lost),
            remote_jitter_ms: remote.map(|remote| remote.jitter_ms),
            concealed_ms,
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

/// Reads a compound of theirs. `our_ssrc` is that of our line, `wall_ntp` the wall clock of
/// [`report`] at arrival.
pub fn read(octets: &[u8], our_ssrc: u32, wall_ntp: u64) -> Result<Heard, RtcpError> {
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
            take(packet.as_ref(), our_ssrc, wall_ntp, &mut heard);
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

fn take(packet: &dyn Packet, our_ssrc: u32, wall_ntp: u64, heard: &mut Option<Heard>) {
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
        heard.blocks(&report.reports, our_ssrc, wall_ntp);
    } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
        heard.get_or_insert(Heard::from(report.ssrc)).blocks(&report.reports, our_ssrc, wall_ntp);
    } else if let (Some(bye), Some(heard)) = (packet.downcast_ref::<Goodbye>(), heard) {
        heard.goodbye |= bye.sources.contains(&heard.from);
    }
}

impl Heard {
    fn from(ssrc: u32) -> Heard {
        Heard { from: ssrc, sender: None, about_us: None, goodbye: false }
    }

    fn blocks(&mut self, blocks: &[ReceptionReport], our_ssrc: u32, wall_ntp: u64) {
        let Some(block) = blocks.iter().find(|block| block.ssrc == our_ssrc) else { return };
        self.about_us = Some(Remote {
            fraction_lost: f32::from(block.fraction_lost) / 256.0,
            // 24 bits with a sign, moved up and back down to spread it.
            lost: ((block.total_lost << 8) as i32) >> 8,
            jitter_ms: block.jitter as f32 / 8.0,
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
