//! Browsers as telephones: an agent in one, her supervisor in another, a customer on a SIP telephone outside. Levels are
//! measured at the customer's ear and, by WebAudio, in the browsers; on the audio's own clock, not on this machine's.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::json;
use sidetone::sim::acs::AcsSim;
use sidetone::sim::ear::Clip;
use sidetone::sim::stage::levels::{HEARD_DBFS, MUSIC_DBFS, UNHEARD_DBFS};
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf, WEBHOOK, WENDYS_NUMBER};
use sidetone::sim::voice::Voice;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Outcome;
use crate::browser::{Browser, Kind, chromium};

/// What the two hum; away from the customer's 738 Hz and from each other's harmonics.
const WENDY_HZ: f64 = 1033.0;
const WALTER_HZ: f64 = 871.0;
/// A customer at ACS, what they hum, and the number they call.
const ACS_CUSTOMER: (&str, f64, &str) = ("4:+15550001", 1_402.0, "4:+15550100");
/// Packets listened to at the customer's ear.
const PACKETS: usize = 60;
/// So many times that: half a minute of sound in which a voice must have come.
const PIECES_MAX: usize = 25;
/// A piece of an ear in which one leaked packet would show.
const PIECE: usize = 6400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_and_her_supervisor_have_nothing_but_browsers() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    // The customer's telephone has mu-law, and hers then too: one relays to the other. He speaks Opus.
    let codecs = Some(r#""opus", "PCMU""#.to_owned());
    let stage = Stage::start(Setting { browsers: true, codecs, ..Setting::default() }).await?;
    let folder = tempfile::tempdir()?;
    let customer = &stage.customer;
    let wendy = with_voice(&stage, "wendy", WENDY_HZ, folder.path()).await?;
    let walter = with_voice(&stage, "walter", WALTER_HZ, folder.path()).await?;

    // She takes calls, one rings, she answers.
    wendy.click("section.phone button.primary").await?;
    wendy.until_says("Calls ring in this browser").await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    wendy.until_says("Call from customer").await?;
    wendy.click("section.phone [role=alert] button.primary").await?;
    customer.phone.talking().await?;
    wendy.until_air("The customer hears you").await?;
    wendy
        .until("a connection", "document.querySelector('section.phone').innerText.includes('In a call')")
        .await?;
    until_heard(&stage, WENDY_HZ).await?;
    in_browser(&wendy, "Wendy's", &[(customer.hz, true), (WALTER_HZ, false)]).await?;

    // One click: the microphone is opened, the leg rings and is answered, and nobody hears him.
    walter.click("td.acts button").await?;
    walter.until_air("Nobody hears you").await?;
    in_browser(&walter, "Walter's", &[(customer.hz, true), (WENDY_HZ, true)]).await?;
    in_browser(&wendy, "Wendy's", &[(customer.hz, true), (WALTER_HZ, false)]).await?;

    walter.click("button.whisper").await?;
    walter.until_air("Wendy hears you, the customer does not").await?;
    in_browser(&wendy, "Wendy's", &[(customer.hz, true), (WALTER_HZ, true)]).await?;
    in_browser(&walter, "Walter's", &[(customer.hz, true), (WENDY_HZ, true)]).await?;
    at_the_customers(&stage).await?;
    // From the first packet of the call to here, nothing of him, not even for one packet.
    let all = customer.phone.ear().await?.since(0);
    judge("the customer's, ever", all.loudest_of(WALTER_HZ, PIECE), false);

    walter.click("button.barge").await?;
    walter.until_air("hear you").await?;
    walter.until("the pressed button", "document.querySelector('button.barge[aria-pressed=true]')").await?;
    let heard = until_heard(&stage, WALTER_HZ).await?;
    judge("after the barge the customer's", heard.level_of(WENDY_HZ), true);

    // Hers is over, his goes on.
    walter.click("button.takeover").await?;
    wendy.until("no call", "!document.querySelector('.air')").await?;
    walter.until_air("The customer hears you").await?;
    until_heard(&stage, WALTER_HZ).await?;
    let heard = at_the_customers(&stage).await?;
    judge("after the takeover the customer's", heard.level_of(WENDY_HZ), false);

    walter.click("section.phone button.danger").await?;
    customer.phone.over().await?;
    stage.until_no_call().await?;
    for browser in [&wendy, &walter] {
        browser.until("no call", "!document.querySelector('.air')").await?;
        assert_eq!(browser.log().await?, Vec::<String>::new());
    }
    stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_and_mute_are_a_click_each_and_heard_as_such() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting { browsers: true, ..Setting::default() }).await?;
    let folder = tempfile::tempdir()?;
    let customer = &stage.customer;
    let wendy = with_voice(&stage, "wendy", WENDY_HZ, folder.path()).await?;
    wendy.click("section.phone button.primary").await?;
    wendy.until_says("Calls ring in this browser").await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    wendy.click("section.phone [role=alert] button.primary").await?;
    customer.phone.talking().await?;
    until_heard(&stage, WENDY_HZ).await?;
    wendy.click("nav a:nth-child(2)").await?;
    let button = |n: u8| format!("section[aria-labelledby=controls-title] .buttons button:nth-child({n})");

    wendy.click(&button(1)).await?;
    wendy.until_says("Resume the customer").await?;
    wendy.until_air("Nobody hears you").await?;
    let heard = settled(&stage).await?;
    judge("the held customer's", heard.level_of(WENDY_HZ), false);
    assert!(heard.level() >= MUSIC_DBFS, "music: {:.1} dBFS", heard.level());
    in_browser(&wendy, "Wendy's", &[(customer.hz, false)]).await?;
    wendy.click(&button(1)).await?;
    wendy.until_air("The customer hears you").await?;
    until_heard(&stage, WENDY_HZ).await?;

    wendy.click(&button(2)).await?;
    wendy.until_says("Unmute yourself").await?;
    let heard = settled(&stage).await?;
    judge("with her muted the customer's", heard.level_of(WENDY_HZ), false);
    in_browser(&wendy, "Wendy's", &[(customer.hz, true)]).await?;
    wendy.click(&button(2)).await?;
    wendy.until_says("Mute yourself").await?;
    until_heard(&stage, WENDY_HZ).await?;
    assert_eq!(wendy.log().await?, Vec::<String>::new());
    stage.stop().await;
    Ok(())
}

