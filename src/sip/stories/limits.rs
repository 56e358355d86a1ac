//! Limits: what is refused when there is too much of it, and that nothing stays behind.

use super::*;
use crate::sip::session::{CommandError, Refusal};

fn nth(invite: &str, i: usize) -> String {
    invite.replace("z9hG4bKa", &format!("z9hG4bKn{i}")).replace("by-hand", &format!("by-hand-{i}"))
}

#[test]
fn calls_beyond_the_limit_are_503_with_retry_after() {
    let config = EndpointConfig { max_sessions: 10, ..EndpointConfig::default() };
    let mut solo = Solo::with(config);
    for i in 0..10 {
        assert_eq!(solo.hears(&nth(&an_invite("a", ""), i))[0].line(), "SIP/2.0 100 Trying");
    }
    let no = solo.hears(&nth(&an_invite("a", ""), 10)).remove(0);
    assert_eq!((no.line(), no.get("Retry-After")), ("SIP/2.0 503 Service Unavailable", "5"));
    let dial = Wire::new(Transport::Udp).a_dial(End::Alice);
    assert_eq!(solo.endpoint.dial(solo.now, dial), Err(CommandError::Limit));
    for i in 0..10 {
        let id = solo.incoming[i].session;
        solo.endpoint.reject(solo.now, id, &Refusal::new(480)).unwrap();
    }
    solo.assert_nothing_is_left();
}

#[test]
fn transactions_beyond_the_limit_are_503_and_leave_no_trace() {
    let config = EndpointConfig { max_transactions: 20, ..EndpointConfig::default() };
    let mut solo = Solo::with(config);
    for i in 0..100 {
        let options = a_request("OPTIONS", &format!("o{i}"), "", 1, "").replace("by-hand", &format!("c{i}"));
        let said = solo.hears(&options).remove(0);
        let expected = if i < 20 { "SIP/2.0 200 OK" } else { "SIP/2.0 503 Service Unavailable" };
        assert_eq!(said.line(), expected);
        assert!(solo.endpoint.transactions() <= 20);
    }
    solo.assert_nothing_is_left();
}

#[test]
fn a_thousand_calls_of_every_ending_leave_nothing_behind() {
    let mut wire = Wire::new(Transport::Udp);
    for i in 0..1000 {
        let alice = wire.alice_dials();
        if i % 7 == 6 {
            wire.lose(); // the INVITE is lost and nobody hears of the call until it is repeated
        }
        wire.settle();
        let Some(bob) = wire.incoming.pop().map(|(_, incoming)| incoming.session) else { continue };
        let now = wire.now;
        match i % 7 {
            0 => wire.bob.reject(now, bob, &Refusal::new(486)).unwrap(),
            1 => wire.alice.hang_up(now, alice, &[]).unwrap(),
            2 => {
                wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
                wire.alice.hang_up(now, alice, &[]).unwrap();
            }
            3 => {
                wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
                wire.settle();
                wire.bob.hang_up(now, bob, &[]).unwrap();
            }
            4 => {
                wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
                wire.lose(); // the 200 comes again
                wire.pass(Duration::from_millis(600));
                let now = wire.now;
                wire.alice.hang_up(now, alice, &[]).unwrap();
            }
            _ => wire.bob.hang_up(now, bob, &[]).unwrap(),
        }
        wire.settle();
        wire.pass(Duration::from_millis(10));
    }
    // Calls whose INVITE was lost have come by now; nobody answers them.
    wire.pass(Duration::from_secs(2));
    let (now, late) = (wire.now, std::mem::take(&mut wire.incoming));
    for (_, incoming) in late {
        wire.bob.hang_up(now, incoming.session, &[]).unwrap();
    }
    wire.assert_nothing_is_left();
}

#[test]
fn mutilated_messages_never_panic_and_leave_nothing_behind() {
    let mut solo = Solo::new();
    let (_, tag) = solo.is_called();
    let messages = [
        an_invite("m", "Require: 100rel\nSession-Expires: 90;refresher=uac\nSupported: timer\n"),
        a_request("BYE", "b", &tag, 1, "Reason: Q.850;cause=16\n"),
        a_request("ACK", "k", &tag, 1, ""),
        a_request("CANCEL", "m", "", 1, ""),
        a_request("PRACK", "p", &tag, 1, "RAck: 1 1 INVITE\n"),
    ];
    // A small linear congruential generator: the same mutilations each time.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    for round in 0..20_000 {
        let mut octets = messages[round % messages.len()].replace('\n', "\r\n").into_bytes();
        octets.extend_from_slice(b"\r\n");
        for _ in 0..1 + next(4) {
            let at = next(octets.len());
            match next(3) {
                0 => octets[at] = next(256) as u8,
                1 => drop(octets.remove(at)),
                _ => octets.insert(at, next(256) as u8),
            }
        }
        solo.hears_octets(&octets);
    }
    for incoming in std::mem::take(&mut solo.incoming) {
        let _ = solo.endpoint.hang_up(solo.now, incoming.session, &[]);
    }
    for (id, _) in std::mem::take(&mut solo.events) {
        let _ = solo.endpoint.hang_up(solo.now, id, &[]);
    }
    solo.assert_nothing_is_left();
}
