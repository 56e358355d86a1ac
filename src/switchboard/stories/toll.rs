//! What a trunk may be used for, and the calls that nothing stops.

use sbc_config::{CallerIdPolicy, NumberPattern, Trunk};

use super::*;
use crate::call::journey::{Diversion, Diverted, Journey};
use crate::call::{Address, Target};

fn house(change: impl FnOnce(&mut Trunk)) -> House {
    let mut config = config("", 100);
    config.trunks.iter_mut().filter(|trunk| trunk.id.as_str() == "carrier").take(1).for_each({
        let mut change = Some(change);
        move |trunk| {
            if let Some(change) = change.take() {
                change(trunk);
            }
        }
    });
    House::with(config, PAIRS)
}

fn patterns(texts: &[&str]) -> Option<Vec<NumberPattern>> {
    Some(texts.iter().map(|text| NumberPattern::parse(text).unwrap()).collect())
}

#[tokio::test]
async fn a_caller_with_another_number_is_warned_of_or_refused_as_the_trunk_says() {
    let mut house = house(|trunk| {
        trunk.allowed_caller_ids = patterns(&["+1444*"]);
        trunk.caller_id_policy = CallerIdPolicy::Reject;
    });
    let leg = house.customer_calls("+15550100");
    house.assert_turned_away(leg, Cause::Forbidden, "caller_id_not_allowed");
    let line = ("use_trunk", "caller_id_not_allowed".to_owned());
    assert!(house.audited().contains(&line), "refused calls are in the audit");

    let mut house = self::house(|trunk| trunk.allowed_caller_ids = patterns(&["+1444*"]));
    house.customer_calls("+15550100");
    assert_eq!(house.obey()[0].1, "alice");
    assert_eq!(house.last("trunk.caller_id").data["reason"], "caller_id_not_allowed");
}

#[tokio::test]
async fn a_forwarded_call_is_its_forwarders_whoever_it_shows() {
    for (by, comes_in) in [("+14445550", true), ("+15559999", false)] {
        let mut house = house(|trunk| {
            trunk.allowed_caller_ids = patterns(&["+1444*"]);
            trunk.caller_id_policy = CallerIdPolicy::Reject;
        });
        let reason = Diverted::Unconditional;
        let diversions = vec![Diversion { number: by.into(), reason, private: false, count: 1 }];
        let leg = house.comes_by(Journey { diversions, ..Journey::default() }, "+15550100");
        match comes_in {
            true => assert_eq!(house.obey()[0].1, "alice"),
            false => house.assert_turned_away(leg, Cause::Forbidden, "caller_id_not_allowed"),
        }
    }
}

#[tokio::test]
async fn a_trunk_takes_as_many_new_calls_in_a_second_as_it_may() {
    let mut house = house(|trunk| trunk.calls_per_second_max = Some(1));
    house.customer_calls("+15550100");
    house.obey();
    let second = house.customer_calls("+15550100");
    house.assert_turned_away(second, Cause::Congestion, "trunk_calls_per_second_max");
    house.now += Duration::from_secs(1);
    house.customer_calls("+15550100");
    assert!(!house.obey().is_empty());
}

#[tokio::test]
async fn a_call_to_an_emergency_service_passes_every_limit_and_nobody_joins_it() {
    let mut config = config("calls_max = 1", 1);
    let carrier = TrunkId::new("carrier").unwrap();
    config.emergency.enabled = true;
    config.emergency.numbers = vec!["112".into()];
    config.emergency.trunks = vec![carrier.clone()];
    config.emergency.caller_id = Some("+15550199".parse().unwrap());
    for trunk in &mut config.trunks {
        trunk.destinations_allowed = patterns(&["+1444*"]);
        trunk.minutes_per_day_max = Some(1);
        trunk.calls_per_second_max = Some(1);
    }
    let mut house = House::with(config, PAIRS);
    house.customer_calls("+15550100");
    house.obey();

    let leg = house.dials_in("bob", "112");
    let dialled = house.obey();
    assert_eq!(dialled[0].1, "112", "no limit held it up");
    assert_eq!(house.last("call.emergency").data["to"], "112");
    let call = house.board.by_leg[&leg];
    let live = &house.board.calls[&call];
    let target =
        Target { address: Address::Trunk { trunk: carrier, number: "112".into() }, name: "112".into() };
    let caller = live.emergency_caller(&house.board.config.load(), &target).unwrap();
    assert_eq!(caller.number, "+15550199");
    house.tell(dialled[0].0, LegEvent::Answered);
    house.obey();
    let refused = house.supervise(&supervisor("sam", "support"), wish(call, "sam")).unwrap_err();
    assert!(matches!(refused, Refusal::Conflict { code: "emergency_call", .. }), "{refused:?}");
}

#[tokio::test]
async fn a_number_the_trunk_may_not_be_used_for_is_not_dialled() {
    let mut house = house(|trunk| trunk.destinations_allowed = patterns(&["+1444*"]));
    let config = house.board.config.load_full();
    let carrier = TrunkId::new("carrier").unwrap();
    let now = house.now;
    let mut toll = |number: &str| house.board.toll(now, &config, &carrier, number);
    assert_eq!(toll("+1900555"), Some((Cause::Forbidden, "destination_not_allowed")));
    assert_eq!(toll("+14445550100"), None);
}

#[tokio::test]
async fn a_leg_that_goes_over_into_another_call_is_paid_for_once_and_only_if_we_placed_it() {
    let carrier = TrunkId::new("carrier").unwrap();
    let mut house = House::new();
    let (_, _, alice) = house.talking();
    // The other of Alice's lines has somebody who called her.
    let caller = house.customer_calls("+15550100");
    let (line, _) = house.obey().remove(0);
    house.tell(line, LegEvent::Answered);
    house.obey();
    house.board.report(house.now, Report::Joins { leg: alice, with: line });
    let later = SystemTime::now() + Duration::from_secs(600);
    assert_eq!(house.board.talking_over(later, &carrier), Duration::ZERO, "neither is a call of ours");
    house.hangs_up(caller);
    assert_eq!(house.board.tolls.today(SystemTime::now(), &carrier).time, Duration::ZERO);

    let mut house = House::new();
    let (_, _, alice) = house.talking();
    let line = house.dials_in("alice", "+441234567");
    let (placed, _) = house.obey().remove(0);
    house.tell(placed, LegEvent::Answered);
    house.obey();
    let call = house.board.by_leg[&placed];
    let talked = Duration::from_secs(100);
    let known = house.board.calls.get_mut(&call).unwrap().leg_mut(placed).unwrap();
    known.answered_at = known.answered_at.map(|answered| answered - talked);
    house.board.report(house.now, Report::Joins { leg: alice, with: line });
    house.orders();
    let spent = house.board.tolls.today(SystemTime::now(), &carrier).time;
    assert!(spent >= talked && spent < talked * 2, "what was talked before: {spent:?}");
    let then = house.board.talking_over(SystemTime::now() + talked, &carrier);
    assert!(then >= talked && then < talked * 2, "and what is talked from then on: {then:?}");
}
