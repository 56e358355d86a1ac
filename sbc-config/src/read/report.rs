//! Collects findings and knows where in the text they belong.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;

use crate::finding::{Code, Finding, Severity};

/// The most errors given back, and the most warnings. Nobody mends more in one go, and a broken file must not
/// fill the memory.
pub(crate) const MAX_FINDINGS: usize = 500;

/// The findings so far. Shared by everything that reads, hence the cells; no borrow outlives a method.
pub(super) struct Report<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
    errors: RefCell<Kept>,
    warnings: RefCell<Kept>,
}

/// The first findings of one severity, and whether there were more.
#[derive(Default)]
struct Kept {
    findings: Vec<Finding>,
    overflowed: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self {
            text,
            line_starts: std::iter::once(0).chain(after_newlines).collect(),
            errors: RefCell::default(),
            warnings: RefCell::default(),
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
        let mut kept = match severity {
            Severity::Error => self.errors.borrow_mut(),
            Severity::Warning => self.warnings.borrow_mut(),
        };
        if kept.findings.len() >= MAX_FINDINGS {
            kept.overflowed = true;
            return;
        }
        let (line, column) = self.position(span.start);
        let (path, message, remedy) = (path.to_owned(), message.into(), remedy.into());
        kept.findings.push(Finding { severity, code, line, column, path, message, remedy });
    }

    /// The line, from 1, for messages that point to a second place.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.position(span.start).0
    }

    /// Whether another error would still be kept, so that costly advice is only worked out then.
    pub(super) fn has_room(&self) -> bool {
        self.errors.borrow().findings.len() < MAX_FINDINGS
    }

    /// The errors and the warnings, each in the order of the text.
    pub(super) fn into_findings(self) -> (Vec<Finding>, Vec<Finding>) {
        let last_line = self.line_starts.len();
        let mut errors = self.errors.into_inner();
        let mut warnings = self.warnings.into_inner();
        if errors.findings.iter().any(|finding| finding.code == Code::Syntax) {
            let hidden = Hidden::new(self.text, &errors.findings);
            errors.findings.retain(|finding| !hidden.hides(finding));
            warnings.findings.retain(|finding| !hidden.hides(finding));
        }
        (errors.finish(Severity::Error, last_line), warnings.finish(Severity::Warning, last_line))
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let before = self.text.get(self.line_starts[line - 1]..offset);
        (line, before.map_or(0, |before| before.chars().count()) + 1)
    }
}

impl Kept {
    fn finish(mut self, severity: Severity, last_line: usize) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| (finding.line, finding.column));
        if self.overflowed {
            self.findings.push(Finding {
                severity,
                code: Code::TooManyFindings,
                line: last_line,
                column: 1,
                path: String::new(),
                message: format!("there are more than {MAX_FINDINGS} of them"),
                remedy: "mend these and check again".into(),
            });
        }
        self.findings
    }
}

/// Text that is not TOML leaves holes: a section may lack keys, a reference its aim. What such a hole may have
/// caused is left out until it is mended; findings of other sections about values that are there stay.
struct Hidden {
    /// For each line, from 1, the number of headers up to it.
    section_of_line: Vec<usize>,
    broken: HashSet<usize>,
}

impl Hidden {
    fn new(text: &str, errors: &[Finding]) -> Self {
        let mut section = 0;
        let of_line = text.split('\n').map(|line| {
            section += usize::from(line.trim_start().starts_with('['));
            section
        });
        let mut hidden = Self { section_of_line: of_line.collect(), broken: HashSet::new() };
        let syntax = errors.iter().filter(|finding| finding.code == Code::Syntax);
        hidden.broken = syntax.map(|finding| hidden.section(finding)).collect();
        hidden
    }

    fn hides(&self, finding: &Finding) -> bool {
        let caused = finding.code.may_come_from_absence() || self.broken.contains(&self.section(finding));
        finding.code != Code::Syntax && caused
    }

    fn section(&self, finding: &Finding) -> usize {
        self.section_of_line.get(finding.line - 1).copied().unwrap_or_default()
    }
}
