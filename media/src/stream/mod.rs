//! RTP streams: what arrives, what is sent, and what both ends tell each other about it.
//!
//! A leg has one stream each way. [`rtp`] reads and writes headers. [`receive`] judges every packet
//! that comes in and counts; [`mod@line`] numbers every packet that goes out; [`rtcp`] turns both counts
//! into reports and reads the other side's. [`event`] is the keypad: digits as RTP packets, and [`passing`] takes them to
//! a line with another clock.
//!
//! # Invariants
//! - One SSRC out for the life of a leg; at most one SSRC in at a time.
//! - State is small and fixed: nothing here grows with the length of a call.

pub mod event;
pub mod line;
pub mod passing;
pub mod receive;
pub mod rtcp;
pub mod rtp;

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    /// A relayed leg keeps nothing but this; thousands of them must stay in the cache.
    #[test]
    fn the_state_of_both_directions_is_under_a_kilobyte() {
        let leg = size_of::<super::line::SendLine>()
            + size_of::<super::receive::Receive>()
            + size_of::<super::rtcp::Interval>()
            + size_of::<Option<super::rtcp::Remote>>()
            + size_of::<super::event::Digits>()
            + size_of::<super::passing::Passing>()
            + size_of::<super::event::SendDigits>();
        assert!(leg < 1024, "{leg} octets");
    }
}
