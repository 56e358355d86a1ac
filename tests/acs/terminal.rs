//! The simulated service driven from outside: by its control port, as a person at a terminal does.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sidetone::sim::acs::control;
use sidetone::sim::stage::levels::{HEARD_DBFS, UNHEARD_DBFS};
use sidetone::sim::stage::{WEBHOOK, at};

use crate::Story;
use crate::support::{CUSTOMER, House};

/// A control port, asked over HTTP.
pub(crate) struct Desk(pub(crate) String);

impl Desk {
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<(StatusCode, Value), reqwest::Error> {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.0));
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, answer.json().await.unwrap_or_default()))
    }

    /// Does something that can be done.
    pub(crate) async fn does(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<Value, Box<dyn std::error::Error>> {
        let (status, said) = self.ask(method, path, body).await?;
        if status.is_success() { Ok(said) } else { Err(format!("{path}: {status} {said}").into()) }
    }
}

/// `sidetone sim acs`, running.
pub(crate) struct Terminal {
    child: Child,
    pub(crate) service: String,
    pub(crate) desk: Desk,
    pub(crate) said: String,
}

impl Terminal {
    /// Starts it on free ports, with a gateway that is not there.
    pub(crate) fn open() -> Result<Terminal, Box<dyn std::error::Error>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidetone"));
        command.args(["sim", "acs", "--gateway", "127.0.0.1:9"]);
        command.args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?);
        // The last line names the second secret.
        while !said.contains("> acs-webhook") {
            if lines.read_line(&mut said)? == 0 {
                return Err(format!("it ended: {said}").into());
            }
        }
        let named = |what: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(what));
            line.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default().to_owned()
        };
        let (service, desk) = (named("service "), Desk(named("control ")));
        Ok(Terminal { child, service, desk, said })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The level at which somebody hears a tone, over the last second.
async fn level(desk: &Desk, who: &str, hz: f64) -> Result<f64, Box<dyn std::error::Error>> {
    let heard = desk.does(Method::GET, &format!("/people/{who}/heard"), Value::Null).await?;
    let tones = heard["tones"].as_array().cloned().unwrap_or_default();
    let tone = tones.iter().find(|tone| tone["hz"] == hz);
    Ok(tone.and_then(|tone| tone["dbfs"].as_f64()).unwrap_or(f64::NEG_INFINITY))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_placed_spoken_and_ended_with_nothing_but_http() -> Story {
    let house = House::start("").await?;
    let (acs, alice) = (&house.acs, &house.stage.alice);
    let desk = Desk(format!("http://{}", control::open(acs, "127.0.0.1:0".parse()?, WEBHOOK).await?));
    let manual = reqwest::get(&desk.0).await?.text().await?;
    assert!(manual.contains("/people/") && manual.contains("throttled"));

    // What goes wrong is switched, and seen to go wrong.
    let (status, _) = desk.ask(Method::PUT, "/faults", json!({ "surprise": true })).await?;
    assert!(status.is_client_error(), "{status}");
    desk.does(Method::PUT, "/faults", json!({ "throttled": 1, "duplicates": true, "delay_ms": 20 })).await?;
    let from = desk.does(Method::POST, "/calls", json!({ "from": CUSTOMER, "to": "4:+15550100" })).await?;
    let hz = from["hz"].as_f64().ok_or("no tone")?;
    alice.phone.talking().await.map_err(at(alice))?;
    let journal = desk.does(Method::GET, "/journal", Value::Null).await?;
    let happened = journal["happened"].as_array().ok_or("no journal")?;
    assert!(
        happened.contains(&json!({ "request": ["POST", "/calling/callConnections:answer", 429] })),
        "{journal}"
    );
    assert_eq!(desk.does(Method::GET, "/faults", Value::Null).await?["throttled"], 0);
    desk.does(Method::PUT, "/faults", json!({})).await?;

    // Everybody hums their own tone, and who hears whom can be read.
    acs.until_figures(CUSTOMER, "sound", |figures| figures.frames > 10).await?;
    house.hears(alice, &[hz], &[]).await?;
    let mate = desk.does(Method::POST, "/people/8:acs:r_mate/join", json!({ "of": CUSTOMER })).await?;
    let mate_hz = mate["hz"].as_f64().ok_or("no tone")?;
    assert_ne!(hz, mate_hz);
    acs.talker(CUSTOMER).ok_or("the customer is gone")?.listen(120).await?;
    assert!(level(&desk, CUSTOMER, mate_hz).await? > HEARD_DBFS);
    assert!(level(&desk, CUSTOMER, hz).await? < UNHEARD_DBFS, "nobody hears themselves");
    house.hears(alice, &[hz, mate_hz], &[]).await?;
    let wav = reqwest::get(format!("{}/people/{CUSTOMER}/heard.wav", desk.0)).await?.bytes().await?;
    assert!(wav.starts_with(b"RIFF") && wav.len() > 100_000, "{}", wav.len());

    // Keys, a lost stream, and the end.
    let ear = alice.phone.ear().await?;
    desk.does(Method::POST, &format!("/people/{CUSTOMER}/keys"), json!({ "digits": "42#" })).await?;
    while ear.digits().len() < 3 {
        ear.listen(10).await?;
    }
    assert_eq!(ear.digits(), "42#");
    let (status, _) =
        desk.ask(Method::POST, &format!("/people/{CUSTOMER}/keys"), json!({ "digits": "4x" })).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    desk.does(Method::POST, &format!("/people/{CUSTOMER}/drop-stream"), json!({ "ms": 20 })).await?;
    acs.until_figures(CUSTOMER, "another dialling", |figures| figures.dialled == 2).await?;
    desk.does(Method::POST, &format!("/people/{CUSTOMER}/hang-up"), Value::Null).await?;
    house.stage.until_no_call().await?;
    let (status, said) = desk.ask(Method::POST, &format!("/people/{CUSTOMER}/hang-up"), Value::Null).await?;
    assert_eq!(
        (status, said["error"].as_str().is_some_and(|e| e.contains(CUSTOMER))),
        (StatusCode::NOT_FOUND, true)
    );
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_where_it_is_and_how_a_gateway_uses_it() -> Story {
    let terminal = Terminal::open()?;
    for part in ["[acs_listener]", "[[acs]]", "listen = \"127.0.0.1:9\"", "> acs-key"] {
        assert!(terminal.said.contains(part), "{part} is not in {}", terminal.said);
    }
    assert!(terminal.said.contains(&format!("endpoint = \"{}\"", terminal.service)));
    let desk = &terminal.desk;
    desk.does(Method::PUT, "/people/8:acs:r_agent", json!({ "does": "fails", "code": 486 })).await?;
    let (status, _) = desk.ask(Method::PUT, "/people/8:acs:r_agent", json!({ "does": "fails" })).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    desk.does(Method::POST, "/calls", json!({ "from": CUSTOMER, "to": "4:+15550100" })).await?;
    let state = desk.does(Method::GET, "/state", Value::Null).await?;
    assert_eq!(state["calls"][0]["from"], CUSTOMER, "{state}");
    let keys: Value = reqwest::get(format!("{}/keys", terminal.service)).await?.json().await?;
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    Ok(())
}
