//! The same with SRTP on some legs: what is opened and sealed, and what nobody may change.

use sidetone_media::srtp::{MAX_TAG_BYTES, MasterKey, Open, Seal, Suite};
use sidetone_media::stream::rtcp::MAX_REPORT_BYTES;

use super::super::room::SEALED_REPORT_BYTES;
use super::*;
use crate::call::door::MediaKeys;

/// A far end's SRTP.
pub(super) struct Far {
    keys: MediaKeys,
    seal: Seal,
    open: Open,
}

impl Far {
    fn new(suite: Suite, seed: u8) -> Far {
        let key = |seed: u8| {
            let keying: Vec<u8> = (0..suite.keying_bytes() as u8).map(|n| n.wrapping_mul(7) ^ seed).collect();
            MasterKey::new(suite, &keying).expect("as long as the suite wants")
        };
        let keys = MediaKeys { ours: key(seed), theirs: key(seed ^ 0x80) };
        Far { seal: Seal::new(&keys.theirs), open: Open::new(&keys.ours), keys }
    }

    pub(super) fn sealed(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut octets = plain.to_vec();
        octets.resize(plain.len() + MAX_TAG_BYTES, 0);
        let length = self.seal.rtp(&mut octets, plain.len()).expect("its own line can be sealed");
        octets.truncate(length);
        octets
    }

    pub(super) fn opens(&mut self, octets: &mut Vec<u8>) {
        let length = self.open.rtp(octets).expect("what we send it can be opened, once");
        octets.truncate(length);
    }
}

impl Stage {
    fn agree(&mut self, slot: usize, keys: Option<MediaKeys>) {
        let agreed = AgreedMedia { keys, ..agreed(slot, self.codecs[slot]) };
        self.room.agree(self.now, slot, agreed, false, &self.house, &mut Sent::default());
    }

    /// From now on this leg is protected, by keys that no other seed gives.
    fn protect(&mut self, slot: usize, suite: Suite, seed: u8) {
        let far = Far::new(suite, seed);
        self.agree(slot, Some(far.keys.clone()));
        self.far[slot] = Some(far);
    }

    fn far(&mut self, slot: usize) -> &mut Far {
        self.far[slot].as_mut().expect("the leg is protected")
    }

    fn heard_so_far(&self) -> [usize; 3] {
        [CUSTOMER, AGENT, BOSS].map(|slot| self.heard[slot].len())
    }

    fn all_is_heard_as_it_should_be(&self) {
        assert!(self.level(AGENT, CUSTOMER, 10) > -25.0 && self.level(CUSTOMER, AGENT, 10) > -25.0);
        assert!(self.level(AGENT, BOSS, 10) > -25.0 && self.level(BOSS, CUSTOMER, 10) > -25.0);
        assert!(self.level(CUSTOMER, BOSS, 10) < -60.0);
    }

    fn both_are_heard(&self, when: &str) {
        assert!(self.level(AGENT, CUSTOMER, 10) > -25.0, "{when}");
        assert!(self.level(CUSTOMER, AGENT, 10) > -25.0, "{when}");
    }
}

#[test]
fn a_protected_customer_a_plain_agent_and_a_protected_whisper() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.protect(CUSTOMER, Suite::AesCm128HmacSha1_80, 1);
    stage.protect(BOSS, Suite::AeadAes128Gcm, 2);
    stage.coach(Some(Coaching::Whisper));
    stage.run(30);
    stage.all_is_heard_as_it_should_be();
    assert_eq!(stage.plan(CUSTOMER), PlanKind::Relay);
    let (said, heard) = (stage.said[AGENT].len(), stage.heard[CUSTOMER].len());
    stage.run(25);
    let heard: Vec<_> = stage.heard[CUSTOMER][heard..].iter().map(|p| p.payload.clone()).collect();
    assert!(stage.said[AGENT][said..] == heard, "the agent's packets, whoever whispers");
}

