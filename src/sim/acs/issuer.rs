//! Signs tokens as the service does, and wrongly when told to; publishes the key.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

/// Who the simulated service says it is.
pub const ISSUER: &str = "https://acs.sim.test";
/// The immutable id of the simulated resource.
pub const RESOURCE: &str = "11111111-1111-1111-1111-111111111111";
/// The name of its key.
const KEY_ID: &str = "sim-1";

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// Nothing.
    #[default]
    Sound,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// For another resource.
    Audience,
    /// By another issuer.
    Issuer,
    /// With a key nobody publishes.
    UnknownKey,
    /// Not signed.
    NoAlgorithm,
    /// Signed with the public key as if it were a shared secret.
    PublicKeyAsSecret,
    /// With the signature of another token.
    Signature,
    /// There is none.
    Absent,
}

/// Every way in which a token can be wrong.
pub const FLAWS: [Flaw; 9] = [
    Flaw::Expired,
    Flaw::NotYet,
    Flaw::Audience,
    Flaw::Issuer,
    Flaw::UnknownKey,
    Flaw::NoAlgorithm,
    Flaw::PublicKeyAsSecret,
    Flaw::Signature,
    Flaw::Absent,
];

/// A signer with a key of its own.
pub struct Issuer {
    name: String,
    audience: String,
    key: RsaKeyPair,
    modulus: Vec<u8>,
}

impl Issuer {
    /// A signer with a fresh key: the service itself.
    pub fn new() -> Issuer {
        Issuer::of(ISSUER, RESOURCE)
    }

    /// A signer of this name, for somebody.
    pub fn of(name: &str, audience: &str) -> Issuer {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("the machine can make an RSA key");
        // RSAPublicKey (RFC 8017 appendix A.1.1) of 2048 bits: a sequence of the modulus, led by a zero, and 65537.
        let der = key.public_key().as_ref();
        let modulus = der.get(9..265).expect("a key of 2048 bits").to_vec();
        Issuer { name: name.to_owned(), audience: audience.to_owned(), key, modulus }
    }

    /// Its key as it publishes it (RFC 7517).
    pub fn jwks(&self) -> Value {
        let n = URL_SAFE_NO_PAD.encode(&self.modulus);
        json!({ "keys": [{ "kty": "RSA", "use": "sig", "kid": KEY_ID, "n": n, "e": "AQAB" }] })
    }

    /// The value of an `Authorization` header; `None` if there is to be none.
    pub fn authorization(&self, now: Timestamp, flaw: Flaw) -> Option<String> {
        let second = now.as_second();
        let (nbf, exp) = match flaw {
            Flaw::Expired => (second - 900, second - 600),
            Flaw::NotYet => (second + 600, second + 900),
            _ => (second, second + 300),
        };
        let alg = match flaw {
            Flaw::NoAlgorithm => "none",
            Flaw::PublicKeyAsSecret => "HS256",
            _ => "RS256",
        };
        let kid = if flaw == Flaw::UnknownKey { "nobodys" } else { KEY_ID };
        let iss = if flaw == Flaw::Issuer { "https://elsewhere.test" } else { &self.name };
        let aud =
            if flaw == Flaw::Audience { "22222222-2222-2222-2222-222222222222" } else { &self.audience };
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({ "alg": alg, "typ": "JWT", "kid": kid }));
        let text = format!("{head}.{}", part(json!({ "iss": iss, "aud": aud, "nbf": nbf, "exp": exp })));
        let signature = match flaw {
            Flaw::Absent => return None,
            Flaw::NoAlgorithm => Vec::new(),
            Flaw::PublicKeyAsSecret => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&self.modulus).expect("any length will do");
                mac.update(text.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
            Flaw::Signature => self.sign(b"something else"),
            _ => self.sign(text.as_bytes()),
        };
        Some(format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// A token with these claims and no others.
    pub fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(&json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID }));
        let text = format!("{head}.{}", part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature);
        signed.expect("an RSA key signs");
        signature
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self::new()
    }
}
