//! The RTP header (RFC 3550 section 5.1), read and rewritten where it lies.

use crate::time::{RtpTimestamp, Sequence};

/// Octets of the fixed header.
pub const HEADER_BYTES: usize = 12;

/// The largest packet taken from the network: an Ethernet frame's worth. Voice packets of 60 ms are
/// a third of it.
pub const MAX_PACKET_BYTES: usize = 1500;

/// A header, copied out. The payload stays in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// First packet of a talk spurt.
    pub marker: bool,
    /// What the payload is, 0 to 127.
    pub payload_type: u8,
    /// The packet's number.
    pub sequence: Sequence,
    /// When its first sample was taken, in units of the codec's clock.
    pub timestamp: RtpTimestamp,
    /// Whose stream it is.
    pub ssrc: u32,
    payload_start: u16,
    payload_end: u16,
}

impl Header {
    /// Reads a packet. `None` if it is not RTP version 2, or lengths inside it do not add up.
    pub fn parse(packet: &[u8]) -> Option<Header> {
        if packet.len() < HEADER_BYTES || packet.len() > MAX_PACKET_BYTES || packet[0] >> 6 != 2 {
            return None;
        }
        let csrcs = usize::from(packet[0] & 0x0f);
        let mut start = HEADER_BYTES + 4 * csrcs;
        if packet[0] & 0x10 != 0 {
            // Section 5.3.1: 16 bits of profile, then the length in words.
            let length = packet.get(start + 2..start + 4)?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([length[0], length[1]]));
        }
        let mut end = packet.len();
        if packet[0] & 0x20 != 0 {
            let padding = usize::from(packet[end - 1]);
            if padding == 0 {
                return None;
            }
            end = end.checked_sub(padding)?;
        }
        if start > end {
            return None;
        }
        Some(Header {
            marker: packet[1] & 0x80 != 0,
            payload_type: packet[1] & 0x7f,
            sequence: Sequence(u16::from_be_bytes([packet[2], packet[3]])),
            timestamp: RtpTimestamp(u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]])),
            ssrc: u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]),
            payload_start: start as u16,
            payload_end: end as u16,
        })
    }

    /// The payload, in the packet this header was read from.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(usize::from(self.payload_start)..usize::from(self.payload_end)).unwrap_or_default()
    }

    /// Where the payload lies in the packet this header was read from.
    pub fn payload_range(&self) -> std::ops::Range<usize> {
        usize::from(self.payload_start)..usize::from(self.payload_end)
    }

    /// Whether the header is the plain twelve octets and the payload all the rest: then a rewrite
    /// of the twelve octets makes it ours.
    pub fn is_plain(&self, packet: &[u8]) -> bool {
        usize::from(self.payload_start) == HEADER_BYTES && usize::from(self.payload_end) == packet.len()
    }
}

/// What goes into a header of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// First packet of a talk spurt, or after a change of source.
    pub marker: bool,
    /// What the payload is.
    pub payload_type: u8,
    /// The packet's number.
    pub sequence: Sequence,
    /// When its first sample was taken.
    pub timestamp: RtpTimestamp,
    /// Our one SSRC towards this party.
    pub ssrc: u32,
}

/// Writes the twelve octets of a header of ours: version 2, no padding, no extension, no CSRC.
pub fn write_header(octets: &mut [u8; HEADER_BYTES], line: Line) {
    octets[0] = 0x80;
    octets[1] = (u8::from(line.marker) << 7) | (line.payload_type & 0x7f);
    octets[2..4].copy_from_slice(&line.sequence.0.to_be_bytes());
    octets[4..8].copy_from_slice(&line.timestamp.0.to_be_bytes());
    octets[8..12].copy_from_slice(&line.ssrc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![first, 0x80, 0, 7, 0, 0, 0, 160, 1, 2, 3, 4];
        packet.extend_from_slice(rest);
        packet
    }

    #[test]
    fn a_plain_packet_is_read_and_written_back_the_same() {
        let packet = packet(0x80, &[9; 160]);
        let header = Header::parse(&packet).unwrap();
        assert!(header.is_plain(&packet));
        assert_eq!(header.payload(&packet), &[9; 160]);
        let mut octets = [0; HEADER_BYTES];
        write_header(
            &mut octets,
            Line {
                marker: header.marker,
                payload_type: header.payload_type,
                sequence: header.sequence,
                timestamp: header.timestamp,
                ssrc: header.ssrc,
            },
        );
        assert_eq!(octets, packet[..HEADER_BYTES]);
    }

    #[test]
    fn csrcs_extension_and_padding_are_not_payload() {
        let mut inside = vec![0, 0, 0, 1, 0, 0, 0, 2]; // two CSRCs
        inside.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]); // an extension of one word
        inside.extend([5, 5, 5, 0, 2]); // three octets of payload, two of padding
        let packet = packet(0x80 | 0x20 | 0x10 | 2, &inside);
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.payload(&packet), [5, 5, 5]);
        assert!(!header.is_plain(&packet));
    }

    #[test]
    fn lengths_that_lie_make_no_header() {
        for (first, rest) in [
            (0x40, &[0; 20][..]),                  // version 1
            (0x8f, &[0; 20][..]),                  // fifteen CSRCs, room for five
            (0x90, &[0xbe, 0xde, 0xff, 0xff][..]), // an extension longer than the packet
            (0x90, &[0xbe][..]),                   // an extension cut short
            (0xa0, &[0, 0, 0][..]),                // padding of nothing
            (0xa0, &[200][..]),                    // padding longer than the packet
        ] {
            assert_eq!(Header::parse(&packet(first, rest)), None);
        }
        assert_eq!(Header::parse(&[0x80; 11]), None);
    }
}
