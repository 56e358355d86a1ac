//! A stage with a customer on ACS: who hears whom there, and at the telephones.

use sidetone::sim::acs::{AcsSim, Talker};
use sidetone::sim::ear::Clip;
use sidetone::sim::phone::{Line, Status};
use sidetone::sim::stage::api::Call;
use sidetone::sim::stage::levels::{HEARD_DBFS, UNHEARD_DBFS};
use sidetone::sim::stage::{Person, Setting, Stage, WEBHOOK, at};
use sidetone::sim::voice::Voice;

/// Who calls over ACS.
pub(crate) const CUSTOMER: &str = "4:+15550001";
/// What they hum: away from the tones of the stage.
pub(crate) const CUSTOMER_HZ: f64 = 1_402.0;
/// The number they call.
pub(crate) const LINE: &str = "4:+15550100";

/// The stage and the service.
pub(crate) struct House {
    pub(crate) stage: Stage,
    pub(crate) acs: AcsSim,
}

impl House {
    /// A stage whose gateway has a resource, with more of its settings.
    pub(crate) async fn start(acs_more: &str) -> Result<House, Box<dyn std::error::Error>> {
        House::set(Setting { acs_more: acs_more.to_owned(), ..Setting::default() }).await
    }

    /// A stage set in another way.
    pub(crate) async fn set(setting: Setting) -> Result<House, Box<dyn std::error::Error>> {
        let acs = AcsSim::start().await?;
        let stage = Stage::start(Setting { acs: Some(acs.clone()), ..setting }).await?;
        Ok(House { stage, acs })
    }

    /// The customer calls; nobody has answered yet.
    pub(crate) fn customer_calls(&self) -> String {
        self.acs.call(CUSTOMER, LINE, Voice::tone(CUSTOMER_HZ), WEBHOOK, true)
    }

    /// The customer calls and Alice answers.
    pub(crate) async fn customer_reaches_alice(&self) -> Result<(Call, Talker), Box<dyn std::error::Error>> {
        self.customer_calls();
        let alice = &self.stage.alice;
        let talks = |status: &Status| status.line == Line::Talking;
        alice.phone.until("a call from ACS", talks).await.map_err(at(alice))?;
        let call = self
            .stage
            .until_call("a talking customer", |call| {
                call.state == "talking" && call.leg_of("alice").is_some_and(|leg| leg.presence == "talking")
            })
            .await?;
        self.acs.until_figures(CUSTOMER, "sound to the customer", |figures| figures.frames > 10).await?;
        Ok((call, self.acs.talker(CUSTOMER).ok_or("the customer is gone")?))
    }

    /// What a telephone hears, half a second on.
    pub(crate) async fn ear_of(&self, person: &Person) -> Result<Clip, Box<dyn std::error::Error>> {
        let (ear, mouth) = (person.phone.ear().await?, person.phone.mouth().await?);
        mouth.wait_for(25).await?;
        Ok(ear.listen(40).await?)
    }

    /// A telephone hears these tones and not those.
    pub(crate) async fn hears(&self, person: &Person, loud: &[f64], quiet: &[f64]) -> super::Story {
        in_some_stretch(person.name(), loud, quiet, async || self.ear_of(person).await).await
    }

    /// Somebody at ACS hears these tones and not those.
    pub(crate) async fn talker_hears(&self, talker: &Talker, loud: &[f64], quiet: &[f64]) -> super::Story {
        talker.listen(40).await?;
        in_some_stretch("the ACS party", loud, quiet, async || Ok(talker.listen(40).await?)).await
    }
}

/// Stretches of sound in which a tone may come whole. On a crowded machine a stream is late now and then; the gateway drops
/// what is too old, as a network would, and a tone with a hole in it measures less than it is.
const STRETCHES: usize = 10;

/// The tones that are meant come whole in one of a few stretches, and the others in none up to it.
async fn in_some_stretch(
    who: &str,
    loud: &[f64],
    quiet: &[f64],
    listen: impl AsyncFn() -> Result<Clip, Box<dyn std::error::Error>>,
) -> super::Story {
    for _ in 1..STRETCHES {
        let clip = listen().await?;
        judge(who, &clip, &[], quiet)?;
        if judge(who, &clip, loud, &[]).is_ok() {
            return Ok(());
        }
    }
    judge(who, &listen().await?, loud, quiet)
}

/// Whether the tones of a clip are as they should be.
pub(crate) fn judge(who: &str, clip: &Clip, loud: &[f64], quiet: &[f64]) -> super::Story {
    for hz in loud {
        let level = clip.level_of(*hz);
        if level < HEARD_DBFS {
            return Err(format!("{who} should hear {hz} Hz: {level:.1} dBFS").into());
        }
    }
    for hz in quiet {
        let level = clip.level_of(*hz);
        if level > UNHEARD_DBFS {
            return Err(format!("{who} should not hear {hz} Hz: {level:.1} dBFS").into());
        }
    }
    Ok(())
}
