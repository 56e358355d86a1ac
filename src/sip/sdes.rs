//! Keys in descriptions (RFC 4568): `a=crypto` lines read, chosen among, and written.
//!
//! The line holds the secret itself, so it may only travel where nobody listens: whoever makes an offer or an answer
//! says by [`Protection`] whether it may.
//!
//! Absent on purpose: the master key identifier and several keys in a line, key derivation rates, unencrypted or
//! unauthenticated modes, and forward error correction. A line that insists on one of them is passed over; if none is
//! left, the description is refused with 488.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use sha2::{Digest, Sha256};
use sidetone_media::srtp::{MasterKey, Suite};
use thiserror::Error;

use crate::call::door::MediaKeys;

use super::sdp::{Attribute, Media};

/// The lifetime we write, in packets: SRTCP's own limit (RFC 3711 section 9.2), and Microsoft wants to see one.
const LIFETIME_WRITTEN: &str = "2^31";
/// What that is.
const LIFETIME: u64 = 1 << 31;
/// The longest life of a key (RFC 3711 section 9.2).
const LIFETIME_MAX: u64 = 1 << 48;
/// Lines looked at in one m-line: there are a dozen suites, and some peers list each with and without an identifier.
const LINES_MAX: usize = 32;
/// Digits of a tag (RFC 4568 section 9.1).
const TAG_DIGITS_MAX: usize = 9;

/// Base64 as SDES has it; some peers leave out the padding of the one suite that has any.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether sound is protected on a leg, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Protection {
    /// Never: plain RTP is offered and accepted, and nothing else.
    #[default]
    Never,
    /// If the peer offers it; our own first offer is plain, later ones keep what was agreed.
    IfWanted(OwnKeys),
    /// Always: no other offer is made or accepted.
    Always(OwnKeys),
}

impl Protection {
    /// Our keys, if there may be protection at all.
    pub(super) fn keys(&self) -> Option<&OwnKeys> {
        match self {
            Protection::Never => None,
            Protection::IfWanted(keys) | Protection::Always(keys) => Some(keys),
        }
    }

    /// Whether there may be plain RTP.
    pub(super) fn allows_plain(&self) -> bool {
        !matches!(self, Protection::Always(_))
    }
}

/// Our keys for one attempt at a call: one for each suite, the same for as long as the leg lives, so that a
/// re-INVITE does not change them by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnKeys {
    secret: [u8; 32],
    suites: Vec<Suite>,
    generation: u32,
}

impl OwnKeys {
    /// Of a secret that nobody can guess and no other leg has. The suites are the acceptable ones, best first.
    pub fn new(secret: [u8; 32], suites: Vec<Suite>) -> OwnKeys {
        OwnKeys { secret, suites, generation: 0 }
    }

    /// New keys from now on.
    pub fn renew(&mut self) {
        self.generation += 1;
    }

    /// The suites, best first.
    pub fn suites(&self) -> &[Suite] {
        &self.suites
    }

    /// Our key for a suite.
    fn key(&self, suite: Suite) -> Option<MasterKey> {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(self.generation.to_be_bytes());
        hash.update(name(suite));
        let keying = hash.finalize();
        let key = MasterKey::new(suite, keying.get(..suite.keying_bytes())?)?;
        Some(key.with_lifetime(LIFETIME))
    }

    /// The lines of our offer: every suite with its key.
    pub(super) fn offered(&self) -> Vec<Attribute> {
        let keys = self.suites.iter().filter_map(|suite| self.key(*suite));
        (1..).zip(keys).map(|(tag, key)| Crypto { tag, key }.attribute()).collect()
    }

    /// Chooses among the lines of their offer: our line in answer, and both keys.
    ///
    /// The order of our suites decides, not theirs: Microsoft lists its short tag first.
    pub(super) fn answer(&self, theirs: &Media) -> Result<(Attribute, MediaKeys), CryptoError> {
        let (lines, why) = usable(theirs);
        let chosen =
            self.suites.iter().find_map(|suite| lines.iter().find(|line| line.key.suite() == *suite));
        let chosen = chosen.ok_or(why.unwrap_or(CryptoError::Suite))?;
        let ours = self.key(chosen.key.suite()).ok_or(CryptoError::Key)?;
        let line = Crypto { tag: chosen.tag, key: ours.clone() }.attribute();
        Ok((line, MediaKeys { ours, theirs: chosen.key.clone() }))
    }
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKeys").field("suites", &self.suites).finish_non_exhaustive()
    }
}