#[test]
fn everybody_protected_each_under_keys_and_a_suite_of_their_own() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    for (slot, suite) in [CUSTOMER, AGENT, BOSS].into_iter().zip(Suite::ALL) {
        stage.protect(slot, suite, slot as u8);
    }
    stage.coach(Some(Coaching::Barge));
    stage.run(30);
    for (ear, mouth) in [(CUSTOMER, AGENT), (CUSTOMER, BOSS), (AGENT, CUSTOMER), (AGENT, BOSS), (BOSS, AGENT)]
    {
        assert!(stage.level(ear, mouth, 10) > -25.0, "{ear} hears {mouth}");
    }
}

#[test]
fn music_digits_and_resuming_go_through_the_same_seal() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.protect(CUSTOMER, Suite::AesCm128HmacSha1_80, 3);
    stage.run(5);
    stage.hold(CUSTOMER, Hold::Held);
    stage.run(15);
    assert_eq!(stage.plan(CUSTOMER), PlanKind::Music);
    stage.room.send_digit(stage.now, CUSTOMER, '7');
    stage.run(15);
    assert!(stage.heard[CUSTOMER].iter().any(|packet| packet.header.payload_type == EVENT_TYPE));
    stage.hold(CUSTOMER, Hold::None);
    stage.run(20);
    assert!(stage.level(CUSTOMER, AGENT, 10) > -25.0);
    assert_eq!(stage.plan(CUSTOMER), PlanKind::Relay);
}

#[test]
fn a_description_that_changes_no_key_changes_no_counter_and_a_new_key_begins_anew() {
    for suite in Suite::ALL {
        let mut stage = Stage::new([Codec::Pcmu; 3]);
        // Both lines pass 65535 within the first packets: ours begins at 65,530.
        stage.sequence[CUSTOMER] = 65_500;
        stage.protect(CUSTOMER, suite, 4);
        stage.run(60);
        let keys = stage.far(CUSTOMER).keys.clone();
        stage.agree(CUSTOMER, Some(keys));
        stage.run(20);
        stage.both_are_heard("the same keys again");

        // A new key on both sides, rollover counters at zero, numbers going on.
        stage.protect(CUSTOMER, suite, 5);
        stage.run(20);
        stage.both_are_heard("new keys");
    }
}

#[test]
fn packets_under_way_when_the_key_changes_are_heard_and_none_after() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    stage.protect(CUSTOMER, Suite::AesCm128HmacSha1_80, 6);
    stage.run(10);
    let new = Far::new(Suite::AesCm128HmacSha1_80, 7);
    // Their key changes, ours does not.
    let ours = stage.far(CUSTOMER).keys.ours.clone();
    stage.agree(CUSTOMER, Some(MediaKeys { ours, theirs: new.keys.theirs.clone() }));
    let heard = stage.heard[AGENT].len();
    stage.run(3);
    assert_eq!(stage.heard[AGENT].len() - heard, 3, "still under the old key");
    let old_seal = std::mem::replace(&mut stage.far(CUSTOMER).seal, new.seal);
    stage.run(3);
    assert_eq!(stage.heard[AGENT].len() - heard, 6);
    stage.far(CUSTOMER).seal = old_seal;
    stage.run(3);
    assert_eq!(stage.heard[AGENT].len() - heard, 6, "the old key is over");
}

#[test]
fn turning_to_plain_and_back_never_uses_a_number_twice_under_one_key() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    stage.protect(CUSTOMER, Suite::AesCm128HmacSha1_80, 8);
    stage.run(20);
    let far = stage.far[CUSTOMER].take().expect("protected");
    stage.agree(CUSTOMER, None);
    stage.run(5);
    // The far end's window is the judge: its rollover counter is one by now.
    stage.agree(CUSTOMER, Some(far.keys.clone()));
    stage.far[CUSTOMER] = Some(far);
    stage.run(20);
    stage.both_are_heard("protected again");
}

