//! Log lines: where they go and how they look. What may be in them:
//! ids and codes at INFO and above, people and numbers at DEBUG and below, secrets
//! never.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("the log filter is not understood; it looks like `info` or `info,sidetone::sip=debug`")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Somebody was here before.
    #[error("logging is set up already")]
    Twice,
}

/// The crates that print wire bytes, headers or SQL below WARN: their lines stay out unless asked
/// for by name, so that `debug` for the gateway does not mean `debug` for its dependencies.
const QUIET: &[&str] = &[
    "hyper=warn",
    "hyper_util=warn",
    "h2=warn",
    "sqlx=warn",
    "reqwest=warn",
    "rustls=warn",
    "tungstenite=warn",
];

/// Sends log lines to standard error.
///
/// # Errors
/// [`LogError`], when `filter` is not understood or logging was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let registry = tracing_subscriber::registry().with(env_filter(filter)?);
    // A line that cannot be written, on a full disk, is lost. To complain of it on standard error, the default,
    // would panic there.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    // Colours are for a terminal, and for whoever has not declined them (no-color.org); a file or a pager would show their codes.
    let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = lines.with_ansi(std::io::stderr().is_terminal() && !declined);
    match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(|_| LogError::Twice)
}

/// `filter` with the noisy dependencies quiet, unless `filter` names them.
///
/// # Errors
/// When `filter` is not understood.
pub fn env_filter(filter: &str) -> Result<EnvFilter, LogError> {
    let mut all: Vec<&str> = QUIET.to_vec();
    all.push(filter); // later directives win
    all.join(",").parse().map_err(LogError::Filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_for_the_gateway_leaves_its_dependencies_quiet() {
        let filter = env_filter("debug").unwrap().to_string();
        assert!(filter.contains("sqlx=warn") && filter.contains("debug"), "{filter}");
        assert!(env_filter("sidetone=loud").is_err());
    }
}
