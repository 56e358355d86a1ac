//! Two endpoints, random commands, and a wire that loses, doubles and reorders.
//!
//! Whatever happens, each session ends exactly once and nothing stays behind. A failure names its seed.

use super::End::{Alice, Bob};
use super::*;
use crate::random::Random;
use crate::sip::session::{Refusal, SessionTimers};

struct Chaos {
    wire: Wire,
    random: Random,
    calls: Vec<(End, SessionId)>,
    told: usize,
    offers: usize,
}

impl Chaos {
    fn new(seed: u64, transport: Transport) -> Chaos {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Chaos {
            wire: Wire::new(transport),
            random: Random::new(bytes),
            calls: Vec::new(),
            told: 0,
            offers: 0,
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn any_call(&mut self) -> Option<(End, SessionId)> {
        let count = self.calls.len() as u64;
        (count > 0).then(|| self.calls[self.random.below(count) as usize])
    }

    fn dial(&mut self) {
        let from = if self.chance(50) { Alice } else { Bob };
        let mut dial = self.wire.a_dial(from);
        if self.chance(20) {
            dial.offer = None;
        }
        dial.reliable =
            [Reliable::No, Reliable::Supported, Reliable::Required][self.random.below(3) as usize];
        if self.chance(30) {
            dial.timers = Some(SessionTimers { interval: 90, min: 90 });
        }
        let now = self.wire.now;
        let id = self.wire.end(from).dial(now, dial).unwrap();
        self.calls.push((from, id));
    }

    /// One command to one session, sensible or not: a refusal of the command is fine, a panic is not.
    fn command(&mut self) {
        let Some((end, id)) = self.any_call() else { return };
        let (now, dice) = (self.wire.now, self.random.below(12));
        let endpoint = self.wire.end(end);
        let _ = match dice {
            0 => endpoint.ring(now, id),
            1 => endpoint.progress(now, id, 183, Some(sdp(ANSWER)), true),
            2 => endpoint.progress(now, id, 183, Some(sdp(ANSWER)), false),
            3..6 => endpoint.accept(now, id, sdp(ANSWER)),
            6 => endpoint.reject(now, id, &Refusal::new(486)),
            7 => endpoint.hang_up(now, id, &["Q.850;cause=16".into()]),
            8 | 9 => endpoint.reinvite(now, id, Some(sdp(OFFER))),
            10 => endpoint.reinvite(now, id, None),
            _ => endpoint.acknowledge(now, id, sdp(ANSWER)),
        };
    }

    /// Answers what must be answered, as a user of the endpoint would.
    fn react(&mut self) {
        self.wire.collect();
        for (end, incoming) in std::mem::take(&mut self.wire.incoming) {
            self.calls.push((end, incoming.session));
        }
        while self.told < self.wire.events.len() {
            let (end, id, event) = self.wire.events[self.told].clone();
            self.told += 1;
            let now = self.wire.now;
            match event {
                SessionEvent::Reinvited { .. } => {
                    self.offers += 1;
                    let answer = if self.chance(80) { Ok(sdp(ANSWER)) } else { Err(488) };
                    let _ = self.wire.end(end).answer_reinvite(now, id, answer);
                }
                SessionEvent::Answered { is_answer: false, .. }
                | SessionEvent::ReinviteAnswered { is_answer: false, .. } => {
                    let _ = self.wire.end(end).acknowledge(now, id, sdp(ANSWER));
                }
                _ => {}
            }
        }
        self.wire.collect();
    }

    fn fly(&mut self, rough: bool) {
        while let Some(message) = self.wire.flying.pop_front() {
            if rough && self.chance(15) {
                continue; // lost
            }
            if rough && self.chance(10) {
                self.wire.flying.push_back(message.clone()); // doubled
            }
            if rough && self.chance(20) {
                self.wire.flying.push_back(message); // late
                if self.wire.flying.len() == 1 {
                    break;
                }
                continue;
            }
            self.wire.deliver(message);
            self.react();
        }
    }

    fn wait(&mut self, span: Duration, rough: bool) {
        let until = self.wire.now + span;
        loop {
            self.react();
            self.fly(rough);
            let next =
                [self.wire.alice.poll_timeout(), self.wire.bob.poll_timeout()].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= until) else { break };
            self.wire.now = self.wire.now.max(at);
            let now = self.wire.now;
            self.wire.alice.handle_timeout(now);
            self.wire.bob.handle_timeout(now);
        }
        self.wire.now = until;
    }

    fn play(mut self, seed: u64) -> usize {
        let rough = self.wire.transport == Transport::Udp;
        for _ in 0..60 {
            if self.chance(30) {
                self.dial();
            }
            self.command();
            let millis = [0, 0, 1, 40, 700, 3000][self.random.below(6) as usize];
            self.wait(Duration::from_millis(millis), rough);
        }
        // Everybody hangs up; then every timer runs out.
        for (end, id) in self.calls.clone() {
            let now = self.wire.now;
            let _ = self.wire.end(end).hang_up(now, id, &[]);
        }
        self.wait(Duration::from_secs(1), rough);
        for (end, id) in self.calls.clone() {
            let now = self.wire.now;
            let _ = self.wire.end(end).hang_up(now, id, &[]);
        }
        self.wait(Duration::from_secs(800), false);
        for &(end, id) in &self.calls {
            assert!(self.wire.ended(end, id).is_some(), "seed {seed}: {end:?} {id:?} never ended");
        }
        self.wire.alice.assert_empty();
        self.wire.bob.assert_empty();
        self.offers
    }
}

#[test]
fn whatever_the_wire_does_every_session_ends_once_and_nothing_is_left() {
    let mut offers = 0;
    for seed in 0..300 {
        offers += Chaos::new(seed, Transport::Udp).play(seed);
        offers += Chaos::new(seed, Transport::Tcp).play(seed);
    }
    assert!(offers > 1000, "the stories reached the middle of a call {offers} times");
}