/// The customer is at ACS, the agent at a telephone, and he has nothing but a browser.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_clicks_through_the_roles_of_a_call_over_acs() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let acs = AcsSim::start().await?;
    let stage =
        Stage::start(Setting { browsers: true, acs: Some(acs.clone()), ..Setting::default() }).await?;
    let folder = tempfile::tempdir()?;
    let (alice, (id, hz, line)) = (&stage.alice, ACS_CUSTOMER);
    let walter = with_voice(&stage, "walter", WALTER_HZ, folder.path()).await?;
    acs.call(id, line, Voice::tone(hz), WEBHOOK, true);
    alice.phone.talking().await?;
    acs.until_figures(id, "sound to the customer", |figures| figures.frames > 10).await?;
    let customer = acs.talker(id).ok_or("the customer is gone")?;

    walter.click("td.acts button").await?;
    walter.until_air("Nobody hears you").await?;
    in_browser(&walter, "Walter's", &[(hz, true), (alice.hz, true)]).await?;
    walter.click("button.whisper").await?;
    walter.until_air("Alice hears you, the customer does not").await?;
    let ear = alice.phone.ear().await?;
    until_loud(WALTER_HZ, async || Ok(ear.listen(PACKETS).await?)).await?;
    in_browser(&walter, "Walter's", &[(hz, true), (alice.hz, true)]).await?;
    let all = customer.since(0);
    judge("the customer's, ever,", all.loudest_of(WALTER_HZ, all.rate as usize * 8 / 10), false);
    judge("the customer's", customer.listen(PACKETS).await?.level_of(alice.hz), true);

    walter.click("button.barge").await?;
    walter.until("the pressed button", "document.querySelector('button.barge[aria-pressed=true]')").await?;
    until_loud(WALTER_HZ, async || Ok(customer.listen(PACKETS).await?)).await?;
    walter.click("button.takeover").await?;
    walter.until_air("The customer hears you").await?;
    alice.phone.over().await?;
    until_loud(WALTER_HZ, async || Ok(customer.listen(PACKETS).await?)).await?;
    judge("after the takeover the customer's", customer.listen(PACKETS).await?.level_of(alice.hz), false);
    in_browser(&walter, "Walter's", &[(hz, true), (alice.hz, false)]).await?;
    walter.click("section.phone button.danger").await?;
    stage.until_no_call().await?;
    assert_eq!(walter.log().await?, Vec::<String>::new());
    stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_calls_out_and_declines() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting { browsers: true, ..Setting::default() }).await?;
    let folder = tempfile::tempdir()?;
    let wendy = with_voice(&stage, "wendy", WENDY_HZ, folder.path()).await?;
    wendy.click("section.phone button.primary").await?;
    wendy.until_says("Calls ring in this browser").await?;

    // A call she does not want goes on to Bob.
    stage.customer_dials(WENDYS_NUMBER).await?;
    wendy.click("section.phone [role=alert] button.danger").await?;
    stage.bob.phone.talking().await?;
    stage.customer.phone.hang_up().await?;
    stage.until_no_call().await?;

    let before = stage.bob.phone.status().talks;
    wendy.type_into("#to", "101").await?;
    wendy.click("form.row button.primary").await?;
    stage.bob.phone.until("another call answered", |status| status.talks > before).await?;
    wendy
        .until("a connection", "document.querySelector('section.phone').innerText.includes('In a call')")
        .await?;
    let ear = stage.bob.phone.ear().await?;
    judge("Bob's", ear.listen(PACKETS).await?.level_of(WENDY_HZ), true);
    in_browser(&wendy, "Wendy's", &[(stage.bob.hz, true)]).await?;

    // Her network changes: new credentials on both sides, and the call goes on.
    let phone = "const done = arguments[0];
        import(document.querySelector('script[type=module]').src.replace('main.js', 'phone.js'))
          .then(({ phone }) => { window.phone = phone; done(true); });";
    wendy.run_async(phone).await?;
    let theirs = "phone.line.peer.remoteDescription.sdp.match(/ice-ufrag:(\\S+)/)[1]";
    let before =
        wendy.run(&format!("const now = {theirs}; dispatchEvent(new Event('online')); return now")).await?;
    wendy
        .until(
            "new credentials",
            &format!("{theirs} !== {before} && phone.line.peer.iceConnectionState !== 'failed'"),
        )
        .await?;
    let ear = stage.bob.phone.ear().await?;
    judge("Bob's", ear.listen(PACKETS).await?.level_of(WENDY_HZ), true);
    in_browser(&wendy, "Wendy's", &[(stage.bob.hz, true)]).await?;
    assert_eq!(wendy.run("return document.querySelectorAll('.note.bad').length").await?, 0);
    wendy.click("section.phone button.danger").await?;
    stage.bob.phone.over().await?;
    stage.until_no_call().await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expert_sees_what_it_is_about_before_she_answers_and_text_stays_text() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    // A section of its own after what is left of [supervision].
    let card = "[[card]]\ntenant = \"demo\"\nlink = \"https://crm.example.net/cases/{record}\"\n\
                fields = [{ name = \"customer\", label = \"Customer\", kind = \"text\" }]\n";
    let setting = Setting { browsers: true, supervision: card.to_owned(), ..Setting::default() };
    let stage = Stage::start(setting).await?;
    let folder = tempfile::tempdir()?;
    let wendy = with_voice(&stage, "wendy", WENDY_HZ, folder.path()).await?;
    wendy.click("section.phone button.primary").await?;
    wendy.until_says("Calls ring in this browser").await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    let name = "<img src=x onerror=owned=1> & Sons";
    let matter = json!({ "record": "CAS-4711", "fields": { "customer": name } });
    let asked = json!({ "target": "wendy", "card": matter });
    stage.api_of(TokenOf::Crm).consult(&call.id, asked).await?;

    wendy.until_says("Asked to help with a call").await?;
    wendy.until_says(name).await?;
    let seen = wendy.run("return [document.images.length, document.querySelector('.matter a').href]").await?;
    assert_eq!(seen, json!([0, "https://crm.example.net/cases/CAS-4711"]));
    wendy.click("section.phone [role=alert] button.primary").await?;
    wendy.until_air("Alice hears you").await?;
    wendy.click("nav a:nth-child(2)").await?;
    wendy.until_says("What it is about").await?;
    in_browser(&wendy, "Wendy's", &[(stage.alice.hz, true), (stage.customer.hz, false)]).await?;
    stage.stop().await;
    Ok(())
}

