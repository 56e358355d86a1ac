//! Who forwarded a call and why: what is read from each network, and what each is told.

use super::*;

fn history(value: &str) -> Vec<(String, Diverted, bool)> {
    let text = format!("OPTIONS sip:+15550100@x SIP/2.0\r\nHistory-Info: {value}\r\n\r\n");
    told(histories(&headers(&text), Some("+15550100")))
}

fn diverted(value: &str) -> Vec<(String, Diverted, bool)> {
    told(diversions(&headers(&format!("OPTIONS sip:x SIP/2.0\r\n{value}\r\n\r\n"))))
}

fn headers(text: &str) -> Headers {
    let start = text.find("\r\n").unwrap() + 2;
    Headers::index(Bytes::copy_from_slice(text.as_bytes()), start).0
}

fn told(found: Vec<Diversion>) -> Vec<(String, Diverted, bool)> {
    found.into_iter().map(|one| (one.number, one.reason, one.private)).collect()
}

fn one(number: &str, reason: Diverted) -> (String, Diverted, bool) {
    (number.to_owned(), reason, false)
}

#[test]
fn microsofts_history_names_the_one_who_forwarded_escaped_or_not() {
    let now = "<sip:+15550100@sbc1.example.com:5061;user=phone>;index=1.1";
    for reason in [
        "Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20temporarily%22",
        "Reason=SIP;cause=302;text=\"Moved temporarily\"",
        "reason=sip%3bcause%3d302",
    ] {
        let entry = format!("<sip:+15550122@sip.pstnhub.microsoft.com:5061;user=phone?{reason}>;index=1");
        let expected = [one("+15550122", Diverted::Unconditional)];
        assert_eq!(history(&format!("{entry}, {now}")), expected, "{reason}");
        assert_eq!(history(&entry), expected, "the target may be left out");
    }
    let busy = "<sip:+15550122@sip.pstnhub.microsoft.com?Reason=SIP%3Bcause%3D496>;index=1";
    assert_eq!(history(busy), [one("+15550122", Diverted::UserBusy)]);
    let absent = "<sip:+15550122@sip.pstnhub.microsoft.com?Reason=SIP%3Bcause%3D480>;index=1";
    assert_eq!(history(absent), [one("+15550122", Diverted::NoAnswer)]);
}

#[test]
fn a_chain_is_followed_by_its_indices_and_its_causes() {
    let chain = "<sip:+1555001@a>;index=1, <sip:+1555002@a;cause=486>;index=1.1;mp=1, \
        <sip:+1555002@192.0.2.7>;index=1.1.1;rc=1.1, <sip:+15550100@a;cause=408>;index=1.2;mp=1.1";
    let found = history(chain);
    assert_eq!(found, [one("+1555001", Diverted::UserBusy), one("+1555002", Diverted::NoAnswer)]);
}

#[test]
fn a_call_that_went_straight_was_not_diverted() {
    assert!(history("<sip:+15550100@a>;index=1").is_empty());
    assert!(history("<sip:+15550100@a>;index=1, <sip:+15550100@192.0.2.1>;index=1.1;rc=1").is_empty());
    // Its own end is no diversion of it.
    assert!(history("<sip:+15550100@a?Reason=SIP%3Bcause%3D408>;index=1").is_empty());
}

#[test]
fn what_is_private_stays_marked() {
    let entry = "<sip:+1555001@a?Privacy=history&Reason=SIP%3Bcause%3D302>;index=1";
    assert_eq!(history(entry), [("+1555001".to_owned(), Diverted::Unconditional, true)]);
    let entry = "<sip:+1555001@a?Reason=SIP%3Bcause%3D302>;index=1\r\nPrivacy: id;history";
    assert_eq!(history(entry), [("+1555001".to_owned(), Diverted::Unconditional, true)]);
    let entry = "Diversion: <tel:+1555001>;reason=no-answer;privacy=full";
    assert_eq!(diverted(entry), [("+1555001".to_owned(), Diverted::NoAnswer, true)]);
}

#[test]
fn the_topmost_diversion_is_the_latest() {
    let two = "Diversion: <sip:+1555002@a>;reason=user-busy;counter=1\r\nDiversion: \"A\" <sip:+1555001@a>;reason=time-of-day";
    assert_eq!(diverted(two), [one("+1555001", Diverted::TimeOfDay), one("+1555002", Diverted::UserBusy)]);
    let list = "Diversion: <sip:+1555002@a>;reason=\"follow-me\", <sip:+1555001@a>;reason=what";
    assert_eq!(diverted(list), [one("+1555001", Diverted::Unknown), one("+1555002", Diverted::FollowMe)]);
}

#[test]
fn nonsense_says_nothing() {
    for value in
        ["", ",,;", "<", "<>", ">?<", "<sip:+1>;index", "<?Reason=SIP;cause=>;index=1", "\"<\";index=1"]
    {
        assert!(history(value).is_empty(), "{value}");
    }
    assert!(history("<sip:+1555001@a?Reason=SIP%3Bcause%3D99999999>;index=1").is_empty());
    assert!(diverted("Diversion: <sip:>;;reason").is_empty());
}

#[test]
fn of_many_the_first_and_the_latest_are_kept_and_the_rest_counted() {
    let many = |number: u8| Diversion {
        number: number.to_string(),
        reason: Diverted::Unknown,
        private: false,
        count: 1,
    };
    let mut found: Vec<Diversion> = (1..=9).map(many).collect();
    shorten(&mut found);
    let left: Vec<_> = found.iter().map(|one| (one.number.as_str(), one.count)).collect();
    assert_eq!(left, [("1", 1), ("6", 5), ("7", 1), ("8", 1), ("9", 1)]);
    assert_eq!(found.iter().map(|one| one.count).sum::<u8>(), 9);
}
