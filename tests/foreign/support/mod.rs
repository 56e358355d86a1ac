//! The stage: a gateway process, and the programs that call it.

pub(crate) mod baresip;
pub(crate) mod gateway;
pub(crate) mod house;
pub(crate) mod http;
pub(crate) mod patience;
pub(crate) mod ports;
pub(crate) mod sipp;
pub(crate) mod wav;

use std::io::Write as _;
use std::path::PathBuf;

/// Where a foreign program lies; none, and the reason on standard error, if the story is to be skipped.
///
/// # Panics
/// When the program is missing and `CI` is set.
pub(crate) fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed: apt-get install {package}");
        let story = std::thread::current().name().unwrap_or("a story").to_owned();
        // Past the capturing of test output: a skipped story is to be seen.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {story}: {name} is not installed (apt-get install {package})"
        );
    }
    found
}
