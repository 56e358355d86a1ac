//! `sidetone sign-in`: a link for somebody, made by a running gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use sidetone::client;

#[derive(Debug, Args)]
pub(super) struct SignIn {
    /// The agent or supervisor; the bearer of the token when nobody is named.
    person: Option<String>,
    /// The configuration file of the running gateway: where its API listens.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// The address that people reach the gateway by, when a proxy with a certificate is in front.
    #[arg(long, value_name = "URL")]
    at: Option<String>,
    /// A token of the tenant's admin or software, or one's own.
    #[arg(long, env = "SIDETONE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: String,
}

pub(super) fn run(asked: &SignIn) -> ExitCode {
    let Ok(config) = super::check::usable(&asked.config) else { return ExitCode::from(2) };
    let gateway = format!("http://{}", reachable(config.api.listen));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(ask(&gateway, asked)),
        Err(error) => {
            super::complain(&error);
            return ExitCode::from(2);
        }
    };
    match answer {
        Ok(answer) => match answer["link"].as_str() {
            Some(link) => super::show(&format!(
                "{}{link}\n",
                asked.at.as_deref().unwrap_or(&gateway).trim_end_matches('/')
            )),
            None => {
                eprintln!("sidetone: {}", answer["detail"].as_str().unwrap_or("the gateway gave no link"));
                ExitCode::from(1)
            }
        },
        Err(source) => {
            super::complain(&NotAsked { gateway, source });
            ExitCode::from(2)
        }
    }
}

/// Whoever listens at every address is reached at the machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let own: IpAddr = if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    if listen.ip().is_unspecified() { SocketAddr::new(own, listen.port()) } else { listen }
}

/// Nobody answered who speaks as a gateway does.
#[derive(Debug, thiserror::Error)]
#[error("no gateway answers at {gateway}; is it running, and with this configuration (api.listen)?")]
struct NotAsked {
    gateway: String,
    source: reqwest::Error,
}

async fn ask(gateway: &str, asked: &SignIn) -> Result<Value, reqwest::Error> {
    // The proxies of the environment are for the way out; this goes to the gateway beside us.
    let http = client::http().no_proxy().build()?;
    let body = asked.person.as_ref().map_or_else(|| json!({}), |person| json!({ "person": person }));
    let request = http.post(format!("{gateway}/v1/sign-ins")).bearer_auth(&asked.token).json(&body);
    request.send().await?.json().await
}