/// Reads the one line that answers our offer: it has the tag and the suite of one of ours (RFC 4568 section 5.1.3).
pub(super) fn answered(ours: &Media, theirs: &Media) -> Result<MediaKeys, CryptoError> {
    let (offered, _) = usable(ours);
    let (lines, why) = usable(theirs);
    let both = lines.iter().find_map(|line| {
        let ours = offered.iter().find(|o| o.tag == line.tag && o.key.suite() == line.key.suite())?;
        Some(MediaKeys { ours: ours.key.clone(), theirs: line.key.clone() })
    });
    both.ok_or(why.unwrap_or(CryptoError::Suite))
}

/// The lines that can be used, in order, and why the first of the others cannot.
fn usable(media: &Media) -> (Vec<Crypto>, Option<CryptoError>) {
    let mut why = None;
    let mut lines = Vec::new();
    for value in media.cryptos().take(LINES_MAX) {
        match Crypto::parse(value) {
            Ok(line) => lines.push(line),
            Err(error) => why = why.or(Some(error)),
        }
    }
    (lines, why)
}

/// One `a=crypto` line that we can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Its number, repeated in the answer.
    pub tag: u32,
    /// The suite and the key, with its lifetime.
    pub key: MasterKey,
}

/// Why an `a=crypto` line cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// It is not as RFC 4568 section 9 wants it.
    #[error("malformed crypto line")]
    Malformed,
    /// No line, or none of a suite that is acceptable here.
    #[error("no acceptable crypto suite")]
    Suite,
    /// The key is too short, too long, or nothing but zeros.
    #[error("unusable key")]
    Key,
    /// It has a master key identifier, or several keys that would need one.
    #[error("master key identifiers are not supported")]
    Mki,
    /// The lifetime is zero or beyond what the suite allows.
    #[error("unusable key lifetime")]
    Lifetime,
    /// A session parameter that cannot be left out, and that we do not do.
    #[error("session parameter not supported")]
    Parameter,
}

impl Crypto {
    /// Reads what follows `a=crypto:`.
    pub fn parse(value: &str) -> Result<Crypto, CryptoError> {
        let mut words = value.split_ascii_whitespace();
        let (tag, suite, keys) = (words.next(), words.next(), words.next());
        let (Some(tag), Some(suite), Some(keys)) = (tag, suite, keys) else {
            return Err(CryptoError::Malformed);
        };
        if tag.len() > TAG_DIGITS_MAX || !tag.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(CryptoError::Malformed);
        }
        let tag = tag.parse().map_err(|_| CryptoError::Malformed)?;
        let suite = Suite::ALL.into_iter().find(|known| name(*known).eq_ignore_ascii_case(suite));
        let key = parse_key(suite.ok_or(CryptoError::Suite)?, keys)?;
        for parameter in words {
            // Section 6.3: a hint of the window, ours is wide enough; a minus marks what may be left out.
            let optional = parameter.starts_with('-') || parameter.starts_with("WSH=");
            if !optional {
                return Err(CryptoError::Parameter);
            }
        }
        Ok(Crypto { tag, key })
    }

    fn attribute(&self) -> Attribute {
        Attribute::new("crypto", Some(self.written()))
    }

    /// What follows `a=crypto:` in a description of ours.
    fn written(&self) -> String {
        let keying = BASE64.encode(self.key.keying());
        format!("{} {} inline:{keying}|{LIFETIME_WRITTEN}", self.tag, name(self.key.suite()))
    }
}

