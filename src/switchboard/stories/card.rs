//! Cards: drawn by the tenant's view, told to whom they are for and along no way that was not opened to them.

use std::collections::BTreeMap;

use super::*;
use crate::call::card::{Matter, Value};
use crate::switchboard::desk::{CardView, ConsultRequest, TransferRequest};

const VIEW: &str = r#"
[[card]]
tenant = "acme"
link = "https://crm.example.net/cases/{record}"
fields = [{ name = "customer", label = "Customer", kind = "text" }, { name = "photo", kind = "picture" },
          { name = "iban", kind = "text", sensitive = true }]
"#;

fn house(view: &str, trunk_may: bool) -> House {
    let text = CONFIG.replace("LIMITS", "").replace("CHANNELS", "10") + view;
    let mut config = parsed(&text);
    config.trunks.iter_mut().for_each(|trunk| trunk.card = trunk_may);
    House::with(config, PAIRS)
}

fn matter() -> Option<Matter> {
    let text = |text: &str| Value::Text(text.into());
    let values = [("customer", text("Ann Example")), ("iban", text("DE00"))];
    let values: BTreeMap<_, _> = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Some(Matter { record: Some("CAS-1".into()), values, sensitive: Vec::new() })
}

impl House {
    fn consults(&mut self, call: CallId, target: &str, card: Option<Matter>) -> Result<Answer, Refusal> {
        let request = ConsultRequest {
            call,
            by: None,
            wishes: vec![wish_for(target)],
            dry_run: false,
            asker: None,
            trunk: None,
            ring: Duration::from_secs(20),
            card,
            hold_media: None,
        };
        self.asked(&software("acme"), Request::Consult(request))
    }

    /// The cards that went out with the calls that were ordered.
    fn cards_of_dials(&mut self) -> Vec<Option<String>> {
        let orders = std::iter::from_fn(|| self.orders.try_recv().ok());
        let dials = orders.filter(|order| matches!(order.action, LegAction::Dial(_)));
        dials.map(|order| order.card.and_then(|card| card.line(1024))).collect()
    }
}

const LINE: &str = "link=https%3A%2F%2Fcrm.example.net%2Fcases%2FCAS-1;customer=Ann%20Example";

#[tokio::test]
async fn a_card_goes_to_our_own_telephones_and_over_trunks_that_may_have_it() {
    for (target, trunk_may, told) in
        [("bob", false, true), ("+4420555", false, false), ("+4420555", true, true)]
    {
        let mut house = house(VIEW, trunk_may);
        let (call, ..) = house.talking();
        house.orders();
        let Answer::Consult(view) = house.consults(call, target, matter()).unwrap() else { panic!() };
        assert_eq!(house.cards_of_dials(), [told.then(|| LINE.to_owned())], "{target} {trunk_may}");
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let reported = CardView {
            shown: names(&["customer"]),
            skipped: names(&["photo"]),
            withheld: names(&["iban"]),
            empty: Vec::new(),
        };
        assert_eq!(view.card, Some(reported), "what is not on it is said");
        let event = house.last("consult.card");
        let people: Vec<_> = event.audience.people.iter().map(|person| person.as_str()).collect();
        assert_eq!(people, if target == "bob" { vec!["bob"] } else { vec![] }, "nobody else of the call");
        assert!(event.audience.teams.is_empty());
        assert_eq!(event.data["fields"][0]["value"], "Ann Example");
        assert_eq!(event.data["skipped"][0], "photo");
        assert!(!event.data.to_string().contains("DE00"), "nobody asked for it: {}", event.data);
    }
}

#[tokio::test]
async fn a_card_is_of_its_own_consult_or_transfer() {
    let mut house = house(VIEW, true);
    let (call, ..) = house.talking();
    house.orders();
    house.consults(call, "bob", matter()).unwrap();
    assert!(house.consults(call, "+4420555", None).is_err(), "one at a time");
    let consult = house.board.calls[&call].call.consult().unwrap().id();
    assert!(house.board.calls[&call].consult_card.is_some(), "the one that was refused took nothing away");
    house.asked(&software("acme"), Request::CancelConsult(consult)).unwrap();
    house.orders();
    house.consults(call, "+4420555", None).unwrap();
    assert_eq!(house.cards_of_dials(), [None], "no card of the one before");
    let consult = house.board.calls[&call].call.consult().unwrap().id();
    house.asked(&software("acme"), Request::CancelConsult(consult)).unwrap();
    house.orders();

    let request = TransferRequest {
        call,
        by: None,
        wish: wish_for("bob"),
        trunk: None,
        wait: false,
        dry_run: false,
        asker: None,
        card: matter(),
    };
    house.asked(&software("acme"), Request::Transfer(request)).unwrap();
    assert_eq!(house.cards_of_dials(), [Some(LINE.to_owned())]);
    assert_eq!(house.last("transfer.card").data["person"], "bob");
}

#[tokio::test]
async fn without_a_view_or_with_a_matter_that_is_none_nobody_is_rung() {
    let mut house = house("", true);
    let (call, ..) = house.talking();
    house.orders();
    let refused = house.consults(call, "bob", matter());
    assert!(matches!(refused, Err(Refusal::Invalid { code: "no_card", .. })), "{refused:?}");
    let mut house = self::house(VIEW, true);
    let (call, ..) = house.talking();
    house.orders();
    let wrong = Matter { sensitive: vec!["customer".into()], ..matter().unwrap() };
    let refused = house.consults(call, "bob", Some(wrong));
    assert!(matches!(refused, Err(Refusal::Invalid { code: "card_invalid", .. })), "{refused:?}");
    assert_eq!(house.cards_of_dials(), []);
    assert!(house.board.by_consult.is_empty(), "nothing is left of it");
}
