//! `sidetone demo`: the main job on loopback, played by telephones and measured at every ear.
//!
//! A customer calls over a carrier trunk, an agent answers, and a supervisor monitors, whispers, barges in and takes the
//! call over, all by the public HTTP API; a Teams user calls over Direct Routing; and at the end the agent consults an
//! expert at Teams, whose tenant has to be made ready first. After each step every party's ear is searched for every
//! other party's tone.
//! A level that is not as it should be makes the demo fail, after it was played to its end.

mod cloud;
mod consult;
mod row;
mod screen;
mod stay;
mod teams;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use thiserror::Error;

use super::acs::{AcsSim, Talker};
use super::ear::Ear;
use super::stage::api::{ApiError, Call, Supervision};
use super::stage::levels::{Expected, Heard, WrongLevel};
use super::stage::{ALICES_NUMBER, Person, Setting, Stage, StageError, TokenOf, at};
use super::tenant::{NotUnderstood, Tenant};
use screen::Screen;
pub use teams::TeamsError;

/// Packets listened to after each step: 1.5 s, long enough to be heard as a scene in the WAV files.
const SCENE_PACKETS: usize = 75;
/// Steps of the demo.
const STEPS: usize = 15;

/// What the demo can be told.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where the WAV files and the table go. Made if it is not there.
    pub out: PathBuf,
    /// Whether the house stays open afterwards, with calls going on, until the program is interrupted.
    pub keep: bool,
}

/// What the demo did.
#[derive(Debug, Clone)]
pub struct DemoReport {
    /// Where the files are.
    pub out: PathBuf,
    /// Every step, in order.
    pub steps: Vec<Step>,
}

/// One step and what was measured after it.
#[derive(Debug, Clone)]
pub struct Step {
    /// What happens.
    pub title: &'static str,
    /// What that means, for somebody new to it.
    pub meaning: &'static str,
    /// How the gateway was asked.
    pub request: String,
    /// What it answered, where that is the point.
    pub said: Vec<String>,
    /// What each ear heard.
    pub rows: Vec<Row>,
}

/// What one ear heard.
#[derive(Debug, Clone)]
pub struct Row {
    /// The measured levels.
    pub heard: Heard,
    /// Whom it should hear.
    pub mouths: Vec<String>,
    /// Whether it should hear music.
    pub music: bool,
    /// What is not as it should be.
    pub wrong: Vec<WrongLevel>,
}

