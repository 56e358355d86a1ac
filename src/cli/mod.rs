//! The command line. `--help` of each command is its manual.

mod accounts;
mod certificates;
mod check;
#[cfg(feature = "sim")]
mod demo;
mod explain;
mod online;
mod prereq;
mod recordings;
mod serve;
mod sign_in;
#[cfg(feature = "sim")]
mod sim;
mod teams;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use sidetone::observe::LogFormat;

/// A voice-consult gateway: takes calls from carriers and softphones, brings them to agents, and
/// lets supervisors monitor, whisper, barge and take over.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT.
    ///
    /// SIGTERM drains: new calls get 503, running calls may go on for server.drain_s, then the
    /// gateway stops. A second signal stops at once. SIGHUP, or a changed file, is taken over while calls go
    /// on, but for listeners, media and the database; the log names what needs a restart. Exit code: 0 after a stop that was
    /// asked for, 1 the configuration cannot be used or read, 2 something could not be opened.
    Serve(Serve),
    /// Read a configuration file and say everything that is wrong with it, at once.
    ///
    /// Exit code: 0 the file can be used (warnings are printed); 1 it cannot, or names recordings or certificates that
    /// cannot, or a certificate that peers will refuse; 2 it cannot be read. With --online, names, trunks, ACS resources
    /// and accounts at Microsoft are tried as well, and 1 means that one of them does not work.
    Check(Check),
    /// Pair with Microsoft Teams and Azure: what has to be done on their side, and what is so there.
    #[command(subcommand)]
    Teams(Teams),
    /// Say what a result code means and what to look at.
    ///
    /// Takes a SIP status (403), a code of Microsoft's call records (510532), both (403/510532, in either order), or
    /// a rule of `sidetone check` (unknown-key). A status lists the codes that come with it. A code that Microsoft
    /// does not publish is explained by its form, 5XYZZZ. Exit code: 0, or 1 if it is none of these.
    Explain(Explain),
    /// Say whether somebody at Teams could be rung, over what, and what would mend it if not.
    ///
    /// The engine is the one that decides before every dial. Lines marked X refuse a route, ! are to be looked at.
    /// Exit code: 0 a route is clear, 1 none is, 2 that cannot be found out.
    Preflight(prereq::Preflight),
    /// Print where an administrator of the Entra tenant grants the permissions.
    ///
    /// Nobody is asked. Exit code: 0, or 2 if the file cannot be used or has no such account.
    ConsentUrl(prereq::ConsentUrl),
    /// Print a link that signs somebody in to the console of a running gateway, once.
    ///
    /// Exit code: 0 the link is printed, 1 the gateway refused, 2 it could not be asked.
    SignIn(sign_in::SignIn),
    /// Play a whole call on loopback: a carrier, an agent and a supervisor, monitored by ear.
    ///
    /// Starts a gateway of its own on free ports, lets three simulated telephones call each other
    /// through it, goes through monitor, whisper, barge, hold and takeover over the public API; a simulated
    /// Teams user calls over Direct Routing, and an expert at Teams is refused, mended and asked. It
    /// measures who hears whom, and leaves one WAV file per party. Exit code 1 if a level is wrong. It
    /// prints links that sign in to the console.
    #[cfg(feature = "sim")]
    Demo(Demo),
    /// Stand in for a service of Microsoft's, to be driven from a terminal.
    #[cfg(feature = "sim")]
    #[command(subcommand)]
    Sim(sim::Sim),
    /// Print the OpenAPI 3.1 document of the HTTP API.
    Openapi,
}

