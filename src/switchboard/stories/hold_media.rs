//! What a consult's customer hears: named by the request, refused when there is no such thing.

use sbc_config::HoldMedia;

use super::*;
use crate::switchboard::desk::ConsultRequest;

#[tokio::test]
async fn a_recording_that_nobody_named_is_refused_before_anybody_is_rung() {
    let mut house = House::new();
    let (call, ..) = house.talking();
    house.orders();
    let request = |media: &str| {
        Request::Consult(ConsultRequest {
            call,
            by: None,
            wishes: vec![wish_for("bob")],
            dry_run: false,
            asker: None,
            trunk: None,
            ring: Duration::from_secs(20),
            card: None,
            hold_media: Some(media.parse::<HoldMedia>().unwrap()),
        })
    };
    let refused = house.asked(&software("acme"), request("prompt:sorry"));
    assert!(matches!(refused, Err(Refusal::Invalid { code: "no_such_prompt", .. })), "{refused:?}");
    assert_eq!(house.orders(), []);
    house.asked(&software("acme"), request("silence")).unwrap();
    assert!(house.events().contains(&"consult.dialing"));
}
