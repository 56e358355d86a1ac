//! DTLS (RFC 6347) for the keys of SRTP (RFC 5764). Pure: datagrams and the time go in, datagrams and keys come out.
//!
//! The far end is whoever has the certificate whose fingerprint stands in its description; nobody vouches for it
//! otherwise (RFC 8122). The handshake is `rtc`'s; the association does not know of addresses, so it outlives any.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtc::crypto::RTCCryptoProvider;
use ::rtc::crypto::providers::AwsLcRsProvider;
use ::rtc::dtls::cipher_suite::CipherSuiteId;
use ::rtc::dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use ::rtc::dtls::crypto::Certificate;
use ::rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use ::rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use ::rtc::shared::TransportProtocol;
use ::rtc::shared::error::Error;
use bytes::BytesMut;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use sidetone_media::srtp::{MasterKey, Suite};
use zeroize::Zeroizing;

use crate::call::door::MediaKeys;

/// How long an answer is waited for before a flight is sent again. RFC 6347 section 4.2.4.1 says a second; browsers
/// use less, because somebody is waiting to be heard.
const PATIENCE: Duration = Duration::from_millis(400);

/// The association has one far end, whatever its address is at the moment. Nothing is sent to this one.
const FAR_END: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));

/// The label of the keys (RFC 5764 section 4.2).
const LABEL: &str = "EXTRACTOR-dtls_srtp";

/// What we take for keys, best first.
const PROFILES: [(SrtpProtectionProfile, Suite); 2] = [
    (SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm, Suite::AeadAes128Gcm),
    (SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80, Suite::AesCm128HmacSha1_80),
];

/// Octets of an AES-128 key.
const KEY_BYTES: usize = 16;

/// Octets of handshake that one far end may send: a dozen times what a browser's takes, repetitions and all. `rtc` keeps
/// every fragment, however short, and walks a chain of them by recursion: some ten thousand of twelve octets each would
/// overflow the stack of a thread, and take the process with it.
const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;

/// Octets of handshake that may come sealed before our next flight. A Finished takes some sixty; who forges sealed ones
/// by the thousand fills this, and the next flight makes room again.
const SEALED_BYTES_MAX: usize = 4096;

/// Octets of a record's header (RFC 6347 section 4.1).
const RECORD_HEADER_BYTES: usize = 13;

/// Where its number is: six octets behind kind, version and epoch.
const NUMBER_AT: usize = 5;

// Kinds of records (RFC 5246 section 6.2.1) that a handshake consists of.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A certificate's fingerprint, as descriptions carry it (RFC 8122).
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    octets: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const ALL: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

    fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "sha-256",
            Hash::Sha384 => "sha-384",
            Hash::Sha512 => "sha-512",
        }
    }

    fn of(self, octets: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => Sha256::digest(octets).to_vec(),
            Hash::Sha384 => Sha384::digest(octets).to_vec(),
            Hash::Sha512 => Sha512::digest(octets).to_vec(),
        }
    }
}

impl Fingerprint {
    /// Reads `sha-256 AB:CD:…`. `None` if it is none, or its hash is one that we do not trust (SHA-1, MD5).
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let (name, value) = text.trim().split_once(' ')?;
        let hash = Hash::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name))?;
        let octets: Option<Vec<u8>> = value.trim().split(':').map(octet).collect();
        let octets = octets.filter(|octets| octets.len() == hash.of(&[]).len())?;
        Some(Fingerprint { hash, octets })
    }

    fn is_of(&self, certificate: &[u8]) -> bool {
        self.hash.of(certificate) == self.octets
    }
}

