//! What a relayed packet costs between the read and the write: header read, packet counted, numbers
//! made ours, header written.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sidetone_media::stream::line::SendLine;
use sidetone_media::stream::receive::Receive;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header, write_header};
use sidetone_media::time::{RtpTimestamp, Sequence};

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can only be had by asking; all others are counted from it"
)]
fn relay(c: &mut Criterion) {
    let mut now = Instant::now();
    let mut octets = [0xD5; HEADER_BYTES + 160];
    octets[..2].copy_from_slice(&[0x80, 8]);
    let (mut receive, mut line) = (Receive::new(), SendLine::new(7, Sequence(9), RtpTimestamp(5)));
    let mut n = 0u32;
    c.bench_function("packet_path/relay", |b| {
        b.iter(|| {
            n = n.wrapping_add(1);
            now += Duration::from_millis(20);
            octets[2..4].copy_from_slice(&(n as u16).to_be_bytes());
            octets[4..8].copy_from_slice(&n.wrapping_mul(160).to_be_bytes());
            octets[8..12].copy_from_slice(&[1, 2, 3, 4]);
            let header = Header::parse(black_box(&octets))?;
            black_box(receive.packet(now, &header));
            let ours = line.follow(now, 1, &header, 8000, 8, 160)?;
            line.count(160);
            write_header(octets.first_chunk_mut()?, ours);
            Some(black_box(&octets)[3])
        });
    });
}

criterion_group!(benches, relay);
criterion_main!(benches);
