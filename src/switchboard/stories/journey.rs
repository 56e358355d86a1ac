//! What a call brings of its way to us goes on with it.

use super::*;
use crate::call::door::Caller;
use crate::call::journey::Journey;

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
    house.comes_by(Journey { hops: Some(12) }, "+441234");
    assert_eq!(house.dialled_from().journey.hops, Some(12));
    house.comes_by(Journey { hops: Some(13) }, "+15550100");
    let alice = house.dialled_from();
    assert_eq!((alice.number.as_str(), alice.journey.hops), ("+15550001", Some(13)));
}
