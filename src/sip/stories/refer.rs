//! REFER, its news, and dialogs whose requests go where the route says, in virtual time. The peer speaks by hand, as
//! Microsoft's proxies do where that matters: header names in capitals, opaque parameters, other addresses.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::sip::manners::Manners;
use crate::sip::refer::{Asked, MAX_VALUE};
use crate::sip::uri::Host;

/// A Refer-To as seen: no user part, and a person in parameters that only Microsoft reads.
const REFER_TO: &str =
    "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0F1E2D3C-aaaa-bbbb-cccc-0123456789ab";
/// A Referred-By as seen: order, capitals and %3D are part of it.
const REFERRED_BY: &str = "<sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:77-Bb;x-t=11-22;x-ti=33-44;x-tt=aHR0cHM6Ly9hL2I_Yz0x%3D%3d>";

fn microsoft() -> Arc<Manners> {
    Arc::new(Manners {
        name: Some((Host::Name("sbc1.example.com".into()), 5061)),
        allow: "INVITE, ACK, CANCEL, BYE, OPTIONS, REFER, NOTIFY, UPDATE, INFO",
        supported: Some("replaces, timer"),
        prack: false,
        by_route: true,
        replaces: true,
        we_refresh: true,
        headers: vec![("X-MS-SBC", Bytes::from_static(b"Sidetone/gateway/0"))],
        ..Manners::default()
    })
}

const CONTACT: &str = "<sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i=0f1e-2d;x-c=aA/d/8/00ff>";
const RECORD_ROUTE: &str = "<sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>";

fn request(method: &str, branch: &str, tag: &str, cseq: u32, more: &str, body: &str) -> String {
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let kind = if body.is_empty() { "" } else { "CONTENT-TYPE: application/sdp\n" };
    format!(
        "{method} sip:+15550100@sbc1.example.com:5061;user=phone;transport=tls SIP/2.0\n\
         FROM: Jane Q Doe<sip:+15550111@sip.pstnhub.microsoft.com:5061;user=phone>;tag=6dfc92be\n\
         TO: <sip:+15550100@sbc1.example.com:5061;user=phone>{tag}\nCSEQ: {cseq} {method}\n\
         CALL-ID: 19233e6b7ee45972\nMAX-FORWARDS: 70\n\
         VIA: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch}\nCONTACT: {CONTACT}\n{more}{kind}\n{body}"
    )
}

/// Microsoft has called, and we have answered.
fn called(manners: Arc<Manners>) -> (Solo, SessionId, String) {
    let mut solo = Solo::new();
    let more = format!(
        "RECORD-ROUTE: {RECORD_ROUTE}\nMIN-SE: 300\nSUPPORTED: timer\nSESSION-EXPIRES: 3600\n\
         ALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY\n"
    );
    solo.hears(&request("INVITE", "a", "", 1, &more, OFFER));
    let id = solo.incoming.last().unwrap().session;
    solo.endpoint.set_manners(solo.now, id, manners);
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let ok = solo.collect().remove(0);
    let tag = ok.tag("To");
    solo.hears(&request("ACK", "a-ack", &tag, 1, "", ""));
    (solo, id, tag)
}

fn refer(tag: &str, cseq: u32) -> String {
    let more = format!("REFER-TO: <{REFER_TO}>\nREFERRED-BY: {REFERRED_BY}\n");
    request("REFER", &format!("r{cseq}"), tag, cseq, &more, "")
}

fn asked(solo: &Solo) -> Vec<Asked> {
    let asked = solo.events.iter().filter_map(|(_, event)| match event {
        SessionEvent::Referred(asked) => Some(asked.clone()),
        _ => None,
    });
    asked.collect()
}

/// Answers a request of ours with this status.
fn answers(solo: &mut Solo, said: &Said, status: &str) {
    let answer = said.answered(status, "6dfc92be", "");
    solo.hears(&answer);
}

