//! Both directions against each other, against a foreign implementation, and against the world.

use proptest::prelude::*;
use rtc_srtp::context::Context;
use rtc_srtp::crypto::default_provider;
use rtc_srtp::protection_profile::ProtectionProfile;

use super::*;

/// Octets from digits, with spaces wherever they help.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn key(suite: Suite, seed: u8) -> MasterKey {
    let keying: Vec<u8> = (0..suite.keying_bytes() as u8).map(|n| n.wrapping_mul(37) ^ seed).collect();
    MasterKey::new(suite, &keying).unwrap()
}

const SSRC: u32 = 0xcafe_babe;

fn rtp(sequence: u16) -> Vec<u8> {
    rtp_of(SSRC, sequence)
}

fn rtp_of(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..160).map(|n| n as u8 ^ sequence as u8));
    packet
}

/// A sender report of one SSRC.
fn rtcp() -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(SSRC.to_be_bytes());
    packet.extend(1..=20);
    packet
}

fn sealed(seal: &mut Seal, plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + MAX_TAG_BYTES, 0xee);
    let length = seal.rtp(&mut buffer, plain.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn sealed_rtcp(seal: &mut Seal, plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + MAX_RTCP_TRAILER_BYTES, 0xee);
    let length = seal.rtcp(&mut buffer, plain.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn opened(open: &mut Open, octets: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut packet = octets.to_vec();
    let length = open.rtp(&mut packet)?;
    packet.truncate(length);
    Ok(packet)
}

fn opened_rtcp(open: &mut Open, octets: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut packet = octets.to_vec();
    let length = open.rtcp(&mut packet)?;
    packet.truncate(length);
    Ok(packet)
}

/// The same key at a foreign implementation, one direction.
fn foreign(key: &MasterKey) -> Context {
    let profile = match key.suite() {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
    };
    let (master, salt) = key.keying().split_at(16);
    let provider = default_provider().unwrap();
    Context::new(master, salt, profile, None, None, provider.crypto()).unwrap()
}

#[test]
fn the_packets_that_libsrtp_validates_itself_with_come_out_the_same() {
    let keying = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &keying).unwrap();
    let plain = hex("800f1234 decafbad cafebabe abababab abababab abababab abababab");
    let expected = "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb";
    assert_eq!(sealed(&mut Seal::new(&key), &plain), hex(expected));
    assert_eq!(opened(&mut Open::new(&key), &hex(expected)), Ok(plain));
}

#[test]
fn what_we_seal_a_foreign_implementation_opens_and_the_other_way_round() {
    for suite in Suite::ALL {
        let key = key(suite, 1);
        let (mut seal, mut open) = (Seal::new(&key), Open::new(&key));
        let (mut their_open, mut their_seal) = (foreign(&key), foreign(&key));
        // Through two wraps of the sequence number.
        for n in 65_000u32..65_000 + 70_000 {
            if n % 700 != 0 && !(65_530..65_545).contains(&n) && !(131_060..131_080).contains(&n) {
                // The numbers between are not lost: both ends have seen them.
                if n % 7000 != 0 {
                    continue;
                }
            }
            let plain = rtp(n as u16);
            let ours = sealed(&mut seal, &plain);
            assert_eq!(their_open.decrypt_rtp(&ours).unwrap()[..], plain, "{suite:?} {n}");
            let theirs = their_seal.encrypt_rtp(&plain).unwrap();
            assert_eq!(theirs[..], ours, "{suite:?} {n}");
            assert_eq!(opened(&mut open, &theirs).as_ref(), Ok(&plain), "{suite:?} {n}");
        }
        for _ in 0..3 {
            let plain = rtcp();
            let ours = sealed_rtcp(&mut seal, &plain);
            assert_eq!(their_open.decrypt_rtcp(&ours).unwrap()[..], plain, "{suite:?}");
            let theirs = their_seal.encrypt_rtcp(&plain).unwrap();
            assert_eq!(opened_rtcp(&mut open, &theirs), Ok(plain), "{suite:?}");
        }
    }
}

#[test]
fn sources_and_extensions_stay_readable_and_are_authenticated() {
    for suite in Suite::ALL {
        let key = key(suite, 2);
        let mut plain = rtp(9);
        plain[0] |= 0x12; // an extension and two sources
        let extension = hex("00000001 00000002 bede0001 10aa0000");
        plain.splice(12..12, extension.clone());
        let octets = sealed(&mut Seal::new(&key), &plain);
        assert_eq!(octets[12..28], extension);
        assert_ne!(octets[28..40], plain[28..40]);
        assert_eq!(foreign(&key).decrypt_rtp(&octets).unwrap()[..], plain);
        assert_eq!(opened(&mut Open::new(&key), &octets), Ok(plain));
        let mut forged = octets;
        forged[20] ^= 1;
        assert!(opened(&mut Open::new(&key), &forged).is_err());
    }
}

#[test]
fn the_wrap_of_the_sequence_number_is_passed_in_either_order() {
    for suite in Suite::ALL {
        for order in [[65_534u16, 65_535, 0, 1], [65_534, 0, 65_535, 1], [65_534, 1, 0, 65_535]] {
            let key = key(suite, 3);
            let mut seal = Seal::new(&key);
            let packets: Vec<(u16, Vec<u8>)> =
                [65_534, 65_535, 0, 1].map(|n| (n, sealed(&mut seal, &rtp(n)))).to_vec();
            let mut open = Open::new(&key);
            for n in order {
                let octets = &packets.iter().find(|(number, _)| *number == n).unwrap().1;
                assert_eq!(opened(&mut open, octets), Ok(rtp(n)), "{suite:?} {order:?} {n}");
            }
        }
    }
}

#[test]
fn a_relayed_line_may_be_sealed_out_of_order_around_the_wrap() {
    let key = key(Suite::AesCm128HmacSha1_80, 3);
    let (mut seal, mut open) = (Seal::new(&key), Open::new(&key));
    for n in [65_533, 65_535, 0, 65_534, 2, 1] {
        assert_eq!(opened(&mut open, &sealed(&mut seal, &rtp(n))), Ok(rtp(n)), "{n}");
    }
}

#[test]
fn a_stream_whose_first_packets_got_lost_before_the_wrap_is_still_heard() {
    let key = key(Suite::AesCm128HmacSha1_80, 4);
    let mut seal = Seal::new(&key);
    let [late, first, next] = [65_535, 0, 1].map(|n| sealed(&mut seal, &rtp(n)));
    let mut open = Open::new(&key);
    assert_eq!(opened(&mut open, &first), Ok(rtp(0)));
    assert_eq!(opened(&mut open, &late), Ok(rtp(65_535)));
    assert_eq!(opened(&mut open, &next), Ok(rtp(1)));
}

#[test]
fn a_packet_is_opened_once() {
    for suite in Suite::ALL {
        let key = key(suite, 5);
        let (mut seal, mut open) = (Seal::new(&key), Open::new(&key));
        let first = sealed(&mut seal, &rtp(100));
        let report = sealed_rtcp(&mut seal, &rtcp());
        assert!(opened(&mut open, &first).is_ok() && opened_rtcp(&mut open, &report).is_ok());
        assert_eq!(opened(&mut open, &first), Err(OpenError::Replayed));
        assert_eq!(opened_rtcp(&mut open, &report), Err(OpenError::Replayed));
        let far = sealed(&mut seal, &rtp(400));
        assert!(opened(&mut open, &far).is_ok());
        assert_eq!(opened(&mut open, &first), Err(OpenError::Replayed), "too old to know");
    }
}

#[test]
fn a_number_is_never_sealed_twice() {
    let mut seal = Seal::new(&key(Suite::AesCm128HmacSha1_80, 6));
    let mut buffer = rtp(7);
    let length = buffer.len();
    buffer.resize(length + MAX_TAG_BYTES, 0);
    assert!(seal.rtp(&mut buffer.clone(), length).is_ok());
    assert_eq!(seal.rtp(&mut buffer.clone(), length), Err(SealError::UsedBefore));
    buffer[8] ^= 1;
    assert_eq!(seal.rtp(&mut buffer, length), Err(SealError::OtherLine));
}

#[test]
fn five_thousand_packets_of_garbage_change_nothing() {
    for suite in Suite::ALL {
        let key = key(suite, 7);
        let (mut seal, mut open) = (Seal::new(&key), Open::new(&key));
        for n in 65_500..65_510 {
            assert!(opened(&mut open, &sealed(&mut seal, &rtp(n))).is_ok());
        }
        let mut random = 0x9e37_79b9_u32;
        for n in 0..5000u32 {
            // Our SSRC and near numbers, or foreign ones and far away: whatever would do most harm.
            let ssrc = if n % 2 == 0 { SSRC } else { n };
            let mut garbage = rtp_of(ssrc, 65_510u16.wrapping_add((n * 13) as u16));
            garbage.extend([0; 10]);
            for octet in &mut garbage[12..] {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                *octet = random as u8;
            }
            assert!(opened(&mut open, &garbage).is_err());
            assert!(opened_rtcp(&mut open, &garbage).is_err());
        }
        assert_eq!(open.sources.len(), 1, "nobody else has proved anything");
        for n in [65_510, 65_535, 0, 1] {
            assert_eq!(opened(&mut open, &sealed(&mut seal, &rtp(n))), Ok(rtp(n)), "{suite:?}");
        }
    }
}

#[test]
fn every_octet_of_a_packet_counts_and_none_may_be_missing() {
    for suite in Suite::ALL {
        let key = key(suite, 8);
        let octets = sealed(&mut Seal::new(&key), &rtp(1));
        let report = sealed_rtcp(&mut Seal::new(&key), &rtcp());
        let mut open = Open::new(&key);
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            changed[at] ^= 0x04;
            assert!(opened(&mut open, &changed).is_err(), "{suite:?} octet {at}");
            assert!(opened(&mut open, &octets[..at]).is_err(), "{suite:?} cut at {at}");
        }
        for at in 0..report.len() {
            let mut changed = report.clone();
            changed[at] ^= 0x04;
            assert!(opened_rtcp(&mut open, &changed).is_err(), "{suite:?} octet {at}");
            assert!(opened_rtcp(&mut open, &report[..at]).is_err(), "{suite:?} cut at {at}");
        }
        assert!(opened(&mut open, &octets).is_ok() && opened_rtcp(&mut open, &report).is_ok());
    }
}

