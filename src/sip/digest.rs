//! Digest authentication (RFC 7616, RFC 8760), both sides, without a clock or a random source of its own.
//!
//! The server's nonces are stateless: the time they were made and a keyed hash of it. Freshness is therefore checked
//! before any memory is spent; only nonces that proved a password occupy the bounded replay table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha512_256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::header::{AuthValue, Method, quote};
use super::text::Text;

/// How long a nonce is good. Registrations refresh within it, so most need one round trip only.
pub const NONCE_LIFE: Duration = Duration::from_secs(300);
/// How many nonces in use are remembered for their counts. At the limit the oldest is forgotten and answered
/// `stale`, which costs that peer one round trip and nothing else.
pub const MAX_TRACKED_NONCES: usize = 4096;
/// Longest Authorization item looked at, in octets.
pub const MAX_ITEM_BYTES: usize = 1024;

/// A hash that Digest may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `MD5`: what every softphone speaks.
    Md5,
    /// `SHA-256` (RFC 8760).
    Sha256,
    /// `SHA-512-256` (RFC 8760).
    Sha512_256,
}

impl Algorithm {
    /// The token of the `algorithm` parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    fn from_token(token: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256, Self::Sha512_256]
            .into_iter()
            .find(|a| a.as_str().eq_ignore_ascii_case(token))
    }

    /// The hash of the pieces joined by colons, in lower-case hexadecimal.
    fn hash(self, pieces: &[&str]) -> String {
        let text = pieces.join(":");
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(&Sha256::digest(text.as_bytes())),
            Self::Sha512_256 => hex(&Sha512_256::digest(text.as_bytes())),
        }
    }
}

/// The stored form of a password: H(user:realm:password). It is as good as the password within its realm.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    algorithm: Algorithm,
    hex: String,
}

impl Ha1 {
    /// From a password.
    pub fn new(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Self {
        Self { algorithm, hex: algorithm.hash(&[user, realm, password]) }
    }

    /// From the stored hexadecimal form.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Option<Self> {
        let length = match algorithm {
            Algorithm::Md5 => 32,
            Algorithm::Sha256 | Algorithm::Sha512_256 => 64,
        };
        let lawful = text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
        lawful.then(|| Self { algorithm, hex: text.to_ascii_lowercase() })
    }

    /// Which hash this is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// RFC 7616 section 3.4.1, with `qop=auth` or, for RFC 2069 peers, without.
    fn response(&self, method: &Method, uri: &str, nonce: &str, counted: Option<(&str, &str)>) -> String {
        let ha2 = self.algorithm.hash(&[method.as_str(), uri]);
        match counted {
            Some((nc, cnonce)) => self.algorithm.hash(&[&self.hex, nonce, nc, cnonce, "auth", &ha2]),
            None => self.algorithm.hash(&[&self.hex, nonce, &ha2]),
        }
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({}, redacted)", self.algorithm.as_str())
    }
}

/// Challenges requests and checks their credentials, for one realm.
pub struct Server {
    realm: String,
    algorithms: Vec<Algorithm>,
    key: [u8; 32],
    started: Instant,
    /// Highest count seen with each nonce that proved a password, by the nonce's number.
    used: BTreeMap<u64, u32>,
    /// Nonces up to this number may have been used and forgotten.
    forgotten: u64,
    /// Number of the last nonce made.
    made: u64,
}

/// A nonce of ours.
#[derive(Clone, Copy)]
struct Nonce {
    number: u64,
    age: Duration,
}

/// A request that may be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The user name, as it was looked up.
    pub user: Text,
    /// The hash that was used.
    pub algorithm: Algorithm,
}

/// Why credentials do not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DigestError {
    /// No credentials for this realm under a scheme we know: challenge.
    #[error("no credentials")]
    Missing,
    /// An item is missing, repeated, too long or of the wrong form: 400.
    #[error("malformed credentials")]
    Malformed,
    /// The password was right but the nonce is too old or its count was used: challenge with `stale`.
    #[error("nonce is stale")]
    Stale,
    /// Unknown user, wrong password, forged nonce or foreign URI: challenge or refuse.
    #[error("wrong credentials")]
    Wrong,
}

