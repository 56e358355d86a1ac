//! Opus as the gateway speaks it: lengths read from the first octets, loss repaired, levels kept, and nothing a packet
//! says makes it panic.

//! Opus through libopus: what is encoded is decoded, what is lost is concealed, and what is no packet is none.

use proptest::prelude::*;

use super::*;
use crate::frame::{SILENCE_DBFS, level_dbfs};
use crate::tone::{Sine, level_at};

const RATE: SampleRate = SampleRate::Hz16000;
const FRAME: usize = RATE.samples_in_ms(20);

#[test]
fn the_length_of_a_packet_is_read_from_its_first_octets_as_rfc_6716_says() {
    // Table 2 of section 3.1: the configurations, by the lengths of their frames in units of 48 kHz.
    let lengths = [
        (0, [480, 960, 1920, 2880]),
        (4, [480, 960, 1920, 2880]),
        (8, [480, 960, 1920, 2880]),
        (12, [480, 960, 480, 960]),
        (16, [120, 240, 480, 960]),
        (20, [120, 240, 480, 960]),
        (24, [120, 240, 480, 960]),
        (28, [120, 240, 480, 960]),
    ];
    for (first, lengths) in lengths {
        for (n, length) in lengths.into_iter().enumerate() {
            let toc = (first + n as u8) << 3;
            assert_eq!(packet_units(&[toc]), Some(length));
            assert_eq!(packet_units(&[toc | 4]), Some(length), "two channels");
            assert_eq!(packet_units(&[toc | 1]), Some(2 * length).filter(|units| *units <= MAX_PACKET_UNITS));
            let six = Some(6 * length).filter(|units| *units <= MAX_PACKET_UNITS);
            assert_eq!(packet_units(&[toc | 3, 6 | 0xc0]), six, "any number of frames, with padding and VBR");
        }
    }
    for broken in [&[][..], &[0x4b], &[0x4b, 0], &[0x4b, 7]] {
        assert_eq!(packet_units(broken), None, "{broken:02x?}");
    }
}

#[test]
fn what_we_say_of_ourselves_is_read_as_it_is_meant_and_anything_else_is_passed_over() {
    let ours = Wishes::read(Wishes::OURS);
    assert_eq!(ours, Wishes { fec: true, ..Wishes::default() });
    assert_eq!(Wishes::read(""), Wishes::default());
    let browser = Wishes::read("minptime=10;useinbandfec=1");
    assert!(browser.fec && browser.bitrate_max.is_none());
    let all = Wishes::read(
        " UseInbandFEC = 1 ; usedtx=1; maxaveragebitrate=20000; cbr=1; maxplaybackrate=8000; x; =; y=1=2",
    );
    assert_eq!(all, Wishes { fec: true, dtx: true, bitrate_max: Some(20_000), constant: true });
    for odd in
        ["maxaveragebitrate=0", "maxaveragebitrate=-1", "maxaveragebitrate=600000", "maxaveragebitrate=9e9"]
    {
        assert_eq!(Wishes::read(odd).bitrate_max, None, "{odd}");
    }
}

#[test]
fn an_encoder_does_what_the_far_end_wishes_within_what_we_would() {
    let ours = Tuning::DEFAULT;
    let plain = ours.towards(Wishes::default());
    assert_eq!(plain, Tuning { fec: false, ..ours }, "who does not say it can use redundancy gets none");
    let little = ours.towards(Wishes { bitrate_max: Some(8_000), constant: true, fec: true, dtx: true });
    assert_eq!(little, Tuning { bitrate: 8_000, constant: true, ..ours });
    assert_eq!(
        ours.towards(Wishes { bitrate_max: Some(500_000), ..Wishes::default() }).bitrate,
        ours.bitrate
    );
    let (_, sizes) = run(Tuning { constant: true, ..ours }, 1000.0, 50);
    assert!(sizes.windows(2).all(|pair| pair[0] == pair[1]), "{sizes:?}");
}

#[test]
fn a_tone_survives_with_its_level_and_at_its_pitch() {
    for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
        for hz in [300.0, 440.0, 1000.0, 2500.0, 3400.0] {
            let (mut encoder, mut decoder) = (Encoder::new(rate, Tuning::DEFAULT), Decoder::new(rate));
            let mut heard = Vec::new();
            let mut tone = Sine::new(rate, hz, -20.0);
            for _ in 0..60 {
                let mut pcm = vec![0; rate.samples_in_ms(20)];
                tone.fill(&mut pcm);
                let mut payload = [0; MAX_FRAME_BYTES];
                let length = encoder.encode(&pcm, &mut payload);
                let mut out = [0; 960];
                let made = decoder.decode(&payload[..length], &mut out);
                assert_eq!(made, pcm.len());
                heard.extend_from_slice(&out[..made]);
            }
            let steady = &heard[20 * rate.samples_in_ms(20)..];
            let level = level_at(steady, rate, hz);
            assert!((level + 20.0).abs() < 1.5, "{rate:?} {hz} Hz: {level}");
        }
    }
}

