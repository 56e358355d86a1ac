//! What comes in from outside is what `deny.toml` lets in: licences, one copy of each crate, one crypto provider,
//! one registry. Held with cargo alone, so that nothing heavy has to be installed for it.
//!
//! What is really built is asked of `cargo tree`: `cargo metadata` also lists optional crates that no feature
//! switches on (`ring`, below `rustls-webpki`), and would cry wolf.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use toml::{Table, Value};

/// The crates of this repository. Nothing else may be built from a path.
const OURS: [&str; 3] = ["sbc-config", "sidetone", "sidetone-media"];

/// One crate that goes into the gateway or takes part in building it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Built {
    name: String,
    version: String,
    licence: String,
    features: Vec<String>,
}

#[test]
fn every_licence_is_one_we_can_ship_under() {
    let allowed = licences();
    let refused: Vec<String> = built()
        .iter()
        .filter(|built| !Licence::read(&built.licence).is_some_and(|licence| licence.holds(&allowed)))
        .map(|built| format!("{} {}: {:?}", built.name, built.version, built.licence))
        .collect();
    assert!(refused.is_empty(), "not in licenses.allow of deny.toml:\n  {}", refused.join("\n  "));
}

#[test]
fn no_licence_is_allowed_for_nothing() {
    let allowed = licences();
    for licence in &allowed {
        let without: BTreeSet<String> = allowed.iter().filter(|other| *other != licence).cloned().collect();
        let needed =
            built().iter().any(|built| !Licence::read(&built.licence).is_some_and(|l| l.holds(&without)));
        assert!(needed, "nothing needs {licence} any more; take it out of licenses.allow in deny.toml");
    }
}

#[test]
fn each_crate_is_here_once_or_deny_toml_says_why_not() {
    let skipped = named_crates(&["bans", "skip"]);
    let mut versions = BTreeMap::<&str, BTreeSet<&str>>::new();
    for built in built() {
        versions.entry(&built.name).or_default().insert(&built.version);
    }
    let several: Vec<String> = versions
        .iter()
        .filter(|(name, versions)| {
            let unexplained =
                versions.iter().filter(|version| !skipped.contains(&format!("{name}@{version}")));
            unexplained.count() > 1
        })
        .map(|(name, versions)| format!("{name}: {versions:?}"))
        .collect();
    assert!(
        several.is_empty(),
        "more than one version, and no entry in bans.skip of deny.toml:\n  {}",
        several.join("\n  ")
    );

    let stale: Vec<&String> = skipped
        .iter()
        .filter(|skip| {
            let (name, version) = skip.split_once('@').expect("bans.skip names a crate as NAME@VERSION");
            versions.get(name).is_none_or(|versions| versions.len() < 2 || !versions.contains(version))
        })
        .collect();
    assert!(stale.is_empty(), "no longer doubled; take them out of bans.skip in deny.toml: {stale:?}");
}

#[test]
fn there_is_one_crypto_provider_for_tls() {
    let denied = named_crates(&["bans", "deny"]);
    assert!(denied.contains("ring") && denied.contains("openssl-sys"), "deny.toml lost its crypto providers");
    let present: Vec<&Built> = built().iter().filter(|built| denied.contains(&built.name)).collect();
    assert!(present.is_empty(), "denied by deny.toml: {present:?}");

    let named = |name: &str| built().iter().filter(|built| built.name == name).collect::<Vec<_>>();
    assert_eq!(named("aws-lc-rs").len(), 1, "aws-lc-rs is the provider, once");
    let rustls = named("rustls");
    assert_eq!(rustls.len(), 1, "rustls is the TLS library, once");
    assert!(!rustls[0].features.iter().any(|feature| feature == "ring"), "rustls is built with ring");
}

#[test]
fn everything_foreign_comes_from_the_one_registry_with_a_checksum() {
    let lock = read_toml("Cargo.lock");
    let registries = strings(at(&rules(), &["sources", "allow-registry"]));
    let packages = lock["package"].as_array().expect("Cargo.lock lists packages");
    assert!(packages.len() > 100, "Cargo.lock is not read");
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let Some(source) = package.get("source").and_then(Value::as_str) else {
            assert!(OURS.contains(&name), "{name} is built from a path, and is not ours");
            continue;
        };
        let from = source.strip_prefix("registry+").unwrap_or_else(|| panic!("{name} comes from {source}"));
        assert!(registries.contains(from), "{name} comes from the registry {from}");
        assert!(package.get("checksum").is_some(), "{name} has no checksum");
    }
}

#[test]
fn the_three_crates_of_this_repository_share_one_version() {
    let ours: Vec<&Built> = built().iter().filter(|built| OURS.contains(&built.name.as_str())).collect();
    assert_eq!(ours.iter().map(|built| built.name.as_str()).collect::<Vec<_>>(), OURS);
    assert!(ours.iter().all(|built| built.version == env!("CARGO_PKG_VERSION")), "{ours:?}");
}

/// A licence expression (SPDX, and the older `MIT/Apache-2.0`).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Licence {
    Named(String),
    Any(Vec<Licence>),
    All(Vec<Licence>),
}

