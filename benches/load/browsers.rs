//! Browsers: ICE, DTLS and SRTP of others (str0m), all driven by one thread of the load's. Each calls a desk, and what the
//! two say to each other are stamps, so that loss and delay are counted as on the wire of telephones.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, SeqNo};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::gateway::Gateway;
use crate::patience::PATIENCE;
use crate::stream::{PTIME, departure, stamp};

/// PCMU, which relayed packets of the desks are too.
const PAYLOAD_TYPE: u8 = 0;
const SAMPLES: u32 = 160;

/// The longest any browser sleeps: the desks have to be looked at too.
const NAP: Duration = Duration::from_millis(5);

/// Longer than any datagram of the gateway.
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Browsers, in calls.
pub(crate) struct Browsers {
    peers: Vec<Peer>,
    epoch: Instant,
    /// Delays of stamped packets that came, µs; when it is asked for.
    delays_us: Option<Vec<u32>>,
}

struct Peer {
    rtc: Rtc,
    mid: Mid,
    socket: UdpSocket,
    at: SocketAddr,
    leg: String,
    /// When it wants to be woken.
    wake: Instant,
    is_connected: bool,
    has_heard: bool,
    source: Option<u32>,
    sequence: u64,
}

impl Browsers {
    pub(crate) fn new(epoch: Instant) -> Browsers {
        Browsers { peers: Vec::new(), epoch, delays_us: None }
    }

    /// Another one calls `to`. How long it takes from the offer to the first packet of the desk's voice; `meanwhile` is
    /// called again and again, and lets the desk answer and speak.
    pub(crate) fn call(
        &mut self,
        gateway: &Gateway,
        token: &str,
        to: &str,
        mut meanwhile: impl FnMut(),
    ) -> Result<Duration, String> {
        let wrong = |what: &dyn std::fmt::Display| what.to_string();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| wrong(&error))?;
        socket.set_nonblocking(true).map_err(|error| wrong(&error))?;
        let at = socket.local_addr().map_err(|error| wrong(&error))?;
        // A browser makes its certificate once and keeps it; so what that takes is no part of the call.
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
            .clear_codecs()
            .set_rtp_mode(true)
            .enable_pcmu(true, false)
            .build(Instant::now());
        let begun = Instant::now();
        rtc.add_local_candidate(Candidate::host(at, "udp").map_err(|error| wrong(&error))?);
        let mut change = rtc.sdp_api();
        let mid = change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = change.apply().ok_or("nothing to offer")?;
        let (leg, sdp) = gateway.connect_browser(token, &offer.to_sdp_string(), to)?;
        let answer = SdpAnswer::from_sdp_string(&sdp).map_err(|error| wrong(&error))?;
        rtc.sdp_api().accept_answer(pending, answer).map_err(|error| wrong(&error))?;
        let (wake, source) = (Instant::now(), None);
        let (is_connected, has_heard) = (false, false);
        self.peers.push(Peer {
            rtc,
            mid,
            socket,
            at,
            leg,
            wake,
            is_connected,
            has_heard,
            source,
            sequence: 0,
        });
        while begun.elapsed() < PATIENCE {
            self.pump(Instant::now() + NAP);
            meanwhile();
            match self.peers.last() {
                Some(peer) if peer.has_heard => return Ok(begun.elapsed()),
                Some(_) => {}
                None => return Err("it closed".to_owned()),
            }
        }
        let is_connected = self.peers.last().is_some_and(|peer| peer.is_connected);
        Err(format!("{to} was never heard; connected: {is_connected}"))
    }

    /// Their legs, to hang up.
    pub(crate) fn legs(&self) -> impl Iterator<Item = &str> {
        self.peers.iter().map(|peer| &*peer.leg)
    }

    /// Keeps connections alive until then, saying nothing.
    pub(crate) fn pump(&mut self, until: Instant) {
        loop {
            let now = Instant::now();
            let mut wake = until;
            for peer in &mut self.peers {
                if peer.wake <= now {
                    peer.tick(now);
                }
                wake = wake.min(peer.wake);
            }
            if Instant::now() >= until {
                return;
            }
            let patience =
                Timespec::try_from(wake.saturating_duration_since(Instant::now())).unwrap_or_default();
            let mut ready: Vec<PollFd<'_>> =
                self.peers.iter().map(|peer| PollFd::new(&peer.socket, PollFlags::IN)).collect();
            // Interrupted or not, the sockets are read next.
            let _ = poll(&mut ready, Some(&patience));
            let readable: Vec<bool> = ready.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(ready);
            for (peer, _) in self.peers.iter_mut().zip(readable).filter(|(_, readable)| *readable) {
                peer.read(self.epoch, &mut self.delays_us);
            }
        }
    }

    /// Everybody says a stamp each 20 ms until told to stop; `sent` counts them. Delays of what came from the desks, µs.
    pub(crate) fn talk(&mut self, sent: &AtomicU64, stop: &AtomicBool) -> Vec<u32> {
        self.delays_us = Some(Vec::new());
        let begin = Instant::now();
        // Spread over the packet time, as people are.
        let step = PTIME / u32::try_from(self.peers.len().max(1)).unwrap_or(u32::MAX);
        for turn in 0u32.. {
            if stop.load(Ordering::Acquire) {
                break;
            }
            self.pump(begin + step * turn);
            let index = turn as usize % self.peers.len().max(1);
            let slot = (self.epoch.elapsed().as_nanos() / PTIME.as_nanos()) as u32;
            if let Some(peer) = self.peers.get_mut(index) {
                sent.fetch_add(u64::from(peer.say(self.epoch, slot)), Ordering::Relaxed);
            }
        }
        self.delays_us.take().unwrap_or_default()
    }
}

