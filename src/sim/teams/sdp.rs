//! Descriptions: Microsoft's as it writes them, and the gateway's as Microsoft reads them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::rules::SUITE;

/// Key and salt of an AES-128 suite (RFC 4568 section 6.1).
pub(super) const KEY_BYTES: usize = 30;

/// What we speak ourselves, best first: G.722, A-law, mu-law.
const CODECS: [&str; 3] = ["9", "8", "0"];

/// A description of the gateway's, by lines and words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Theirs {
    /// Where sound goes to.
    pub address: Option<SocketAddr>,
    /// `RTP/SAVP`
    pub profile: String,
    /// Payload types, in order.
    pub payloads: Vec<String>,
    /// `a=crypto` lines.
    pub crypto: Vec<Crypto>,
    /// `sendrecv` where none is written.
    pub direction: String,
    /// The version in `o=`.
    pub version: String,
    /// Whether anything of ICE or DTLS is in it.
    pub webrtc: bool,
    /// Media lines.
    pub medias: usize,
}

/// An `a=crypto` line.
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Its tag.
    pub tag: String,
    /// Its suite.
    pub suite: String,
    /// Key and salt, if they could be read.
    pub key: Option<Vec<u8>>,
    /// What follows the key: lifetime, MKI.
    pub after: Vec<String>,
}

impl std::fmt::Debug for Crypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crypto({} {} redacted {:?})", self.tag, self.suite, self.after)
    }
}

impl Theirs {
    /// Reads a body. `None` if it is no description.
    pub fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok().filter(|text| text.starts_with("v=0"))?;
        let mut sdp = Self { direction: "sendrecv".to_owned(), ..Self::default() };
        let (mut ip, mut port) = (None::<IpAddr>, 0);
        for line in text.lines() {
            let (kind, value) = line.split_once('=')?;
            let mut words = value.split_whitespace();
            match kind {
                "o" => sdp.version = value.split_whitespace().nth(2).unwrap_or_default().to_owned(),
                "c" => ip = words.nth(2).and_then(|ip| ip.parse().ok()),
                "m" => {
                    sdp.medias += 1;
                    if words.next() == Some("audio") && sdp.medias == 1 {
                        port = words.next()?.parse().ok()?;
                        sdp.profile = words.next()?.to_owned();
                        sdp.payloads = words.map(str::to_owned).collect();
                    }
                }
                "a" => sdp.attribute(value),
                _ => {}
            }
        }
        sdp.address = ip.map(|ip| SocketAddr::new(ip, port));
        Some(sdp)
    }

    fn attribute(&mut self, value: &str) {
        match value.split_once(':') {
            None if ["sendrecv", "sendonly", "recvonly", "inactive"].contains(&value) => {
                self.direction = value.to_owned();
            }
            Some(("crypto", line)) => {
                let mut words = line.split_whitespace();
                let (tag, suite) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let inline = words.next().and_then(|word| word.strip_prefix("inline:")).unwrap_or_default();
                let mut parts = inline.split('|');
                let key = parts.next().and_then(|key| BASE64.decode(key).ok());
                self.crypto.push(Crypto {
                    tag: tag.to_owned(),
                    suite: suite.to_owned(),
                    key,
                    after: parts.map(str::to_owned).collect(),
                });
            }
            Some(("candidate" | "ice-ufrag" | "ice-pwd" | "fingerprint" | "setup" | "ice-options", _)) => {
                self.webrtc = true;
            }
            _ => {}
        }
    }

    /// The line that Microsoft takes: this suite, a whole key, a lifetime of 2^31 and no MKI.
    pub fn key(&self, suite: &str) -> Option<&Crypto> {
        self.crypto.iter().find(|crypto| {
            crypto.suite == suite
                && crypto.key.as_ref().is_some_and(|key| key.len() == KEY_BYTES)
                && crypto.after.len() == 1
                && crypto.after.first().is_some_and(|after| after == "2^31")
        })
    }

    /// The payload type of the first codec that both speak.
    pub fn codec(&self) -> Option<&str> {
        self.payloads.iter().map(String::as_str).find(|payload| CODECS.contains(payload))
    }
}

/// A description of ours.
#[derive(Clone)]
pub(super) struct Ours {
    pub(super) at: SocketAddr,
    pub(super) session: u64,
    pub(super) version: u32,
    pub(super) key: [u8; KEY_BYTES],
    pub(super) direction: &'static str,
}

impl Ours {
    /// As a media processor offers: SILK first, two suites, one key with an MKI that nobody should take.
    pub(super) fn offer(&self, decoy: &[u8; KEY_BYTES]) -> String {
        let mut text = self.head("104 9 8 0 101 13", "RTP/SAVP");
        let (decoy, key) = (BASE64.encode(decoy), BASE64.encode(self.key));
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "a=rtpmap:104 SILK/16000\r\na=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:{decoy}|2^31\r\n\
             a=crypto:1 {SUITE} inline:{decoy}|2^31|1:1\r\na=crypto:2 {SUITE} inline:{key}|2^31\r\n"
        );
        self.tail(text)
    }

    /// The answer to an offer with this tag and this payload type chosen.
    pub(super) fn answer(&self, tag: &str, payload: &str) -> String {
        let mut text = self.head(&format!("{payload} 101 13"), "RTP/SAVP");
        let _ = write!(text, "a=crypto:{tag} {SUITE} inline:{}|2^31\r\n", BASE64.encode(self.key));
        self.tail(text)
    }

    fn head(&self, payloads: &str, profile: &str) -> String {
        let Self { at, session, version, .. } = self;
        // The address in o= is not that of the sound.
        format!(
            "v=0\r\no=- {session} {version} IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 {ip}\r\nb=CT:10000000\r\nt=0 0\r\n\
             m=audio {port} {profile} {payloads}\r\na=rtcp:{rtcp}\r\na=label:Audio\r\na=mid:1\r\n",
            ip = at.ip(),
            port = at.port(),
            rtcp = at.port().saturating_add(1),
        )
    }

    fn tail(&self, mut text: String) -> String {
        let direction = self.direction;
        let _ = write!(
            text,
            "a=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-16\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\na={direction}\r\n"
        );
        text
    }
}
