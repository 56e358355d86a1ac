//! The door in virtual time: messages and orders in, messages and reports out. The peers speak by hand.

use std::sync::Arc;

use sbc_config::{Config, PersonId, SecretError, SecretSource, TrunkId};
use sidetone_media::codec::Codec;

use super::*;
use crate::call::door::{Caller, MediaEnd, Order, Origin, Report};
use crate::call::{Address, Cause, LegAction, LegEvent, LegId, Target};
use crate::sip::door::Wanted;
use crate::sip::header::Method;
use crate::sip::names::Names;
use crate::sip::names::ask::Word;

mod attested;
mod charged;
mod diverted;
mod fax;
mod house;
mod large;
mod located;
mod loops;
mod pitfalls;
mod refer;
mod srtp;
mod teams;

use house::{
    CONFIG, CONTACT, alices_invite, answered_with, inside, invite, offer_at, person, signature, with_body,
};
pub(super) use house::{House, Secrets, beyond_the_trunk, config, offer, udp};

pub(super) const CARRIER: &str = "192.0.2.1:5060";
const PHONE: &str = "198.51.100.7:61234";
const BOB: &str = "192.0.2.9:5060";

const OUR_RTP: &str = "192.0.2.2:20000";

// Who may come in.

#[test]
fn a_call_from_a_source_range_is_the_trunks_whatever_its_headers_say() {
    let mut house = House::new();
    let asserted = "P-Asserted-Identity: \"Real\" <sip:+15550777@192.0.2.1>\n";
    let said = house.hears(udp(CARRIER), &invite("a", asserted, &offer("9 8 0", "")));
    assert_eq!(said[0].line(), "SIP/2.0 100 Trying");
    let came = house.came();
    assert_eq!(came.origin, Origin::Trunk(TrunkId::new("carrier").unwrap()));
    assert_eq!((came.to.as_str(), came.from.number.as_str()), ("+15550100", "+15550777"));
    assert_eq!(came.codecs, [Codec::G722, Codec::Pcma, Codec::Pcmu], "in the caller's order");

    // The same words from elsewhere are nobody's.
    let again = invite("b", asserted, &offer("0", "")).replace("by-hand", "elsewhere");
    let said = house.hears(udp("192.0.2.200:5060"), &again);
    assert_eq!(said.last().unwrap().line(), "SIP/2.0 401 Unauthorized");
    assert!(house.told().is_empty());
}

#[test]
fn a_person_comes_in_by_digest_under_their_own_name_alone() {
    let mut house = House::new();
    let phone = udp(PHONE);
    let no = house.hears(phone, &alices_invite(1, "alice", "")).pop().unwrap();
    assert_eq!(no.line(), "SIP/2.0 401 Unauthorized");
    assert!(no.all("WWW-Authenticate").len() >= 2, "SHA-256 and MD5");
    let uri = "sip:+15550123@example.com";

    let wrong = signature(&no, "guess", &Method::Invite, uri);
    let no = house.hears(phone, &alices_invite(2, "alice", &wrong)).pop().unwrap();
    assert_eq!(no.line(), "SIP/2.0 401 Unauthorized");

    let right = signature(&no, "secret-of-alice", &Method::Invite, uri);
    let no = house.hears(phone, &alices_invite(3, "bob", &right)).pop().unwrap();
    assert_eq!(no.line(), "SIP/2.0 403 Forbidden");
    assert!(house.told().is_empty());

    let fresh = house.hears(phone, &alices_invite(4, "alice", "")).pop().unwrap();
    let right = signature(&fresh, "secret-of-alice", &Method::Invite, uri);
    house.hears(phone, &alices_invite(5, "alice", &right));
    let came = house.came();
    assert_eq!(came.origin, Origin::Person(PersonId::new("alice").unwrap()));
    assert_eq!(came.to, "+15550123");
    assert_eq!(house.door.legs(), 1, "refused attempts leave nothing");
}

