//! What a record says of money and of the ways that were tried.

use super::*;
use crate::switchboard::desk::ConsultRequest;

const PRICES: &str = r#"
[[price]]
route = "trunk"
per_minute = "60000"
currency = "USD"
from = 2025-01-01
"#;

#[tokio::test]
async fn a_record_has_the_ways_to_the_expert_and_the_price_of_each_leg() {
    let text = CONFIG.replace("LIMITS", "").replace("CHANNELS", "10") + PRICES;
    let mut house = House::with(parsed(&text), PAIRS);
    let (call, customer, agent_leg) = house.talking();
    house.orders();
    let request = ConsultRequest {
        call,
        by: None,
        wishes: vec![wish_for("bob"), wish_for("+4420555")],
        dry_run: false,
        asker: None,
        trunk: None,
        ring: Duration::from_secs(20),
        card: None,
        hold_media: None,
    };
    house.asked(&software("acme"), Request::Consult(request)).unwrap();
    let bob = house.obey()[0].0;
    let busy = LegEnd { cause: Cause::Busy, detail: "486 Busy Here".into() };
    house.tell(bob, LegEvent::Ended(busy));
    let expert = house.obey()[0].0;
    house.tell(expert, LegEvent::Answered);
    let consult = house.board.calls[&call].call.consult().unwrap().id();
    house.asked(&software("acme"), Request::CompleteConsult(consult)).unwrap();
    house.obey();
    house.hangs_up(customer);
    house.obey();
    house.until_recorded().await;

    let records = house.notebook.records.lock().unwrap();
    let record = &records[0];
    let step = &record.history[0];
    assert_eq!((&step["kind"], &step["outcome"]), (&"consult".into(), &"completed".into()));
    assert_eq!(step["by_leg"], agent_leg.to_string());
    let ways: Vec<_> = step["ways"].as_array().unwrap().iter().collect();
    assert_eq!((&ways[0]["to"], &ways[0]["route"]), (&"bob".into(), &"phone".into()));
    assert_eq!((&ways[0]["outcome"], &ways[0]["detail"]), (&"failed".into(), &"486 Busy Here".into()));
    assert_eq!((&ways[1]["route"], &ways[1]["outcome"]), (&"trunk".into(), &"answered".into()));

    let leg = |id: LegId| {
        record.legs.as_array().unwrap().iter().find(|leg| leg["leg"] == id.to_string()).unwrap().clone()
    };
    let (came, went, own) = (leg(customer), leg(expert), leg(agent_leg));
    assert_eq!((&came["route"], &came["cost"]), (&"trunk".into(), &serde_json::Value::Null), "it called us");
    assert_eq!(
        (&own["route"], &own["cost"]),
        (&"phone".into(), &serde_json::Value::Null),
        "nobody knows a price"
    );
    assert_eq!((&went["price_per_minute"], &went["price_from"]), (&"60000.00".into(), &"2025-01-01".into()));
    // At 60,000 a minute a millisecond is one.
    let cost = format!("{}.00", went["duration_ms"].as_u64().unwrap());
    assert_eq!(went["cost"], cost);
    assert_eq!(record.costs, serde_json::json!({ "USD": cost }));
}
