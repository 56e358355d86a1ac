//! The stage: a gateway process, and the programs that call it.

pub(crate) mod baresip;
pub(crate) mod capture;
pub(crate) mod gateway;
pub(crate) mod house;
pub(crate) mod http;
pub(crate) mod linphone;
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
        // Past the capturing of test output: a skipped story is to be seen.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {}: {name} is not installed (apt-get install {package})",
            story()
        );
    }
    found
}

/// Whether this process may open raw sockets, which SIPp needs to play a capture; if not, the story is skipped.
///
/// # Panics
/// When it may not and `CI` is set.
pub(crate) fn may_play_captures() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    let may = bits >> CAP_NET_RAW & 1 == 1;
    if !may {
        assert!(
            std::env::var_os("CI").is_none(),
            "SIPp may not open raw sockets: run as root, or give CAP_NET_RAW"
        );
        let _ = writeln!(std::io::stderr(), "SKIPPED {}: no right to raw sockets (CAP_NET_RAW)", story());
    }
    may
}

/// The bit of the capability (capabilities(7)).
const CAP_NET_RAW: u32 = 13;

fn story() -> String {
    std::thread::current().name().unwrap_or("a story").to_owned()
}
