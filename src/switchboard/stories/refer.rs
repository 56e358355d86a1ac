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