#[test]
fn pitfall_12_a_refer_is_202_at_once_and_told_of_by_notify_and_no_bye_follows() {
    let (mut solo, id, tag) = called(microsoft());
    let said = solo.hears(&refer(&tag, 2));
    assert_eq!(said[0].line(), "SIP/2.0 202 Accepted");
    let trying = &said[1];
    assert_eq!(trying.line().split(' ').next(), Some("NOTIFY"));
    assert_eq!(trying.get("Event"), "refer");
    assert_eq!(trying.get("Subscription-State"), "active;expires=60");
    assert_eq!(trying.get("Content-Type"), "message/sipfrag;version=2.0");
    assert_eq!(trying.body(), "SIP/2.0 100 Trying\r\n");
    answers(&mut solo, trying, "200 OK");

    solo.endpoint.referral(solo.now, id, 180).unwrap();
    let ringing = solo.collect().remove(0);
    assert_eq!(
        (ringing.body(), ringing.get("Subscription-State")),
        ("SIP/2.0 180 Ringing\r\n", "active;expires=60")
    );
    answers(&mut solo, &ringing, "200 OK");

    solo.endpoint.referral(solo.now, id, 200).unwrap();
    let done = solo.collect().remove(0);
    assert_eq!(done.body(), "SIP/2.0 200 OK\r\n");
    assert_eq!(done.get("Subscription-State"), "terminated;reason=noresource");
    answers(&mut solo, &done, "200 OK");
    assert!(solo.endpoint.referral(solo.now, id, 200).is_err(), "told once");
    assert!(solo.pass(Duration::from_secs(60)).is_empty(), "Microsoft hangs up, not we");

    let ok = solo.hears(&request("BYE", "b", &tag, 3, "REASON: Q.850;cause=16;text=\"transferred\"\n", ""));
    assert_eq!(ok[0].line(), "SIP/2.0 200 OK");
    let ended = solo.ended(id).unwrap();
    assert_eq!(ended.reasons[0].text.as_deref(), Some("transferred"));
    solo.assert_nothing_is_left();
}

#[test]
fn pitfall_11_refer_to_and_referred_by_are_kept_byte_for_byte() {
    let (mut solo, _, tag) = called(microsoft());
    solo.hears(&refer(&tag, 2));
    let asked = asked(&solo).remove(0);
    assert_eq!(asked.to, REFER_TO.as_bytes());
    assert_eq!(asked.by.as_deref(), Some(REFERRED_BY.as_bytes()));
}

#[test]
fn opaque_lines_of_eight_kilobytes_are_carried_and_longer_ones_refused() {
    let (mut solo, id, tag) = called(microsoft());
    let value = |length: usize| format!("<sip:a.example;x-tt={}>", "Q%3D".repeat(length / 4));
    let long = value(MAX_VALUE - 64);
    let more = format!("REFER-TO: <{REFER_TO}>\nREFERRED-BY: {long}\n");
    let said = solo.hears(&request("REFER", "r2", &tag, 2, &more, ""));
    assert_eq!(said[0].line(), "SIP/2.0 202 Accepted");
    assert_eq!(asked(&solo)[0].by.as_deref(), Some(long.as_bytes()));
    solo.endpoint.referral(solo.now, id, 603).unwrap();
    solo.collect();
    let more = format!("REFER-TO: <{REFER_TO}>\nREFERRED-BY: {}\n", value(MAX_VALUE + 64));
    let said = solo.hears(&request("REFER", "r3", &tag, 3, &more, ""));
    assert_eq!(said[0].line(), "SIP/2.0 400 Bad Request");
}

#[test]
fn pitfall_5_requests_in_the_dialog_name_the_contact_byte_for_byte_and_go_to_the_route() {
    let (mut solo, id, _) = called(microsoft());
    solo.endpoint.reinvite(solo.now, id, Some(sdp(ANSWER))).unwrap();
    let invite = solo.collect().remove(0);
    let target = CONTACT.trim_matches(['<', '>']);
    assert_eq!(invite.line(), format!("INVITE {target} SIP/2.0"));
    assert_eq!(invite.all("Route"), [RECORD_ROUTE]);
    let ok = format!(
        "{}CONTACT: {CONTACT}\nCONTENT-TYPE: application/sdp\n\n{OFFER}",
        invite.answered("200 OK", "6dfc92be", "")
    );
    let ack = solo.hears(&ok).remove(0);
    assert_eq!(ack.line(), format!("ACK {target} SIP/2.0"));
    assert_eq!(ack.all("Route"), [RECORD_ROUTE]);
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    let bye = solo.collect().remove(0);
    assert_eq!(bye.line(), format!("BYE {target} SIP/2.0"));
    answers(&mut solo, &bye, "200 OK");
    solo.assert_nothing_is_left();
}

#[test]
fn the_route_is_looked_up_and_the_contact_never() {
    let mut solo = Solo::new();
    let at: std::net::SocketAddr = "203.0.113.44:5061".parse().unwrap();
    let lookup: Arc<crate::sip::endpoint::Lookup> = Arc::new(move |_, host: &Host, port, _| {
        let host = host.to_string();
        assert!(!host.starts_with("api-du"), "nobody listens at the Contact");
        (host == "sip-du-a-eu.pstnhub.microsoft.com" && port == 5061).then_some(at)
    });
    solo.endpoint =
        crate::sip::endpoint::Endpoint::new(EndpointConfig::default(), [3; 32]).with_lookup(lookup);
    solo.hears(&request("INVITE", "a", "", 1, &format!("RECORD-ROUTE: {RECORD_ROUTE}\n"), OFFER));
    let id = solo.incoming.last().unwrap().session;
    solo.endpoint.set_manners(solo.now, id, microsoft());
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let tag = solo.collect().remove(0).tag("To");
    solo.hears(&request("ACK", "a-ack", &tag, 1, "", ""));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    solo.collect();
    assert_eq!(solo.sent.last().unwrap().0.remote, at);
}

