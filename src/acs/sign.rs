//! Signing of requests with the resource's access key: HMAC-SHA256 over verb, target, date, host and body.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The access key of an ACS resource: whoever has it is the resource.
#[derive(Clone)]
pub struct AccessKey(Vec<u8>);

impl AccessKey {
    /// Takes the key as the portal shows it, in base64. `None` if that is none.
    pub fn from_base64(text: &str) -> Option<AccessKey> {
        let key = STANDARD.decode(text.trim()).ok()?;
        (!key.is_empty()).then_some(AccessKey(key))
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(redacted)")
    }
}

/// What is signed of a request.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// `POST`.
    pub method: &'a str,
    /// Path and query exactly as sent.
    pub target: &'a str,
    /// As the Host header says it: with the port unless it is the scheme's own.
    pub host: &'a str,
    /// As the `x-ms-date` header says it.
    pub date: &'a str,
    /// The body, empty if there is none.
    pub body: &'a [u8],
}

/// The headers that a signature consists of, besides the date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `x-ms-content-sha256`.
    pub content_sha256: String,
    /// `Authorization`.
    pub authorization: String,
}

/// Signs a request.
pub fn sign(key: &AccessKey, request: Unsigned<'_>) -> Signed {
    let content_sha256 = STANDARD.encode(Sha256::digest(request.body));
    let text = string_to_sign(&request, &content_sha256);
    let signature = STANDARD.encode(mac(key, &text).finalize().into_bytes());
    let authorization =
        format!("HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}");
    Signed { content_sha256, authorization }
}

/// Whether the headers of a request carry the key's signature over it: what a service does with ours.
pub fn is_signed(key: &AccessKey, request: Unsigned<'_>, said: &Signed) -> bool {
    let content_sha256 = STANDARD.encode(Sha256::digest(request.body));
    let Some((_, signature)) = said.authorization.rsplit_once("&Signature=") else { return false };
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    let text = string_to_sign(&request, &content_sha256);
    content_sha256 == said.content_sha256 && mac(key, &text).verify_slice(&signature).is_ok()
}

fn string_to_sign(request: &Unsigned<'_>, content_sha256: &str) -> String {
    let Unsigned { method, target, host, date, .. } = request;
    format!("{method}\n{target}\n{date};{host};{content_sha256}")
}

fn mac(key: &AccessKey, text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
pub fn http_date(now: jiff::Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_is_signed_as_the_sdk_signs_it() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/wire/acs/hmac-vectors.json")).unwrap();
        let key = AccessKey::from_base64(file["access_key_base64"].as_str().unwrap()).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert!(vectors.len() >= 4);
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let request = Unsigned {
                method: text("method"),
                target: text("target"),
                host: text("host"),
                date: text("x_ms_date"),
                body: text("body").as_bytes(),
            };
            let signed = sign(&key, request);
            assert_eq!(signed.content_sha256, text("content_sha256"));
            assert_eq!(signed.authorization, text("authorization"), "{}", text("target"));
            assert!(is_signed(&key, request, &signed));
            let other = Unsigned { body: b"{}", ..request };
            assert!(!is_signed(&key, other, &signed), "another body");
        }
    }

    #[test]
    fn a_date_is_written_as_http_writes_it() {
        let at: jiff::Timestamp = "2026-08-05T10:15:30.7Z".parse().unwrap();
        assert_eq!(http_date(at), "Wed, 05 Aug 2026 10:15:30 GMT");
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = AccessKey::from_base64("MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
        assert_eq!(format!("{key:?}"), "AccessKey(redacted)");
        assert!(AccessKey::from_base64("not base64!").is_none());
    }
}
