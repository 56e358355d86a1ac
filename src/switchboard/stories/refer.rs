//! The transfer button on a telephone of ours.

use super::*;
use crate::call::Referral;

impl House {
    fn presses_transfer(&mut self, leg: LegId, to: &str) -> Vec<(LegId, LegAction)> {
        self.board.report(self.now, Report::Refers { leg, to: to.into() });
        self.orders()
    }
}

#[tokio::test]
async fn an_agents_button_transfers_and_its_telephone_is_told() {
    let mut house = House::new();
    let (call, customer, alice) = house.talking();
    house.orders();
    let rung = house.presses_transfer(alice, "101");
    let [(bob, LegAction::Dial(target))] = &rung[..] else { panic!("{rung:?}") };
    assert_eq!(target.name, "bob");
    let bob = *bob;
    house.tell(bob, LegEvent::Ringing);
    assert_eq!(house.orders(), [(alice, LegAction::Refer(Referral::Ringing))]);
    house.tell(bob, LegEvent::Answered);
    assert!(house.orders().contains(&(alice, LegAction::Refer(Referral::Connected))));
    let parties = house.board.calls[&call].call.parties();
    assert!(parties.iter().any(|party| party.seat().leg == customer));
    assert_eq!(house.last("transfer.started").data["by"], "transferor");
    assert_eq!(house.last("transfer.completed").data["outcome"], "connected");
}

#[tokio::test]
async fn a_button_that_fails_leaves_the_call_and_says_why() {
    for (ends, said) in [(Cause::Busy, Cause::Busy), (Cause::Declined, Cause::Declined)] {
        let mut house = House::new();
        let (call, customer, alice) = house.talking();
        house.orders();
        let bob = house.presses_transfer(alice, "bob")[0].0;
        house.tell(bob, LegEvent::Ended(LegEnd::of(ends)));
        assert_eq!(house.orders(), [(alice, LegAction::Refer(Referral::Failed(said)))]);
        let talk = |leg| house.board.calls[&call].call.table().1.connects(leg, customer);
        assert!(talk(alice), "the call is back where it was");
        assert!(house.events().contains(&"transfer.rolled_back"));
    }
}

#[tokio::test]
async fn who_may_not_or_asks_for_nobody_is_told_so_and_nobody_is_rung() {
    let mut house = House::new();
    let (_, customer, alice) = house.talking();
    house.orders();
    let refused = |leg, cause| vec![(leg, LegAction::Refer(Referral::Failed(cause)))];
    assert_eq!(house.presses_transfer(alice, "999"), refused(alice, Cause::NotFound));
    assert_eq!(
        house.presses_transfer(alice, "+1900555"),
        refused(alice, Cause::NotFound),
        "no route takes it"
    );
    assert_eq!(house.presses_transfer(customer, "101"), refused(customer, Cause::Forbidden), "no agent's");
    assert_eq!(house.presses_transfer(LegId(4711), "101"), refused(LegId(4711), Cause::NotFound));
    assert!(house.audited().iter().any(|(act, outcome)| *act == "transfer" && outcome != "allowed"));
}

impl House {
    /// Alice's telephone has a customer on one line and, on another, Bob, whom she has called: the customer's call, Bob's, the
    /// customer's leg, Alice's two, and Bob's.
    fn on_two_lines(&mut self) -> (CallId, CallId, [LegId; 4]) {
        let (call, customer, alice) = self.talking();
        let line = self.dials_in("alice", "101");
        let (bob, name) = self.obey().remove(0);
        assert_eq!(name, "bob");
        self.tell(bob, LegEvent::Answered);
        self.obey();
        (call, self.board.by_leg[&line], [customer, alice, line, bob])
    }

    fn joins(&mut self, leg: LegId, with: LegId) -> Vec<(LegId, LegAction)> {
        self.board.report(self.now, Report::Joins { leg, with });
        self.orders()
    }
}

