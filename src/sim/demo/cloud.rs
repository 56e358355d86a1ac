//! The demo's scene in the cloud: the customer calls over a simulated Azure Communication Services.

use super::row::{Mouth, Should, row};
use super::{Play, SCENE_PACKETS, StageError, Step};
use crate::sim::acs::AcsSim;
use crate::sim::ear::Clip;
use crate::sim::phone::{Line, Status};
use crate::sim::stage::{ALICES_NUMBER, Person, WEBHOOK, at};
use crate::sim::voice::Voice;

/// Who calls, and what they hum: the customer of the other scenes, on another telephone.
const CUSTOMER: &str = "4:+15550001";

impl Play<'_> {
    /// A customer at ACS, Alice at her SIP telephone, Sam whispering.
    pub(super) async fn cloud(&mut self, acs: &AcsSim) -> Result<(), StageError> {
        let stage = self.stage;
        let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
        acs.call(CUSTOMER, &format!("4:{ALICES_NUMBER}"), Voice::tone(customer.hz), WEBHOOK, true);
        let talks = |status: &Status| status.line == Line::Talking;
        alice.phone.until("a call from ACS", talks).await.map_err(at(alice))?;
        let call = stage
            .until_call("a customer at ACS", |call| {
                call.state == "talking" && call.leg_of("alice").is_some_and(|leg| leg.presence == "talking")
            })
            .await?;
        acs.until_figures(CUSTOMER, "sound to the customer", |figures| figures.frames > 10).await?;
        stage.sam_joins(&call, "whisper").await?;

        let title = "A customer in the cloud";
        let meaning =
            "Another customer called over Azure Communication Services. Alice answered, and Sam whispers.";
        let request = "IncomingCall from Event Grid; sound over a WebSocket".to_owned();
        self.announce(title, meaning, &request);
        let talker =
            acs.talker(CUSTOMER).ok_or_else(|| StageError::NoLeg("the customer at ACS".to_owned()))?;
        talker.listen(SCENE_PACKETS).await?;
        let at_acs = talker.listen(SCENE_PACKETS).await?;
        let cast @ [c, a, b] = [customer, alice, sam].map(Mouth::from);
        let rows = vec![
            row(c.name, &at_acs, &cast, Should::Voices(&[a])),
            row(a.name, &clip(alice).await?, &cast, Should::Voices(&[c, b])),
            row(b.name, &clip(sam).await?, &cast, Should::Voices(&[c, a])),
        ];
        self.show(Step { title, meaning, request, said: Vec::new(), rows });
        acs.hangs_up(CUSTOMER).await;
        stage.until_no_call().await
    }
}

async fn clip(person: &Person) -> Result<Clip, StageError> {
    let ear = person.phone.ear().await.map_err(at(person))?;
    Ok(ear.listen(SCENE_PACKETS).await?)
}