#[test]
fn pitfall_1_the_paired_name_stands_in_contact_and_via_and_nothing_else_does() {
    let (mut solo, id, _) = called(microsoft());
    let ok =
        solo.sent.iter().map(|(_, said)| said).find(|said| said.line() == "SIP/2.0 200 OK").unwrap().clone();
    assert_eq!(ok.get("Contact"), "<sip:sidetone@sbc1.example.com:5061>");
    assert_eq!(ok.get("X-MS-SBC"), "Sidetone/gateway/0");
    assert_eq!(ok.get("Supported"), "replaces, timer");
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    let bye = solo.collect().remove(0);
    assert!(bye.get("Via").starts_with("SIP/2.0/UDP sbc1.example.com:5061;"), "{}", bye.get("Via"));
    assert!(!bye.0.contains("Record-Route"));
}

#[test]
fn pitfall_3_allow_says_refer_in_requests_and_in_answers() {
    let (mut solo, id, tag) = called(microsoft());
    let said = solo.hears(&refer(&tag, 2));
    solo.endpoint.reinvite(solo.now, id, Some(sdp(ANSWER))).unwrap();
    let invite = solo.collect().remove(0);
    let ok = solo.sent.iter().map(|(_, said)| said).find(|said| said.line() == "SIP/2.0 200 OK").unwrap();
    for message in [&said[0], &said[1], &invite, ok] {
        assert_eq!(message.get("Allow"), microsoft().allow, "{}", message.line());
    }
}

#[test]
fn requests_of_a_dialog_come_from_other_addresses_and_are_found() {
    let (mut solo, id, tag) = called(microsoft());
    solo.peer.remote = "198.51.100.77:40001".parse().unwrap();
    let said = solo.hears(&refer(&tag, 2));
    assert_eq!(said[0].line(), "SIP/2.0 202 Accepted");
    solo.peer.remote = "198.51.100.99:40002".parse().unwrap();
    solo.hears(&request("BYE", "b", &tag, 3, "", ""));
    assert!(solo.ended(id).is_some());
}

#[test]
fn a_refer_that_may_not_be_is_refused_and_changes_nothing() {
    let (mut solo, _, tag) = called(Manners::plain());
    let no = solo.hears(&refer(&tag, 2)).remove(0);
    assert_eq!(no.line(), "SIP/2.0 405 Method Not Allowed");
    assert_eq!(no.get("Allow"), Manners::plain().allow);

    let (mut solo, id, tag) = called(microsoft());
    let unknown = solo.hears(&refer("0123456789abcdef", 2)).remove(0);
    assert_eq!(unknown.line(), "SIP/2.0 481 Call/Transaction Does Not Exist");
    let outside = solo.hears(&refer("", 9)).remove(0);
    assert_eq!(outside.line(), "SIP/2.0 405 Method Not Allowed", "in no dialog at all");
    let none = solo.hears(&request("REFER", "n", &tag, 2, "", "")).remove(0);
    assert_eq!(none.line(), "SIP/2.0 400 Bad Request");
    let two = format!("REFER-TO: <{REFER_TO}>\nREFER-TO: <{REFER_TO}>\n");
    let two = solo.hears(&request("REFER", "t", &tag, 3, &two, "")).remove(0);
    assert_eq!(two.line(), "SIP/2.0 400 Repeated Refer-To Header");
    let tel = solo.hears(&request("REFER", "u", &tag, 4, "REFER-TO: <tel:+15550111>\n", "")).remove(0);
    assert_eq!(tel.line(), "SIP/2.0 416 Unsupported URI Scheme");
    assert_eq!(asked(&solo), []);
    assert!(solo.endpoint.referral(solo.now, id, 200).is_err());
}

#[test]
fn one_referral_at_a_time_and_the_next_is_told_of_by_its_number() {
    let (mut solo, id, tag) = called(microsoft());
    solo.hears(&refer(&tag, 2));
    let second = solo.hears(&refer(&tag, 3)).remove(0);
    assert_eq!(second.line(), "SIP/2.0 491 Request Pending");
    solo.endpoint.referral(solo.now, id, 486).unwrap();
    let failed = solo.collect().remove(0);
    assert_eq!((failed.body(), failed.get("Event")), ("SIP/2.0 486 Busy Here\r\n", "refer"));
    let said = solo.hears(&refer(&tag, 4));
    assert_eq!(said[0].line(), "SIP/2.0 202 Accepted");
    assert_eq!(said[1].get("Event"), "refer;id=4");
}

