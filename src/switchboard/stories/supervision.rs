//! Supervisors at the switchboard: who may, what is told and to whom, and how they get on the line.

use super::*;

#[tokio::test]
async fn who_may_not_supervise_is_told_so_once_in_the_audit_and_once_as_an_event() {
    let mut house = House::new();
    let (call, _, alice) = house.talking();
    let outside = Err(Refusal::Denied(Denial::OutsideScope));
    for (who, person, expected, audit, events) in [
        (supervisor("stranger", "sales"), "stranger", outside.clone(), "outside_scope", 1),
        (supervisor("sam", "support"), "sue", outside.clone(), "outside_scope", 1),
        (software("acme"), "stranger", outside, "outside_scope", 1),
        (software("acme"), "alice", Err(Refusal::Denied(Denial::RoleForbids)), "role_forbids", 1),
        (agent("alice"), "sam", Err(Refusal::Denied(Denial::RoleForbids)), "role_forbids", 1),
        (software("other"), "sam", Err(Refusal::NotFound("call")), "foreign", 0),
    ] {
        let before = house.events().len();
        let refused = house.supervise(&who, wish(call, person)).map(|_| ());
        assert_eq!(refused, expected, "{who:?} {person}");
        assert_eq!(house.audited(), [("supervise", audit.to_owned())], "{who:?} {person}");
        assert_eq!(house.events()[before..], vec!["supervision.denied"; events][..], "{who:?} {person}");
    }
    // In scope for the call, but not for this agent of it.
    let mut moved = Config::clone(&house.config.load());
    moved.people.iter_mut().find(|p| p.id.as_str() == "alice").unwrap().teams =
        vec![TeamId::new("sales").unwrap()];
    house.configure(moved);
    let refused = house.supervise(
        &supervisor("sam", "support"),
        SuperviseRequest { subject: Some(alice), ..wish(call, "sam") },
    );
    assert!(matches!(refused, Err(Refusal::Denied(Denial::OutsideScope))), "{refused:?}");
    assert!(house.orders().is_empty());
}

#[tokio::test]
async fn every_act_of_supervision_is_one_audit_line() {
    let mut house = House::new();
    let (call, _, _) = house.talking();
    let sam = supervisor("sam", "support");
    let (id, leg) = house.sam_listens(call, Follow::Call);
    assert_eq!(house.audited(), [("supervise", "allowed".into())]);
    assert!(matches!(house.supervise(&sam, wish(call, "sam")), Err(Refusal::Conflict { .. })));
    assert_eq!(house.audited(), [("supervise", "supervised_already".into())]);

    drop(house.ask(&sam, Request::SwitchRole(id, Coaching::Whisper)));
    assert_eq!(house.audited(), [("switch_role", "allowed".into())]);
    house.board.bridge_event(house.now, BridgeEvent::Digit { call, leg, digit: '6' });
    assert_eq!(house.audited(), [("switch_role", "allowed".into())]);
    house.board.bridge_event(house.now, BridgeEvent::Digit { call, leg, digit: '9' });
    assert_eq!(house.audited(), []);

    let sue = supervisor("sue", "support");
    for request in
        [Request::SwitchRole(id, Coaching::Monitor), Request::TakeOver(id), Request::EndSupervision(id)]
    {
        let refused = house.ask(&sue, request).try_recv().unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::Denied(Denial::OutsideScope), "theirs alone");
        assert_eq!(house.audited().len(), 1);
    }
    house.asked(&sam, Request::EndSupervision(id)).unwrap();
    assert_eq!(house.audited(), [("end_supervision", "allowed".into())]);
    assert_eq!(house.asked(&sam, Request::EndSupervision(id)).unwrap_err(), Refusal::NotFound("supervision"));
}

#[tokio::test]
async fn an_agent_never_learns_that_somebody_listens() {
    let mut house = House::new();
    let (call, customer, _) = house.talking();
    let seen_before = house.notebook.events.lock().unwrap().len();
    let (id, leg) = house.sam_listens(call, Follow::Call);
    house.tell(leg, LegEvent::Held);
    house.tell(leg, LegEvent::Resumed);

    let alice = agent("alice");
    let Ok(Answer::Call(view)) = house.asked(&alice, Request::GetCall(call)) else { panic!() };
    assert!(view.supervisions.is_empty() && view.legs.iter().all(|leg| leg.role != "supervisor"));
    let Ok(Answer::Calls(calls)) = house.asked(&alice, Request::ListCalls) else { panic!() };
    assert_eq!(calls[0].legs.len(), 2);
    let steer = Request::Leg { call, leg, act: LegAct::Mute };
    assert_eq!(house.asked(&alice, steer).unwrap_err(), Refusal::NotFound("leg"));
    house.audited();
    for request in [Request::Audio(call), Request::ListSupervisions(call), Request::GetSupervision(id)] {
        let refused = house.ask(&alice, request).try_recv().unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::Denied(Denial::RoleForbids));
        assert_eq!(house.audited().len(), 1);
    }
    house.hangs_up(leg);
    house.until(|house| house.events().contains(&"leg.quality")).await;
    for event in &house.notebook.events.lock().unwrap()[seen_before..] {
        assert!(event.audience.people.is_empty(), "{} reaches {:?}", event.kind, event.audience.people);
    }
    house.hangs_up(customer);
    house.until_recorded().await;
    let records = house.notebook.records.lock().unwrap();
    assert!(records[0].audience.people.iter().all(|person| person.as_str() != "sam"));
}