fn octet(text: &str) -> Option<u8> {
    if text.len() == 2 { u8::from_str_radix(text, 16).ok() } else { None }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hash.name())?;
        for (at, octet) in self.octets.iter().enumerate() {
            write!(f, "{}{octet:02X}", if at == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Our certificate: one for as long as the process lives.
#[derive(Clone)]
pub struct Identity {
    certificate: Certificate,
    fingerprint: Fingerprint,
}

/// Why there is no identity, or no association.
#[derive(Debug, thiserror::Error)]
pub enum DtlsError {
    /// The certificate.
    #[error("no certificate can be made for DTLS")]
    Certificate(#[source] Error),
    /// The library did not take what we set.
    #[error("DTLS cannot be set up")]
    Config(#[source] Error),
    /// The handshake failed, or the far end is not who it is said to be.
    #[error("the DTLS handshake failed")]
    Handshake(#[source] Error),
    /// It ended with keys that we do not know.
    #[error("the DTLS handshake agreed on no SRTP that we speak")]
    NoKeys,
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// [`DtlsError::Certificate`]: no randomness, in all likelihood.
    pub fn new() -> Result<Identity, DtlsError> {
        let provider = AwsLcRsProvider::new();
        let certificate = Certificate::generate_self_signed(vec!["sidetone".to_owned()], provider.crypto())
            .map_err(DtlsError::Certificate)?;
        let leaf = certificate.certificate.first().map(|leaf| leaf.as_ref()).unwrap_or_default();
        let fingerprint = Fingerprint { hash: Hash::Sha256, octets: Hash::Sha256.of(leaf) };
        Ok(Identity { certificate, fingerprint })
    }

    /// What descriptions say of it.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// Who begins the handshake (RFC 5763 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We do, when there is an address.
    Active,
    /// The far end does.
    Passive,
}

/// The association with one far end.
pub struct Association {
    endpoint: Endpoint,
    /// What we begin with; none once we have.
    begins_with: Option<Arc<HandshakeConfig>>,
    keys: Option<MediaKeys>,
    /// Octets of handshake that may still come.
    handshake_left: usize,
    /// Octets of sealed handshake that may come before there are keys, or another flight is sent.
    sealed_left: usize,
    /// Records in clear that were looked at.
    clear_records: u64,
    /// The last alert that came in clear, before there were keys.
    refusal: Option<u8>,
}

impl Association {
    /// An association with whoever has this certificate.
    ///
    /// # Errors
    /// [`DtlsError::Config`]: a defect.
    pub fn new(identity: &Identity, role: Role, theirs: Fingerprint) -> Result<Association, DtlsError> {
        let is_theirs = move |certificates: &[Vec<u8>], _: &[_]| match certificates.first() {
            Some(leaf) if theirs.is_of(leaf) => Ok(()),
            _ => Err(Error::ErrInvalidCertificate),
        };
        let config = ConfigBuilder::default()
            .with_crypto_provider(Arc::new(AwsLcRsProvider::new()))
            .with_certificates(vec![identity.certificate.clone()])
            // What RFC 8827 section 6.5 demands, and its kin; ours is a P-256 certificate.
            .with_cipher_suites(vec![
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
            ])
            .with_srtp_protection_profiles(PROFILES.iter().map(|(profile, _)| *profile).collect())
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_flight_interval(PATIENCE)
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            // No authority vouches for it: the description does, below.
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(is_theirs)))
            .build(role == Role::Active, Some(FAR_END))
            .map_err(DtlsError::Config)?;
        let config = Arc::new(config);
        let (serves, begins_with) = match role {
            Role::Active => (None, Some(config)),
            Role::Passive => (Some(config), None),
        };
        let endpoint = Endpoint::new(FAR_END, TransportProtocol::UDP, serves);
        Ok(Association {
            endpoint,
            begins_with,
            keys: None,
            handshake_left: HANDSHAKE_BYTES_MAX,
            sealed_left: SEALED_BYTES_MAX,
            clear_records: 0,
            refusal: None,
        })
    }

    /// There is an address: the handshake begins, if it is ours to begin and has not yet.
    ///
    /// # Errors
    /// [`DtlsError::Handshake`].
    pub fn begin(&mut self, now: Instant) -> Result<(), DtlsError> {
        let Some(config) = self.begins_with.take() else { return Ok(()) };
        self.endpoint.connect(now, FAR_END, config, None).map_err(DtlsError::Handshake)
    }

    /// A datagram of the far end's. True when the far end has ended the association.
    ///
    /// # Errors
    /// The handshake failed. Once there are keys, nothing that comes is an error any more.
    pub fn receive(&mut self, now: Instant, octets: &[u8]) -> Result<bool, DtlsError> {
        if self.begins_with.is_some() {
            return Ok(false); // it is for us to begin
        }
        let records = self.admitted(octets);
        if records.is_empty() {
            return Ok(false);
        }
        let events = match self.endpoint.read(now, FAR_END, None, records) {
            Ok(events) => events,
            Err(_) if self.keys.is_some() => return Ok(false),
            Err(error) => return Err(DtlsError::Handshake(error)),
        };
        let mut closed = false;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => self.keys = Some(self.export()?),
                EndpointEvent::PeerClosed => closed = true,
                // Nobody is told to send any.
                _ => {}
            }
        }
        Ok(closed)
    }

    /// The records that are looked at. The others are dropped without a word (RFC 6347 section 4.1.2.7).
    fn admitted(&mut self, octets: &[u8]) -> BytesMut {
        let mut admitted = BytesMut::with_capacity(octets.len());
        let mut rest = octets;
        while let Some([kind, _, _, e0, e1, .., l0, l1]) = rest.first_chunk::<RECORD_HEADER_BYTES>() {
            let length = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([*l0, *l1]));
            let Some((record, after)) = rest.split_at_checked(length) else { break };
            rest = after;
            let sealed = [*e0, *e1] != [0, 0];
            let content = record.get(RECORD_HEADER_BYTES..).unwrap_or_default();
            if !self.admits(*kind, sealed, content) {
                continue;
            }
            // Before there are keys, `rtc` keeps whatever is sealed for later.
            let keeps = if !sealed { &mut self.handshake_left } else { &mut self.sealed_left };
            if self.keys.is_none() || *kind == HANDSHAKE {
                let Some(left) = keeps.checked_sub(length) else { continue };
                *keeps = left;
            }
            let at = admitted.len();
            admitted.extend_from_slice(record);
            if !sealed && let Some(number) = admitted.get_mut(at + NUMBER_AT..at + NUMBER_AT + 6) {
                // Nothing vouches for the number of a record in clear, and one forged with the highest would make
                // `rtc`'s window drop all that follow. So they are counted as they come.
                self.clear_records += 1;
                number.copy_from_slice(&self.clear_records.to_be_bytes()[2..]);
            }
        }
        admitted
    }

    /// Whether a record may say something. What is in clear is anybody's who sends from the far end's address.
    fn admits(&mut self, kind: u8, sealed: bool, content: &[u8]) -> bool {
        match kind {
            ALERT | HANDSHAKE if sealed => !content.is_empty(),
            // Of one that claims to be sealed `rtc` opens no seal, and counts one epoch on.
            CHANGE_CIPHER_SPEC if sealed => false,
            // Once there are keys, a last flight that is sent again is answered for its Finished, which is sealed.
            _ if self.keys.is_some() => false,
            HANDSHAKE => !content.is_empty(),
            // Anything else in it is an error that ends the handshake, and this is all that it can say.
            CHANGE_CIPHER_SPEC => content == [1],
            // RFC 6347 section 4.1.2.7 warns of it: a forged alert would end the call. A browser that means it stays
            // silent afterwards, and is given up in time; the alert is told then.
            ALERT => {
                self.refusal = content.get(1).copied();
                false
            }
            _ => false,
        }
    }

    /// The last alert that came in clear while there were no keys, by its number (RFC 5246 section 7.2). Nobody
    /// vouches for it.
    pub fn refusal(&self) -> Option<u8> {
        self.refusal
    }

    /// The keys, once agreed.
    pub fn keys(&self) -> Option<&MediaKeys> {
        self.keys.as_ref()
    }

    /// The next datagram for the far end.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message.to_vec())
    }

    /// When [`Association::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&FAR_END)
    }

    /// Sends again what was not answered.
    ///
    /// # Errors
    /// [`DtlsError::Handshake`]: often enough.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return Ok(());
        }
        self.sealed_left = SEALED_BYTES_MAX;
        self.endpoint.handle_timeout(FAR_END, now).map_err(DtlsError::Handshake)
    }

    /// Says that it is over.
    pub fn close(&mut self, now: Instant) {
        self.endpoint.stop(now, FAR_END);
    }

    fn export(&self) -> Result<MediaKeys, DtlsError> {
        let state = self.endpoint.get_connection_state(FAR_END).ok_or(DtlsError::NoKeys)?;
        let agreed = PROFILES.iter().find(|(profile, _)| *profile == state.srtp_protection_profile());
        let (_, suite) = agreed.ok_or(DtlsError::NoKeys)?;
        let salt_bytes = suite.salt_bytes();
        let material = state.export_keying_material(LABEL, &[], 2 * (KEY_BYTES + salt_bytes));
        let material = material.map_err(DtlsError::Handshake)?;
        // RFC 5764 section 4.2: both keys, then both salts, the client's first.
        let (keys, salts) = material.as_ref().split_at_checked(2 * KEY_BYTES).ok_or(DtlsError::NoKeys)?;
        let of = |at: usize| {
            let key = keys.get(at * KEY_BYTES..)?.get(..KEY_BYTES)?;
            let salt = salts.get(at * salt_bytes..)?.get(..salt_bytes)?;
            MasterKey::new(*suite, &Zeroizing::new([key, salt].concat()))
        };
        let (Some(client), Some(server)) = (of(0), of(1)) else { return Err(DtlsError::NoKeys) };
        Ok(if state.is_client() {
            MediaKeys { ours: client, theirs: server }
        } else {
            MediaKeys { ours: server, theirs: client }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(one: &mut Association, other: &mut Association, now: Instant) -> Result<(), DtlsError> {
        for _ in 0..16 {
            while let Some(datagram) = one.poll_transmit() {
                other.receive(now, &datagram)?;
            }
            while let Some(datagram) = other.poll_transmit() {
                one.receive(now, &datagram)?;
            }
        }
        Ok(())
    }

    #[test]
    fn both_ends_have_the_same_keys_the_other_way_round() {
        let now = Instant::now();
        let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
        let mut active = Association::new(&us, Role::Active, them.fingerprint().clone()).unwrap();
        let mut passive = Association::new(&them, Role::Passive, us.fingerprint().clone()).unwrap();
        active.begin(now).unwrap();
        talk(&mut active, &mut passive, now).unwrap();
        let (ours, theirs) = (active.keys().unwrap(), passive.keys().unwrap());
        assert_eq!((&ours.ours, &ours.theirs), (&theirs.theirs, &theirs.ours));
        assert_ne!(ours.ours, ours.theirs);
        assert_eq!(ours.ours.suite(), Suite::AeadAes128Gcm);
    }

    #[test]
    fn somebody_with_another_certificate_gets_no_keys() {
        let now = Instant::now();
        let (us, them, stranger) =
            (Identity::new().unwrap(), Identity::new().unwrap(), Identity::new().unwrap());
        for active_is_deceived in [true, false] {
            let (a, b) = if active_is_deceived { (&stranger, &us) } else { (&them, &stranger) };
            let mut active = Association::new(&us, Role::Active, a.fingerprint().clone()).unwrap();
            let mut passive = Association::new(&them, Role::Passive, b.fingerprint().clone()).unwrap();
            active.begin(now).unwrap();
            assert!(talk(&mut active, &mut passive, now).is_err());
            let deceived = if active_is_deceived { &active } else { &passive };
            assert!(deceived.keys().is_none());
        }
    }

    #[test]
    fn a_lost_flight_is_sent_again() {
        let mut now = Instant::now();
        let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
        let mut active = Association::new(&us, Role::Active, them.fingerprint().clone()).unwrap();
        let mut passive = Association::new(&them, Role::Passive, us.fingerprint().clone()).unwrap();
        active.begin(now).unwrap();
        while active.poll_transmit().is_some() {}
        now = active.poll_timeout().unwrap();
        active.handle_timeout(now).unwrap();
        talk(&mut active, &mut passive, now).unwrap();
        assert!(active.keys().is_some() && passive.keys().is_some());
    }

    #[test]
    fn a_fingerprint_is_read_and_written_and_weak_ones_are_not() {
        let identity = Identity::new().unwrap();
        let text = identity.fingerprint().to_string();
        assert_eq!(Fingerprint::parse(&text).as_ref(), Some(identity.fingerprint()));
        assert_eq!(Fingerprint::parse(&text.to_lowercase()).as_ref(), Some(identity.fingerprint()));
        for bad in ["", "sha-256", "sha-256 AB:CD", "sha-1 00:00", "sha-256 zz", &text[..text.len() - 3]] {
            assert!(Fingerprint::parse(bad).is_none(), "{bad}");
        }
    }

    /// A record of epoch 0: nobody needs a key for it.
    fn record(kind: u8, epoch: u16, number: u64, content: &[u8]) -> Vec<u8> {
        let mut octets = vec![kind, 0xfe, 0xfd];
        octets.extend(epoch.to_be_bytes());
        octets.extend(number.to_be_bytes()[2..].iter());
        octets.extend((content.len() as u16).to_be_bytes());
        octets.extend(content);
        octets
    }

    /// Fragments of a message that never ends, one octet each as they say, many in a record.
    fn endless(message: u16, from: u32, count: u32) -> Vec<u8> {
        let one = |offset: u32| {
            let mut octets = vec![14, 0, 0, 0];
            octets.extend(message.to_be_bytes());
            octets.extend(&offset.to_be_bytes()[1..]);
            octets.extend([0, 0, 1]);
            octets
        };
        (from..from + count).flat_map(one).collect()
    }

    /// Enough to overflow a stack: each fragment is one more call. The first comes last, and then all are walked.
    fn fragments(message: u16, epoch: u16) -> Vec<Vec<u8>> {
        const DEEP: u32 = 40_000;
        let middle = (1..DEEP).step_by(150).map(|from| endless(message, from, 150));
        let all = middle.chain([endless(message, 0, 1)]);
        all.zip(1000..).map(|(content, number)| record(22, epoch, number, &content)).collect()
    }

    #[test]
    fn fragments_without_end_do_not_end_us() {
        let now = Instant::now();
        let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
        let mut active = Association::new(&us, Role::Active, them.fingerprint().clone()).unwrap();
        let mut passive = Association::new(&them, Role::Passive, us.fingerprint().clone()).unwrap();
        active.begin(now).unwrap();
        // In the middle of a handshake, to whoever serves: the first message is next. It need not survive that, we do.
        let mut worn = Association::new(&them, Role::Passive, us.fingerprint().clone()).unwrap();
        for datagram in fragments(0, 0) {
            let _refused = worn.receive(now, &datagram);
        }
        assert!(worn.handshake_left < 2000);

        talk(&mut active, &mut passive, now).unwrap();
        for end in [&mut active, &mut passive] {
            let left = end.handshake_left;
            assert!(left > HANDSHAKE_BYTES_MAX * 3 / 4, "a whole handshake takes little of it: {left}");
            for datagram in (0..12).flat_map(|message| fragments(message, 0)) {
                assert!(!end.receive(now, &datagram).unwrap());
            }
            assert_eq!(end.handshake_left, left, "nothing of it was looked at");
            assert!(end.poll_transmit().is_none());
        }
        // Sealed by nobody: the limit is used up, and no harm done.
        for datagram in fragments(7, 1) {
            assert!(!active.receive(now, &datagram).unwrap());
        }
        active.close(now);
        let farewell = active.poll_transmit().unwrap();
        assert!(passive.receive(now, &farewell).unwrap(), "who has the keys may end it");
    }

    #[test]
    fn what_needs_no_key_neither_ends_nor_repeats_anything_once_there_are_keys() {
        let now = Instant::now();
        let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
        let mut active = Association::new(&us, Role::Active, them.fingerprint().clone()).unwrap();
        let mut passive = Association::new(&them, Role::Passive, us.fingerprint().clone()).unwrap();
        active.begin(now).unwrap();
        talk(&mut active, &mut passive, now).unwrap();
        let mut number = 1000;
        for end in [&mut active, &mut passive] {
            // close_notify, a fatal alert, a change of cipher, nothing, a ClientHello, and a kind that nobody knows.
            let hello: &[u8] = &[1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0xfe, 0xfd];
            let forged: [(u8, &[u8]); 6] =
                [(21, &[1, 0]), (21, &[2, 40]), (20, &[1]), (21, &[]), (22, hello), (60, &[9; 40])];
            for ((kind, content), epoch) in forged.into_iter().flat_map(|one| [(one, 0), (one, 1), (one, 7)])
            {
                number += 1;
                assert!(!end.receive(now, &record(kind, epoch, number, content)).unwrap());
            }
            assert!(!end.receive(now, &[22; 40]).unwrap());
            assert!(end.poll_transmit().is_none() && end.keys().is_some());
        }
        active.close(now);
        let farewell = active.poll_transmit().unwrap();
        assert!(passive.receive(now, &farewell).unwrap(), "what has the keys is still understood");
    }

    #[test]
    fn what_anybody_can_say_in_clear_ends_no_handshake() {
        let now = Instant::now();
        let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
        let mut active = Association::new(&us, Role::Active, them.fingerprint().clone()).unwrap();
        let mut passive = Association::new(&them, Role::Passive, us.fingerprint().clone()).unwrap();
        active.begin(now).unwrap();
        let kinds = [CHANGE_CIPHER_SPEC, ALERT, 23, 24, 60];
        let contents: [&[u8]; 6] = [&[1, 0], &[2, 40], &[1], &[9], &[], &[0; 30]];
        let later = endless(500, 3, 1);
        let all = kinds.iter().flat_map(|kind| contents.map(|content| (*kind, content)));
        let all = all.chain([(HANDSHAKE, &later[..])]);
        // The highest that there are: what comes after them has a lower one.
        let mut number = (1 << 48) - 10_000;
        // Between any two datagrams of the handshake, everything that is no step of it is said to both.
        for _ in 0..16 {
            for from_active in [true, false] {
                let (from, to) =
                    if from_active { (&mut active, &mut passive) } else { (&mut passive, &mut active) };
                while let Some(datagram) = from.poll_transmit() {
                    for (kind, content) in all.clone() {
                        for epoch in [0, 1] {
                            number += 1;
                            assert!(!to.receive(now, &record(kind, epoch, number, content)).unwrap());
                        }
                    }
                    assert!(!to.receive(now, &datagram).unwrap());
                }
            }
        }
        assert!(active.keys().is_some() && passive.keys().is_some());
        assert_eq!(active.refusal(), Some(0), "the last of them, whoever said it");
    }

    #[test]
    fn a_last_flight_that_was_lost_is_sent_again() {
        let mut now = Instant::now();
        let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
        let mut active = Association::new(&us, Role::Active, them.fingerprint().clone()).unwrap();
        let mut passive = Association::new(&them, Role::Passive, us.fingerprint().clone()).unwrap();
        active.begin(now).unwrap();
        while passive.keys().is_none() {
            while let Some(datagram) = passive.poll_transmit() {
                active.receive(now, &datagram).unwrap();
            }
            while let Some(datagram) = active.poll_transmit() {
                passive.receive(now, &datagram).unwrap();
            }
        }
        while passive.poll_transmit().is_some() {} // lost
        assert!(active.keys().is_none());
        now = active.poll_timeout().unwrap();
        active.handle_timeout(now).unwrap();
        talk(&mut active, &mut passive, now).unwrap();
        assert!(active.keys().is_some());
    }
}
