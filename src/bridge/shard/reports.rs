//! RTCP: what comes in, and reports and good-byes that go out (RFC 3550 section 6).

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use sidetone_media::stream::rtcp;

use super::sockets::Out;
use super::{Link, Shard};
use crate::bridge::room::{SEALED_REPORT_BYTES, Wire};
use crate::call::CallId;

impl Shard {
    pub(super) fn rtcp_in(
        &mut self,
        now: Instant,
        call: CallId,
        slot: usize,
        from: SocketAddr,
        octets: &mut [u8],
    ) {
        let Some(entry) = self.rooms.get_mut(&call) else { return };
        // The tag or the address first, as with RTP.
        let Some(length) = entry.room.open_rtcp(slot, octets, from) else { return };
        let octets = &octets[..length];
        entry.room.note_report(now, slot);
        let Some((line, receive)) = entry.room.rtcp_parts(slot) else { return };
        match rtcp::read(octets, line, wall_ntp()) {
            Ok(heard) => {
                if let Some(sender) = heard.sender {
                    receive.sender_report(now, sender.ssrc, sender.ntp);
                }
                if let Some(about_us) = heard.about_us {
                    entry.room.note_remote(slot, about_us);
                }
            }
            Err(error) => tracing::trace!(%call, %error, "RTCP not understood"),
        }
    }

    /// RFC 3550 section 6.3.7: who never sent anything must not say BYE.
    pub(super) fn say_goodbye(&mut self, now: Instant, call: CallId, slot: usize) {
        let Some(entry) = self.rooms.get_mut(&call) else { return };
        let has_spoken = entry.room.rtcp_parts(slot).is_some_and(|(line, _)| line.sent().0 > 0);
        let index = entry.by_slot.get(slot).copied().flatten();
        if has_spoken || index.and_then(|index| self.sockets.get(index)).is_some_and(|s| s.reported) {
            self.report(now, call, slot, rtcp::goodbye);
        }
    }

    /// Sends a leg's report, and sets when the next is due.
    pub(super) fn report(&mut self, now: Instant, call: CallId, slot: usize, write: WriteReport) {
        let random = self.random();
        let Some(entry) = self.rooms.get_mut(&call) else { return };
        let Some(index) = entry.by_slot.get(slot).copied().flatten() else { return };
        let Some(socket) = self.sockets.get_mut(index) else { return };
        socket.report.next(now, random);
        let separate = match &socket.link {
            Link::Udp(pair) => Some(&pair.rtcp),
            // A wire that ends in the process needs no reports: nothing is lost on it that is not known.
            Link::Wire(_) if !entry.room.shares_port(slot) => return,
            Link::Wire(_) => None,
        };
        let Some(to) = entry.room.rtcp_target(slot) else { return };
        let Some((line, receive)) = entry.room.rtcp_parts(slot) else { return };
        let mut octets = [0; SEALED_REPORT_BYTES];
        // RFC 3550 section 6.5.1 wants a name that lasts for the session; RFC 7022: and no more.
        let cname = socket.leg.to_string();
        let length = write(now, wall_ntp(), line, receive, &cname, &mut octets);
        let Some(length) = entry.room.seal_rtcp(slot, &mut octets, length).filter(|_| length > 0) else {
            return;
        };
        socket.reported = true;
        if let Some(rtcp) = separate.filter(|_| !entry.room.shares_port(slot)) {
            // Reports are repeated; one that is not sent is not missed.
            let _sent = rtcp.send_to(&octets[..length], to);
            return;
        }
        let mut wire = Out { sockets: &mut self.sockets, by_slot: &entry.by_slot };
        wire.rtp(slot, to, &octets[..length]);
    }
}

type WriteReport = fn(
    Instant,
    u64,
    &sidetone_media::stream::line::SendLine,
    &mut sidetone_media::stream::receive::Receive,
    &str,
    &mut [u8],
) -> usize;

fn wall_ntp() -> u64 {
    rtcp::ntp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
