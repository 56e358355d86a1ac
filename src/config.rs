//! The configuration file on disk: read, with the secrets it points to, and read again when it changes.
//!
//! What a file means is the affair of `sbc-config`, which opens nothing itself. Here are the file,
//! the secrets beside it, and the swap that puts a changed file in force without a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sbc_config::{Config, Finding, MAX_CONFIG_BYTES, MAX_SECRET_BYTES, SecretError, SecretSource};
use tokio::sync::mpsc;

/// How often the file is looked at for a change.
const LOOK: Duration = Duration::from_secs(2);

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is read, and wrong.
    #[error("{} has {} finding(s)", path.display(), findings.len())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        findings: Vec<Finding>,
    },
}

/// Reads a configuration file and the secrets it names.
///
/// # Errors
/// [`LoadError`]: the file cannot be read, or all that is wrong with it.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let text = read_limited(path, MAX_CONFIG_BYTES)
        .map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    Config::parse(&text, &Beside::file(path))
        .map_err(|findings| LoadError::Wrong { path: path.to_owned(), findings })
}

/// Secrets in files beside the configuration file, and in the environment.
#[derive(Debug, Clone)]
pub struct Beside(PathBuf);

impl Beside {
    /// Relative paths start where this file lies.
    pub fn file(config: &Path) -> Beside {
        Beside(config.parent().map(Path::to_owned).unwrap_or_default())
    }
}

impl SecretSource for Beside {
    fn file(&self, path: &str) -> Result<String, SecretError> {
        match read_limited(&self.0.join(path), MAX_SECRET_BYTES) {
            Ok(text) => Ok(text),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound => SecretError::NotFound,
                io::ErrorKind::InvalidData => SecretError::NotText,
                io::ErrorKind::FileTooLarge => SecretError::TooLong,
                _ => SecretError::Unreadable(error.to_string()),
            }),
        }
    }

    fn env(&self, name: &str) -> Result<String, SecretError> {
        match std::env::var(name) {
            Ok(value) if value.len() > MAX_SECRET_BYTES => Err(SecretError::TooLong),
            Ok(value) => Ok(value),
            Err(std::env::VarError::NotPresent) => Err(SecretError::NotFound),
            Err(std::env::VarError::NotUnicode(_)) => Err(SecretError::NotText),
        }
    }
}

/// Reads a text file of at most `most` bytes; a longer one is not read into memory at all.
fn read_limited(path: &Path, most: usize) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let mut file = std::fs::File::open(path)?.take(most as u64 + 1);
    file.read_to_string(&mut text)?;
    if text.len() > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// Keeps the configuration in force equal to the file: on change, and on SIGHUP.
///
/// A file that is wrong changes nothing: the findings are logged, and the old configuration stays.
/// Returns when the process stops; the file is then read no more.
pub async fn follow(path: PathBuf, in_force: Arc<ArcSwap<Config>>, reloaded: mpsc::Sender<()>) {
    let mut hangup = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::warn!(%error, "SIGHUP is not listened to");
            return;
        }
    };
    let mut look = tokio::time::interval(LOOK);
    let mut seen = stamp(&path);
    loop {
        tokio::select! {
            _ = look.tick() => {
                let now = stamp(&path);
                if now == seen {
                    continue;
                }
                seen = now;
            }
            Some(()) = hangup.recv() => {}
        }
        if reload(&path, &in_force) && reloaded.send(()).await.is_err() {
            return;
        }
    }
}

/// What tells one state of the file from another: when it was written, and how long it is. Looking
/// every other second costs nothing, and unlike a watch it follows a file that is replaced, linked
/// or mounted anew, and is not woken by a database in the same directory.
fn stamp(path: &Path) -> Option<(std::time::SystemTime, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

/// Reads the file anew. True if a changed configuration is now in force.
fn reload(path: &Path, in_force: &ArcSwap<Config>) -> bool {
    match load(path) {
        Ok(new) => {
            let old = in_force.load();
            if **old == new {
                return false;
            }
            let restart = Config::diff_needs_restart(&old, &new);
            if !restart.is_empty() {
                tracing::warn!(settings = ?restart, "these settings take effect at the next start");
            }
            in_force.store(Arc::new(new));
            tracing::info!(file = %path.display(), "the configuration is reloaded");
            true
        }
        Err(LoadError::Wrong { findings, .. }) => {
            for finding in findings {
                tracing::error!("{}:{finding}", path.display());
            }
            tracing::error!("the changed configuration is not used; the one before stays in force");
            false
        }
        Err(error) => {
            tracing::error!(%error, cause = ?std::error::Error::source(&error), "the configuration stays as it was");
            false
        }
    }
}
