//! What one packet costs on its way through the jitter buffer, and one tick through the player.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sidetone_media::codec::{Codec, MAX_PAYLOAD};
use sidetone_media::frame::{Frame, SampleRate};
use sidetone_media::jitter::JitterBuffer;
use sidetone_media::playout::Player;
use sidetone_media::time::{RtpTimestamp, Sequence};

const TICK: Duration = Duration::from_millis(20);

fn buffer(c: &mut Criterion) {
    let mut group = c.benchmark_group("jitter");
    for (name, pattern) in PATTERNS {
        group.bench_function(format!("{name}/push_pop"), |b| {
            let (mut buffer, mut stream) = (JitterBuffer::new(8_000), Stream::new(pattern));
            let mut out = [0; MAX_PAYLOAD];
            b.iter(|| {
                if let Some((at, sequence, timestamp)) = stream.next() {
                    buffer.push(at, sequence, timestamp, false, 0, black_box(&[0xD5; 160]));
                }
                buffer.pop(stream.now, &mut out)
            });
        });
    }
    group.finish();
}

fn player(c: &mut Criterion) {
    let mut group = c.benchmark_group("player");
    for codec in Codec::ALL {
        for (name, pattern) in PATTERNS {
            group.bench_function(format!("{}/{name}", codec.encoding_name()), |b| {
                let payload_type = codec.static_payload_type();
                let (mut player, mut stream) = (Player::new(codec, payload_type, None), Stream::new(pattern));
                let mut frame = Frame::silence(SampleRate::Hz8000);
                b.iter(|| {
                    if let Some((at, sequence, timestamp)) = stream.next() {
                        player.push(at, sequence, timestamp, false, payload_type, black_box(&[0xD5; 160]));
                    }
                    player.tick(stream.now, &mut frame)
                });
            });
        }
    }
    group.finish();
}

/// How a path treats packet `n`: milliseconds of lateness, or lost.
type Pattern = fn(u32) -> Option<u64>;

const PATTERNS: [(&str, Pattern); 2] = [
    ("even", |_| Some(0)),
    ("rough", |n| if n.is_multiple_of(50) { None } else { Some(u64::from(n.wrapping_mul(37) % 15)) }),
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

    fn next(&mut self) -> Option<(Instant, Sequence, RtpTimestamp)> {
        let late = (self.pattern)(self.n);
        let at = self.now + Duration::from_millis(late.unwrap_or(0));
        let packet = (at, Sequence(self.n as u16), RtpTimestamp(self.n.wrapping_mul(160)));
        self.n = self.n.wrapping_add(1);
        self.now += TICK;
        late.map(|_| packet)
    }
}

criterion_group!(benches, buffer, player);
criterion_main!(benches);