#[test]
fn a_changed_realm_in_the_file_does_not_lock_people_out_before_the_restart() {
    let mut house = House::new();
    let mut changed = Config::clone(&house.config.load());
    changed.sip.realm = "other".into();
    house.config.store(Arc::new(changed));
    house.alice_registers();
}

#[test]
fn a_trunks_rule_for_reliable_provisional_responses_is_kept() {
    for (prack, header, line, named) in [
        ("off", "Require: 100rel\n", "SIP/2.0 420 Bad Extension", "Unsupported"),
        ("required", "", "SIP/2.0 421 Extension Required", "Require"),
    ] {
        let mut house = House::with(config(prack, ""));
        let said = house.hears(udp(CARRIER), &invite("a", header, &offer("0", ""))).pop().unwrap();
        assert_eq!((said.line(), said.get(named)), (line, "100rel"));
        assert!(house.told().is_empty());
    }
    let mut house = House::with(config("required", ""));
    house.hears(udp(CARRIER), &invite("a", "Supported: 100rel\n", &offer("0", "")));
    let leg = house.came().leg;
    let early = house.order(leg, LegAction::OpenEarly, &[]).remove(0);
    assert_eq!((early.line(), early.get("Require")), ("SIP/2.0 183 Session Progress", "100rel"));
}

#[test]
fn a_caller_without_a_codec_or_with_nonsense_is_refused_with_488() {
    for body in [offer("18", ""), "nonsense".to_owned()] {
        let mut house = House::new();
        let mut said = house.hears(udp(CARRIER), &invite("a", "", &body));
        if let Some(Report::Incoming(came)) = house.told().pop() {
            said = house.order(came.leg, LegAction::Answer, &[]);
            let events = house.events();
            assert!(
                matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::NotAcceptable),
                "{events:?}"
            );
        }
        assert_eq!(said.pop().unwrap().line(), "SIP/2.0 488 Not Acceptable Here", "{body}");
        assert_eq!(house.door.legs(), 0);
    }
}

// Answering.

#[test]
fn a_caller_is_told_once_that_somebody_is_rung_and_answered_once() {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", "", &offer("0 8", "")));
    let leg = house.came().leg;
    assert_eq!(house.order(leg, LegAction::Alert, &[])[0].line(), "SIP/2.0 180 Ringing");
    assert!(house.order(leg, LegAction::Alert, &[]).is_empty());

    let ok = house.order(leg, LegAction::Answer, &[Codec::Pcma]).remove(0);
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
    assert!(ok.body().contains("m=audio 20000 RTP/AVP 8"), "the far leg's codec: {}", ok.body());
    let (events, agreed) = house.happened();
    assert_eq!(events, [LegEvent::Answered]);
    assert_eq!(
        (agreed[0].codec, agreed[0].remote_rtp),
        (Codec::Pcma, Some("192.0.2.1:4000".parse().unwrap()))
    );
    assert_eq!(agreed[0].nat_host, None, "a trunk keeps to its description");

    assert!(house.order(leg, LegAction::Answer, &[]).is_empty(), "a second order changes nothing");
    assert!(house.events().is_empty());
    assert_eq!(house.door.legs(), 1);
}

#[test]
fn early_media_is_the_answer_and_the_200_repeats_it() {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", "", &offer("0 8", "")));
    let leg = house.came().leg;
    let early = house.order(leg, LegAction::OpenEarly, &[]).remove(0);
    assert_eq!(early.line(), "SIP/2.0 183 Session Progress");
    assert!(house.order(leg, LegAction::OpenEarly, &[]).is_empty());
    assert!(house.order(leg, LegAction::Alert, &[]).is_empty(), "it hears us already");
    let ok = house.order(leg, LegAction::Answer, &[Codec::Pcma]).remove(0);
    assert_eq!(ok.body(), early.body());
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed.len()), (vec![LegEvent::Answered], 1));
}

