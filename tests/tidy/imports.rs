//! Imports run one way: which room may name which.

use super::Broken;
use super::source::Source;

/// A room of the gateway, and the rooms it may import besides itself. What is not here may not be imported: the
/// core knows no door, a door knows no other door, and only the composition root knows the API.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("jwks", &[]),
    ("client", &[]),
    ("connections", &["tls"]),
    ("tls", &[]),
    ("random", &[]),
    ("prereq", &["client"]),
    ("call", &["prereq"]),
    ("config", &[]),
    ("observe", &["call", "client", "prereq"]),
    ("sip", &["call", "random", "tls"]),
    ("bridge", &["call", "observe"]),
    ("acs", &["bridge", "call", "client", "connections", "jwks", "observe", "tls"]),
    ("rtc", &["bridge", "call", "observe", "random"]),
    ("switchboard", &["call", "bridge", "observe", "prereq"]),
    ("api", &["call", "client", "connections", "jwks", "observe", "prereq", "rtc", "switchboard"]),
    (
        "gateway",
        &[
            "acs",
            "api",
            "bridge",
            "call",
            "config",
            "jwks",
            "observe",
            "prereq",
            "rtc",
            "sip",
            "switchboard",
            "tls",
        ],
    ),
    ("sim", EVERYTHING),
    ("cli", EVERYTHING),
    ("main", &["cli"]),
    ("lib", EVERYTHING),
];

/// The simulated parties stand outside the gateway, the command line above it.
const EVERYTHING: &[&str] = &[
    "acs",
    "api",
    "bridge",
    "call",
    "client",
    "config",
    "connections",
    "gateway",
    "jwks",
    "observe",
    "prereq",
    "random",
    "rtc",
    "sim",
    "sip",
    "switchboard",
    "tls",
];

/// Every import that is not in [`MAY_IMPORT`].
pub(crate) fn one_way(sources: &[Source]) -> Vec<Broken> {
    let mut broken = Vec::new();
    for source in sources {
        let Some(below) = source.below_src() else { continue };
        let room = below[0].trim_end_matches(".rs");
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            broken.push(Broken::new(
                source,
                1,
                format!(
                    "the room `{room}` has no place yet; say in tests/tidy/imports.rs what it may import"
                ),
            ));
            continue;
        };
        for (line, named) in rooms_named(source) {
            if named != room && is_room(&named) && !allowed.contains(&named.as_str()) {
                broken.push(Broken::new(source, line, format!("`{room}` may not import `{named}`")));
            }
        }
    }
    broken
}

fn is_room(name: &str) -> bool {
    MAY_IMPORT.iter().any(|(room, _)| *room == name)
}

/// Every room that the file names, with the line.
fn rooms_named(source: &Source) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for root in ["crate::", "sidetone::"] {
        for at in occurrences(&source.code, root) {
            for name in first_segments(&source.code[at + root.len()..]) {
                named.push((line_of(&source.code, at), name));
            }
        }
    }
    // `super::super::` may climb out of the room. Test modules add a level of their own, so only what is shipped.
    let depth = depth_below_root(&source.path);
    for at in occurrences(&source.shipped, "super::") {
        let chain = &source.shipped[at..];
        let climbs = chain.split("::").take_while(|part| *part == "super").count();
        if climbs == depth && !source.shipped[..at].ends_with("super::") {
            for name in first_segments(&chain["super::".len() * climbs..]) {
                named.push((line_of(&source.shipped, at), name));
            }
        }
    }
    named
}

/// How many modules the file lies below the root of its crate: `src/sip/mod.rs` one, `src/sip/uri.rs` two.
fn depth_below_root(path: &str) -> usize {
    let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
    module.split('/').count() - 1
}

/// What comes first after `crate::`: one name, or those of a group.
fn first_segments(rest: &str) -> Vec<String> {
    let Some(group) = rest.trim_start().strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut depth = 0;
    let mut names = Vec::new();
    let mut fresh = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                names.push(word(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Where `needle` stands as a path of its own, not as the end of a longer word.
fn occurrences<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(needle).map(|(at, _)| at).filter(|&at| {
        !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$')
            || code[..at].ends_with('$')
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}
