//! Something wrong for each check to find, and something right to leave alone.

use super::source::{Source, blank_test_modules};
use super::{Broken, imports, rules};

fn lines(broken: &[Broken]) -> Vec<usize> {
    broken.iter().map(|broken| broken.line).collect()
}

fn imports_of(path: &str, text: &str) -> Vec<String> {
    imports::one_way(&[Source::new(path, text)]).into_iter().map(|broken| broken.rule).collect()
}

#[test]
fn a_core_that_imports_a_door_is_found() {
    assert_eq!(imports_of("src/call/leg.rs", "use crate::sip::Uri;"), ["`call` may not import `sip`"]);
    assert_eq!(imports_of("src/call/leg.rs", "use super::super::sip::Uri;"), ["`call` may not import `sip`"]);
    assert_eq!(imports_of("src/call/mod.rs", "use super::bridge;"), ["`call` may not import `bridge`"]);
    assert_eq!(
        imports_of("src/call/leg.rs", "fn f() { crate::observe::tell() }"),
        ["`call` may not import `observe`"]
    );
}

#[test]
fn a_door_that_imports_upwards_is_found_in_a_group_too() {
    let group = "use crate::{\n    call::{Call, Leg},\n    api,\n    switchboard::{desk::Desk},\n};";
    let found = imports_of("src/sip/door.rs", group);
    assert_eq!(found, ["`sip` may not import `api`", "`sip` may not import `switchboard`"]);
}

#[test]
fn only_the_command_line_may_start_the_simulation() {
    assert_eq!(imports_of("src/gateway.rs", "use crate::sim::demo;"), ["`gateway` may not import `sim`"]);
    assert!(imports_of("src/cli/demo.rs", "use sidetone::sim::demo;").is_empty());
}

#[test]
fn a_new_room_must_be_given_a_place() {
    assert_eq!(imports_of("src/cellar/mod.rs", "").len(), 1);
}

#[test]
fn imports_downwards_and_within_the_room_are_left_alone() {
    assert!(
        imports_of(
            "src/api/calls.rs",
            "use crate::call::CallId;\nuse super::auth;\nuse crate::switchboard::desk;"
        )
        .is_empty()
    );
    assert!(
        imports_of("src/sip/session/incoming.rs", "use super::super::uri::Uri;\nuse crate::sip::dialog;")
            .is_empty()
    );
    assert!(
        imports_of("src/call/leg.rs", "//! See crate::sip.\nconst WHY: &str = \"crate::sip::Uri\";")
            .is_empty()
    );
}

#[test]
fn a_clock_in_quiet_code_is_found_and_one_in_its_tests_is_not() {
    let text = "//! Why Instant::now is not used.\nfn now() { Instant::now(); }\n#[cfg(test)]\nmod tests {\n    fn f() { Instant::now(); }\n}\nfn late() { at.elapsed() }\n";
    assert_eq!(lines(&rules::quiet(&[Source::new("src/call/mod.rs", text)])), [2, 7]);
    assert_eq!(lines(&rules::quiet(&[Source::new("media/src/jitter.rs", text)])), [2, 7]);
    assert!(rules::quiet(&[Source::new("src/bridge/mod.rs", text)]).is_empty());
    assert!(rules::quiet(&[Source::new("src/sip/transport.rs", text)]).is_empty());
}

#[test]
fn sockets_tasks_and_files_in_quiet_code_are_found() {
    for line in [
        "use tokio::time;",
        "use std::net::UdpSocket;",
        "std::thread::spawn(f);",
        "std::fs::read(p);",
        "socket2::Socket::new();",
    ] {
        assert_eq!(rules::quiet(&[Source::new("src/sip/dialog.rs", line)]).len(), 1, "{line}");
    }
    assert!(rules::quiet(&[Source::new("src/sip/uri.rs", "use std::net::{IpAddr, SocketAddr};")]).is_empty());
}

#[test]
fn media_and_configuration_know_nothing_of_each_other() {
    assert_eq!(rules::quiet(&[Source::new("media/src/lib.rs", "use sbc_config::Codec;")]).len(), 1);
    assert_eq!(rules::quiet(&[Source::new("sbc-config/src/lib.rs", "use sidetone_media::frame;")]).len(), 1);
}

#[test]
fn a_module_of_tests_in_its_own_file_counts_as_tests() {
    let mut sources = [
        Source::new("src/sip/mod.rs", "#[cfg(test)]\nmod stories;\n"),
        Source::new("src/sip/stories/calls.rs", "fn f() { Instant::now(); }"),
        Source::new("src/sip/dialog.rs", "fn f() { Instant::now(); }"),
    ];
    blank_test_modules(&mut sources);
    let found = rules::quiet(&sources);
    assert_eq!(found.iter().map(|broken| broken.path.as_str()).collect::<Vec<_>>(), ["src/sip/dialog.rs"]);
}

