//! Packets on a stream (RFC 4571): each comes behind its length, in two octets. Pure.
//!
//! What is read may be torn or stuck together anywhere. What is written is whole packets: one for which there is no room is
//! left out, as a network would, and the rest of one that has begun comes before anything else.

use std::io;

/// The longest packet that is taken, as of datagrams: what fits into a packet of an Ethernet, and a little for those who
/// think otherwise. No browser's check, handshake or sound is longer, so whoever announces one is none.
pub const PACKET_BYTES_MAX: usize = 2048;

/// Octets of a length.
const LENGTH_BYTES: usize = 2;

/// A packet is announced that is longer than any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {0} bytes is announced")]
pub struct TooLong(pub usize);

/// Cuts what is read into packets. It holds less than a packet, and what was read last.
#[derive(Debug, Default)]
pub struct Framer {
    octets: Vec<u8>,
    /// How much of it has been given out.
    given: usize,
}

impl Framer {
    /// More has come.
    pub fn push(&mut self, octets: &[u8]) {
        self.octets.drain(..self.given);
        self.given = 0;
        self.octets.extend_from_slice(octets);
    }

    /// The next packet, if all of it is there.
    ///
    /// # Errors
    /// [`TooLong`]: where the next one begins is not known any more.
    pub fn pop(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        loop {
            let rest = self.octets.get(self.given..).unwrap_or_default();
            let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes(*length));
            if length > PACKET_BYTES_MAX {
                return Err(TooLong(length));
            }
            let Some(packet) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
            self.given += LENGTH_BYTES + length;
            // A length of nothing is allowed and says nothing (RFC 4571 section 2).
            if !packet.is_empty() {
                return Ok(Some(packet));
            }
        }
    }

    /// Octets that are held.
    pub fn held(&self) -> usize {
        self.octets.len() - self.given
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// All of it has left.
    Whole,
    /// Some of it has: the rest is kept, and there is something to [flush](Writer::flush).
    Begun,
    /// There is no room, and nothing of it has left.
    Dropped,
}

/// What leaves by a stream. It holds at most one packet, that has begun to leave.
#[derive(Debug, Default)]
pub struct Writer {
    frame: Vec<u8>,
    written: usize,
}

impl Writer {
    /// Sends a packet by `write`, which takes as much as there is room for, and does not wait.
    ///
    /// # Errors
    /// Those of `write`, other than that it would have to wait. The stream is of no use any more.
    pub fn send(
        &mut self,
        packet: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<Left> {
        let Ok(length) = u16::try_from(packet.len()) else { return Ok(Left::Dropped) };
        if !self.flush(&mut write)? {
            return Ok(Left::Dropped);
        }
        self.written = 0;
        self.frame.clear();
        self.frame.extend_from_slice(&length.to_be_bytes());
        self.frame.extend_from_slice(packet);
        if self.flush(write)? {
            return Ok(Left::Whole);
        }
        if self.written == 0 {
            self.frame.clear(); // nobody knows of it yet, and later it is of no use
            return Ok(Left::Dropped);
        }
        Ok(Left::Begun)
    }

    /// Writes what is left of a packet that has begun to leave; whether nothing is.
    ///
    /// # Errors
    /// As of [`Writer::send`].
    pub fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        while let Some(rest) = self.frame.get(self.written..).filter(|rest| !rest.is_empty()) {
            match write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => self.written += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether a packet has begun to leave and not left.
    pub fn is_under_way(&self) -> bool {
        self.written < self.frame.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(packets: &[&[u8]]) -> Vec<u8> {
        packets
            .iter()
            .flat_map(|packet| [&(packet.len() as u16).to_be_bytes()[..], packet].concat())
            .collect()
    }

    #[test]
    fn packets_come_out_whole_however_the_stream_is_cut() {
        let packets: [&[u8]; 4] = [b"a", &[7; PACKET_BYTES_MAX], b"", b"the last"];
        let stream = framed(&packets);
        for size in [1, 2, 3, 7, 1000, stream.len()] {
            let (mut framer, mut came) = (Framer::default(), Vec::new());
            for piece in stream.chunks(size) {
                framer.push(piece);
                came.extend(std::iter::from_fn(|| framer.pop().unwrap()));
                assert!(framer.held() <= PACKET_BYTES_MAX + LENGTH_BYTES);
            }
            assert_eq!(came, [packets[0], packets[1], packets[3]], "cut into {size}; nothing is no packet");
            assert_eq!(framer.held(), 0);
        }
    }

    #[test]
    fn a_length_beyond_any_packet_is_the_end_before_anything_of_it_is_kept() {
        let mut framer = Framer::default();
        framer.push(&framed(&[b"good"]));
        framer.push(&(PACKET_BYTES_MAX as u16 + 1).to_be_bytes());
        assert_eq!(framer.pop(), Ok(Some(b"good".to_vec())));
        for _ in 0..2 {
            assert_eq!(framer.pop(), Err(TooLong(PACKET_BYTES_MAX + 1)), "and stays so");
        }
    }

    /// A socket with room for so many octets.
    fn room(left: &mut usize, out: &mut Vec<u8>) -> impl FnMut(&[u8]) -> io::Result<usize> {
        |octets| {
            let taken = octets.len().min(*left);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            *left -= taken;
            out.extend_from_slice(&octets[..taken]);
            Ok(taken)
        }
    }

    #[test]
    fn what_a_slow_reader_gets_are_whole_packets() {
        let (mut writer, mut out) = (Writer::default(), Vec::new());
        let mut left_whole = Vec::new();
        // Room comes in pieces that never fit: every way to be torn apart.
        for n in 0..500_u16 {
            let packet = vec![n as u8; 40 + usize::from(n % 23)];
            let mut left = usize::from(n * 7 % 31);
            let became = writer.send(&packet, room(&mut left, &mut out)).unwrap();
            assert!(became != Left::Begun || writer.is_under_way());
            assert!(became != Left::Whole || !writer.is_under_way());
            if became != Left::Dropped {
                left_whole.push(packet);
            }
        }
        let mut left = usize::MAX;
        assert!(writer.flush(room(&mut left, &mut out)).unwrap());
        let mut framer = Framer::default();
        framer.push(&out);
        let came: Vec<_> = std::iter::from_fn(|| framer.pop().unwrap()).collect();
        assert_eq!(came, left_whole, "what was not dropped, in order, and nothing else");
        assert_eq!(framer.held(), 0);
        assert!((50..450).contains(&came.len()), "{}: some were dropped, and some were not", came.len());
    }

    #[test]
    fn a_packet_for_which_there_is_no_room_at_all_is_not_sent_later() {
        let (mut writer, mut out, mut left) = (Writer::default(), Vec::new(), 0);
        assert_eq!(writer.send(b"late", room(&mut left, &mut out)).unwrap(), Left::Dropped);
        left = 100;
        assert_eq!(writer.send(b"now", room(&mut left, &mut out)).unwrap(), Left::Whole);
        assert_eq!(out, framed(&[b"now"]));
        let broken = writer.send(b"x", |_| Err(io::ErrorKind::ConnectionReset.into()));
        assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(writer.send(&vec![0; 70_000], |_| panic!("nothing to write")).unwrap(), Left::Dropped);
    }
}