impl Peer {
    fn tick(&mut self, now: Instant) {
        // One that is over says so by its silence: it is counted as deaf.
        let _over = self.rtc.handle_input(Input::Timeout(now));
        self.drain(now);
    }

    fn read(&mut self, epoch: Instant, delays_us: &mut Option<Vec<u32>>) {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        while let Ok((length, source)) = self.socket.recv_from(&mut datagram) {
            let octets = &datagram[..length];
            self.expect(octets);
            let Ok(contents) = octets.try_into() else { continue };
            let now = Instant::now();
            let receive = Receive { proto: Protocol::Udp, source, destination: self.at, contents };
            let _over = self.rtc.handle_input(Input::Receive(now, receive));
            if let Some(departed) = self.drain(now) {
                self.has_heard = true;
                let came = u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
                if let Some(delays) = delays_us {
                    delays.push(u32::try_from(came.saturating_sub(departed) / 1_000).unwrap_or(u32::MAX));
                }
            }
        }
    }

    /// Takes the sound of whichever source it comes from, as browsers do with one that the description does not name.
    fn expect(&mut self, datagram: &[u8]) {
        let [first, kind, .., a, b, c, d] = *datagram.get(..12).unwrap_or_default() else { return };
        // RFC 7983 section 7, and RFC 5761 section 4 for what is RTCP.
        if !(128..192).contains(&first) || (192..=223).contains(&kind) {
            return;
        }
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        if self.source != Some(ssrc) {
            self.source = Some(ssrc);
            self.rtc.direct_api().expect_stream_rx(ssrc.into(), None, self.mid, None);
        }
    }

    /// Sends what is to be sent; when the stamp left that has just come, if one has.
    fn drain(&mut self, now: Instant) -> Option<u64> {
        let mut departed = None;
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.wake = at;
                    return departed;
                }
                Ok(Output::Transmit(transmit)) => {
                    // A full socket buffer loses it as a network would.
                    let _ = self.socket.send_to(&transmit.contents, transmit.destination);
                }
                Ok(Output::Event(Event::Connected)) => self.is_connected = true,
                Ok(Output::Event(Event::RtpPacket(packet))) => {
                    departed = departure(&packet.payload).or(departed);
                }
                Ok(Output::Event(_)) => {}
                Err(_) => {
                    self.wake = now + PATIENCE;
                    return departed;
                }
            }
        }
    }

    /// Says one stamp, if it can.
    fn say(&mut self, epoch: Instant, slot: u32) -> bool {
        if !self.is_connected {
            return false;
        }
        self.sequence += 1;
        let (sequence, now) = (SeqNo::from(self.sequence), Instant::now());
        let time = slot.wrapping_mul(SAMPLES);
        let write = RtpWrite::new(Pt::from(PAYLOAD_TYPE), sequence, time, now, stamp(epoch).to_vec());
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(self.mid, None) else { return false };
        stream.write_rtp(write);
        self.tick(now);
        true
    }
}
