//! `sidetone sim acs`: the simulated Azure Communication Services at a terminal.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use sidetone::observe::LogFormat;
use sidetone::sim::acs::{ACCESS_KEY, AcsSim, control};

/// The services that can be stood in for.
#[derive(Debug, Subcommand)]
pub(super) enum Sim {
    /// Stand in for Azure Communication Services: REST, events, media sockets, signed tokens.
    ///
    /// Prints the configuration with which a gateway uses it, and where its control port is: there calls are placed, people
    /// answer, keys are pressed and faults switched, with curl. Runs until Ctrl-C. Nothing leaves this machine.
    Acs(Acs),
}

#[derive(Debug, Args)]
pub(super) struct Acs {
    /// Where the service listens, and Microsoft's SDKs reach it.
    #[arg(long, default_value = "127.0.0.1:7410", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where it is driven.
    #[arg(long, default_value = "127.0.0.1:7411", value_name = "ADDRESS")]
    control: SocketAddr,
    /// Where a gateway listens for it: `listen` of its `[acs_listener]`.
    #[arg(long, default_value = "127.0.0.1:7412", value_name = "ADDRESS")]
    gateway: SocketAddr,
    /// The root by which the gateway's certificate is believed; without one it is spoken to in clear.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The number of the resource.
    #[arg(long, default_value = "+15550100", value_name = "NUMBER")]
    number: String,
    /// The tenant in the configuration that is printed.
    #[arg(long, default_value = "demo", value_name = "ID")]
    tenant: String,
    /// Where calls are told at the gateway.
    #[arg(long, default_value = "/acs/contoso/events?secret=sim-webhook", value_name = "PATH")]
    webhook: String,
    /// What is logged.
    #[arg(long, env = "SIDETONE_LOG", default_value = "warn", value_name = "FILTER")]
    log: String,
}

pub(super) fn run(sim: Sim) -> ExitCode {
    let Sim::Acs(asked) = sim;
    let run = || -> Result<(), Box<dyn std::error::Error>> {
        sidetone::observe::init_logging(LogFormat::Text, &asked.log)?;
        tokio::runtime::Runtime::new()?.block_on(acs(&asked))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(&*error);
            ExitCode::from(1)
        }
    }
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
enum NotStarted {
    #[error("could not listen on {at}; is another program using it? Choose another with {option}")]
    Listen { at: SocketAddr, option: &'static str, source: io::Error },
    #[error("the root {} cannot be read (--ca)", path.display())]
    Root { path: PathBuf, source: io::Error },
}

async fn acs(asked: &Acs) -> Result<(), Box<dyn std::error::Error>> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|source| NotStarted::Root { path: path.clone(), source })
    };
    let root = asked.ca.as_ref().map(read).transpose()?;
    let cannot = |at, option| move |source| NotStarted::Listen { at, option, source };
    let acs = AcsSim::start_at(asked.listen).await.map_err(cannot(asked.listen, "--listen"))?;
    acs.gateway_is_at(asked.gateway, root.as_deref())?;
    let control = control::open(&acs, asked.control, &asked.webhook).await;
    let control = control.map_err(cannot(asked.control, "--control"))?;
    let secret = asked.webhook.split_once("secret=").map_or("", |(_, secret)| secret);
    let listener = if root.is_some() { "certificate = \"NAME\"\n" } else { "" };
    let config = acs.config_of(&asked.gateway.to_string(), &asked.tenant, &asked.number, listener, "");
    println!("service {}", acs.endpoint());
    println!("control http://{control}   (curl http://{control} prints what it takes)");
    println!("\nFor a gateway, beside its other settings:\n\n{config}");
    println!("  printf %s {ACCESS_KEY} > acs-key");
    println!("  printf %s '{secret}' > acs-webhook");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
