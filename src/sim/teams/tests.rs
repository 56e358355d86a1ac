//! The proxy's own conduct, in virtual time: what it writes, what it refuses, what it counts.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{Along, Goodbye, Machine, Manner, Output, ReferTo, Rule, Stage, Theirs};
use crate::sip::message::Message;

const GOOD_SDP: &str = "v=0\r\no=- 1 1 IN IP4 203.0.113.10\r\ns=-\r\nc=IN IP4 203.0.113.10\r\nt=0 0\r\n\
    m=audio 40000 RTP/SAVP 9 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5|2^31\r\na=sendrecv\r\n";

fn machine() -> Machine {
    Machine::new("sbc1.example.com", 5061, [5071, 5072, 5073])
}

fn media() -> SocketAddr {
    "127.0.0.11:4000".parse().expect("an address")
}

fn message(text: &str) -> Message {
    Message::parse_stream(Bytes::copy_from_slice(text.as_bytes())).expect("a message")
}

/// A request of the gateway's, as it should be; `change` makes it what it should not.
fn request(method: &str, uri: &str, sdp: &str, change: impl FnOnce(String) -> String) -> Message {
    let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS sbc1.example.com:5061;branch=z9hG4bKa1;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:+15550100@sbc1.example.com:5061;user=phone>;tag=b2\r\nTo: <{uri}>\r\nCall-ID: 5b1e@sbc1.example.com\r\n\
         CSeq: 1 {method}\r\nContact: <sip:+15550100@sbc1.example.com:5061;transport=tls>\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REFER, NOTIFY\r\nX-MS-SBC: Sidetone/gateway/0.1.0\r\n{kind}\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    message(&change(text))
}

const USER: &str = "sip:+15550111@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls";

fn sent(machine: &mut Machine) -> Vec<(usize, Along, String)> {
    let mut all = Vec::new();
    while let Some(output) = machine.poll() {
        if let Output::Send { site, along, octets } = output {
            all.push((site, along, String::from_utf8_lossy(&octets).into_owned()));
        }
    }
    all
}