/// A firewall lets no UDP out: the browser connects, as the answer says that it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_udp_talks_over_tcp() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let setting = Setting { browsers: true, browsers_over_tcp: true, ..Setting::default() };
    let stage = Stage::start(setting).await?;
    let folder = tempfile::tempdir()?;
    for (no_udp, protocol) in [(true, "tcp"), (false, "udp")] {
        let kind = Kind { no_udp, ..Kind::default() };
        let wendy = with(kind, &stage, "wendy", WENDY_HZ, folder.path()).await?;
        wendy.click("section.phone button.primary").await?;
        wendy.until_says("Calls ring in this browser").await?;
        stage.customer_dials(WENDYS_NUMBER).await?;
        wendy.click("section.phone [role=alert] button.primary").await?;
        stage.customer.phone.talking().await?;
        until_heard(&stage, WENDY_HZ).await?;
        in_browser(&wendy, "Wendy's", &[(stage.customer.hz, true), (WENDY_HZ, false)]).await?;
        assert_eq!(path_of(&wendy).await?, format!("{protocol} {protocol}"), "with both to choose, UDP");
        wendy.click("section.phone button.danger").await?;
        stage.customer.phone.over().await?;
        stage.until_no_call().await?;
        assert_eq!(wendy.log().await?, Vec::<String>::new());
    }
    stage.stop().await;
    Ok(())
}

