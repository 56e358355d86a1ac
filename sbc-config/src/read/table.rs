//! Typed reading of a TOML table that notes what is wrong and goes on.
//!
//! A reader that fails has reported its finding and gives `None` or the default. The caller reads every
//! setting before it gives up on the whole, so that all findings come out in one run.

use std::cell::RefCell;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::report::Report;
use super::similar;
use crate::finding::{Code, Severity};

/// The longest text setting, in bytes, unless a setting says otherwise. File names may be this long (PATH_MAX).
const MAX_TEXT_BYTES: usize = 4096;
/// The longest name shown to people, in bytes. It has to fit into a SIP header with room to spare.
const MAX_NAME_BYTES: usize = 128;

/// One table of the file.
pub(super) struct Section<'a> {
    report: &'a Report<'a>,
    table: &'a DeTable<'a>,
    /// Settings that count where the table has none: a profile's.
    behind: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    path: String,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn new(
        report: &'a Report<'a>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        path: impl Into<String>,
    ) -> Self {
        Self { report, table, behind: None, span, path: path.into(), known: RefCell::default() }
    }

    /// The same section, with settings behind it. A setting that comes from there has its place, for findings, where
    /// the section stands.
    pub(super) fn over(&self, behind: &'a DeTable<'a>) -> Self {
        let mut section = Self::new(self.report, self.table, self.span.clone(), self.path.clone());
        section.behind = Some(behind);
        section
    }

    /// A finding about the section as a whole.
    pub(super) fn fail(&self, code: Code, message: impl Into<String>, remedy: impl Into<String>) {
        self.report.add(Severity::Error, code, &self.span, &self.path, message, remedy);
    }

    /// A finding about a setting that may be absent and then stands at its default.
    pub(super) fn fail_at(
        &self,
        field: Option<&Field<'a>>,
        code: Code,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        match field {
            Some(field) => field.fail(code, message, remedy),
            None => self.fail(code, message, remedy),
        }
    }

    /// Something about the section to look at.
    pub(super) fn warn(&self, code: Code, message: impl Into<String>, remedy: impl Into<String>) {
        self.report.add(Severity::Warning, code, &self.span, &self.path, message, remedy);
    }

    /// The setting, if it is there. From here on the name is known.
    pub(super) fn field(&self, key: &'static str) -> Option<Field<'a>> {
        if !self.known.borrow().contains(&key) {
            self.known.borrow_mut().push(key);
        }
        let behind = self.behind.and_then(|table| table.get(key));
        match self.table.get(key) {
            Some(value) => {
                let mut field = Field::new(self.report, value, self.path_of(key));
                field.behind = behind.and_then(|value| value.get_ref().as_table());
                Some(field)
            }
            None => behind.map(|value| {
                let (span, path) = (self.span.clone(), self.path_of(key));
                Field { report: self.report, value: value.get_ref(), span, path, behind: None, shipped: true }
            }),
        }
    }

    /// Whether the file itself has the setting.
    pub(super) fn writes(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Every setting of a table whose names are not ours, with its name.
    pub(super) fn entries(&self, most: usize) -> Vec<(&'a str, Field<'a>)> {
        if self.table.len() > most {
            self.fail(Code::TooLong, format!("there are more than {most} of them"), "shorten it");
            return Vec::new();
        }
        let entry = |(key, value): (&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>)| {
            let name: &'a str = key.get_ref();
            (name, Field::new(self.report, value, self.path_of(&shown(name))))
        };
        self.table.iter().map(entry).collect()
    }

    /// The setting; a finding if it is not there.
    pub(super) fn required(&self, key: &'static str, remedy: &str) -> Option<Field<'a>> {
        let field = self.field(key);
        if field.is_none() {
            let message = format!("`{key}` is missing");
            let path = self.path_of(key);
            self.report.add(Severity::Error, Code::MissingKey, &self.span, &path, message, remedy);
        }
        field
    }

    /// A setting that would hold a secret in the file.
    pub(super) fn refuse_inline_secret(&self, key: &'static str, remedy: &str) -> bool {
        let field = self.field(key);
        if let Some(field) = &field {
            field.fail(Code::InlineSecret, "secrets may not stand in the file", remedy);
        }
        field.is_some()
    }

    /// A setting that says nothing in this place.
    pub(super) fn refuse_out_of_place(&self, key: &'static str, message: &str) {
        if let Some(field) = self.field(key) {
            field.fail(Code::OutOfPlace, message, "remove it");
        }
    }

    /// A whole number within a range, or its default.
    pub(super) fn number(&self, key: &'static str, range: RangeInclusive<u32>, default: u32) -> u32 {
        self.field(key).and_then(|field| field.number(range)).unwrap_or(default)
    }

    /// As [`Self::number`], for counts of things in memory.
    pub(super) fn count(&self, key: &'static str, range: RangeInclusive<u32>, default: u32) -> usize {
        // A u32 fits into a usize on every machine with sockets.
        usize::try_from(self.number(key, range, default)).unwrap_or(usize::MAX)
    }

    /// Whole seconds within a range, or the default.
    pub(super) fn seconds(&self, key: &'static str, range: RangeInclusive<u32>, default: u32) -> Duration {
        Duration::from_secs(self.number(key, range, default).into())
    }

    /// One of several words, or the default.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        self.field(key).and_then(|field| field.choice(words)).unwrap_or(default)
    }

    /// A name for people, or the default.
    pub(super) fn name(&self, key: &'static str, default: &str) -> Arc<str> {
        self.field(key).and_then(|field| field.name()).unwrap_or_else(|| default.into())
    }

    /// Refuses every setting that was not asked for.
    pub(super) fn finish(&self) {
        let known = self.known.borrow();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let remedy = match similar::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("remove it; known here: {}", known.join(", ")),
            };
            let path = self.path_of(&shown(name));
            let message = "there is no such setting";
            self.report.add(Severity::Error, Code::UnknownKey, &key.span(), &path, message, remedy);
        }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// One value of the file, with its place.
#[derive(Clone)]
pub(super) struct Field<'a> {
    report: &'a Report<'a>,
    value: &'a DeValue<'a>,
    span: Range<usize>,
    path: String,
    /// Settings that count where this table has none.
    behind: Option<&'a DeTable<'a>>,
    /// Whether the value is a profile's, so that what is inside it has no place in the file.
    shipped: bool,
}

