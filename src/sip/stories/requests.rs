//! Requests that deserve one certain answer.

use super::*;
use crate::sip::session::How;

fn answer(message: &str) -> Said {
    let mut solo = Solo::new();
    let answers = solo.hears(message);
    assert_eq!(answers.len(), 1, "{answers:?}");
    solo.assert_nothing_is_left();
    answers[0].clone()
}

#[test]
fn options_tells_what_we_can_do() {
    let ok = answer(&a_request("OPTIONS", "o", "", 1, ""));
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
    assert_eq!(ok.get("Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK");
    assert_eq!(ok.get("Accept"), "application/sdp");
    assert_eq!(ok.get("Supported"), "100rel, timer");
    assert!(!ok.tag("To").is_empty());
}

#[test]
fn options_inside_a_dialog_is_answered_too() {
    let mut solo = Solo::new();
    let (_, tag) = solo.is_called();
    let ok = solo.hears(&a_request("OPTIONS", "o", &tag, 2, "")).remove(0);
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
    assert_eq!(ok.tag("To"), tag);
}

#[test]
fn methods_we_do_not_know_are_405_with_allow() {
    for method in ["SUBSCRIBE", "REFER", "UPDATE", "INFO", "MESSAGE", "REGISTER", "DANCE"] {
        let no = answer(&a_request(method, "x", "", 1, ""));
        assert_eq!(no.line(), "SIP/2.0 405 Method Not Allowed", "{method}");
        assert!(no.get("Allow").starts_with("INVITE, ACK"));
    }
}

#[test]
fn a_refer_inside_a_dialog_is_405_and_the_call_goes_on() {
    let mut solo = Solo::new();
    let (id, tag) = solo.is_called();
    let no = solo.hears(&a_request("REFER", "r", &tag, 2, "Refer-To: <sip:x@192.0.2.9>\n")).remove(0);
    assert_eq!(no.line(), "SIP/2.0 405 Method Not Allowed");
    assert!(solo.ended(id).is_none());
    assert_eq!(solo.endpoint.sessions(), 1);
}

#[test]
fn a_demand_for_an_unknown_extension_is_420() {
    let no = answer(&an_invite("x", "Require: 100rel, teleport\nRequire: nothing\n"));
    assert_eq!(no.line(), "SIP/2.0 420 Bad Extension");
    assert_eq!(no.get("Unsupported"), "teleport, nothing");
}

#[test]
fn a_request_that_has_hopped_enough_is_483() {
    let invite = an_invite("x", "").replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(answer(&invite).line(), "SIP/2.0 483 Too Many Hops");
}

#[test]
fn a_body_of_an_unknown_kind_is_415_unless_it_is_optional() {
    let invite = an_invite("x", "").replace("application/sdp", "text/plain");
    let no = answer(&invite);
    assert_eq!(no.line(), "SIP/2.0 415 Unsupported Media Type");
    assert_eq!(no.get("Accept"), "application/sdp, multipart/mixed");

    let mut solo = Solo::new();
    let optional = "Content-Disposition: render; handling=optional\n";
    let invite = an_invite("x", optional).replace("application/sdp", "text/plain");
    assert_eq!(solo.hears(&invite)[0].line(), "SIP/2.0 100 Trying");
    assert_eq!(solo.incoming[0].offer, None);
}

#[test]
fn a_compressed_body_is_415() {
    assert_eq!(
        answer(&an_invite("x", "Content-Encoding: gzip\n")).line(),
        "SIP/2.0 415 Unsupported Media Type"
    );
}

#[test]
fn the_offer_is_found_beside_isup_in_a_multipart_body() {
    let mut solo = Solo::new();
    let head = an_invite("x", "").split("Content-Type").next().unwrap().replace('\n', "\r\n");
    let mut body = format!("--b1\r\nContent-Type: application/SDP\r\n\r\n{OFFER}\r\n--b1\r\n").into_bytes();
    body.extend_from_slice(
        b"Content-Type: application/ISUP;version=x\r\n\r\n\x01\x00\x49\xff\0\r\n\r\n--b1--\r\n",
    );
    let mut whole =
        format!("{head}Content-Type: multipart/mixed;boundary=b1\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    whole.extend_from_slice(&body);
    assert_eq!(solo.hears_octets(&whole)[0].line(), "SIP/2.0 100 Trying");
    assert_eq!(solo.incoming[0].offer.as_deref(), Some(OFFER.as_bytes()));
}

#[test]
fn a_foreign_uri_scheme_is_416() {
    let invite = an_invite("x", "").replace("INVITE sip:bob@192.0.2.2", "INVITE mailto:bob@192.0.2.2");
    assert_eq!(answer(&invite).line(), "SIP/2.0 416 Unsupported URI Scheme");
}

#[test]
fn another_version_of_sip_is_505() {
    let invite = an_invite("x", "").replacen("SIP/2.0\n", "SIP/7.0\n", 1);
    assert!(answer(&invite).line().starts_with("SIP/2.0 505"));
}

#[test]
fn a_request_of_no_known_dialog_is_481_and_such_an_ack_is_silence() {
    for method in ["BYE", "OPTIONS", "INVITE", "PRACK"] {
        let no = answer(&a_request(method, "x", "0123456789abcdef", 5, ""));
        assert_eq!(no.line(), "SIP/2.0 481 Call/Transaction Does Not Exist", "{method}");
    }
    for method in ["BYE", "PRACK", "CANCEL"] {
        let no = answer(&a_request(method, "x", "", 5, ""));
        assert_eq!(no.line(), "SIP/2.0 481 Call/Transaction Does Not Exist", "{method}");
    }
    let mut solo = Solo::new();
    assert!(solo.hears(&a_request("ACK", "x", "0123456789abcdef", 5, "")).is_empty());
    solo.assert_nothing_is_left();
}

#[test]
fn a_bye_with_our_tag_but_anothers_call_id_or_tag_ends_nothing() {
    let mut solo = Solo::new();
    let (id, tag) = solo.is_called();
    for (was, is) in [("Call-ID: by-hand", "Call-ID: guessed"), ("tag=carol", "tag=mallory")] {
        let bye = a_request("BYE", is, &tag, 2, "").replace(was, is);
        let bye =
            bye.replace("z9hG4bKCall-ID: guessed", "z9hG4bKg1").replace("z9hG4bKtag=mallory", "z9hG4bKg2");
        assert_eq!(solo.hears(&bye)[0].line(), "SIP/2.0 481 Call/Transaction Does Not Exist");
    }
    assert!(solo.ended(id).is_none());
}

#[test]
fn the_same_request_by_two_ways_is_482() {
    let mut solo = Solo::new();
    assert_eq!(solo.hears(&an_invite("one", ""))[0].line(), "SIP/2.0 100 Trying");
    assert_eq!(solo.hears(&an_invite("two", ""))[0].line(), "SIP/2.0 482 Loop Detected");
    assert_eq!(solo.incoming.len(), 1);
}

#[test]
fn a_retransmission_is_answered_alike_and_reaches_the_user_once() {
    let mut solo = Solo::new();
    solo.hears(&an_invite("a", ""));
    let id = solo.incoming[0].session;
    solo.endpoint.ring(solo.now, id).unwrap();
    let ringing = solo.collect().remove(0);
    assert_eq!(solo.hears(&an_invite("a", "")).remove(0).0, ringing.0);
    assert_eq!(solo.incoming.len(), 1);

    let options = solo.hears(&a_request("OPTIONS", "o", "", 7, "")).remove(0);
    assert_eq!(solo.hears(&a_request("OPTIONS", "o", "", 7, "")).remove(0).0, options.0);
}

#[test]
fn an_invite_without_contact_is_400() {
    let invite = an_invite("x", "").replace("Contact: <sip:carol@192.0.2.1:5060>\n", "");
    let mut solo = Solo::new();
    let answers = solo.hears(&invite);
    assert!(answers.last().unwrap().line().starts_with("SIP/2.0 400"));
    assert!(solo.incoming.is_empty());
    solo.assert_nothing_is_left();
}

#[test]
fn answers_go_where_the_request_came_from() {
    // RFC 3581: rport was asked for, so the source port counts and is written into the Via.
    let mut solo = Solo::new();
    solo.peer.remote = "198.51.100.7:61234".parse().unwrap();
    solo.hears(&a_request("OPTIONS", "o", "", 1, ""));
    let (to, ok) = solo.sent[0].clone();
    assert_eq!(to.remote, solo.peer.remote);
    assert_eq!(to.local, Some(solo.peer.local));
    assert!(ok.get("Via").contains("received=198.51.100.7"));
    assert!(ok.get("Via").contains("rport=61234"));

    // RFC 3261 section 18.2.2: without rport, the source address and the port of sent-by.
    solo.hears(&a_request("OPTIONS", "p", "", 2, "").replace(";rport", ""));
    assert_eq!(solo.sent[1].0.remote, "198.51.100.7:5060".parse::<std::net::SocketAddr>().unwrap());
}

#[test]
fn maddr_does_not_turn_our_answers_on_a_third_party() {
    let mut solo = Solo::new();
    solo.hears(&a_request("OPTIONS", "o", "", 1, "").replace(";rport", ";maddr=203.0.113.9"));
    assert_eq!(solo.sent[0].0.remote.ip(), solo.peer.remote.ip());
}

#[test]
fn a_spoofed_invite_draws_little_more_than_it_sent() {
    let mut solo = Solo::new();
    let invite = an_invite("x", "");
    let asked = invite.len();
    solo.hears(&invite);
    let id = solo.incoming[0].session;
    solo.endpoint.reject(solo.now, id, &crate::sip::session::Refusal::new(403)).unwrap();
    solo.pass(Duration::from_secs(40));
    // 100 and a refusal that timer G repeats, each shorter than the INVITE; never the session description.
    assert!(solo.sent.iter().all(|(_, said)| said.0.len() < asked && said.body().is_empty()));
    assert_eq!(solo.sent.iter().filter(|(_, said)| said.line().contains("403")).count(), 11);
    solo.assert_nothing_is_left();
}

#[test]
fn requests_out_of_order_in_a_dialog_are_500() {
    let mut solo = Solo::new();
    let (id, tag) = solo.is_called();
    assert_eq!(solo.hears(&a_request("OPTIONS", "o5", &tag, 5, ""))[0].line(), "SIP/2.0 200 OK");
    let late = solo.hears(&a_request("BYE", "b4", &tag, 4, ""));
    assert_eq!(late[0].line(), "SIP/2.0 500 Server Internal Error");
    assert!(solo.ended(id).is_none());
    assert_eq!(solo.hears(&a_request("BYE", "b6", &tag, 6, ""))[0].line(), "SIP/2.0 200 OK");
    assert_eq!(solo.ended(id).unwrap().how, How::Bye);
    solo.assert_nothing_is_left();
}

#[test]
fn a_bye_before_the_answer_ends_the_invite_too() {
    let mut solo = Solo::new();
    solo.hears(&an_invite("a", ""));
    let id = solo.incoming[0].session;
    solo.endpoint.ring(solo.now, id).unwrap();
    let tag = solo.collect()[0].tag("To");
    let lines: Vec<String> =
        solo.hears(&a_request("BYE", "b", &tag, 2, "")).iter().map(|said| said.line().to_owned()).collect();
    assert_eq!(lines, ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(solo.ended(id).unwrap().how, How::Cancelled);
    solo.assert_nothing_is_left();
}

#[test]
fn peers_of_rfc_2543_without_cookie_are_understood() {
    let mut solo = Solo::new();
    let plain = |text: String| text.replace("z9hG4bK", "");
    solo.hears(&plain(an_invite("1", "")));
    solo.hears(&plain(an_invite("1", "")));
    assert_eq!(solo.incoming.len(), 1);
    let id = solo.incoming[0].session;
    let answers = solo.hears(&plain(a_request("CANCEL", "1", "", 1, "")));
    assert_eq!(answers[0].line(), "SIP/2.0 200 OK");
    assert_eq!(answers[1].line(), "SIP/2.0 487 Request Terminated");
    assert_eq!(solo.ended(id).unwrap().how, How::Cancelled);
    solo.hears(&plain(a_request("ACK", "1", &answers[1].tag("To"), 1, "")));
    solo.assert_nothing_is_left();
}

#[test]
fn octets_that_are_no_sip_are_counted_and_met_with_silence() {
    let mut solo = Solo::new();
    for octets in [&b"\r\n\r\n"[..], b"hello", b"\0\0\0\0", b"SIP/2.0 200 OK\r\n\r\n"] {
        assert!(solo.hears_octets(octets).is_empty());
    }
    assert_eq!(solo.endpoint.dropped(), 4);
    solo.assert_nothing_is_left();
}