#[test]
fn the_bit_rate_is_kept_on_average() {
    for bitrate in [12_000, 24_000, 40_000] {
        let (_, sizes) = run(Tuning { bitrate, ..Tuning::DEFAULT }, 440.0, 500);
        let bits = sizes.iter().sum::<usize>() * 8 * 50 / sizes.len();
        assert!(bits <= bitrate as usize * 11 / 10, "{bits} of {bitrate}");
        assert!(sizes.iter().all(|size| *size <= crate::codec::MAX_PAYLOAD));
    }
}

#[test]
fn a_lost_packet_is_heard_again_from_the_next_one() {
    // The pitch changes in the lost packet, so that going on with what was before gives something else.
    let level_in_the_hole = |fec| {
        let mut encoder = Encoder::new(RATE, Tuning { fec, ..Tuning::DEFAULT });
        let mut decoder = Decoder::new(RATE);
        encoder.expect_loss(0.2);
        let (mut before, mut after) = (Sine::new(RATE, 300.0, -14.0), Sine::new(RATE, 800.0, -14.0));
        let mut packets = Vec::new();
        for n in 0..60 {
            let mut pcm = [0; FRAME];
            if n < 50 {
                before.fill(&mut pcm)
            } else {
                after.fill(&mut pcm)
            }
            let mut payload = [0; MAX_FRAME_BYTES];
            let length = encoder.encode(&pcm, &mut payload);
            packets.push(payload[..length].to_vec());
        }
        let mut pcm = [0; FRAME];
        packets[..51].iter().for_each(|packet| assert_eq!(decoder.decode(packet, &mut pcm), FRAME));
        assert_eq!(decoder.conceal(&packets[52], &mut pcm), FRAME);
        let hole = level_at(&pcm, RATE, 800.0);
        assert_eq!(decoder.decode(&packets[52], &mut pcm), FRAME);
        hole
    };
    let (with, without) = (level_in_the_hole(true), level_in_the_hole(false));
    assert!((with + 14.0).abs() < 4.0, "repeated: {with}, made up: {without}");
}

#[test]
fn a_longer_hole_is_made_up_and_fades_and_an_empty_one_is_nothing() {
    let mut encoder = Encoder::new(RATE, Tuning::DEFAULT);
    let mut decoder = Decoder::new(RATE);
    let (mut tone, mut pcm, mut payload) = (Sine::new(RATE, 200.0, -14.0), [0; FRAME], [0; MAX_FRAME_BYTES]);
    for _ in 0..20 {
        tone.fill(&mut pcm);
        let length = encoder.encode(&pcm, &mut payload);
        decoder.decode(&payload[..length], &mut pcm);
    }
    let mut hole = [0; 3 * FRAME];
    assert_eq!(decoder.conceal(&[], &mut hole), hole.len());
    assert!(level_dbfs(&hole[..FRAME]) > -20.0);
    for _ in 0..20 {
        decoder.conceal(&[], &mut hole);
    }
    assert!(level_dbfs(&hole) < -45.0, "{}", level_dbfs(&hole));
    assert_eq!(decoder.conceal(&[], &mut [0; 39]), 0, "libopus makes up steps of 2.5 ms");
    assert_eq!(decoder.conceal(&[], &mut []), 0);
}

#[test]
fn a_packet_of_several_frames_up_to_120_ms_is_heard_whole() {
    let mut encoder = Encoder::new(RATE, Tuning::DEFAULT);
    let mut tone = Sine::new(RATE, 440.0, -20.0);
    let mut decoder = Decoder::new(RATE);
    let mut packer = ::opus::Repacketizer::new().expect("memory");
    let mut heard = Vec::new();
    for _ in 0..10 {
        let frames: Vec<Vec<u8>> = (0..6)
            .map(|_| {
                let (mut pcm, mut payload) = ([0; FRAME], vec![0; MAX_FRAME_BYTES]);
                tone.fill(&mut pcm);
                let length = encoder.encode(&pcm, &mut payload);
                payload.truncate(length);
                payload
            })
            .collect();
        let mut packet = [0; 1500];
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let length = packer.combine(&frames, &mut packet).expect("frames of one kind");
        assert_eq!(packet_units(&packet[..length]), Some(MAX_PACKET_UNITS));
        let mut pcm = [0; crate::codec::MAX_PACKET_SAMPLES];
        assert_eq!(decoder.decode(&packet[..length], &mut pcm), pcm.len());
        heard.extend_from_slice(&pcm);
        assert_eq!(decoder.decode(&packet[..length], &mut pcm[..FRAME]), 0, "no room for it");
    }
    assert!((level_at(&heard[3840..], RATE, 440.0) + 20.0).abs() < 3.0);
}

