//! The other rules, one function each.

use super::Broken;
use super::source::Source;

/// A reader takes in one file at one sitting. Where a file outgrows this, it holds two thoughts.
const LINES_MAX: usize = 800;

/// Files in which a test waits in real time, how often, and why it has no better way. The list only shrinks: a
/// number that is no longer reached fails as much as one that is exceeded.
pub(crate) const SLEEPS: &[(&str, usize, &str)] = &[
    (
        "tests/foreign/support/patience.rs",
        1,
        "other programs and sockets tell nobody when they are ready; they are asked until a deadline",
    ),
    ("benches/load/report.rs", 1, "a process is watched for a while of real time"),
    ("benches/load/stream.rs", 1, "a load is paced by the clock, which is what makes it a load"),
];

/// What the quiet code may not name, and what it does instead.
const NOISE: &[(&str, &str)] = &[
    ("Instant::now", "the time comes in as an argument"),
    ("SystemTime::now", "the time comes in as an argument"),
    (".elapsed()", "the time comes in as an argument"),
    ("tokio::", "tasks and sockets belong to the rooms around the quiet ones"),
    ("std::thread", "threads belong to the rooms around the quiet ones"),
    ("std::fs", "files belong to the rooms around the quiet ones"),
    ("UdpSocket", "sockets belong to a transport"),
    ("TcpStream", "sockets belong to a transport"),
    ("TcpListener", "sockets belong to a transport"),
    ("UnixStream", "sockets belong to a transport"),
    ("socket2::", "sockets belong to a transport"),
    ("rustix::", "system calls belong to the rooms around the quiet ones"),
];

/// The quiet code: two crates, the core with its prerequisites, and the machines of the doors.
const QUIET: &[&str] =
    &["media/src/", "sbc-config/src/", "src/prereq/", "src/call/", "src/sip/", "src/tls/", "src/acs/"];

/// Where the prerequisites are read, and where the doors touch the world: their sockets, their tasks, the names the SIP
/// door asks DNS for, its certificate files and who is told when they change, the requests and listener of the ACS door.
const LOUD: &[&str] = &[
    "src/prereq/gather.rs",
    "src/prereq/graph.rs",
    "src/prereq/http.rs",
    "src/prereq/token.rs",
    "src/sip/transport.rs",
    "src/sip/transport/",
    "src/sip/door.rs",
    "src/sip/door/",
    "src/sip/names.rs",
    "src/sip/names/ask.rs",
    "src/tls/mod.rs",
    "src/tls/files.rs",
    "src/acs/leftover.rs",
    "src/acs/probe.rs",
    "src/acs/resources.rs",
    "src/acs/rest.rs",
    "src/acs/routes.rs",
    "src/acs/run.rs",
    "src/acs/socket.rs",
];

/// Helpers that several test binaries share, each using another half. The list only shrinks.
const SHARED: &[&str] = &["tests/model/world.rs"];

