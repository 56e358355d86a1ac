//! Keys in descriptions, at the door: a trunk over TLS that wants its sound protected.

use super::*;

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const OTHER_KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

/// A house whose carrier comes over TLS and must bring keys.
fn protected() -> House {
    let text = CONFIG
        .replace(
            "destination = \"192.0.2.1:5060;transport=udp\"",
            "tls = { verify = \"off\" }\nsrtp = \"required\"",
        )
        .replace("PRACK", "supported")
        .replace("OPTIONS", "");
    match Config::parse(&text, &Secrets) {
        Ok(config) => House::with(config),
        Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
    }
}

fn tls(remote: &str) -> Peer {
    Peer { transport: Transport::Tls, connection: Some(ConnectionId(1)), ..udp(remote) }
}

/// An offer of SRTP with these lines of keys.
fn keyed(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("a=crypto:{line}\r\n")).collect();
    offer("0", "").replace("RTP/AVP", "RTP/SAVP") + &lines
}

fn crypto_of(said: &Said) -> Vec<String> {
    let lines = said.0.lines().filter_map(|line| line.strip_prefix("a=crypto:"));
    lines.map(str::to_owned).collect()
}

#[test]
fn an_offer_as_microsoft_makes_it_is_answered_with_its_own_tag_and_a_reinvite_keeps_our_key() {
    let mut house = protected();
    let short = format!("0 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^31");
    let with_mki = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|1:1");
    let good = format!("2 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31");
    house.hears(tls(CARRIER), &invite("a", "", &keyed(&[&short, &with_mki, &good])));
    let leg = house.came().leg;
    let ok = house.order(leg, LegAction::Answer, &[]).remove(0);
    assert!(ok.0.contains("RTP/SAVP 0"), "{}", ok.0);
    let ours = crypto_of(&ok);
    assert_eq!(ours.len(), 1);
    assert!(
        ours[0].starts_with("2 AES_CM_128_HMAC_SHA1_80 inline:") && ours[0].ends_with("|2^31"),
        "{ours:?}"
    );
    assert!(!ours[0].contains(KEY));
    let first = house.happened().1.remove(0).keys.unwrap();
    let tag = ok.tag("To");
    house.hears(tls(CARRIER), &inside("ACK", "a-ack", &tag, 1, "", ""));

    // The media has moved: another key of theirs, the same of ours.
    let moved = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{OTHER_KEY}|2^31");
    let ok = house.hears(tls(CARRIER), &inside("INVITE", "b", &tag, 2, "", &keyed(&[&moved]))).pop().unwrap();
    let again = crypto_of(&ok);
    assert_eq!(again[0].split_once(' ').map(|(_, key)| key), ours[0].split_once(' ').map(|(_, key)| key));
    let second = house.happened().1.remove(0).keys.unwrap();
    assert!(second.ours == first.ours && second.theirs != first.theirs);
}

#[test]
fn what_cannot_be_protected_is_refused_before_anybody_is_rung() {
    let only_mki = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|1:1");
    let null = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", "A".repeat(40));
    let short = "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19z".to_owned();
    let unencrypted = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP");
    for body in [
        offer("0", ""),
        keyed(&[]),
        keyed(&[&only_mki]),
        keyed(&[&null]),
        keyed(&[&short]),
        keyed(&[&unencrypted]),
    ] {
        let mut house = protected();
        let said = house.hears(tls(CARRIER), &invite("a", "", &body));
        assert!(said.last().unwrap().line().starts_with("SIP/2.0 488"), "{body}");
        assert!(house.told().is_empty(), "{body}");
    }
    // And in clear there are no keys to be had, whatever the offer says.
    let good = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31");
    let mut house = protected();
    let said = house.hears(udp(CARRIER), &invite("a", "", &keyed(&[&good])));
    assert!(said.last().unwrap().line().starts_with("SIP/2.0 488"));
    // A trunk that wants none takes none.
    let mut house = House::new();
    let said = house.hears(udp(CARRIER), &invite("a", "", &keyed(&[&good])));
    assert!(said.last().unwrap().line().starts_with("SIP/2.0 488"));
}

#[test]
fn two_calls_never_have_the_same_key() {
    let mut house = protected();
    let good = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31");
    let mut keys = Vec::new();
    for branch in ["a", "b"] {
        let message = invite(branch, "", &keyed(&[&good])).replace("by-hand", branch);
        house.hears(tls(CARRIER), &message);
        let leg = house.came().leg;
        keys.push(crypto_of(&house.order(leg, LegAction::Answer, &[]).remove(0)));
        house.told();
    }
    assert_ne!(keys[0], keys[1]);
}