#[test]
fn a_key_ends() {
    for suite in Suite::ALL {
        let key = key(suite, 9).with_lifetime(3);
        let (mut seal, mut open) = (Seal::new(&key), Open::new(&key));
        let mut longer = Seal::new(&key.clone().with_lifetime(10));
        for n in 0..3 {
            assert!(opened(&mut open, &sealed(&mut seal, &rtp(n))).is_ok());
            sealed(&mut longer, &rtp(n));
            sealed_rtcp(&mut seal, &rtcp());
        }
        let mut buffer = rtp(3);
        let length = buffer.len();
        buffer.resize(length + MAX_RTCP_TRAILER_BYTES, 0);
        assert_eq!(seal.rtp(&mut buffer, length), Err(SealError::KeyExhausted));
        assert_eq!(seal.rtcp(&mut buffer, length), Err(SealError::KeyExhausted));
        assert_eq!(opened(&mut open, &sealed(&mut longer, &rtp(3))), Err(OpenError::KeyExhausted));
    }
}

#[test]
fn a_new_key_begins_anew_and_the_old_one_serves_until_then() {
    for suite in Suite::ALL {
        let (old, new) = (key(suite, 10), key(suite, 11));
        let (mut seal, mut open) = (Seal::new(&old), Open::new(&old));
        for n in [65_535, 0, 1] {
            assert!(opened(&mut open, &sealed(&mut seal, &rtp(n))).is_ok());
        }
        open.rekey(&new);
        // Under way when the key changed, with a rollover counter of one.
        let under_way = sealed(&mut seal, &rtp(2));
        assert_eq!(opened(&mut open, &under_way), Ok(rtp(2)));
        assert_eq!(opened(&mut open, &under_way), Err(OpenError::NotAuthentic));
        // The same source goes on in its numbers, with a rollover counter of zero.
        let mut seal_new = Seal::new(&new);
        assert_eq!(opened(&mut open, &sealed(&mut seal_new, &rtp(3))), Ok(rtp(3)));
        assert_eq!(opened(&mut open, &sealed(&mut seal, &rtp(4))), Err(OpenError::NotAuthentic));
        assert_eq!(opened(&mut open, &sealed(&mut seal_new, &rtp(4))), Ok(rtp(4)));
    }
}