/// `inline:` key and salt, then perhaps a lifetime and a master key identifier.
fn parse_key(suite: Suite, text: &str) -> Result<MasterKey, CryptoError> {
    if text.contains(';') {
        return Err(CryptoError::Mki);
    }
    let (method, info) = text.split_once(':').ok_or(CryptoError::Malformed)?;
    if !method.eq_ignore_ascii_case("inline") {
        return Err(CryptoError::Malformed);
    }
    let mut parts = info.split('|');
    let keying = BASE64.decode(parts.next().unwrap_or_default()).map_err(|_| CryptoError::Key)?;
    let mut key = MasterKey::new(suite, &keying).ok_or(CryptoError::Key)?;
    for (at, part) in parts.enumerate() {
        if part.contains(':') {
            return Err(CryptoError::Mki);
        }
        if at > 0 {
            return Err(CryptoError::Malformed);
        }
        key = key.with_lifetime(lifetime(part)?);
    }
    Ok(key)
}

/// Packets, as a number or as a power of two.
fn lifetime(text: &str) -> Result<u64, CryptoError> {
    let packets = match text.strip_prefix("2^") {
        Some(power) => power.parse::<u32>().ok().and_then(|power| 1u64.checked_shl(power)),
        None => text.parse().ok(),
    };
    packets.filter(|packets| (1..=LIFETIME_MAX).contains(packets)).ok_or(CryptoError::Lifetime)
}