#[derive(Debug, Args)]
struct Serve {
    /// The configuration file (see deploy/sidetone.example.toml).
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// How log lines look, on standard error.
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
    /// What is logged: a level, or levels by module, such as `info,sidetone::sip=debug`.
    /// Names and numbers of people appear at debug and below only.
    #[arg(long, env = "SIDETONE_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

#[derive(Debug, Args)]
struct Check {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// One JSON object a finding (or a line of the table), for scripts.
    #[arg(long)]
    json: bool,
    /// Print the table of ports and ranges that a firewall must let through, instead of a summary.
    ///
    /// Made from the configuration: every listener, trunk, media range, name server and webhook in it.
    #[arg(long, conflicts_with = "explain_trunk")]
    ports: bool,
    /// Try it as well: look names up and judge what the zone says, connect, shake hands, ask OPTIONS, ask ACS, sign in.
    ///
    /// NAPTR, SRV and addresses are followed as the gateway does (RFC 3263), each address is tried, and the name a
    /// trunk to Microsoft is paired under is looked up as Microsoft does. Takes up to a few seconds for each that does not answer.
    #[arg(long, conflicts_with_all = ["ports", "explain_trunk"])]
    online: bool,
    /// Print what a trunk comes to: each setting, and whether the file, its profile or the default says so.
    #[arg(long, value_name = "ID")]
    explain_trunk: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Teams {
    /// Print the pairing from the configuration: PowerShell for Teams, steps in the portal for Azure.
    ///
    /// Names, port, sessions and what is forwarded stand in the script as they stand in the configuration. Nothing
    /// is run and nobody is asked. A Teams trunk whose fqdn lies under that of another (contoso.sbc1.example.com
    /// under sbc1.example.com) is a customer's tenant of a carrier and gets a part of its own. Exit code: 0, or 1
    /// if the file cannot be used or has no Direct Routing trunk.
    Setup(Setup),
    /// Print the PowerShell that a Teams administrator runs to collect evidence.
    Collect,
    /// Take the file that the collector wrote.
    ///
    /// It is kept in the store of the configuration; a running gateway has it within ten seconds. Exit code: 0 all of
    /// it is taken, 2 nothing is.
    Import(prereq::Import),
}

#[derive(Debug, Args)]
struct Setup {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Explain {
    /// The code, or both: `403`, `510532`, `403/510532`, `403 510532`, `unknown-key`.
    #[arg(required = true, value_name = "CODE")]
    code: Vec<String>,
}

#[cfg(feature = "sim")]
#[derive(Debug, Args)]
struct Demo {
    /// Where the WAV files and the table go.
    #[arg(short, long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
    /// Stay open afterwards, with calls going on, for whoever opens the console in a browser; Ctrl-C ends it.
    #[arg(short, long)]
    keep: bool,
    /// Log lines of the gateway besides the table.
    #[arg(long, env = "SIDETONE_LOG", default_value = "warn", value_name = "FILTER")]
    log: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> LogFormat {
        match format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        }
    }
}

pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Check(check) => check::run(&check),
        Command::Teams(Teams::Setup(setup)) => teams::setup(&setup),
        Command::Explain(explain) => explain::run(&explain),
        Command::Preflight(asked) => prereq::preflight(&asked),
        Command::SignIn(asked) => sign_in::run(&asked),
        Command::ConsentUrl(asked) => prereq::consent_url(&asked),
        Command::Teams(Teams::Collect) => {
            print!("{}", sidetone::prereq::collect::SCRIPT);
            ExitCode::SUCCESS
        }
        Command::Teams(Teams::Import(asked)) => prereq::import(&asked),
        #[cfg(feature = "sim")]
        Command::Demo(demo) => demo::run(demo),
        #[cfg(feature = "sim")]
        Command::Sim(asked) => sim::run(asked),
        Command::Openapi => {
            match sidetone::api::openapi_document().to_pretty_json() {
                Ok(document) => println!("{document}"),
                Err(error) => {
                    complain(&error);
                    return ExitCode::from(2);
                }
            }
            ExitCode::SUCCESS
        }
    }
}

/// Prints what was asked for. A reader that has seen enough (`| head`) is no error.
fn show(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&error);
            ExitCode::from(2)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints an error with everything that led to it.
fn complain(error: &dyn std::error::Error) {
    eprintln!("sidetone: {error}");
    let mut cause = error.source();
    while let Some(because) = cause {
        eprintln!("  because: {because}");
        cause = because.source();
    }
}
