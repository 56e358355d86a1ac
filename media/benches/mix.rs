//! What one packet for one ear costs when it is mixed: what a whisper adds to a call.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sidetone_media::codec::{Codec, Encoder, MAX_PAYLOAD};
use sidetone_media::mix::{Mix, Mouth, Tap};
use sidetone_media::stream::rtp::{HEADER_BYTES, Header};
use sidetone_media::tone::Sine;

fn mix(c: &mut Criterion) {
    let mut group = c.benchmark_group("mix");
    for (ear, mouth) in [
        (Codec::Pcma, Codec::Pcma),
        (Codec::G722, Codec::G722),
        (Codec::Pcma, Codec::G722),
        (Codec::G722, Codec::Pcma),
    ] {
        for voices in [1, 2, 5] {
            let name = format!("{}_hears_{voices}_{}", ear.encoding_name(), mouth.encoding_name());
            group.bench_function(name, |b| {
                let mut parties = Parties::new(mouth, voices);
                let mut mix = Mix::new(ear);
                for (who, mouth) in parties.mouths.iter().enumerate() {
                    mix.hear(who as u64, || Tap::fading_in(mouth, 200));
                }
                let mut out = [0; MAX_PAYLOAD];
                b.iter(|| {
                    let said = parties.speak();
                    mix.packet(said, 20, |who| parties.mouths.get(who as usize), black_box(&mut out))
                });
            });
        }
    }
    group.finish();
}

/// Who hum, each their own packet of 20 ms, over and over.
struct Parties {
    mouths: Vec<Mouth>,
    payload: [u8; 160],
    now: Instant,
    n: u32,
}

impl Parties {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can only be had by asking; all others are counted from it"
    )]
    fn new(codec: Codec, voices: usize) -> Self {
        let mut pcm = vec![0; codec.sample_rate().samples_per_tick()];
        Sine::new(codec.sample_rate(), 400.0, -20.0).fill(&mut pcm);
        let mut payload = [0; 160];
        Encoder::new(codec).encode(&pcm, &mut payload);
        let mouths = (0..voices).map(|_| Mouth::new(codec)).collect();
        Self { mouths, payload, now: Instant::now(), n: 0 }
    }

    /// All speak; what the first said clocks the mix.
    fn speak(&mut self) -> Option<(u64, sidetone_media::mix::Said)> {
        let mut octets = [0; HEADER_BYTES];
        octets[0] = 0x80;
        octets[2..4].copy_from_slice(&(self.n as u16).to_be_bytes());
        octets[4..8].copy_from_slice(&self.n.wrapping_mul(160).to_be_bytes());
        self.n = self.n.wrapping_add(1);
        self.now += Duration::from_millis(20);
        let header = Header::parse(&octets)?;
        let mut first = None;
        for mouth in self.mouths.iter_mut().rev() {
            first = mouth.hear(self.now, &header, &self.payload);
        }
        first.map(|said| (0, said))
    }
}

criterion_group!(benches, mix);
criterion_main!(benches);