#[test]
fn pitfall_18_a_carrier_that_was_told_180_gets_no_183_after_it() {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", "", &offer("0 8", "")));
    let leg = house.came().leg;
    assert_eq!(house.order(leg, LegAction::Alert, &[])[0].line(), "SIP/2.0 180 Ringing");
    // The hunt goes on at Teams, or at a network with a voice of its own.
    assert!(house.order(leg, LegAction::OpenEarly, &[]).is_empty(), "its own tone goes on");
    let ok = house.order(leg, LegAction::Answer, &[Codec::Pcma]).remove(0);
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
    assert!(ok.body().contains("m=audio 20000 RTP/AVP 8"), "{}", ok.body());
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed.len()), (vec![LegEvent::Answered], 1));
}

#[test]
fn a_telephone_of_ours_that_was_told_180_still_hears_what_comes_before_the_answer() {
    let mut house = House::new();
    let leg = house.alice_calls();
    assert_eq!(house.order(leg, LegAction::Alert, &[])[0].line(), "SIP/2.0 180 Ringing");
    let early = house.order(leg, LegAction::OpenEarly, &[]).remove(0);
    assert_eq!(early.line(), "SIP/2.0 183 Session Progress");
    assert!(early.body().contains("m=audio 20000"), "{}", early.body());
}

#[test]
fn a_caller_who_leaves_the_offer_to_us_gets_it_with_the_200_and_must_answer_it() {
    for answers in [true, false] {
        let mut house = House::new();
        house.hears(udp(CARRIER), &invite("a", "", ""));
        let came = house.came();
        assert!(came.codecs.is_empty());
        let ringing = house.order(came.leg, LegAction::OpenEarly, &[]).remove(0);
        assert_eq!((ringing.line(), ringing.body()), ("SIP/2.0 180 Ringing", ""), "nothing to hear yet");
        let ok = house.order(came.leg, LegAction::Answer, &[Codec::G722]).remove(0);
        assert!(ok.body().contains("RTP/AVP 9 0 8"), "the other leg's codec first: {}", ok.body());
        assert_eq!(house.events(), [LegEvent::Answered]);

        let body = if answers { offer("0", "") } else { String::new() };
        let said = house.hears(udp(CARRIER), &inside("ACK", "k", &ok.tag("To"), 1, "", &body));
        let (events, agreed) = house.happened();
        if answers {
            assert_eq!((events.len(), agreed[0].codec), (0, Codec::Pcmu));
        } else {
            assert!(matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::NotAcceptable));
            assert!(said[0].line().starts_with("BYE "));
            assert_eq!(house.door.legs(), 0);
        }
    }
}

#[test]
fn a_caller_who_gives_up_gets_487_and_the_leg_ends_once() {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", "", &offer("0", "")));
    let leg = house.came().leg;
    house.order(leg, LegAction::Alert, &[]);
    let said = house.hears(udp(CARRIER), &inside("CANCEL", "a", "", 1, "", ""));
    assert!(said.iter().any(|s| s.line() == "SIP/2.0 487 Request Terminated"));
    let events = house.events();
    assert!(matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::Cancelled), "{events:?}");
    assert!(house.order(leg, LegAction::HangUp(Cause::Cancelled), &[]).is_empty());
    house.pass(Duration::from_secs(70));
    assert!(house.events().is_empty());
    assert_eq!(house.door.legs(), 0);
}