#[test]
fn a_dialog_that_ends_takes_its_referral_with_it() {
    let (mut solo, id, tag) = called(microsoft());
    solo.hears(&refer(&tag, 2));
    solo.hears(&request("BYE", "b", &tag, 3, "", ""));
    assert!(solo.ended(id).is_some());
    assert!(solo.endpoint.referral(solo.now, id, 200).is_err());
    solo.assert_nothing_is_left();
}

#[test]
fn a_session_is_named_by_replaces_only_with_all_three_right_and_while_it_lives() {
    let (mut solo, id, tag) = called(microsoft());
    let named = |solo: &Solo, value: String| {
        let replaces = crate::sip::header::Replaces::parse(Bytes::from(value)).unwrap();
        solo.endpoint.replaced(&replaces)
    };
    let right = format!("19233e6b7ee45972;to-tag={tag};from-tag=6dfc92be");
    assert_eq!(named(&solo, right.clone()), Some((id, true)));
    assert_eq!(named(&solo, format!("other;to-tag={tag};from-tag=6dfc92be")), None);
    assert_eq!(named(&solo, format!("19233e6b7ee45972;to-tag={tag};from-tag=x")), None);
    assert_eq!(named(&solo, "19233e6b7ee45972;to-tag=6dfc92be;from-tag=6dfc92be".into()), None);
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    assert_eq!(named(&solo, right), None, "its BYE is still under way");
}

#[test]
fn pitfall_20_the_session_is_answered_3600_uac_and_an_idle_refresher_is_hung_up_on() {
    let manners = Manners {
        timers: Some(crate::sip::session::SessionTimers { interval: 3600, min: 90 }),
        ..Manners::clone(&microsoft())
    };
    let (mut solo, id, tag) = called(Arc::new(manners));
    let ok =
        solo.sent.iter().map(|(_, said)| said).find(|said| said.line() == "SIP/2.0 200 OK").unwrap().clone();
    assert_eq!((ok.get("Session-Expires"), ok.get("Require")), ("3600;refresher=uac", "timer"));
    // A refresh in time: by re-INVITE, and by the UPDATE that our Allow lists.
    solo.pass(Duration::from_secs(1800));
    let update =
        request("UPDATE", "u", &tag, 2, "SUPPORTED: timer\nSESSION-EXPIRES: 3600;refresher=uac\n", "");
    let said = solo.hears(&update).remove(0);
    assert_eq!((said.line(), said.get("Session-Expires")), ("SIP/2.0 200 OK", "3600;refresher=uac"));
    assert!(solo.pass(Duration::from_secs(3500)).is_empty());
    let bye = solo.pass(Duration::from_secs(100)).remove(0);
    assert!(bye.line().starts_with("BYE "), "{}", bye.line());
    assert!(solo.ended(id).is_some());
}

#[test]
fn our_refresh_is_a_reinvite_with_the_very_description_of_before() {
    let (mut solo, id, _) = called(microsoft());
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    let mut solo = Solo::new();
    let (_, invite) = solo.dials(|dial| {
        dial.manners = microsoft();
        dial.timers = Some(crate::sip::session::SessionTimers { interval: 1800, min: 90 });
        dial.reliable = Reliable::Supported;
    });
    assert_eq!(invite.get("Session-Expires"), "1800;refresher=uac");
    assert_eq!(invite.get("Min-SE"), "90");
    assert_eq!(invite.get("Supported"), "replaces, timer", "no 100rel towards Microsoft");
    let more = format!(
        "CONTACT: {CONTACT}\nRECORD-ROUTE: {RECORD_ROUTE}\nSESSION-EXPIRES: 1800;refresher=uac\n\
         REQUIRE: timer\nCONTENT-TYPE: application/sdp\n\n{ANSWER}"
    );
    let ack = solo.hears(&invite.answered("200 OK", "ms", &more)).remove(0);
    assert_eq!(ack.all("Route"), [RECORD_ROUTE]);
    let refresh = solo.pass(Duration::from_secs(900)).remove(0);
    assert!(refresh.line().starts_with("INVITE "), "{}", refresh.line());
    assert_eq!(refresh.body(), invite.body());
}

#[test]
fn a_session_too_short_for_microsoft_is_asked_for_again_with_its_minimum() {
    let mut solo = Solo::new();
    let (_, invite) = solo.dials(|dial| {
        dial.manners = microsoft();
        dial.timers = Some(crate::sip::session::SessionTimers { interval: 120, min: 90 });
    });
    let said = solo.hears(&invite.answered("422 Session Interval Too Small", "ms", "MIN-SE: 300\n"));
    let again = said.iter().find(|said| said.line().starts_with("INVITE ")).unwrap();
    assert_eq!((again.get("Session-Expires"), again.get("Min-SE")), ("300;refresher=uac", "300"));
    assert_eq!(again.get("Call-ID"), invite.get("Call-ID"));
}