impl Server {
    /// A server for a realm. `key` must be random and secret; `algorithms` are offered in this order, best first
    /// (RFC 8760 section 2.4).
    pub fn new(realm: &str, algorithms: Vec<Algorithm>, key: [u8; 32], now: Instant) -> Self {
        Self {
            realm: realm.to_owned(),
            algorithms,
            key,
            started: now,
            used: BTreeMap::new(),
            forgotten: 0,
            made: 0,
        }
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Offers, and takes, these hashes from now on, best first.
    pub fn offer(&mut self, algorithms: Vec<Algorithm>) {
        self.algorithms = algorithms;
    }

    /// The values for one WWW-Authenticate (or Proxy-Authenticate) line each, one per algorithm.
    pub fn challenges(&mut self, now: Instant, stale: bool) -> Vec<String> {
        let nonce = self.make_nonce(now);
        let stale = if stale { ",stale=true" } else { "" };
        let realm = quote(&self.realm);
        let one = |algorithm: &Algorithm| {
            let algorithm = algorithm.as_str();
            format!("Digest realm={realm},nonce=\"{nonce}\",algorithm={algorithm},qop=\"auth\"{stale}")
        };
        self.algorithms.iter().map(one).collect()
    }

    /// Checks the Authorization values of a request. `request_uri` is its Request-URI as written; `find` gives the
    /// stored form for a user and an algorithm.
    ///
    /// Values of other schemes and realms are passed over: they are meant for somebody else.
    pub fn check(
        &mut self,
        values: &[AuthValue],
        method: &Method,
        request_uri: &str,
        now: Instant,
        find: impl Fn(&str, Algorithm) -> Option<Ha1>,
    ) -> Result<Authenticated, DigestError> {
        let ours =
            |value: &&AuthValue| value.is_digest() && value.item("realm").is_some_and(|r| r == *self.realm);
        let value = values.iter().find(ours).ok_or(DigestError::Missing)?;
        let given = Given::read(value)?;
        if !self.algorithms.contains(&given.algorithm) || given.uri != *request_uri {
            return Err(DigestError::Wrong);
        }
        let nonce = self.read_nonce(&given.nonce, now).ok_or(DigestError::Wrong)?;
        let counted = given.counted.as_ref().map(|(nc, cnonce)| (nc.as_str(), cnonce.as_str()));
        // An unknown user costs the same hashes as a known one, so that time does not tell which names exist.
        let stored = find(&given.user, given.algorithm).filter(|ha1| ha1.algorithm == given.algorithm);
        let known = stored.is_some();
        let ha1 =
            stored.unwrap_or_else(|| Ha1::new(given.algorithm, &given.user, &self.realm, &hex(&self.key)));
        let expected = ha1.response(method, &given.uri, &given.nonce, counted);
        let response = given.response.to_ascii_lowercase();
        let same: bool = expected.as_bytes().ct_eq(response.as_bytes()).into();
        if !(same && known) {
            return Err(DigestError::Wrong);
        }
        if nonce.age > NONCE_LIFE {
            return Err(DigestError::Stale);
        }
        self.count(nonce.number, &given)?;
        Ok(Authenticated { user: given.user, algorithm: given.algorithm })
    }

    /// RFC 7616 section 3.4: a nonce count may be used once, and only rises.
    fn count(&mut self, number: u64, given: &Given) -> Result<(), DigestError> {
        // Without qop there is no count; such a nonce serves once.
        let count = match &given.counted {
            Some((nc, _)) => u32::from_str_radix(nc, 16).map_err(|_| DigestError::Malformed)?,
            None => u32::MAX,
        };
        if let Some(highest) = self.used.get_mut(&number) {
            if count <= *highest {
                return Err(DigestError::Stale);
            }
            *highest = count;
            return Ok(());
        }
        if number <= self.forgotten {
            return Err(DigestError::Stale);
        }
        self.used.insert(number, count);
        if self.used.len() > MAX_TRACKED_NONCES
            && let Some((oldest, _)) = self.used.pop_first()
        {
            self.forgotten = oldest;
        }
        Ok(())
    }

    /// `milliseconds-number-mac`: when it was made, that it is ours, and that no two are alike.
    fn make_nonce(&mut self, now: Instant) -> String {
        let millis = now.saturating_duration_since(self.started).as_millis() as u64;
        self.made = self.made.wrapping_add(1);
        let (mac, made) = (self.nonce_mac(millis, self.made), self.made);
        format!("{millis:x}-{made:x}-{mac}")
    }

    fn nonce_mac(&self, millis: u64, made: u64) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(&millis.to_be_bytes());
        mac.update(&made.to_be_bytes());
        mac.update(self.realm.as_bytes());
        // Half of the tag: 128 bits are beyond guessing, and the header stays short.
        hex(&mac.finalize().into_bytes()[..16])
    }

