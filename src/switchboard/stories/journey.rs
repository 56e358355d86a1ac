//! What a call brings of its way to us goes on with it.

use super::*;
use crate::call::Opaque;
use crate::call::door::Caller;
use crate::call::journey::{Attestation, Diversion, Diverted, Journey, Location, Passport, Verstat};

impl House {
    /// Whom the next leg that is dialled is shown.
    fn dialled_from(&mut self) -> Caller {
        let orders = std::iter::from_fn(|| self.orders.try_recv().ok());
        let mut dialled = orders.filter(|order| matches!(order.action, LegAction::Dial(_)));
        dialled.next().and_then(|order| order.caller).expect("somebody is dialled")
    }

    /// A call of a customer's whose way is this.
    pub(super) fn comes_by(&mut self, journey: Journey, to: &str) -> LegId {
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
    let journey = Journey { hops: Some(9), diversions: diversions.clone(), ..Journey::default() };
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

#[tokio::test]
async fn where_a_caller_is_goes_on_to_those_who_help_and_to_nobody_else() {
    for (to, goes_on) in [("112", true), ("+441234", false)] {
        let mut config = config("", 10);
        config.emergency.enabled = true;
        config.emergency.numbers = vec!["112".into()];
        config.emergency.trunks = vec![TrunkId::new("carrier").unwrap()];
        let mut house = House::with(config, PAIRS);
        let lines = vec![("Geolocation", Opaque(bytes::Bytes::from_static(b"<cid:here@example.com>")))];
        let location = Some(Arc::new(Location { lines, parts: Vec::new() }));
        let journey = Arc::new(Journey { location: location.clone(), ..Journey::default() });
        let from = Caller { journey, ..Caller::shown("bob", None) };
        house.comes_from(from, Origin::Person(PersonId::new("bob").unwrap()), to);
        assert_eq!(house.dialled_from().journey.location, location.filter(|_| goes_on), "{to}");
    }
}

fn attested(issued_at: u64) -> Journey {
    let passport = Passport {
        level: Attestation::Partial,
        orig: Some("15550001".into()),
        dest: vec!["15550100".into()],
        issued_at: Some(issued_at),
        identity: Opaque(bytes::Bytes::from_static(b"token")),
    };
    Journey { passport: Some(passport), verstat: Some(Verstat::Passed), ..Journey::default() }
}

#[tokio::test]
async fn an_attestation_is_shown_however_old_it_is_and_goes_on_only_while_it_is_fresh() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for (issued_at, fresh) in [(now, true), (now - 3_600, false)] {
        let mut house = House::new();
        house.comes_by(attested(issued_at), "+15550100");
        assert_eq!(house.dialled_from().journey.passport.is_some(), fresh);
        let live = house.board.calls.values().next().unwrap();
        let view = live.view().attestation.expect("it is shown");
        assert_eq!((view.level, view.carrier_says), (Some(Attestation::Partial), Some(Verstat::Passed)));
        assert_eq!((view.orig.as_deref(), view.dest), (Some("15550001"), vec!["15550100".to_owned()]));
        assert!(view.issued_at.is_some());
    }
}

#[tokio::test]
async fn the_record_says_what_was_attested_and_who_diverted_the_call_and_nothing_that_is_private() {
    let mut house = House::new();
    let diversion = |number: &str, private| Diversion {
        number: number.into(),
        reason: Diverted::NoAnswer,
        private,
        count: 1,
    };
    let diversions = vec![diversion("+15550122", false), diversion("+15550133", true)];
    let customer = house.comes_by(Journey { diversions, ..attested(1_795_000_000) }, "+15550100");
    house.obey();
    house.hangs_up(customer);
    house.until_recorded().await;
    let records = house.notebook.records.lock().unwrap();
    let first = &records[0].legs[0];
    let attestation = serde_json::json!({
        "level": "B", "verified": false, "orig": "15550001", "dest": ["15550100"],
        "issued_at": "2026-11-18T11:06:40Z", "carrier_says": "passed",
    });
    assert_eq!(first["attestation"], attestation);
    let by = serde_json::json!([
        { "number": "+15550122", "reason": "no_answer" }, { "number": null, "reason": "no_answer" },
    ]);
    assert_eq!(first["diverted_by"], by);
    assert!(!records[0].legs.to_string().contains("15550133"));
}