#[tokio::test]
async fn a_supervisor_dials_in_by_prefix_and_extension() {
    let mut house = House::new();
    let nobody = house.dials_in("sam", "*42100");
    house.assert_turned_away(nobody, Cause::Unreachable, "agent_not_in_a_call");
    let (call, ..) = house.talking();

    let sam = house.dials_in("sam", "*42100");
    assert_eq!(house.obey(), []);
    assert_eq!(house.audited(), [("supervise", "allowed".into())]);
    assert_eq!(house.last("supervision.started").data["role"], "whisper");
    assert_eq!(house.board.by_leg[&sam], call);

    let stranger = house.dials_in("stranger", "*41100");
    house.assert_turned_away(stranger, Cause::Forbidden, "supervision_denied");
    assert_eq!(house.audited(), [("supervise", "outside_scope".into())]);
    house.last("supervision.denied");
    let bob = house.dials_in("bob", "*41100");
    house.assert_turned_away(bob, Cause::Forbidden, "not_a_supervisor");
    assert_eq!(house.audited(), [("supervise", "role_forbids".into())]);
    let wrong = house.dials_in("sam", "*41999");
    house.assert_turned_away(wrong, Cause::NotFound, "no_such_extension");
}

#[tokio::test]
async fn a_supervisor_who_is_expected_dials_the_number_of_their_supervision_once() {
    let mut house = House::new();
    let (call, ..) = house.talking();
    let sam = supervisor("sam", "support");
    let view = house.supervise(&sam, SuperviseRequest { join: Join::DialIn, ..wish(call, "sam") }).unwrap();
    let number = view.dial_in.clone().unwrap();
    assert_eq!((view.state, house.orders()), (SupervisionState::Requested, vec![]));
    house.audited();

    let sue = house.dials_in("sue", &number);
    house.assert_turned_away(sue, Cause::Forbidden, "supervision_denied");
    assert_eq!(house.audited(), [("join", "outside_scope".into())]);
    house.last("supervision.denied");

    house.dials_in("sam", &number);
    house.obey();
    assert_eq!(house.audited(), [("join", "allowed".into())]);
    house.last("supervision.started");
    let again = house.dials_in("sam", &number);
    house.assert_turned_away(again, Cause::NotFound, "no_such_supervision");
}

#[tokio::test]
async fn a_follower_waits_on_the_line_and_joins_the_agents_next_call_that_has_room() {
    let mut house = House::new();
    let (call, customer, _) = house.talking();
    let (id, leg) = house.sam_listens(call, Follow::Agent);
    house.hangs_up(customer);
    assert!(house.board.standby.contains_key(&id));
    assert!(!house.board.by_leg.contains_key(&leg));
    let sam = supervisor("sam", "support");
    let Ok(Answer::Supervision(view)) = house.asked(&sam, Request::GetSupervision(id)) else { panic!() };
    assert_eq!((view.state, view.call), (SupervisionState::Waiting, None));

    house.configure(config("parties_per_call_max = 2", 10));
    let (_, customer, _) = house.talking();
    assert!(house.board.standby.contains_key(&id), "no room: goes on waiting");
    assert!(!house.board.by_leg.contains_key(&leg));
    house.hangs_up(customer);

    house.configure(config("", 10));
    let (third, customer, _) = house.talking();
    assert_eq!(house.board.by_leg[&leg], third);
    assert_eq!(house.board.by_supervision[&id], third);
    assert!(house.board.standby.is_empty());

    house.hangs_up(customer);
    house.audited();
    house.asked(&sam, Request::EndSupervision(id)).unwrap();
    assert_eq!(house.audited(), [("end_supervision", "allowed".into())]);
    assert_eq!(house.orders(), [(leg, LegAction::HangUp(Cause::Normal))]);
    house.until(|house| house.board.closing.is_empty() && house.bridge.ports_in_use() == 0).await;
    house.assert_nothing_is_left();
}

#[tokio::test]
async fn a_follower_whose_place_in_the_bridge_is_lost_is_let_go() {
    let mut house = House::new();
    let (call, customer, _) = house.talking();
    let (id, leg) = house.sam_listens(call, Follow::Agent);
    house.hangs_up(customer);
    house.until_recorded().await;
    let place = house.board.standby[&id].place;
    house.board.bridge_event(house.now, BridgeEvent::CallFailed { call: place });
    assert_eq!(house.orders(), [(leg, LegAction::HangUp(Cause::Internal))]);
    assert!(house.board.standby.is_empty() && house.board.on_line.is_empty());
}