/// A box on the way forgets the connection: the browser opens another, and the call is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_forgotten_on_the_way_is_opened_again() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let setting = Setting { browsers: true, browsers_over_tcp: true, ..Setting::default() };
    let stage = Stage::start(setting).await?;
    let folder = tempfile::tempdir()?;
    let kind = Kind { no_udp: true, ..Kind::default() };
    let wendy = with(kind, &stage, "wendy", WENDY_HZ, folder.path()).await?;
    let mut middlebox = Middlebox::start().await?;
    let detour = format!(
        "const real = RTCPeerConnection.prototype.setRemoteDescription;
         RTCPeerConnection.prototype.setRemoteDescription = function ({{ type, sdp }}) {{
           const led = sdp.replace(/( 1 tcp \\d+ \\S+) (\\d+)/, (all, before, port) => {{
             window.port = Number(port);
             return `${{before}} {}`;
           }});
           return real.call(this, {{ type, sdp: led }});
         }};",
        middlebox.at.port()
    );
    wendy.run(&detour).await?;
    wendy.click("section.phone button.primary").await?;
    wendy.until_says("Calls ring in this browser").await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    wendy.click("section.phone [role=alert] button.primary").await?;
    let port = wendy.until("the gateway's port", "window.port").await?.as_u64().ok_or("no port")?;
    middlebox.leads.send(u16::try_from(port)?)?;
    stage.customer.phone.talking().await?;
    for times in 1..=3 {
        middlebox.opened.wait_for(|opened| *opened >= times).await?;
        until_heard(&stage, WENDY_HZ).await?;
        in_browser(&wendy, "Wendy's", &[(stage.customer.hz, true), (WENDY_HZ, false)]).await?;
        middlebox.forgets.send_modify(|count| *count += 1);
    }
    stage.stop().await;
    Ok(())
}

