//! Consults across doors, who hears whom measured as tones. Every pairing has its test:
//!
//! | expert | customer at a trunk | customer at ACS |
//! |---|---|---|
//! | a client at ACS | `a_customer_at_a_trunk_and_an_expert_at_a_client` | `a_customer_at_acs_and_an_expert_at_a_client` |
//! | a telephone over ACS | `a_customer_at_a_trunk_and_an_expert_at_a_telephone_over_acs` | `a_customer_at_acs_and_an_expert_at_a_telephone_over_acs` |
//! | a telephone over a trunk | `a_customer_at_a_trunk_and_an_expert_at_a_telephone_over_a_trunk` | `a_customer_at_acs_and_an_expert_at_a_telephone_over_a_trunk` |
//! | a Teams user over VOIP | `teams_user::federation_off_is_refused_with_its_command_and_mended_the_expert_comes` | `teams_user::a_customer_at_acs_and_an_expert_whose_teams_client_rings` |
//! | a Teams user over Direct Routing | `a_customer_at_a_carrier_and_an_expert_over_direct_routing` (tests/teams) | `a_customer_at_acs_and_an_expert_over_direct_routing` (tests/teams) |

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use sidetone::sim::acs::{Behaviour, Talker};
use sidetone::sim::phone::{self, Phone};
use sidetone::sim::stage::api::Call;
use sidetone::sim::stage::{ALICES_NUMBER, Person, TokenOf};
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::support::{CUSTOMER_HZ, House};

const CLIENT: &str = "8:acs:11111111-1111-1111-1111-111111111111_00000000-0000-0000-0000-000000000009";
const NUMBER: &str = "+15550142";
/// A telephone that is reached over another carrier.
const BEYOND: &str = "+15550143";
/// Where that carrier is: a trunk has its addresses for itself.
const ONWARD_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// What the expert hums at ACS.
const EXPERT_HZ: f64 = 1_702.0;

fn more() -> String {
    format!(
        "[[person]]\nid = \"erin\"\ntenant = \"demo\"\nrole = \"agent\"\nteams = [\"support\"]\nextension = \"109\"\n\
         acs = {{ resource = \"contoso\", raw_id = \"{CLIENT}\" }}\n\
         [[route]]\nid = \"out\"\ntenant = \"demo\"\nnumber = \"{NUMBER}\"\ntargets = [\"acs:contoso\"]\nring_s = 60\n"
    )
}

/// The customer, wherever they are.
enum Caller {
    Sip,
    Acs(Talker),
}

impl Caller {
    async fn hears(&self, house: &House, loud: &[f64], quiet: &[f64]) -> Story {
        match self {
            Caller::Sip => house.hears(&house.stage.customer, loud, quiet).await,
            Caller::Acs(talker) => house.talker_hears(talker, loud, quiet).await,
        }
    }

    fn hz(&self, house: &House) -> f64 {
        match self {
            Caller::Sip => house.stage.customer.hz,
            Caller::Acs(_) => CUSTOMER_HZ,
        }
    }
}

async fn reaches_alice(house: &House, over_acs: bool) -> Result<(Call, Caller), Box<dyn std::error::Error>> {
    if over_acs {
        let (call, talker) = house.customer_reaches_alice().await?;
        return Ok((call, Caller::Acs(talker)));
    }
    let call = house.stage.customer_reaches(ALICES_NUMBER, &house.stage.alice).await?;
    Ok((call, Caller::Sip))
}