#[test]
fn an_unanswered_caller_is_refused_as_the_cause_says() {
    for (cause, line, q850, retry) in [
        (Cause::Busy, "SIP/2.0 486 Busy Here", 17, ""),
        (Cause::NotFound, "SIP/2.0 404 Not Found", 1, ""),
        (Cause::NoAnswer, "SIP/2.0 480 Temporarily Unavailable", 19, ""),
        (Cause::Congestion, "SIP/2.0 503 Service Unavailable", 42, "5"),
        (Cause::ShuttingDown, "SIP/2.0 503 Service Unavailable", 41, "5"),
        (Cause::Declined, "SIP/2.0 603 Decline", 21, ""),
    ] {
        let mut house = House::new();
        house.hears(udp(CARRIER), &invite("a", "", &offer("0", "")));
        let leg = house.came().leg;
        let no = house.order(leg, LegAction::HangUp(cause), &[]).remove(0);
        assert_eq!((no.line(), no.get("Retry-After")), (line, retry));
        assert_eq!(no.get("Reason"), format!("Q.850;cause={q850}"));
        assert!(matches!(&house.events()[..], [LegEvent::Ended(_)]));
        assert_eq!(house.door.legs(), 0);
    }
}

#[test]
fn an_answered_caller_is_hung_up_with_a_bye_that_says_why() {
    let mut house = House::new();
    let (leg, _) = house.carrier_is_answered();
    let bye = house.order(leg, LegAction::HangUp(Cause::ShuttingDown), &[]).remove(0);
    assert!(bye.line().starts_with("BYE sip:carol@192.0.2.1"));
    assert_eq!(bye.get("Reason"), "Q.850;cause=41");
    house.hears(udp(CARRIER), &bye.answered("200 OK", "", ""));
    assert!(matches!(&house.events()[..], [LegEvent::Ended(_)]));
    assert_eq!(house.door.legs(), 0);
}

// Dialling.

#[test]
fn a_dialled_leg_offers_the_callers_codec_first_and_says_who_calls() {
    let mut house = House::new();
    let (leg, invite) = house.dials_carrier(&[Codec::G722]);
    assert_eq!(invite.line(), "INVITE sip:+15550123@192.0.2.1:5060 SIP/2.0");
    assert!(
        invite.get("From").starts_with("\"Carol \\\"C\\\" Customer\" <sip:+15550001@192.0.2.2"),
        "{}",
        invite.get("From")
    );
    assert!(invite.body().contains("m=audio 20000 RTP/AVP 9 0 8"), "{}", invite.body());

    house.hears(udp(CARRIER), &answered_with(&invite, "180 Ringing", ""));
    house.hears(udp(CARRIER), &answered_with(&invite, "180 Ringing", ""));
    assert_eq!(house.events(), [LegEvent::Ringing], "said twice, told once");
    let ack = house.hears(udp(CARRIER), &answered_with(&invite, "200 OK", &offer("8", ""))).remove(0);
    assert!(ack.line().starts_with("ACK "));
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed[0].codec), (vec![LegEvent::Answered], Codec::Pcma));
    let bye = house.order(leg, LegAction::HangUp(Cause::Normal), &[]).remove(0);
    assert!(bye.line().starts_with("BYE "));
}

#[test]
fn reliable_early_media_stands_when_the_200_has_no_description() {
    let mut house = House::new();
    let (_, invite) = house.dials_carrier(&[]);
    let reliable = format!("{CONTACT}Require: 100rel\nRSeq: 1\n");
    let early = with_body(invite.answered("183 Session Progress", "far", &reliable), &offer("0", ""));
    let prack = house.hears(udp(CARRIER), &early).remove(0);
    assert!(prack.line().starts_with("PRACK "));
    house.hears(udp(CARRIER), &prack.answered("200 OK", "", ""));
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed.len()), (vec![LegEvent::EarlyMedia], 1));

    house.hears(udp(CARRIER), &answered_with(&invite, "200 OK", ""));
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed.len()), (vec![LegEvent::Answered], 0), "agreed already");
}

#[test]
fn an_answer_without_any_description_or_with_a_strange_codec_is_hung_up() {
    for body in [String::new(), offer("18", "")] {
        let mut house = House::new();
        let (_, invite) = house.dials_carrier(&[]);
        let said = house.hears(udp(CARRIER), &answered_with(&invite, "200 OK", &body));
        let lines: Vec<&str> = said.iter().map(Said::line).collect();
        assert!(lines[0].starts_with("ACK ") && lines[1].starts_with("BYE "), "{lines:?}");
        let events = house.events();
        assert!(
            matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::NotAcceptable),
            "{events:?}"
        );
        assert_eq!(house.door.legs(), 0);
    }
}

