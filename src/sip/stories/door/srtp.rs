//! Keys in descriptions, at the door: a trunk over TLS that wants its sound protected, and whose call is whose when a
//! connection is gone.

use super::*;
use crate::tls::Verified;

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

#[test]
fn a_connection_that_seemed_one_trunks_is_reopened_as_the_trunk_whose_call_it_carried() {
    // Two trunks share the range; without a name in the handshake, the first is the more likely.
    let text = CONFIG
        .replace("prack = \"PRACK\"\nOPTIONS", "")
        .replace("destination = \"192.0.2.1:5060;transport=udp\"", "tls = { verify = \"off\" }")
        .replace(
            "[[route]]",
            "[[trunk]]\nid = \"second\"\ntenant = \"acme\"\nsources = [\"192.0.2.0/24\"]\nfqdn = \"second.example.com\"\n\
             tls = { verify = \"off\" }\n[[route]]",
        );
    let mut house = match Config::parse(&text, &Secrets) {
        Ok(config) => House::with(config),
        Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
    };
    let seems = Verified { likely: Some(TrunkId::new("carrier").unwrap()), ..Verified::default() };
    house.door.secured(tls(CARRIER), seems.clone());
    let first = invite("a", "", &offer("0", ""));
    for (message, trunk) in [
        (first.clone(), "carrier"),
        (
            first
                .replace("by-hand", "other")
                .replace("z9hG4bKa", "z9hG4bKb")
                .replace("@192.0.2.2", "@second.example.com"),
            "second",
        ),
    ] {
        house.hears(tls(CARRIER), &message);
        let came = house.came();
        assert_eq!(came.origin, Origin::Trunk(TrunkId::new(trunk).unwrap()));
        // What is sent while and after the connection breaks: our answer, and our BYE.
        let media = Some(MediaEnd { rtp: OUR_RTP.parse().unwrap() });
        let order = Order {
            leg: came.leg,
            action: LegAction::Answer,
            media,
            prefer: Vec::new(),
            caller: None,
            card: None,
        };
        house.door.order(house.now, order);
        let mut sent = 0;
        while let Some(wanted) = house.door.poll() {
            let Wanted::Transmit(to, octets) = wanted else { continue };
            assert_eq!(to.transport, Transport::Tls);
            let outward =
                house.door.outward(&to).unwrap_or_else(|| panic!("no way: {}", super::text(&octets)));
            assert_eq!(outward.trunk.as_ref().map(TrunkId::as_str), Some(trunk), "{}", super::text(&octets));
            sent += 1;
        }
        assert!(sent > 0);
        house.told();
    }
}
