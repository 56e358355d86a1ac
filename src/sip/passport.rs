//! What the network of origin says of a caller's right to a number: the PASSporT of an `Identity` header (RFC 8224, RFC
//! 8225, RFC 8588).
//!
//! It is kept and shown, and nothing is decided by it: checking its signature needs the certificates of the country's
//! policy administrator, which a carrier in front of us has and we do not. So it is said with each that it is not
//! verified, and a header that makes no sense is as good as none. It may go on, as it came, to a trunk that wants it: there
//! somebody checks it, and so only while it still speaks of this caller and this call.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sbc_config::Trunk;
use serde::Deserialize;
use serde_json::Value;

use super::header::Name;
use super::message::Headers;
use super::uri::Uri;
use crate::call::Opaque;
use crate::call::door::Caller;
use crate::call::journey::{Attestation, Passport, Verstat};

/// The extension that carries an attestation (RFC 8588).
const SHAKEN: &str = "shaken";

/// Headers that are looked at: a call that was diverted has one more each time.
const HEADERS_MAX: usize = 4;

/// The longest part of a token that is decoded. A PASSporT has some 300 octets.
const PART_BYTES_MAX: usize = 2_048;

/// The longest header that is kept to go on with a call: both parts, a signature, and where its certificate lies.
const HEADER_BYTES_MAX: usize = 4_096;

/// Called numbers that are kept of a token. A call goes to one.
const DEST_MAX: usize = 4;

/// The longest number that is kept of a token, with what people write between digits.
const NUMBER_BYTES_MAX: usize = 32;

#[derive(Deserialize)]
struct Head {
    ppt: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    attest: Option<String>,
    #[serde(default)]
    orig: Value,
    #[serde(default)]
    dest: Value,
    #[serde(default)]
    iat: Value,
}

/// The PASSporT of the first header that attests something.
pub(super) fn passport(headers: &Headers) -> Option<Passport> {
    headers.all(Name::Identity).take(HEADERS_MAX).find_map(|value| read(&value))
}

fn read(value: &Bytes) -> Option<Passport> {
    if value.len() > HEADER_BYTES_MAX {
        return None;
    }
    // Parameters follow the token: info, alg, ppt (RFC 8224 section 4).
    let token = value.split(|octet| *octet == b';').next()?.trim_ascii();
    let mut parts = token.split(|octet| *octet == b'.');
    let (head, claims) = (parts.next()?, parts.next()?);
    let head: Head = part(head)?;
    if head.ppt.as_deref() != Some(SHAKEN) {
        return None;
    }
    let claims: Claims = part(claims)?;
    let level = match claims.attest.as_deref()? {
        "A" => Attestation::Full,
        "B" => Attestation::Partial,
        "C" => Attestation::Gateway,
        _ => return None,
    };
    Some(Passport {
        level,
        orig: numbers(&claims.orig).next(),
        dest: numbers(&claims.dest).take(DEST_MAX).collect(),
        issued_at: claims.iat.as_u64(),
        identity: Opaque(Bytes::copy_from_slice(value)),
    })
}

/// The telephone numbers of a claim: `tn` is one of them, or a list (RFC 8225 section 5.2.1).
fn numbers(claim: &Value) -> impl Iterator<Item = String> + '_ {
    let said = claim.get("tn");
    let one = said.and_then(Value::as_str);
    let many = said.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let short = one.into_iter().chain(many).filter(|number| number.len() <= NUMBER_BYTES_MAX);
    short.map(|number| digits(number).to_owned()).filter(|number| !number.is_empty())
}

