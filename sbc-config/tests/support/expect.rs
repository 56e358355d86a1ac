//! A file that carries its expectation: `#! code code` at the end of a line.

use sbc_config::{Config, Finding};

use crate::support::Drawer;

#[track_caller]
pub(crate) fn expect(text: &str) -> Vec<Finding> {
    let findings = Config::parse(text, &Drawer).expect_err("the file has errors");
    compare(text, &findings);
    findings
}

#[track_caller]
pub(crate) fn compare(text: &str, findings: &[Finding]) {
    let expected = (1..).zip(text.lines()).flat_map(|(line, content)| {
        let codes = content.split_once("#!").map_or("", |(_, codes)| codes);
        codes.split_whitespace().map(move |code| (line, code.to_owned()))
    });
    let mut expected: Vec<(usize, String)> = expected.collect();
    let mut found: Vec<_> = findings.iter().map(|finding| (finding.line, finding.code.to_string())).collect();
    expected.sort();
    found.sort();
    let listed: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "findings:\n{}", listed.join("\n"));
    for finding in findings {
        assert!(!finding.message.is_empty() && !finding.remedy.is_empty(), "{finding}");
    }
}
