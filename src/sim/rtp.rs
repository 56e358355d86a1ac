//! RTP and RTCP as a telephone needs them (RFC 3550, RFC 4733), written without the gateway's own.

use bytes::{BufMut, Bytes, BytesMut};

/// Octets of the fixed header (RFC 3550 section 5.1).
const HEADER_BYTES: usize = 12;

/// One RTP packet. CSRCs, header extension and padding are read over and never written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// First of a spurt.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the RTP clock.
    pub timestamp: u32,
    /// The source.
    pub ssrc: u32,
    /// What it carries.
    pub payload: Bytes,
}

impl Packet {
    /// Reads a datagram; `None` when it is no RTP packet of version 2.
    pub fn parse(datagram: &Bytes) -> Option<Self> {
        let fixed = datagram.get(..HEADER_BYTES)?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut start = HEADER_BYTES + usize::from(fixed[0] & 0x0f) * 4;
        if fixed[0] & 0x10 != 0 {
            let words = datagram.get(start + 2..start + 4)?;
            start += 4 + usize::from(u16::from_be_bytes([words[0], words[1]])) * 4;
        }
        let padding = if fixed[0] & 0x20 != 0 { usize::from(*datagram.last()?) } else { 0 };
        let end = datagram.len().checked_sub(padding).filter(|end| *end >= start)?;
        Some(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload: datagram.slice(start..end),
        })
    }

    /// The datagram.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.payload.len());
        out.put_u8(0x80);
        out.put_u8(u8::from(self.marker) << 7 | self.payload_type);
        out.put_u16(self.sequence);
        out.put_u32(self.timestamp);
        out.put_u32(self.ssrc);
        out.put_slice(&self.payload);
        out.freeze()
    }
}

/// Whether a datagram on a port shared by both is RTCP (RFC 5761 section 4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

/// What a sender report says of the sender (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy)]
pub struct SenderReport {
    /// Who reports.
    pub ssrc: u32,
    /// Seconds and fraction since 1900.
    pub ntp: u64,
    /// The same moment on the RTP clock.
    pub timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload octets sent so far.
    pub octets: u32,
}

impl SenderReport {
    /// A compound packet: the report without reception blocks, then an SDES with this CNAME.
    pub fn to_bytes(&self, cname: &str) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        out.put_slice(&[0x80, 200, 0, 6]);
        out.put_u32(self.ssrc);
        out.put_u64(self.ntp);
        out.put_u32(self.timestamp);
        out.put_u32(self.packets);
        out.put_u32(self.octets);

        let cname = &cname.as_bytes()[..cname.len().min(255)];
        // SSRC, the item, and at least one zero octet up to a word's end (section 6.5).
        let words = (4 + 2 + cname.len()) / 4 + 1;
        out.put_slice(&[0x81, 202, 0, words as u8]);
        out.put_u32(self.ssrc);
        out.put_slice(&[1, cname.len() as u8]);
        out.put_slice(cname);
        out.put_bytes(0, words * 4 - (4 + 2 + cname.len()));
        out.freeze()
    }
}

/// The payload of a telephone-event packet (RFC 4733 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// 0 to 9, 10 for `*`, 11 for `#`, 12 to 15 for A to D.
    pub event: u8,
    /// Whether this packet ends it.
    pub end: bool,
    /// How long it lasts so far, in RTP clock units.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads a payload; `None` when it is too short.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low, ..] = payload else { return None };
        Some(Self { event: *event, end: flags & 0x80 != 0, duration: u16::from_be_bytes([*high, *low]) })
    }

    /// The payload, at a volume of -10 dBm0.
    pub fn to_bytes(self) -> Bytes {
        let [high, low] = self.duration.to_be_bytes();
        Bytes::copy_from_slice(&[self.event, u8::from(self.end) << 7 | 10, high, low])
    }

    /// The event of a key.
    pub fn of_digit(digit: char) -> Option<u8> {
        Some(match digit {
            '0'..='9' => digit as u8 - b'0',
            '*' => 10,
            '#' => 11,
            'A'..='D' => digit as u8 - b'A' + 12,
            _ => return None,
        })
    }

    /// The key of an event.
    pub fn digit(self) -> Option<char> {
        "0123456789*#ABCD".chars().nth(usize::from(self.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_comes_back_as_it_went() {
        let packet = Packet {
            marker: true,
            payload_type: 101,
            sequence: 65_535,
            timestamp: 0xdead_beef,
            ssrc: 7,
            payload: Bytes::from_static(b"abc"),
        };
        assert_eq!(Packet::parse(&packet.to_bytes()), Some(packet));
    }

    #[test]
    fn csrcs_extension_and_padding_are_read_over() {
        let mut raw = vec![0xb1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        raw.extend([9; 4]);
        raw.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        raw.extend(*b"voice\0\0\x03");
        let packet = Packet::parse(&raw.into()).unwrap();
        assert_eq!(packet.payload, "voice");
    }

    #[test]
    fn what_is_cut_off_is_no_packet() {
        for raw in [
            &b""[..],
            &[0x80; 11],
            &[0x40; 12],
            &[0x8f; 12],
            &[0x90; 14],
            &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
        ] {
            let packet = Packet::parse(&Bytes::copy_from_slice(raw));
            assert!(packet.is_none_or(|p| p.payload.len() <= raw.len()), "{raw:?}");
        }
        assert_eq!(Packet::parse(&Bytes::from_static(&[0x8f; 12])), None);
        assert_eq!(Packet::parse(&Bytes::from_static(&[0x90; 14])), None);
    }

    #[test]
    fn a_report_is_whole_words_and_says_its_length() {
        for cname in ["", "a", "ab", "abc", "abcd"] {
            let report =
                SenderReport { ssrc: 1, ntp: 2, timestamp: 3, packets: 4, octets: 5 }.to_bytes(cname);
            assert!(is_rtcp(&report));
            let sdes = &report[28..];
            let words = usize::from(u16::from_be_bytes([sdes[2], sdes[3]]));
            assert_eq!(sdes.len(), 4 + words * 4, "{cname}");
            assert_eq!(sdes.last(), Some(&0));
        }
    }

    #[test]
    fn every_key_is_an_event_and_back() {
        for digit in "0123456789*#ABCD".chars() {
            let event = TelephoneEvent::of_digit(digit).unwrap();
            let sent = TelephoneEvent { event, end: true, duration: 1280 };
            assert_eq!(TelephoneEvent::parse(&sent.to_bytes()), Some(sent));
            assert_eq!(sent.digit(), Some(digit));
        }
        assert_eq!(TelephoneEvent::of_digit('x'), None);
    }
}
