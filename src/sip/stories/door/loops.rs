//! Calls that go round through us: what they may still pass is counted from one side to the other (RFC 7332).

use super::*;

const BEYOND: &str = "192.0.2.9:5060";

/// A second trunk, to which calls of the first go on, and which sends them back.
const SECOND: &str = r#"
[[trunk]]
id = "beyond"
tenant = "acme"
sources = ["192.0.2.9/32"]
destination = "192.0.2.9:5060;transport=udp"
"#;

fn two_trunks() -> House {
    House::with_two_trunks("", "")
}

/// An INVITE of its own for each round, with what is left.
fn round(number: u32, from: &str, left: &str) -> String {
    let host = from.split(':').next().unwrap();
    invite(&format!("r{number}"), "", &offer("0", ""))
        .replace("Max-Forwards: 70\n", left)
        .replace("by-hand", &format!("round-{number}"))
        .replace("branch=z9hG4bK", &format!("branch=z9hG4bK{number}-"))
        .replace("192.0.2.1:5060;branch", &format!("{host}:5060;branch"))
}

impl House {
    /// With these settings of the carrier, and of the trunk beyond.
    pub(super) fn with_two_trunks(carrier: &str, beyond: &str) -> House {
        let text = CONFIG.replace("PRACK", "supported").replace("OPTIONS", carrier);
        // Bob's telephone stands where the second trunk is.
        let text = text.replace("sip:bob@192.0.2.9:5060", "sip:bob@192.0.2.99:5060");
        match Config::parse(&format!("{text}{SECOND}{beyond}"), &Secrets) {
            Ok(config) => House::with(config),
            Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
        }
    }

    /// The call goes on over a trunk as it came.
    pub(super) fn goes_on(&mut self, number: u32, from: Caller, trunk: &str) -> Said {
        let address = Address::Trunk { trunk: TrunkId::new(trunk).unwrap(), number: "+15550123".into() };
        let target = Target { address, name: "+15550123".into() };
        let order = Order {
            leg: LegId(1_000 + u64::from(number)),
            action: LegAction::Dial(target),
            media: Some(MediaEnd { rtp: OUR_RTP.parse().unwrap() }),
            prefer: Vec::new(),
            caller: Some(from),
            card: None,
        };
        self.door.order(self.now, order);
        let said = self.collect();
        said.into_iter().find(|said| said.line().starts_with("INVITE ")).expect("an INVITE")
    }
}

#[test]
fn a_call_that_two_trunks_send_round_ends_and_every_round_with_it() {
    let mut house = two_trunks();
    let (mut left, mut open, mut last) = ("70".to_owned(), Vec::new(), None);
    for number in 0.. {
        assert!(number <= 70, "it never ends");
        let (from, to) = if number % 2 == 0 { (CARRIER, "beyond") } else { (BEYOND, "carrier") };
        let said = house.hears(udp(from), &round(number, from, &format!("Max-Forwards: {left}\n")));
        if said.last().unwrap().line() == "SIP/2.0 483 Too Many Hops" {
            break;
        }
        let came = house.came();
        let invite = house.goes_on(number, came.from, to);
        left = invite.get("Max-Forwards").to_owned();
        open.push(came.leg);
        last = Some((invite, if to == "beyond" { BEYOND } else { CARRIER }));
    }
    assert_eq!((open.len(), left.as_str()), (70, "0"));
    // The refusal goes back the whole way.
    let (invite, at) = last.unwrap();
    house.hears(udp(at), &invite.answered("483 Too Many Hops", "t", ""));
    let told = house.events();
    assert!(matches!(&told[..], [LegEvent::Ended(end)] if end.cause == Cause::Loop), "{told:?}");
    let back = house.order(open.pop().unwrap(), LegAction::HangUp(Cause::Loop), &[]).remove(0);
    assert_eq!((back.line(), back.get("Reason")), ("SIP/2.0 483 Too Many Hops", "Q.850;cause=25"));
}

#[test]
fn nobody_is_given_more_hops_than_a_call_that_begins_here() {
    for (number, (came, goes)) in [
        ("Max-Forwards: 255\n", "70"),
        ("Max-Forwards: 70\n", "69"),
        ("Max-Forwards: 1\n", "0"),
        ("", "70"), // RFC 3261 section 16.3: nobody has counted
    ]
    .into_iter()
    .enumerate()
    {
        let mut house = two_trunks();
        let number = number as u32;
        house.hears(udp(CARRIER), &round(number, CARRIER, came));
        let from = house.came().from;
        let invite = house.goes_on(number, from, "beyond");
        assert_eq!(invite.get("Max-Forwards"), goes, "{came}");
    }
}

#[test]
fn what_a_telephone_of_ours_counts_counts_as_well() {
    let mut house = House::new();
    let no = house.hears(udp(PHONE), &alices_invite(1, "alice", "")).pop().unwrap();
    let right = signature(&no, "secret-of-alice", &Method::Invite, "sip:+15550123@example.com");
    let call = alices_invite(2, "alice", &right).replace("Max-Forwards: 70", "Max-Forwards: 7");
    house.hears(udp(PHONE), &call);
    let from = house.came().from;
    assert_eq!(house.goes_on(0, from, "carrier").get("Max-Forwards"), "6");
}
