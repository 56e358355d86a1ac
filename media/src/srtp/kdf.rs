//! Session keys from a master key (RFC 3711 section 4.3; RFC 7714 section 11 uses the same).

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use zeroize::Zeroize;

use super::{KEY_BYTES, MasterKey, SALT_BYTES_MAX};

/// Octets of an HMAC-SHA1 key.
const AUTH_BYTES: usize = 20;

/// The labels of RFC 3711 section 4.3.2.
const RTP_ENCRYPTION: u8 = 0;
const RTP_AUTHENTICATION: u8 = 1;
const RTP_SALT: u8 = 2;
const RTCP_ENCRYPTION: u8 = 3;
const RTCP_AUTHENTICATION: u8 = 4;
const RTCP_SALT: u8 = 5;

/// What is derived for RTP or for RTCP. Wiped when it goes.
pub(super) struct Kdf {
    pub(super) key: [u8; KEY_BYTES],
    pub(super) salt: [u8; SALT_BYTES_MAX],
    pub(super) auth: [u8; AUTH_BYTES],
}

impl Kdf {
    pub(super) fn rtp(master: &MasterKey) -> Kdf {
        Kdf::derive(master, [RTP_ENCRYPTION, RTP_SALT, RTP_AUTHENTICATION])
    }

    pub(super) fn rtcp(master: &MasterKey) -> Kdf {
        Kdf::derive(master, [RTCP_ENCRYPTION, RTCP_SALT, RTCP_AUTHENTICATION])
    }

    fn derive(master: &MasterKey, [key, salt, auth]: [u8; 3]) -> Kdf {
        let mut master_key = master.key();
        let aes = Aes128Enc::new(&master_key.into());
        master_key.zeroize();
        let master_salt = master.salt();
        Kdf {
            key: prf(&aes, &master_salt, key),
            salt: prf(&aes, &master_salt, salt),
            auth: prf(&aes, &master_salt, auth),
        }
    }
}

impl Drop for Kdf {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
        self.auth.zeroize();
    }
}

/// AES in counter mode over zeros. With a key derivation rate of zero the label is the whole key id, and it
/// meets the eighth octet of the salt.
fn prf<const N: usize>(aes: &Aes128Enc, salt: &[u8; SALT_BYTES_MAX], label: u8) -> [u8; N] {
    let mut iv = [0; 16];
    iv[..SALT_BYTES_MAX].copy_from_slice(salt);
    iv[7] ^= label;
    let mut octets = [0; N];
    keystream(aes, iv, &mut octets);
    octets
}

/// AES in counter mode from this first block on, over the octets.
pub(super) fn keystream(aes: &Aes128Enc, iv: [u8; 16], octets: &mut [u8]) {
    // By reference: the round keys are not copied for each packet.
    CtrCore::<&Aes128Enc, Ctr128BE>::inner_iv_init(aes, &iv.into()).apply_keystream_partial(octets.into());
}

#[cfg(test)]
mod tests {
    use super::super::Suite;
    use super::super::tests::hex;
    use super::*;

    #[test]
    fn the_keys_of_rfc_3711_appendix_b_3_are_derived() {
        let keying = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        let master = MasterKey::new(Suite::AesCm128HmacSha1_80, &keying).unwrap();
        let rtp = Kdf::rtp(&master);
        assert_eq!(rtp.key[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(rtp.salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(rtp.auth[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }
}