impl Licence {
    fn read(text: &str) -> Option<Licence> {
        let spaced = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let mut words = spaced.split_whitespace().peekable();
        let licence = Licence::any(&mut words)?;
        words.next().is_none().then_some(licence)
    }

    fn any<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> Option<Licence> {
        let mut choices = vec![Licence::all(words)?];
        while words.next_if_eq(&"OR").is_some() {
            choices.push(Licence::all(words)?);
        }
        Some(if choices.len() == 1 { choices.remove(0) } else { Licence::Any(choices) })
    }

    fn all<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> Option<Licence> {
        let mut parts = vec![Licence::one(words)?];
        while words.next_if_eq(&"AND").is_some() {
            parts.push(Licence::one(words)?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Licence::All(parts) })
    }

    fn one<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> Option<Licence> {
        let word = words.next()?;
        if word == "(" {
            let inner = Licence::any(words)?;
            return words.next_if_eq(&")").map(|_| inner);
        }
        if [")", "OR", "AND", "WITH"].contains(&word) {
            return None;
        }
        let mut name = word.to_owned();
        if words.next_if_eq(&"WITH").is_some() {
            name = format!("{name} WITH {}", words.next()?);
        }
        Some(Licence::Named(name))
    }

    fn holds(&self, allowed: &BTreeSet<String>) -> bool {
        match self {
            Licence::Named(name) => allowed.contains(name),
            Licence::Any(choices) => choices.iter().any(|choice| choice.holds(allowed)),
            Licence::All(parts) => parts.iter().all(|part| part.holds(allowed)),
        }
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_says() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]);
    let holds = |text: &str| Licence::read(text).map(|licence| licence.holds(&allowed));
    assert_eq!(holds("MIT"), Some(true));
    assert_eq!(holds("GPL-3.0-only"), Some(false));
    assert_eq!(holds("MIT OR GPL-3.0-only"), Some(true));
    assert_eq!(holds("MIT/GPL-3.0-only"), Some(true));
    assert_eq!(holds("MIT AND GPL-3.0-only"), Some(false));
    assert_eq!(holds("GPL-3.0-only OR MIT AND ISC"), Some(true));
    assert_eq!(holds("(GPL-3.0-only OR MIT) AND ISC"), Some(true));
    assert_eq!(holds("(GPL-3.0-only OR MIT) AND BSL-1.0"), Some(false));
    assert_eq!(holds("Apache-2.0 WITH LLVM-exception"), Some(false));
    for broken in ["", "MIT OR", "(MIT", "MIT ISC", "AND MIT"] {
        assert_eq!(holds(broken), None, "{broken:?}");
    }
}

/// Everything that is built into the gateway, on the platform it is deployed on, with all features.
fn built() -> &'static [Built] {
    static BUILT: OnceLock<Vec<Built>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let lines: BTreeSet<String> =
            tree().lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect();
        let built: Vec<Built> =
            lines.iter().filter(|line| !line.is_empty()).map(|line| read_line(line)).collect();
        assert!(built.len() > 100, "cargo tree lists only {} crates", built.len());
        built
    })
}

fn tree() -> String {
    let tree = |how: &[&str]| {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["tree", "--locked", "--workspace", "--all-features", "--edges", "normal,build"])
            .args(["--target", "x86_64-unknown-linux-gnu", "--prefix", "none", "--format", "{p}|{l}|{f}"])
            .args(how)
            .output()
            .expect("cargo runs")
    };
    // All of it is here after a build on that platform; elsewhere some crates are still to be fetched.
    let mut output = tree(&["--offline"]);
    if !output.status.success() {
        output = tree(&[]);
    }
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo tree writes UTF-8")
}

/// `name v1.2.3 (proc-macro)|MIT OR Apache-2.0|default,std`
fn read_line(line: &str) -> Built {
    let mut parts = line.split('|');
    let mut package = parts.next().expect("a line has a first part").split(' ');
    let name = package.next().expect("a package has a name").to_owned();
    let version = package.next().and_then(|version| version.strip_prefix('v'));
    let version = version.unwrap_or_else(|| panic!("no version in {line:?}")).to_owned();
    let licence = parts.next().unwrap_or("").to_owned();
    let features = parts.next().unwrap_or("").split(',').map(str::to_owned).collect();
    Built { name, version, licence, features }
}

fn rules() -> Table {
    read_toml("deny.toml")
}

fn licences() -> BTreeSet<String> {
    strings(at(&rules(), &["licenses", "allow"]))
}

/// The `crate`s in a list of tables.
fn named_crates(path: &[&str]) -> BTreeSet<String> {
    let rules = rules();
    let list = at(&rules, path).as_array().unwrap_or_else(|| panic!("{path:?} is a list"));
    list.iter().map(|entry| entry["crate"].as_str().expect("an entry names a crate").to_owned()).collect()
}

fn at<'a>(table: &'a Table, path: &[&str]) -> &'a Value {
    let first = table.get(path[0]).unwrap_or_else(|| panic!("deny.toml has no {path:?}"));
    path[1..]
        .iter()
        .fold(first, |value, key| value.get(key).unwrap_or_else(|| panic!("deny.toml has no {path:?}")))
}

fn strings(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|entry| entry.as_str().expect("a list of texts").to_owned()).collect()
}

fn read_toml(name: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}
