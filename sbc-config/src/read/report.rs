//! Collects findings and knows where in the text they belong.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;

use crate::finding::{Code, Finding, Severity};

/// The most findings given back. Nobody mends more in one go, and a broken file must not fill the memory.
pub(crate) const MAX_FINDINGS: usize = 500;

/// The findings so far. Shared by everything that reads, hence the cells; no borrow outlives a method.
pub(super) struct Report<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
    findings: RefCell<Vec<Finding>>,
    overflowed: Cell<bool>,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self {
            text,
            line_starts: std::iter::once(0).chain(after_newlines).collect(),
            findings: RefCell::default(),
            overflowed: Cell::new(false),
        }
    }

    pub(super) fn add(
        &self,
        severity: Severity,
        code: Code,
        span: &Range<usize>,
        path: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let mut findings = self.findings.borrow_mut();
        if findings.len() >= MAX_FINDINGS {
            self.overflowed.set(true);
            return;
        }
        let (line, column) = self.position(span.start);
        let (path, message, remedy) = (path.to_owned(), message.into(), remedy.into());
        findings.push(Finding { severity, code, line, column, path, message, remedy });
    }

    /// The line, from 1, for messages that point to a second place.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.position(span.start).0
    }

    /// Whether another finding would still be kept, so that costly advice is only worked out then.
    pub(super) fn has_room(&self) -> bool {
        self.findings.borrow().len() < MAX_FINDINGS
    }

    /// The errors and the warnings, each in the order of the text.
    pub(super) fn into_findings(self) -> (Vec<Finding>, Vec<Finding>) {
        let mut findings = self.findings.into_inner();
        forget_what_broken_syntax_may_have_caused(self.text, &mut findings);
        findings.sort_by_key(|finding| (finding.line, finding.column));
        if self.overflowed.get() {
            findings.push(Finding {
                severity: Severity::Error,
                code: Code::TooManyFindings,
                line: self.line_starts.len(),
                column: 1,
                path: String::new(),
                message: format!("there are more than {MAX_FINDINGS} findings"),
                remedy: "mend these and check again".into(),
            });
        }
        findings.into_iter().partition(|finding| finding.severity == Severity::Error)
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let before = self.text.get(self.line_starts[line - 1]..offset);
        (line, before.map_or(0, |before| before.chars().count()) + 1)
    }
}

/// Text that is not TOML leaves holes: a section may lack keys, a reference its aim. What such a hole may have
/// caused is left out until it is mended; findings of other sections about values that are there stay.
fn forget_what_broken_syntax_may_have_caused(text: &str, findings: &mut Vec<Finding>) {
    if findings.iter().all(|finding| finding.code != Code::Syntax) {
        return;
    }
    let mut section = 0;
    let section_of_line: HashMap<usize, usize> = (1..)
        .zip(text.lines())
        .map(|(line, content)| {
            section += usize::from(content.trim_start().starts_with('['));
            (line, section)
        })
        .collect();
    let section = |finding: &Finding| section_of_line.get(&finding.line).copied();
    let broken: Vec<_> = findings.iter().filter(|f| f.code == Code::Syntax).map(section).collect();
    findings.retain(|finding| {
        finding.code == Code::Syntax
            || (!finding.code.may_come_from_absence() && !broken.contains(&section(finding)))
    });
}