/// Stands between a browser and a port of the gateway's, and can forget its connections.
struct Middlebox {
    at: SocketAddr,
    /// The port that it leads to, once that is known.
    leads: watch::Sender<u16>,
    forgets: watch::Sender<usize>,
    /// Connections so far.
    opened: watch::Receiver<usize>,
}

impl Middlebox {
    async fn start() -> Result<Middlebox, Box<dyn std::error::Error>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = listener.local_addr()?;
        let ((leads, port), (forgets, forgotten)) = (watch::channel(0), watch::channel(0));
        let (opens, opened) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut browser, _)) = listener.accept().await {
                opens.send_modify(|count| *count += 1);
                let (mut port, mut forgotten) = (port.clone(), forgotten.clone());
                forgotten.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(port) = port.wait_for(|port| *port > 0).await.map(|port| *port) else { return };
                    let Ok(mut gateway) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
                        return;
                    };
                    tokio::select! {
                        _over = tokio::io::copy_bidirectional(&mut browser, &mut gateway) => {}
                        _end = forgotten.changed() => {}
                    }
                });
            }
        });
        Ok(Middlebox { at, leads, forgets, opened })
    }
}

/// The protocols of the two candidates that the browser's sound goes between.
async fn path_of(browser: &Browser) -> Result<String, Box<dyn std::error::Error>> {
    let script = "const done = arguments[arguments.length - 1];
         (async () => {
           const main = document.querySelector('script[type=module]').src;
           const { phone } = await import(main.replace('main.js', 'phone.js'));
           const stats = await phone.line.peer.getStats();
           const transport = [...stats.values()].find((one) => one.type === 'transport');
           const pair = stats.get(transport.selectedCandidatePairId);
           done(`${stats.get(pair.localCandidateId).protocol} ${stats.get(pair.remoteCandidateId).protocol}`);
         })().catch((error) => done(String(error)));";
    Ok(browser.run_async(script).await?.as_str().ok_or("no path")?.to_owned())
}

async fn with_voice(
    stage: &Stage,
    person: &str,
    hz: f64,
    folder: &Path,
) -> Result<Browser, Box<dyn std::error::Error>> {
    with(Kind::default(), stage, person, hz, folder).await
}

/// Somebody's console, with a microphone that hums. The browser leaves the hum as it is: its helpers for speech take a
/// tone for noise.
async fn with(
    kind: Kind,
    stage: &Stage,
    person: &str,
    hz: f64,
    folder: &Path,
) -> Result<Browser, Box<dyn std::error::Error>> {
    let kind = Kind { microphone: Some(hum(folder, hz)?), ..kind };
    let browser = Browser::open(kind).await?;
    browser
        .prepare(
            "const devices = navigator.mediaDevices; const real = devices.getUserMedia.bind(devices);
             const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
             devices.getUserMedia = () => real({ audio: raw });",
        )
        .await?;
    browser.visit(&stage.sign_in_link(TokenOf::Crm, Some(person)).await?).await?;
    browser
        .until("the wallboard", "document.querySelector('.tiles') && document.querySelector('.line.live')")
        .await?;
    Ok(browser)
}

async fn at_the_customers(stage: &Stage) -> Result<Clip, Box<dyn std::error::Error>> {
    Ok(stage.customer.phone.ear().await?.listen(PACKETS).await?)
}