#[test]
fn a_length_that_no_frame_has_is_cut_and_no_room_gives_nothing() {
    let mut encoder = Encoder::new(RATE, Tuning::DEFAULT);
    let mut out = [0; MAX_FRAME_BYTES];
    for (ms, frame_ms) in [(60, 60), (50, 40), (30, 20), (20, 20), (15, 10), (9, 5)] {
        let length = encoder.encode(&vec![0; RATE.samples_in_ms(ms)], &mut out);
        assert_eq!(packet_units(&out[..length]), Some(48 * frame_ms), "{ms} ms");
    }
    assert_eq!(encoder.encode(&[0; 39], &mut out), 0);
    assert_eq!(encoder.encode(&[0; FRAME], &mut []), 0);
}

#[test]
fn a_decoder_that_was_given_rubbish_still_hears_what_is_none() {
    let mut encoder = Encoder::new(RATE, Tuning::DEFAULT);
    let mut decoder = Decoder::new(RATE);
    let (mut tone, mut pcm) = (Sine::new(RATE, 440.0, -20.0), [0; crate::codec::MAX_PACKET_SAMPLES]);
    let mut heard = Vec::new();
    for n in 0..60u32 {
        let (mut said, mut payload) = ([0; FRAME], [0; MAX_FRAME_BYTES]);
        tone.fill(&mut said);
        let length = encoder.encode(&said, &mut payload);
        if n < 10 {
            decoder.decode(&[n.wrapping_mul(0x9e37_79b9) as u8; 77], &mut pcm);
        }
        let made = decoder.decode(&payload[..length], &mut pcm);
        heard.extend_from_slice(&pcm[..made]);
    }
    let level = level_at(&heard[heard.len() - 20 * FRAME..], RATE, 440.0);
    assert!((level + 20.0).abs() < 1.5, "{level}");
}

proptest! {
    #[test]
    fn any_octets_any_losses_and_any_room_are_survived(
        packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..1500), 0usize..2500, any::<bool>()), 1..20),
    ) {
        let mut decoder = Decoder::new(RATE);
        for (payload, room, lost) in packets {
            let mut out = vec![0; room];
            let made = if lost { decoder.conceal(&payload, &mut out) } else { decoder.decode(&payload, &mut out) };
            prop_assert!(made <= room);
            if !lost && made > 0 {
                prop_assert_eq!(Some(made as u32 * 3), packet_units(&payload));
            }
        }
    }

    #[test]
    fn a_real_packet_with_octets_changed_is_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in 0usize..200, dbfs in -60.0f32..0.0
    ) {
        let mut encoder = Encoder::new(RATE, Tuning::DEFAULT);
        let mut decoder = Decoder::new(RATE);
        let mut tone = Sine::new(RATE, 333.0, dbfs);
        for _ in 0..4 {
            let (mut pcm, mut payload) = ([0; FRAME], [0; MAX_FRAME_BYTES]);
            tone.fill(&mut pcm);
            let length = encoder.encode(&pcm, &mut payload);
            let mut packet = payload[..length].to_vec();
            for (at, octet) in &changes {
                let at = at.index(packet.len());
                packet[at] = *octet;
            }
            packet.truncate(packet.len().saturating_sub(cut / 20).max(1));
            let mut out = [0; crate::codec::MAX_PACKET_SAMPLES];
            prop_assert!(decoder.decode(&packet, &mut out) <= out.len());
        }
    }
}

/// What is heard of a hum over `packets`, and how long they were.
fn run(tuning: Tuning, hz: f32, packets: usize) -> (Vec<i16>, Vec<usize>) {
    let (mut encoder, mut decoder) = (Encoder::new(RATE, tuning), Decoder::new(RATE));
    let mut tone = Sine::new(RATE, hz, -20.0);
    let (mut heard, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..packets {
        let (mut pcm, mut payload) = ([0; FRAME], [0; MAX_FRAME_BYTES]);
        tone.fill(&mut pcm);
        let length = encoder.encode(&pcm, &mut payload);
        decoder.decode(&payload[..length], &mut pcm);
        heard.extend_from_slice(&pcm);
        sizes.push(length);
    }
    assert!(level_dbfs(&heard) > SILENCE_DBFS);
    (heard, sizes)
}
