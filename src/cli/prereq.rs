//! `sidetone preflight`, `consent-url`, `teams collect` and `teams import`: the prerequisites from a terminal.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use sbc_config::{Config, Integration, TenantId};
use sidetone::config::{self, LoadError};
use sidetone::gateway::recall;
use sidetone::observe::Store;
use sidetone::prereq::{Engine, Finding, Route, Weight, account, collect};
use sidetone::switchboard::desk;
use sidetone::switchboard::{Checked, Looked, look};

/// A person at a terminal waits longer than a caller does.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(super) struct Preflight {
    /// The id of one of your people, a user principal name, an Entra object id, or a number.
    target: String,
    /// Over which route; auto looks at all of them.
    #[arg(long, value_enum, default_value = "auto")]
    via: Via,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
pub(super) struct ConsentUrl {
    #[command(flatten)]
    of: Of,
    /// Where the browser goes afterwards; it has to be registered with the application.
    #[arg(long, value_name = "URL")]
    redirect: Option<String>,
    /// Comes back unchanged; compare it.
    #[arg(long, default_value = "sidetone")]
    state: String,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file that the collector wrote.
    file: PathBuf,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
struct Of {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// The tenant, when the configuration has several accounts.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Via {
    Auto,
    Voip,
    Pstn,
    DirectRouting,
}

/// Exit code: 0 somebody would be rung, 1 nobody would, 2 that cannot be found out.
pub(super) fn preflight(asked: &Preflight) -> ExitCode {
    or_two(preflight_inner(asked))
}

fn preflight_inner(asked: &Preflight) -> Result<ExitCode, String> {
    let (config, tenant) = asked.of.account()?;
    let via = match asked.via {
        Via::Auto => desk::Via::Auto,
        Via::Voip => desk::Via::Only(Route::Voip),
        Via::Pstn => desk::Via::Only(Route::Pstn),
        Via::DirectRouting => desk::Via::Only(Route::DirectRouting),
    };
    let wish = desk::Wish { target: asked.target.clone(), via };
    blocking(async {
        let engine = Engine::new().map_err(chain)?;
        let patient = |account: &Integration| Integration { budget: PATIENCE, ..account.clone() };
        engine.configure(&config.integrations.iter().map(patient).collect::<Vec<_>>());
        let store = Store::open(config.server.database.expose()).await.map_err(chain)?;
        recall(&engine, &store).await.map_err(chain)?;
        let acs = config.acs.iter().find(|acs| acs.tenant == tenant);
        if let Some(mut answer) = acs.and_then(|acs| engine.try_acs(&tenant, &acs.endpoint)) {
            // The other end is dropped when there is an answer, or none.
            let _ = answer.changed().await;
        }
        let looked = look(&config, &engine, &tenant, &wish, None).await.map_err(chain)?;
        looked.routes.iter().for_each(report);
        println!("{}", outcome(&looked));
        Ok(if looked.is_clear() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    })
}

fn report(checked: &Checked) {
    let Checked { route, obstacle, findings } = checked;
    match obstacle {
        None => println!("{route}: clear"),
        Some("not_cleared") => println!("{route}: refused"),
        Some(other) => println!("{route}: {}", other.replace('_', " ")),
    }
    for finding in findings {
        println!("{}", line(finding));
        if let Some(remedy) = finding.remedy.as_ref().filter(|_| finding.weight != Weight::Clear) {
            println!("        {}", remedy.text);
            for line in remedy.command.iter().flat_map(|command| command.lines()) {
                println!("          {line}");
            }
            if let Some(portal) = remedy.portal {
                println!("          ({portal})");
            }
        }
    }
}

/// What a consult would do.
fn outcome(looked: &Looked) -> String {
    let preview = match &looked.preview {
        Ok(preview) => preview,
        Err(refusal) => return format!("nobody would be rung: {refusal}"),
    };
    let Some(way) = preview.taken.and_then(|at| preview.ways.get(at)) else {
        return "nobody would be rung".to_owned();
    };
    let via = way.via.map_or("", Route::name);
    let over = way.over.as_deref().unwrap_or("their telephone here");
    let cost = way.cost.as_ref().map(|cost| format!(", {} {} a minute", cost.per_minute, cost.currency));
    format!("would be rung: {via} {over}{}", cost.unwrap_or_default()).replace(":  ", ": ")
}

fn line(finding: &Finding) -> String {
    let mark = match finding.weight {
        Weight::Clear => ' ',
        Weight::Warns => '!',
        Weight::Refuses => 'X',
    };
    let source = finding.evidence.as_ref().map_or("-", |evidence| evidence.source.name());
    format!(
        "  {mark} {} {:<14} {:<24} {:<12} {}",
        finding.check.id(),
        finding.verdict.name(),
        finding.code,
        source,
        finding.check.title()
    )
}

pub(super) fn consent_url(asked: &ConsentUrl) -> ExitCode {
    or_two(asked.of.account().and_then(|(config, tenant)| {
        let account = config.integrations.iter().find(|account| account.tenant == tenant);
        let url = account
            .and_then(|account| account::consent_url(account, asked.redirect.as_deref(), &asked.state));
        println!("{}", url.ok_or("write entra_tenant and client_id into [[integration]] first")?);
        Ok(ExitCode::SUCCESS)
    }))
}

pub(super) fn import(asked: &Import) -> ExitCode {
    or_two(import_inner(asked))
}

fn import_inner(asked: &Import) -> Result<ExitCode, String> {
    let (config, tenant) = asked.of.account()?;
    let account = config.integrations.iter().find(|account| account.tenant == tenant);
    let entra = account.and_then(|account| account.entra_tenant.as_deref()).unwrap_or_default();
    let file = read(&asked.file)?;
    let taken = collect::decode(&file).and_then(|file| collect::import(&file, entra, SystemTime::now()));
    let taken = taken.map_err(|error| format!("{}: {error}", asked.file.display()))?;
    blocking(async {
        let store = Store::open(config.server.database.expose()).await.map_err(chain)?;
        store.keep_evidence(&tenant, &taken).await.map_err(chain)
    })?;
    println!(
        "{}: {} pieces of evidence for {tenant}; a running gateway has them within 10 s",
        asked.file.display(),
        taken.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// The file, but never more of it than is looked at.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.take(collect::FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes)
}

impl Of {
    fn account(&self) -> Result<(Config, TenantId), String> {
        let config = config::load(&self.config).map_err(|error| {
            if let LoadError::Wrong { path, findings } = &error {
                findings.iter().for_each(|finding| eprintln!("{}:{finding}", path.display()));
            }
            chain(error)
        })?;
        let tenant = match (&self.tenant, config.integrations.as_slice()) {
            (Some(wanted), all) => {
                all.iter().map(|one| &one.tenant).find(|one| one.as_str() == wanted).cloned()
            }
            (None, [one]) => Some(one.tenant.clone()),
            (None, _) => None,
        };
        let tenant = tenant.ok_or_else(|| no_account(&config, self.tenant.as_deref()))?;
        Ok((config, tenant))
    }
}

/// Why it is not clear whose account is meant.
fn no_account(config: &Config, wanted: Option<&str>) -> String {
    let ids: Vec<_> = config.integrations.iter().map(|account| account.tenant.as_str()).collect();
    match (ids.is_empty(), wanted) {
        (true, _) => "the file has no [[integration]], so there is no account at Microsoft to ask with; \
                      deploy/sidetone.example.toml shows one"
            .to_owned(),
        (false, Some(wanted)) => {
            format!("the tenant `{wanted}` has no [[integration]]; the file has them for: {}", ids.join(", "))
        }
        (false, None) => {
            format!("the file has several accounts; say whose is meant with --tenant: {}", ids.join(", "))
        }
    }
}

fn blocking<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(chain)?.block_on(work)
}

fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(because) = cause {
        text.push_str(&format!("\n  because: {because}"));
        cause = because.source();
    }
    text
}

fn or_two(done: Result<ExitCode, String>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("sidetone: {error}");
        ExitCode::from(2)
    })
}