#[test]
fn whoever_is_not_there_ends_the_leg_at_once() {
    let mut house = House::new();
    for target in [person("alice"), person("nobody")] {
        assert!(house.order(LegId(5), LegAction::Dial(target), &[]).is_empty());
        let events = house.events();
        assert!(
            matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::Unreachable),
            "{events:?}"
        );
    }
    let said = house.order(LegId(6), LegAction::Dial(person("bob")), &[]);
    assert_eq!(said[0].line(), "INVITE sip:bob@192.0.2.9:5060 SIP/2.0");
    let busy = house.hears(udp(BOB), &said[0].answered("486 Busy Here", "b", ""));
    assert!(busy[0].line().starts_with("ACK "));
    assert!(matches!(&house.events()[..], [LegEvent::Ended(end)] if end.cause == Cause::Busy));
    assert_eq!(house.door.legs(), 0);
}

#[test]
fn a_telephone_behind_a_translator_is_believed_by_its_signalling_host_only_when_its_description_lies() {
    let mut house = House::new();
    house.alice_registers();
    for (ip, evidence) in [("10.0.0.5", Some("198.51.100.7".parse().unwrap())), ("198.51.100.7", None)] {
        let invite = house.order(LegId(9), LegAction::Dial(person("alice")), &[]).remove(0);
        assert_eq!(invite.line(), "INVITE sip:alice@10.0.0.5:5060 SIP/2.0");
        let ok = with_body(
            invite.answered("200 OK", ip, "Contact: <sip:alice@10.0.0.5:5060>\n"),
            &offer_at(ip, "0", ""),
        );
        house.hears(udp(PHONE), &ok);
        let (_, agreed) = house.happened();
        assert_eq!(agreed[0].nat_host, evidence);
        house.order(LegId(9), LegAction::HangUp(Cause::Normal), &[]);
        house.told();
    }
}

// Hold.

#[test]
fn a_peer_that_holds_and_resumes_is_told_of_once_each() {
    let mut house = House::new();
    let (_, tag) = house.carrier_is_answered();
    let mut cseq = 1;
    for (direction, event, answer) in [
        ("sendonly", Some(LegEvent::Held), "a=recvonly"),
        ("sendonly", None, "a=recvonly"),
        ("inactive", None, "a=inactive"),
        ("sendrecv", Some(LegEvent::Resumed), "m=audio"),
        ("", None, "m=audio"),
    ] {
        cseq += 1;
        let again = inside("INVITE", &format!("h{cseq}"), &tag, cseq, "", &offer("0 8", direction));
        let said = house.hears(udp(CARRIER), &again);
        let ok = said.iter().find(|s| s.line() == "SIP/2.0 200 OK").unwrap();
        assert!(ok.body().contains(answer), "{direction}: {}", ok.body());
        house.hears(udp(CARRIER), &inside("ACK", &format!("k{cseq}"), &tag, cseq, "", ""));
        assert_eq!(house.events(), Vec::from_iter(event), "{direction}");
    }
}

#[test]
fn our_hold_is_an_offer_and_a_peer_that_holds_meanwhile_is_found_out_when_we_resume() {
    let mut house = House::new();
    let (leg, tag) = house.carrier_is_answered();
    let hold = house.order(leg, LegAction::Hold, &[]).remove(0);
    assert!(hold.line().starts_with("INVITE ") && hold.body().contains("a=sendonly"));
    house.hears(udp(CARRIER), &answered_with(&hold, "200 OK", &offer("0", "recvonly")));
    assert!(house.events().is_empty(), "recvonly answers our hold and is none of its own");

    let theirs = inside("INVITE", "h2", &tag, 2, "", &offer("0", "inactive"));
    house.hears(udp(CARRIER), &theirs);
    house.hears(udp(CARRIER), &inside("ACK", "k2", &tag, 2, "", ""));
    assert!(house.events().is_empty(), "ours counts");

    let resume = house.order(leg, LegAction::Resume, &[]).remove(0);
    assert!(!resume.body().contains("a=sendonly"));
    house.hears(udp(CARRIER), &answered_with(&resume, "200 OK", &offer("0", "inactive")));
    assert_eq!(house.events(), [LegEvent::Held]);
}