    /// `None` if the nonce is not one of ours.
    fn read_nonce(&self, nonce: &str, now: Instant) -> Option<Nonce> {
        let mut parts = nonce.split('-');
        let millis = u64::from_str_radix(parts.next()?, 16).ok()?;
        let number = u64::from_str_radix(parts.next()?, 16).ok()?;
        let mac = parts.next().filter(|_| parts.next().is_none())?;
        let genuine: bool = self.nonce_mac(millis, number).as_bytes().ct_eq(mac.as_bytes()).into();
        let elapsed = now.saturating_duration_since(self.started);
        genuine.then(|| Nonce { number, age: elapsed.saturating_sub(Duration::from_millis(millis)) })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("realm", &self.realm)
            .field("used", &self.used.len())
            .finish_non_exhaustive()
    }
}

/// The items of an Authorization value.
struct Given {
    user: Text,
    nonce: Text,
    uri: Text,
    response: Text,
    algorithm: Algorithm,
    /// nc and cnonce, with `qop=auth`.
    counted: Option<(Text, Text)>,
}

impl Given {
    fn read(value: &AuthValue) -> Result<Self, DigestError> {
        let item = |name: &str| match (value.count(name), value.item(name)) {
            (0, _) => Ok(None),
            (1, Some(text)) if text.len() <= MAX_ITEM_BYTES => Ok(Some(text)),
            _ => Err(DigestError::Malformed),
        };
        let must = |name: &str| item(name)?.ok_or(DigestError::Malformed);
        let algorithm = match item("algorithm")? {
            Some(token) => Algorithm::from_token(&token).ok_or(DigestError::Wrong)?,
            None => Algorithm::Md5,
        };
        let counted = match item("qop")? {
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let nc = must("nc")?;
                if nc.len() != 8 || !nc.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(DigestError::Malformed);
                }
                Some((nc, must("cnonce")?))
            }
            Some(_) => return Err(DigestError::Wrong),
            None => None,
        };
        Ok(Self {
            user: must("username")?,
            nonce: must("nonce")?,
            uri: must("uri")?,
            response: must("response")?,
            algorithm,
            counted,
        })
    }
}

/// A challenge received, ready to be answered; answers count themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The realm, to choose the account by.
    pub realm: Text,
    /// The hash asked for.
    pub algorithm: Algorithm,
    /// The password was right, only the nonce was old.
    pub stale: bool,
    nonce: Text,
    opaque: Option<Text>,
    qop: bool,
    count: u32,
}

impl Challenge {
    /// The challenge to answer among the WWW-Authenticate or Proxy-Authenticate values of a response: the topmost
    /// that we can (RFC 8760 section 2.4).
    pub fn choose(values: &[AuthValue]) -> Option<Self> {
        Self::choose_for(values, |_| true)
    }

    /// The same among those of realms that may ask.
    pub fn choose_for(values: &[AuthValue], realm: impl Fn(&str) -> bool) -> Option<Self> {
        values.iter().filter_map(Self::read).find(|challenge| realm(&challenge.realm))
    }

    /// Whether more than one request was signed with its nonce.
    pub(super) fn has_served_before(&self) -> bool {
        self.count > 1
    }

