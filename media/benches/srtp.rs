//! What protection costs a voice packet of 172 octets, in place, and what it adds to the path of a relayed one.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use sidetone_media::srtp::{MAX_TAG_BYTES, MasterKey, Open, Seal, Suite};
use sidetone_media::stream::line::SendLine;
use sidetone_media::stream::receive::Receive;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header, write_header};
use sidetone_media::time::{RtpTimestamp, Sequence};

const PACKET: usize = HEADER_BYTES + 160;

type Buffer = [u8; PACKET + MAX_TAG_BYTES];

fn key(suite: Suite) -> MasterKey {
    let keying: Vec<u8> = (1..=suite.keying_bytes() as u8).collect();
    MasterKey::new(suite, &keying).expect("as long as the suite wants")
}

fn packet(n: u32) -> Buffer {
    let mut octets = [0xD5; PACKET + MAX_TAG_BYTES];
    octets[..2].copy_from_slice(&[0x80, 8]);
    octets[2..4].copy_from_slice(&(n as u16).to_be_bytes());
    octets[4..8].copy_from_slice(&n.wrapping_mul(160).to_be_bytes());
    octets[8..12].copy_from_slice(&[1, 2, 3, 4]);
    octets
}

fn seal_and_open(c: &mut Criterion) {
    for suite in Suite::ALL {
        let key = key(suite);
        let (mut seal, mut n) = (Seal::new(&key), 0u32);
        let mut octets = packet(0);
        c.bench_function(&format!("srtp/seal/{suite:?}"), |b| {
            b.iter(|| {
                n = n.wrapping_add(1);
                octets[2..4].copy_from_slice(&(n as u16).to_be_bytes());
                seal.rtp(black_box(&mut octets), PACKET)
            });
        });
        let (mut sealing, mut open, mut n) = (Seal::new(&key), Open::new(&key), 0u32);
        c.bench_function(&format!("srtp/open/{suite:?}"), |b| {
            b.iter_batched_ref(
                || {
                    n = n.wrapping_add(1);
                    let mut octets = packet(n);
                    let length = sealing.rtp(&mut octets, PACKET).expect("a packet with room");
                    (octets, length)
                },
                |(octets, length)| open.rtp(black_box(&mut octets[..*length])).expect("authentic"),
                BatchSize::SmallInput,
            );
        });
    }
}

/// The part of a relay between the read and the write; its other part, the two system calls, is what the load
/// harness measures.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can only be had by asking; all others are counted from it"
)]
fn relay(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp/relay");
    let mut start = Instant::now();
    for (name, from_sealed, to_sealed) in [
        ("rtp to rtp", false, false),
        ("srtp to rtp", true, false),
        ("rtp to srtp", false, true),
        ("srtp to srtp", true, true),
    ] {
        let key = key(Suite::AesCm128HmacSha1_80);
        let (mut theirs, mut open, mut seal) = (Seal::new(&key), Open::new(&key), Seal::new(&key));
        let (mut receive, mut line) = (Receive::new(), SendLine::new(7, Sequence(9), RtpTimestamp(5)));
        let mut n = 0u32;
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_batched_ref(
                || {
                    n = n.wrapping_add(1);
                    start += Duration::from_millis(20);
                    let mut octets = packet(n);
                    let length =
                        if from_sealed { theirs.rtp(&mut octets, PACKET).expect("room") } else { PACKET };
                    (octets, length, start)
                },
                |(octets, length, now)| {
                    if from_sealed {
                        open.rtp(&mut octets[..*length]).ok()?;
                    }
                    let header = Header::parse(&octets[..PACKET])?;
                    black_box(receive.packet(*now, &header));
                    let ours = line.follow(*now, 1, &header, 8000, 8, 160)?;
                    line.count(160);
                    write_header(octets.first_chunk_mut()?, ours);
                    if to_sealed {
                        seal.rtp(octets, PACKET).ok()?;
                    }
                    Some(black_box(&octets)[3])
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, seal_and_open, relay);
criterion_main!(benches);