#[test]
fn sources_of_one_key_are_counted() {
    let key = key(Suite::AeadAes128Gcm, 12);
    let mut open = Open::new(&key);
    for ssrc in 0..MAX_SOURCES as u32 {
        assert!(opened(&mut open, &sealed(&mut Seal::new(&key), &rtp_of(ssrc, 1))).is_ok());
    }
    let one_more = sealed(&mut Seal::new(&key), &rtp_of(99, 1));
    assert_eq!(opened(&mut open, &one_more), Err(OpenError::TooManySources));
    assert!(opened(&mut open, &sealed(&mut Seal::new(&key), &rtp_of(5, 2))).is_ok());
}

#[test]
fn keys_of_a_wrong_length_or_of_zeros_are_none_and_no_key_is_shown() {
    for suite in Suite::ALL {
        let right = vec![7; suite.keying_bytes()];
        let shown = format!("{:?}", MasterKey::new(suite, &right).unwrap());
        assert!(!shown.contains('7'), "{shown}");
        assert_eq!(MasterKey::new(suite, &right[1..]), None);
        assert_eq!(MasterKey::new(suite, &[&right[..], &[1]].concat()), None);
        let mut null = right;
        null[..16].fill(0);
        assert_eq!(MasterKey::new(suite, &null), None);
    }
}

