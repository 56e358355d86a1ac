//! Telephone numbers as people type them into a directory.
//!
//! A directory field is free text. What can be dialled is an international number; no country is guessed.

use sbc_config::E164;

/// The longest text that is looked at: a number, its separators and an extension.
const TEXT_BYTES_MAX: usize = 128;
/// The longest extension.
const EXTENSION_DIGITS_MAX: usize = 15;

/// A number that can be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialable {
    /// `+` and digits.
    pub number: E164,
    /// What stood behind `;ext=` or `x`.
    pub extension: Option<String>,
}

impl Dialable {
    /// As Direct Routing needs it: with `;ext=`, or the lookup fails where a base number is shared.
    pub fn full(&self) -> String {
        match &self.extension {
            Some(extension) => format!("{};ext={extension}", self.number.as_str()),
            None => self.number.as_str().to_owned(),
        }
    }
}

/// Why a text is no number to dial. The words are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberFault {
    /// Nothing there.
    Missing,
    /// `00` where a plus belongs.
    ZeroZero,
    /// A national number, or one without its plus.
    NeedsPlus,
    /// Letters, or signs that are no separators.
    Characters,
    /// Fewer than 7 or more than 15 digits, or a country code that begins with 0.
    Length,
}

impl NumberFault {
    /// The stable word.
    pub fn code(self) -> &'static str {
        match self {
            NumberFault::Missing => "number_missing",
            NumberFault::ZeroZero | NumberFault::NeedsPlus => "number_needs_plus",
            NumberFault::Characters => "number_not_digits",
            NumberFault::Length => "number_length",
        }
    }

    /// A sentence for people; it quotes nothing.
    pub fn detail(self) -> &'static str {
        match self {
            NumberFault::Missing => "there is no number",
            NumberFault::ZeroZero => "replace 00 by +",
            NumberFault::NeedsPlus => "the number does not begin with + and the country code",
            NumberFault::Characters => "the number holds letters or signs",
            NumberFault::Length => {
                "an international number has 7 to 15 digits and no country code begins with 0"
            }
        }
    }
}

/// Reads a number from free text.
///
/// # Errors
/// [`NumberFault`], when it is none that can be dialled without guessing.
pub fn dialable(text: &str) -> Result<Dialable, NumberFault> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(NumberFault::Length);
    }
    // PowerShell and SIP write `tel:+1…`.
    let text = text.trim();
    let text = match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &text[4..],
        _ => text,
    };
    let (base, extension) = split_extension(text)?;
    let stripped: String = base.chars().filter(|c| !is_separator(*c)).collect();
    let digits = match stripped.strip_prefix('+') {
        Some(digits) => digits,
        None if stripped.is_empty() => return Err(NumberFault::Missing),
        None if !stripped.bytes().all(|b| b.is_ascii_digit()) => return Err(NumberFault::Characters),
        None if stripped.starts_with("00") => return Err(NumberFault::ZeroZero),
        None => return Err(NumberFault::NeedsPlus),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NumberFault::Characters);
    }
    let number = E164::parse(&stripped).map_err(|_| NumberFault::Length)?;
    Ok(Dialable { number, extension })
}

/// Whether two texts name the same number. What is no number agrees with nothing.
pub fn agree(one: &str, other: &str) -> bool {
    matches!((dialable(one), dialable(other)), (Ok(one), Ok(other)) if one.number == other.number)
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '.' | '(' | ')')
}

/// `+1 425 555 0100;ext=12`, `… x12`, `… ext. 12`.
fn split_extension(text: &str) -> Result<(&str, Option<String>), NumberFault> {
    let at = text.find([';', 'x', 'X', 'e', 'E', '#']);
    let Some((base, rest)) = at.and_then(|at| text.split_at_checked(at)) else { return Ok((text, None)) };
    let rest = rest.trim_start_matches([';', '#', ' ']).to_ascii_lowercase();
    let digits = ["ext=", "ext.", "ext", "x"].iter().find_map(|mark| rest.strip_prefix(mark));
    let digits: String = digits.unwrap_or(&rest).chars().filter(|c| !is_separator(*c)).collect();
    let fits = (1..=EXTENSION_DIGITS_MAX).contains(&digits.len());
    if fits && digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok((base, Some(digits)))
    } else {
        Err(NumberFault::Characters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        use NumberFault::*;
        let number = |number: &str| Ok((number.to_owned(), None));
        let with = |number: &str, extension: &str| Ok((number.to_owned(), Some(extension.to_owned())));
        let cases = [
            ("+14255550100", number("+14255550100")),
            ("+1 (425) 555-0100", number("+14255550100")),
            ("+33 1.23.45.67.89", number("+33123456789")),
            (" tel:+14255550100 ", number("+14255550100")),
            ("+1\u{a0}425\u{a0}555\u{a0}0100", number("+14255550100")),
            ("+14255550100;ext=123", with("+14255550100", "123")),
            ("+1 425 555 0100 x123", with("+14255550100", "123")),
            ("+1 425 555 0100 ext. 1 23", with("+14255550100", "123")),
            ("+1 425 555 0100 EXT 7", with("+14255550100", "7")),
            ("4255550100", Err(NeedsPlus)),
            ("(0)89 1234567", Err(NeedsPlus)),
            ("0049 89 1234567", Err(ZeroZero)),
            ("14255550100;ext=1", Err(NeedsPlus)),
            ("", Err(Missing)),
            ("  -  ", Err(Missing)),
            ("+1 425 FLOWERS", Err(Characters)),
            ("see assistant", Err(Characters)),
            ("+1425555/0100", Err(Characters)),
            ("++14255550100", Err(Characters)),
            ("+14255550100 x", Err(Characters)),
            ("+14255550100;ext=12;ext=13", Err(Characters)),
            ("+1425", Err(Length)),
            ("+1234567890123456", Err(Length)),
            ("+04255550100", Err(Length)),
            ("+", Err(Length)),
            ("+٣٣١٢٣٤٥٦٧٨٩", Err(Characters)),
        ];
        for (text, right) in cases {
            let read = dialable(text).map(|read| (read.number.as_str().to_owned(), read.extension));
            assert_eq!(read, right, "{text:?}");
        }
        assert_eq!(dialable(&"1".repeat(200)), Err(Length));
    }

    #[test]
    fn the_extension_goes_to_direct_routing_in_full() {
        assert_eq!(dialable("+14255550100 x1001").unwrap().full(), "+14255550100;ext=1001");
        assert_eq!(dialable("+14255550100").unwrap().full(), "+14255550100");
        assert!(agree("+1 425 555 0100", "tel:+14255550100;ext=1"));
        assert!(!agree("425 555 0100", "425 555 0100"), "what is no number agrees with nothing");
    }
}