    fn read(value: &AuthValue) -> Option<Self> {
        let item = |name: &str| value.item(name).filter(|text| text.len() <= MAX_ITEM_BYTES);
        let algorithm = match item("algorithm") {
            Some(token) => Algorithm::from_token(&token)?,
            None => Algorithm::Md5,
        };
        let qop = match item("qop") {
            Some(list) if list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
            None => false,
        };
        let challenge = Self {
            realm: item("realm")?,
            algorithm,
            stale: item("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
            nonce: item("nonce")?,
            opaque: item("opaque"),
            qop,
            count: 0,
        };
        value.is_digest().then_some(challenge)
    }

    /// The value for an Authorization (or Proxy-Authorization) header. `cnonce` must be fresh and random; `uri` is
    /// the Request-URI as it will be written.
    pub fn answer(&mut self, user: &str, password: &str, method: &Method, uri: &str, cnonce: &str) -> Bytes {
        self.count = self.count.saturating_add(1);
        let ha1 = Ha1::new(self.algorithm, user, &self.realm, password);
        let nc = format!("{:08x}", self.count);
        let response = ha1.response(method, uri, &self.nonce, self.qop.then_some((nc.as_str(), cnonce)));
        let [user, realm, nonce, uri] = [user, &self.realm, &self.nonce, uri].map(quote);
        let algorithm = self.algorithm.as_str();
        let mut value = format!(
            "Digest username={user},realm={realm},nonce={nonce},uri={uri},response=\"{response}\",algorithm={algorithm}"
        );
        if self.qop {
            value += &format!(",qop=auth,nc={nc},cnonce={}", quote(cnonce));
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(",opaque={}", quote(opaque));
        }
        Bytes::from(value)
    }
}

fn hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(*octet)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "sip:example.com";

    fn auth(text: impl Into<Bytes>) -> AuthValue {
        AuthValue::parse(text.into()).unwrap()
    }

    fn server(now: Instant) -> Server {
        Server::new("example.com", vec![Algorithm::Sha256, Algorithm::Md5], [7; 32], now)
    }

    fn challenge(server: &mut Server, now: Instant) -> Challenge {
        let lines: Vec<_> = server.challenges(now, false).into_iter().map(auth).collect();
        Challenge::choose(&lines).unwrap()
    }

    fn alice(user: &str, algorithm: Algorithm) -> Option<Ha1> {
        (user == "alice").then(|| Ha1::new(algorithm, "alice", "example.com", "secret"))
    }

    fn check(server: &mut Server, value: &Bytes, now: Instant) -> Result<Authenticated, DigestError> {
        server.check(&[auth(value.clone())], &Method::Register, URI, now, alice)
    }

