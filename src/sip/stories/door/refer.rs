//! The transfer button on a telephone of ours, as the door sees it.

use super::*;
use crate::call::Referral;

fn inside_bobs(invite: &Said, cseq: u32, refer_to: &str) -> String {
    let (from, to, call_id) = (invite.get("From"), invite.get("To"), invite.get("Call-ID"));
    format!(
        "REFER sip:sidetone@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKrefer{cseq};rport\n\
         Max-Forwards: 70\nFrom: {to};tag=far\nTo: {from}\nCall-ID: {call_id}\nCSeq: {cseq} REFER\n\
         Contact: <sip:bob@192.0.2.9:5060>\nRefer-To: {refer_to}\n"
    )
}

/// Bob's telephone has answered a call of ours.
fn bob_talks() -> (House, LegId, Said) {
    let mut house = House::new();
    let leg = LegId(88);
    let invite = house.order(leg, LegAction::Dial(person("bob")), &[]).remove(0);
    assert!(invite.get("Allow").contains("REFER"), "{}", invite.0);
    let contact = "Contact: <sip:bob@192.0.2.9:5060>\n";
    let answer = with_body(invite.answered("200 OK", "far", contact), &offer_at("192.0.2.9", "0", ""));
    house.hears(udp(BOB), &answer);
    house.told();
    (house, leg, invite)
}

#[test]
fn a_telephone_is_told_at_once_and_then_what_became_of_it() {
    let (mut house, leg, invite) = bob_talks();
    let said = house.hears(udp(BOB), &inside_bobs(&invite, 1, "<sip:+4420555@example.com>"));
    assert_eq!(said[0].line(), "SIP/2.0 202 Accepted");
    assert_eq!(said[1].body(), "SIP/2.0 100 Trying\r\n");
    let reports = house.told();
    let [Report::Refers { leg: asked, to }] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((*asked, to.as_str()), (leg, "+4420555"));
    house.hears(udp(BOB), &said[1].answered("200 OK", "far", ""));

    let ringing = house.order(leg, LegAction::Refer(Referral::Ringing), &[]).remove(0);
    assert_eq!(ringing.body(), "SIP/2.0 180 Ringing\r\n");
    house.hears(udp(BOB), &ringing.answered("200 OK", "far", ""));
    let busy = house.order(leg, LegAction::Refer(Referral::Failed(Cause::Busy)), &[]).remove(0);
    assert_eq!(busy.body(), "SIP/2.0 486 Busy Here\r\n");
    assert_eq!(busy.get("Subscription-State"), "terminated;reason=noresource");
}

#[test]
fn what_cannot_be_carried_out_is_said_in_the_news() {
    for (refer_to, status) in [
        // An attended transfer to a call that nobody here has.
        ("<sip:carol@example.com?Replaces=abc%3Bto-tag%3D1%3Bfrom-tag%3D2>", "481"),
        ("<sip:carol@example.com?Replaces=abc>", "481"),
        ("<sip:example.com>", "404"),
    ] {
        let (mut house, _, invite) = bob_talks();
        let said = house.hears(udp(BOB), &inside_bobs(&invite, 1, refer_to));
        assert_eq!(said[0].line(), "SIP/2.0 202 Accepted", "{refer_to}");
        let notified = said.iter().any(|said| said.body().starts_with(&format!("SIP/2.0 {status} ")));
        let later =
            if notified { Vec::new() } else { house.hears(udp(BOB), &said[1].answered("200 OK", "far", "")) };
        let told = later.iter().any(|said| said.body().starts_with(&format!("SIP/2.0 {status} ")));
        assert!(notified || told, "{refer_to}: {}", said.iter().map(|said| &*said.0).collect::<String>());
        assert!(house.told().is_empty(), "nobody is asked");
    }
}

/// RFC 5589 section 7: Refer-To names, by Replaces, the dialog of the telephone's other call.
#[test]
fn a_telephone_with_two_calls_asks_that_they_be_one() {
    let (mut house, leg, invite) = bob_talks();
    let other = LegId(89);
    let second = house.order(other, LegAction::Dial(person("bob")), &[]).remove(0);
    let refer_to = |to_tag: &str, more: &str| {
        let call_id = second.get("Call-ID").replace('@', "%40");
        format!("<sip:carol@example.com?Replaces={call_id}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3Dnear{more}>")
    };
    let ours = second.tag("From");
    let mut cseq = 0;
    let mut asks = |house: &mut House, refer_to: &str| {
        cseq += 1;
        let said = house.hears(udp(BOB), &inside_bobs(&invite, cseq, refer_to));
        assert_eq!(said[0].line(), "SIP/2.0 202 Accepted", "{refer_to}");
        let (mut news, mut unanswered) = (Vec::new(), said[1..].to_vec());
        while let Some(next) = unanswered.pop() {
            news.push(next.body().to_owned());
            unanswered.extend(house.hears(udp(BOB), &next.answered("200 OK", "far", "")));
        }
        (house.told(), news)
    };
    // It rings, and is nobody's to give away.
    let (reports, news) = asks(&mut house, &refer_to(&ours, ""));
    assert!(reports.is_empty(), "{reports:?}");
    assert!(news.iter().any(|news| news.starts_with("SIP/2.0 481 ")), "{news:?}");

    let contact = "Contact: <sip:bob@192.0.2.9:5060>\n";
    let answer = with_body(second.answered("200 OK", "near", contact), &offer_at("192.0.2.9", "0", ""));
    house.hears(udp(BOB), &answer);
    house.told();
    for wrong in [refer_to("0", ""), refer_to(&ours, "%3Bearly-only")] {
        let (reports, news) = asks(&mut house, &wrong);
        assert!(
            reports.is_empty() && news.iter().any(|news| news.starts_with("SIP/2.0 481 ")),
            "{wrong}: {news:?}"
        );
    }
    let (reports, news) = asks(&mut house, &refer_to(&ours, ""));
    let [Report::Joins { leg: asked, with }] = &reports[..] else { panic!("{reports:?} {news:?}") };
    assert_eq!((*asked, *with), (leg, other));
    assert_eq!(news, ["SIP/2.0 100 Trying\r\n"]);
    let done = house.order(leg, LegAction::Refer(Referral::Connected), &[]).remove(0);
    assert_eq!(done.body(), "SIP/2.0 200 OK\r\n");
}
