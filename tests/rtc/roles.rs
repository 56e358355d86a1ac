//! A browser in every role, telephones in the others: who hears whom by tone, through every change of a call, with the
//! limits of the telephones' own stories.

use futures_util::future::try_join_all;
use serde_json::json;
use sidetone::sim::acs::{AcsSim, Talker};
use sidetone::sim::ear::Clip;
use sidetone::sim::stage::api::Call;
use sidetone::sim::stage::levels::{HEARD_DBFS, MUSIC_DBFS, SETTLE_BEATS, UNHEARD_DBFS};
use sidetone::sim::stage::{ALICES_NUMBER, Person, Setting, Stage, TokenOf, WEBHOOK, WENDYS_NUMBER, at};
use sidetone::sim::voice::Voice;
use str0m::format::Codec as Format;

use crate::Story;
use crate::browser::{Browser, Options, Window};
use crate::calls::{MEASURED, WENDY};

type Wrong = Box<dyn std::error::Error>;

/// What the supervisor with a browser hums.
const WALTER: f64 = 871.0;
/// The customer at ACS, what they hum, and the number they call.
const ACS_CUSTOMER: (&str, f64, &str) = ("4:+15550001", 1_402.0, "4:+15550100");
/// Pieces of an ear in which a voice must have come whole: on a machine that stalls, packets are late and a tone has steps.
const PIECES_MAX: usize = 10;
/// How long a stretch of an ear is searched at a time for a voice that should never be there, in milliseconds: one packet
/// that leaked shows, the edges of other voices do not.
const NEVER_MS: usize = 800;

/// Somebody with an ear and a voice, wherever they are.
enum Party<'a> {
    Phone(&'a Person),
    Browser(Browser, f64),
    Acs(Talker, f64),
}

impl Party<'_> {
    fn hz(&self) -> f64 {
        match self {
            Party::Phone(person) => person.hz,
            Party::Browser(_, hz) | Party::Acs(_, hz) => *hz,
        }
    }

    /// What is heard from now on, when all that was said before has come.
    async fn listen(&self) -> Result<Clip, Wrong> {
        Ok(match self {
            Party::Phone(person) => {
                let (ear, mouth) = (person.phone.ear().await?, person.phone.mouth().await?);
                mouth.wait_for(SETTLE_BEATS).await?;
                ear.listen(MEASURED).await?
            }
            Party::Browser(browser, _) => browser.listen(MEASURED).await?,
            Party::Acs(talker, _) => {
                talker.listen(MEASURED).await?;
                talker.listen(MEASURED).await?
            }
        })
    }

    async fn mark(&self) -> Result<usize, Wrong> {
        Ok(match self {
            Party::Phone(person) => person.phone.ear().await?.count(),
            Party::Browser(browser, _) => browser.mark(),
            Party::Acs(talker, _) => talker.heard(),
        })
    }

    async fn since(&self, mark: usize) -> Result<Clip, Wrong> {
        Ok(match self {
            Party::Phone(person) => person.phone.ear().await?.since(mark),
            Party::Browser(browser, _) => browser.since(mark),
            Party::Acs(talker, _) => talker.since(mark),
        })
    }

    /// Hears these, and in no piece of what comes until then those.
    async fn hears(&self, who: &str, loud: &[&Party<'_>], quiet: &[&Party<'_>]) -> Story {
        let mut missing = None;
        for _ in 0..PIECES_MAX {
            let clip = self.listen().await?;
            for mouth in quiet {
                let level = clip.level_of(mouth.hz());
                if level > UNHEARD_DBFS {
                    return Err(format!("{who} should not hear {} Hz: {level:.1} dBFS", mouth.hz()).into());
                }
            }
            let levels = loud.iter().map(|mouth| (mouth.hz(), clip.level_of(mouth.hz())));
            missing = levels.into_iter().find(|(_, level)| *level < HEARD_DBFS);
            if missing.is_none() {
                return Ok(());
            }
        }
        let (hz, level) = missing.unwrap_or_default();
        Err(format!("{who} should hear {hz} Hz: {level:.1} dBFS").into())
    }

    /// Nothing of this voice from the mark on, not even for one packet.
    async fn never_heard(&self, mark: usize, mouth: &Party<'_>) -> Story {
        let heard = self.since(mark).await?;
        let level = heard.loudest_of(mouth.hz(), heard.rate as usize * NEVER_MS / 1000);
        if level <= UNHEARD_DBFS { Ok(()) } else { Err(format!("leaked: {level:.1} dBFS").into()) }
    }
}

/// A call with an agent, and who else may come in.
struct Cast<'a> {
    stage: &'a Stage,
    call: Call,
    customer: Party<'a>,
    agent: Party<'a>,
    /// Who may hold the customer.
    holds: TokenOf,
    /// Walter's browser, or else it is Sam's telephone that joins.
    walter: Option<(Window, Options)>,
}

