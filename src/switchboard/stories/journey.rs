//! What a call brings of its way to us goes on with it.

use super::*;
use crate::call::door::Caller;
use crate::call::journey::{Diversion, Diverted, Journey};

impl House {
    /// Whom the next leg that is dialled is shown.
    fn dialled_from(&mut self) -> Caller {
        let orders = std::iter::from_fn(|| self.orders.try_recv().ok());
        let mut dialled = orders.filter(|order| matches!(order.action, LegAction::Dial(_)));
        dialled.next().and_then(|order| order.caller).expect("somebody is dialled")
    }

    /// A call of a customer's whose way is this.
    fn comes_by(&mut self, journey: Journey, to: &str) -> LegId {
        let from = Caller { journey: Arc::new(journey), ..Caller::shown("+15550001", None) };
        self.comes_from(from, Origin::Trunk(TrunkId::new("carrier").unwrap()), to)
    }
}

#[tokio::test]
async fn the_hops_of_a_call_are_counted_on_to_whoever_is_dialled_for_it() {
    let mut house = House::new();
    house.comes_by(Journey { hops: Some(12), ..Journey::default() }, "+441234");
    assert_eq!(house.dialled_from().journey.hops, Some(12));
    house.comes_by(Journey { hops: Some(13), ..Journey::default() }, "+15550100");
    let alice = house.dialled_from();
    assert_eq!((alice.number.as_str(), alice.journey.hops), ("+15550001", Some(13)));
}

#[tokio::test]
async fn why_a_call_came_is_told_to_those_it_comes_to_and_not_to_an_expert_who_is_asked_later() {
    let mut house = House::new();
    let diversions =
        vec![Diversion { number: "+15550122".into(), reason: Diverted::UserBusy, private: false, count: 1 }];
    let journey = Journey { hops: Some(9), diversions: diversions.clone() };
    house.comes_by(journey, "+15550100");
    let orders: Vec<_> = std::iter::from_fn(|| house.orders.try_recv().ok()).collect();
    let dialled = orders.iter().find(|order| matches!(order.action, LegAction::Dial(_))).unwrap();
    assert_eq!(dialled.caller.as_ref().unwrap().journey.diversions, diversions);
    house.tell(dialled.leg, LegEvent::Answered);
    house.obey();
    let live = house.board.calls.values().next().unwrap();
    assert!(live.call.is_talking());
    assert_eq!(*live.journey_on(), Journey { hops: Some(9), ..Journey::default() });
}
