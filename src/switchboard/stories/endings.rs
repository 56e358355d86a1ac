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

#[tokio::test(start_paused = true)]
async fn a_far_end_that_never_lets_go_costs_no_call_its_record_when_the_gateway_stops() {
    let House { board, notebook, bridge, bridge_events, config, .. } = House::new();
    let (orders_in, mut orders) = mpsc::channel(ORDERS_MAX);
    let (reports_in, reports) = mpsc::channel(REPORTS_MAX);
    let (gate, _words) = Gate::new();
    let (_rulings_in, rulings) = mpsc::channel(1);
    let (_desk, asked) = desk::Desk::new();
    let (stop, stopped) = watch::channel(false);
    drop(board);
    let running = tokio::spawn(run(Lines {
        reports,
        doors: HashMap::from([(DoorName::Sip, orders_in)]),
        gate,
        rulings,
        draining: watch::channel(false).0,
        asked,
        bridge_events,
        bridge,
        journal: notebook.clone(),
        config,
        stop: stopped,
    }));
    let incoming = Incoming {
        leg: LegId(1),
        door: DoorName::Sip,
        tenant: acme(),
        origin: Origin::Trunk(TrunkId::new("carrier").unwrap()),
        from: Caller::shown("+15550001", None),
        to: "+15550100".into(),
        codecs: vec![sidetone_media::codec::Codec::Pcmu],
        replaces: None,
    };
    reports_in.send(Report::Incoming(incoming)).await.unwrap();
    // Alice's telephone is dialled, and is not there to be rung or called off.
    while !matches!(orders.recv().await.unwrap().action, LegAction::Dial(_)) {}
    let began = tokio::time::Instant::now();
    stop.send_replace(true);
    running.await.unwrap();
    assert!(began.elapsed() >= HANGING_UP_MAX && began.elapsed() < 2 * HANGING_UP_MAX);
    let records = notebook.records.lock().unwrap();
    assert_eq!(records.iter().map(|record| record.cause).collect::<Vec<_>>(), [Cause::ShuttingDown]);
    let ended = notebook.events.lock().unwrap().iter().filter(|event| event.kind == "call.ended").count();
    assert_eq!(ended, 1);
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