/// The expert, wherever they are.
enum Expert {
    /// At ACS, by this raw id.
    Acs(&'static str),
    Telephone,
}

/// Private talk, conference and hand-over with an expert.
async fn pairing(over_acs: bool, target: &str, at: Expert) -> Story {
    let telephone = Phone::start(phone::Options {
        ip: ONWARD_IP,
        voice: Voice::tone(EXPERT_HZ),
        ..phone::Options::new("expert")
    });
    let telephone = Person { phone: telephone.await?, hz: EXPERT_HZ };
    let onward = format!(
        "[[trunk]]\nid = \"onward\"\ntenant = \"demo\"\nsources = [\"{ONWARD_IP}/32\"]\n\
         destination = \"{};transport=udp\"\n[[route]]\nid = \"beyond\"\ntenant = \"demo\"\nnumber = \"{BEYOND}\"\n\
         targets = [\"trunk:onward\"]\nring_s = 60\n",
        telephone.phone.address()
    );
    let house = House::start(&(more() + &onward)).await?;
    if let Expert::Acs(raw_id) = at {
        house.acs.behaves(raw_id, Behaviour::Answers(Voice::tone(EXPERT_HZ)));
    }
    let (stage, alice) = (&house.stage, &house.stage.alice);
    let (call, customer) = reaches_alice(&house, over_acs).await?;
    let hz = customer.hz(&house);
    let api = stage.api_of(TokenOf::Alice);
    let consult = api.consult(&call.id, json!({"target": target})).await?;
    stage.events.until("the expert's answer", |event| event.kind == "consult.answered").await?;
    let talker = match at {
        Expert::Telephone => None,
        Expert::Acs(raw_id) => {
            house.acs.until_figures(raw_id, "sound to the expert", |figures| figures.frames > 10).await?;
            Some(house.acs.talker(raw_id).ok_or("the expert is not in a call")?)
        }
    };
    let expert_hears = async |loud: &[f64], quiet: &[f64]| match &talker {
        Some(talker) => house.talker_hears(talker, loud, quiet).await,
        None => house.hears(&telephone, loud, quiet).await,
    };

    house.hears(alice, &[EXPERT_HZ], &[hz]).await?;
    expert_hears(&[alice.hz], &[hz]).await?;
    customer.hears(&house, &[], &[alice.hz, EXPERT_HZ]).await?;

    api.speak_to(&consult.id, "conference").await?;
    house.hears(alice, &[EXPERT_HZ, hz], &[]).await?;
    expert_hears(&[alice.hz, hz], &[]).await?;
    customer.hears(&house, &[alice.hz, EXPERT_HZ], &[]).await?;

    api.end_consult(&consult.id, "complete").await?;
    alice.phone.over().await?;
    customer.hears(&house, &[EXPERT_HZ], &[alice.hz]).await?;
    expert_hears(&[hz], &[alice.hz]).await?;
    stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    stage.until_no_call().await?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_at_a_trunk_and_an_expert_at_a_client() -> Story {
    pairing(false, "erin", Expert::Acs(CLIENT)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_at_a_trunk_and_an_expert_at_a_telephone_over_acs() -> Story {
    pairing(false, NUMBER, Expert::Acs("4:+15550142")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_at_acs_and_an_expert_at_a_client() -> Story {
    pairing(true, "erin", Expert::Acs(CLIENT)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_at_acs_and_an_expert_at_a_telephone_over_acs() -> Story {
    pairing(true, NUMBER, Expert::Acs("4:+15550142")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_at_a_trunk_and_an_expert_at_a_telephone_over_a_trunk() -> Story {
    pairing(false, BEYOND, Expert::Telephone).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_at_acs_and_an_expert_at_a_telephone_over_a_trunk() -> Story {
    pairing(true, BEYOND, Expert::Telephone).await
}

/// The expert does not come, or goes: the customer hears the agent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expert_at_acs_who_is_busy_or_hangs_up_leaves_the_customer_with_the_agent() -> Story {
    for over_acs in [false, true] {
        let house = House::start(&more()).await?;
        let (stage, alice) = (&house.stage, &house.stage.alice);
        let (call, customer) = reaches_alice(&house, over_acs).await?;
        let hz = customer.hz(&house);
        let api = stage.api_of(TokenOf::Alice);

        house.acs.behaves(CLIENT, Behaviour::Fails(486, 560_486));
        api.consult(&call.id, json!({"target": "erin"})).await?;
        stage.events.until("the failure", |event| event.kind == "consult.failed").await?;
        customer.hears(&house, &[alice.hz], &[]).await?;
        house.hears(alice, &[hz], &[]).await?;

        house.acs.behaves(CLIENT, Behaviour::Answers(Voice::tone(EXPERT_HZ)));
        api.consult(&call.id, json!({"target": "erin"})).await?;
        stage.events.until("the answer", |event| event.kind == "consult.answered").await?;
        house.acs.hangs_up(CLIENT).await;
        stage.events.until("the end", |event| event.kind == "consult.ended").await?;
        customer.hears(&house, &[alice.hz], &[EXPERT_HZ]).await?;
        house.hears(alice, &[hz], &[EXPERT_HZ]).await?;
        stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
        stage.until_no_call().await?;
        house.stage.stop().await;
    }
    Ok(())
}