#[test]
fn a_refused_re_invite_of_either_side_leaves_the_call_as_it_was() {
    let mut house = House::new();
    let (leg, tag) = house.carrier_is_answered();
    let hold = house.order(leg, LegAction::Hold, &[]).remove(0);
    house.hears(udp(CARRIER), &hold.answered("488 Not Acceptable Here", "", ""));
    assert!(house.told().is_empty());

    let strange = inside("INVITE", "h2", &tag, 2, "", &offer("18", ""));
    let said = house.hears(udp(CARRIER), &strange);
    assert_eq!(said.last().unwrap().line(), "SIP/2.0 488 Not Acceptable Here");
    house.hears(udp(CARRIER), &inside("ACK", "h2", &tag, 2, "", ""));
    assert!(house.told().is_empty());
    assert_eq!(house.door.legs(), 1);
    assert!(house.order(leg, LegAction::HangUp(Cause::Normal), &[])[0].line().starts_with("BYE "));
}

#[test]
fn a_session_that_is_refreshed_unchanged_is_no_news() {
    let mut house = House::new();
    let (_, tag) = house.carrier_is_answered();
    for cseq in 2..5 {
        let same = inside("INVITE", &format!("r{cseq}"), &tag, cseq, "", &offer("0 8", ""));
        house.hears(udp(CARRIER), &same);
        house.hears(udp(CARRIER), &inside("ACK", &format!("k{cseq}"), &tag, cseq, "", ""));
    }
    assert!(house.told().is_empty());
}

// Trunks and connections.

#[test]
fn a_trunk_that_is_new_in_the_file_is_asked_soon() {
    let mut house = House::new();
    assert!(house.pass(Duration::from_secs(60)).is_empty());
    house.config.store(Arc::new(config("supported", "options_s = 30")));
    let said = house.pass(Duration::from_secs(6));
    assert!(said.iter().any(|s| s.line().starts_with("OPTIONS ")));
}

#[test]
fn a_connection_that_cannot_be_made_ends_the_leg_that_needed_it() {
    let mut changed = config("supported", "");
    changed.trunks[0].destinations[0].transport = Some(sbc_config::Transport::Tcp);
    let mut house = House::with(changed);
    let (_, invite) = house.dials_carrier(&[]);
    assert!(invite.get("Via").starts_with("SIP/2.0/TCP"));
    let to = Destination {
        transport: Transport::Tcp,
        remote: CARRIER.parse().unwrap(),
        local: None,
        connection: None,
        tls: None,
    };
    house.door.unreachable(house.now, to);
    house.collect();
    let events = house.events();
    assert!(matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::Unreachable), "{events:?}");
    assert_eq!(house.door.legs(), 0);
}

#[test]
fn a_stream_whose_framing_is_lost_is_answered_and_then_closed() {
    let mut house = House::new();
    let peer = Peer { transport: Transport::Tcp, connection: Some(ConnectionId(4)), ..udp(CARRIER) };
    let head = invite("a", "", "").replace('\n', "\r\n") + "\r\n";
    house.door.receive_last(house.now, peer, Bytes::from(head));
    let said = house.collect();
    assert_eq!(said.last().map(Said::line).map(|line| &line[..11]), Some("SIP/2.0 400"), "{said:?}");
    assert_eq!(house.closed, [ConnectionId(4)]);
}