#[test]
fn five_thousand_packets_of_garbage_change_nothing() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.protect(CUSTOMER, Suite::AesCm128HmacSha1_80, 9);
    stage.coach(Some(Coaching::Whisper));
    let spray = |stage: &mut Stage, from: SocketAddr| {
        let (heard, digits) = (stage.heard_so_far(), stage.digits.len());
        for n in 0..2500u16 {
            // In clear, of the right source and address, digits among them: as good as a forger gets without a key.
            let kind = if n % 7 == 0 { EVENT_TYPE } else { 8 };
            let sequence = stage.sequence[CUSTOMER].wrapping_add(n);
            stage.arrive(CUSTOMER, &mut packet(kind, sequence, 0, 1, &[n as u8; 170]), from);
        }
        assert_eq!(stage.heard_so_far(), heard, "nothing is passed on");
        assert_eq!(stage.digits.len(), digits);
    };
    // Before the first packet nothing is known of the far end, and nothing is believed.
    spray(&mut stage, address(CUSTOMER));
    stage.run(30);
    stage.all_is_heard_as_it_should_be();
    spray(&mut stage, address(CUSTOMER));
    spray(&mut stage, address(AGENT));
    stage.run(30);
    stage.all_is_heard_as_it_should_be();
    assert!(stage.strayed.is_empty(), "nothing was sent elsewhere");
}

#[test]
fn authentic_packets_are_followed_to_an_address_that_no_description_named() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    stage.protect(CUSTOMER, Suite::AesCm128HmacSha1_80, 10);
    let elsewhere = SocketAddr::from(([203, 0, 113, 9], 61_000));
    let heard = stage.heard[AGENT].len();
    for n in 0..5 {
        let plain = packet(0, 100 + n, 160 * u32::from(n), 1, &[0xd5; 160]);
        let mut octets = stage.far(CUSTOMER).sealed(&plain);
        stage.arrive(CUSTOMER, &mut octets, elsewhere);
    }
    assert_eq!(stage.heard[AGENT].len() - heard, 3, "from the third in a row on");
    stage.stopped[CUSTOMER] = true;
    stage.run(3);
    assert!(!stage.strayed.is_empty() && stage.strayed.iter().all(|to| *to == elsewhere));
}

#[test]
fn reports_are_sealed_and_opened_while_held_and_forged_ones_are_not_read() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    stage.protect(CUSTOMER, Suite::AesCm128HmacSha1_80, 11);
    stage.hold(CUSTOMER, Hold::Held);
    stage.run(5);
    let plain: Vec<u8> = [&[0x80, 201, 0, 1][..], &7u32.to_be_bytes()].concat();
    let mut octets = [0; SEALED_REPORT_BYTES];
    octets[..8].copy_from_slice(&plain);
    let length = stage.room.seal_rtcp(CUSTOMER, &mut octets, 8).expect("sealed");
    assert_eq!(length, 8 + 4 + 10);
    let mut sealed = octets[..length].to_vec();
    assert_eq!(stage.far(CUSTOMER).open.rtcp(&mut sealed), Ok(8));
    assert_eq!(sealed[..8], plain);

    let mut theirs = plain.clone();
    theirs.resize(MAX_REPORT_BYTES, 0);
    let length = stage.far(CUSTOMER).seal.rtcp(&mut theirs, 8).expect("sealed");
    let (theirs, from) = (&theirs[..length], address(CUSTOMER));
    assert_eq!(stage.room.open_rtcp(CUSTOMER, &mut plain.clone(), from), None, "in clear");
    let mut forged = theirs.to_vec();
    forged[9] ^= 1;
    assert_eq!(stage.room.open_rtcp(CUSTOMER, &mut forged, from), None);
    assert_eq!(stage.room.open_rtcp(CUSTOMER, &mut theirs.to_vec(), from), Some(8));
    assert_eq!(stage.room.open_rtcp(CUSTOMER, &mut theirs.to_vec(), from), None, "again");
}