impl<'a> Field<'a> {
    pub(super) fn new(report: &'a Report<'a>, value: &'a Spanned<DeValue<'a>>, path: String) -> Self {
        Self { report, value: value.get_ref(), span: value.span(), path, behind: None, shipped: false }
    }

    pub(super) fn fail(&self, code: Code, message: impl Into<String>, remedy: impl Into<String>) {
        self.report.add(Severity::Error, code, &self.span, &self.path, message, remedy);
    }

    pub(super) fn warn(&self, code: Code, message: impl Into<String>, remedy: impl Into<String>) {
        self.report.add(Severity::Warning, code, &self.span, &self.path, message, remedy);
    }

    pub(super) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// A value inside this one, under `name`.
    pub(super) fn child(&self, value: &'a Spanned<DeValue<'a>>, name: &str) -> Field<'a> {
        Self::new(self.report, value, format!("{}.{}", self.path, shown(name)))
    }

    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// A text without control characters, at most [`MAX_TEXT_BYTES`] long and not empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        let Some(text) = self.value.as_str() else {
            self.wrong_type("a text in quotes");
            return None;
        };
        if text.is_empty() {
            self.fail(Code::BadValue, "the text is empty", "write a value or remove the setting");
        } else if text.len() > MAX_TEXT_BYTES {
            let message = format!("the text is longer than {MAX_TEXT_BYTES} bytes");
            self.fail(Code::TooLong, message, "shorten it");
        } else if text.chars().any(char::is_control) {
            self.fail(Code::BadValue, "the text holds a control character", "write it in plain characters");
        } else {
            return Some(text);
        }
        None
    }

    /// A short text for people. It ends up in SIP headers, so quotes and backslashes are left out of it.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        let text = self.text()?;
        if text.len() > MAX_NAME_BYTES {
            let message = format!("the name is longer than {MAX_NAME_BYTES} bytes");
            self.fail(Code::TooLong, message, "shorten it");
            return None;
        }
        if text.contains(['"', '\\', '<', '>']) {
            let message = "a name may not hold quotation marks, backslashes or angle brackets";
            self.fail(Code::BadValue, message, "write it without them");
            return None;
        }
        Some(text.into())
    }

    /// A text that must be understood. The error is shown, the text is not: it may be a misplaced secret.
    pub(super) fn parsed<T, E: Display>(
        &self,
        code: Code,
        remedy: &str,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(code, error.to_string(), remedy);
                None
            }
        }
    }

    pub(super) fn number(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let Some(integer) = self.value.as_integer() else {
            self.wrong_type("a whole number");
            return None;
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = range.into_inner();
            self.fail(
                Code::OutOfRange,
                format!("{} is outside the limits", shown(integer.as_str())),
                format!("choose a number from {least} to {most}"),
            );
        }
        number
    }

    pub(super) fn flag(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.wrong_type("true or false");
        }
        flag
    }

    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let all: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let remedy = match similar::nearest(text, words.iter().map(|(word, _)| *word)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write {}", all.join(" or ")),
            };
            self.fail(Code::BadValue, format!("\"{}\" is not known here", shown(text)), remedy);
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn socket_address(&self) -> Option<SocketAddr> {
        self.parsed(
            Code::BadValue,
            "write an address and a port, as \"127.0.0.1:5060\" or \"[::1]:5060\"",
            |text| text.parse::<SocketAddr>().map_err(|_| "this is not a socket address"),
        )
    }

    /// The items of a list that holds 1 to `most` of them.
    pub(super) fn items(&self, most: usize) -> Option<Vec<Field<'a>>> {
        let Some(array) = self.value.as_array() else {
            self.wrong_type("a list in brackets");
            return None;
        };
        if array.is_empty() {
            self.fail(Code::BadValue, "the list is empty", "name at least one or remove the setting");
            return None;
        }
        if array.len() > most {
            self.fail(Code::TooLong, format!("the list has more than {most} items"), "shorten it");
            return None;
        }
        let item = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| {
            let mut item = Self::new(self.report, value, format!("{}[{index}]", self.path));
            if self.shipped {
                (item.span, item.shipped) = (self.span.clone(), true);
            }
            item
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    /// The items of a list, each read by `read`, no two the same.
    pub(super) fn list<T: PartialEq>(
        &self,
        most: usize,
        read: impl Fn(&Field<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut values = Vec::new();
        for item in self.items(most)? {
            let Some(value) = read(&item) else { continue };
            if values.contains(&value) {
                item.fail(Code::Duplicate, "this is in the list already", "remove one of them");
            } else {
                values.push(value);
            }
        }
        Some(values)
    }

    /// The value as a table of its own.
    pub(super) fn section(&self) -> Option<Section<'a>> {
        let Some(table) = self.value.as_table() else {
            self.wrong_type("a table");
            return None;
        };
        let section = Section::new(self.report, table, self.span.clone(), self.path.clone());
        Some(match self.behind {
            Some(behind) => section.over(behind),
            None => section,
        })
    }

    fn wrong_type(&self, wanted: &str) {
        let found = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.fail(Code::WrongType, format!("this is {found}"), format!("write {wanted}"));
    }
}

/// A text for a message: short, and without anything that could disturb a terminal.
pub(super) fn shown(text: &str) -> String {
    const MOST_CHARS: usize = 40;
    let mut shown: String = text.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
