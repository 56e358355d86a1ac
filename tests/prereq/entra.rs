//! API tokens of Entra: the matrix of what is taken and what is not.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use sidetone::jwks::{Expects, Jwks, TokenFault};

use crate::stage::Stage;

pub(crate) struct Signer {
    key: EncodingKey,
    pub(crate) jwk: Value,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Signer {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        Signer { key, jwk }
    }

    pub(crate) fn sign(&self, kid: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(kid.to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_token_is_taken_only_if_everything_fits() {
    let stage = Stage::new().await;
    let (ours, theirs) = (Signer::new("k1"), Signer::new("k1"));
    stage.cloud.world().jwks = json!({"keys": [{"kty": "EC", "kid": "odd"}, ours.jwk]});
    let url = format!("{}/acme/discovery/v2.0/keys", stage.cloud.base());
    let keys = Jwks::new(url, reqwest::Client::new());
    let expects = Expects { issuers: vec!["us".into()], audiences: vec!["api://sidetone".into()] };
    let good = json!({"iss": "us", "aud": "api://sidetone", "exp": seconds() + 600, "oid": "x"});
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        ours.sign("k1", &claims)
    };
    let forged = {
        let token = ours.sign("k1", &good);
        let parts: Vec<_> = token.split('.').collect();
        let other = with("oid", json!("admin"));
        format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2])
    };
    for (token, right) in [
        (ours.sign("k1", &good), Ok(())),
        (theirs.sign("k1", &good), Err(TokenFault::Signature)),
        (forged, Err(TokenFault::Signature)),
        (with("iss", json!("them")), Err(TokenFault::Issuer)),
        (with("aud", json!("https://graph.microsoft.com")), Err(TokenFault::Audience)),
        (with("exp", json!(seconds() - 600)), Err(TokenFault::Expired)),
        (with("nbf", json!(seconds() + 600)), Err(TokenFault::NotYet)),
        (ours.sign("invented", &good), Err(TokenFault::UnknownKey)),
        (ours.sign("invented-too", &good), Err(TokenFault::UnknownKey)),
    ] {
        let said = keys.verify(&token, &expects, SystemTime::now()).await.map(|_| ());
        assert_eq!(said, right);
    }
    assert_eq!(stage.cloud.asked("/acme/discovery"), 1, "invented key names cause no reads");
}

#[tokio::test]
async fn without_keys_nothing_is_taken() {
    let stage = Stage::new().await;
    let keys = Jwks::new(stage.cloud.base() + "/nothing-here", reqwest::Client::new());
    let token = Signer::new("k").sign("k", &json!({"iss": "us", "aud": "a", "exp": seconds() + 60}));
    let said = keys.verify(&token, &Expects::default(), SystemTime::now()).await;
    assert_eq!(said.unwrap_err(), TokenFault::KeysUnavailable);
}