/// No clock, no socket, no task where time and packets are arguments.
pub(crate) fn quiet(sources: &[Source]) -> Vec<Broken> {
    let quiet = sources.iter().filter(|source| {
        QUIET.iter().any(|room| source.path.starts_with(room))
            && !LOUD.iter().any(|room| source.path.starts_with(room))
    });
    quiet
        .flat_map(|source| {
            naming(source, &source.shipped, NOISE)
                .chain(match source.path.as_str() {
                    path if path.starts_with("media/") => {
                        naming(source, &source.code, &[("sbc_config::", "media knows no configuration")])
                            .collect::<Vec<_>>()
                    }
                    path if path.starts_with("sbc-config/") => naming(
                        source,
                        &source.code,
                        &[("sidetone_media::", "the configuration knows no media")],
                    )
                    .collect(),
                    _ => Vec::new(),
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The mixer joins whatever it is told to join, so only one room may tell it: the bridge, which carries out the
/// hearing table and nothing else.
pub(crate) fn only_the_bridge_mixes(sources: &[Source]) -> Vec<Broken> {
    let outside = sources
        .iter()
        .filter(|source| source.path.starts_with("src/") && !source.path.starts_with("src/bridge"));
    outside
        .flat_map(|source| {
            lines_with(&source.code, |line| {
                let media = line.contains("sidetone_media");
                let mixer = words(line).any(|word| word == "mix" || word == "mixer");
                words(line).any(|word| word == "Matrix" || word == "Mixer") || (media && mixer)
            })
            .map(|line| {
                Broken::new(
                    source,
                    line,
                    "only `bridge` names the mixer; change `call::hearing`, and the ears follow",
                )
            })
            .collect::<Vec<_>>()
        })
        .collect()
}

/// No file longer than [`LINES_MAX`].
pub(crate) fn short_files(sources: &[Source]) -> Vec<Broken> {
    let long = sources.iter().filter(|source| source.text.lines().count() > LINES_MAX);
    long.map(|source| {
        Broken::new(source, LINES_MAX, format!("longer than {LINES_MAX} lines; it holds two thoughts"))
    })
    .collect()
}

/// Nothing unfinished, nothing switched off.
pub(crate) fn nothing_for_later(sources: &[Source]) -> Vec<Broken> {
    const LATER: &[(&str, &str)] = &[
        ("todo!", "finish it, or leave it out"),
        ("unimplemented!", "finish it, or leave it out"),
        ("dbg!", "use tracing"),
        ("#[ignore", "a test that does not run says nothing"),
        ("allow(dead_code", "take the dead code out"),
        ("expect(dead_code", "take the dead code out"),
        ("allow(unused", "take it out"),
    ];
    let code = sources.iter().flat_map(|source| {
        let shared =
            |rule: &str| rule.starts_with("`allow(dead_code`") && SHARED.contains(&source.path.as_str());
        naming(source, &source.code, LATER).filter(move |broken| !shared(&broken.rule))
    });
    // In comments, too; not in texts, where the words may be meant.
    let notes = sources.iter().flat_map(|source| {
        let marked = |line: &str| {
            line.trim_start().starts_with("//")
                && words(line).any(|word| word == "TODO" || word == "FIXME" || word == "XXX")
        };
        lines_with(&source.text, marked)
            .map(|line| Broken::new(source, line, "a note for later; do it, or open an issue"))
            .collect::<Vec<_>>()
    });
    code.chain(notes).collect()
}

/// Tests wait for what they wait for, not for a while. `known` says who may, how often.
pub(crate) fn no_sleeping_tests(sources: &[Source], known: &[(&str, usize, &str)]) -> Vec<Broken> {
    let mut broken = Vec::new();
    for source in sources {
        let code = source.tests();
        let sleeps = |line: &str| {
            words(line).any(|word| word == "sleep" || word == "sleep_until") && line.contains('(')
        };
        let lines: Vec<usize> = lines_with(&code, sleeps).collect();
        let allowed = known.iter().find(|(path, ..)| *path == source.path).map_or(0, |(_, times, _)| *times);
        if lines.len() > allowed {
            let rule = format!(
                "a test sleeps ({} times, {allowed} allowed); wait for the event, or move the clock",
                lines.len()
            );
            broken.push(Broken::new(source, lines[0], rule));
        }
        if lines.len() < allowed {
            broken.push(Broken::new(
                source,
                1,
                format!(
                    "sleeps {} times, no longer {allowed}; lower SLEEPS in tests/tidy/rules.rs",
                    lines.len()
                ),
            ));
        }
    }
    for (path, ..) in known {
        if !sources.iter().any(|source| source.path == *path) {
            broken.push(Broken {
                path: (*path).to_owned(),
                line: 0,
                rule: "is gone; take it out of SLEEPS in tests/tidy/rules.rs".to_owned(),
            });
        }
    }
    broken
}

/// Each file begins with `//!`.
pub(crate) fn says_what_it_is(sources: &[Source]) -> Vec<Broken> {
    let silent = sources.iter().filter(|source| {
        !source.text.lines().any(|line| line.len() > "//! ".len() && line.starts_with("//! "))
            || !begins_with_doc(&source.text)
    });
    silent
        .map(|source| Broken::new(source, 1, "begin the file with `//!` and a sentence that says what it is"))
        .collect()
}

fn begins_with_doc(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("#!["))
        .is_some_and(|line| line.starts_with("//!"))
}

/// What a manifest must and must not say.
pub(crate) fn manifest(manifest: &Source) -> Vec<Broken> {
    let mut broken = Vec::new();
    let lines: Vec<&str> = manifest.text.lines().map(str::trim).collect();
    let mut must = |says: &[&str], why: &str| {
        if !says.iter().any(|says| lines.contains(says)) {
            broken.push(Broken::new(manifest, 1, why));
        }
    };
    must(&["license.workspace = true"], "take the licence of the workspace");
    must(&["workspace = true"], "take the lints of the workspace");
    let forbidden: &[&str] = match manifest.path.as_str() {
        "media/Cargo.toml" => &["tokio", "sbc-config", "sidetone", "socket2", "rustix"],
        "sbc-config/Cargo.toml" => &["tokio", "sidetone-media", "sidetone", "socket2", "rustix"],
        _ => {
            must(&["license = \"MIT OR Apache-2.0\""], "both licences");
            must(&["unsafe_code = \"forbid\""], "no unsafe code");
            &[]
        }
    };
    for (line, text) in Source::lines(&manifest.text) {
        let named = text.split(['=', '.', ' ']).next().unwrap_or("");
        if forbidden.contains(&named) {
            broken.push(Broken::new(manifest, line, format!("this crate does without {named}")));
        }
    }
    broken
}

fn naming<'a>(
    source: &'a Source,
    code: &'a str,
    forbidden: &'a [(&'a str, &'a str)],
) -> impl Iterator<Item = Broken> + 'a {
    forbidden.iter().flat_map(move |(name, instead)| {
        lines_with(code, move |line| line.contains(name))
            .map(move |line| Broken::new(source, line, format!("`{name}`: {instead}")))
    })
}

fn lines_with<'a>(text: &'a str, found: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
    Source::lines(text).filter(move |(_, line)| found(line)).map(|(number, _)| number)
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}
