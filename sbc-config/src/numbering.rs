//! What a trunk does to numbers: rules that rewrite them, and patterns that allow them.
//!
//! Inside the gateway a number is E.164 with its `+`. Carriers want other forms; the rules of a trunk, applied in
//! the order of the file, lead from one to the other.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::number::{MAX_E164_DIGITS, NumberError};

/// One rule of `numbers_in`, `numbers_out` or `caller_numbers_out`. A rule that does not fit a number leaves it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberRule {
    /// `{ strip_plus = true }`: without the leading `+`.
    StripPlus,
    /// `{ add_prefix = "9" }`: with this before it.
    AddPrefix(Arc<str>),
    /// `{ strip_prefix = "00" }`: without this before it.
    StripPrefix(Arc<str>),
    /// `{ replace_prefix = { from = "00", to = "+" } }`
    ReplacePrefix {
        /// What it begins with.
        from: Arc<str>,
        /// What it begins with afterwards.
        to: Arc<str>,
    },
    /// `{ national = { country = "44", trunk_prefix = "0" } }`: outwards `+442079460000` becomes `02079460000`; inwards
    /// the other way round. A number of another country stays as it is.
    National {
        /// The country code.
        country: Arc<str>,
        /// What the country dials before a national number; empty in North America.
        trunk_prefix: Arc<str>,
    },
}

/// Which way a number goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the trunk into the gateway.
    In,
    /// From the gateway to the trunk.
    Out,
}

impl NumberRule {
    /// The number after this rule.
    #[must_use]
    pub fn apply<'n>(&self, direction: Direction, number: &'n str) -> Cow<'n, str> {
        let stripped = |prefix: &str| number.strip_prefix(prefix);
        match self {
            Self::StripPlus => stripped("+").unwrap_or(number).into(),
            Self::AddPrefix(prefix) => format!("{prefix}{number}").into(),
            Self::StripPrefix(prefix) => stripped(prefix).unwrap_or(number).into(),
            Self::ReplacePrefix { from, to } => match stripped(from) {
                Some(rest) => format!("{to}{rest}").into(),
                None => number.into(),
            },
            Self::National { country, trunk_prefix } => {
                let national = match direction {
                    Direction::Out => stripped("+").and_then(|rest| rest.strip_prefix(&**country)),
                    Direction::In if number.starts_with('+') => None,
                    Direction::In => stripped(trunk_prefix),
                };
                match (direction, national) {
                    (_, None) => number.into(),
                    (Direction::Out, Some(national)) => format!("{trunk_prefix}{national}").into(),
                    (Direction::In, Some(national)) => format!("+{country}{national}").into(),
                }
            }
        }
    }

    /// The number after all rules, in their order.
    #[must_use]
    pub fn apply_all(rules: &[Self], direction: Direction, number: &str) -> String {
        rules.iter().fold(number.to_owned(), |number, rule| rule.apply(direction, &number).into_owned())
    }
}

/// Numbers that are allowed: one, as `+15550100`, or all that begin so, as `+1555*`. Digits alone are compared, so
/// that a carrier may leave out the `+`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NumberPattern {
    digits: Arc<str>,
    whole: bool,
}

impl NumberPattern {
    /// Reads `+15550100` or `+1555*`.
    ///
    /// # Errors
    /// [`NumberError`] when it is neither.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let (digits, whole) = text.strip_suffix('*').map_or((text, true), |digits| (digits, false));
        let digits = digits.strip_prefix('+').ok_or(NumberError::NoPlus)?;
        match digits.len() {
            0 => Err(NumberError::Empty),
            _ if !digits.bytes().all(|b| b.is_ascii_digit()) => Err(NumberError::BadCharacter),
            _ if digits.starts_with('0') => Err(NumberError::LeadingZero),
            n if n > MAX_E164_DIGITS => Err(NumberError::TooLong),
            _ => Ok(Self { digits: digits.into(), whole }),
        }
    }

    /// Whether it allows the number.
    #[must_use]
    pub fn allows(&self, number: &str) -> bool {
        let number = number.strip_prefix('+').unwrap_or(number);
        if self.whole { number == &*self.digits } else { number.starts_with(&*self.digits) }
    }
}

/// As written in the file.
impl fmt::Display for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}{}", self.digits, if self.whole { "" } else { "*" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn national(country: &str, trunk_prefix: &str) -> NumberRule {
        NumberRule::National { country: country.into(), trunk_prefix: trunk_prefix.into() }
    }

    #[test]
    fn rules_apply_in_their_order_and_leave_alone_what_they_do_not_fit() {
        let out = |rules: &[NumberRule], number| NumberRule::apply_all(rules, Direction::Out, number);
        assert_eq!(out(&[NumberRule::StripPlus], "+15550100"), "15550100");
        assert_eq!(out(&[NumberRule::StripPlus], "112"), "112");
        let tech_prefix = [NumberRule::StripPlus, NumberRule::AddPrefix("9001".into())];
        assert_eq!(out(&tech_prefix, "+15550100"), "900115550100");
        assert_eq!(out(&[national("44", "0")], "+442079460000"), "02079460000");
        assert_eq!(out(&[national("1", "")], "+15550100"), "5550100");
        assert_eq!(out(&[national("44", "0")], "+15550100"), "+15550100");
        let into = |rules: &[NumberRule], number| NumberRule::apply_all(rules, Direction::In, number);
        let international = NumberRule::ReplacePrefix { from: "00".into(), to: "+".into() };
        let british = [international, national("44", "0")];
        assert_eq!(into(&british, "02079460000"), "+442079460000");
        assert_eq!(into(&british, "0015550100"), "+15550100");
        assert_eq!(into(&british, "+15550100"), "+15550100");
        assert_eq!(into(&[NumberRule::StripPrefix("9".into())], "95550100"), "5550100");
    }

    #[test]
    fn a_pattern_allows_one_number_or_all_that_begin_so() {
        let allows = |pattern, number| NumberPattern::parse(pattern).unwrap().allows(number);
        assert!(allows("+15550100", "+15550100") && allows("+15550100", "15550100"));
        assert!(!allows("+15550100", "+155501001"));
        assert!(
            allows("+1555*", "+15550100") && !allows("+1555*", "+1444") && !allows("+1555*", "anonymous")
        );
        assert_eq!(NumberPattern::parse("+1555*").unwrap().to_string(), "+1555*");
        for (text, error) in [
            ("15550100", NumberError::NoPlus),
            ("+*", NumberError::Empty),
            ("+44x*", NumberError::BadCharacter),
            ("+0*", NumberError::LeadingZero),
            ("+1234567890123456", NumberError::TooLong),
        ] {
            assert_eq!(NumberPattern::parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_national_number_comes_back(digits in "[1-9][0-9]{5,9}", country in "[1-9][0-9]{0,2}") {
            let rule = [national(&country, "0")];
            let number = format!("+{country}{digits}");
            let out = NumberRule::apply_all(&rule, Direction::Out, &number);
            prop_assert_eq!(NumberRule::apply_all(&rule, Direction::In, &out), number);
        }
    }
}