fn status(text: &str) -> &str {
    text.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn options_are_answered_without_a_to_tag_and_asked_back() {
    let mut proxy = machine();
    proxy.receive(
        1,
        7,
        request("OPTIONS", "sip:sip2.pstnhub.microsoft.com:5061;transport=tls", "", |text| text),
    );
    let sent = sent(&mut proxy);
    let (site, along, answer) = &sent[0];
    assert_eq!((*site, *along, status(answer)), (1, Along::Back(7), "200"));
    let to = answer.lines().find(|line| line.starts_with("TO: ")).expect("a To");
    assert!(!to.contains("tag="), "{to}");
    let (site, along, asked) = &sent[1];
    assert_eq!((*site, *along), (1, Along::Usual));
    assert!(
        asked.starts_with("OPTIONS sip:sbc1.example.com:5061;transport=tls SIP/2.0\r\nFROM: "),
        "{asked}"
    );
    assert!(proxy.seen.broken.is_empty(), "{:?}", proxy.seen.broken);
}

#[test]
fn each_rule_is_refused_with_its_status() {
    type Change = fn(String) -> String;
    let cases: [(Rule, &str, Change); 12] = [
        (Rule::ContactNotPaired, "403", |t| {
            t.replace("Contact: <sip:+15550100@sbc1.example.com", "Contact: <sip:+15550100@203.0.113.10")
        }),
        (Rule::ContactNotPaired, "403", |t| {
            t.replace("Contact: <sip:+15550100@sbc1", "Contact: <sip:+15550100@sbc2")
        }),
        (Rule::ContactMissing, "403", |t| t.replace("Contact:", "X-Contact:")),
        (Rule::RecordRouteDiffers, "403", |t| {
            t.replace("CSeq", "Record-Route: <sip:203.0.113.10;lr>\r\nCSeq")
        }),
        (Rule::ReplacesSent, "403", |t| t.replace("CSeq", "Replaces: a;to-tag=b;from-tag=c\r\nCSeq")),
        (Rule::ExtensionRequired, "420", |t| t.replace("CSeq", "Require: timer, 100rel\r\nCSeq")),
        (Rule::NotSecure, "488", |t| t.replace("RTP/SAVP ", "RTP/AVPF ")),
        (Rule::NoUsableKey, "488", |t| t.replace("SHA1_80", "SHA1_32")),
        (Rule::NoUsableKey, "488", |t| t.replace("|2^31", "|1:1 ")),
        (Rule::AddressNull, "488", |t| {
            t.replace("c=IN IP4 203.0.113.10", "c=IN IP4 000.0.0.0000")
                .replace("000.0.0.0000", "0.0.0.0     ")
        }),
        (Rule::DirectionNotUnderstood, "488", |t| t.replace("a=sendrecv", "a=sendonly")),
        (Rule::OpaqueAltered, "400", |t| {
            t.replace("user=phone;transport=tls SIP/2.0", "x-m=8:orgid:aa SIP/2.0")
        }),
    ];
    for (rule, wanted, change) in cases {
        let mut proxy = machine();
        proxy.receive(0, 1, request("INVITE", USER, GOOD_SDP, change));
        let sent = sent(&mut proxy);
        assert_eq!(sent.len(), 1, "{rule:?}");
        assert_eq!(status(&sent[0].2), wanted, "{rule:?}: {}", sent[0].2);
        assert!(proxy.seen.broke(rule), "{rule:?}: {:?}", proxy.seen.broken);
        assert_eq!(proxy.calls(), 0, "{rule:?}");
    }
    for method in ["UPDATE", "INFO", "PRACK", "REFER", "SUBSCRIBE"] {
        let mut proxy = machine();
        proxy.receive(0, 1, request(method, USER, "", |text| text));
        assert_eq!(status(&sent(&mut proxy)[0].2), "405", "{method}");
        assert!(proxy.seen.broke(Rule::MethodNotAllowed), "{method}");
    }
    let mut proxy = machine();
    proxy.receive(0, 1, request("INVITE", USER, "", |text| text));
    assert_eq!(status(&sent(&mut proxy)[0].2), "400", "a delayed offer");
}

#[test]
fn a_good_call_rings_with_forks_and_is_answered_with_a_tag_nobody_saw() {
    let mut proxy = machine();
    proxy.set_manner(None, Manner::Forks);
    proxy.receive(0, 1, request("INVITE", USER, GOOD_SDP, |text| text));
    assert!(proxy.seen.broken.is_empty(), "{:?}", proxy.seen.broken);
    assert_eq!(status(&sent(&mut proxy)[0].2), "100");
    proxy.go_on(0, media());
    let rings = sent(&mut proxy);
    proxy.answer(0);
    let answer = sent(&mut proxy);
    let tag = |text: &str| {
        let to = text.lines().find(|line| line.starts_with("TO: ")).unwrap_or_default();
        to.split("tag=").nth(1).unwrap_or_default().to_owned()
    };
    let tags = [tag(&rings[0].2), tag(&rings[1].2), tag(&answer[0].2)];
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags.iter().all(|tag| !tag.is_empty()), "{tags:?}");
    assert_eq!(status(&answer[0].2), "200");
    assert!(
        answer[0].2.contains("CONTACT: <sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i="),
        "{}",
        answer[0].2
    );
    let body = answer[0].2.split("\r\n\r\n").nth(1).unwrap_or_default();
    let sdp = Theirs::read(body.as_bytes()).expect("a description");
    assert_eq!((sdp.profile.as_str(), sdp.crypto.len(), sdp.crypto[0].tag.as_str()), ("RTP/SAVP", 1, "1"));

    // The ACK goes along the route to the Contact as it is, or it is not one.
    let contact = answer[0]
        .2
        .lines()
        .find_map(|line| line.strip_prefix("CONTACT: <"))
        .and_then(|l| l.strip_suffix('>'));
    let route =
        answer[0].2.lines().find_map(|line| line.strip_prefix("RECORD-ROUTE: ")).expect("a route").to_owned();
    let contact = contact.expect("a contact").to_owned();
    let to = format!("To: <{contact}>;tag={}", tags[2]);
    let ack = |uri: &str, routed: bool| {
        let route = if routed { format!("Route: {route}\r\n") } else { String::new() };
        request("ACK", uri, "", |text| text.replace(&format!("To: <{uri}>"), &format!("{route}{to}")))
    };
    proxy.receive(0, 1, ack("sip:api-du-a-uswe2.pstnhub.microsoft.com:443", true));
    assert!(proxy.seen.broke(Rule::NotAlongTheRoute), "x-i and x-c were stripped");
    proxy.seen.broken.clear();
    proxy.receive(0, 1, ack(&contact, false));
    assert!(proxy.seen.broke(Rule::NotAlongTheRoute), "no Route");
    proxy.seen.broken.clear();
    proxy.receive(0, 1, ack(&contact, true));
    assert!(proxy.seen.broken.is_empty(), "{:?}", proxy.seen.broken);
    assert_eq!(proxy.stage(0), Some(Stage::Up));
}