    fn response(algorithm: Algorithm) -> String {
        // RFC 7616 section 3.9.1.
        let ha1 = Ha1::new(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
        let get = Method::Other(Text::from("GET"));
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        ha1.response(&get, "/dir/index.html", nonce, Some(("00000001", cnonce)))
    }

    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        assert_eq!(response(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            response(Algorithm::Sha256),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn a_client_that_knows_the_password_is_believed_with_the_best_hash() {
        let now = Instant::now();
        let mut server = server(now);
        let mut challenge = challenge(&mut server, now);
        assert_eq!(challenge.algorithm, Algorithm::Sha256);
        for _ in 0..3 {
            let value = challenge.answer("alice", "secret", &Method::Register, URI, "c\"1");
            let believed = check(&mut server, &value, now).unwrap();
            assert_eq!((believed.user.as_str(), believed.algorithm), ("alice", Algorithm::Sha256));
        }
    }

    #[test]
    fn wrong_user_password_method_or_uri_is_not_believed() {
        let now = Instant::now();
        let mut server = server(now);
        let mut challenge = challenge(&mut server, now);
        let wrong = Err(DigestError::Wrong);
        let value = challenge.answer("alice", "guess", &Method::Register, URI, "c");
        assert_eq!(check(&mut server, &value, now), wrong);
        let value = challenge.answer("bob", "secret", &Method::Register, URI, "c");
        assert_eq!(check(&mut server, &value, now), wrong);
        let value = challenge.answer("alice", "secret", &Method::Invite, URI, "c");
        assert_eq!(check(&mut server, &value, now), wrong);
        let value = challenge.answer("alice", "secret", &Method::Register, "sip:example.org", "c");
        assert_eq!(check(&mut server, &value, now), wrong);
        assert!(server.used.is_empty(), "a failed guess must not occupy memory");
    }

    #[test]
    fn a_forged_nonce_is_wrong_and_an_old_one_stale() {
        let now = Instant::now();
        let mut server = server(now);
        let mut old = challenge(&mut server, now);
        let value = old.answer("alice", "secret", &Method::Register, URI, "c");
        let later = now + NONCE_LIFE + Duration::from_millis(1);
        assert_eq!(check(&mut server, &value, later), Err(DigestError::Stale));
        assert!(server.challenges(later, true).iter().all(|c| c.ends_with(",stale=true")));
        let value = old.answer("alice", "guess", &Method::Register, URI, "c");
        assert_eq!(
            check(&mut server, &value, later),
            Err(DigestError::Wrong),
            "age is told to the owner only"
        );

        let mut forged = challenge(&mut server, now);
        forged.nonce = Text::from(forged.nonce.replacen(|c: char| c.is_ascii_digit(), "f", 1));
        let value = forged.answer("alice", "secret", &Method::Register, URI, "c");
        assert_eq!(check(&mut server, &value, now), Err(DigestError::Wrong));
    }

    #[test]
    fn a_replayed_request_is_stale() {
        let now = Instant::now();
        let mut server = server(now);
        let mut challenge = challenge(&mut server, now);
        let first = challenge.answer("alice", "secret", &Method::Register, URI, "c");
        let second = challenge.answer("alice", "secret", &Method::Register, URI, "c");
        assert!(check(&mut server, &second, now).is_ok());
        assert_eq!(check(&mut server, &second, now), Err(DigestError::Stale));
        assert_eq!(check(&mut server, &first, now), Err(DigestError::Stale));
    }

    #[test]
    fn an_rfc_2069_client_is_believed_once_per_nonce() {
        let now = Instant::now();
        let mut server = server(now);
        let mut challenge = challenge(&mut server, now);
        challenge.qop = false;
        let value = challenge.answer("alice", "secret", &Method::Register, URI, "c");
        assert!(check(&mut server, &value, now).is_ok());
        assert_eq!(check(&mut server, &value, now), Err(DigestError::Stale));
    }

    #[test]
    fn strange_credentials_are_errors_of_the_right_kind() {
        let now = Instant::now();
        let mut server = server(now);
        for (text, why) in [
            ("NoOneKnowsThisScheme opaque-data=here", DigestError::Missing),
            ("Digest", DigestError::Missing),
            ("Digest realm=\"elsewhere\"", DigestError::Missing),
            ("Digest realm=\"example.com\"", DigestError::Malformed),
            ("Digest realm=\"example.com\",username=\"a\",username=\"b\"", DigestError::Malformed),
            ("Digest realm=\"example.com\",algorithm=XYZ", DigestError::Wrong),
            ("Digest realm=\"example.com\",qop=auth-int", DigestError::Wrong),
            ("Digest realm=\"example.com\",qop=auth,nc=1", DigestError::Malformed),
            ("Digest realm=\"example.com\",,,=\"", DigestError::Malformed),
        ] {
            assert_eq!(check(&mut server, &Bytes::from(text), now), Err(why), "{text}");
        }
    }

    #[test]
    fn the_replay_table_is_bounded_and_what_it_forgets_is_stale() {
        let now = Instant::now();
        let mut server = server(now);
        let mut values = Vec::new();
        for _ in 0..MAX_TRACKED_NONCES + 10 {
            let mut challenge = challenge(&mut server, now);
            values.push(challenge.answer("alice", "secret", &Method::Register, URI, "c"));
        }
        for value in &values {
            check(&mut server, value, now).unwrap();
        }
        assert_eq!(server.used.len(), MAX_TRACKED_NONCES);
        for value in &values {
            assert_eq!(
                check(&mut server, value, now),
                Err(DigestError::Stale),
                "a forgotten nonce serves no more"
            );
        }
    }

    #[test]
    fn stored_forms_are_hexadecimal_of_the_right_length_and_never_shown() {
        let ha1 = Ha1::new(Algorithm::Md5, "a", "b", "c");
        assert_eq!(Ha1::from_hex(Algorithm::Md5, &ha1.hex.to_uppercase()), Some(ha1.clone()));
        assert_eq!(Ha1::from_hex(Algorithm::Sha256, &ha1.hex), None);
        assert!(!format!("{ha1:?}").contains(&ha1.hex));
    }
}
