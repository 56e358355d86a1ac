//! A browser under WebDriver (W3C), over plain HTTP: Chromium's own driver, in a process of its own.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest a page may take to become as it should: it says "never", not "late".
const NEVER: Duration = Duration::from_secs(60);
/// How often the page looks at itself while it waits.
const LOOK_MS: u32 = 40;
/// How an element is called on the wire (WebDriver section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys by their names on the wire (WebDriver section 17.4.2).
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const SPACE: &str = " ";

/// A browser with one window. Gone when dropped.
pub struct Browser {
    http: Client,
    session: String,
    driver: Child,
    _profile: TempDir,
}

/// What kind of browser.
#[derive(Default)]
pub struct Kind {
    /// Whether its user likes it dark.
    pub dark: bool,
    /// What its microphone hears: a WAV file; a beep otherwise.
    pub microphone: Option<PathBuf>,
    /// Whether its sound may not go by UDP, as where a firewall lets none out.
    pub no_udp: bool,
}

/// The programs; none, said on standard error, if they are not here.
///
/// # Panics
/// When they are not here and `CI` is set.
pub fn chromium() -> Option<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let missing = [("chromium", "chromium"), ("chromedriver", "chromium-driver")]
        .into_iter()
        .find(|(program, _)| !there(program));
    let Some((program, package)) = missing else { return Some(()) };
    assert!(std::env::var_os("CI").is_none(), "{program} is not installed: apt-get install {package}");
    let story = std::thread::current().name().unwrap_or("a story").to_owned();
    // Past the capturing of test output: a skipped story is to be seen.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {story}: {program} is not installed (apt-get install {package})"
    );
    None
}

/// Ports that are tried for a driver.
const DRIVERS_MAX: usize = 5;

