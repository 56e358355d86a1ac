//! Forwarded calls: who forwarded them, and why, goes on to whoever may know (RFC 5806, RFC 7044, RFC 3323).

use super::teams::{MICROSOFT, microsoft, ms};
use super::*;
use crate::call::journey::{Diversion, Diverted};

/// Jane has forwarded a call of +15550001 to the number that is dialled.
const FORWARDED: &str = "HISTORY-INFO: <sip:+15550122@sip.pstnhub.microsoft.com:5061;user=phone\
    ?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20temporarily%22>;index=1,\
    <sip:+15550100@sbc1.example.com:5061;user=phone>;index=1.1\n\
    P-ASSERTED-IDENTITY: <sip:jane@contoso.example>,<tel:+15550122>\n";

/// A call that Teams has forwarded: who calls, as the switchboard is told.
fn forwarded_by_teams(house: &mut House, more: &str) -> Caller {
    let peer = microsoft(house, MICROSOFT, 1);
    let call = ms("INVITE", "a", "19233e6b", "", 1, &format!("{FORWARDED}{more}"), teams::OFFER);
    let call = call.replace("Jane Q Doe<sip:+15550111@", "<sip:+15550001@");
    house.hears(peer, &call);
    house.came().from
}

fn diversion(number: &str, reason: Diverted) -> Diversion {
    Diversion { number: number.into(), reason, private: false, count: 1 }
}

#[test]
fn a_call_that_teams_forwards_names_its_caller_who_is_billed_and_who_forwarded_it() {
    let mut house = House::with_teams_and("diversion_out = \"diversion\"");
    let from = forwarded_by_teams(&mut house, "");
    assert_eq!((from.number.as_str(), from.asserted.as_deref()), ("+15550001", Some("+15550122")));
    assert_eq!(from.journey.diversions, [diversion("+15550122", Diverted::Unconditional)]);

    let on = house.goes_on(0, from, "carrier");
    assert!(on.get("From").starts_with("<sip:+15550001@192.0.2.2:5060>"), "who is shown: {}", on.0);
    assert!(on.get("P-Asserted-Identity").contains("sip:+15550122@"), "who is billed: {}", on.0);
    let by = "<sip:+15550122@192.0.2.2:5060;user=phone>;reason=unconditional;counter=1";
    assert_eq!(on.get("Diversion"), by);
    assert_eq!(on.get("History-Info"), "", "nobody has asked for it");
    assert!(!on.0.contains("microsoft") && !on.0.contains("contoso"), "nothing is patched: {}", on.0);
}

#[test]
fn both_headers_may_be_told_and_each_says_it_in_its_own_words() {
    let mut house = House::with_teams_and("diversion_out = \"both\"");
    let from = forwarded_by_teams(&mut house, "");
    let on = house.goes_on(0, from, "carrier");
    assert!(on.get("Diversion").contains("reason=unconditional"), "{}", on.0);
    let history = "<sip:+15550122@192.0.2.2:5060;user=phone?Reason=SIP%3Bcause%3D302>;index=1, \
        <sip:+15550123@192.0.2.1:5060;cause=302>;index=1.1;mp=1";
    assert_eq!(on.get("History-Info"), history);
}

#[test]
fn a_private_forwarder_is_named_to_networks_that_may_know_and_to_nobody_else() {
    let trusted = "diversion_out = \"both\"";
    let stranger = format!("{trusted}\nprivacy = \"anonymous\"");
    for (settings, known) in [(trusted, true), (&*stranger, false)] {
        let mut house = House::with_teams_and(settings);
        let from = forwarded_by_teams(&mut house, "PRIVACY: history\n");
        assert!(!from.private, "it is not the caller who hides");
        let shown: Vec<_> = from.journey.diversions.iter().map(Diversion::shown).collect();
        assert_eq!(shown, [None]);
        // What the network vouches for is another matter.
        let on = house.goes_on(0, Caller { asserted: None, ..from }, "carrier");
        assert_eq!(on.0.contains("+15550122"), known, "{}", on.0);
        assert!(on.get("Diversion").ends_with(";reason=unconditional;counter=1;privacy=full"), "{}", on.0);
        assert!(on.get("History-Info").contains("?Privacy=history&Reason=SIP%3Bcause%3D302>"), "{}", on.0);
        assert_eq!(on.get("Diversion").contains("sip:anonymous@anonymous.invalid"), !known);
    }
}

#[test]
fn a_trunk_is_believed_and_told_no_more_than_its_settings_say() {
    let said = "Diversion: <sip:+15550122@192.0.2.1>;reason=no-answer\n\
        History-Info: <sip:+15550133@192.0.2.1?Reason=SIP%3Bcause%3D486>;index=1, <sip:+15550100@192.0.2.2>;index=1.1\n";
    let believed = |setting: &str| {
        let mut house = House::with_two_trunks(setting, "");
        house.hears(udp(CARRIER), &invite("a", said, &offer("0", "")));
        let from = house.came().from;
        let found = from.journey.diversions.clone();
        let on = house.goes_on(0, from, "beyond");
        assert!(!on.0.contains("Diversion") && !on.0.contains("History-Info"), "{}", on.0);
        found
    };
    assert!(believed("").is_empty());
    assert_eq!(believed("diversion_in = \"diversion\""), [diversion("+15550122", Diverted::NoAnswer)]);
    assert_eq!(believed("diversion_in = \"history_info\""), [diversion("+15550133", Diverted::UserBusy)]);
    // Both tell the same story, and one of them is enough.
    assert_eq!(believed("diversion_in = \"both\""), [diversion("+15550133", Diverted::UserBusy)]);
}

#[test]
fn a_chain_keeps_its_order_and_its_numbers_are_written_as_each_trunk_writes_them() {
    let settings = "diversion_in = \"diversion\"\nnumbers_in = [{ national = { country = \"44\" } }]";
    let beyond = "diversion_out = \"both\"\ncaller_numbers_out = [{ strip_plus = true }]\n";
    let mut house = House::with_two_trunks(settings, beyond);
    let said = "Diversion: <sip:02079460002@192.0.2.1>;reason=user-busy\n\
        Diversion: <sip:02079460001@192.0.2.1>;reason=do-not-disturb;counter=3\n";
    house.hears(udp(CARRIER), &invite("a", said, &offer("0", "")));
    let from = house.came().from;
    let first = Diversion { count: 3, ..diversion("+442079460001", Diverted::DoNotDisturb) };
    assert_eq!(from.journey.diversions, [first, diversion("+442079460002", Diverted::UserBusy)]);
    let on = house.goes_on(0, from, "beyond");
    let told = on.all("Diversion");
    assert_eq!(
        told,
        [
            "<sip:442079460002@192.0.2.2:5060>;reason=user-busy;counter=1",
            "<sip:442079460001@192.0.2.2:5060>;reason=do-not-disturb;counter=3",
        ],
        "the latest on top"
    );
    let history = "<sip:442079460001@192.0.2.2:5060?Reason=SIP%3Bcause%3D404>;index=1, \
        <sip:442079460002@192.0.2.2:5060;cause=404?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1, \
        <sip:+15550123@192.0.2.9:5060;cause=486>;index=1.1.1;mp=1.1";
    assert_eq!(on.get("History-Info"), history);
}
