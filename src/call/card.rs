//! The context card: what an expert is told of the matter before they answer.
//!
//! Pure: a tenant's view and what the request brought go in, a card comes out, and the names of what is not on it. The
//! rule: the first five fields of the view, and a link to the record. If one of those five is of a kind that cannot be
//! shown, it is skipped, and the first four of the view that can be are shown. A sensitive field is on a card only when
//! the request names it; otherwise its place stays empty and no other field moves up, so that nobody learns a
//! field because another was kept back.
//!
//! What is on a card is the customer's affair: its `Debug` counts and shows nothing.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use sbc_config::{CardField, CardKind, CardView};

/// Fields on a card.
pub const FIELDS_MAX: usize = 5;

/// Fields on a card whose view has one among its first [`FIELDS_MAX`] that cannot be shown.
pub const FIELDS_BESIDE_SKIPPED: usize = 4;

/// The longest value, in bytes: a line that is read while the telephone rings.
pub const VALUE_MAX: usize = 200;

/// The longest id of a record, in bytes.
pub const RECORD_MAX: usize = 128;

/// The most values a request may bring: a view has 64 fields.
pub const VALUES_MAX: usize = 64;

/// What a request says of the matter. Fields that the view does not have are not looked at.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Matter {
    /// The id of the record.
    pub record: Option<String>,
    /// Its fields by name.
    pub values: BTreeMap<String, Value>,
    /// The sensitive fields that are to be shown this time.
    pub sensitive: Vec<String>,
}

/// A value as it was brought.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, which a date is too.
    Text(String),
    /// A number, in digits.
    Number(String),
    /// Yes or no.
    Flag(bool),
}

/// A card, and what is not on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// The card.
    pub card: Card,
    /// The fields on it.
    pub shown: Vec<Arc<str>>,
    /// Fields of a kind that cannot be shown, which were passed over.
    pub skipped: Vec<Arc<str>>,
    /// Sensitive fields that the request did not name.
    pub withheld: Vec<Arc<str>>,
    /// Fields in their place for which the request brought nothing.
    pub empty: Vec<Arc<str>>,
}

/// What is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    header: Arc<str>,
    fields: Vec<(CardField, String)>,
    link: Option<String>,
}

/// Why no card can be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// The value is not of its field's kind.
    #[error("the value of `{0}` is not {1}")]
    NotOfKind(Arc<str>, &'static str),
    /// The value is too long, or holds what a line cannot.
    #[error("the value of `{0}` is one line of at most {VALUE_MAX} bytes")]
    NotALine(Arc<str>),
    /// The record's id is too long, or holds what a line cannot.
    #[error("`record` is 1 to {RECORD_MAX} bytes without control characters")]
    BadRecord,
    /// It is opted in to what is no sensitive field of the view.
    #[error("the view has no sensitive field of a name that `sensitive` lists")]
    NotSensitive,
    /// More values than any view has.
    #[error("a card is drawn from {VALUES_MAX} values at most")]
    TooMany,
}

/// Draws the card.
///
/// # Errors
/// When something of the matter cannot be what it says it is. Values off the card are not looked at.
pub fn draw(view: &CardView, matter: &Matter) -> Result<Drawn, CardError> {
    if matter.values.len() > VALUES_MAX || matter.sensitive.len() > VALUES_MAX {
        return Err(CardError::TooMany);
    }
    let is_sensitive =
        |name: &String| view.fields.iter().any(|field| field.sensitive && *field.name == **name);
    if !matter.sensitive.iter().all(is_sensitive) {
        return Err(CardError::NotSensitive);
    }
    let (places, skipped) = places(&view.fields);
    let mut drawn = Drawn {
        card: Card { header: view.header.clone(), fields: Vec::new(), link: None },
        shown: Vec::new(),
        skipped: skipped.into_iter().map(|field| field.name.clone()).collect(),
        withheld: Vec::new(),
        empty: Vec::new(),
    };
    for field in places {
        let name = field.name.clone();
        if field.sensitive && !matter.sensitive.iter().any(|named| **named == *name) {
            drawn.withheld.push(name);
            continue;
        }
        match matter.values.get(&*name) {
            Some(value) => {
                drawn.card.fields.push((field.clone(), said(field, value)?));
                drawn.shown.push(name);
            }
            None => drawn.empty.push(name),
        }
    }
    if let Some(record) = &matter.record {
        if record.is_empty() || record.len() > RECORD_MAX || record.chars().any(char::is_control) {
            return Err(CardError::BadRecord);
        }
        drawn.card.link = view.link.as_ref().map(|link| link.replacen("{record}", &escaped(record), 1));
    }
    Ok(drawn)
}

