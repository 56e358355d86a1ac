//! Pitfalls of Direct Routing that others met, as far as their rule shows at the door. The whole table of twenty stands in
//! `tests/teams`, with the tests on sockets.

use super::teams::{ELSEWHERE, MICROSOFT, OFFER, ROUTE, microsoft, ms, refers};
use super::*;
use crate::sip::names::{Heard, Kind, Question, Record};

fn of(said: &[Said], method: &str) -> Said {
    let found = said.iter().find(|said| said.line().starts_with(method));
    Said(found.unwrap_or_else(|| panic!("no {method} in {said:?}")).0.clone())
}

fn crypto(said: &Said) -> Vec<&str> {
    said.body().lines().filter(|line| line.starts_with("a=crypto:")).collect()
}

#[test]
fn pitfall_4_there_is_no_record_route_of_ours_and_theirs_is_repeated_as_it_came() {
    let mut house = House::with_teams();
    let asked = house.pass(Duration::from_secs(61));
    assert_eq!(of(&asked, "OPTIONS ").get("Record-Route"), "");
    let invite = house.order(LegId(77), LegAction::Dial(house.cleared("+15550111")), &[]);
    assert_eq!(of(&invite, "INVITE ").get("Record-Route"), "");
    let peer = microsoft(&mut house, MICROSOFT, 1);
    house.told();
    house.hears(peer, &ms("INVITE", "a", "19233e6b", "", 1, ROUTE, OFFER));
    let leg = house.came().leg;
    let ok = house.order(leg, LegAction::Answer, &[]).remove(0);
    let theirs = ROUTE.trim_end().trim_start_matches("RECORD-ROUTE: ");
    assert_eq!(ok.all("Record-Route"), [theirs], "RFC 3261 section 12.1.1");
}

#[test]
fn pitfall_8_what_belongs_to_a_call_comes_from_another_datacentre_and_is_obeyed() {
    let mut house = House::with_teams();
    let (_, tag) = house.teams_is_answered();
    house.told();
    let elsewhere = microsoft(&mut house, ELSEWHERE, 2);
    let said = house.hears(elsewhere, &ms("BYE", "b", "19233e6b", &tag, 2, "", ""));
    assert_eq!(said[0].line(), "SIP/2.0 200 OK");
    assert!(matches!(&house.events()[..], [LegEvent::Ended(_)]));
    assert_eq!(house.door.legs(), 0);
}

#[test]
fn pitfall_9_a_proxy_that_moves_is_called_where_its_name_says_now() {
    let mut house = House::with_teams();
    // Nothing is pinned by the configuration in this story.
    let mut dns = house.config.load().dns.clone();
    dns.overrides.clear();
    let at = |house: &House, ip: [u8; 4]| {
        let question = Question { name: "sip.pstnhub.microsoft.com".into(), kind: Kind::A };
        let mut names = Names::new(&dns);
        names.learn(
            house.now,
            question,
            Heard::Records(vec![Record::Ip(ip.into())], Duration::from_secs(60)),
        );
        house.names.store(Arc::new(names));
    };
    for (leg, ip) in [(77, [52, 112, 0, 7]), (78, [52, 114, 3, 9])] {
        at(&house, ip);
        house.order(LegId(leg), LegAction::Dial(house.cleared("+15550111")), &[]);
        let to = house.sent_to.last().unwrap().remote;
        assert_eq!(to, std::net::SocketAddr::from((ip, 5061)));
        house.now += Duration::from_secs(61);
    }
}

#[test]
fn pitfall_13_the_target_of_a_held_call_is_offered_to_be_heard_and_a_key_of_its_own() {
    let mut house = House::with_teams();
    let (_, tag) = house.teams_is_answered();
    let peer = microsoft(&mut house, MICROSOFT, 1);
    let held = OFFER.replace("a=sendrecv", "a=inactive");
    let said = house.hears(peer, &ms("INVITE", "h", "19233e6b", &tag, 2, "", &held));
    let ok = of(&said, "SIP/2.0 200");
    assert!(ok.body().contains("a=inactive"), "{}", ok.body());
    house.hears(peer, &ms("ACK", "h-ack", "19233e6b", &tag, 2, "", ""));
    let (_, target, _) = refers(&mut house, &tag, 3);
    let said = house.order(LegId(99), LegAction::Dial(target), &[]);
    let invite = of(&said, "INVITE ");
    assert!(
        invite.body().contains("a=sendrecv") && !invite.body().contains("a=inactive"),
        "{}",
        invite.body()
    );
    assert_ne!(crypto(&invite), crypto(&ok));
}

#[test]
fn pitfall_15_microsoft_is_offered_one_suite_with_its_lifetime_and_no_mki() {
    let mut house = House::with_teams();
    let said = house.order(LegId(77), LegAction::Dial(house.cleared("+15550111")), &[]);
    let invite = of(&said, "INVITE ");
    let [line] = crypto(&invite)[..] else { panic!("{}", invite.body()) };
    let key = line.strip_prefix("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:").expect(line);
    assert_eq!(key.split_once('|').map(|(key, rest)| (key.len(), rest)), Some((40, "2^31")), "{line}");
    for leftover in ["SAVPF", "fingerprint", "ice-", "candidate", "rtcp-fb", "ssrc"] {
        assert!(!invite.body().contains(leftover), "pitfall 16, {leftover}: {}", invite.body());
    }

    // Of two suites its own tag of the one of 80 bits is taken, and of two keys the one without an index.
    let key = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw";
    let offered = OFFER.replace(
        &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\n"),
        &format!(
            "a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:{key}|2^31\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31|1:1\r\n\
             a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\n"
        ),
    );
    assert_ne!(offered, OFFER);
    let peer = microsoft(&mut house, MICROSOFT, 1);
    house.told();
    house.hears(peer, &ms("INVITE", "a", "19233e6b", "", 1, ROUTE, &offered));
    let leg = house.came().leg;
    let ok = house.order(leg, LegAction::Answer, &[]).remove(0);
    let [line] = crypto(&ok)[..] else { panic!("{}", ok.body()) };
    assert!(line.starts_with("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:"), "{line}");
    assert!(line.ends_with("|2^31"), "{line}");
}
