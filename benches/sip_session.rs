//! What a call costs in signalling: INVITE, 100, 180, 200, ACK, BYE, 200 through two endpoints, no sockets.
//!
//! Divide by two for one leg. The gateway has two legs per call, so the figure is also what a call costs it.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use sidetone::sip::endpoint::{Endpoint, EndpointConfig, Output};
use sidetone::sip::flow::{Destination, Peer, Transport};
use sidetone::sip::header::NameAddr;
use sidetone::sip::manners::Manners;
use sidetone::sip::session::{Dial, NextHop, Reliable, SessionId};
use sidetone::sip::uri::Uri;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 8 0 9 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n";

struct Pair {
    caller: Endpoint,
    callee: Endpoint,
    addresses: [SocketAddr; 2],
    now: Instant,
    came: Option<SessionId>,
}

impl Pair {
    fn new() -> Pair {
        Pair {
            caller: Endpoint::new(EndpointConfig::default(), [1; 32]),
            callee: Endpoint::new(EndpointConfig::default(), [2; 32]),
            addresses: [SocketAddr::from(([192, 0, 2, 1], 5060)), SocketAddr::from(([192, 0, 2, 2], 5060))],
            now: Instant::now(),
            came: None,
        }
    }

    fn dial(&mut self) -> SessionId {
        let dial = Dial {
            target: Uri::parse(Bytes::from_static(b"sip:+4930123456@192.0.2.2")).expect("a URI"),
            destination: Destination {
                transport: Transport::Udp,
                remote: self.addresses[1],
                local: Some(self.addresses[0]),
                connection: None,
                tls: None,
            },
            next_hop: NextHop::Follow,
            from: NameAddr::new(Uri::parse(Bytes::from_static(b"sip:+4930999999@192.0.2.1")).expect("a URI")),
            to: None,
            routes: Vec::new(),
            offer: Some(Bytes::from_static(SDP.as_bytes())),
            headers: Vec::new(),
            location: None,
            reliable: Reliable::No,
            timers: None,
            credentials: None,
            patience: None,
            hops: 70,
            manners: Manners::plain(),
        };
        self.caller.dial(self.now, dial).expect("room for a call")
    }

    /// Carries messages until both are quiet.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for from in 0..2 {
                loop {
                    let end = if from == 0 { &mut self.caller } else { &mut self.callee };
                    match end.poll() {
                        Some(Output::Transmit { bytes, .. }) => {
                            quiet = false;
                            let peer = Peer {
                                transport: Transport::Udp,
                                remote: self.addresses[from],
                                local: self.addresses[1 - from],
                                connection: None,
                                tls: None,
                            };
                            let other = if from == 0 { &mut self.callee } else { &mut self.caller };
                            other.receive(self.now, peer, bytes);
                        }
                        Some(Output::Incoming(incoming)) => self.came = Some(incoming.session),
                        Some(_) => {}
                        None => break,
                    }
                }
            }
            if quiet {
                break;
            }
        }
    }

    fn call(&mut self) {
        let caller = self.dial();
        self.settle();
        let callee = self.came.take().expect("the call has come");
        self.callee.ring(self.now, callee).expect("it rings");
        self.settle();
        self.callee.accept(self.now, callee, Bytes::from_static(SDP.as_bytes())).expect("it is accepted");
        self.settle();
        self.caller.hang_up(self.now, caller, &[]).expect("it is hung up");
        self.settle();
        // 300 calls a second: finished transactions leave the maps as in real life.
        self.now += Duration::from_micros(3333);
        self.caller.handle_timeout(self.now);
        self.callee.handle_timeout(self.now);
    }
}

fn call_set_up(c: &mut Criterion) {
    let mut pair = Pair::new();
    for _ in 0..12_000 {
        pair.call(); // 40 s of calls, so that the maps have their usual size
    }
    c.bench_function("sip_session/invite_to_bye_both_ends", |b| b.iter(|| black_box(&mut pair).call()));
}

criterion_group!(benches, call_set_up);
criterion_main!(benches);
