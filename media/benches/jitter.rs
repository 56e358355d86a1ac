//! What one packet costs on its way into a mouth and out of one ear's tap.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sidetone_media::codec::Codec;
use sidetone_media::mix::{Mouth, Tap};
use sidetone_media::stream::rtp::{HEADER_BYTES, Header};

fn tap(c: &mut Criterion) {
    let mut group = c.benchmark_group("jitter");
    for codec in Codec::ALL {
        for (name, pattern) in PATTERNS {
            group.bench_function(format!("{}/{name}", codec.encoding_name()), |b| {
                let mut mouth = Mouth::new(codec);
                let mut tap = Tap::fading_in(&mouth, 200);
                let mut stream = Stream::new(pattern);
                let mut out = vec![0; codec.sample_rate().samples_per_tick()];
                b.iter(|| {
                    for header in stream.next().into_iter().flatten() {
                        mouth.hear(stream.now, &header, black_box(&[0xD5; 160]));
                    }
                    tap.read(&mouth, &mut out)
                });
            });
        }
    }
    group.finish();
}

/// Which packets come in the time of packet `n`.
type Pattern = fn(u32) -> [Option<u32>; 2];

const PATTERNS: [(&str, Pattern); 3] = [
    ("even", |n| [Some(n), None]),
    ("loss", |n| [(!n.is_multiple_of(20)).then_some(n), None]),
    ("late", |n| match n % 20 {
        0 => [None, None],
        1 => [Some(n), Some(n - 1)],
        _ => [Some(n), None],
    }),
];

/// A stream of 20 ms packets, and the listener's time.
struct Stream {
    now: Instant,
    n: u32,
    pattern: Pattern,
}

impl Stream {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can only be had by asking; all others are counted from it"
    )]
    fn new(pattern: Pattern) -> Self {
        Self { now: Instant::now(), n: 0, pattern }
    }

    fn next(&mut self) -> [Option<Header>; 2] {
        let packets = (self.pattern)(self.n);
        self.n = self.n.wrapping_add(1);
        self.now += Duration::from_millis(20);
        packets.map(|n| {
            let n = n?;
            let mut octets = [0; HEADER_BYTES];
            octets[0] = 0x80;
            octets[2..4].copy_from_slice(&(n as u16).to_be_bytes());
            octets[4..8].copy_from_slice(&n.wrapping_mul(160).to_be_bytes());
            Header::parse(&octets)
        })
    }
}

criterion_group!(benches, tap);
criterion_main!(benches);