fn part<T: for<'a> Deserialize<'a>>(encoded: &[u8]) -> Option<T> {
    if encoded.len() > PART_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// What a carrier that has checked a PASSporT writes behind the number (3GPP TS 24.229 section 7.2A.20): `verstat` in the
/// user part, or in the URI.
pub(super) fn verstat(uri: &Uri) -> Option<Verstat> {
    let user = uri.user().unwrap_or_default();
    let mut behind = user.split(';').skip(1).filter_map(|param| param.split_once('='));
    let found = behind.find(|(name, _)| name.eq_ignore_ascii_case("verstat")).map(|(_, value)| value);
    let word = found.or_else(|| uri.param("verstat").flatten())?.to_ascii_lowercase();
    // Some write the level of what they have checked behind it: TN-Validation-Passed-A.
    match &*word {
        _ if word.starts_with("tn-validation-passed") => Some(Verstat::Passed),
        _ if word.starts_with("tn-validation-failed") => Some(Verstat::Failed),
        "no-tn-validation" => Some(Verstat::NotChecked),
        _ => None,
    }
}

/// The header that goes on to a trunk with a call from this caller to the number that is dialled, both in our numbers. Whether
/// it is too old, the switchboard has seen to.
pub(super) fn line(trunk: &Trunk, caller: &Caller, dialled: &str) -> Option<(String, Bytes)> {
    let passport = caller.journey.passport.as_ref().filter(|_| trunk.pass_identity)?;
    // One who is not shown is not told by the way.
    let is_theirs = !caller.private && passport.orig.as_deref() == Some(digits(&caller.number));
    let is_this_call = passport.dest.iter().any(|dest| *dest == digits(dialled));
    (is_theirs && is_this_call).then(|| (Name::Identity.as_str().to_owned(), passport.identity.0.clone()))
}

/// RFC 8224 section 8.3: a PASSporT has numbers without their plus.
fn digits(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(head: &str, claims: &str) -> Bytes {
        let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let text =
            format!("{head}.{claims}.c2lnbmF0dXJl;info=<https://cert.example/p.cer>;alg=ES256;ppt=shaken");
        Bytes::from(text)
    }

    const HEAD: &str =
        r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://cert.example/p.cer"}"#;

    #[test]
    fn each_level_is_read_with_what_it_is_about() {
        for (level, expected) in
            [("A", Attestation::Full), ("B", Attestation::Partial), ("C", Attestation::Gateway)]
        {
            let claims = format!(
                r#"{{"attest":"{level}","dest":{{"tn":["15550100"]}},"iat":1795000000,"orig":{{"tn":"15550199"}},"origid":"123e4567"}}"#
            );
            let header = identity(HEAD, &claims);
            let passport = Passport {
                level: expected,
                orig: Some("15550199".into()),
                dest: vec!["15550100".into()],
                issued_at: Some(1_795_000_000),
                identity: Opaque(header.clone()),
            };
            assert_eq!(read(&header), Some(passport));
        }
    }

    #[test]
    fn what_is_missing_in_it_is_not_known_and_the_level_stands() {
        let claims = r#"{"attest":"A","dest":{"uri":["sip:x"]},"iat":"yesterday","orig":[7]}"#;
        let passport = read(&identity(HEAD, claims)).unwrap();
        assert_eq!((passport.level, passport.orig, passport.issued_at), (Attestation::Full, None, None));
        assert!(passport.dest.is_empty());
        let many = format!(r#"{{"attest":"A","dest":{{"tn":[{}"+1"]}}}}"#, r#""+1555","#.repeat(40));
        assert_eq!(read(&identity(HEAD, &many)).unwrap().dest, ["1555"; DEST_MAX]);
    }

    #[test]
    fn what_makes_no_sense_is_as_good_as_none() {
        let claims = r#"{"attest":"A"}"#;
        let long = format!(r#"{{"attest":"A","orig":"{}"}}"#, "5".repeat(PART_BYTES_MAX));
        let plain = |text: &'static str| Bytes::from_static(text.as_bytes());
        for value in [
            plain(""),
            plain(";;"),
            plain(".."),
            plain("not.base64!.x"),
            identity("{}", claims),
            identity(r#"{"ppt":"div"}"#, claims),
            identity(HEAD, "[]"),
            identity(HEAD, r#"{"attest":"D"}"#),
            identity(HEAD, r#"{"attest":7}"#),
            identity(HEAD, &long),
        ] {
            assert_eq!(read(&value), None, "{value:?}");
        }
        assert_eq!(read(&Bytes::from_static(&[0xff, b'.', 0xfe, b'.'])), None);
    }

    #[test]
    fn the_carriers_own_word_stands_behind_the_number() {
        for (uri, expected) in [
            ("sip:+1555;verstat=TN-Validation-Passed@a;user=phone", Some(Verstat::Passed)),
            ("sip:+1555;npdi;VERSTAT=TN-Validation-Failed-B@a", Some(Verstat::Failed)),
            ("tel:+1555;verstat=No-TN-Validation", Some(Verstat::NotChecked)),
            ("sip:+1555@a;verstat=TN-Validation-Passed", Some(Verstat::Passed)),
            ("sip:+1555;verstat=perhaps@a", None),
            ("sip:+1555@a", None),
        ] {
            let read = Uri::parse(Bytes::copy_from_slice(uri.as_bytes())).unwrap();
            assert_eq!(verstat(&read), expected, "{uri}");
        }
    }
}