/// Why the demo failed.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The gateway or a telephone did not do its part.
    #[error("the demo broke off")]
    Stage(#[from] StageError),
    /// The call over Direct Routing was not played to its end.
    #[error("the demo broke off at the call over Direct Routing")]
    Teams(#[from] TeamsError),
    /// The consult went another way than it should.
    #[error("the demo broke off at the consult: {0}")]
    Consult(&'static str),
    /// The remedy is none.
    #[error("the demo broke off at the remedy of a finding")]
    Remedy(#[from] NotUnderstood),
    /// It was played, and levels were wrong.
    #[error("wrong levels:\n  {}", .0.join("\n  "))]
    Levels(Vec<String>),
    /// A file could not be written.
    #[error("{} cannot be written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A WAV file could not be written.
    #[error("{} cannot be written", path.display())]
    Wav {
        /// Which.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
}

/// Plays the demo.
///
/// # Errors
/// [`DemoError`]: what did not happen, or every level that was wrong. What was heard is written down in either case,
/// as far as it came.
pub async fn demo(options: DemoOptions) -> Result<DemoReport, DemoError> {
    let DemoOptions { out, keep } = options;
    std::fs::create_dir_all(&out).map_err(|source| DemoError::File { path: out.clone(), source })?;
    let acs = AcsSim::start().await.map_err(StageError::from)?;
    let tenant = Tenant::start().await.map_err(StageError::from)?;
    let setting =
        Setting { acs: Some(acs.clone()), acs_more: tenant.settings(), browsers: true, ..Setting::default() };
    let stage = Stage::start(setting).await?;
    let mut play = Play {
        stage: &stage,
        screen: Screen::open(),
        steps: Vec::new(),
        ears: Vec::new(),
        talkers: Vec::new(),
    };
    play.screen.opening(&play.party());
    play.welcome().await?;
    let played = play.all(&acs, &tenant).await;
    let written = write(&out, &play.ears, &play.talkers, &play.steps);
    let report = DemoReport { out, steps: std::mem::take(&mut play.steps) };
    let wrong = report.wrong();
    if played.is_ok() && written.is_ok() {
        play.screen.closing(&report, wrong.is_empty());
        if keep && wrong.is_empty() {
            play.ears.clear();
            play.talkers.clear();
            play.stay().await?;
        }
    }
    stage.stop().await;
    played?;
    written?;
    if wrong.is_empty() { Ok(report) } else { Err(DemoError::Levels(wrong)) }
}

impl DemoReport {
    /// Every wrong level, with its step.
    fn wrong(&self) -> Vec<String> {
        let rows = self.steps.iter().flat_map(|step| step.rows.iter().map(move |row| (step, row)));
        rows.flat_map(|(step, row)| row.wrong.iter().map(move |wrong| format!("{}: {wrong}", step.title)))
            .collect()
    }
}

struct Play<'a> {
    stage: &'a Stage,
    screen: Screen,
    steps: Vec<Step>,
    /// Ears are kept when a call gets its sound, because the next call has another.
    ears: Vec<Ear>,
    /// Those at ACS, with the names of their files.
    talkers: Vec<(&'static str, Talker)>,
}

impl<'a> Play<'a> {
    fn party(&self) -> [&'a Person; 3] {
        [&self.stage.customer, &self.stage.alice, &self.stage.sam]
    }

    async fn all(&mut self, acs: &AcsSim, tenant: &Tenant) -> Result<(), DemoError> {
        self.supervised().await?;
        self.cloud(acs).await?;
        self.over_direct_routing().await?;
        self.consult(acs, tenant).await
    }

    /// The same job with a customer who uses Teams: a gateway with a trunk of its own, and Microsoft's proxy, simulated.
    async fn over_direct_routing(&mut self) -> Result<(), DemoError> {
        let title = "Direct Routing";
        let meaning = "The customer is a Teams user now: mutual TLS, SRTP, the simulated proxy of Microsoft. Alice answers.";
        let request = format!("INVITE sip:{} from sip.pstnhub.microsoft.com", crate::sim::teams::NUMBER);
        self.announce(title, meaning, &request);
        let (rows, ear) = teams::play(&self.stage.customer, &self.stage.alice).await?;
        self.ears.push(ear);
        self.show(Step { title, meaning, request, said: Vec::new(), rows });
        Ok(())
    }

    async fn supervised(&mut self) -> Result<(), StageError> {
        let stage = self.stage;
        let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);

        let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
        self.keep_ear(customer).await?;
        self.keep_ear(alice).await?;
        let talk = [Expected::voices(customer, [alice]), Expected::voices(alice, [customer])];
        self.step(
            "A call",
            "The customer dialled the company's number; Alice, an agent, answered. They talk.",
            format!("INVITE sip:{ALICES_NUMBER} from the carrier"),
            &talk,
        )
        .await?;

        let supervision = self.monitor(&call).await?;
        let id = supervision.id;

        self.switch(&id, "whisper").await?;
        let whisper = [
            Expected::voices(customer, [alice]),
            Expected::voices(alice, [customer, sam]),
            Expected::voices(sam, [customer, alice]),
        ];
        self.step(
            "Whisper",
            "Sam speaks to Alice alone. The customer goes on hearing Alice and nothing of Sam.",
            patched("whisper"),
            &whisper,
        )
        .await?;

        self.switch(&id, "barge").await?;
        let barge = [
            Expected::voices(customer, [alice, sam]),
            Expected::voices(alice, [customer, sam]),
            Expected::voices(sam, [customer, alice]),
        ];
        let meaning = "Sam joins the conversation: everybody hears everybody.";
        self.step("Barge", meaning, patched("barge"), &barge).await?;

        self.steer(&call, "hold").await?;
        let hold =
            [Expected::music(customer), Expected::voices(alice, [sam]), Expected::voices(sam, [alice])];
        self.step(
            "Hold",
            "Alice puts the customer on hold: music for the customer, while Alice and Sam talk.",
            "POST /v1/calls/{call}/legs/{customer}/hold".to_owned(),
            &hold,
        )
        .await?;

        self.steer(&call, "resume").await?;
        self.step(
            "Resume",
            "The customer is back, and all three talk again.",
            "POST /v1/calls/{call}/legs/{customer}/resume".to_owned(),
            &barge,
        )
        .await?;

        self.asked("take a call over", stage.api.take_over(&id).await)?;
        alice.phone.over().await.map_err(at(alice))?;
        let taken = [Expected::voices(customer, [sam]), Expected::voices(sam, [customer])];
        self.step(
            "Takeover",
            "Sam has the call now, and Alice's telephone is released. The customer kept talking throughout.",
            "POST /v1/supervisions/{id}/takeover".to_owned(),
            &taken,
        )
        .await?;

        customer.phone.hang_up().await.map_err(at(customer))?;
        sam.phone.over().await.map_err(at(sam))?;
        stage.until_no_call().await?;
        let meaning = "The customer hangs up, and nothing of the call is left.";
        self.step("Hang-up", meaning, "BYE from the carrier".to_owned(), &[]).await
    }

    async fn monitor(&mut self, call: &Call) -> Result<Supervision, StageError> {
        let stage = self.stage;
        let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
        let supervision = stage.sam_joins(call, "monitor").await?;
        self.keep_ear(sam).await?;
        let monitor = [
            Expected::voices(customer, [alice]),
            Expected::voices(alice, [customer]),
            Expected::voices(sam, [customer, alice]),
        ];
        self.step(
            "Monitor",
            "Sam, a supervisor, was rung and listens. He hears both; neither hears him, though he hums all the time.",
            format!("POST /v1/calls/{{call}}/supervisions {}", json!({ "role": "monitor" })),
            &monitor,
        )
        .await?;
        Ok(supervision)
    }

    async fn switch(&self, id: &str, role: &str) -> Result<(), StageError> {
        self.asked("switch a role", self.stage.api.switch(id, role).await).map(drop)
    }

    async fn steer(&self, call: &Call, act: &str) -> Result<(), StageError> {
        let leg = call.customer().ok_or_else(|| StageError::NoLeg("the customer".to_owned()))?;
        let alice = self.stage.api_of(TokenOf::Alice);
        self.asked("hold or resume", alice.leg(&call.id, &leg.id, act).await)
    }

    fn asked<T>(&self, what: &'static str, answer: Result<T, ApiError>) -> Result<T, StageError> {
        answer.map_err(|source| StageError::Api { what, source })
    }

    async fn keep_ear(&mut self, person: &Person) -> Result<(), StageError> {
        self.ears.push(person.phone.ear().await.map_err(at(person))?);
        Ok(())
    }

    async fn step(
        &mut self,
        title: &'static str,
        meaning: &'static str,
        request: String,
        expected: &[Expected<'_>],
    ) -> Result<(), StageError> {
        self.announce(title, meaning, &request);
        let heard = self.stage.measure_packets(expected, SCENE_PACKETS).await?;
        let rows = expected.iter().zip(heard).map(|(expected, heard)| Row {
            mouths: expected.mouths.iter().map(|mouth| mouth.name().to_owned()).collect(),
            music: expected.music,
            wrong: expected.judge(&heard),
            heard,
        });
        self.show(Step { title, meaning, request, said: Vec::new(), rows: rows.collect() });
        Ok(())
    }

    fn announce(&self, title: &str, meaning: &str, request: &str) {
        self.screen.announce(self.steps.len() + 1, STEPS, title, meaning, request);
    }

    fn show(&mut self, step: Step) {
        self.screen.table(&step);
        self.steps.push(step);
    }
}

fn patched(role: &str) -> String {
    format!("PATCH /v1/supervisions/{{id}} {}", json!({ "role": role }))
}

/// One WAV file for each party, and the table.
fn write(
    out: &Path,
    ears: &[Ear],
    talkers: &[(&'static str, Talker)],
    steps: &[Step],
) -> Result<(), DemoError> {
    let heard = ears.iter().map(|ear| (ear.name(), ear.since(0)));
    for (name, clip) in heard.chain(talkers.iter().map(|(name, talker)| (*name, talker.since(0)))) {
        let path = out.join(format!("{name}.wav"));
        clip.write_wav(&path).map_err(|source| DemoError::Wav { path, source })?;
    }
    let path = out.join("table.txt");
    std::fs::write(&path, screen::plain(steps)).map_err(|source| DemoError::File { path, source })
}
