//! The house rules that lints cannot say. A rule that fails names the file, the line and what to do instead.
//!
//! The checks are plain functions from sources to findings; `planted` shows each of them something wrong, so
//! that a check which has gone blind is noticed.

mod imports;
mod planted;
mod rules;
mod source;

use std::fmt;
use std::fs;
use std::path::Path;

use source::Source;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    path: String,
    line: usize,
    rule: String,
}

impl Broken {
    fn new(source: &Source, line: usize, rule: impl Into<String>) -> Broken {
        Broken { path: source.path.clone(), line, rule: rule.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

#[test]
fn imports_run_one_way() {
    hold(&imports::one_way(&workspace()));
}

#[test]
fn the_quiet_crates_and_rooms_have_no_clock_no_socket_and_no_task() {
    hold(&rules::quiet(&workspace()));
}

#[test]
fn only_the_bridge_connects_a_mouth_to_an_ear() {
    hold(&rules::only_the_bridge_mixes(&workspace()));
}

#[test]
fn no_file_is_too_long_to_read() {
    hold(&rules::short_files(&workspace()));
}

#[test]
fn nothing_is_left_for_later() {
    hold(&rules::nothing_for_later(&workspace()));
}

#[test]
fn tests_do_not_sleep() {
    hold(&rules::no_sleeping_tests(&workspace(), rules::SLEEPS));
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    hold(&rules::says_what_it_is(&workspace()));
}

#[test]
fn the_manifests_keep_the_crates_apart_and_name_both_licences() {
    let broken = ["Cargo.toml", "media/Cargo.toml", "sbc-config/Cargo.toml"]
        .into_iter()
        .flat_map(|path| rules::manifest(&Source::new(path, &read(path))))
        .collect::<Vec<_>>();
    hold(&broken);
}

#[test]
fn both_licences_are_here_in_full() {
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted, free of charge"));
    assert!(read("LICENSE-APACHE").contains("Version 2.0, January 2004"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn workspace() -> Vec<Source> {
    let sources = source::workspace(root());
    for room in ["src/call/", "src/sip/", "media/src/", "sbc-config/src/"] {
        assert!(
            sources.iter().any(|source| source.path.starts_with(room)),
            "no file below {room}: is the map out of date?"
        );
    }
    sources
}

fn hold(broken: &[Broken]) {
    let list = broken.iter().map(|broken| format!("  {broken}\n")).collect::<String>();
    assert!(broken.is_empty(), "{} broken rule(s):\n{list}", broken.len());
}