#[test]
fn a_mixer_outside_the_bridge_is_found() {
    let text = "use sidetone_media::mix::plan;\nfn f(m: &mut Matrix) {}\nfn premix() {}\n";
    assert_eq!(lines(&rules::only_the_bridge_mixes(&[Source::new("src/api/calls.rs", text)])), [1, 2]);
    assert!(rules::only_the_bridge_mixes(&[Source::new("src/bridge/mod.rs", text)]).is_empty());
}

#[test]
fn a_long_file_is_found() {
    assert!(rules::short_files(&[Source::new("src/a.rs", &"\n".repeat(800))]).is_empty());
    assert_eq!(rules::short_files(&[Source::new("src/a.rs", &"\n".repeat(801))]).len(), 1);
}

#[test]
fn unfinished_work_is_found_where_it_is_code() {
    for line in [
        "todo!()",
        "unimplemented!()",
        "dbg!(x)",
        "#[ignore]",
        "#[ignore = \"slow\"]",
        "#[allow(dead_code)]",
        "// TODO: later",
    ] {
        assert_eq!(rules::nothing_for_later(&[Source::new("src/a.rs", line)]).len(), 1, "{line}");
    }
    assert!(
        rules::nothing_for_later(&[Source::new(
            "src/a.rs",
            "let text = \"todo!() // TODO\"; // dbg! is a macro"
        )])
        .is_empty()
    );
}

#[test]
fn a_sleeping_test_is_found_and_a_forgotten_allowance_too() {
    let sleepy = Source::new("tests/a.rs", "fn f() {\n    thread::sleep(S);\n}");
    let calm = Source::new("tests/a.rs", "// sleep(S)");
    assert_eq!(lines(&rules::no_sleeping_tests(std::slice::from_ref(&sleepy), &[])), [2]);
    assert!(rules::no_sleeping_tests(std::slice::from_ref(&sleepy), &[("tests/a.rs", 1, "")]).is_empty());
    assert_eq!(rules::no_sleeping_tests(std::slice::from_ref(&calm), &[("tests/a.rs", 1, "")]).len(), 1);
    assert_eq!(rules::no_sleeping_tests(&[calm], &[("tests/gone.rs", 1, "")]).len(), 1);
    let within = Source::new(
        "src/a.rs",
        "async fn f() { sleep(S).await }\n#[cfg(test)]\nmod tests {\n    fn f() { sleep(S) }\n}",
    );
    assert_eq!(lines(&rules::no_sleeping_tests(&[within], &[])), [4]);
}

#[test]
fn a_file_that_does_not_say_what_it_is_is_found() {
    assert_eq!(rules::says_what_it_is(&[Source::new("src/a.rs", "use std::fmt;\n//! Too late.\n")]).len(), 1);
    assert_eq!(rules::says_what_it_is(&[Source::new("src/a.rs", "//!\nuse std::fmt;\n")]).len(), 1);
    assert!(
        rules::says_what_it_is(&[Source::new("src/a.rs", "#![cfg(unix)]\n//! What it is.\n")]).is_empty()
    );
}

#[test]
fn a_manifest_that_breaks_the_walls_is_found() {
    let good =
        "[package]\nlicense.workspace = true\n[lints]\nworkspace = true\n[dependencies]\nthiserror = \"2\"\n";
    assert!(rules::manifest(&Source::new("media/Cargo.toml", good)).is_empty());
    let with_tokio = format!("{good}tokio = {{ version = \"1\" }}\n");
    assert_eq!(lines(&rules::manifest(&Source::new("media/Cargo.toml", &with_tokio))), [7]);
    assert_eq!(rules::manifest(&Source::new("media/Cargo.toml", "[package]\n")).len(), 2);
}

#[test]
fn the_reader_tells_code_from_prose() {
    let text = "let a = 'x'; let b: &'static str = r#\"todo!() \" \"#; /* dbg! /* deeper */ */ let c = '\\''; todo!();";
    let found = rules::nothing_for_later(&[Source::new("src/a.rs", text)]);
    assert_eq!(found.len(), 1, "{found:?}");
    let source = Source::new("src/a.rs", text);
    assert!(
        source.code.contains("let c =") && !source.code.contains("deeper") && source.code.contains("'static")
    );
}
