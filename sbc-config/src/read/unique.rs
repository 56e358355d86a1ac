//! Notices when two things share what must tell them apart.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use super::report::Report;
use super::table::Field;
use crate::finding::Code;

/// What has been seen, and where.
pub(super) struct Unique<'a, K> {
    report: &'a Report<'a>,
    seen: HashMap<K, Range<usize>>,
}

impl<'a, K: Hash + Eq> Unique<'a, K> {
    pub(super) fn new(report: &'a Report<'a>) -> Self {
        Self { report, seen: HashMap::new() }
    }

    /// A finding at `field` if `key` was seen before. `what` names it without its value.
    pub(super) fn note(&mut self, key: K, field: &Field<'a>, code: Code, what: &str) {
        if let Some(first) = self.seen.get(&key) {
            let message = format!("{what} is taken since line {}", self.report.line(first));
            field.fail(code, message, "choose another");
        } else {
            self.seen.insert(key, field.span().clone());
        }
    }
}
