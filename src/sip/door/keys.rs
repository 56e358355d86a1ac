//! Whether a leg's sound is protected: what the configuration wants, and whether the keys could be said where nobody
//! listens.

use sbc_config::{Dialect, Person, SrtpPolicy, SrtpSuite, Trunk};
use sidetone_media::srtp::Suite;

use super::Door;
use crate::sip::flow::Transport;
use crate::sip::sdes::{OwnKeys, Protection};

/// What people's telephones are offered, best first.
const PEOPLES_SUITES: [SrtpSuite; 3] =
    [SrtpSuite::AesCm128HmacSha1_80, SrtpSuite::AesCm128HmacSha1_32, SrtpSuite::AeadAes128Gcm];

/// What is wanted of the media of a leg, beside its codecs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    srtp: SrtpPolicy,
    suites: &'a [SrtpSuite],
    /// Whether RTCP is offered on the port of RTP. If the peer offers it, it always is.
    pub(super) offers_mux: bool,
}

/// Protection is required, and signalling is in clear: whoever reads it would have the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SRTP is required here, and its keys would travel in clear: only TLS may carry them")]
pub(super) struct KeysInClear;

impl<'a> Terms<'a> {
    pub(super) fn of_trunk(trunk: &'a Trunk) -> Terms<'a> {
        let offers_mux = trunk.dialect == Dialect::Microsoft;
        Terms { srtp: trunk.srtp, suites: &trunk.srtp_suites, offers_mux }
    }

    pub(super) fn of_person(person: &Person) -> Terms<'static> {
        Terms { srtp: person.srtp, suites: &PEOPLES_SUITES, offers_mux: false }
    }
}

impl Door {
    /// The protection of a new leg, whose signalling goes this way. Every leg has keys of its own.
    pub(super) fn protection(
        &mut self,
        terms: &Terms<'_>,
        transport: Transport,
    ) -> Result<Protection, KeysInClear> {
        // RFC 4568 section 7: who can read the description has the keys.
        match (terms.srtp, transport.is_secure()) {
            (SrtpPolicy::Off, _) | (SrtpPolicy::Optional, false) => Ok(Protection::Never),
            (SrtpPolicy::Required, false) => Err(KeysInClear),
            (SrtpPolicy::Optional, true) => Ok(Protection::IfWanted(self.keys(terms.suites))),
            (SrtpPolicy::Required, true) => Ok(Protection::Always(self.keys(terms.suites))),
        }
    }

    fn keys(&mut self, suites: &[SrtpSuite]) -> OwnKeys {
        let mut secret = [0; 32];
        secret.chunks_mut(8).for_each(|eight| eight.copy_from_slice(&self.random.bits().to_le_bytes()));
        OwnKeys::new(secret, suites.iter().copied().map(suite).collect())
    }
}

fn suite(suite: SrtpSuite) -> Suite {
    match suite {
        SrtpSuite::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
        SrtpSuite::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_32,
        SrtpSuite::AeadAes128Gcm => Suite::AeadAes128Gcm,
    }
}
