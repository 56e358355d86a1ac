//! The demo's end: Alice asks an expert at Teams. First the tenant is not ready, and says how it would be.

use serde_json::{Value, json};

use super::row::{Mouth, Should, row};
use super::{DemoError, Play, SCENE_PACKETS, StageError, Step};
use crate::sim::acs::{AcsSim, Behaviour, Talker};
use crate::sim::ear::Clip;
use crate::sim::stage::api::{Api, ApiError, Call};
use crate::sim::stage::levels::SETTLE_BEATS;
use crate::sim::stage::{ALICES_NUMBER, Person, TokenOf, at};
use crate::sim::tenant::{EXPERT, EXPERT_HZ, EXPERT_RAW_ID, Tenant};
use crate::sim::voice::Voice;

/// The expert, in the tables.
const ERIN: Mouth<'static> = Mouth { name: "expert", hz: EXPERT_HZ };

impl Play<'_> {
    /// Federation off, mended, then the expert from the private talk to the hand-over.
    pub(super) async fn consult(&mut self, acs: &AcsSim, tenant: &Tenant) -> Result<(), DemoError> {
        let stage = self.stage;
        let (customer, alice) = (&stage.customer, &stage.alice);
        acs.behaves(EXPERT_RAW_ID, Behaviour::Answers(Voice::tone(EXPERT_HZ)));
        alice.phone.over().await.map_err(at(alice))?;
        let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;

        let command = self.refused(&call, tenant).await?;
        tenant.runs(&command)?;
        self.mended(&call, tenant).await?;

        let agent = stage.api_of(TokenOf::Alice);
        let consult = self.asked("consult", agent.consult(&call.id, wish(false)).await)?;
        stage
            .events
            .until("the expert's answer", |event| event.kind == "consult.answered")
            .await
            .map_err(StageError::from)?;
        let heard = acs.until_figures(EXPERT_RAW_ID, "sound to the expert", |figures| figures.frames > 10);
        heard.await.map_err(StageError::from)?;
        let erin = acs.talker(EXPERT_RAW_ID).ok_or_else(|| StageError::NoLeg("the expert".to_owned()))?;
        self.talkers.push((ERIN.name, erin.clone()));

        let (c, a) = (Mouth::from(customer), Mouth::from(alice));
        self.scene(
            "Consult",
            "Erin, an expert, was rung in Teams over ACS. She and Alice talk alone; the customer hears music.",
            format!("POST /v1/calls/{{call}}/consults {}", json!({ "target": EXPERT })),
            &erin,
            [Some(Should::Music), Some(Should::Voices(&[ERIN])), Some(Should::Voices(&[a]))],
        )
        .await?;

        self.asked("speak to all", agent.speak_to(&consult.id, "conference").await)?;
        self.scene(
            "Consult, all together",
            "Alice brings the customer in: everybody hears everybody.",
            format!("PATCH /v1/consults/{{id}} {}", json!({ "speak_to": "conference" })),
            &erin,
            [
                Some(Should::Voices(&[a, ERIN])),
                Some(Should::Voices(&[c, ERIN])),
                Some(Should::Voices(&[c, a])),
            ],
        )
        .await?;

        self.asked("complete the consult", agent.end_consult(&consult.id, "complete").await)?;
        alice.phone.over().await.map_err(at(alice))?;
        self.scene(
            "Consult, completed",
            "Alice leaves. The customer and the expert stay, and nobody rang anew.",
            "POST /v1/consults/{id}/complete".to_owned(),
            &erin,
            [Some(Should::Voices(&[ERIN])), None, Some(Should::Voices(&[c]))],
        )
        .await?;

        customer.phone.hang_up().await.map_err(at(customer))?;
        Ok(stage.until_no_call().await?)
    }

    /// The consult is refused; the command that would mend it.
    async fn refused(&mut self, call: &Call, tenant: &Tenant) -> Result<String, DemoError> {
        let stage = self.stage;
        let (customer, alice) = (&stage.customer, &stage.alice);
        let title = "Consult, refused";
        let meaning = "Alice wants an expert at Teams, whose tenant takes no calls of ACS. Nobody is rung; she talks on with the customer.";
        let request = format!("POST /v1/calls/{{call}}/consults {}", json!({ "target": EXPERT }));
        self.announce(title, meaning, &request);
        self.import(tenant).await?;
        let refusal = match stage.api_of(TokenOf::Alice).consult(&call.id, wish(false)).await {
            Err(ApiError::Problem { document, .. }) if document["code"] == "not_cleared" => document,
            Err(source) => return Err(StageError::Api { what: "consult", source }.into()),
            Ok(_) => return Err(DemoError::Consult("it was not refused while the federation is off")),
        };
        let findings = refusing(&refusal["preview"]);
        let first = findings.first().ok_or(DemoError::Consult("its refusal names no finding"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let command = text(&first["remedy"]["command"]);
        let mut said = vec!["409 not_cleared. What refuses, and what would mend it:".to_owned()];
        let line =
            |one: &&Value| format!("{} {}: {}", text(&one["check"]), text(&one["title"]), text(&one["code"]));
        said.extend(findings.iter().map(line));
        said.push(format!("{}: {}", text(&first["remedy"]["who"]), text(&first["remedy"]["text"])));
        said.extend(command.lines().map(|line| format!("    {line}")));
        let (c, a) = (Mouth::from(customer), Mouth::from(alice));
        let (at_customer, at_alice) = tokio::try_join!(settled(customer), settled(alice))?;
        let rows = vec![
            row(c.name, &at_customer, &[c, a, ERIN], Should::Voices(&[a])),
            row(a.name, &at_alice, &[c, a, ERIN], Should::Voices(&[c])),
        ];
        self.show(Step { title, meaning, request, said, rows });
        Ok(command)
    }

    /// The command was run, and the collector after it: the same consult, looked at without ringing anybody.
    async fn mended(&mut self, call: &Call, tenant: &Tenant) -> Result<(), DemoError> {
        let title = "Consult, looked at";
        let meaning = "The administrator has run the command, and the collector after it. The same consult, shown and not done:";
        let request =
            format!("POST /v1/calls/{{call}}/consults {}", json!({ "target": EXPERT, "dry_run": true }));
        self.announce(title, meaning, &request);
        self.import(tenant).await?;
        let agent = self.stage.api_of(TokenOf::Alice);
        let preview = self.asked("look at a consult", agent.consult_preview(&call.id, wish(true)).await)?;
        let taken = preview["taken"].as_u64().and_then(|taken| preview["ways"].get(taken as usize));
        let way = taken.ok_or(DemoError::Consult("no way is clear once the federation is on"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let said = vec![format!(
            "would be rung over {} ({}), {} {} a minute; {} checks",
            text(&way["via"]),
            text(&way["over"]),
            text(&way["cost"]["per_minute"]),
            text(&way["cost"]["currency"]),
            way["findings"].as_array().map_or(0, Vec::len),
        )];
        self.show(Step { title, meaning, request, said, rows: Vec::new() });
        Ok(())
    }

    async fn import(&self, tenant: &Tenant) -> Result<(), StageError> {
        let admin: Api = self.stage.api_of(TokenOf::Admin);
        self.asked("import what the collector wrote", admin.import(&tenant.collected()).await)
    }

    /// One step of the three: customer, Alice, Erin, each of whom is measured if they are to hear something.
    async fn scene(
        &mut self,
        title: &'static str,
        meaning: &'static str,
        request: String,
        erin: &Talker,
        should: [Option<Should<'_>>; 3],
    ) -> Result<(), StageError> {
        self.announce(title, meaning, &request);
        let (customer, alice) = (&self.stage.customer, &self.stage.alice);
        let (c, a) = (Mouth::from(customer), Mouth::from(alice));
        let [to_customer, to_alice, to_erin] = should;
        let expert = async {
            erin.listen(SETTLE_BEATS as usize).await?;
            Ok::<_, StageError>(erin.listen(SCENE_PACKETS).await?)
        };
        let agent = async {
            match to_alice {
                Some(_) => settled(alice).await.map(Some),
                None => Ok(None),
            }
        };
        let (at_customer, at_alice, at_erin) = tokio::try_join!(settled(customer), agent, expert)?;
        let clips = [
            (c.name, Some(at_customer), to_customer),
            (a.name, at_alice, to_alice),
            (ERIN.name, Some(at_erin), to_erin),
        ];
        let rows = clips
            .iter()
            .filter_map(|(ear, clip, should)| Some(row(ear, clip.as_ref()?, &[c, a, ERIN], (*should)?)));
        let rows = rows.collect();
        self.show(Step { title, meaning, request, said: Vec::new(), rows });
        Ok(())
    }
}

fn wish(dry_run: bool) -> Value {
    json!({ "target": EXPERT, "dry_run": dry_run })
}

/// The findings that stand in the way, in the order of the checks.
fn refusing(preview: &Value) -> Vec<&Value> {
    let ways = preview["ways"].as_array().into_iter().flatten();
    let findings = ways.filter_map(|way| way["findings"].as_array()).flatten();
    findings.filter(|finding| finding["weight"] == "refuses").collect()
}

/// A scene of somebody's ear, once what was said before is gone from all buffers.
async fn settled(person: &Person) -> Result<Clip, StageError> {
    let (ear, mouth) =
        (person.phone.ear().await.map_err(at(person))?, person.phone.mouth().await.map_err(at(person))?);
    mouth.wait_for(SETTLE_BEATS).await?;
    Ok(ear.listen(SCENE_PACKETS).await?)
}
