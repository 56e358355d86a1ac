//! Calls that end, in every way there is: what is recorded, who is told, and that nothing is left.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_defect_ends_its_call_and_no_other() {
    let mut house = House::new();
    let (broken, customer, alice) = house.talking();
    house.sam_listens(broken, Follow::Call);
    let (sound, ..) = house.talking();
    house.orders();
    house.board.drive(house.now, broken, |_| panic!("a defect, for the test"));
    let orders = house.orders();
    assert_eq!(orders.len(), 3);
    for leg in [customer, alice] {
        assert!(orders.contains(&(leg, LegAction::HangUp(Cause::Internal))));
    }
    house.last("supervision.ended");
    assert_eq!(house.last("call.ended").data["cause"], "internal");
    assert!(house.board.calls[&sound].call.is_talking());
    house.until_recorded().await;
    assert_eq!(house.records(), 1);
}

#[tokio::test]
async fn a_record_is_written_once_with_its_figures_or_without_after_two_seconds() {
    for waits in [true, false] {
        let mut house = House::new();
        let (call, customer, _) = house.talking();
        house.hangs_up(customer);
        assert_eq!(house.records(), 0, "the figures are on their way");
        if waits {
            house.until_recorded().await;
        } else {
            house.now += MEASURED_MAX;
            house.board.timers(house.now);
        }
        let record = house.notebook.records.lock().unwrap()[0].clone();
        assert_eq!((record.call, record.cause), (call, Cause::Normal));
        let legs = record.legs.as_array().unwrap();
        assert_eq!(legs.len(), 2);
        assert!(legs.iter().all(|leg| leg["media"].is_object() == waits), "{legs:?}");
        house.until(|house| house.bridge.ports_in_use() == 0).await;
        house.now += MEASURED_MAX;
        house.board.timers(house.now);
        assert_eq!(house.records(), 1);
        house.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn whoever_waits_for_a_switch_is_answered_when_the_call_ends_first() {
    let mut house = House::new();
    let (call, customer, _) = house.talking();
    let (id, _) = house.sam_listens(call, Follow::Call);
    let answered = house.ask(&supervisor("sam", "support"), Request::SwitchRole(id, Coaching::Barge));
    house.hangs_up(customer);
    let answer = answered.await.unwrap();
    assert!(matches!(answer, Err(Refusal::Conflict { code: "call_over", .. })), "{answer:?}");
}

#[tokio::test]
async fn a_gateway_that_stops_hangs_everybody_up_and_is_empty_then() {
    let mut house = House::new();
    let (call, first, _) = house.talking();
    let (_, sam) = house.sam_listens(call, Follow::Agent);
    house.hangs_up(first);
    let (_, customer, alice) = house.talking();
    let ringing = house.customer_calls("+15550101");
    house.orders();

    house.board.stop(house.now);
    let orders = house.orders();
    for leg in [customer, alice, ringing, sam] {
        assert!(orders.contains(&(leg, LegAction::HangUp(Cause::ShuttingDown))), "{leg}: {orders:?}");
    }
    for (leg, _) in orders {
        house.tell(leg, LegEvent::Ended(LegEnd::of(Cause::ShuttingDown)));
    }
    house.until(|house| house.board.is_empty()).await;
    let late = house.customer_calls("+15550100");
    house.assert_turned_away(late, Cause::ShuttingDown, "draining");
}

#[tokio::test]
async fn a_leg_without_sound_is_told_of_while_the_call_lasts_and_one_that_rings_is_not() {
    let mut house = House::new();
    house.customer_calls("+15550100");
    let alice = house.obey()[0].0;
    let call = house.board.by_leg[&alice];
    let say = |house: &mut House, missing| {
        house.board.bridge_event(house.now, BridgeEvent::MediaMissing { call, leg: alice, missing });
    };
    say(&mut house, true);
    assert!(!house.events().contains(&"leg.media_missing"), "she has not answered");
    house.tell(alice, LegEvent::Answered);
    house.obey();
    say(&mut house, true);
    let told = house.last("leg.media_missing");
    assert_eq!((&told.data["leg"], &told.data["after_s"]), (&json!(alice), &json!(10)));
    assert!(told.audience.people.iter().any(|person| person.as_str() == "alice"));
    say(&mut house, false);
    assert_eq!(house.last("leg.media_back").data["leg"], json!(alice));
    assert_eq!(house.board.calls.len(), 1, "the call goes on");
}

#[tokio::test]
async fn a_thousand_calls_of_every_ending_leave_nothing_behind() {
    let mut house = House::with(config("calls_per_second_max = 10000", 10), PAIRS);
    for number in 0..1000_u64 {
        house.now += Duration::from_millis(20);
        match number % 8 {
            0 => {
                let (_, customer, _) = house.talking();
                house.hangs_up(customer);
            }
            1 => {
                let (_, _, alice) = house.talking();
                house.hangs_up(alice);
            }
            2 => {
                let customer = house.customer_calls("+15550100");
                house.obey();
                house.tell(customer, LegEvent::Ended(LegEnd::of(Cause::Cancelled)));
                house.obey();
            }
            3 => {
                house.customer_calls("+15550100");
                let alice = house.obey()[0].0;
                house.tell(alice, LegEvent::Ended(LegEnd::of(Cause::Busy)));
                house.obey();
            }
            4 => {
                let (call, customer, _) = house.talking();
                house.sam_listens(call, if number % 16 == 4 { Follow::Call } else { Follow::Agent });
                house.hangs_up(customer);
                for id in house.board.standby.keys().copied().collect::<Vec<_>>() {
                    house.board.release_standby(id, Cause::Normal);
                }
                house.obey();
            }
            5 => {
                let (call, _, alice) = house.talking();
                house.board.bridge_event(house.now, BridgeEvent::MediaTimeout { call, leg: alice });
                house.obey();
            }
            6 => {
                let (call, ..) = house.talking();
                house.board.fail(house.now, call, "for the test");
                house.obey();
            }
            _ => {
                house.customer_calls("+15550100"); // nobody comes
                house.obey();
                house.now += Duration::from_secs(120);
                house.board.timers(house.now);
                house.obey();
            }
        }
        house.until(|house| house.board.closing.is_empty() && house.bridge.ports_in_use() == 0).await;
    }
    assert_eq!(house.records(), 1000);
    house.assert_nothing_is_left();
}