impl<'a> Cast<'a> {
    /// With Sam's telephone for whoever joins.
    fn of(stage: &'a Stage, call: Call, customer: Party<'a>, agent: Party<'a>, holds: TokenOf) -> Cast<'a> {
        Cast { stage, call, customer, agent, holds, walter: None }
    }

    /// With Walter's browser.
    fn with(self, window: Window, options: Options) -> Cast<'a> {
        Cast { walter: Some((window, options)), ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Joins {
    First,
    WhileHeld,
}

/// Everything a supervisor can do, with the customer held and taken back in between; only in a barge and after a takeover
/// does the customer hear who it is.
async fn every_role(mut cast: Cast<'_>, joins: Joins) -> Story {
    let stage = cast.stage;
    let (customer, agent) = (&cast.customer, &cast.agent);
    together(&[
        (customer, "the customer", &[agent], &[customer]),
        (agent, "the agent", &[customer], &[agent]),
    ])
    .await?;
    let mark = customer.mark().await?;
    let leg = cast.call.customer().ok_or("no customer")?.id.clone();
    let holder = stage.api_of(cast.holds);

    if joins == Joins::WhileHeld {
        holder.leg(&cast.call.id, &leg, "hold").await?;
    }
    let (api, id, boss) = match &mut cast.walter {
        None => {
            let id = stage.sam_joins(&cast.call, "monitor").await?.id;
            (stage.api.clone(), id, Party::Phone(&stage.sam))
        }
        Some((window, options)) => {
            let api = stage.api_of(TokenOf::Walter);
            let id = api.supervise(&cast.call.id, json!({ "role": "monitor" })).await?.id;
            let leg = window.offered().await?;
            let options = std::mem::replace(options, Options::humming(WALTER));
            let walter = Browser::connect(stage, TokenOf::Walter, ("leg", &leg), options).await?;
            stage.until_supervision(&id, "an active supervision", |seen| seen.state == "active").await?;
            (api, id, Party::Browser(walter, WALTER))
        }
    };
    if joins == Joins::WhileHeld {
        music(customer, &[agent, &boss]).await?;
        holder.leg(&cast.call.id, &leg, "resume").await?;
    }
    together(&[
        (&boss, "a listener", &[customer, agent], &[&boss]),
        (agent, "the agent", &[customer], &[&boss]),
        (customer, "the customer", &[agent], &[&boss]),
    ])
    .await?;

    api.switch(&id, "whisper").await?;
    together(&[
        (agent, "the agent", &[customer, &boss], &[]),
        (customer, "the customer", &[agent], &[&boss]),
    ])
    .await?;
    holder.leg(&cast.call.id, &leg, "hold").await?;
    music(customer, &[agent, &boss]).await?;
    holder.leg(&cast.call.id, &leg, "resume").await?;
    customer.hears("the customer", &[agent], &[&boss]).await?;
    customer.never_heard(mark, &boss).await?;

    api.switch(&id, "barge").await?;
    customer.hears("the customer", &[agent, &boss], &[customer]).await?;
    api.switch(&id, "whisper").await?;
    together(&[
        (customer, "the customer", &[agent], &[&boss]),
        (agent, "the agent", &[customer, &boss], &[]),
    ])
    .await?;

    api.take_over(&id).await?;
    together(&[
        (customer, "the customer", &[&boss], &[agent]),
        (&boss, "the supervisor", &[customer], &[agent]),
    ])
    .await?;
    for party in [customer, agent, &boss] {
        match party {
            Party::Browser(browser, _) => browser.assert_one_line(),
            Party::Phone(person) => person.phone.ear().await?.check_line(mark_of_line(person).await?)?,
            Party::Acs(..) => {}
        }
    }
    Ok(())
}

/// Who hears whom and whom not, measured at all ears at the same time.
async fn together(rows: &[(&Party<'_>, &str, &[&Party<'_>], &[&Party<'_>])]) -> Story {
    let ears = rows.iter().map(|(ear, who, loud, quiet)| ear.hears(who, loud, quiet));
    try_join_all(ears).await.map(drop)
}

/// A telephone's line is judged from where it is in the call: what rang before may have been another's.
async fn mark_of_line(person: &Person) -> Result<usize, Wrong> {
    let packets = person.phone.ear().await?.packets();
    let last = packets.last().map(|heard| heard.packet.ssrc);
    Ok(packets.iter().position(|heard| Some(heard.packet.ssrc) == last).unwrap_or(0))
}

async fn music(customer: &Party<'_>, quiet: &[&Party<'_>]) -> Story {
    let clip = customer.listen().await?;
    let level = clip.level();
    if level < MUSIC_DBFS {
        return Err(format!("the held customer should hear music: {level:.1} dBFS").into());
    }
    for mouth in quiet {
        let level = clip.level_of(mouth.hz());
        if level > UNHEARD_DBFS {
            return Err(format!("the held customer hears {} Hz: {level:.1} dBFS", mouth.hz()).into());
        }
    }
    Ok(())
}

/// What a browser offers, and what the gateway would rather speak.
#[derive(Clone, Copy)]
enum Speaks {
    /// What telephones speak: relayed where nobody listens in.
    Same,
    /// Opus, and the telephones mu-law.
    Opus,
}

impl Speaks {
    fn options(self, hz: f64) -> Options {
        match self {
            Speaks::Same => Options::humming(hz),
            Speaks::Opus => Options { formats: vec![Format::Opus], ..Options::humming(hz) },
        }
    }
}

async fn stage(acs: Option<AcsSim>) -> Result<Stage, Wrong> {
    Ok(Stage::start(Setting { browsers: true, acs, ..Setting::default() }).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_a_supervisor_in_a_browser() -> Story {
    for (speaks, joins) in [(Speaks::Same, Joins::WhileHeld), (Speaks::Opus, Joins::First)] {
        let stage = stage(None).await?;
        let window = Window::opens(&stage, TokenOf::Walter).await?;
        let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
        let cast =
            Cast::of(&stage, call, Party::Phone(&stage.customer), Party::Phone(&stage.alice), TokenOf::Alice);
        every_role(cast.with(window, speaks.options(WALTER)), joins).await?;
        stage.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_an_agent_in_a_browser() -> Story {
    for (speaks, joins) in [(Speaks::Same, Joins::First), (Speaks::Opus, Joins::WhileHeld)] {
        let stage = stage(None).await?;
        let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
        stage.customer_dials(WENDYS_NUMBER).await?;
        let leg = window.offered().await?;
        let wendy = Browser::connect(&stage, TokenOf::Wendy, ("leg", &leg), speaks.options(WENDY)).await?;
        stage.customer.phone.talking().await.map_err(at(&stage.customer))?;
        let call = stage.until_call("a talking call", |call| call.state == "talking").await?;
        let cast = Cast::of(
            &stage,
            call,
            Party::Phone(&stage.customer),
            Party::Browser(wendy, WENDY),
            TokenOf::Wendy,
        );
        every_role(cast, joins).await?;
        stage.stop().await;
    }
    Ok(())
}

/// The agent is rung first and the number dialled leads to a browser: whoever is there is the customer of that call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_a_customer_in_a_browser() -> Story {
    for (speaks, joins) in [(Speaks::Same, Joins::WhileHeld), (Speaks::Opus, Joins::First)] {
        let stage = stage(None).await?;
        let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
        let (call, wendy) = wendy_is_called(&stage, &mut window, speaks).await?;
        let cast =
            Cast::of(&stage, call, Party::Browser(wendy, WENDY), Party::Phone(&stage.alice), TokenOf::Alice);
        every_role(cast, joins).await?;
        stage.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_customer_and_supervisor_in_browsers() -> Story {
    for speaks in [Speaks::Same, Speaks::Opus] {
        let stage = stage(None).await?;
        let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
        let walters = Window::opens(&stage, TokenOf::Walter).await?;
        let (call, wendy) = wendy_is_called(&stage, &mut window, speaks).await?;
        let cast =
            Cast::of(&stage, call, Party::Browser(wendy, WENDY), Party::Phone(&stage.alice), TokenOf::Alice);
        every_role(cast.with(walters, speaks.options(WALTER)), Joins::WhileHeld).await?;
        stage.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_a_customer_at_acs_and_a_supervisor_in_a_browser() -> Story {
    for (speaks, joins) in [(Speaks::Same, Joins::First), (Speaks::Opus, Joins::WhileHeld)] {
        let acs = AcsSim::start().await?;
        let stage = stage(Some(acs.clone())).await?;
        let window = Window::opens(&stage, TokenOf::Walter).await?;
        let (customer, hz, line) = ACS_CUSTOMER;
        acs.call(customer, line, Voice::tone(hz), WEBHOOK, true);
        stage.alice.phone.talking().await.map_err(at(&stage.alice))?;
        let call = stage.until_call("a talking call", |call| call.state == "talking").await?;
        acs.until_figures(customer, "sound to the customer", |figures| figures.frames > 10).await?;
        let talker = acs.talker(customer).ok_or("the customer is gone")?;
        let cast = Cast::of(&stage, call, Party::Acs(talker, hz), Party::Phone(&stage.alice), TokenOf::Alice);
        every_role(cast.with(window, speaks.options(WALTER)), joins).await?;
        stage.stop().await;
    }
    Ok(())
}

async fn wendy_is_called(
    stage: &Stage,
    window: &mut Window,
    speaks: Speaks,
) -> Result<(Call, Browser), Wrong> {
    stage.api_of(TokenOf::Alice).originate("alice", "110").await?;
    stage.alice.phone.talking().await.map_err(at(&stage.alice))?;
    let leg = window.offered().await?;
    let wendy = Browser::connect(stage, TokenOf::Wendy, ("leg", &leg), speaks.options(WENDY)).await?;
    let call = stage.until_call("a talking call", |call| call.state == "talking").await?;
    if call.customer().and_then(|customer| customer.person.as_deref()) != Some("wendy") {
        return Err("Wendy is not the customer".into());
    }
    Ok((call, wendy))
}
