//! What the network of origin says of a caller's right to a number: the PASSporT of an `Identity` header (RFC 8224, RFC
//! 8225, RFC 8588).
//!
//! It is read and shown, and nothing is decided by it: checking its signature needs the certificates of the country's
//! policy administrator, which a carrier in front of us has and we do not. So it is said with each that it is not
//! verified, and a header that makes no sense is as good as none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::message::Headers;
use crate::call::door::Attestation;

const IDENTITY: &str = "Identity";

/// The extension that carries an attestation (RFC 8588).
const SHAKEN: &str = "shaken";

/// Headers that are looked at: a call that was diverted has one more each time.
const HEADERS_MAX: usize = 4;

/// The longest part of a token that is decoded. A PASSporT has some 300 octets.
const PART_BYTES_MAX: usize = 2_048;

#[derive(Deserialize)]
struct Head {
    ppt: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    attest: Option<String>,
}

/// The attestation of the first header that has one.
pub(super) fn attestation(headers: &Headers) -> Option<Attestation> {
    headers.all_named(IDENTITY).take(HEADERS_MAX).find_map(|value| read(&value))
}

fn read(value: &[u8]) -> Option<Attestation> {
    // Parameters follow the token: info, alg, ppt (RFC 8224 section 4).
    let token = value.split(|octet| *octet == b';').next()?.trim_ascii();
    let mut parts = token.split(|octet| *octet == b'.');
    let (head, claims) = (parts.next()?, parts.next()?);
    let head: Head = part(head)?;
    if head.ppt.as_deref() != Some(SHAKEN) {
        return None;
    }
    let claims: Claims = part(claims)?;
    match claims.attest.as_deref()? {
        "A" => Some(Attestation::Full),
        "B" => Some(Attestation::Partial),
        "C" => Some(Attestation::Gateway),
        _ => None,
    }
}

fn part<T: for<'a> Deserialize<'a>>(encoded: &[u8]) -> Option<T> {
    if encoded.len() > PART_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(head: &str, claims: &str) -> String {
        let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{head}.{claims}.c2lnbmF0dXJl;info=<https://cert.example/p.cer>;alg=ES256;ppt=shaken")
    }

    const HEAD: &str =
        r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://cert.example/p.cer"}"#;

    #[test]
    fn each_level_is_read() {
        for (level, expected) in
            [("A", Attestation::Full), ("B", Attestation::Partial), ("C", Attestation::Gateway)]
        {
            let claims = format!(
                r#"{{"attest":"{level}","dest":{{"tn":["15550100"]}},"iat":1795000000,"orig":{{"tn":"15550199"}},"origid":"123e4567"}}"#
            );
            assert_eq!(read(identity(HEAD, &claims).as_bytes()), Some(expected));
        }
    }

    #[test]
    fn what_makes_no_sense_is_as_good_as_none() {
        let claims = r#"{"attest":"A"}"#;
        let long = format!(r#"{{"attest":"A","orig":"{}"}}"#, "5".repeat(PART_BYTES_MAX));
        for value in [
            String::new(),
            ";;".to_owned(),
            "..".to_owned(),
            "not.base64!.x".to_owned(),
            identity("{}", claims),
            identity(r#"{"ppt":"div"}"#, claims),
            identity(HEAD, "[]"),
            identity(HEAD, r#"{"attest":"D"}"#),
            identity(HEAD, r#"{"attest":7}"#),
            identity(HEAD, &long),
        ] {
            assert_eq!(read(value.as_bytes()), None, "{value}");
        }
        assert_eq!(read(&[0xff, b'.', 0xfe, b'.']), None);
    }
}