proptest! {
    #[test]
    fn loss_and_disorder_around_the_wrap_lose_no_packet_that_arrives(
        start in 65_000u32..66_000,
        fates in prop::collection::vec((0u8..10, 0usize..20), 50..400),
        suite in prop::sample::select(Suite::ALL.to_vec()),
    ) {
        let key = key(suite, 13);
        let mut seal = Seal::new(&key);
        // Each packet arrives at its own time plus a delay; one in ten never does, but the first always.
        let mut arriving: Vec<(usize, u16, Vec<u8>)> = Vec::new();
        for (at, (fate, delay)) in fates.iter().enumerate() {
            let number = (start + at as u32) as u16;
            let octets = sealed(&mut seal, &rtp(number));
            if at == 0 || *fate > 0 {
                arriving.push((if at == 0 { 0 } else { at + delay }, number, octets));
            }
        }
        arriving.sort_by_key(|(at, _, _)| *at);
        let mut open = Open::new(&key);
        for (_, number, octets) in &arriving {
            prop_assert_eq!(opened(&mut open, octets), Ok(rtp(*number)));
        }
        for (_, _, octets) in &arriving {
            prop_assert!(opened(&mut open, octets).is_err());
        }
    }

    #[test]
    fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        for suite in Suite::ALL {
            let mut open = Open::new(&key(suite, 14));
            prop_assert!(opened(&mut open, &octets).is_err());
            prop_assert!(opened_rtcp(&mut open, &octets).is_err());
            let mut seal = Seal::new(&key(suite, 14));
            for room in [0, 3, MAX_RTCP_TRAILER_BYTES] {
                let mut buffer = octets.clone();
                buffer.resize(octets.len() + room, 0);
                let _sealed_or_not = seal.rtp(&mut buffer.clone(), octets.len());
                let _sealed_or_not = seal.rtcp(&mut buffer, octets.len());
            }
        }
    }
}
