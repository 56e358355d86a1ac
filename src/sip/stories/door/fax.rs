//! Fax (T.38): we carry voice, and say so without losing the call, so that the machines go on over the voice path.

use super::*;

/// A machine that has heard the other's tone asks for T.38 (T.38 annex D).
const IMAGE: &str = "v=0\no=- 7 8 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=image 40002 udptl t38\na=T38FaxVersion:0\na=T38MaxBitRate:14400\na=T38FaxUdpEC:t38UDPRedundancy\n";

#[test]
fn a_call_that_wants_to_become_a_fax_is_told_488_and_stays_a_voice_call() {
    let mut house = House::new();
    let (leg, tag) = house.carrier_is_answered();

    let said = house.hears(udp(CARRIER), &inside("INVITE", "f2", &tag, 2, "", IMAGE));
    assert_eq!(said.last().unwrap().line(), "SIP/2.0 488 Not Acceptable Here");
    house.hears(udp(CARRIER), &inside("ACK", "f2", &tag, 2, "", ""));
    assert!(house.told().is_empty(), "nothing of the call has changed");
    assert_eq!(house.door.legs(), 1);

    // The carrier goes on with what was agreed, and both may still speak.
    let same = inside("INVITE", "f3", &tag, 3, "", &offer("0 8", ""));
    let said = house.hears(udp(CARRIER), &same);
    let ok = said.iter().find(|said| said.line() == "SIP/2.0 200 OK").unwrap();
    assert!(ok.body().contains("m=audio 20000 RTP/AVP 0"), "{}", ok.body());
    house.hears(udp(CARRIER), &inside("ACK", "k3", &tag, 3, "", ""));
    assert!(house.order(leg, LegAction::HangUp(Cause::Normal), &[])[0].line().starts_with("BYE "));
}

#[test]
fn a_fax_beside_the_voice_is_refused_alone() {
    let mut house = House::new();
    let (_, tag) = house.carrier_is_answered();
    let both = offer("0", "") + "m=image 40002 udptl t38\na=T38FaxVersion:0\n";
    let said = house.hears(udp(CARRIER), &inside("INVITE", "f2", &tag, 2, "", &both));
    let ok = said.iter().find(|said| said.line() == "SIP/2.0 200 OK").unwrap();
    let lines: Vec<&str> = ok.body().lines().filter(|line| line.starts_with("m=")).collect();
    // RFC 3264 section 6: as many lines as were offered, in their order, and port 0 says no.
    assert_eq!(lines.len(), 2, "{}", ok.body());
    assert!(lines[0].starts_with("m=audio 20000 RTP/AVP 0"), "{lines:?}");
    assert!(lines[1].starts_with("m=image 0 udptl t38"), "{lines:?}");
    house.hears(udp(CARRIER), &inside("ACK", "k2", &tag, 2, "", ""));
    assert!(house.told().is_empty());
}

#[test]
fn a_call_that_begins_as_a_fax_is_refused_with_488() {
    let mut house = House::new();
    let mut said = house.hears(udp(CARRIER), &invite("a", "", IMAGE));
    if let Some(Report::Incoming(came)) = house.told().pop() {
        said = house.order(came.leg, LegAction::Answer, &[]);
    }
    assert_eq!(said.pop().unwrap().line(), "SIP/2.0 488 Not Acceptable Here");
    assert_eq!(house.door.legs(), 0);
}
