//! Calls over Direct Routing, and transfers, as the switchboard sees them.

use super::*;
use crate::call::door::Correlation;
use crate::call::hearing::Hears;
use crate::call::{Address, Presence, Referral, Target};

const TEAMS: &str = r#"
[[route]]
id = "at-teams"
tenant = "acme"
prefix = "+4420"
targets = ["trunk:teams"]
"#;

/// A house where numbers in London are Teams users.
fn with_teams() -> House {
    House::with(config_with_teams(TEAMS), PAIRS)
}

impl House {
    /// A customer calls a Teams user: the customer's leg and the user's.
    fn teams_is_called(&mut self) -> (LegId, LegId) {
        let customer = self.customer_calls("+442079460100");
        self.rules(&[]);
        let (teams, _) = self.obey().remove(0);
        (customer, teams)
    }

    fn presence(&self, leg: LegId) -> Option<Presence> {
        let call = self.board.by_leg.get(&leg)?;
        let seats = self.board.calls[call].call.parties().iter().map(|party| party.seat());
        seats.filter(|seat| seat.leg == leg).map(|seat| seat.presence).next()
    }
}

/// What of these orders the caller's carrier gets as a provisional response.
fn provisional(orders: &[(LegId, LegAction)], leg: LegId) -> Vec<&LegAction> {
    let to_leg = orders.iter().filter(|(to, _)| *to == leg).map(|(_, action)| action);
    to_leg.filter(|action| matches!(action, LegAction::Alert | LegAction::OpenEarly)).collect()
}

#[tokio::test]
async fn pitfall_18_a_promise_of_sound_ends_no_ringing_tone_and_the_sound_itself_does() {
    let mut house = with_teams();
    let (customer, teams) = house.teams_is_called();
    house.tell(teams, LegEvent::Ringing);
    let orders = house.orders();
    assert_eq!(provisional(&orders, customer), [&LegAction::OpenEarly], "one 183, with our tone in it");

    house.tell(teams, LegEvent::EarlyMedia);
    assert_eq!(house.presence(teams), Some(Presence::Ringing), "nothing has been heard");
    assert!(house.orders().is_empty());

    let call = house.board.by_leg[&teams];
    house.board.bridge_event(house.now, BridgeEvent::FirstMedia { call, leg: teams });
    assert_eq!(house.presence(teams), Some(Presence::Early), "now the caller hears them");
    assert!(!provisional(&house.orders(), customer).contains(&&LegAction::Alert));
}

#[tokio::test]
async fn sound_that_comes_before_its_description_is_believed_with_it() {
    let mut house = with_teams();
    let (_, teams) = house.teams_is_called();
    let call = house.board.by_leg[&teams];
    house.tell(teams, LegEvent::Ringing);
    house.board.bridge_event(house.now, BridgeEvent::FirstMedia { call, leg: teams });
    assert_eq!(house.presence(teams), Some(Presence::Ringing), "a packet alone is no early media");
    house.tell(teams, LegEvent::EarlyMedia);
    assert_eq!(house.presence(teams), Some(Presence::Early));
}

#[tokio::test]
async fn a_carriers_early_media_is_believed_at_its_word() {
    let mut house = House::new();
    let customer = house.customer_calls("+441234");
    let (far, _) = house.obey().remove(0);
    house.tell(far, LegEvent::EarlyMedia);
    assert_eq!(house.presence(far), Some(Presence::Early));
    assert_eq!(provisional(&house.orders(), customer), [&LegAction::OpenEarly]);
}

#[tokio::test]
async fn the_record_of_a_call_has_the_keys_by_which_microsofts_support_finds_it() {
    let mut house = with_teams();
    let (customer, teams) = house.teams_is_called();
    house.tell(teams, LegEvent::Answered);
    let correlation = Correlation { connection: "19233e6b".into(), peer_key: Some("0f1e-2d".into()) };
    house.board.report(house.now, Report::Correlated(teams, correlation));
    house.obey();
    house.hangs_up(customer);
    house.until_recorded().await;
    let records = house.notebook.records.lock().unwrap();
    let legs = records[0].legs.as_array().unwrap();
    let keys: Vec<_> = legs.iter().map(|leg| (&leg["connection"], &leg["peer_key"])).collect();
    assert!(keys.contains(&(&"19233e6b".into(), &"0f1e-2d".into())), "{keys:?}");
}