/// The same, once what was said before a click is gone.
async fn settled(stage: &Stage) -> Result<Clip, Box<dyn std::error::Error>> {
    at_the_customers(stage).await?;
    at_the_customers(stage).await
}

/// A voice may need a moment to come: a microphone opens, a path is found. What the customer hears then.
async fn until_heard(stage: &Stage, hz: f64) -> Result<Clip, Box<dyn std::error::Error>> {
    until_loud(hz, async || at_the_customers(stage).await).await
}

/// Listens again and again until this tone is heard.
async fn until_loud(
    hz: f64,
    listen: impl AsyncFn() -> Result<Clip, Box<dyn std::error::Error>>,
) -> Result<Clip, Box<dyn std::error::Error>> {
    for _ in 0..PIECES_MAX {
        let heard = listen().await?;
        if heard.level_of(hz) >= HEARD_DBFS {
            return Ok(heard);
        }
    }
    Err(format!("nothing at {hz} Hz in {PIECES_MAX} pieces").into())
}

fn judge(whose: &str, level: f64, heard: bool) {
    if heard {
        assert!(level >= HEARD_DBFS, "{whose} ear: {level:.1} dBFS, at least {HEARD_DBFS} expected");
    } else {
        assert!(level <= UNHEARD_DBFS, "{whose} ear: {level:.1} dBFS, at most {UNHEARD_DBFS} expected");
    }
}

/// Searches what the page plays for tones. It looks at samples that came after it was asked, by the audio's clock.
async fn in_browser(browser: &Browser, whose: &str, tones: &[(f64, bool)]) -> Outcome {
    let hz: Vec<f64> = tones.iter().map(|(hz, _)| *hz).collect();
    let script = format!(
        "const done = arguments[arguments.length - 1];
         (async () => {{
           const main = document.querySelector('script[type=module]').src;
           const {{ phone }} = await import(main.replace('main.js', 'phone.js'));
           const {{ analyser }} = phone.line.ear;
           const context = analyser.context;
           const wide = new AnalyserNode(context, {{ fftSize: 32768 }});
           analyser.connect(wide);
           const from = context.currentTime;
           const enough = 2 * 32768 / context.sampleRate;
           while (context.currentTime < from + enough) await new Promise((look) => setTimeout(look, 20));
           const samples = new Float32Array(32768);
           wide.getFloatTimeDomainData(samples);
           analyser.disconnect(wide);
           const level = (hz) => {{
             let re = 0, im = 0, sum = 0;
             samples.forEach((sample, n) => {{
               const window = 0.5 - 0.5 * Math.cos(2 * Math.PI * n / samples.length);
               const turn = 2 * Math.PI * hz * n / context.sampleRate;
               re += window * sample * Math.cos(turn); im -= window * sample * Math.sin(turn); sum += window;
             }});
             return 10 * Math.log10(2 * (re * re + im * im) / (sum * sum) + 1e-12);
           }};
           done({hz}.map(level));
         }})().catch((error) => done(String(error)));",
        hz = json!(hz)
    );
    let levels = browser.run_async(&script).await?;
    let levels = levels.as_array().ok_or_else(|| format!("{whose} browser: {levels}"))?;
    for ((hz, heard), level) in tones.iter().zip(levels) {
        judge(&format!("{whose} browser at {hz} Hz,"), level.as_f64().unwrap_or(f64::NEG_INFINITY), *heard);
    }
    Ok(())
}

/// A recording of a tone for a microphone, at the usual level; 48 kHz, as browsers want it.
fn hum(folder: &Path, hz: f64) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let path = folder.join(format!("{hz}.wav"));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(&path, spec)?;
    // Ten seconds, then again from the start: a whole number of turns, so that it goes on without a click.
    let turns = (hz * 10.0).round();
    let voice = Voice::tone(turns / 10.0);
    for at in 0..480_000 {
        file.write_sample(voice.sample(at, 48_000))?;
    }
    file.finalize()?;
    Ok(path)
}
