//! Telephone numbers: an international number, and whatever else somebody dialled.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// ITU-T E.164 section 6: at most 15 digits, country code included.
pub const MAX_E164_DIGITS: usize = 15;
/// The shortest subscriber numbers in service have seven digits with their country code. A shorter string is
/// a short code or an extension, and those are dialled without `+`.
pub const MIN_E164_DIGITS: usize = 7;
/// The longest dialled string, in bytes. The user part of a SIP URI may be longer; no number is.
pub const MAX_DIALLED_BYTES: usize = 128;

/// Why a text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Nothing left after the separators.
    #[error("there is no number here")]
    Empty,
    /// An international number begins with `+` and the country code.
    #[error("an international number begins with '+'")]
    NoPlus,
    /// E.164: no country code begins with 0.
    #[error("no country code begins with 0")]
    LeadingZero,
    /// A character that is neither digit nor visual separator.
    #[error("only digits and the separators space, '-', '.', '(', ')' may follow the '+'")]
    BadCharacter,
    /// Fewer than [`MIN_E164_DIGITS`].
    #[error("an international number has at least {MIN_E164_DIGITS} digits")]
    TooShort,
    /// More than [`MAX_E164_DIGITS`], or a dialled string of more than [`MAX_DIALLED_BYTES`].
    #[error("too long for a number")]
    TooLong,
}

/// An international number in its one normal form: `+` and 7 to 15 digits (ITU-T E.164).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(Arc<str>);

impl E164 {
    /// Reads `+1 (555) 010-0100` as `+15550100100`.
    ///
    /// Visual separators (RFC 3966 section 5.1.1, and the space people type) are dropped.
    ///
    /// # Errors
    /// [`NumberError`] when anything else remains, or the number has too few or too many digits.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if text.len() > MAX_DIALLED_BYTES {
            return Err(NumberError::TooLong);
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        let digits = text.strip_prefix('+').ok_or(NumberError::NoPlus)?;
        let mut normal = String::with_capacity(MAX_E164_DIGITS + 1);
        normal.push('+');
        for c in digits.chars().filter(|c| !is_separator(*c)) {
            if !c.is_ascii_digit() {
                return Err(NumberError::BadCharacter);
            }
            if normal.len() > MAX_E164_DIGITS {
                return Err(NumberError::TooLong);
            }
            normal.push(c);
        }
        match normal.len() - 1 {
            0 => Err(NumberError::Empty),
            _ if normal.as_bytes()[1] == b'0' => Err(NumberError::LeadingZero),
            1..MIN_E164_DIGITS => Err(NumberError::TooShort),
            _ => Ok(Self(normal.into())),
        }
    }

    /// The normal form with its `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without the `+`.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E164({})", self.0)
    }
}

impl std::str::FromStr for E164 {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        Self::parse(text)
    }
}

impl Serialize for E164 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What somebody dialled: the user part of a request URI or the number of a `tel:` URI.
///
/// An international number is known as such; an extension, a national number, a service code (`*41100`) or a
/// name (`alice`) is kept as it came, without visual separators if it is made of dial-pad characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialled {
    /// An international number.
    E164(E164),
    /// Anything else.
    Other(Arc<str>),
}

impl Dialled {
    /// Takes what stands before the `@` (or after `tel:`), already percent-decoded. Parameters after `;` are cut.
    ///
    /// # Errors
    /// [`NumberError::Empty`], [`NumberError::TooLong`], or [`NumberError::BadCharacter`] for control characters.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let text = text.split(';').next().unwrap_or_default().trim();
        if text.len() > MAX_DIALLED_BYTES {
            return Err(NumberError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NumberError::BadCharacter);
        }
        if let Ok(number) = E164::parse(text) {
            return Ok(Self::E164(number));
        }
        let dial_pad = |c: char| c.is_ascii_digit() || matches!(c, '+' | '*' | '#') || is_separator(c);
        let kept: String = if text.chars().all(dial_pad) {
            text.chars().filter(|c| !is_separator(*c)).collect()
        } else {
            text.to_owned()
        };
        if kept.is_empty() { Err(NumberError::Empty) } else { Ok(Self::Other(kept.into())) }
    }

    /// The text in its normal form, with `+` if it is an international number.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::E164(number) => number.as_str(),
            Self::Other(text) => text,
        }
    }

    /// The international number, if it is one.
    #[must_use]
    pub fn as_e164(&self) -> Option<&E164> {
        match self {
            Self::E164(number) => Some(number),
            Self::Other(_) => None,
        }
    }

    /// What route matching compares: the text without a leading `+`, because many carriers send international
    /// numbers without it.
    #[must_use]
    pub fn match_key(&self) -> &str {
        let text = self.as_str();
        text.strip_prefix('+').unwrap_or(text)
    }
}

impl fmt::Display for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<E164> for Dialled {
    fn from(number: E164) -> Self {
        Self::E164(number)
    }
}

impl Serialize for Dialled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '(' | ')')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_international_number_has_one_form_however_it_was_written() {
        for text in ["+15550100", "+1 555 0100", "+1 (555) 0100", "+1-555.0100", " +15550100 "] {
            assert_eq!(E164::parse(text).unwrap().as_str(), "+15550100", "{text}");
        }
        assert_eq!(E164::parse("+15550100").unwrap().digits(), "15550100");
    }

    #[test]
    fn what_is_not_an_international_number_says_why() {
        for (text, error) in [
            ("", NumberError::Empty),
            ("+", NumberError::Empty),
            ("+()", NumberError::Empty),
            ("15550100", NumberError::NoPlus),
            ("+0555010", NumberError::LeadingZero),
            ("+1555", NumberError::TooShort),
            ("+1234567890123456", NumberError::TooLong),
            ("+1555o100", NumberError::BadCharacter),
            ("+1555\u{661}0100", NumberError::BadCharacter),
            ("++15550100", NumberError::BadCharacter),
        ] {
            assert_eq!(E164::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_dialled_string_that_is_no_international_number_is_kept() {
        let dialled = |text: &str| Dialled::parse(text).unwrap();
        assert!(matches!(dialled("+1 555 0100"), Dialled::E164(_)));
        assert_eq!(dialled("100").as_str(), "100");
        assert_eq!(dialled("*41 100").as_str(), "*41100");
        assert_eq!(dialled("alice.b-2").as_str(), "alice.b-2");
        assert_eq!(dialled("+15550100;npdi;rn=+1").as_str(), "+15550100");
        assert_eq!(Dialled::parse(";x=1"), Err(NumberError::Empty));
        assert_eq!(Dialled::parse("a\r\nb"), Err(NumberError::BadCharacter));
    }

    #[test]
    fn a_carrier_that_leaves_out_the_plus_dials_the_same_number() {
        let with = Dialled::parse("+15550100").unwrap();
        let without = Dialled::parse("15550100").unwrap();
        assert_eq!(with.match_key(), without.match_key());
    }

    proptest! {
        #[test]
        fn any_text_gives_a_number_or_a_reason_and_the_normal_form_is_stable(text in ".{0,200}") {
            if let Ok(dialled) = Dialled::parse(&text) {
                prop_assert_eq!(Dialled::parse(dialled.as_str()).unwrap(), dialled);
            }
            if let Ok(number) = E164::parse(&text) {
                prop_assert!(number.digits().len() <= MAX_E164_DIGITS);
                prop_assert_eq!(E164::parse(number.as_str()).unwrap(), number);
            }
        }
    }
}