/// The name of a suite in SDP.
fn name(suite: Suite) -> &'static str {
    match suite {
        Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn line(text: &str) -> Result<Crypto, CryptoError> {
        Crypto::parse(&text.replace("KEY", KEY))
    }

    #[test]
    fn the_example_of_the_rfc_is_read_and_lines_are_written_as_they_are_read() {
        let read = line("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20").unwrap();
        assert_eq!(
            (read.tag, read.key.suite(), read.key.keying().len()),
            (1, Suite::AesCm128HmacSha1_80, 30)
        );
        assert_eq!(read.written(), format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31"));
        let long = line("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^31").unwrap();
        assert_eq!(Crypto::parse(&long.written()), Ok(long));
    }

    #[test]
    fn lifetimes_are_decimal_or_powers_of_two_and_end_somewhere() {
        let with =
            |lifetime: &str| line(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|{lifetime}")).map(|l| l.key);
        let bare = line("1 AES_CM_128_HMAC_SHA1_80 inline:KEY").unwrap().key;
        assert_eq!(with("1048576"), with("2^20"));
        assert_eq!(with("2^48"), Ok(bare));
        for bad in ["0", "2^49", "2^64", "2^999999999999", "281474976710657", "x", "", "-1", "2^"] {
            assert_eq!(with(bad), Err(CryptoError::Lifetime), "{bad}");
        }
    }

    #[test]
    fn lines_that_cannot_be_used_say_why() {
        for (text, why) in [
            ("", CryptoError::Malformed),
            ("1 AES_CM_128_HMAC_SHA1_80", CryptoError::Malformed),
            ("x AES_CM_128_HMAC_SHA1_80 inline:KEY", CryptoError::Malformed),
            ("1234567890 AES_CM_128_HMAC_SHA1_80 inline:KEY", CryptoError::Malformed),
            ("1 AES_CM_128_HMAC_SHA1_80 uri:KEY", CryptoError::Malformed),
            ("1 AES_CM_128_HMAC_SHA1_80 KEY", CryptoError::Malformed),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^31|2^31", CryptoError::Malformed),
            ("1 F8_128_HMAC_SHA1_80 inline:KEY", CryptoError::Suite),
            ("1 NULL_HMAC_SHA1_80 inline:KEY", CryptoError::Suite),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:", CryptoError::Key),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY=", CryptoError::Key),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpV", CryptoError::Key),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", CryptoError::Key),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^31|1:1", CryptoError::Mki),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:4", CryptoError::Mki),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:4;inline:KEY|2:4", CryptoError::Mki),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTP", CryptoError::Parameter),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTCP", CryptoError::Parameter),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNAUTHENTICATED_SRTP", CryptoError::Parameter),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY KDR=3", CryptoError::Parameter),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY FEC_ORDER=FEC_SRTP", CryptoError::Parameter),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY fancy=1", CryptoError::Parameter),
        ] {
            assert_eq!(line(text), Err(why), "{text}");
        }
        for good in ["WSH=64", "-fancy=1", "-fancy WSH=1024"] {
            assert!(line(&format!("7 aes_cm_128_hmac_sha1_80  INLINE:KEY|2^31 {good}")).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_key_of_gcm_may_come_without_its_padding() {
        let with = line("1 AEAD_AES_128_GCM inline:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYg==").unwrap();
        let without = line("1 AEAD_AES_128_GCM inline:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYg").unwrap();
        assert_eq!((with.key.keying().len(), &with), (28, &without));
    }

    fn media(lines: &[&str]) -> Media {
        let attributes =
            lines.iter().map(|text| Attribute::new("crypto", Some(text.replace("KEY", KEY)))).collect();
        Media {
            kind: "audio".into(),
            port: 4000,
            protocol: "RTP/SAVP".into(),
            formats: vec!["0".into()],
            connection: None,
            attributes,
        }
    }

    fn own() -> OwnKeys {
        OwnKeys::new([7; 32], Suite::ALL.to_vec())
    }

    #[test]
    fn our_order_decides_and_their_tag_is_echoed() {
        // As Microsoft offers: the short tag first, and the good line twice.
        let offer = media(&[
            "0 AES_CM_128_HMAC_SHA1_32 inline:KEY|2^31",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^31|1:1",
            "2 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^31",
        ]);
        let (line, keys) = own().answer(&offer).unwrap();
        let said = line.value.unwrap();
        assert!(said.starts_with("2 AES_CM_128_HMAC_SHA1_80 inline:") && said.ends_with("|2^31"), "{said}");
        assert!(!said.contains(KEY), "an answer never repeats the key of the offer");
        assert_eq!(keys.theirs.keying(), BASE64.decode(KEY).unwrap());
        let only_short = media(&["0 AES_CM_128_HMAC_SHA1_32 inline:KEY|2^31"]);
        assert_eq!(own().answer(&only_short).unwrap().1.ours.suite(), Suite::AesCm128HmacSha1_32);
    }

    #[test]
    fn an_offer_without_a_usable_line_says_why() {
        for (lines, why) in [
            (&[][..], CryptoError::Suite),
            (&["1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^31|1:1"][..], CryptoError::Mki),
            (&["1 AES_CM_128_HMAC_SHA1_80 inline:AAAA"][..], CryptoError::Key),
            (&["1 NULL_HMAC_SHA1_80 inline:KEY"][..], CryptoError::Suite),
        ] {
            assert_eq!(own().answer(&media(lines)).map(|_| ()), Err(why), "{lines:?}");
        }
    }

    #[test]
    fn an_answer_has_tag_and_suite_of_one_of_our_lines() {
        let mut ours = media(&[]);
        ours.attributes = own().offered();
        let keys = answered(&ours, &media(&["2 AES_CM_128_HMAC_SHA1_32 inline:KEY"])).unwrap();
        assert_eq!(keys.ours, own().key(Suite::AesCm128HmacSha1_32).unwrap());
        for bad in ["1 AES_CM_128_HMAC_SHA1_32 inline:KEY", "9 AES_CM_128_HMAC_SHA1_80 inline:KEY"] {
            assert_eq!(answered(&ours, &media(&[bad])).map(|_| ()), Err(CryptoError::Suite));
        }
    }

    #[test]
    fn keys_stay_until_they_are_renewed_and_none_is_like_another() {
        let mut keys = own();
        let first = keys.key(Suite::AesCm128HmacSha1_80).unwrap();
        assert_eq!(own().key(Suite::AesCm128HmacSha1_80).as_ref(), Some(&first));
        assert_ne!(keys.key(Suite::AesCm128HmacSha1_32).unwrap().keying(), first.keying());
        assert_ne!(OwnKeys::new([8; 32], Suite::ALL.to_vec()).key(first.suite()), Some(first.clone()));
        keys.renew();
        assert_ne!(keys.key(Suite::AesCm128HmacSha1_80), Some(first));
    }

    #[test]
    fn no_secret_is_printed() {
        let crypto = line("1 AES_CM_128_HMAC_SHA1_80 inline:KEY").unwrap();
        let mut shown = format!("{crypto:?} {:?}", OwnKeys::new([77; 32], Vec::new()));
        shown += &format!("{:?}", media(&["1 AES_CM_128_HMAC_SHA1_80 inline:KEY"]));
        assert!(!shown.contains(KEY) && !shown.contains("77") && !shown.contains("89, 83"), "{shown}");
    }
}