#[test]
fn calls_and_transfers_look_as_microsofts_do() {
    let mut proxy = machine();
    let id = proxy.call(0, "+15550111", "+15550100", media());
    let invite = sent(&mut proxy).remove(0).2;
    assert!(
        invite.starts_with("INVITE sip:+15550100@sbc1.example.com:5061;user=phone;transport=tls SIP/2.0\r\n")
    );
    assert!(
        invite.contains("FROM: Jane Q Doe<sip:+15550111@sip.pstnhub.microsoft.com:5061;user=phone>;tag="),
        "{invite}"
    );
    assert!(
        invite.contains("RECORD-ROUTE: <sip:sip.pstnhub.microsoft.com:5071;transport=tls;lr>"),
        "{invite}"
    );
    let offer =
        Theirs::read(invite.split("\r\n\r\n").nth(1).unwrap_or_default().as_bytes()).expect("an offer");
    assert_eq!(offer.crypto.len(), 3, "two suites and a trap");
    assert_eq!(offer.key("AES_CM_128_HMAC_SHA1_80").map(|crypto| crypto.tag.as_str()), Some("2"));

    proxy.refer(id, ReferTo::User, Goodbye::InTime);
    let (site, along, refer) = sent(&mut proxy).remove(0);
    assert_eq!((site, along), (1, Along::Fresh), "from another site on a new connection");
    let value =
        |name: &str| refer.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    let (to, by) = (value("REFER-TO: <"), value("REFERRED-BY: "));
    assert!(to.contains(";x-m=8:orgid:") && by.contains("x-tt=") && by.contains("%3D"), "{refer}");

    // The same bytes come back, or 400.
    let uri = to.trim_end_matches('>').to_owned();
    let referred = |by: String| {
        request("INVITE", &uri, GOOD_SDP, |text| {
            text.replace("CSeq", &format!("Referred-By: {by}\r\nCSeq")).replace("5b1e@", "6c2f@")
        })
    };
    proxy.receive(1, 9, referred(by.replace("%3D", "=")));
    assert_eq!(status(&sent(&mut proxy)[0].2), "400");
    assert!(proxy.seen.broke(Rule::OpaqueAltered));
    proxy.receive(1, 9, referred(by));
    assert_eq!(status(&sent(&mut proxy)[0].2), "100");

    proxy.hold(id, true);
    let hold = sent(&mut proxy).remove(0).2;
    assert!(hold.contains("a=inactive") && !hold.contains("0.0.0.0"), "{hold}");
}