/// Which fields of a view have a place on the card, and which were passed over for it.
fn places(fields: &[CardField]) -> (Vec<&CardField>, Vec<&CardField>) {
    let can = |field: &&CardField| !matches!(field.kind, CardKind::Unsupported(_));
    let first: Vec<&CardField> = fields.iter().take(FIELDS_MAX).collect();
    if first.iter().all(can) {
        return (first, Vec::new());
    }
    let shown: Vec<&CardField> = fields.iter().filter(can).take(FIELDS_BESIDE_SKIPPED).collect();
    // Those of the first five, and those that stood in the way of a later one.
    let last = shown.last().and_then(|last| fields.iter().position(|field| field.name == last.name));
    let looked_at = last.map_or(0, |last| last + 1).max(first.len());
    let skipped = fields.iter().take(looked_at).filter(|field| !can(field)).collect();
    (shown, skipped)
}

/// A value in words.
fn said(field: &CardField, value: &Value) -> Result<String, CardError> {
    let not = |what| CardError::NotOfKind(field.name.clone(), what);
    let text = match (&field.kind, value) {
        (CardKind::Text, Value::Text(text)) => text.clone(),
        (CardKind::Text | CardKind::Number, Value::Number(number)) => number.clone(),
        (CardKind::Flag, Value::Flag(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
        (CardKind::Date, Value::Text(text)) if is_date(text) => text.clone(),
        (CardKind::Text, _) => return Err(not("a text")),
        (CardKind::Number, _) => return Err(not("a number")),
        (CardKind::Flag, _) => return Err(not("true or false")),
        (CardKind::Date, _) => return Err(not("a day or an instant of RFC 3339")),
        (CardKind::Unsupported(_), _) => return Err(not("of a kind that can be shown")),
    };
    if text.len() > VALUE_MAX || text.chars().any(char::is_control) {
        return Err(CardError::NotALine(field.name.clone()));
    }
    Ok(text)
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok() || text.parse::<jiff::Timestamp>().is_ok()
}

impl Card {
    /// The header that carries it.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Its fields: name, label and value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.fields.iter().map(|(field, value)| (&*field.name, &*field.label, value.as_str()))
    }

    /// Where the record is looked at.
    pub fn link(&self) -> Option<&str> {
        self.link.as_deref()
    }

    /// The card as one header value of at most `most` bytes: `link=…;customer=…`. Everything but unreserved characters
    /// (RFC 3986 section 2.3) is percent-encoded, so that nothing in a record ends a header or begins another. What does
    /// not fit is left out whole, the fields of the end first: half a value says something else.
    pub fn line(&self, most: usize) -> Option<String> {
        let link = self.link.as_deref().map(|link| ("link", link));
        let fields = self.fields().map(|(name, _, value)| (name, value));
        let mut line = String::new();
        for (name, value) in link.into_iter().chain(fields) {
            let part = format!("{name}={}", escaped(value));
            let more = if line.is_empty() { part.len() } else { part.len() + 1 };
            if line.len() + more > most {
                break;
            }
            if !line.is_empty() {
                line.push(';');
            }
            line.push_str(&part);
        }
        (!line.is_empty()).then_some(line)
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({} fields)", self.fields.len())
    }
}

impl fmt::Debug for Matter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matter({} values)", self.values.len())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A view of one letter per field: small ones can be shown, capitals cannot, and digits are sensitive.
    fn view(letters: &str) -> CardView {
        let field = |letter: char| CardField {
            name: letter.to_string().into(),
            label: format!("Field {letter}").into(),
            kind: match letter {
                'A'..='Z' => CardKind::Unsupported("picture".into()),
                _ => CardKind::Text,
            },
            sensitive: letter.is_ascii_digit(),
        };
        CardView {
            tenant: sbc_config::TenantId::new("demo").unwrap(),
            fields: letters.chars().map(field).collect(),
            link: Some("https://crm.example.net/cases/{record}?from=phone".into()),
            header: "X-Sidetone-Card".into(),
        }
    }

    fn matter(letters: &str, sensitive: &str) -> Matter {
        Matter {
            record: Some("CAS 1/2".into()),
            values: letters.chars().map(|c| (c.to_string(), Value::Text(format!("value of {c}")))).collect(),
            sensitive: sensitive.chars().map(String::from).collect(),
        }
    }

    #[test]
    fn the_first_five_or_the_first_four_that_can_be_shown() {
        // view, opted in to; shown, skipped, withheld, empty; of what all but `z` has a value.
        let table = [
            ("abcdefg", "", "abcde", "", "", ""),
            ("abc", "", "abc", "", "", ""),
            // One of the five cannot be shown: four are.
            ("aBcdefg", "", "acde", "B", "", ""),
            ("abcdEfg", "", "abcd", "E", "", ""),
            // Two cannot: the first four that can, of the whole view.
            ("AbCdefg", "", "bdef", "AC", "", ""),
            ("ABCDEfg", "", "fg", "ABCDE", "", ""),
            ("ABCDEFghijk", "", "ghij", "ABCDEF", "", ""),
            // One behind the five stands in nobody's way.
            ("abcdeF", "", "abcde", "", "", ""),
            ("aBcdeFg", "", "acde", "B", "", ""),
            ("ABcdeFg", "", "cdeg", "ABF", "", ""),
            ("A", "", "", "A", "", ""),
            // Sensitive ones keep their place and are not shown, unless named.
            ("a1cdefg", "", "acde", "", "1", ""),
            ("a1cdefg", "1", "a1cde", "", "", ""),
            ("a12defg", "2", "a2de", "", "1", ""),
            ("aB1defg", "", "ade", "B", "1", ""),
            // Off the card, naming it changes nothing.
            ("abcde1", "1", "abcde", "", "", ""),
            // Nothing was brought for it: nothing moves up.
            ("azcdefg", "", "acde", "", "", "z"),
        ];
        for (letters, opted, shown, skipped, withheld, empty) in table {
            let brought: String = letters.chars().filter(|c| *c != 'z').collect();
            let drawn = draw(&view(letters), &matter(&brought, opted)).unwrap();
            let names = |names: &[Arc<str>]| names.concat();
            assert_eq!(names(&drawn.shown), shown, "{letters} {opted}: shown");
            assert_eq!(names(&drawn.skipped), skipped, "{letters} {opted}: skipped");
            assert_eq!(names(&drawn.withheld), withheld, "{letters} {opted}: withheld");
            assert_eq!(names(&drawn.empty), empty, "{letters} {opted}: empty");
            let fields: Vec<_> = drawn.card.fields().map(|(name, _, _)| name).collect();
            assert_eq!(fields.concat(), shown, "the card itself");
            let link = drawn.card.link().unwrap();
            assert_eq!(link, "https://crm.example.net/cases/CAS%201%2F2?from=phone");
        }
    }

    #[test]
    fn a_value_is_of_its_fields_kind() {
        let text = |text: &str| Value::Text(text.into());
        let number = Value::Number("12.5".into());
        let table = [
            (CardKind::Text, text("Ann"), Ok("Ann")),
            (CardKind::Text, number.clone(), Ok("12.5")),
            (CardKind::Text, Value::Flag(true), Err("a text")),
            (CardKind::Number, number.clone(), Ok("12.5")),
            (CardKind::Number, text("12.5"), Err("a number")),
            (CardKind::Flag, Value::Flag(false), Ok("no")),
            (CardKind::Flag, text("no"), Err("true or false")),
            (CardKind::Date, text("2026-11-25"), Ok("2026-11-25")),
            (CardKind::Date, text("2026-11-25T08:00:00Z"), Ok("2026-11-25T08:00:00Z")),
            (CardKind::Date, text("tomorrow"), Err("a day or an instant of RFC 3339")),
            (CardKind::Date, number, Err("a day or an instant of RFC 3339")),
        ];
        for (kind, value, right) in table {
            let field = CardField { name: "a".into(), label: "A".into(), kind, sensitive: false };
            let right = right.map(str::to_owned).map_err(|what| CardError::NotOfKind("a".into(), what));
            assert_eq!(said(&field, &value), right, "{:?}", field.kind);
        }
    }

    #[test]
    fn nothing_in_a_record_gets_out_of_its_line() {
        let mut matter = matter("ab", "");
        matter.values.insert("a".into(), Value::Text("Zoë;b=forged, \"<x>\"".into()));
        let card = draw(&view("ab"), &matter).unwrap().card;
        let line = card.line(1024).unwrap();
        assert_eq!(
            line,
            "link=https%3A%2F%2Fcrm.example.net%2Fcases%2FCAS%25201%252F2%3Ffrom%3Dphone;\
             a=Zo%C3%AB%3Bb%3Dforged%2C%20%22%3Cx%3E%22;b=value%20of%20b"
        );
        for most in 0..line.len() {
            let short = card.line(most).unwrap_or_default();
            assert!(short.len() <= most && line.starts_with(&short), "{most}");
            assert!(
                short.is_empty() || line[short.len()..].starts_with(';'),
                "a value is whole or not there"
            );
        }
        matter.values.insert("a".into(), Value::Text("one\r\nTwo: three".into()));
        assert_eq!(draw(&view("ab"), &matter), Err(CardError::NotALine("a".into())));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let view = view("ab1");
        for record in ["", "a\nb", &"x".repeat(RECORD_MAX + 1)] {
            let matter = Matter { record: Some(record.into()), ..Matter::default() };
            assert_eq!(draw(&view, &matter), Err(CardError::BadRecord));
        }
        for name in ["a", "nobody"] {
            let matter = Matter { sensitive: vec![name.into()], ..Matter::default() };
            assert_eq!(draw(&view, &matter), Err(CardError::NotSensitive));
        }
    }

    #[test]
    fn debug_shows_nobodys_affairs() {
        let matter = matter("ab", "");
        let drawn = draw(&view("ab"), &matter).unwrap();
        let shown = format!("{matter:?} {drawn:?} {:?}", matter.values);
        assert!(!shown.contains("value of") && !shown.contains("CAS"), "{shown}");
    }
}