fn another() -> Target {
    let address = Address::Trunk { trunk: TrunkId::new("carrier").unwrap(), number: "+441234".into() };
    Target { address, name: "+441234".into() }
}

#[tokio::test]
async fn a_referred_caller_goes_to_the_target_and_the_supervisor_follows() {
    let mut house = House::new();
    let (call, customer, alice) = house.talking();
    let (_, sam) = house.sam_listens(call, Follow::Call);
    house.obey();
    house.tell(alice, LegEvent::Referred(Box::new(another().into())));
    let (target, name) = house.obey().remove(0);
    assert_eq!(
        (name.as_str(), house.presence(alice)),
        ("+441234", Some(Presence::Talking)),
        "nobody leaves yet"
    );

    house.tell(target, LegEvent::Ringing);
    let told = house.orders();
    assert!(told.contains(&(alice, LegAction::Refer(Referral::Ringing))), "{told:?}");
    assert_eq!(house.presence(target), Some(Presence::Ringing), "which the caller hears as our tone");

    house.tell(target, LegEvent::Answered);
    let told = house.orders();
    assert!(told.contains(&(alice, LegAction::Refer(Referral::Connected))), "{told:?}");
    assert!(
        !told.iter().any(|(_, action)| matches!(action, LegAction::HangUp(_))),
        "they hang up themselves"
    );
    house.hangs_up(alice);
    assert_eq!(house.presence(customer), Some(Presence::Talking));
    assert_eq!(house.presence(target), Some(Presence::Talking));
    assert_eq!(house.board.by_leg.get(&sam), Some(&call), "still on the line");
    assert!(house.events().contains(&"transfer.completed"), "{:?}", house.events());
}

#[tokio::test]
async fn a_caller_held_for_a_transfer_that_fails_is_given_back_by_the_transferor_and_rung_nowhere_else() {
    let mut house = House::new();
    let (call, customer, alice) = house.talking();
    let hears = |house: &House| house.board.calls[&call].call.table().1.hears(customer).clone();
    assert_eq!(hears(&house), Hears::One(alice));
    house.tell(alice, LegEvent::Held);
    house.obey();
    assert_eq!(hears(&house), Hears::Music);
    house.tell(alice, LegEvent::Referred(Box::new(another().into())));
    let (target, _) = house.obey().remove(0);
    house.tell(target, LegEvent::Ringing);
    house.obey();
    assert_eq!(hears(&house), Hears::Ringback);

    house.tell(target, LegEvent::Ended(LegEnd::of(Cause::NoAnswer)));
    let orders = house.orders();
    assert!(orders.contains(&(alice, LegAction::Refer(Referral::Failed(Cause::NoAnswer)))), "{orders:?}");
    assert!(!orders.iter().any(|(_, action)| matches!(action, LegAction::Dial(_))), "{orders:?}");
    // Still held: Microsoft takes the call off hold itself, as it put it there.
    assert_eq!(hears(&house), Hears::Music);
    house.tell(alice, LegEvent::Resumed);
    house.obey();
    assert_eq!(hears(&house), Hears::One(alice));
    assert!(house.board.calls[&call].call.table().1.connects(alice, customer));
    let events = house.events();
    let started = events.iter().position(|kind| *kind == "transfer.started");
    let back = events.iter().position(|kind| *kind == "transfer.rolled_back");
    assert!(started.is_some() && started < back, "{events:?}");
}

#[tokio::test]
async fn a_target_that_declines_leaves_everybody_where_they_were() {
    let mut house = House::new();
    let (call, customer, alice) = house.talking();
    house.tell(alice, LegEvent::Referred(Box::new(another().into())));
    let (target, _) = house.obey().remove(0);
    house.tell(target, LegEvent::Ended(LegEnd::of(Cause::Declined)));
    let told = house.orders();
    assert!(told.contains(&(alice, LegAction::Refer(Referral::Failed(Cause::Declined)))), "{told:?}");
    assert_eq!(house.presence(alice), Some(Presence::Talking));
    assert_eq!(house.presence(customer), Some(Presence::Talking));
    assert!(house.board.calls[&call].call.is_talking());
    assert!(house.events().contains(&"transfer.rolled_back"), "{:?}", house.events());
}