#[tokio::test]
async fn the_far_ends_of_two_calls_talk_on_without_the_telephone_that_joined_them() {
    let mut house = House::new();
    let (call, second, [customer, alice, line, bob]) = house.on_two_lines();
    let media = house.board.calls.get_mut(&second).unwrap().leg_mut(bob).unwrap().media;
    assert!(media.is_some());
    // Alice had Bob on hold by her telephone, and the customer by the gateway.
    house.tell(line, LegEvent::Held);
    house.board.command(house.now, call, Command::Hold(customer)).unwrap();
    house.orders();

    let orders = house.joins(alice, line);
    assert!(orders.contains(&(line, LegAction::HangUp(Cause::Released))), "{orders:?}");
    assert!(orders.contains(&(alice, LegAction::Refer(Referral::Connected))), "{orders:?}");
    assert!(orders.contains(&(customer, LegAction::Resume)), "{orders:?}");
    assert!(
        !orders.iter().any(|(leg, action)| *leg == bob || matches!(action, LegAction::Dial(_))),
        "{orders:?}"
    );
    let talk = |house: &House, a, b| house.board.calls[&call].call.table().1.connects(a, b);
    assert!(talk(&house, customer, bob) && talk(&house, bob, customer));
    assert!(!talk(&house, alice, customer) && !talk(&house, alice, bob), "Alice has given her place away");
    assert_eq!(house.board.by_leg[&bob], call);
    assert_eq!(
        house.board.calls.get_mut(&call).unwrap().leg_mut(bob).unwrap().media,
        media,
        "the same ports"
    );
    let (started, completed) = (house.last("transfer.started"), house.last("transfer.completed"));
    assert_eq!(
        (&started.data["by"], &completed.data["outcome"]),
        (&"transferor".into(), &"connected".into())
    );

    // Both of Alice's lines end, and nothing of the conversation does.
    house.hangs_up(line);
    house.hangs_up(alice);
    assert!(!house.board.calls.contains_key(&second));
    assert!(talk(&house, customer, bob) && talk(&house, bob, customer));
    house.hangs_up(customer);
    house.hangs_up(bob);
    house.until_recorded().await;
    assert!(house.board.is_empty());
}

#[tokio::test]
async fn two_calls_that_cannot_be_joined_stay_as_they_were_and_the_telephone_is_told() {
    let mut house = House::new();
    let (call, second, [customer, alice, line, bob]) = house.on_two_lines();
    let told = |leg, cause| vec![(leg, LegAction::Refer(Referral::Failed(cause)))];
    assert_eq!(house.joins(alice, LegId(4711)), told(alice, Cause::NotFound));
    assert_eq!(house.joins(alice, alice), told(alice, Cause::Forbidden), "with itself");
    assert_eq!(house.joins(alice, bob), told(alice, Cause::Forbidden), "Bob's line is not hers");
    assert_eq!(house.joins(customer, line), told(customer, Cause::Forbidden), "a customer has no button");
    assert_eq!(house.joins(bob, alice), told(bob, Cause::Forbidden), "and neither has Bob in her calls");

    // A transfer of the first call is under way.
    let target = house.presses_transfer(alice, "+4420555")[0].0;
    assert_eq!(house.joins(alice, line), told(alice, Cause::Congestion));
    house.tell(target, LegEvent::Ended(LegEnd::of(Cause::Busy)));
    house.orders();

    let talk = |call, a, b| house.board.calls[&call].call.table().1.connects(a, b);
    assert!(talk(call, customer, alice) && talk(second, line, bob));
    assert!(!house.events().contains(&"transfer.completed"));
}

#[tokio::test]
async fn whoever_only_rings_is_joined_to_nobody() {
    let mut house = House::new();
    let (call, customer, alice) = house.talking();
    let line = house.dials_in("alice", "101");
    let (bob, _) = house.obey().remove(0);
    house.tell(bob, LegEvent::Ringing);
    house.orders();
    let told = vec![(alice, LegAction::Refer(Referral::Failed(Cause::Forbidden)))];
    assert_eq!(house.joins(alice, line), told);
    assert!(house.board.calls[&call].call.table().1.connects(alice, customer));
}
