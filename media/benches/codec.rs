//! What one 20 ms frame costs: encode, decode, resample, conceal.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sidetone_media::codec::conceal::Concealer;
use sidetone_media::codec::{Codec, Decoder, Encoder};
use sidetone_media::frame::{Frame, Ptime, SampleRate};
use sidetone_media::resample::Resampler;
use sidetone_media::tone::TonePair;

fn codecs(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    for codec in Codec::ALL {
        let sound = sound(codec.sample_rate());
        let (mut encoder, mut decoder) = (Encoder::new(codec), Decoder::new(codec));
        let mut payload = vec![0; codec.payload_bytes(Ptime::DEFAULT)];
        let mut pcm = vec![0; sound.samples().len()];
        group.bench_function(format!("{}/encode", codec.encoding_name()), |b| {
            b.iter(|| encoder.encode(black_box(sound.samples()), &mut payload));
        });
        let length = encoder.encode(sound.samples(), &mut payload);
        let payload = &payload[..length];
        group.bench_function(format!("{}/decode", codec.encoding_name()), |b| {
            b.iter(|| decoder.decode(black_box(payload), &mut pcm));
        });
    }
    group.finish();
}

fn rates(c: &mut Criterion) {
    let mut group = c.benchmark_group("resample");
    for (name, from, to) in
        [("up", SampleRate::Hz8000, SampleRate::Hz16000), ("down", SampleRate::Hz16000, SampleRate::Hz8000)]
    {
        let (sound, mut resampler) = (sound(from), Resampler::new(from, to));
        group.bench_function(name, |b| b.iter(|| resampler.frame(black_box(&sound))));
    }
    group.finish();
}

fn concealment(c: &mut Criterion) {
    let mut group = c.benchmark_group("conceal");
    for (name, rate) in [("8k", SampleRate::Hz8000), ("16k", SampleRate::Hz16000)] {
        let mut sound = sound(rate);
        let mut concealer = Concealer::new(rate);
        let mut out = vec![0; sound.samples().len()];
        group.bench_function(format!("{name}/heard"), |b| b.iter(|| concealer.heard(sound.samples_mut())));
        group.bench_function(format!("{name}/loss_and_recovery"), |b| {
            b.iter(|| {
                concealer.conceal(&mut out);
                concealer.heard(sound.samples_mut());
            });
        });
    }
    group.finish();
}

fn sound(rate: SampleRate) -> Frame {
    let mut frame = Frame::silence(rate);
    TonePair::new(rate, (180.0, 1_130.0), -20.0).fill(frame.samples_mut());
    frame
}

criterion_group!(benches, codecs, rates, concealment);
criterion_main!(benches);
