//! `sidetone serve`: the gateway as a long-running process.

use std::process::ExitCode;

use sidetone::config::{self, LoadError};
use sidetone::gateway::{Gateway, Source};
use tokio::signal::unix::{SignalKind, signal};

use super::Serve;

pub(super) fn run(serve: &Serve) -> ExitCode {
    if let Err(error) = sidetone::observe::init_logging(serve.log_format.into(), &serve.log) {
        super::complain(&error);
        return ExitCode::from(2);
    }
    let config = match config::load(&serve.config) {
        Ok(config) => config,
        Err(error) => {
            if let LoadError::Wrong { path, findings } = &error {
                findings.iter().for_each(|finding| eprintln!("{}:{finding}", path.display()));
            }
            super::complain(&error);
            return ExitCode::from(1);
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{}:{warning}", serve.config.display());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            super::complain(&error);
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(serve_until_told(config, Source::File(serve.config.clone()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(&*error);
            ExitCode::from(2)
        }
    }
}

async fn serve_until_told(
    config: sbc_config::Config,
    source: Source,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let drain = config.server.drain;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let gateway = Gateway::start(config, source).await?;
    tracing::info!(api = %gateway.api_addr(), sip_udp = ?gateway.sip_udp_addr(), sip_tcp = ?gateway.sip_tcp_addr(), sip_tls = ?gateway.sip_tls_addr(), "ready");
    tracing::info!(
        "the console is at http://{}/console; `sidetone sign-in` prints a link for somebody",
        gateway.api_addr()
    );
    tokio::select! {
        _ = terminate.recv() => {
            tracing::info!(seconds = drain.as_secs(), "draining; a second signal stops at once");
            tokio::select! {
                () = gateway.drained(drain) => {}
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ = interrupt.recv() => {}
    }
    gateway.stop().await;
    Ok(())
}