impl Browser {
    pub async fn open(kind: Kind) -> Result<Browser, Box<dyn Error>> {
        let profile = tempfile::tempdir()?;
        let (driver, port) = driver()?;
        let http = Client::builder().no_proxy().timeout(2 * NEVER).build()?;
        let base = format!("http://127.0.0.1:{port}/session");
        let mut browser = Browser { http, session: base, driver, _profile: profile };
        let mut args: Vec<String> = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            "--autoplay-policy=no-user-gesture-required",
            // Host candidates by address and not by a name that needs mDNS.
            "--disable-features=WebRtcHideLocalIpsWithMdns",
            "--window-size=1360,940",
        ]
        .map(str::to_owned)
        .to_vec();
        args.push(format!("--user-data-dir={}", browser._profile.path().display()));
        if kind.dark {
            args.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        if kind.no_udp {
            args.push("--webrtc-ip-handling-policy=disable_non_proxied_udp".to_owned());
        }
        if let Some(file) = &kind.microphone {
            args.push(format!("--use-file-for-fake-audio-capture={}", file.display()));
        }
        let wanted = json!({
            "browserName": "chrome",
            "timeouts": { "script": NEVER.as_millis() as u64 },
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let opened =
            browser.ask(Method::POST, "", json!({ "capabilities": { "alwaysMatch": wanted } })).await?;
        let id = opened["sessionId"].as_str().ok_or("a session without an id")?;
        browser.session = format!("{}/{id}", browser.session);
        Ok(browser)
    }

    /// Runs a script in every page from now on, before anything of the page.
    pub async fn prepare(&self, script: &str) -> Result<(), Box<dyn Error>> {
        self.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await
    }

    /// Lets pages read what was copied, as its user would be asked to.
    pub async fn allow_pasting(&self) -> Result<(), Box<dyn Error>> {
        let permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"];
        self.command("Browser.grantPermissions", json!({ "permissions": permissions })).await
    }

    /// A command of Chromium's own.
    async fn command(&self, name: &str, parameters: Value) -> Result<(), Box<dyn Error>> {
        let command = json!({ "cmd": name, "params": parameters });
        self.ask(Method::POST, "/goog/cdp/execute", command).await.map(drop)
    }

    /// Follows a link.
    pub async fn visit(&self, url: &str) -> Result<(), Box<dyn Error>> {
        self.ask(Method::POST, "/url", json!({ "url": url })).await.map(drop)
    }

    /// What a script returns. It runs as if it were the page's.
    pub async fn run(&self, script: &str) -> Result<Value, Box<dyn Error>> {
        self.ask(Method::POST, "/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// What a script gives to the function that is its last argument, whenever it does.
    pub async fn run_async(&self, script: &str) -> Result<Value, Box<dyn Error>> {
        self.ask(Method::POST, "/execute/async", json!({ "script": script, "args": [] })).await
    }

    /// Waits until an expression of the page is true, and gives it.
    pub async fn until(&self, what: &str, expression: &str) -> Result<Value, Box<dyn Error>> {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             const look = () => {{
               let found; try {{ found = {expression}; }} catch {{ found = null; }}
               if (found) done(found); else setTimeout(look, {LOOK_MS});
             }};
             look();"
        );
        match self.run_async(&script).await {
            Ok(found) => Ok(found),
            Err(error) => {
                let page = self.run("return document.body.innerText").await.unwrap_or_default();
                let said = self.log().await.unwrap_or_default();
                let page = page.as_str().unwrap_or_default().to_owned();
                Err(format!("waited in vain for {what}: {error}\n{page}\n{said:?}").into())
            }
        }
    }

    /// Waits until the page says this somewhere.
    pub async fn until_says(&self, text: &str) -> Result<(), Box<dyn Error>> {
        let text_ = json!(text);
        self.until(text, &format!("document.body.innerText.includes({text_})")).await.map(drop)
    }

    /// Waits until the banner about who hears this person says so.
    pub async fn until_air(&self, text: &str) -> Result<(), Box<dyn Error>> {
        let text_ = json!(text);
        let expression = format!("document.querySelector('.air')?.innerText.includes({text_})");
        self.until(&format!("the banner \"{text}\""), &expression).await.map(drop)
    }

    /// Clicks the first element of this CSS selector, once it is there and can be clicked, with the mouse.
    pub async fn click(&self, selector: &str) -> Result<(), Box<dyn Error>> {
        let quoted = json!(selector);
        let there =
            format!("(() => {{ const e = document.querySelector({quoted}); return e && !e.disabled; }})()");
        self.until(selector, &there).await?;
        let element = self.element(selector).await?;
        self.ask(Method::POST, &format!("/element/{element}/click"), json!({})).await.map(drop)
    }

    /// Types into the first element of this CSS selector.
    pub async fn type_into(&self, selector: &str, text: &str) -> Result<(), Box<dyn Error>> {
        let element = self.element(selector).await?;
        self.ask(Method::POST, &format!("/element/{element}/value"), json!({ "text": text })).await.map(drop)
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub async fn press(&self, keys: &[&str]) -> Result<(), Box<dyn Error>> {
        let strokes = keys.iter().flat_map(|key| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        });
        let strokes: Vec<_> = strokes.collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.ask(Method::POST, "/actions", actions).await.map(drop)
    }

    /// A picture of the window, as PNG.
    pub async fn picture(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let picture = self.ask(Method::GET, "/screenshot", Value::Null).await?;
        Ok(STANDARD.decode(picture.as_str().unwrap_or_default())?)
    }

    /// What the browser complained about: errors of the page, and what its policy kept it from.
    pub async fn log(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let said = self.ask(Method::POST, "/se/log", json!({ "type": "browser" })).await?;
        let lines = said.as_array().into_iter().flatten();
        // A call that is over while the page asks about it is no fault of the page's.
        let said =
            lines.filter_map(|line| line["message"].as_str()).filter(|line| !line.contains("status of 404"));
        Ok(said.map(str::to_owned).collect())
    }

    async fn element(&self, selector: &str) -> Result<String, Box<dyn Error>> {
        let found = self.ask(Method::POST, "/element", json!({ "using": "css selector", "value": selector }));
        let found = found.await?;
        Ok(found[ELEMENT].as_str().ok_or("an element without a name")?.to_owned())
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Box<dyn Error>> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if !body.is_null() {
            request = request.json(&body);
        }
        let mut answer: Value = request.send().await?.json().await?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) if value["message"].is_string() => {
                let message = value["message"].as_str().unwrap_or_default();
                Err(format!("{error}: {}", message.lines().next().unwrap_or_default()).into())
            }
            _ => Ok(value),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver and the browser it started are one group.
        let group = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}

/// A driver, and the port it listens at. It takes a free port of IPv4 and then the same of IPv6, which somebody else may
/// have, and ends: then the next one takes another.
fn driver() -> Result<(Child, u16), Box<dyn Error>> {
    let mut said = Vec::new();
    for _ in 0..DRIVERS_MAX {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env_remove("http_proxy")
            .env_remove("https_proxy")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        for line in BufReader::new(driver.stdout.take().ok_or("the driver says nothing")?).lines() {
            let line = line?;
            if let Some((_, port)) = line.split_once("successfully on port ") {
                return Ok((driver, port.trim_end_matches('.').parse()?));
            }
            said.push(line);
        }
        driver.wait()?;
    }
    Err(format!("no driver started; they said: {}", said.join(" / ")).into())
}
